//! Reading a block to see whether it is sound.

use codec::checksum::crc32c_append;
use model::{Labels, TimeRange, TimestampMs};

use super::super::order::StreamKey;
use super::super::range_read::RangeRead;
use super::super::schema::SampleColumn;
use super::catalog::BlockCatalog;
use super::decoded::BlockPages;
use super::fetched::Fetched;
use super::load::{histogram_columns, sample_columns};
use super::pages::PageSource;
use super::select::LaneSet;
use super::{Block, damaged, read_error};
use crate::{Error, StreamBuffer};

/// Bytes that are read at a time.
const READ_BYTES: u64 = 1 << 20;

impl Block {
    /// Reads every byte: checksums, counts, and that rows are sorted as the format says.
    ///
    /// # Errors
    /// The first thing that is wrong, as [`Error::Damaged`]; [`Error::Io`].
    pub fn verify(&self) -> Result<(), Error> {
        check_content(&*self.files.samples, self.manifest.samples.crc32c)?;
        check_content(&*self.files.series, self.manifest.series.crc32c)?;
        if let Some((file, summary)) = self.histograms() {
            check_content(file, summary.crc32c)?;
        }
        let catalog = self.load_catalog()?;
        self.check_pages(&catalog)?;
        self.check_order(&catalog)?;
        let of_floats = self.check_rows(&catalog)?;
        let of_histograms = self.check_histograms(&catalog)?;
        let times = union(of_floats, of_histograms);
        if times != Some((self.manifest.first_ms, self.manifest.last_ms)) {
            return Err(self.series_damaged("its time range is not that of the manifest"));
        }
        self.check_series_ids(&catalog)
    }

    /// Reads all of the tables of pages; other readers have to find the same pages in the footers.
    fn check_pages(&self, catalog: &BlockCatalog) -> Result<(), Error> {
        let (samples, summary) = (&*self.files.samples, self.manifest.samples);
        let pages = &catalog.pages;
        pages.load(samples, 0..pages.n_rows())?;
        if summary.page_table.is_some() && pages.n_rows() > 0 {
            pages.check_footer(samples, summary, &sample_columns())?;
        }
        if let Some((file, summary)) = self.histograms() {
            let pages = &catalog.histogram_pages;
            pages.load(file, 0..pages.n_rows())?;
            if summary.page_table.is_some() {
                pages.check_footer(file, summary, &histogram_columns(self.manifest.version))?;
            }
        }
        Ok(())
    }

    fn check_order(&self, catalog: &BlockCatalog) -> Result<(), Error> {
        let entities: Vec<Labels> = (0_u32..)
            .take(catalog.n_entities())
            .map(|entity| catalog.entity_labels(entity))
            .collect();
        if !entities.is_sorted_by(|a, b| a < b) {
            return Err(self.series_damaged("its entities are not sorted"));
        }
        let streams = (0..catalog.n_streams()).map(|stream_idx| catalog.stream(stream_idx));
        let keys = streams.clone().filter_map(|stream| {
            let entity = entities.get(stream.entity() as usize)?;
            Some(StreamKey {
                base: stream.base(),
                entity,
            })
        });
        if !keys.is_sorted_by(|a, b| a < b) {
            return Err(self.series_damaged("its streams are not sorted"));
        }
        for stream in streams {
            if !stream.lanes().is_sorted_by(|a, b| a.compare(b).is_lt()) {
                return Err(self.series_damaged("the lanes of a stream are not sorted"));
            }
        }
        Ok(())
    }

    /// Decodes all samples that are numbers; the times of the oldest and the newest.
    fn check_rows(&self, catalog: &BlockCatalog) -> Result<Times, Error> {
        let pages = PageSource {
            block: self,
            catalog,
            cache: None,
            reads_on: true,
        };
        let mut buffer = StreamBuffer::default();
        let mut kept = BlockPages::default();
        let mut times = None;
        for stream in &catalog.streams {
            let mut before_ms = Vec::new();
            for (series_idx, series) in (stream.first_series..).zip(catalog.series_entries(*stream)) {
                let lane_ms = pages
                    .times(Some(series), TimeRange::ALL, &mut kept)?
                    .timestamps_ms;
                let has_sample = !lane_ms.is_empty() || catalog.has_runs(series_idx);
                if !has_sample || !lane_ms.is_sorted_by(|a, b| a < b) {
                    return Err(self.samples_damaged(0, "the timestamps of a series are not sorted"));
                }
                if series.same_timestamps && before_ms != lane_ms {
                    let what = "a series has not the timestamps that it is said to share";
                    return Err(self.samples_damaged(0, what));
                }
                times = union(times, lane_ms.first().copied().zip(lane_ms.last().copied()));
                before_ms = lane_ms;
            }
            pages.read(*stream, LaneSet::All, TimeRange::ALL, &mut buffer)?;
        }
        Ok(times)
    }

    /// Decodes all native histograms; the times of the oldest and the newest.
    fn check_histograms(&self, catalog: &BlockCatalog) -> Result<Times, Error> {
        let pages = PageSource {
            block: self,
            catalog,
            cache: None,
            reads_on: true,
        };
        let Some((file, _)) = self.histograms() else {
            return Ok(None);
        };
        let mut expected = catalog
            .runs
            .iter()
            .flat_map(|runs| std::iter::repeat_n(i64::from(runs.series), runs.n_runs as usize));
        let (mut times, mut n_histograms) = (None, 0);
        let mut before: Option<(i64, TimestampMs)> = None;
        for page_idx in 0..catalog.histogram_pages.n_pages() {
            let page = pages.decode_runs(page_idx)?;
            for run in &page.runs {
                let run_ms = page.timestamps_ms(run);
                let follows = before.filter(|(series_id, _)| *series_id == run.series_id);
                let after_ms = follows.map_or(TimestampMs::MIN, |(_, last_ms)| last_ms);
                let is_later = follows.is_none() || run_ms.first().is_some_and(|first| *first > after_ms);
                if !is_later || !run_ms.is_sorted_by(|a, b| a < b) {
                    return Err(damaged(file, 0, "the histograms of a series are not sorted"));
                }
                if expected.next() != Some(run.series_id) {
                    let what = "runs have other series ids than series.parquet says";
                    return Err(damaged(file, 0, what));
                }
                n_histograms += run_ms.len() as u64;
                times = union(times, run_ms.first().copied().zip(run_ms.last().copied()));
                before = run_ms.last().map(|last_ms| (run.series_id, *last_ms));
            }
        }
        if n_histograms != self.manifest.n_histograms {
            let what = "the number of histograms is not that of the manifest";
            return Err(damaged(file, 0, what));
        }
        Ok(times)
    }

    /// Compares the series ids of all rows, which nobody here reads otherwise, with the table of series.
    fn check_series_ids(&self, catalog: &BlockCatalog) -> Result<(), Error> {
        let pages = PageSource {
            block: self,
            catalog,
            cache: None,
            reads_on: true,
        };
        let counts = catalog.series.iter().map(|series| series.n_rows as usize);
        let mut expected = (0_i64..)
            .zip(counts)
            .flat_map(|(series_id, n_rows)| std::iter::repeat_n(series_id, n_rows));
        let (mut ids, mut fetched) = (Vec::new(), Fetched::default());
        for page_idx in 0..catalog.pages.n_pages() {
            let rows = catalog.pages.rows(page_idx);
            let n_rows = usize::try_from(rows.end - rows.start).unwrap_or(0);
            ids.resize(n_rows, 0);
            let page = page_idx..page_idx + 1;
            pages.read_integers(SampleColumn::SeriesId, page, 0..n_rows, &mut ids, &mut fetched)?;
            if !ids.iter().copied().eq(expected.by_ref().take(n_rows)) {
                let offset = catalog
                    .pages
                    .place(SampleColumn::SeriesId as usize, page_idx)
                    .offset;
                return Err(
                    self.samples_damaged(offset, "rows have other series ids than series.parquet says")
                );
            }
        }
        Ok(())
    }
}

/// The oldest and the newest, if there is any.
type Times = Option<(TimestampMs, TimestampMs)>;

fn union(a: Times, b: Times) -> Times {
    let all = a.into_iter().chain(b);
    all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}

fn check_content(file: &dyn RangeRead, expected: u32) -> Result<(), Error> {
    let (mut offset, mut found) = (0, 0);
    while offset < file.len() {
        let n_bytes = READ_BYTES.min(file.len() - offset);
        let bytes = usize::try_from(n_bytes).map_err(|_| damaged(file, offset, "it is too long"))?;
        let bytes = file
            .read_at(offset, bytes)
            .map_err(|source| read_error(file, source))?;
        found = crc32c_append(found, &bytes);
        offset += n_bytes;
    }
    if found == expected {
        return Ok(());
    }
    Err(damaged(
        file,
        0,
        "the checksum of the file is not that of its content",
    ))
}

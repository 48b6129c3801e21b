//! Reading a block to see whether it is sound.

use codec::checksum::crc32c_append;
use model::{Labels, TimeRange};

use super::super::order::{StreamKey, compare_lanes};
use super::super::range_read::RangeRead;
use super::super::schema::SampleColumn;
use super::catalog::BlockCatalog;
use super::decoded::DecodedPages;
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
        let catalog = self.load_catalog()?;
        self.check_order(&catalog)?;
        self.check_rows(&catalog)?;
        self.check_series_ids(&catalog)
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
            if !stream.lanes().is_sorted_by(|a, b| compare_lanes(*a, *b).is_lt()) {
                return Err(self.series_damaged("the lanes of a stream are not sorted"));
            }
        }
        Ok(())
    }

    /// Decodes all samples.
    fn check_rows(&self, catalog: &BlockCatalog) -> Result<(), Error> {
        let pages = PageSource {
            block: self,
            catalog,
            cache: None,
        };
        let mut buffer = StreamBuffer::default();
        let mut decoded = DecodedPages::default();
        let mut times: Option<(i64, i64)> = None;
        for stream in &catalog.streams {
            let mut before_ms = Vec::new();
            for series in catalog.series_entries(*stream) {
                let lane_ms = pages
                    .times(Some(series), TimeRange::ALL, &mut decoded)?
                    .timestamps_ms;
                if lane_ms.is_empty() || !lane_ms.is_sorted_by(|a, b| a < b) {
                    return Err(self.samples_damaged(0, "the timestamps of a series are not sorted"));
                }
                if series.same_timestamps && before_ms != lane_ms {
                    let what = "a series has not the timestamps that it is said to share";
                    return Err(self.samples_damaged(0, what));
                }
                for timestamp_ms in lane_ms.first().into_iter().chain(lane_ms.last()) {
                    let (first, last) = times.unwrap_or((*timestamp_ms, *timestamp_ms));
                    times = Some((first.min(*timestamp_ms), last.max(*timestamp_ms)));
                }
                before_ms = lane_ms;
            }
            pages.read(*stream, LaneSet::All, TimeRange::ALL, &mut buffer)?;
        }
        if times != Some((self.manifest.first_ms, self.manifest.last_ms)) {
            return Err(self.samples_damaged(0, "its time range is not that of the manifest"));
        }
        Ok(())
    }

    /// Compares the series ids of all rows, which nobody here reads otherwise, with the table of series.
    fn check_series_ids(&self, catalog: &BlockCatalog) -> Result<(), Error> {
        let pages = PageSource {
            block: self,
            catalog,
            cache: None,
        };
        let counts = catalog.series.iter().map(|series| series.n_rows as usize);
        let mut expected = (0_i64..)
            .zip(counts)
            .flat_map(|(series_id, n_rows)| std::iter::repeat_n(series_id, n_rows));
        let mut ids = Vec::new();
        for page_idx in 0..catalog.pages.n_pages() {
            let rows = catalog.pages.rows(page_idx);
            let n_rows = usize::try_from(rows.end - rows.start).unwrap_or(0);
            ids.resize(n_rows, 0);
            pages.read_integers(SampleColumn::SeriesId, page_idx, 0..n_rows, &mut ids)?;
            if !ids.iter().copied().eq(expected.by_ref().take(n_rows)) {
                let offset = catalog.pages.place(SampleColumn::SeriesId, page_idx).offset;
                return Err(
                    self.samples_damaged(offset, "rows have other series ids than series.parquet says")
                );
            }
        }
        Ok(())
    }
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

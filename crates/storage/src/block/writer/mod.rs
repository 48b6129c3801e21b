//! Writing a block.
//!
//! [`BlockWriter`] sorts the lanes of each stream and hands them on: `rows` gathers samples until they are a page,
//! `chunk` the pages of a column until they are a row group, `file` writes row groups; `samples` and `histograms` decide
//! where pages and row groups end; `series` remembers which series there were and writes `series.parquet` at the end, column
//! by column (`columns`). `sink` counts and checks what is written.

mod chunk;
mod columns;
mod file;
mod histograms;
mod rows;
mod samples;
mod series;
mod sink;

use std::fmt;
use std::io::Write;
use std::path::Path;

use model::LaneKind;
use parquet::errors::ParquetError;

use self::histograms::{HistogramsWriter, NativeRow, WrittenHistograms};
use self::samples::SamplesWriter;
use self::series::SeriesTable;
pub(crate) use self::sink::emptied;
use super::manifest::{BLOCK_VERSION, Manifest};
use super::order::StreamKey;
use crate::{Error, LaneBuffer, StreamBuffer};

/// What errors call the files, whose paths are known to whoever handed in the sinks.
const SAMPLES_NAME: &str = "samples.parquet";
const SERIES_NAME: &str = "series.parquet";
const HISTOGRAMS_NAME: &str = "histograms.parquet";

/// Where the files of a block go. Whoever hands them in names and syncs them, and buffers if writes of a few
/// kilobytes are too small.
#[derive(Debug)]
pub struct BlockSinks<W> {
    /// `samples.parquet`.
    pub samples: W,
    /// `series.parquet`.
    pub series: W,
    /// `histograms.parquet`. Nothing is written to it if there are none; then there is no such file.
    pub histograms: W,
}

/// Writes the streams of a block, one after the other.
///
/// Memory: the encoded row group under way (about half a megabyte), the page indexes and page tables (a hundred bytes per
/// page), the stream at hand, and for `series.parquet`, which is written last, 16 bytes per series, 8 per label of an entity
/// and the column at hand (a megabyte).
pub struct BlockWriter<W: Write + Send> {
    samples: SamplesWriter<W>,
    series_sink: W,
    series: SeriesTable,
    histograms: Histograms<W>,
    last_key: Option<(String, model::Labels)>,
    scratch: LaneRows,
}

/// The file of native histograms, which begins with the first of them.
enum Histograms<W: Write + Send> {
    None(W),
    Some(Box<HistogramsWriter<W>>),
    /// It could not be begun.
    Failed,
}

/// The samples of one lane: rows of floats, and native histograms.
#[derive(Debug, Default)]
struct LaneRows {
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    /// Empty when nobody said when any row's counter began.
    starts_ms: Vec<i64>,
    /// Timestamps of the lane before.
    previous_ms: Vec<i64>,
    natives: Vec<NativeRow>,
    /// Rows without a float.
    gaps: Vec<u32>,
}

impl<W: Write + Send> BlockWriter<W> {
    /// A block without any stream.
    ///
    /// # Errors
    /// Those of the sinks.
    pub fn new(sinks: BlockSinks<W>) -> Result<Self, Error> {
        Ok(Self {
            samples: SamplesWriter::new(sinks.samples).map_err(|source| write_error(SAMPLES_NAME, source))?,
            series_sink: sinks.series,
            series: SeriesTable::default(),
            histograms: Histograms::None(sinks.histograms),
            last_key: None,
            scratch: LaneRows::default(),
        })
    }

    /// Adds a stream: all its samples in the time range of the block. `lanes` are the names of the lanes of
    /// `samples`, parallel to them, each once, in any order: the writer sorts them. Lanes without a sample are
    /// left out, and so is a stream of such lanes. Native histograms come as they are stored ([`StreamBuffer::stored`]).
    ///
    /// # Errors
    /// [`Error::Unblockable`], [`Error::Io`] and [`Error::Parquet`]. After an error the block must be given up.
    ///
    /// # Panics
    /// If `key` is not greater than that of the stream before, or the numbers of lanes differ.
    pub fn write_stream(
        &mut self,
        key: StreamKey<'_>,
        lanes: &[LaneKind<'_>],
        samples: &StreamBuffer,
    ) -> Result<(), Error> {
        assert_eq!(lanes.len(), samples.lanes().len(), "each lane has a name");
        if let Some((base, entity)) = &self.last_key {
            assert!(StreamKey { base, entity } < key, "streams come in order");
        }
        self.last_key = Some((key.base.to_owned(), key.entity.clone()));
        if samples.lanes().iter().any(|lane| !lane.histograms.is_empty()) {
            let what = "native histograms as queries see them";
            return Err(Error::Unblockable { what });
        }
        let mut sorted: Vec<(LaneKind<'_>, &LaneBuffer)> =
            lanes.iter().copied().zip(samples.lanes()).collect();
        sorted.sort_by(|(a, _), (b, _)| a.compare(b));
        let mut is_first = true;
        for (lane, buffer) in sorted {
            let rows = &mut self.scratch;
            if buffer.absent_rows.len() == samples.timestamps_ms.len() {
                continue;
            }
            rows.fill(&samples.timestamps_ms, buffer);
            if is_first {
                self.series.push_stream(key)?;
            }
            let same_timestamps = !is_first && rows.timestamps_ms == rows.previous_ms;
            let series_id = self
                .series
                .push_lane(lane, rows.timestamps_ms.len(), same_timestamps)?;
            self.samples
                .push_lane(series_id, rows)
                .map_err(|source| write_error(SAMPLES_NAME, source))?;
            if !rows.natives.is_empty() {
                let histograms = self.histograms.writer();
                let runs = histograms.and_then(|histograms| histograms.push_lane(series_id, &rows.natives));
                self.series
                    .note_runs(runs.map_err(|source| write_error(HISTOGRAMS_NAME, source))?);
            }
            is_first = false;
        }
        self.end_stream()
    }

    fn end_stream(&mut self) -> Result<(), Error> {
        if let Histograms::Some(histograms) = &mut self.histograms {
            histograms
                .end_stream()
                .map_err(|source| write_error(HISTOGRAMS_NAME, source))?;
        }
        self.samples
            .end_stream()
            .map_err(|source| write_error(SAMPLES_NAME, source))
    }

    /// Writes what is left and gives back the sinks, and the manifest to be stored after they are synced; `None`
    /// when no stream had a sample: then there is no block.
    ///
    /// # Errors
    /// As [`Self::write_stream`].
    pub fn finish(self) -> Result<(BlockSinks<W>, Option<Manifest>), Error> {
        let (histograms_sink, histograms) = self.histograms.finish()?;
        let of_histograms = histograms.as_ref().and_then(|histograms| histograms.times);
        let all_times = [self.samples.times(), of_histograms].into_iter().flatten();
        let times = all_times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let n_samples = self.samples.n_rows();
        let (samples_sink, samples) = self
            .samples
            .finish()
            .map_err(|source| write_error(SAMPLES_NAME, source))?;
        let (series_sink, series) = self
            .series
            .write(self.series_sink)
            .map_err(|source| write_error(SERIES_NAME, source))?;
        let sinks = BlockSinks {
            samples: samples_sink,
            series: series_sink,
            histograms: histograms_sink,
        };
        let manifest = times.map(|(first_ms, last_ms)| Manifest {
            version: BLOCK_VERSION,
            first_ms,
            last_ms,
            n_samples,
            n_histograms: histograms
                .as_ref()
                .map_or(0, |histograms| histograms.n_histograms),
            n_series: series.n_series,
            n_streams: series.n_streams,
            n_entities: series.n_entities,
            label_names: series.label_names,
            samples,
            series: series.file,
            histograms: histograms.map(|histograms| histograms.file),
        });
        Ok((sinks, manifest))
    }
}

impl<W: Write + Send> Histograms<W> {
    fn writer(&mut self) -> Result<&mut HistogramsWriter<W>, ParquetError> {
        if let Self::None(_) = self
            && let Self::None(sink) = std::mem::replace(self, Self::Failed)
        {
            *self = Self::Some(Box::new(HistogramsWriter::new(sink)?));
        }
        match self {
            Self::Some(writer) => Ok(writer),
            Self::None(_) | Self::Failed => Err(given_up()),
        }
    }

    fn finish(self) -> Result<(W, Option<WrittenHistograms>), Error> {
        let finished = match self {
            Self::None(sink) => Ok((sink, None)),
            Self::Some(writer) => writer.finish().map(|(sink, written)| (sink, Some(written))),
            Self::Failed => Err(given_up()),
        };
        finished.map_err(|source| write_error(HISTOGRAMS_NAME, source))
    }
}

/// Somebody went on after an error.
fn given_up() -> ParquetError {
    ParquetError::General("the block was given up".to_owned())
}

impl LaneRows {
    fn fill(&mut self, timestamps_ms: &[i64], lane: &LaneBuffer) {
        std::mem::swap(&mut self.timestamps_ms, &mut self.previous_ms);
        self.timestamps_ms.clear();
        self.values.clear();
        self.starts_ms.clear();
        self.fill_natives(timestamps_ms, lane);
        let mut gaps = self.gaps.iter().map(|row| *row as usize);
        let mut start = 0;
        loop {
            let end = gaps.next().unwrap_or(timestamps_ms.len());
            self.timestamps_ms
                .extend(timestamps_ms.get(start..end).unwrap_or(&[]));
            self.values.extend(lane.values.get(start..end).unwrap_or(&[]));
            self.starts_ms
                .extend(lane.starts_ms.get(start..end).unwrap_or(&[]));
            if end == timestamps_ms.len() {
                break;
            }
            start = end + 1;
        }
        assert_eq!(
            self.timestamps_ms.len(),
            self.values.len(),
            "each row has a value"
        );
    }

    /// Takes the native histograms out; the rows of floats lie between what is left out then.
    fn fill_natives(&mut self, timestamps_ms: &[i64], lane: &LaneBuffer) {
        self.natives.clear();
        let natives = lane.stored.iter().filter_map(|(row, histogram)| {
            let row = *row as usize;
            Some(NativeRow {
                timestamp_ms: *timestamps_ms.get(row)?,
                start_ms: lane.starts_ms.get(row).copied().unwrap_or(0),
                sum: *lane.values.get(row)?,
                histogram: histogram.clone(),
            })
        });
        self.natives.extend(natives);
        self.gaps.clear();
        self.gaps.extend(&lane.absent_rows);
        self.gaps.extend(lane.stored.iter().map(|(row, _)| *row));
        if !lane.stored.is_empty() {
            self.gaps.sort_unstable();
        }
    }
}

/// What went wrong when a file was written: mostly the sink refused.
fn write_error(name: &str, source: ParquetError) -> Error {
    match source {
        ParquetError::External(source) if source.is::<std::io::Error>() => {
            let source = source
                .downcast()
                .map_or_else(std::io::Error::other, |source| *source);
            Error::io("write", Path::new(name), source)
        }
        source => Error::Parquet {
            path: name.into(),
            source,
        },
    }
}

impl<W: Write + Send> fmt::Debug for BlockWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockWriter")
            .field("n_samples", &self.samples.n_rows())
            .finish_non_exhaustive()
    }
}

//! `samples.parquet`: rows into pages, pages into row groups.

use std::io::Write;

use model::TimestampMs;
use parquet::errors::ParquetError;

use super::super::manifest::FileSummary;
use super::super::page::{Levels, PageEncoder, SAMPLES_LEVEL};
use super::super::schema::{self, SampleColumn};
use super::LaneRows;
use super::chunk::LimitsKept;
use super::file::PagedFile;
use super::rows::PageRows;

/// Rows from which on a page ends with the stream: streams of a few rows share pages, and are read with their
/// neighbours.
const STREAM_PAGE_ROWS: usize = 4_096;

/// Rows from which on it ends with the stream if that is its third: whoever wants one of those streams then reads three
/// times what it wants at most, but for streams so short that a page's own bytes weigh as much.
const FEW_STREAMS_PAGE_ROWS: usize = 1_024;
const FEW_STREAMS: usize = 3;

/// Rows of a lane that are packed well alone: a page ends with a stream that has such a lane. A counter that is asked every
/// 15 s has one from a span of 6 h on.
const LONG_LANE_ROWS: usize = 1_024;

/// Rows from which on a page ends with the lane.
const LANE_PAGE_ROWS: usize = 16_384;

/// Rows at which a page ends in the middle of a lane.
const PAGE_ROWS: usize = 65_536;

/// Rows from which on a row group ends with the stream, or with the lane when there are twice as many.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// Writes `samples.parquet`.
pub(super) struct SamplesWriter<W: Write + Send> {
    file: PagedFile<W>,
    encoder: PageEncoder,
    rows: PageRows,
    /// Streams that end in the page under way.
    n_page_streams: usize,
    /// The stream under way has a lane of [`LONG_LANE_ROWS`].
    has_long_lane: bool,
    /// Rows of the row group in finished pages.
    n_group_rows: usize,
    n_rows: u64,
    times: Option<(TimestampMs, TimestampMs)>,
}

impl<W: Write + Send> SamplesWriter<W> {
    pub(super) fn new(sink: W) -> Result<Self, ParquetError> {
        let sorted_by = [SampleColumn::SeriesId, SampleColumn::Timestamp].map(|column| column as i32);
        let limits = SampleColumn::ALL.map(|column| match column {
            SampleColumn::SeriesId | SampleColumn::Timestamp => LimitsKept::OfPages,
            SampleColumn::ValueInt | SampleColumn::StartTimestamp => LimitsKept::OfRowGroups,
            SampleColumn::ValueFloat => LimitsKept::None,
        });
        let timestamps_idx = SampleColumn::Timestamp as usize;
        Ok(Self {
            file: PagedFile::new(
                sink,
                schema::samples()?,
                &sorted_by,
                limits.to_vec(),
                timestamps_idx,
            )?,
            encoder: PageEncoder::new(SAMPLES_LEVEL)?,
            rows: PageRows::default(),
            n_page_streams: 0,
            has_long_lane: false,
            n_group_rows: 0,
            n_rows: 0,
            times: None,
        })
    }

    /// Rows that were added.
    pub(super) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// The oldest and the newest timestamp.
    pub(super) fn times(&self) -> Option<(TimestampMs, TimestampMs)> {
        self.times
    }

    /// Adds the samples of one series, at least one.
    pub(super) fn push_lane(&mut self, series_id: u32, lane: &LaneRows) -> Result<(), ParquetError> {
        if let (Some(&first), Some(&last)) = (lane.timestamps_ms.first(), lane.timestamps_ms.last()) {
            let (oldest, newest) = self.times.unwrap_or((first, last));
            self.times = Some((oldest.min(first), newest.max(last)));
        }
        let n_rows = lane.timestamps_ms.len();
        self.has_long_lane |= n_rows >= LONG_LANE_ROWS;
        self.n_rows += n_rows as u64;
        let mut start = 0;
        while start < n_rows {
            let end = n_rows.min(start + PAGE_ROWS - self.rows.n_rows());
            self.rows.push(series_id, lane, start..end);
            if self.rows.n_rows() == PAGE_ROWS {
                self.end_page()?;
            }
            start = end;
        }
        if self.rows.n_rows() >= LANE_PAGE_ROWS {
            self.end_page()?;
        }
        if self.n_group_rows >= 2 * ROW_GROUP_ROWS {
            self.end_page()?;
            self.end_row_group()?;
        }
        Ok(())
    }

    /// Says that no more lanes of the stream follow.
    pub(super) fn end_stream(&mut self) -> Result<(), ParquetError> {
        self.n_page_streams += usize::from(self.rows.n_rows() > 0);
        let n_rows_max = match self.n_page_streams {
            _ if std::mem::take(&mut self.has_long_lane) => LONG_LANE_ROWS,
            FEW_STREAMS.. => FEW_STREAMS_PAGE_ROWS,
            _ => STREAM_PAGE_ROWS,
        };
        if self.rows.n_rows() >= n_rows_max {
            self.end_page()?;
        }
        if self.n_group_rows + self.rows.n_rows() >= ROW_GROUP_ROWS {
            self.end_page()?;
            self.end_row_group()?;
        }
        Ok(())
    }

    /// Writes what is left.
    pub(super) fn finish(mut self) -> Result<(W, FileSummary), ParquetError> {
        self.end_page()?;
        self.end_row_group()?;
        self.file.finish()
    }

    fn end_page(&mut self) -> Result<(), ParquetError> {
        self.n_page_streams = 0;
        let n_rows = self.rows.n_rows();
        if n_rows == 0 {
            return Ok(());
        }
        let (rows, encoder) = (&self.rows, &mut self.encoder);
        for (column, chunk) in SampleColumn::ALL.into_iter().zip(&mut self.file.chunks) {
            let (n_values, levels) = match column {
                SampleColumn::SeriesId | SampleColumn::Timestamp => (n_rows, Levels::All),
                SampleColumn::ValueInt => (rows.integers.len(), Levels::Some(&rows.integer_runs)),
                SampleColumn::ValueFloat => (rows.floats.len(), Levels::Some(&rows.float_runs)),
                SampleColumn::StartTimestamp => (rows.starts_ms.len(), Levels::Some(&rows.start_runs)),
            };
            if n_values == 0 {
                chunk.hold_nulls(n_rows);
                continue;
            }
            chunk.write_nulls(encoder)?;
            let integers = match column {
                SampleColumn::SeriesId => &rows.series_ids[..],
                SampleColumn::Timestamp => &rows.timestamps_ms,
                SampleColumn::ValueInt => &rows.integers,
                SampleColumn::StartTimestamp => &rows.starts_ms,
                SampleColumn::ValueFloat => &[],
            };
            let page = if column == SampleColumn::ValueFloat {
                encoder.push_floats(&rows.floats, levels, &mut chunk.bytes)?
            } else {
                encoder.push_integers(integers, levels, &mut chunk.bytes)?
            };
            chunk.note_page(page, integers)?;
        }
        self.n_group_rows += n_rows;
        self.rows.clear();
        Ok(())
    }

    fn end_row_group(&mut self) -> Result<(), ParquetError> {
        if self.n_group_rows == 0 {
            return Ok(());
        }
        self.n_group_rows = 0;
        for chunk in &mut self.file.chunks {
            chunk.end_nulls(&mut self.encoder)?;
        }
        self.file.end_row_group()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pages so many streams become, which have lanes of so many rows.
    fn n_pages(n_streams: u32, n_lanes: u32, n_rows: i64) -> usize {
        let lane = LaneRows {
            timestamps_ms: (0..n_rows).collect(),
            values: (0..n_rows).map(|row| row as f64).collect(),
            ..LaneRows::default()
        };
        let mut writer = SamplesWriter::new(Vec::new()).unwrap();
        for series_id in 0..n_streams * n_lanes {
            writer.push_lane(series_id, &lane).unwrap();
            if (series_id + 1) % n_lanes == 0 {
                writer.end_stream().unwrap();
            }
        }
        writer.end_page().unwrap();
        writer.file.chunks[0].page_ranges().len()
    }

    #[test]
    fn streams_of_short_lanes_share_pages_by_three() {
        assert_eq!(n_pages(9, 1, 480), 3);
        assert_eq!(n_pages(9, 20, 60), 3);
        assert_eq!(n_pages(9, 1, 1_440), 9);
        assert_eq!(n_pages(9, 1, 5_760), 9);
        assert_eq!(n_pages(36, 1, 60), 2);
        assert_eq!(n_pages(2, 1, 20_000), 2);
    }
}

//! `samples.parquet`: pages into row groups, row groups into the file.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use model::TimestampMs;
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::super::manifest::FileSummary;
use super::super::page::PageEncoder;
use super::super::schema::{self, PAGE_CHECKSUMS, SampleColumn};
use super::LaneRows;
use super::chunk::ColumnChunk;
use super::rows::PageRows;
use super::sink::CheckedSink;

/// Rows from which on a page ends with the stream: a stream of one series is often this long at most, and is read
/// with its neighbours.
const STREAM_PAGE_ROWS: usize = 4_096;

/// Rows from which on a page ends with the lane.
const LANE_PAGE_ROWS: usize = 16_384;

/// Rows at which a page ends in the middle of a lane.
const PAGE_ROWS: usize = 65_536;

/// Rows from which on a row group ends with the stream, or with the lane when there are twice as many.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// Writes `samples.parquet`.
pub(super) struct SamplesWriter<W: Write + Send> {
    file: SerializedFileWriter<CheckedSink<W>>,
    encoder: PageEncoder,
    rows: PageRows,
    chunks: Vec<ColumnChunk>,
    /// Rows of the row group in finished pages.
    n_group_rows: usize,
    n_rows: u64,
    times: Option<(TimestampMs, TimestampMs)>,
    /// Of all pages of closed row groups: by row group, column, page; eight hexadecimal digits each.
    checksums: String,
}

impl<W: Write + Send> SamplesWriter<W> {
    pub(super) fn new(sink: W) -> Result<Self, ParquetError> {
        let sorting = [SampleColumn::SeriesId, SampleColumn::Timestamp].map(|column| SortingColumn {
            column_idx: column as i32,
            descending: false,
            nulls_first: false,
        });
        let properties = WriterProperties::builder()
            .set_created_by(schema::CREATED_BY.to_owned())
            .set_sorting_columns(Some(sorting.to_vec()))
            .build();
        let file =
            SerializedFileWriter::new(CheckedSink::new(sink), schema::samples()?, Arc::new(properties))?;
        let chunks = new_chunks(&file);
        Ok(Self {
            file,
            encoder: PageEncoder::new()?,
            rows: PageRows::default(),
            chunks,
            n_group_rows: 0,
            n_rows: 0,
            times: None,
            checksums: String::new(),
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
        if self.rows.n_rows() >= STREAM_PAGE_ROWS {
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
        self.file.append_key_value_metadata(KeyValue {
            key: PAGE_CHECKSUMS.to_owned(),
            value: Some(self.checksums),
        });
        self.file.flush()?;
        self.file.inner_mut().begin_footer();
        Ok(self.file.into_inner()?.into_parts())
    }

    fn end_page(&mut self) -> Result<(), ParquetError> {
        let n_rows = self.rows.n_rows();
        if n_rows == 0 {
            return Ok(());
        }
        let rows = &self.rows;
        for (column, chunk) in SampleColumn::ALL.into_iter().zip(&mut self.chunks) {
            let (integers, runs) = match column {
                SampleColumn::SeriesId => (&rows.series_ids, None),
                SampleColumn::Timestamp => (&rows.timestamps_ms, None),
                SampleColumn::ValueInt => (&rows.integers, Some(&rows.integer_runs)),
                SampleColumn::StartTimestamp => (&rows.starts_ms, Some(&rows.start_runs)),
                SampleColumn::ValueFloat => {
                    let runs = Some(&rows.float_runs);
                    let page = self.encoder.push_floats(&rows.floats, runs, &mut chunk.bytes)?;
                    chunk.note_page(page, n_rows, &[], rows.floats.len())?;
                    continue;
                }
            };
            let page = self.encoder.push_integers(integers, runs, &mut chunk.bytes)?;
            chunk.note_page(page, n_rows, integers, integers.len())?;
        }
        self.n_group_rows += n_rows;
        self.rows.clear();
        Ok(())
    }

    fn end_row_group(&mut self) -> Result<(), ParquetError> {
        if self.n_group_rows == 0 {
            return Ok(());
        }
        let chunks = std::mem::replace(&mut self.chunks, new_chunks(&self.file));
        let mut row_group = self.file.next_row_group()?;
        for chunk in chunks {
            self.checksums
                .extend(chunk.checksums.iter().map(|checksum| format!("{checksum:08x}")));
            let (bytes, close) = chunk.close()?;
            row_group.append_column(&Bytes::from(bytes), close)?;
        }
        row_group.close()?;
        self.n_group_rows = 0;
        Ok(())
    }
}

fn new_chunks<W: Write + Send>(file: &SerializedFileWriter<W>) -> Vec<ColumnChunk> {
    let columns = file.schema_descr().columns().iter();
    columns
        .map(|column| ColumnChunk::new(Arc::clone(column)))
        .collect()
}

//! Reading samples as rows: the running state of one partition.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray, UInt32Array,
};
use arrow_buffer::NullBuffer;
use datafusion::arrow::compute::take;
use datafusion_common::Result as DataFusionResult;
use datafusion_execution::TaskContext;
use datafusion_execution::memory_pool::MemoryReservation;
use model::is_stale_nan;
use parking_lot::Mutex;
use storage::{LaneBuffer, StreamBuffer};

use super::columns::{LoadedColumns, TIME_ZONE, TableColumn, broken};
use super::scan::{Scan, load};
use crate::QueryError;
use crate::exec::collect::reserve;

/// Columns and the memory they take.
pub(super) type Reserved = (Arc<LoadedColumns>, MemoryReservation);

/// The series columns of a scan: loaded by whichever partition comes first, given back with the last.
pub(super) type SharedColumns = Arc<Mutex<Option<Arc<Reserved>>>>;

/// Rows of a batch, unless it is the last of its partition.
const BATCH_ROWS: usize = 8192;

/// Series are tested so many at a time, or as many as one stream has.
const CHUNK_SERIES: usize = 1024;

/// Reads the streams of one partition.
pub(super) struct ScanStream {
    scan: Arc<Scan>,
    shared: SharedColumns,
    columns: Option<Arc<Reserved>>,
    task_columns: Arc<TaskContext>,
    /// Streams that are still to be read.
    streams: Range<usize>,
    kept: Kept,
    /// The stream under way.
    current: Option<Current>,
    buffer: StreamBuffer,
    reservation: MemoryReservation,
    rows: Rows,
    n_rows_given: usize,
}

/// Which series passed the filter, for streams up to one.
#[derive(Default)]
struct Kept {
    first_series: u32,
    passed: Vec<bool>,
    /// The first stream that has not been tested.
    end_stream: usize,
}

/// How far a stream has been turned into rows.
struct Current {
    first_series: u32,
    lane: usize,
    row: usize,
}

/// Rows of a batch under way: which series they belong to, when, what.
#[derive(Default)]
struct Rows {
    /// The series of the batch, in order.
    series: Vec<u32>,
    /// Of each row, a position in [`Self::series`].
    series_of_row: Vec<u32>,
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    /// Rows without a value, ascending.
    without_value: Vec<usize>,
}

impl ScanStream {
    pub(super) fn new(
        scan: Arc<Scan>,
        streams: Range<usize>,
        shared: SharedColumns,
        task: &Arc<TaskContext>,
    ) -> Self {
        Self {
            kept: Kept {
                end_stream: streams.start,
                ..Kept::default()
            },
            scan,
            shared,
            columns: None,
            task_columns: Arc::clone(task),
            streams,
            current: None,
            buffer: StreamBuffer::default(),
            reservation: reserve(task, "samples of a stream"),
            rows: Rows::default(),
            n_rows_given: 0,
        }
    }

    /// The next batch; none after the last row.
    pub(super) async fn next(&mut self) -> DataFusionResult<Option<RecordBatch>> {
        let limit = self.scan.limit.unwrap_or(usize::MAX);
        if self.n_rows_given >= limit {
            return Ok(None);
        }
        let columns = self.columns()?;
        let wanted = BATCH_ROWS.min(limit - self.n_rows_given);
        while self.rows.timestamps_ms.len() < wanted {
            if let Some(current) = &mut self.current {
                if !current.advance(&self.buffer, &self.kept, &mut self.rows, wanted) {
                    self.current = None;
                }
            } else if !self.open_stream(&columns.0).await? {
                break;
            }
        }
        if self.rows.timestamps_ms.is_empty() {
            return Ok(None);
        }
        self.n_rows_given += self.rows.timestamps_ms.len();
        let rows = std::mem::take(&mut self.rows);
        Ok(Some(rows.into_batch(&self.scan, &columns.0)?))
    }

    fn columns(&mut self) -> DataFusionResult<Arc<Reserved>> {
        if let Some(columns) = &self.columns {
            return Ok(Arc::clone(columns));
        }
        let mut shared = self.shared.lock();
        let columns = match &*shared {
            Some(columns) => Arc::clone(columns),
            None => Arc::new(load(&self.scan, &self.task_columns)?),
        };
        *shared = Some(Arc::clone(&columns));
        self.columns = Some(Arc::clone(&columns));
        Ok(columns)
    }

    /// Reads the next stream of which some series passed; false when there is none.
    async fn open_stream(&mut self, columns: &LoadedColumns) -> DataFusionResult<bool> {
        let selection = Arc::clone(&self.scan.selection);
        while let Some(stream_idx) = self.streams.next() {
            if stream_idx >= self.kept.end_stream {
                self.scan.usage.check()?;
                tokio::task::coop::consume_budget().await;
                self.kept = Kept::test(&self.scan, columns, stream_idx..self.streams.end)?;
            }
            let stream = selection.streams()[stream_idx];
            let series = stream.first_series..stream.first_series + stream.n_lanes;
            if !series.clone().any(|series_idx| self.kept.has(series_idx)) {
                continue;
            }
            selection
                .read(stream_idx, self.scan.range, &mut self.buffer)
                .map_err(QueryError::from)?;
            let n_rows = self.buffer.timestamps_ms.len();
            self.reservation
                .try_resize(n_rows * size_of::<f64>() * (1 + series.len()))?;
            let n_absent: usize = self
                .buffer
                .lanes()
                .iter()
                .map(|lane| lane.absent_rows.len())
                .sum();
            self.scan.usage.check()?;
            self.scan
                .usage
                .add_stream((n_rows * series.len() - n_absent) as u64)?;
            self.current = Some(Current {
                first_series: stream.first_series,
                lane: 0,
                row: 0,
            });
            return Ok(true);
        }
        Ok(false)
    }
}

impl Kept {
    /// Tests the series of the first of these streams, and of as many more as make a chunk.
    fn test(scan: &Scan, columns: &LoadedColumns, streams: Range<usize>) -> DataFusionResult<Self> {
        let (first_stream, all) = (streams.start, scan.selection.streams());
        let first_series = all[first_stream].first_series;
        let mut end_series = first_series;
        let mut end_stream = first_stream;
        while end_stream < streams.end && (end_series - first_series) < CHUNK_SERIES as u32 {
            end_series += all[end_stream].n_lanes;
            end_stream += 1;
        }
        let series: Vec<u32> = (first_series..end_series).collect();
        Ok(Self {
            first_series,
            passed: scan.filter.test(columns, scan.n_given(), &series)?,
            end_stream,
        })
    }

    fn has(&self, series_idx: u32) -> bool {
        self.passed[(series_idx - self.first_series) as usize]
    }
}

impl Current {
    /// Adds rows until there are `wanted`; false when the stream has no more.
    fn advance(&mut self, buffer: &StreamBuffer, kept: &Kept, rows: &mut Rows, wanted: usize) -> bool {
        let timestamps_ms = &buffer.timestamps_ms;
        while let Some(lane) = buffer.lanes().get(self.lane) {
            let series_idx = self.first_series + self.lane as u32;
            if kept.has(series_idx) {
                let end = timestamps_ms
                    .len()
                    .min(self.row + (wanted - rows.timestamps_ms.len()));
                rows.push(series_idx, timestamps_ms, lane, self.row..end);
                self.row = end;
                if end < timestamps_ms.len() {
                    return true;
                }
            }
            self.lane += 1;
            self.row = 0;
            if rows.timestamps_ms.len() >= wanted {
                break;
            }
        }
        self.lane < buffer.lanes().len()
    }
}

impl Rows {
    /// Adds the samples of one lane that lie in some rows of its stream.
    fn push(&mut self, series_idx: u32, timestamps_ms: &[i64], lane: &LaneBuffer, taken: Range<usize>) {
        let n_before = self.timestamps_ms.len();
        let is_plain = lane.absent_rows.is_empty() && !lane.may_be_nan && lane.histograms.is_empty();
        if is_plain {
            self.timestamps_ms
                .extend_from_slice(&timestamps_ms[taken.clone()]);
            self.values.extend_from_slice(&lane.values[taken]);
        } else {
            self.push_some(timestamps_ms, lane, taken);
        }
        let n_added = self.timestamps_ms.len() - n_before;
        if n_added == 0 {
            return;
        }
        if self.series.last() != Some(&series_idx) {
            self.series.push(series_idx);
        }
        let position = (self.series.len() - 1) as u32;
        self.series_of_row.resize(n_before + n_added, position);
    }

    fn push_some(&mut self, timestamps_ms: &[i64], lane: &LaneBuffer, taken: Range<usize>) {
        let from = taken.start as u32;
        let mut absent = lane.absent_rows[lane.absent_rows.partition_point(|&row| row < from)..]
            .iter()
            .peekable();
        let first_histogram = lane.histograms.partition_point(|&(row, _)| row < from);
        let mut histograms = lane.histograms[first_histogram..].iter().peekable();
        for row in taken {
            let row_idx = row as u32;
            if absent.next_if_eq(&&row_idx).is_some() {
                continue;
            }
            let is_histogram = histograms.next_if(|(at, _)| *at == row_idx).is_some();
            let value = lane.values[row];
            if is_histogram {
                self.without_value.push(self.timestamps_ms.len());
            } else if is_stale_nan(value) {
                continue;
            }
            self.timestamps_ms.push(timestamps_ms[row]);
            self.values.push(if is_histogram { 0.0 } else { value });
        }
    }

    fn into_batch(self, scan: &Scan, columns: &LoadedColumns) -> Result<RecordBatch, QueryError> {
        let n_rows = self.timestamps_ms.len();
        let series_of_row = UInt32Array::from(self.series_of_row);
        let timestamps = TimestampMillisecondArray::from(self.timestamps_ms).with_timezone(TIME_ZONE);
        let nulls = (!self.without_value.is_empty()).then(|| {
            let mut is_valid = vec![true; n_rows];
            for row in self.without_value {
                is_valid[row] = false;
            }
            NullBuffer::from(is_valid)
        });
        let timestamps: ArrayRef = Arc::new(timestamps);
        let values: ArrayRef = Arc::new(Float64Array::new(self.values.into(), nulls));
        let mut next_column = 0;
        let mut arrays = Vec::with_capacity(scan.columns.len());
        for column in &scan.columns {
            arrays.push(match column {
                TableColumn::Timestamp => Arc::clone(&timestamps),
                TableColumn::Value => Arc::clone(&values),
                TableColumn::Series(_) => {
                    let of_series = columns.array(next_column, &self.series)?;
                    next_column += 1;
                    take(&of_series, &series_of_row, None).map_err(broken)?
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        RecordBatch::try_new_with_options(Arc::clone(&scan.schema), arrays, &options).map_err(broken)
    }
}

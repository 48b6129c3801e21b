//! The samples of a range selector as they are: `metric[5m]` as a whole query.
//!
//! The only operator whose batches are not of the shape of [`crate::rows`]: a row is a sample, with the columns
//! `series` (UInt32), `timestamp` (Int64, milliseconds) and `value` (Float64), sorted by series and time. The value of a
//! row with a histogram means nothing; the histogram stands at step 0.

use std::fmt;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt32Type};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt;
use model::{FloatHistogram, TimeRange, TimestampMs, is_stale_nan};
use promql::kernel::extended::extended_samples;
use promql::kernel::native::{Extension, FloatOrHistogram, sample_weight};
use promql::kernel::rate::DenseLane;
use storage::{Selection, StreamBuffer};

use super::operator::{BatchStream, Operator, OperatorExec, Plan, Run};
use super::tally::Tally;
use crate::QueryError;
use crate::batch::{Batch, HistogramAt, HistogramColumn};
use crate::context::Limits;

/// Gives the samples of a selection in a range of time, staleness markers left out.
#[derive(Debug)]
pub(crate) struct Samples {
    selection: Arc<dyn Selection>,
    range: TimeRange,
    extended: Option<Extended>,
    limits: Limits,
    tally: Tally,
}

/// How a range is extended, and the range itself; the samples that are read are more.
type Extended = (Extension, TimeRange);

/// Samples of several series, parallel columns.
#[derive(Debug, Default)]
pub(crate) struct SampleColumns {
    series: Vec<u32>,
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    histograms: HistogramColumn,
    /// For how many floats the samples count.
    weight: usize,
}

/// How many samples a batch has at least, unless it is the last.
const BATCH_SAMPLES: usize = 1 << 14;

impl Samples {
    /// A node that reads `selection` in `range`, for what an extended range is.
    pub(crate) fn plan(
        selection: Arc<dyn Selection>,
        range: TimeRange,
        extended: Option<Extended>,
        (limits, tally): (Limits, Tally),
    ) -> Plan {
        let schema = Arc::new(Schema::new(vec![
            Field::new("series", DataType::UInt32, false),
            Field::new("timestamp", DataType::Int64, false),
            Field::new("value", DataType::Float64, false),
        ]));
        let node = Self {
            selection,
            range,
            extended,
            limits,
            tally,
        };
        OperatorExec::single(node, Vec::new(), &schema)
    }
}

impl Operator for Samples {
    const NAME: &'static str = "SamplesExec";

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} series in {:?}", self.selection.n_series(), self.range)
    }

    fn run(&self, run: Run<'_>) -> Result<BatchStream, QueryError> {
        let state = SampleStream {
            selection: Arc::clone(&self.selection),
            range: self.range,
            extended: self.extended,
            limits: self.limits.clone(),
            tally: self.tally.clone(),
            next_stream: 0,
            buffer: StreamBuffer::default(),
            schema: Arc::clone(&run.schema),
        };
        let batches = futures::stream::try_unfold(state, |mut state| async move {
            let batch = state.next()?;
            tokio::task::coop::consume_budget().await;
            Ok(batch.map(|batch| (batch, state)))
        });
        Ok(batches.boxed())
    }
}

struct SampleStream {
    selection: Arc<dyn Selection>,
    range: TimeRange,
    extended: Option<Extended>,
    limits: Limits,
    tally: Tally,
    next_stream: usize,
    buffer: StreamBuffer,
    schema: SchemaRef,
}

impl SampleStream {
    fn next(&mut self) -> Result<Option<Batch>, QueryError> {
        let mut samples = SampleColumns::default();
        while samples.values.len() < BATCH_SAMPLES {
            let Some(stream) = self.selection.streams().get(self.next_stream) else {
                break;
            };
            self.limits.check()?;
            self.selection
                .read(self.next_stream, self.range, &mut self.buffer)?;
            self.next_stream += 1;
            let weight_before = samples.weight;
            match self.extended {
                None => samples.push_stream(stream.first_series, &self.buffer),
                Some(extended) => samples.push_extended(stream.first_series, &self.buffer, extended)?,
            }
            let n_read = (samples.weight - weight_before) as u64;
            self.tally.add(n_read, n_read);
            self.limits.add_samples(n_read, n_read, n_read)?;
        }
        if samples.values.is_empty() {
            return Ok(None);
        }
        let histograms = samples.histograms.finish(samples.values.len());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(samples.series)),
            Arc::new(Int64Array::from(samples.timestamps_ms)),
            Arc::new(Float64Array::from(samples.values)),
        ];
        let record = RecordBatch::try_new(Arc::clone(&self.schema), columns);
        let record = record.map_err(|error| QueryError::internal(error.to_string()))?;
        Ok(Some(Batch { record, histograms }))
    }
}

impl SampleColumns {
    fn push_stream(&mut self, first_series: u32, buffer: &StreamBuffer) {
        for (series_idx, lane) in (first_series..).zip(buffer.lanes()) {
            let mut absent = lane.absent_rows.iter().map(|&row| row as usize).peekable();
            let mut histograms = lane.histograms.iter().peekable();
            for (row, (&timestamp_ms, &value)) in buffer.timestamps_ms.iter().zip(&lane.values).enumerate() {
                if let Some((_, histogram)) = histograms.next_if(|(other, _)| *other as usize == row) {
                    self.push_histogram(series_idx, timestamp_ms, histogram);
                } else if absent.next_if_eq(&row).is_none() && !is_stale_nan(value) {
                    self.series.push(series_idx);
                    self.timestamps_ms.push(timestamp_ms);
                    self.values.push(value);
                    self.weight += 1;
                }
            }
        }
    }

    /// The samples within extended ranges and the values at their ends.
    fn push_extended(
        &mut self,
        first_series: u32,
        buffer: &StreamBuffer,
        (extension, range): Extended,
    ) -> Result<(), QueryError> {
        let mut lane_samples = DenseLane::default();
        for (series_idx, lane) in (first_series..).zip(buffer.lanes()) {
            if !lane.histograms.is_empty() {
                let word = match extension {
                    Extension::Anchored => "anchored",
                    Extension::Smoothed => "smoothed",
                };
                return Err(QueryError::execution(format!(
                    "{word} modifier is not supported with histograms"
                )));
            }
            let mut absent = lane.absent_rows.iter().map(|&row| row as usize).peekable();
            let keep = |row, value| absent.next_if_eq(&row).is_none() && !is_stale_nan(value);
            lane_samples.fill(&buffer.timestamps_ms, &lane.values, keep);
            let is_smoothed = extension == Extension::Smoothed;
            let (timestamps_ms, values) = (&lane_samples.timestamps_ms, &lane_samples.values);
            for (timestamp_ms, value) in extended_samples(is_smoothed, timestamps_ms, values, range) {
                self.series.push(series_idx);
                self.timestamps_ms.push(timestamp_ms);
                self.values.push(value);
                self.weight += 1;
            }
        }
        Ok(())
    }

    fn push_histogram(
        &mut self,
        series_idx: u32,
        timestamp_ms: TimestampMs,
        histogram: &Arc<FloatHistogram>,
    ) {
        let cell = HistogramAt {
            step: 0,
            value: Arc::clone(histogram),
        };
        self.histograms.push_row(self.values.len(), &[cell]);
        self.series.push(series_idx);
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(0.0);
        self.weight += sample_weight(histogram);
    }
}

/// Calls `each(series, timestamp_ms, value)` for every sample of a batch.
pub(crate) fn for_each_sample(
    batch: &Batch,
    mut each: impl FnMut(u32, TimestampMs, FloatOrHistogram),
) -> Result<(), QueryError> {
    let [series, timestamps_ms, values] = batch.record.columns() else {
        return Err(QueryError::internal("a batch of samples has three columns"));
    };
    let series = series.as_primitive_opt::<UInt32Type>();
    let timestamps_ms = timestamps_ms.as_primitive_opt::<Int64Type>();
    let values = values.as_primitive_opt::<Float64Type>();
    let (Some(series), Some(timestamps_ms), Some(values)) = (series, timestamps_ms, values) else {
        return Err(QueryError::internal("a batch of samples has other columns"));
    };
    let samples = series
        .values()
        .iter()
        .zip(timestamps_ms.values())
        .zip(values.values());
    for (row, ((&series_idx, &timestamp_ms), &value)) in samples.enumerate() {
        let histograms = batch.histograms.as_ref().map(|histograms| histograms.row(row));
        let value = match histograms {
            Some([cell]) => FloatOrHistogram::Histogram(Arc::clone(&cell.value)),
            _ => FloatOrHistogram::Float(value),
        };
        each(series_idx, timestamp_ms, value);
    }
    Ok(())
}

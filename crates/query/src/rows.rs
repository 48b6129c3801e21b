//! The shape of the batches between operators: one row is one series.
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `series` | UInt32 | position in the known series of the operator that made the batch |
//! | `values` | FixedSizeList of `steps` Float64 | one value per step, null where the series has none |
//!
//! Native histograms lie beside these columns, in [`Batch::histograms`]; where a row has one, the float is absent.
//!
//! Invariants: a series stands in at most one row of all batches of a node; a row has at least one value, float or
//! histogram; under a null the value buffer holds the bits of [`ABSENT`]. So our operators read the value buffer alone, and
//! anything that understands Arrow reads the same batch by its nulls. No value can have those bits by itself: they are
//! the staleness marker's, which no instant vector contains, and arithmetic never makes a signalling NaN.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt32Type};
use arrow_array::{ArrayRef, FixedSizeListArray, Float64Array, RecordBatch, UInt32Array};
use arrow_buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::QueryError;
use crate::batch::{Batch, HistogramColumn, Row};

/// "No value at this step": the staleness marker.
pub(crate) const ABSENT: f64 = f64::from_bits(model::STALE_NAN_BITS);

/// How many values a batch should have at most, unless one row has more.
const BATCH_VALUES: usize = 1 << 16;

/// How many histograms a batch should have at most, unless one row has more: some megabytes.
const BATCH_HISTOGRAMS: usize = 1 << 12;

/// True for [`ABSENT`] and nothing else.
#[inline]
pub(crate) fn is_absent(value: f64) -> bool {
    value.to_bits() == model::STALE_NAN_BITS
}

/// The schema of batches with `n_steps` values per row.
pub(crate) fn schema(n_steps: usize) -> SchemaRef {
    let values = DataType::FixedSizeList(item_field(), list_size(n_steps));
    Arc::new(Schema::new(vec![
        Field::new("series", DataType::UInt32, false),
        Field::new("values", values, false),
    ]))
}

/// How many rows of `n_steps` values make a batch of good size.
pub(crate) fn rows_per_batch(n_steps: usize) -> usize {
    (BATCH_VALUES / n_steps.max(1)).max(1)
}

fn item_field() -> FieldRef {
    Arc::new(Field::new("item", DataType::Float64, true))
}

fn list_size(n_steps: usize) -> i32 {
    i32::try_from(n_steps).expect("the number of steps was checked when the query was taken")
}

/// The values of a batch, shared with it.
pub(crate) fn values_of(batch: &Batch) -> Option<ScalarBuffer<f64>> {
    let lists = batch.record.columns().get(1)?.as_fixed_size_list_opt()?;
    let values = lists.values().as_primitive_opt::<Float64Type>()?;
    Some(values.values().clone())
}

/// A batch, read.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    /// Which series each row is.
    pub(crate) series: &'a [u32],
    /// All rows, one after the other.
    pub(crate) values: &'a [f64],
    histograms: Option<&'a HistogramColumn>,
    n_steps: usize,
}

impl<'a> Rows<'a> {
    /// Reads a batch that one of our operators made.
    pub(crate) fn of(batch: &'a Batch) -> Result<Self, QueryError> {
        let wrong = || QueryError::internal("a batch without series and values");
        let (record, histograms) = (&batch.record, batch.histograms.as_deref());
        let series = record.columns().first().ok_or_else(wrong)?;
        let lists = record.columns().get(1).ok_or_else(wrong)?;
        let series = series.as_primitive_opt::<UInt32Type>().ok_or_else(wrong)?;
        let lists = lists.as_fixed_size_list_opt().ok_or_else(wrong)?;
        let values = lists
            .values()
            .as_primitive_opt::<Float64Type>()
            .ok_or_else(wrong)?;
        Ok(Self {
            series: series.values(),
            values: values.values(),
            histograms,
            n_steps: usize::try_from(lists.value_length()).map_err(|_| wrong())?,
        })
    }

    /// How many values a row has.
    pub(crate) fn n_steps(&self) -> usize {
        self.n_steps
    }

    /// Each row: its series and its values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Row<'a>)> + use<'a> {
        let histograms = self.histograms;
        let rows = self
            .values
            .chunks_exact(self.n_steps.max(1))
            .enumerate()
            .map(move |(row, values)| Row {
                values,
                histograms: histograms.map_or(&[][..], |histograms| histograms.row(row)),
            });
        self.series.iter().copied().zip(rows)
    }
}

/// Collects rows into a batch.
#[derive(Debug)]
pub(crate) struct RowsBuilder {
    n_steps: usize,
    series: Vec<u32>,
    values: Vec<f64>,
    histograms: HistogramColumn,
}

impl RowsBuilder {
    /// A builder for rows of `n_steps` values, with room for one batch or `n_rows`, whichever is less.
    pub(crate) fn new(n_steps: usize, n_rows: usize) -> Self {
        let n_rows = n_rows.min(rows_per_batch(n_steps));
        Self {
            n_steps,
            series: Vec::with_capacity(n_rows),
            values: Vec::with_capacity(n_rows * n_steps),
            histograms: HistogramColumn::default(),
        }
    }

    /// True when nothing has been added since the last batch.
    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// True when the batch has its size.
    pub(crate) fn is_full(&self) -> bool {
        self.series.len() >= rows_per_batch(self.n_steps) || self.histograms.n_cells() >= BATCH_HISTOGRAMS
    }

    /// Adds a row; one without any value is left out.
    ///
    /// # Panics
    /// If the row has not `n_steps` values.
    pub(crate) fn push(&mut self, series_idx: u32, row: Row<'_>) {
        assert_eq!(row.values.len(), self.n_steps, "a row has one value per step");
        if row.is_empty() {
            return;
        }
        if !row.histograms.is_empty() {
            self.histograms.push_row(self.series.len(), row.histograms);
        }
        self.series.push(series_idx);
        self.values.extend_from_slice(row.values);
    }

    /// The rows so far as a batch; the builder is empty afterwards.
    pub(crate) fn finish(&mut self, schema: &SchemaRef) -> Result<Batch, QueryError> {
        let series = std::mem::take(&mut self.series);
        let values = std::mem::take(&mut self.values);
        let histograms = std::mem::take(&mut self.histograms).finish(series.len());
        let mut batch = batch(schema, series, values)?;
        batch.histograms = histograms;
        Ok(batch)
    }
}

/// A batch of these rows of floats. `values` has `n_steps` values per series, as the schema says.
pub(crate) fn batch(schema: &SchemaRef, series: Vec<u32>, values: Vec<f64>) -> Result<Batch, QueryError> {
    let DataType::FixedSizeList(item, n_steps) = schema.field(1).data_type() else {
        return Err(QueryError::internal("the schema of rows has lists"));
    };
    let nulls = nulls_of(&values);
    let values = Float64Array::new(values.into(), nulls);
    let failed = |error: arrow_schema::ArrowError| QueryError::internal(error.to_string());
    let lists =
        FixedSizeListArray::try_new(Arc::clone(item), *n_steps, Arc::new(values), None).map_err(failed)?;
    let columns: Vec<ArrayRef> = vec![Arc::new(UInt32Array::from(series)), Arc::new(lists)];
    let record = RecordBatch::try_new(Arc::clone(schema), columns).map_err(failed)?;
    Ok(record.into())
}

fn nulls_of(values: &[f64]) -> Option<NullBuffer> {
    if !values.iter().any(|&value| is_absent(value)) {
        return None;
    }
    let present = BooleanBuffer::collect_bool(values.len(), |idx| !is_absent(values[idx]));
    Some(NullBuffer::new(present))
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use model::FloatHistogram;

    use super::*;
    use crate::batch::HistogramAt;

    #[test]
    fn absent_values_are_nulls_and_empty_rows_are_left_out() {
        let mut builder = RowsBuilder::new(2, 3);
        builder.push(7, Row::of_floats(&[1.0, ABSENT]));
        builder.push(8, Row::of_floats(&[ABSENT, ABSENT]));
        builder.push(9, Row::of_floats(&[f64::NAN, 2.0]));
        let batch = builder.finish(&schema(2)).unwrap();
        assert_eq!(batch.n_rows(), 2);
        assert!(batch.histograms.is_none());
        let lists = batch.record.column(1).as_fixed_size_list();
        assert_eq!(lists.values().null_count(), 1);
        assert!(lists.values().is_null(1));

        let rows = Rows::of(&batch).unwrap();
        let read: Vec<_> = rows
            .iter()
            .map(|(series, row)| (series, row.values[0].is_nan(), row.values[1]))
            .collect();
        assert_eq!(read[0].0, 7);
        assert!(is_absent(rows.values[1]));
        assert_eq!((read[1].0, read[1].1, read[1].2), (9, true, 2.0));
    }

    #[test]
    fn histograms_stay_in_their_rows() {
        let at = |step: u32, count: f64| HistogramAt {
            step,
            value: Arc::new(FloatHistogram {
                count,
                ..FloatHistogram::default()
            }),
        };
        let mut builder = RowsBuilder::new(2, 5);
        builder.push(0, Row::of_floats(&[1.0, ABSENT]));
        builder.push(1, Row::of_floats(&[ABSENT, ABSENT]));
        for (series_idx, histograms) in [(2, vec![at(0, 1.0), at(1, 2.0)]), (4, vec![at(1, 3.0)])] {
            let row = Row {
                values: &[ABSENT, ABSENT],
                histograms: &histograms,
            };
            builder.push(series_idx, row);
        }
        builder.push(5, Row::of_floats(&[ABSENT, 5.0]));
        let batch = builder.finish(&schema(2)).unwrap();
        let counts = |row: Row<'_>| [0, 1].map(|step| row.histogram(step).map(|histogram| histogram.count));
        let read: Vec<_> = Rows::of(&batch)
            .unwrap()
            .iter()
            .map(|(series_idx, row)| (series_idx, counts(row)))
            .collect();
        assert_eq!(
            read,
            [
                (0, [None, None]),
                (2, [Some(1.0), Some(2.0)]),
                (4, [None, Some(3.0)]),
                (5, [None, None]),
            ]
        );
        assert!(batch.histogram_bytes() > 3 * size_of::<FloatHistogram>());
        assert!(builder.finish(&schema(2)).unwrap().histograms.is_none());
    }
}

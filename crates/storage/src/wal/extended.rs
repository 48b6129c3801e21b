//! Extended sample records: samples of which some are native histograms, or have a start timestamp.
//!
//! As in [`samples`](super::samples) there is a row per sample in the order of arrival, floats among the histograms.
//!
//! | column | type | |
//! |---|---|---|
//! | `stream`, `lane`, `timestamp` | | as in sample records |
//! | `value` | UInt64 | the bits of the float, or of the sum of a histogram |
//! | `start` | Int64 | ms minus that of the row before (wrapping; 0 before the first row); 0 is: not known |
//! | `histogram` | Binary | empty for a float; see [`histogram`](super::histogram) |

use std::iter::repeat_n;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow_array::{BinaryArray, Int64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use model::{SampleBatch, TimestampMs};

use super::columns::column;
use super::histogram::{HistogramReader, HistogramWriter};
use super::ipc::ROWS_MAX;
use super::message::MessageWriter;
use super::samples::{SampleColumns, empty, push_elements, read_samples, sample_fields};

/// Bytes of the histograms of one record, roughly.
const HISTOGRAM_BYTES_MAX: usize = 4 << 20;

/// What a histogram mostly takes besides its counts.
const BYTES_BESIDE_COUNTS: usize = 4;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = sample_fields();
    fields.push(Field::new("start", DataType::Int64, false));
    fields.push(Field::new("histogram", DataType::Binary, false));
    Arc::new(Schema::new(fields))
});

/// The columns of a record being made. Empties itself into a record, memory kept.
#[derive(Debug, Default)]
pub(crate) struct ExtendedColumns {
    samples: SampleColumns,
    /// The bytes of its elements.
    starts: Vec<u8>,
    last_start: i64,
    /// Where the bytes of each row end.
    histogram_ends: Vec<i32>,
    histogram_bytes: Vec<u8>,
    writer: HistogramWriter,
    /// The bytes of the elements of the column that says where histograms are.
    offsets: Vec<u8>,
}

impl ExtendedColumns {
    /// True when nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.histogram_ends.is_empty()
    }

    /// True when no row should be added.
    pub(crate) fn is_full(&self) -> bool {
        self.histogram_ends.len() >= ROWS_MAX || self.histogram_bytes.len() >= HISTOGRAM_BYTES_MAX
    }

    /// Adds samples of a batch until there are no more or the record is full; returns how many.
    ///
    /// # Panics
    /// If the range goes beyond the batch.
    pub(crate) fn extend(&mut self, batch: &SampleBatch, range: Range<usize>) -> usize {
        if batch.histograms.is_empty() {
            return self.extend_floats(batch, range);
        }
        let mut position = batch.histograms.lower_bound(range.start);
        let mut end = range.start;
        let n_bytes = batch.histograms.n_bytes() + BYTES_BESIDE_COUNTS * batch.histograms.len();
        self.histogram_bytes.reserve(n_bytes.min(HISTOGRAM_BYTES_MAX));
        self.histogram_ends.reserve(range.len());
        self.writer.begin(&batch.histograms);
        while end < range.end && !self.is_full() {
            if batch.histograms.row(position) == Some(end) {
                self.writer
                    .push(&batch.histograms, position, &mut self.histogram_bytes);
                position += 1;
            }
            self.histogram_ends.push(self.histogram_end());
            end += 1;
        }
        self.extend_starts(batch, range.start..end);
        self.samples.extend(batch, range.start..end);
        end - range.start
    }

    /// As [`Self::extend`] for a batch without histograms.
    fn extend_floats(&mut self, batch: &SampleBatch, range: Range<usize>) -> usize {
        let n_rows = range
            .len()
            .min(ROWS_MAX.saturating_sub(self.histogram_ends.len()));
        let rows = range.start..range.start + n_rows;
        self.histogram_ends.extend(repeat_n(self.histogram_end(), n_rows));
        self.extend_starts(batch, rows.clone());
        self.samples.extend(batch, rows);
        n_rows
    }

    fn extend_starts(&mut self, batch: &SampleBatch, rows: Range<usize>) {
        let mut push = |starts_ms: &[TimestampMs]| {
            push_elements(&mut self.starts, starts_ms, |start_ms| {
                let delta = start_ms.wrapping_sub(self.last_start);
                self.last_start = *start_ms;
                delta.to_le_bytes()
            });
        };
        let n_rows = rows.len();
        let said = batch.starts_ms.get(rows.start..).unwrap_or_default();
        let said = said.get(..n_rows).unwrap_or(said);
        push(said);
        if said.len() < n_rows {
            push(&vec![0; n_rows - said.len()]);
        }
    }

    /// Where the histograms so far end: far below 2^31, as a record is full at 4 MiB, and no histogram has more than 2 MiB.
    fn histogram_end(&self) -> i32 {
        i32::try_from(self.histogram_bytes.len()).unwrap_or(i32::MAX)
    }

    /// The payload of the rows.
    pub(crate) fn finish(&mut self, writer: &mut MessageWriter) -> Vec<u8> {
        let n_rows = self.samples.len();
        self.samples.write(writer);
        writer.push_column(&self.starts, size_of::<i64>());
        push_elements(&mut self.offsets, &[0_i32], |start| start.to_le_bytes());
        push_elements(&mut self.offsets, &self.histogram_ends, |end| end.to_le_bytes());
        writer.push_bytes_column(&self.offsets, &self.histogram_bytes);
        self.last_start = 0;
        self.writer = HistogramWriter::default();
        self.histogram_ends.clear();
        [&mut self.starts, &mut self.offsets, &mut self.histogram_bytes]
            .into_iter()
            .for_each(empty);
        writer.finish(n_rows)
    }
}

/// Reads an extended sample record.
pub(crate) fn decode_extended(payload: &[u8]) -> Result<SampleBatch, String> {
    let batch = super::ipc::decode(payload, &SCHEMA)?;
    let mut samples = read_samples(&batch)?;
    let starts = column::<Int64Array>(&batch, 4)?.values();
    if starts.iter().any(|delta| *delta != 0) {
        let mut last_start = 0_i64;
        let starts_ms = starts.iter().map(|delta| {
            last_start = last_start.wrapping_add(*delta);
            last_start
        });
        samples.starts_ms = starts_ms.collect();
    }
    let mut reader = HistogramReader::default();
    for (row, bytes) in column::<BinaryArray>(&batch, 5)?.iter().enumerate() {
        if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
            reader.read(bytes, row, &mut samples.histograms)?;
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests;

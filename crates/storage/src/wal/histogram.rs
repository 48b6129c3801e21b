//! The bytes of one native histogram in a record.
//!
//! ```text
//! varint   number of its layout in this record, from 0; if it is the next one that has not been seen:
//!   1        form of the counts: 0 integers, 1 floats
//!   varint   schema, zigzag
//!   8        zero threshold, bits of the float
//!   varint   positive spans, each: varint offset, zigzag; varint length
//!   varint   negative spans, likewise
//!   varint   custom bounds, each: 8, bits of the float
//! 1        counter reset hint: 0 unknown, 1 reset, 2 not reset, 3 gauge
//! counts   all, in the zero bucket, positive buckets, negative buckets; integers: varint each, floats: 8 bytes each
//! ```
//! The layouts of a mesh are few, so that most histograms are their counts and two bytes more.

use std::sync::Arc;

use codec::varint::{push_all_u64, push_i64, push_u64, read_count, read_i64, read_u64};
use hashbrown::HashMap;
use model::histogram::{
    BUCKETS_MAX, Bounds, CountForm, CounterResetHint, HistogramColumns, HistogramLayout, NativeHistogram,
    Schema, Span,
};

use super::bytes::u64_at;

/// Counts in all histograms of one record that is read.
const COUNTS_MAX: usize = 8 << 20;

const HINTS: [CounterResetHint; 4] = [
    CounterResetHint::Unknown,
    CounterResetHint::Reset,
    CounterResetHint::NotReset,
    CounterResetHint::Gauge,
];

/// Writes the histograms of one record.
#[derive(Debug, Default)]
pub(crate) struct HistogramWriter {
    numbers: HashMap<Arc<HistogramLayout>, u64>,
    last: Option<(Arc<HistogramLayout>, u64)>,
}

impl HistogramWriter {
    /// Appends a histogram.
    pub(crate) fn push(&mut self, histogram: NativeHistogram<'_>, bytes: &mut Vec<u8>) {
        self.push_layout(histogram.layout, bytes);
        let hint = (0..)
            .zip(HINTS)
            .find_map(|(number, hint)| (hint == histogram.hint).then_some(number));
        bytes.push(hint.unwrap_or(0));
        match histogram.layout.form() {
            CountForm::Integer => push_all_u64(bytes, histogram.counts),
            CountForm::Float => histogram
                .counts
                .iter()
                .for_each(|bits| bytes.extend_from_slice(&bits.to_le_bytes())),
        }
    }

    fn push_layout(&mut self, layout: &Arc<HistogramLayout>, bytes: &mut Vec<u8>) {
        if let Some((last, number)) = &self.last
            && Arc::ptr_eq(last, layout)
        {
            return push_u64(bytes, *number);
        }
        let next = self.numbers.len() as u64;
        let number = *self.numbers.entry(Arc::clone(layout)).or_insert(next);
        push_u64(bytes, number);
        if number == next {
            write_layout(layout, bytes);
        }
        self.last = Some((Arc::clone(layout), number));
    }
}

fn write_layout(layout: &HistogramLayout, bytes: &mut Vec<u8>) {
    bytes.push(match layout.form() {
        CountForm::Integer => 0,
        CountForm::Float => 1,
    });
    push_i64(bytes, i64::from(layout.schema().number()));
    bytes.extend_from_slice(&layout.zero_threshold().to_bits().to_le_bytes());
    for side in [layout.positive(), layout.negative()] {
        push_u64(bytes, side.len() as u64);
        for span in side {
            push_i64(bytes, i64::from(span.offset));
            push_u64(bytes, u64::from(span.length));
        }
    }
    push_u64(bytes, layout.custom_bounds().len() as u64);
    for bound in &**layout.custom_bounds() {
        bytes.extend_from_slice(&bound.to_bits().to_le_bytes());
    }
}

/// Reads the histograms of one record.
#[derive(Debug, Default)]
pub(crate) struct HistogramReader {
    layouts: Vec<Arc<HistogramLayout>>,
}

impl HistogramReader {
    /// Reads the histogram that is the sample `row`, adds it to `columns`.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        row: usize,
        columns: &mut HistogramColumns,
    ) -> Result<(), String> {
        let mut cursor = Cursor(bytes);
        let number = cursor.count(self.layouts.len())?;
        if number == self.layouts.len() {
            self.layouts.push(Arc::new(cursor.layout()?));
        }
        let layout = self.layouts.get(number).ok_or("an unknown layout")?;
        let hint = HINTS.get(usize::from(cursor.byte()?));
        let hint = *hint.ok_or("an unknown counter reset hint")?;
        let n_counts = layout.n_counts();
        if columns.n_counts() + n_counts > COUNTS_MAX {
            return Err("too many buckets in one record".to_owned());
        }
        // Each takes a byte or more, so that short bytes cannot ask for much memory.
        if cursor.0.len() < n_counts {
            return Err("a histogram is cut off".to_owned());
        }
        let n_before = columns.n_counts();
        let counts = columns.counts_mut();
        let read = (0..n_counts).try_for_each(|_| {
            counts.push(match layout.form() {
                CountForm::Integer => cursor.varint()?,
                CountForm::Float => cursor.word()?,
            });
            Ok(())
        });
        match read {
            Ok(()) if cursor.0.is_empty() => {
                columns.push_counted(row, hint, Arc::clone(layout));
                Ok(())
            }
            refused => {
                columns.counts_mut().truncate(n_before);
                refused.and(Err("bytes follow a histogram".to_owned()))
            }
        }
    }
}

/// What is left to read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn byte(&mut self) -> Result<u8, String> {
        let (first, rest) = self.0.split_first().ok_or("a histogram is cut off")?;
        self.0 = rest;
        Ok(*first)
    }

    fn word(&mut self) -> Result<u64, String> {
        let word = u64_at(self.0, 0).ok_or("a histogram is cut off")?;
        self.0 = self.0.get(8..).unwrap_or_default();
        Ok(word)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let (value, rest) = read_u64(self.0).map_err(|error| error.to_string())?;
        self.0 = rest;
        Ok(value)
    }

    fn zigzag(&mut self) -> Result<i32, String> {
        let (value, rest) = read_i64(self.0).map_err(|error| error.to_string())?;
        self.0 = rest;
        i32::try_from(value).map_err(|error| error.to_string())
    }

    fn count(&mut self, max: usize) -> Result<usize, String> {
        let (count, rest) =
            read_count(self.0, max, "number in a histogram").map_err(|error| error.to_string())?;
        self.0 = rest;
        Ok(count)
    }

    fn layout(&mut self) -> Result<HistogramLayout, String> {
        let form = match self.byte()? {
            0 => CountForm::Integer,
            1 => CountForm::Float,
            _ => return Err("an unknown form of counts".to_owned()),
        };
        let schema = Schema::new(self.zigzag()?).ok_or("an unknown schema")?;
        let zero_threshold = f64::from_bits(self.word()?);
        let (positive, negative) = (self.spans()?, self.spans()?);
        let n_bounds = self.count(BUCKETS_MAX)?;
        let custom_bounds = (0..n_bounds).map(|_| Ok(f64::from_bits(self.word()?)));
        let bounds = Bounds {
            schema,
            zero_threshold,
            custom_bounds: custom_bounds.collect::<Result<Vec<f64>, String>>()?.into(),
        };
        HistogramLayout::new(form, bounds, &positive, &negative).map_err(|error| error.to_string())
    }

    fn spans(&mut self) -> Result<Vec<Span>, String> {
        let n_spans = self.count(BUCKETS_MAX)?;
        let span = |_| {
            Ok(Span {
                offset: self.zigzag()?,
                length: u32::try_from(self.varint()?).map_err(|error| error.to_string())?,
            })
        };
        (0..n_spans).map(span).collect()
    }
}

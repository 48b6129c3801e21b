//! The bytes of one native histogram in a record.
//!
//! ```text
//! varint   number of its layout in this record, from 0; if it is the next one that has not been seen:
//!   1        form of the counts: 1 floats, 2 integers, 0 integers as they were written before version 6
//!   varint   schema, zigzag
//!   8        zero threshold, bits of the float
//!   varint   positive spans, each: varint offset, zigzag; varint length
//!   varint   negative spans, likewise
//!   varint   custom bounds, each: 8, bits of the float
//! 1        counter reset hint: 0 unknown, 1 reset, 2 not reset, 3 gauge
//! counts   as model::histogram::packed has them; of form 0: a varint each, not the difference to another
//! ```
//! The layouts of a mesh are few, so that most histograms are their counts and two bytes more; and those are copied, as
//! they came in a request and as they are kept in a batch.

use std::sync::Arc;

use codec::varint::{push_i64, push_u64, read_count, read_i64, read_u64};
use hashbrown::HashMap;
use model::histogram::{
    BUCKETS_MAX, Bounds, CountForm, CounterResetHint, HistogramColumns, HistogramLayout, LayoutIdx,
    NativeHistogram, Schema, Span,
};

use super::bytes::u64_at;

/// Counts in all histograms of one record that is read.
const COUNTS_MAX: usize = 8 << 20;

/// Numbers of the forms of counts.
const PLAIN_INTEGERS: u8 = 0;
const FLOATS: u8 = 1;
const INTEGERS: u8 = 2;

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
    /// By place in the columns at hand: what is known of the numbers.
    of_columns: Vec<Option<u64>>,
}

impl HistogramWriter {
    /// To be called before histograms of other columns are appended.
    pub(crate) fn begin(&mut self, columns: &HistogramColumns) {
        self.of_columns.clear();
        self.of_columns.resize(columns.layouts().len(), None);
    }

    /// Appends the histogram at a position of the columns.
    pub(crate) fn push(&mut self, columns: &HistogramColumns, position: usize, bytes: &mut Vec<u8>) {
        let (Some(histogram), Some(layout)) = (columns.get(position, 0.0), columns.layout_idx(position))
        else {
            return;
        };
        match self.of_columns.get(layout.place()) {
            Some(Some(number)) => push_u64(bytes, *number),
            _ => self.push_layout(histogram.layout, layout, bytes),
        }
        bytes.push(match histogram.hint {
            CounterResetHint::Unknown => 0,
            CounterResetHint::Reset => 1,
            CounterResetHint::NotReset => 2,
            CounterResetHint::Gauge => 3,
        });
        bytes.extend_from_slice(histogram.bytes);
    }

    fn push_layout(&mut self, layout: &Arc<HistogramLayout>, idx: LayoutIdx, bytes: &mut Vec<u8>) {
        let next = self.numbers.len() as u64;
        let number = *self.numbers.entry_ref(layout).or_insert(next);
        push_u64(bytes, number);
        if number == next {
            write_layout(layout, bytes);
        }
        if let Some(known) = self.of_columns.get_mut(idx.place()) {
            *known = Some(number);
        }
    }
}

fn write_layout(layout: &HistogramLayout, bytes: &mut Vec<u8>) {
    bytes.push(match layout.form() {
        CountForm::Integer => INTEGERS,
        CountForm::Float => FLOATS,
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
    layouts: Vec<KnownLayout>,
    counts: Vec<u64>,
}

#[derive(Debug)]
struct KnownLayout {
    layout: Arc<HistogramLayout>,
    idx: LayoutIdx,
    /// Counts are not differences.
    is_plain: bool,
}

impl HistogramReader {
    /// Reads the histogram that is the sample `row`, adds it to `columns`, which have to be the same for a whole record.
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
            let (layout, is_plain) = cursor.layout()?;
            let layout = Arc::new(layout);
            let idx = columns.add_layout(Arc::clone(&layout));
            self.layouts.push(KnownLayout {
                layout,
                idx,
                is_plain,
            });
        }
        let known = self.layouts.get(number).ok_or("an unknown layout")?;
        let hint = HINTS.get(usize::from(cursor.byte()?));
        let hint = *hint.ok_or("an unknown counter reset hint")?;
        let n_counts = known.layout.n_counts();
        if columns.n_counts() + n_counts > COUNTS_MAX {
            return Err("too many buckets in one record".to_owned());
        }
        // Each takes a byte or more, so that short bytes cannot ask for much memory.
        if cursor.0.len() < n_counts {
            return Err("a histogram is cut off".to_owned());
        }
        if known.is_plain {
            self.counts.clear();
            for _ in 0..n_counts {
                self.counts.push(cursor.varint()?);
            }
            if !cursor.0.is_empty() {
                return Err("bytes follow a histogram".to_owned());
            }
            let histogram = NativeHistogram {
                layout: &known.layout,
                hint,
                sum: 0.0,
                counts: &self.counts,
            };
            columns.push(row, histogram);
        } else if !columns.push_packed(row, hint, known.idx, cursor.0) {
            return Err("the counts of a histogram are others than its layout has".to_owned());
        }
        Ok(())
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

    /// A layout, and true if counts of it are plain varints.
    fn layout(&mut self) -> Result<(HistogramLayout, bool), String> {
        let (form, is_plain) = match self.byte()? {
            PLAIN_INTEGERS => (CountForm::Integer, true),
            FLOATS => (CountForm::Float, false),
            INTEGERS => (CountForm::Integer, false),
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
        let layout = HistogramLayout::new(form, bounds, &positive, &negative);
        Ok((layout.map_err(|error| error.to_string())?, is_plain))
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

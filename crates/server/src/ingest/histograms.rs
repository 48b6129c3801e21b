//! Native histograms of a request: from the fields of a message to a layout and counts, checked.
//!
//! Nearly all of them are plain: then the layout is known by its bytes, and the counts are copied as they stand, looked at
//! but not taken apart. All others go the long way, which is also the one that says what is wrong with them.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};
use model::histogram::{
    BUCKETS_MAX, Bounds, Buckets, CountForm, HistogramColumns, HistogramError, HistogramLayout, LayoutIdx,
    N_TOTALS, NativeHistogram, Schema, Span,
};
use model::{FloatHistogram, TimestampMs, is_stale_nan};
use wire::DecodeError;
use wire::remote_write::{Count, Histogram, HistogramMessage, PlainHistogram, Side};

/// Layouts that are remembered from request to request. Each series of exponential histograms may have its own.
const LAYOUTS_MAX: usize = 8 << 10;

/// Puts histograms into the columns of a batch.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// The message that is taken in next.
    pub(super) fields: Histogram,
    layouts: Layouts,
    plain: PlainLayouts,
    /// Of staleness markers, of which nothing else counts.
    no_buckets: Arc<HistogramLayout>,
    /// Counts of the one that is taken in the long way.
    counts: Vec<u64>,
}

/// What a histogram that was read is as a sample.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) timestamp_ms: TimestampMs,
    pub(super) start_timestamp_ms: TimestampMs,
    pub(super) sum: f64,
    /// Why it is no valid histogram; then nothing was added.
    pub(super) refused: Option<HistogramError>,
}

/// Layouts by the bytes that stand for them in messages.
#[derive(Debug, Default)]
struct PlainLayouts {
    hasher: DefaultHashBuilder,
    known: HashTable<PlainLayoutKnown>,
    key: Vec<u8>,
}

#[derive(Debug)]
struct PlainLayoutKnown {
    key: Box<[u8]>,
    layout: Arc<HistogramLayout>,
    /// Where it is in the columns it was last used with.
    idx: LayoutIdx,
}

/// Layouts by the hash of their fields.
#[derive(Debug, Default)]
struct Layouts {
    hasher: RandomState,
    known: HashMap<u64, Arc<HistogramLayout>>,
}

impl Intake {
    /// Adds the histogram of a message as the sample `row`. Its sum is kept elsewhere.
    ///
    /// # Errors
    /// Where the bytes are broken.
    #[inline]
    pub(super) fn take(
        &mut self,
        row: usize,
        message: &HistogramMessage<'_>,
        columns: &mut HistogramColumns,
    ) -> Result<Taken, DecodeError> {
        if let Some(plain) = message.plain()
            && self.push_plain(row, &plain, message, columns)
        {
            return Ok(Taken {
                timestamp_ms: plain.timestamp_ms,
                start_timestamp_ms: plain.start_timestamp_ms,
                sum: plain.sum,
                refused: None,
            });
        }
        message.read(&mut self.fields)?;
        let refused = self.push(row, columns).err();
        Ok(Taken {
            timestamp_ms: self.fields.timestamp_ms,
            start_timestamp_ms: self.fields.start_timestamp_ms,
            sum: self.fields.sum,
            refused,
        })
    }

    /// Adds a plain histogram, if it is right at first sight.
    fn push_plain(
        &mut self,
        row: usize,
        plain: &PlainHistogram<'_>,
        message: &HistogramMessage<'_>,
        columns: &mut HistogramColumns,
    ) -> bool {
        if is_stale_nan(plain.sum) {
            return false;
        }
        let (layouts, fields) = (&mut self.layouts, &mut self.fields);
        let layout = self.plain.of(plain, columns, || {
            message.read(fields).ok()?;
            layouts.of(fields).ok()
        });
        layout.is_some_and(|layout| {
            columns.push_message(row, (plain.reset_hint, plain.sum), layout, &plain.counts)
        })
    }

    /// Adds the histogram in `fields` as the sample `row`. Its sum is kept elsewhere.
    ///
    /// # Errors
    /// Why it is no valid histogram; then nothing is added.
    pub(super) fn push(&mut self, row: usize, columns: &mut HistogramColumns) -> Result<(), HistogramError> {
        let (fields, counts) = (&self.fields, &mut self.counts);
        counts.clear();
        let layout = if is_stale_nan(fields.sum) {
            counts.resize(self.no_buckets.n_counts(), 0);
            Arc::clone(&self.no_buckets)
        } else {
            push_counts(fields, counts)?;
            let layout = match reduce(fields, counts)? {
                Some(layout) => Arc::new(layout),
                None => self.layouts.of(fields)?,
            };
            check(fields, &layout, counts)?;
            layout
        };
        let histogram = NativeHistogram {
            layout: &layout,
            hint: fields.reset_hint,
            sum: fields.sum,
            counts,
        };
        columns.push(row, histogram);
        Ok(())
    }
}

impl PlainLayouts {
    /// The layout of a histogram among those of the columns, to which it is added if it is not there. `make` makes one that
    /// has not been seen.
    #[inline]
    fn of(
        &mut self,
        plain: &PlainHistogram<'_>,
        columns: &mut HistogramColumns,
        make: impl FnOnce() -> Option<Arc<HistogramLayout>>,
    ) -> Option<LayoutIdx> {
        plain.layout.write_key(&mut self.key);
        let hash = self.hasher.hash_one(&*self.key);
        if let Some(known) = self.known.find_mut(hash, |known| *known.key == *self.key) {
            let used = columns.layouts().get(known.idx.place());
            if !used.is_some_and(|used| Arc::ptr_eq(used, &known.layout)) {
                known.idx = columns.add_layout(Arc::clone(&known.layout));
            }
            return Some(known.idx);
        }
        let layout = make()?;
        if self.known.len() >= LAYOUTS_MAX {
            self.known.clear();
        }
        let idx = columns.add_layout(Arc::clone(&layout));
        let key = self.key.as_slice().into();
        let known = PlainLayoutKnown { key, layout, idx };
        let hasher = &self.hasher;
        self.known
            .insert_unique(hash, known, |known| hasher.hash_one(&*known.key));
        Some(idx)
    }
}

impl Layouts {
    fn of(&mut self, fields: &Histogram) -> Result<Arc<HistogramLayout>, HistogramError> {
        let hash = self.hash(fields);
        if let Some(known) = self.known.get(&hash)
            && is_layout_of(known, fields)
        {
            return Ok(Arc::clone(known));
        }
        let schema = Schema::new(fields.schema).ok_or(HistogramError::Schema(fields.schema))?;
        let layout = HistogramLayout::new(
            form(fields),
            bounds(fields, schema),
            &fields.positive.spans,
            &fields.negative.spans,
        )?;
        layout.validate()?;
        let layout = Arc::new(layout);
        if self.known.len() >= LAYOUTS_MAX {
            self.known.clear();
        }
        self.known.insert(hash, Arc::clone(&layout));
        Ok(layout)
    }

    fn hash(&self, fields: &Histogram) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        form(fields).hash(&mut hasher);
        fields.schema.hash(&mut hasher);
        fields.zero_threshold.to_bits().hash(&mut hasher);
        fields.positive.spans.hash(&mut hasher);
        fields.negative.spans.hash(&mut hasher);
        for bound in &fields.custom_bounds {
            bound.to_bits().hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn form(fields: &Histogram) -> CountForm {
    match fields.count {
        Count::Integer(_) => CountForm::Integer,
        Count::Float(_) => CountForm::Float,
    }
}

fn bounds(fields: &Histogram, schema: Schema) -> Bounds {
    Bounds {
        schema,
        zero_threshold: fields.zero_threshold,
        custom_bounds: fields.custom_bounds.as_slice().into(),
    }
}

fn is_layout_of(layout: &HistogramLayout, fields: &Histogram) -> bool {
    let bits = |bounds: &[f64]| bounds.iter().map(|bound| bound.to_bits()).collect::<Vec<_>>();
    layout.form() == form(fields)
        && layout.schema().number() == fields.schema
        && layout.zero_threshold().to_bits() == fields.zero_threshold.to_bits()
        && *layout.positive() == *fields.positive.spans
        && *layout.negative() == *fields.negative.spans
        && (layout.custom_bounds().is_empty() && fields.custom_bounds.is_empty()
            || bits(layout.custom_bounds()) == bits(&fields.custom_bounds))
}

/// Appends the words of all counts. As in Prometheus, a zero count of the other kind than the count is 0.
fn push_counts(fields: &Histogram, words: &mut Vec<u64>) -> Result<(), HistogramError> {
    match fields.count {
        Count::Integer(count) => {
            let zero_count = match fields.zero_count {
                Count::Integer(zero_count) => zero_count,
                Count::Float(_) => 0,
            };
            words.reserve(N_TOTALS + fields.positive.deltas.len() + fields.negative.deltas.len());
            words.extend([count, zero_count]);
            push_deltas(&fields.positive, words)?;
            push_deltas(&fields.negative, words)
        }
        Count::Float(count) => {
            let zero_count = match fields.zero_count {
                Count::Integer(_) => 0.0,
                Count::Float(zero_count) => zero_count,
            };
            words.extend([count.to_bits(), zero_count.to_bits()]);
            push_floats(&fields.positive, words)?;
            push_floats(&fields.negative, words)
        }
    }
}

fn push_deltas(side: &Side, words: &mut Vec<u64>) -> Result<(), HistogramError> {
    fits(&side.spans, side.deltas.len())?;
    let mut count = 0_u64;
    for delta in &side.deltas {
        count = count
            .checked_add_signed(*delta)
            .ok_or(HistogramError::NegativeCount(count as f64 + *delta as f64))?;
        words.push(count);
    }
    Ok(())
}

fn push_floats(side: &Side, words: &mut Vec<u64>) -> Result<(), HistogramError> {
    fits(&side.spans, side.counts.len())?;
    words.extend(side.counts.iter().map(|count| count.to_bits()));
    Ok(())
}

fn fits(spans: &[Span], n_buckets: usize) -> Result<(), HistogramError> {
    if n_buckets > BUCKETS_MAX {
        return Err(HistogramError::TooManyBuckets(n_buckets));
    }
    let n_spanned: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if n_spanned == n_buckets as u64 {
        Ok(())
    } else {
        Err(HistogramError::SpansMismatch { n_spanned, n_buckets })
    }
}

/// Brings a histogram of too high a resolution down to one that is supported: replaces its counts, gives its layout.
/// Rare, and so by way of floats; counts above 2^53 are rounded.
fn reduce(fields: &Histogram, words: &mut Vec<u64>) -> Result<Option<HistogramLayout>, HistogramError> {
    let form = form(fields);
    if Schema::new(fields.schema).is_some() {
        return Ok(None);
    }
    let counts = words.get(N_TOTALS..).unwrap_or_default().iter();
    let mut counts = counts.map(|word| match form {
        CountForm::Integer => *word as f64,
        CountForm::Float => f64::from_bits(*word),
    });
    let n_positive = fields.positive.deltas.len().max(fields.positive.counts.len());
    let positive = Buckets::new(&fields.positive.spans, counts.by_ref().take(n_positive).collect())?;
    let negative = Buckets::new(&fields.negative.spans, counts.collect())?;
    let (schema, positive, negative) = FloatHistogram::supported(fields.schema, positive, negative)?;
    words.truncate(N_TOTALS);
    let counts = positive.counts().iter().chain(negative.counts());
    words.extend(counts.map(|count| match form {
        CountForm::Integer => integer(*count),
        CountForm::Float => count.to_bits(),
    }));
    let layout = HistogramLayout::new(form, bounds(fields, schema), positive.spans(), negative.spans())?;
    layout.validate()?;
    Ok(Some(layout))
}

/// A float that is the sum of unsigned integers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole and not negative; beyond 2^64 the count will not fit"
)]
fn integer(count: f64) -> u64 {
    count as u64
}

fn check(fields: &Histogram, layout: &Arc<HistogramLayout>, counts: &[u64]) -> Result<(), HistogramError> {
    let histogram = NativeHistogram {
        layout,
        hint: fields.reset_hint,
        sum: fields.sum,
        counts,
    };
    histogram.validate_counts()
}

#[cfg(test)]
mod tests {
    use model::histogram::CounterResetHint;

    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    fn integers() -> Histogram {
        Histogram {
            count: Count::Integer(10),
            zero_count: Count::Integer(1),
            sum: 4.5,
            zero_threshold: 0.001,
            reset_hint: CounterResetHint::Reset,
            positive: Side {
                spans: vec![span(-2, 2), span(3, 1)],
                deltas: vec![1, 2, -1],
                counts: vec![],
            },
            negative: Side {
                spans: vec![span(0, 1)],
                deltas: vec![3],
                counts: vec![],
            },
            ..Histogram::default()
        }
    }

    fn floats() -> Histogram {
        Histogram {
            count: Count::Float(2.5),
            zero_count: Count::Integer(7),
            positive: Side {
                spans: vec![span(0, 1)],
                deltas: vec![],
                counts: vec![1.5],
            },
            ..Histogram::default()
        }
    }

    fn take_in(intake: &mut Intake, fields: Histogram) -> Result<FloatHistogram, HistogramError> {
        intake.fields = fields;
        let mut columns = HistogramColumns::default();
        let result = intake.push(3, &mut columns);
        assert_eq!(columns.len(), usize::from(result.is_ok()));
        assert!(result.is_ok() || columns.n_counts() == 0);
        result.map(|()| columns.get(0, intake.fields.sum).unwrap().to_float().unwrap())
    }

    #[track_caller]
    fn refused(fields: Histogram) -> HistogramError {
        take_in(&mut Intake::default(), fields).unwrap_err()
    }

    #[test]
    fn integers_and_floats_are_taken_in_as_they_came() {
        let mut intake = Intake::default();
        for _ in 0..2 {
            let found = take_in(&mut intake, integers()).unwrap();
            assert_eq!(
                found.positive.iter().collect::<Vec<_>>(),
                [(-2, 1.0), (-1, 3.0), (3, 2.0)]
            );
            assert_eq!(found.negative.iter().collect::<Vec<_>>(), [(0, 3.0)]);
            assert_eq!((found.count, found.zero_count, found.sum), (10.0, 1.0, 4.5));
            assert_eq!(found.counter_reset_hint, CounterResetHint::Reset);
            let found = take_in(&mut intake, floats()).unwrap();
            assert_eq!(found.positive.iter().collect::<Vec<_>>(), [(0, 1.5)]);
            assert_eq!((found.count, found.zero_count), (2.5, 0.0));
        }
        assert_eq!(intake.layouts.known.len(), 2);
    }

    #[test]
    fn a_resolution_that_is_too_high_is_brought_down() {
        let fine = Histogram {
            schema: 10,
            ..integers()
        };
        let found = take_in(&mut Intake::default(), fine).unwrap();
        assert_eq!(found.schema, Schema::HIGHEST);
        assert_eq!(found.positive.iter().collect::<Vec<_>>(), [(0, 4.0), (1, 2.0)]);
        for schema in [-5, 53, -54, i32::MIN, i32::MAX] {
            let other = Histogram { schema, ..integers() };
            assert_eq!(refused(other), HistogramError::Schema(schema));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mismatch = |count: u64| HistogramError::CountMismatch {
            count,
            in_buckets: 10,
        };
        let more = || Histogram {
            count: Count::Integer(11),
            ..integers()
        };
        assert_eq!(refused(more()), mismatch(11));
        let with_nan = Histogram {
            sum: f64::NAN,
            ..more()
        };
        assert!(take_in(&mut Intake::default(), with_nan).is_ok());

        let mut falling = integers();
        falling.positive.deltas[1] = -2;
        assert_eq!(refused(falling), HistogramError::NegativeCount(-1.0));
        let mut below = floats();
        below.positive.counts[0] = -0.5;
        assert_eq!(refused(below), HistogramError::NegativeCount(-0.5));
        let mut short = integers();
        short.negative.spans[0].length = 2;
        let mismatch = HistogramError::SpansMismatch {
            n_spanned: 2,
            n_buckets: 1,
        };
        assert_eq!(refused(short), mismatch);
        let mut back = integers();
        back.positive.spans[1].offset = -1;
        let negative = HistogramError::NegativeOffset { span: 1, offset: -1 };
        assert_eq!(refused(back), negative);
        let wide = Histogram {
            custom_bounds: vec![1.0],
            ..integers()
        };
        assert!(matches!(refused(wide), HistogramError::Misplaced { .. }));
        let mut many = integers();
        many.positive.deltas = vec![0; BUCKETS_MAX + 1];
        assert_eq!(refused(many), HistogramError::TooManyBuckets(BUCKETS_MAX + 1));
    }

    #[test]
    fn nothing_of_a_staleness_marker_counts_but_that_it_is_one() {
        let mut marker = integers();
        marker.sum = model::stale_nan();
        marker.count = Count::Integer(99);
        marker.schema = 77;
        assert!(take_in(&mut Intake::default(), marker).unwrap().is_stale());
    }

    #[test]
    fn remembered_layouts_stay_few() {
        let mut intake = Intake::default();
        for offset in (0..).take(LAYOUTS_MAX + 10) {
            let mut fields = integers();
            fields.negative.spans[0].offset = offset;
            assert!(take_in(&mut intake, fields).is_ok());
        }
        assert!(intake.layouts.known.len() <= LAYOUTS_MAX);
    }
}

//! What is known about counter resets.

use super::{CountForm, FloatHistogram, NativeHistogram, any_drop};

/// Whether the counters of a histogram began anew since the sample before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CounterResetHint {
    /// Nothing is known: the buckets have to be compared.
    #[default]
    Unknown,
    /// They did.
    Reset,
    /// They did not.
    NotReset,
    /// It is no counter.
    Gauge,
}

impl CounterResetHint {
    /// The hint with which Prometheus' store hands out a histogram that was appended after `previous`: gauges stay
    /// gauges, a histogram that continues the one before it is [`Self::NotReset`], and everything else is
    /// [`Self::Unknown`], even after a certain reset, as samples in between may be added or deleted later.
    ///
    /// Prometheus says [`Self::Unknown`] for the first sample of every chunk, too; chunks are not known here.
    ///
    /// Source: Prometheus `tsdb/chunkenc`, `appendable` and `counterResetHint`.
    #[must_use]
    pub fn as_stored(current: &FloatHistogram, previous: Option<&FloatHistogram>) -> Self {
        if current.counter_reset_hint == Self::Gauge {
            return Self::Gauge;
        }
        match previous {
            Some(previous) if continues(current, previous) => Self::NotReset,
            _ => Self::Unknown,
        }
    }
}

impl NativeHistogram<'_> {
    /// True when [`CounterResetHint::as_stored`] after `previous` is [`CounterResetHint::NotReset`]. Neither may be a
    /// staleness marker. Integers never continue floats, nor the other way round: Prometheus keeps them in different
    /// chunks.
    #[must_use]
    pub fn continues(&self, previous: &Self) -> bool {
        let is_marked = matches!(self.hint, CounterResetHint::Gauge | CounterResetHint::Reset);
        if is_marked || previous.hint == CounterResetHint::Gauge {
            return false;
        }
        if !self.has_layout_of(previous) {
            return self.layout.form() == previous.layout.form()
                && continues(&self.to_float(), &previous.to_float());
        }
        let mut counts = self.counts.iter().zip(previous.counts);
        match self.layout.form() {
            CountForm::Integer => counts.all(|(current, previous)| current >= previous),
            CountForm::Float => counts.all(|(current, previous)| {
                let (current, previous) = (f64::from_bits(*current), f64::from_bits(*previous));
                !matches!(current.partial_cmp(&previous), Some(std::cmp::Ordering::Less))
            }),
        }
    }
}

/// True when the counters of `current` can be those of `previous`, counted on in the same layout of bounds.
fn continues(current: &FloatHistogram, previous: &FloatHistogram) -> bool {
    if previous.counter_reset_hint == CounterResetHint::Gauge
        || current.counter_reset_hint == CounterResetHint::Reset
    {
        return false;
    }
    if current.is_stale() || previous.is_stale() {
        return current.is_stale();
    }
    let counts_on = |current: f64, previous: f64| {
        !matches!(current.partial_cmp(&previous), Some(std::cmp::Ordering::Less))
    };
    counts_on(current.count, previous.count)
        && current.schema == previous.schema
        && current.zero_threshold == previous.zero_threshold
        && (!current.is_custom() || current.has_bounds_of(previous))
        && counts_on(current.zero_count, previous.zero_count)
        && !any_drop(current.positive.iter(), &previous.positive)
        && !any_drop(current.negative.iter(), &previous.negative)
}

//! Native histograms among the random data: how they come about and how they are sent.
//!
//! Counts are small whole numbers and sums multiples of 1/8, so that no sum depends on the order of addition.

use std::collections::BTreeMap;
use std::fmt;

use testkit::Chance;

/// One sample of a native histogram, as remote write 1.0 has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NativeSample {
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Counts are sent as floats, not as whole numbers.
    pub is_float: bool,
    /// It may go up and down.
    pub is_gauge: bool,
    /// Resolution, or −53 for custom bounds.
    pub schema: i32,
    /// Sum of all observations.
    pub sum: f64,
    /// Observations around zero.
    pub zero_count: i64,
    /// Observations by index of their bucket.
    pub positive: BTreeMap<i32, i64>,
    /// The same below zero.
    pub negative: BTreeMap<i32, i64>,
    /// Upper bounds of custom buckets but the last.
    pub custom_bounds: Vec<f64>,
}

/// What the histograms of a series are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeKind {
    /// Counters of whole numbers with exponential buckets, above zero only.
    Counter,
    /// Counters of floats that now and then change their resolution, on both sides of zero.
    Changing,
    /// Gauges with exponential buckets.
    Gauge,
    /// Counters with custom bounds.
    Custom,
    /// The same, with other bounds now and then.
    ChangingCustom,
    /// Counters with exponential buckets, and floats in between.
    Mixed,
}

/// Half the width of the zero bucket.
pub const ZERO_THRESHOLD: f64 = 0.001;

const CUSTOM_SCHEMA: i32 = -53;

const BOUNDS: &[&[f64]] = &[&[1.0, 2.5, 5.0, 10.0], &[1.0, 5.0, 10.0], &[0.5, 2.5, 20.0]];

/// One series' way from histogram to histogram.
#[derive(Debug)]
pub struct NativeProcess {
    kind: NativeKind,
    next: NativeSample,
}

impl NativeProcess {
    /// A series before its first sample.
    pub fn new(chance: &mut Chance, kind: NativeKind) -> Self {
        let mut next = NativeSample {
            is_float: kind == NativeKind::Changing || chance.one_in(4),
            is_gauge: kind == NativeKind::Gauge,
            schema: chance.pick(&[0, 0, 1, 2]),
            ..NativeSample::default()
        };
        if matches!(kind, NativeKind::Custom | NativeKind::ChangingCustom) {
            next.schema = CUSTOM_SCHEMA;
            next.custom_bounds = BOUNDS[0].to_vec();
        }
        Self { kind, next }
    }

    /// The next sample, at this time.
    pub fn next(&mut self, chance: &mut Chance, timestamp_ms: i64) -> NativeSample {
        let is_new = match self.kind {
            NativeKind::Gauge => chance.percent(30),
            _ => chance.percent(2),
        };
        if is_new {
            self.restart();
        }
        match self.kind {
            NativeKind::Changing if chance.percent(4) => {
                self.restart();
                self.next.schema = chance.pick(&[-1, 0, 1, 2, 3]);
            }
            NativeKind::ChangingCustom if chance.percent(4) => {
                self.restart();
                self.next.custom_bounds = chance.pick(BOUNDS).to_vec();
            }
            _ => {}
        }
        if chance.percent(85) {
            for _ in 0..chance.between(1, 4) {
                self.observe(chance);
            }
        }
        NativeSample {
            timestamp_ms,
            ..self.next.clone()
        }
    }

    fn restart(&mut self) {
        self.next.sum = 0.0;
        self.next.zero_count = 0;
        self.next.positive.clear();
        self.next.negative.clear();
    }

    fn observe(&mut self, chance: &mut Chance) {
        let n = chance.between(1, 9);
        let next = &mut self.next;
        next.sum += (n * chance.between(1, 40)) as f64 / 8.0;
        if next.schema == CUSTOM_SCHEMA {
            let bucket = chance.index(next.custom_bounds.len() + 1);
            *next.positive.entry(bucket as i32).or_default() += n;
            return;
        }
        let index = chance.between(-3, 6) as i32;
        let has_negative = matches!(self.kind, NativeKind::Changing | NativeKind::Gauge);
        match chance.below(8) {
            0 => next.zero_count += n,
            1 | 2 if has_negative => *next.negative.entry(index).or_default() += n,
            _ => *next.positive.entry(index).or_default() += n,
        }
    }
}

impl NativeSample {
    fn count(&self) -> i64 {
        self.zero_count + self.positive.values().sum::<i64>() + self.negative.values().sum::<i64>()
    }

    /// Appends it to the message of its series: field 4 of `prometheus.TimeSeries`.
    pub fn push(&self, series: &mut Vec<u8>) {
        push_field(series, 4, &self.message());
    }

    /// `prometheus.Histogram`, which is the same message in both versions of remote write.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let mut message = Vec::new();
        if self.is_float {
            push_double(&mut message, 2, self.count() as f64);
        } else {
            push_whole(&mut message, 1, self.count() as u64);
        }
        push_double(&mut message, 3, self.sum);
        push_whole(&mut message, 4, zigzag(i64::from(self.schema)));
        if self.schema != CUSTOM_SCHEMA {
            push_double(&mut message, 5, ZERO_THRESHOLD);
            if self.is_float {
                push_double(&mut message, 7, self.zero_count as f64);
            } else {
                push_whole(&mut message, 6, self.zero_count as u64);
            }
        }
        self.push_buckets(&mut message, 8, &self.negative);
        self.push_buckets(&mut message, 11, &self.positive);
        if self.is_gauge {
            push_whole(&mut message, 14, 3);
        }
        push_whole(&mut message, 15, self.timestamp_ms as u64);
        push_doubles(&mut message, 16, self.custom_bounds.iter().copied());
        message
    }

    /// Spans as field `number`, deltas as the next field or counts as the one behind it.
    fn push_buckets(&self, message: &mut Vec<u8>, number: u32, buckets: &BTreeMap<i32, i64>) {
        let mut next_index = None;
        let mut runs: Vec<(i32, u64)> = Vec::new();
        for &index in buckets.keys() {
            match runs.last_mut() {
                Some((_, length)) if next_index == Some(index) => *length += 1,
                _ => runs.push((index - next_index.unwrap_or(0), 1)),
            }
            next_index = Some(index + 1);
        }
        for (offset, length) in runs {
            let mut span = Vec::new();
            push_whole(&mut span, 1, zigzag(i64::from(offset)));
            push_whole(&mut span, 2, length);
            push_field(message, number, &span);
        }
        if self.is_float {
            push_doubles(message, number + 2, buckets.values().map(|&count| count as f64));
            return;
        }
        let mut deltas = Vec::new();
        let mut before = 0;
        for &count in buckets.values() {
            push_varint(&mut deltas, zigzag(count - before));
            before = count;
        }
        if !deltas.is_empty() {
            push_field(message, number + 1, &deltas);
        }
    }
}

impl fmt::Display for NativeSample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{{{schema:{} count:{} sum:{}",
            self.schema,
            self.count(),
            self.sum
        )?;
        if self.is_gauge {
            f.write_str(" gauge")?;
        }
        if self.is_float {
            f.write_str(" float")?;
        }
        if self.schema == CUSTOM_SCHEMA {
            write!(f, " bounds:{:?}", self.custom_bounds)?;
        } else {
            write!(f, " zero:{} negative:{:?}", self.zero_count, self.negative)?;
        }
        write!(f, " positive:{:?}}}}}", self.positive)
    }
}

fn zigzag(number: i64) -> u64 {
    (number.wrapping_shl(1) ^ (number >> 63)) as u64
}

fn push_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// A field of protobuf that is a whole number.
pub fn push_whole(message: &mut Vec<u8>, number: u32, value: u64) {
    push_varint(message, u64::from(number << 3));
    push_varint(message, value);
}

/// A field that is a text, a list or a message.
pub fn push_field(message: &mut Vec<u8>, number: u32, content: &[u8]) {
    push_varint(message, u64::from(number << 3 | 2));
    push_varint(message, content.len() as u64);
    message.extend(content);
}

fn push_double(message: &mut Vec<u8>, number: u32, value: f64) {
    push_varint(message, u64::from(number << 3 | 1));
    message.extend(value.to_le_bytes());
}

fn push_doubles(message: &mut Vec<u8>, number: u32, values: impl Iterator<Item = f64>) {
    let bytes: Vec<u8> = values.flat_map(f64::to_le_bytes).collect();
    if !bytes.is_empty() {
        push_field(message, number, &bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_sent_as_runs_and_differences() {
        let sample = NativeSample {
            positive: [(-2, 3), (-1, 4), (3, 1)].into(),
            ..NativeSample::default()
        };
        let mut message = Vec::new();
        sample.push_buckets(&mut message, 11, &sample.positive);
        let spans = [0x5a, 4, 0x08, 3, 0x10, 2, 0x5a, 4, 0x08, 6, 0x10, 1];
        let deltas = [0x62, 3, 6, 2, 5];
        assert_eq!(message, [&spans[..], &deltas[..]].concat());
    }

    #[test]
    fn counters_only_grow_between_restarts() {
        let mut chance = Chance::from_seed(3);
        let mut process = NativeProcess::new(&mut chance, NativeKind::Counter);
        let mut n_resets = 0;
        let mut before = 0;
        for time in 0..500 {
            let sample = process.next(&mut chance, time);
            n_resets += usize::from(sample.count() < before);
            before = sample.count();
        }
        assert!((1..40).contains(&n_resets), "{n_resets}");
    }
}

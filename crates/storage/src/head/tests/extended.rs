//! Native histograms and start timestamps.

use std::sync::Arc;

use model::histogram::{Bounds, CountForm, CounterResetHint, HistogramLayout, NativeHistogram, Span};
use model::{FloatHistogram, is_stale_nan, stale_nan};

use super::*;

/// Layouts of five counts or fewer.
fn layout(number: u8) -> Arc<HistogramLayout> {
    let form = match number % 2 {
        0 => CountForm::Integer,
        _ => CountForm::Float,
    };
    let span = |offset: i32, length: u32| Span { offset, length };
    let (positive, negative) = match number / 2 {
        0 => (vec![span(0, 3)], vec![]),
        1 => (vec![span(0, 1), span(1, 1)], vec![span(-7, 1)]),
        _ => (vec![], vec![]),
    };
    let made = HistogramLayout::new(form, Bounds::default(), &positive, &negative);
    Arc::new(made.unwrap())
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Float(u64),
    Histogram {
        layout: u8,
        hint: CounterResetHint,
        sum: u64,
        counts: Vec<u64>,
    },
}

impl Value {
    fn push(&self, batch: &mut SampleBatch, series: SeriesRef, timestamp_ms: TimestampMs) {
        match self {
            Self::Float(bits) => batch.push(series, timestamp_ms, f64::from_bits(*bits)),
            Self::Histogram {
                layout: number,
                hint,
                sum,
                counts,
            } => {
                let layout = layout(*number);
                let histogram = NativeHistogram {
                    layout: &layout,
                    hint: *hint,
                    sum: f64::from_bits(*sum),
                    counts: &counts[..layout.n_counts()],
                };
                batch.push_histogram(series, timestamp_ms, histogram);
            }
        }
    }

    /// What reads give, the hint left out.
    fn read(&self) -> Shown {
        let mut batch = SampleBatch::default();
        self.push(&mut batch, series(0, 0), 0);
        match batch.histograms.get(0, batch.values[0]) {
            Some(histogram) if !is_stale_nan(histogram.sum) => {
                Shown::Histogram(Box::new(hintless(histogram.to_float().unwrap())))
            }
            _ => Shown::Float(batch.values[0].to_bits()),
        }
    }
}

/// A value as it is read, without its hint.
#[derive(Debug, Clone, PartialEq)]
enum Shown {
    Float(u64),
    Histogram(Box<FloatHistogram>),
}

fn hintless(mut histogram: FloatHistogram) -> FloatHistogram {
    histogram.counter_reset_hint = CounterResetHint::Unknown;
    histogram
}

fn histogram(layout: u8, counts: [u64; 5]) -> Value {
    hinted(layout, counts, CounterResetHint::Unknown)
}

fn hinted(layout: u8, counts: [u64; 5], hint: CounterResetHint) -> Value {
    Value::Histogram {
        layout,
        hint,
        sum: 1.5_f64.to_bits(),
        counts: counts.to_vec(),
    }
}

fn float(value: f64) -> Value {
    Value::Float(value.to_bits())
}

fn store(
    head: &Head,
    lane: u16,
    timestamp_ms: TimestampMs,
    value: &Value,
    start_ms: i64,
) -> Option<RefusalReason> {
    let mut batch = SampleBatch::default();
    value.push(&mut batch, series(0, lane), timestamp_ms);
    batch.set_last_start(start_ms);
    let mut refused = Vec::new();
    let n_accepted = head.append(&batch, &mut refused);
    assert_eq!(n_accepted + refused.len(), 1);
    refused.first().map(|refusal| refusal.reason)
}

type Read = BTreeMap<TimestampMs, (Shown, CounterResetHint, i64)>;

/// What one lane holds in a range.
fn read(head: &Head, lane: u16, range: TimeRange) -> Read {
    let mut buffer = StreamBuffer::default();
    let lanes = [LaneIdx(lane)];
    head.read(StreamId(0), LaneChoice::List(&lanes), range, &mut buffer)
        .unwrap();
    let lane = &buffer.lanes()[0];
    let mut found = Read::new();
    for (row, timestamp_ms) in buffer.timestamps_ms.iter().enumerate() {
        let start_ms = lane.starts_ms.get(row).copied().unwrap_or(0);
        if lane.absent_rows.contains(&(row as u32)) {
            continue;
        }
        let histogram = lane.histograms.iter().find(|(held, _)| *held as usize == row);
        let (value, hint) = match histogram {
            Some((_, histogram)) => (
                Shown::Histogram(Box::new(hintless(FloatHistogram::clone(histogram)))),
                histogram.counter_reset_hint,
            ),
            None => (
                Shown::Float(lane.values[row].to_bits()),
                CounterResetHint::Unknown,
            ),
        };
        found.insert(*timestamp_ms, (value, hint, start_ms));
    }
    assert!(lane.histograms.is_sorted_by_key(|(row, _)| *row));
    found
}

fn hints(head: &Head, lane: u16) -> Vec<CounterResetHint> {
    read(head, lane, TimeRange::ALL)
        .values()
        .map(|(_, hint, _)| *hint)
        .collect()
}

fn newest(head: &Head, lane: u16, range: TimeRange) -> Option<(TimestampMs, Shown, CounterResetHint)> {
    let mut buffer = NewestBuffer::default();
    let lanes = [LaneIdx(lane)];
    head.read_newest(StreamId(0), LaneChoice::List(&lanes), range, &mut buffer)
        .unwrap();
    let (timestamp_ms, value) = buffer.samples[0]?;
    let histogram = buffer.histograms.first();
    assert!(histogram.is_none_or(|(position, _)| *position == 0));
    let (value, hint) = match histogram {
        Some((_, histogram)) => (
            Shown::Histogram(Box::new(hintless(FloatHistogram::clone(histogram)))),
            histogram.counter_reset_hint,
        ),
        None => (Shown::Float(value.to_bits()), CounterResetHint::Unknown),
    };
    Some((timestamp_ms, value, hint))
}

#[test]
fn one_sample_per_time_whatever_it_is() {
    let head = Head::new(HeadConfig::default());
    let first = histogram(0, [6, 1, 2, 3, 0]);
    assert_eq!(store(&head, 0, 10, &first, 0), None);
    assert_eq!(store(&head, 0, 10, &first, 0), None, "the same again");
    let of_a_float = RefusalReason::DuplicateTimestamp { existing: 1.5 };
    let of_a_histogram = Some(RefusalReason::DuplicateHistogram);
    for other in [
        histogram(0, [6, 1, 2, 2, 1]),
        histogram(2, [6, 1, 2, 3, 0]),
        histogram(1, [6, 1, 2, 3, 0]),
        float(1.5),
        float(2.5),
        float(stale_nan()),
    ] {
        assert_eq!(store(&head, 0, 10, &other, 0), of_a_histogram, "{other:?}");
    }
    assert_eq!(store(&head, 1, 10, &float(1.5), 0), None);
    assert_eq!(store(&head, 1, 10, &first, 0), Some(of_a_float));
    // Sealed, and late.
    for row in 1..100 {
        assert_eq!(store(&head, 0, 10 + row * 10, &first, 0), None);
    }
    assert_eq!(store(&head, 0, 15, &histogram(0, [9, 9, 9, 9, 9]), 0), None);
    assert_eq!(store(&head, 0, 15, &first, 0), of_a_histogram);
    assert_eq!(store(&head, 0, 20, &float(1.5), 0), of_a_histogram);
    assert_eq!(store(&head, 0, 20, &first, 0), None);
    assert_eq!(head.stats().n_samples, 102);
}

#[test]
fn a_hint_says_what_is_known_of_the_sample_before() {
    use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
    let head = Head::new(HeadConfig::default());
    let samples = [
        (histogram(0, [6, 1, 2, 3, 0]), Unknown),
        (histogram(0, [7, 1, 2, 4, 0]), NotReset),
        (histogram(0, [7, 1, 2, 4, 0]), NotReset),
        (histogram(0, [8, 1, 3, 3, 1]), Unknown),
        (hinted(0, [9, 1, 3, 3, 2], Reset), Unknown),
        (hinted(0, [9, 1, 3, 3, 2], NotReset), NotReset),
        (float(1.0), Unknown),
        (histogram(0, [9, 1, 3, 3, 2]), Unknown),
        (histogram(0, [9, 1, 3, 3, 2]), NotReset),
        (float(stale_nan()), Unknown),
        (histogram(0, [9, 1, 3, 3, 2]), Unknown),
        (hinted(0, [1, 1, 0, 0, 0], Gauge), Gauge),
        (histogram(0, [9, 1, 3, 3, 2]), Unknown),
        // Bucket 1 is left out, where there was something.
        (histogram(2, [9, 1, 3, 3, 2]), Unknown),
        (histogram(0, [9, 1, 3, 0, 3]), Unknown),
        // A negative bucket more: everything else counts on.
        (histogram(2, [9, 1, 3, 3, 1]), NotReset),
        (histogram(3, [9, 1, 3, 3, 2]), Unknown),
    ];
    for (row, (value, _)) in (0..).zip(&samples) {
        assert_eq!(store(&head, 0, row * 10, value, 0), None);
        assert_eq!(
            newest(&head, 0, TimeRange::ALL).unwrap().2,
            samples[row as usize].1,
            "{row}"
        );
    }
    let expected: Vec<_> = samples.iter().map(|(_, hint)| *hint).collect();
    assert_eq!(hints(&head, 0), expected);
}

#[test]
fn nothing_is_known_around_a_late_sample() {
    use CounterResetHint::{NotReset, Unknown};
    let head = Head::new(HeadConfig::default());
    let value = histogram(0, [6, 1, 2, 3, 0]);
    for row in 0..50 {
        store(&head, 0, row * 10, &value, 0);
    }
    store(&head, 0, 15, &value, 0);
    store(&head, 0, 25, &float(1.0), 0);
    store(&head, 0, 485, &float(1.0), 0);
    let found = hints(&head, 0);
    assert_eq!(
        found[..7],
        [Unknown, NotReset, Unknown, Unknown, Unknown, Unknown, NotReset]
    );
    assert_eq!(found[50..], [NotReset, Unknown, Unknown]);
}

#[test]
fn a_staleness_marker_is_a_float_whatever_it_came_as() {
    let head = Head::new(HeadConfig::default());
    let marker = Value::Histogram {
        layout: 0,
        hint: CounterResetHint::Unknown,
        sum: STALE_NAN_BITS,
        counts: vec![0; 5],
    };
    assert_eq!(store(&head, 0, 10, &marker, 0), None);
    assert_eq!(store(&head, 0, 10, &float(stale_nan()), 0), None);
    let (timestamp_ms, value, _) = newest(&head, 0, TimeRange::ALL).unwrap();
    assert_eq!((timestamp_ms, value), (10, Shown::Float(STALE_NAN_BITS)));
}

#[test]
fn histograms_of_one_layout_take_few_bytes() {
    let head = Head::new(HeadConfig::default());
    let span = Span {
        offset: -10,
        length: 40,
    };
    let n_rows = 2_000_u64;
    let mut counts = vec![0_u64; 42];
    for row in 0..n_rows {
        let layout = HistogramLayout::new(CountForm::Integer, Bounds::default(), &[span], &[]).unwrap();
        for bucket in 0..5 {
            counts[2 + ((row * 7 + bucket * 3) % 12) as usize] += bucket + 1;
            counts[0] += bucket + 1;
        }
        let mut batch = SampleBatch::default();
        let histogram = NativeHistogram {
            layout: &Arc::new(layout),
            hint: CounterResetHint::Unknown,
            sum: row as f64,
            counts: &counts,
        };
        batch.push_histogram(series(0, 0), row as i64 * 15_000, histogram);
        head.append(&batch, &mut Vec::new());
    }
    let n_bytes = head.stats().bytes.extras as u64;
    assert!(n_bytes / n_rows < 20, "{n_bytes} bytes");
}

/// Of a time at which start timestamps may be foreseen.
const NOW_MS: TimestampMs = 1_700_000_000_000;

/// Bytes of what is noted besides values.
fn extras_bytes(head: &Head) -> usize {
    head.stats().bytes.extras
}

#[test]
fn starts_that_stay_are_noted_once_and_end_with_what_follows() {
    let head = Head::new(HeadConfig::default());
    let (first_ms, second_ms) = (NOW_MS - 500, NOW_MS + 995);
    let mut n_bytes = 0;
    for row in 0..100 {
        for lane in 0..22 {
            assert_eq!(store(&head, lane, NOW_MS + row * 10, &float(1.0), first_ms), None);
        }
        if row == 1 {
            n_bytes = extras_bytes(&head);
        }
    }
    assert_eq!(extras_bytes(&head), n_bytes);
    // A lane that comes later joins, all begin anew, one does not say when it began.
    assert_eq!(store(&head, 22, NOW_MS + 990, &float(1.0), first_ms), None);
    for lane in 0..22 {
        assert_eq!(store(&head, lane, NOW_MS + 1_000, &float(0.0), second_ms), None);
    }
    for lane in 0..22 {
        let start_ms = if lane == 7 { 0 } else { second_ms };
        assert_eq!(store(&head, lane, NOW_MS + 1_010, &float(0.0), start_ms), None);
    }
    for lane in 0..22 {
        let starts: Vec<i64> = read(&head, lane, TimeRange::ALL)
            .values()
            .map(|found| found.2)
            .collect();
        let mut expected = vec![first_ms; 100];
        expected.extend([second_ms, if lane == 7 { 0 } else { second_ms }]);
        assert_eq!(starts, expected, "lane {lane}");
    }
    let of_late_lane = read(&head, 22, TimeRange::ALL);
    assert_eq!(of_late_lane[&(NOW_MS + 990)].2, first_ms);
}

#[test]
fn starts_of_what_a_cut_leaves_are_those_that_were_noted() {
    let head = Head::new(HeadConfig::default());
    for row in 0..50 {
        store(&head, 0, NOW_MS + row * 10, &float(1.0), NOW_MS - 500);
    }
    assert!(head.begin_cut(NOW_MS + 405));
    store(&head, 1, NOW_MS + 395, &float(1.0), NOW_MS - 400);
    head.end_cut(41);
    store(&head, 0, NOW_MS + 500, &float(1.0), NOW_MS + 499);
    let starts: Vec<i64> = read(&head, 0, TimeRange::ALL)
        .values()
        .map(|found| found.2)
        .collect();
    assert_eq!(starts, [[NOW_MS - 500; 9].as_slice(), &[NOW_MS + 499]].concat());
    assert_eq!(read(&head, 1, TimeRange::ALL)[&(NOW_MS + 395)].2, NOW_MS - 400);
    assert!(head.begin_cut(NOW_MS + 1_000));
    head.end_cut(11);
    assert_eq!(
        extras_bytes(&head),
        head.workspace.lock().natives.layouts.heap_bytes()
    );
}

fn any_value() -> impl Strategy<Value = Value> {
    let hint = prop_oneof![
        Just(CounterResetHint::Unknown),
        Just(CounterResetHint::Reset),
        Just(CounterResetHint::NotReset),
        Just(CounterResetHint::Gauge),
    ];
    let bits = prop_oneof![
        Just(STALE_NAN_BITS),
        Just(1.5_f64.to_bits()),
        Just(3.0_f64.to_bits())
    ];
    let count = prop_oneof![0..4_u64, any::<u64>()];
    prop_oneof![
        bits.clone().prop_map(Value::Float),
        (0..6_u8, hint, bits, proptest::collection::vec(count, 5)).prop_map(|(layout, hint, sum, counts)| {
            Value::Histogram {
                layout,
                hint,
                sum,
                counts,
            }
        }),
    ]
}

proptest! {
    #[test]
    fn what_was_taken_is_read_back_whatever_the_order(
        appends in proptest::collection::vec((0..3_u16, 0..400_i64, any_value(), 0..9_i64), 1..300),
        mostly_in_order in any::<bool>(),
        mostly_floats in any::<bool>(),
    ) {
        let head = Head::new(HeadConfig { out_of_order_window_ms: i64::MAX });
        let mut expected: BTreeMap<u16, BTreeMap<i64, (Value, i64)>> = BTreeMap::new();
        for (step, (lane, at, value, start)) in (0..).zip(appends) {
            let at = NOW_MS + if mostly_in_order { step * 3 + at % 8 } else { at };
            let value = if mostly_floats && step % 50 > 0 { float(step as f64) } else { value };
            let start_ms = match start {
                0 => 0,
                1 => at - 5,
                2 => NOW_MS - 100,
                _ => NOW_MS - 1_000 + step / 90,
            };
            let held = expected.entry(lane).or_default();
            let refused = store(&head, lane, at, &value, start_ms);
            match held.get(&at) {
                None => {
                    prop_assert_eq!(refused, None);
                    held.insert(at, (value, start_ms));
                }
                Some((there, _)) => prop_assert_eq!(refused.is_none(), there.read() == value.read()),
            }
        }
        for (lane, held) in &expected {
            let found = read(&head, *lane, TimeRange::ALL);
            prop_assert_eq!(found.len(), held.len());
            for ((at, (value, start_ms)), (found_at, found)) in held.iter().zip(&found) {
                prop_assert_eq!(at, found_at);
                prop_assert_eq!(&value.read(), &found.0);
                prop_assert_eq!(*start_ms, found.2);
                let range = TimeRange { start_ms: at - 20, end_ms: *at };
                let (newest_at, newest_value, newest_hint) = newest(&head, *lane, range).unwrap();
                prop_assert_eq!((newest_at, &newest_value, newest_hint), (*at, &found.0, found.1));
                let part = read(&head, *lane, range);
                prop_assert_eq!(part, read(&head, *lane, TimeRange::ALL).range(range.start_ms + 1..=*at).map(|(at, found)| (*at, found.clone())).collect::<Read>());
            }
        }
        let slot = head.streams.get(StreamId(0)).unwrap();
        let stream = slot.lock();
        let held_bytes = stream.sealed.as_ref().and_then(|sealed| sealed.extras.as_ref()).map_or(0, |extras| extras.heap_bytes());
        prop_assert_eq!(head.workspace.lock().stats.bytes.extras, held_bytes);
    }
}

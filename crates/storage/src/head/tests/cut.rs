//! Cuts: old rows leave, late ones come meanwhile.

use std::sync::Arc;

use model::histogram::{Bounds, CountForm, CounterResetHint, HistogramLayout, NativeHistogram};
use testkit::Chance;

use super::*;

type Content = BTreeMap<(u32, u16, TimestampMs), u64>;

const N_STREAMS: u32 = 6;
const N_LANES: u16 = 5;

/// Everything in `range`.
fn content(head: &Head, range: TimeRange) -> Content {
    let mut content = Content::new();
    let mut buffer = StreamBuffer::default();
    for stream in (0..N_STREAMS).map(|stream| stream * 300) {
        head.read(
            StreamId(stream),
            LaneChoice::First(N_LANES.into()),
            range,
            &mut buffer,
        )
        .unwrap();
        for lane in 0..N_LANES {
            for (at, bits) in lane_samples(&buffer, lane.into()) {
                let row = buffer.timestamps_ms.binary_search(&at).unwrap();
                let of_lane = &buffer.lanes()[usize::from(lane)];
                let mut histograms = of_lane.histograms.iter();
                let histogram = histograms.find(|(held, _)| *held as usize == row);
                let count = histogram.map(|(_, histogram)| histogram.count as u64);
                let start_ms = of_lane.starts_ms.get(row).copied().unwrap_or(0);
                assert_eq!(count, count_of(lane, at, bits));
                assert_eq!(start_ms, start_of(lane, at));
                content.insert((stream, lane, at), bits);
            }
        }
    }
    content
}

/// Observations of a sample, if it is a native histogram.
fn count_of(lane: u16, at: TimestampMs, bits: u64) -> Option<u64> {
    (lane > 2 && at % 20 == 0).then_some(bits + at.unsigned_abs() / 1_000)
}

/// When the counter of a sample began.
fn start_of(lane: u16, at: TimestampMs) -> TimestampMs {
    match lane {
        1 | 3 => at / 500 * 500 - 1,
        2 if at % 30 == 0 => at - 10,
        _ => 0,
    }
}

fn batch_of(samples: &[(SeriesRef, TimestampMs, u64)]) -> SampleBatch {
    let mut batch = SampleBatch::default();
    for (series, at, bits) in samples {
        let lane = series.lane.0;
        let sum = f64::from_bits(*bits);
        match count_of(lane, *at, *bits) {
            Some(count) => {
                let layout = HistogramLayout::new(CountForm::Integer, Bounds::default(), &[], &[]);
                let histogram = NativeHistogram {
                    layout: &Arc::new(layout.unwrap()),
                    hint: CounterResetHint::Unknown,
                    sum,
                    counts: &[count, 0],
                };
                batch.push_histogram(*series, *at, histogram);
            }
            None => batch.push(*series, *at, sum),
        }
        batch.set_last_start(start_of(lane, *at));
    }
    batch
}

/// Random samples around a time; what was accepted goes into `expected`.
fn append_some(head: &Head, chance: &mut Chance, now: i64, expected: &mut Content, flushed: &Content) {
    let mut samples = Vec::new();
    for _ in 0..chance.index(60) {
        let stream = chance.index(N_STREAMS as usize) as u32 * 300;
        let lane = chance.index(N_LANES.into()) as u16;
        let at = now
            - if chance.one_in(3) {
                chance.index(4_000) as i64
            } else {
                0
            };
        let at = at / 10 * 10;
        // What is in a block already the head does not know.
        if !flushed.contains_key(&(stream, lane, at)) {
            samples.push((series(stream, lane), at, chance.index(3) as u64));
        }
    }
    let mut refused = Vec::new();
    head.append(&batch_of(&samples), &mut refused);
    for (sample_idx, (series, at, bits)) in samples.into_iter().enumerate() {
        if refused.iter().all(|refusal| refusal.sample_idx != sample_idx) {
            let held = expected.insert((series.stream.0, series.lane.0, at), bits);
            assert!(held.is_none_or(|held| held == bits), "the first value stays");
        }
    }
}

#[test]
fn whatever_comes_during_a_cut_nothing_is_lost_or_doubled() {
    for seed in 0..60 {
        let chance = &mut Chance::from_seed(seed);
        let head = Head::new(HeadConfig {
            out_of_order_window_ms: 3_000,
        });
        let mut expected = Content::new();
        let mut flushed = Content::new();
        let mut now = 0;
        for _ in 0..40 {
            now += chance.index(900) as i64;
            append_some(&head, chance, now, &mut expected, &flushed);
            if !chance.one_in(4) {
                continue;
            }
            let wanted = (!chance.one_in(3)).then(|| now - chance.index(3_000) as i64);
            let all = head.stats().newest_ms.map(|newest_ms| newest_ms + 1);
            let Some(before_ms) = wanted.or(all).filter(|before_ms| head.begin_cut(*before_ms)) else {
                continue;
            };
            let old = TimeRange {
                start_ms: i64::MIN,
                end_ms: before_ms - 1,
            };
            let block = content(&head, old);
            for _ in 0..chance.index(6) {
                now += chance.index(300) as i64;
                append_some(&head, chance, now, &mut expected, &flushed);
            }
            assert_eq!(
                content(&head, TimeRange::ALL),
                minus(&expected, &flushed),
                "seed {seed}"
            );
            if chance.one_in(4) {
                head.abandon_cut();
            } else {
                head.end_cut(block.len() as u64);
                flushed.extend(block);
            }
            let left = minus(&expected, &flushed);
            assert_eq!(content(&head, TimeRange::ALL), left, "seed {seed}");
            check_numbers(&head, &left);
        }
        // From here on the head is as if it had never been cut.
        let newest_ms = head.stats().newest_ms;
        let has_begun = newest_ms.is_some_and(|newest_ms| head.begin_cut(newest_ms + 1));
        let n_left = content(&head, TimeRange::ALL).len();
        head.end_cut(n_left as u64);
        assert!(content(&head, TimeRange::ALL).is_empty() && has_begun == (n_left > 0));
        check_numbers(&head, &Content::new());
    }
}

fn minus(all: &Content, gone: &Content) -> Content {
    all.iter()
        .filter(|(key, _)| !gone.contains_key(*key))
        .map(|(key, bits)| (*key, *bits))
        .collect()
}

fn check_numbers(head: &Head, left: &Content) {
    let stats = head.stats();
    let streams: BTreeSet<u32> = left.keys().map(|(stream, ..)| *stream).collect();
    assert_eq!(
        (stats.n_samples, stats.n_streams),
        (left.len() as u64, streams.len())
    );
    assert_eq!(stats.oldest_ms, left.keys().map(|(.., at)| *at).min());
    if left.is_empty() {
        assert_eq!((stats.bytes.raw, stats.bytes.pages, stats.bytes.late), (0, 0, 0));
        let layouts_bytes = 300;
        assert!(stats.bytes.extras < layouts_bytes, "{}", stats.bytes.extras);
        assert_eq!(stats.n_series, 0);
    }
}

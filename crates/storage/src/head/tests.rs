mod cut;
mod extended;

use std::collections::{BTreeMap, BTreeSet};

use model::{LaneIdx, STALE_NAN_BITS, SeriesRef, TimestampMs, is_stale_nan};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const WINDOW_MS: i64 = 100_000;

/// More than the lanes that share a word of bits.
const LANES_MAX: u16 = 151;

fn series(stream: u32, lane: u16) -> SeriesRef {
    SeriesRef {
        stream: StreamId(stream),
        lane: LaneIdx(lane),
    }
}

fn batch(samples: &[(SeriesRef, TimestampMs, u64)]) -> SampleBatch {
    let mut batch = SampleBatch::default();
    for (series, timestamp_ms, bits) in samples {
        batch.push(*series, *timestamp_ms, f64::from_bits(*bits));
    }
    batch
}

/// Appends samples of lane 0 of stream 0, of which every one is to be taken.
fn append(head: &Head, samples: impl IntoIterator<Item = (TimestampMs, f64)>) {
    let samples: Vec<_> = samples
        .into_iter()
        .map(|(at, value)| (series(0, 0), at, value.to_bits()))
        .collect();
    let mut refused = Vec::new();
    assert_eq!(
        head.append(&batch(&samples), &mut refused),
        samples.len(),
        "{refused:?}"
    );
}

fn refusal(head: &Head, timestamp_ms: TimestampMs, value: f64) -> Option<RefusalReason> {
    let mut refused = Vec::new();
    head.append(
        &batch(&[(series(0, 0), timestamp_ms, value.to_bits())]),
        &mut refused,
    );
    refused.first().map(|refusal| refusal.reason)
}

fn held(head: &Head) -> Vec<(TimestampMs, f64)> {
    let mut buffer = StreamBuffer::default();
    head.read(StreamId(0), LaneChoice::First(1), TimeRange::ALL, &mut buffer)
        .unwrap();
    let values = buffer.lanes()[0].values.iter().copied();
    assert!(buffer.lanes()[0].absent_rows.is_empty());
    buffer.timestamps_ms.iter().copied().zip(values).collect()
}

#[test]
fn another_value_at_the_same_time_is_refused_and_the_first_one_stays() {
    let head = Head::new(HeadConfig::default());
    let samples = [
        (series(1, 2), 1_000, 1),
        (series(1, 2), 1_000, 1),
        (series(1, 2), 1_000, 2),
    ];
    let mut refused = Vec::new();
    assert_eq!(head.append(&batch(&samples), &mut refused), 2);
    let reason = RefusalReason::DuplicateTimestamp {
        existing: f64::from_bits(1),
    };
    assert_eq!(
        refused,
        [Refusal {
            sample_idx: 2,
            reason
        }]
    );
    let mut newest = NewestBuffer::default();
    let lanes = LaneChoice::List(&[LaneIdx(2), LaneIdx(0), LaneIdx(2)]);
    head.read_newest(StreamId(1), lanes, TimeRange::ALL, &mut newest)
        .unwrap();
    let sample = Some((1_000, f64::from_bits(1)));
    assert_eq!(newest.samples, [sample, None, sample]);
    let stats = head.stats();
    assert_eq!((stats.n_streams, stats.n_series, stats.n_samples), (1, 1, 1));
}

#[test]
fn duplicates_are_found_in_open_rows_in_pages_and_among_late_samples() {
    let head = Head::new(HeadConfig::default());
    append(&head, (0..1000).map(|row| (row * 10, row as f64)));
    append(&head, [(5, 0.5)]);
    for (timestamp_ms, value) in [(9990, 999.0), (5000, 500.0), (10, 1.0), (5, 0.5)] {
        append(&head, [(timestamp_ms, value)]);
        let reason = RefusalReason::DuplicateTimestamp { existing: value };
        assert_eq!(refusal(&head, timestamp_ms, f64::NAN), Some(reason));
    }
    assert_eq!(head.stats().n_samples, 1001);
}

#[test]
fn what_is_older_than_the_window_is_refused_unless_it_is_already_there() {
    let head = Head::new(HeadConfig {
        out_of_order_window_ms: 500_000,
    });
    append(&head, (0..100).map(|row| (row * 10_000, 1.0)));
    let oldest_accepted_ms = 490_000;
    let too_old = Some(RefusalReason::TooOld { oldest_accepted_ms });
    assert_eq!(refusal(&head, oldest_accepted_ms - 1, 1.0), too_old);
    assert_eq!(refusal(&head, oldest_accepted_ms, 1.0), None);
    assert_eq!(refusal(&head, oldest_accepted_ms + 1, 1.0), None);
    assert_eq!(refusal(&head, 10_000, 1.0), None);
    assert_eq!(refusal(&head, 10_001, 1.0), too_old);
}

#[test]
fn lanes_that_lag_behind_others_are_late_by_the_row_of_the_stream() {
    let head = Head::new(HeadConfig {
        out_of_order_window_ms: 20,
    });
    let mut refused = Vec::new();
    let samples = [
        (series(0, 0), 10, 1),
        (series(0, 0), 30, 1),
        (series(0, 1), 10, 2),
        (series(0, 1), 20, 3),
    ];
    assert_eq!(head.append(&batch(&samples), &mut refused), 4);
    assert_eq!(head.append(&batch(&[(series(0, 1), 9, 4)]), &mut refused), 0);
    assert_eq!(
        refused[0].reason,
        RefusalReason::TooOld {
            oldest_accepted_ms: 10
        }
    );
}

#[test]
fn late_samples_are_folded_into_pages_that_then_divide() {
    let head = Head::new(HeadConfig::default());
    append(&head, (0..300).map(|row| (row * 10_000, row as f64)));
    // Odd seconds in between, newest first: all of them late.
    let late: Vec<_> = (0..2_500_000 / 500).rev().map(|at| (at * 500 + 1, 0.5)).collect();
    append(&head, late.iter().copied());
    let mut expected: Vec<_> = (0..300)
        .map(|row| (row * 10_000, row as f64))
        .chain(late)
        .collect();
    expected.sort_by_key(|sample| sample.0);
    assert_eq!(held(&head), expected);
    assert_eq!(head.stats().n_samples, expected.len() as u64);
    let (slot, _) = head.streams.get_or_make(StreamId(0));
    let sealed = &slot.lock().sealed;
    assert!(
        sealed
            .as_ref()
            .unwrap()
            .pages
            .iter()
            .all(|page| page.n_rows <= 1024 + 64)
    );
}

#[test]
fn a_range_ends_where_it_says() {
    let head = Head::new(HeadConfig::default());
    append(&head, (0..40).map(|row| (row, row as f64)));
    let mut buffer = StreamBuffer::default();
    let mut newest = NewestBuffer::default();
    for start_ms in -1..41 {
        for end_ms in -1..41 {
            let range = TimeRange { start_ms, end_ms };
            head.read(StreamId(0), LaneChoice::First(1), range, &mut buffer)
                .unwrap();
            let expected: Vec<i64> = (0..40).filter(|at| range.contains(*at)).collect();
            assert_eq!(buffer.timestamps_ms, expected, "{range:?}");
            head.read_newest(StreamId(0), LaneChoice::First(1), range, &mut newest)
                .unwrap();
            assert_eq!(
                newest.samples[0].map(|(at, _)| at),
                expected.last().copied(),
                "{range:?}"
            );
            assert!(expected.is_empty() || head.may_have_samples(StreamId(0), range));
        }
    }
}

#[test]
fn timestamps_at_the_ends_of_time_are_held() {
    let head = Head::new(HeadConfig {
        out_of_order_window_ms: i64::MAX,
    });
    append(&head, [(i64::MIN, 1.0), (0, 2.0), (i64::MAX, 3.0)]);
    append(&head, (1..20).map(|at| (at, 4.0)));
    append(&head, (1..20).map(|at| (i64::MAX - at, 5.0)));
    // A range is open on the left, so no range holds the very first instant.
    assert_eq!(held(&head).len(), 40);
    assert_eq!(held(&head)[0], (0, 2.0));
    assert_eq!(head.stats().oldest_ms, Some(i64::MIN));
    assert_eq!(
        refusal(&head, i64::MIN, 9.0),
        Some(RefusalReason::DuplicateTimestamp { existing: 1.0 })
    );
}

#[test]
fn streams_and_lanes_that_are_not_there_have_no_samples() {
    let head = Head::new(HeadConfig::default());
    append(&head, [(1, 1.0)]);
    let mut buffer = StreamBuffer::default();
    let lanes = LaneChoice::List(&[LaneIdx(u16::MAX), LaneIdx(0)]);
    head.read(StreamId(0), lanes, TimeRange::ALL, &mut buffer)
        .unwrap();
    assert_eq!(buffer.lanes()[0].absent_rows, [0]);
    assert_eq!(buffer.lanes()[1].values, [1.0]);
    for stream in [1, u32::MAX] {
        head.read(StreamId(stream), lanes, TimeRange::ALL, &mut buffer)
            .unwrap();
        assert_eq!((buffer.timestamps_ms.len(), buffer.lanes().len()), (0, 2));
        assert!(!head.may_have_samples(StreamId(stream), TimeRange::ALL));
    }
}

#[test]
fn readers_see_whole_rows_in_order_while_samples_come_in() {
    let head = Head::new(HeadConfig::default());
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut buffer = StreamBuffer::default();
            let mut n_rows_before = 0;
            while !is_done.load(std::sync::atomic::Ordering::Acquire) {
                head.read(StreamId(0), LaneChoice::First(2), TimeRange::ALL, &mut buffer)
                    .unwrap();
                let n_rows = buffer.timestamps_ms.len();
                assert!(n_rows >= n_rows_before);
                n_rows_before = n_rows;
                let expected = (0..n_rows).map(|row| row as f64);
                assert!(
                    buffer
                        .lanes()
                        .iter()
                        .all(|lane| lane.values.iter().copied().eq(expected.clone()))
                );
            }
        });
        for row in 0..20_000_i64 {
            let value = (row as f64).to_bits();
            head.append(
                &batch(&[(series(0, 0), row, value), (series(0, 1), row, value)]),
                &mut Vec::new(),
            );
        }
        is_done.store(true, std::sync::atomic::Ordering::Release);
        reader.join().unwrap();
    });
}

/// What a head is to hold: every sample by stream, lane and time, and which rows are open, as far as that decides
/// what is too old.
#[derive(Default)]
struct Reference {
    samples: BTreeMap<(u32, u16), BTreeMap<TimestampMs, u64>>,
    streams: BTreeMap<u32, ReferenceRows>,
}

#[derive(Default)]
struct ReferenceRows {
    open: BTreeSet<TimestampMs>,
    sealed_until_ms: Option<TimestampMs>,
}

impl ReferenceRows {
    fn seal_if_full(&mut self) {
        if self.open.len() == 20 {
            let first_kept = *self.open.iter().nth(16).unwrap();
            let kept = self.open.split_off(&first_kept);
            self.sealed_until_ms = self.open.last().copied();
            self.open = kept;
        }
    }

    fn place(&mut self, at: TimestampMs) -> Result<(), RefusalReason> {
        let newest = self.open.last().copied();
        let is_sealed = |rows: &Self| rows.sealed_until_ms.is_some_and(|until_ms| at <= until_ms);
        if let Some(newest) = newest
            && at < newest - WINDOW_MS
        {
            return Err(RefusalReason::TooOld {
                oldest_accepted_ms: newest - WINDOW_MS,
            });
        }
        if !self.open.contains(&at) && !is_sealed(self) {
            self.seal_if_full();
            if !is_sealed(self) {
                self.open.insert(at);
            }
        }
        Ok(())
    }
}

impl Reference {
    fn append(&mut self, (series, at, bits): (SeriesRef, TimestampMs, u64)) -> Result<(), RefusalReason> {
        let (stream, lane) = (series.stream.0, series.lane.0);
        let held = self.samples.get(&(stream, lane)).and_then(|lane| lane.get(&at));
        match held {
            Some(held) if *held == bits => Ok(()),
            Some(held) => Err(RefusalReason::DuplicateTimestamp {
                existing: f64::from_bits(*held),
            }),
            None => {
                self.streams.entry(stream).or_default().place(at)?;
                self.samples.entry((stream, lane)).or_default().insert(at, bits);
                Ok(())
            }
        }
    }

    fn lane(&self, stream: u32, lane: u16, range: TimeRange) -> Vec<(TimestampMs, u64)> {
        let samples = self.samples.get(&(stream, lane)).into_iter().flatten();
        samples
            .filter(|(at, _)| range.contains(**at))
            .map(|(at, bits)| (*at, *bits))
            .collect()
    }
}

/// Samples as a mesh sends them, made worse: lanes in any order, some of them late, repeated or missing.
struct Sender {
    chance: ChaCha8Rng,
    counters: BTreeMap<SeriesRef, f64>,
    sent: Vec<(SeriesRef, TimestampMs, u64)>,
    row: i64,
    trouble: f64,
}

impl Sender {
    fn next_batch(&mut self) -> Vec<(SeriesRef, TimestampMs, u64)> {
        self.row += 1;
        let n_samples = self.chance.random_range(1..40);
        (0..n_samples).map(|_| self.next_sample()).collect()
    }

    fn next_sample(&mut self) -> (SeriesRef, TimestampMs, u64) {
        let is_trouble = self.chance.random_bool(self.trouble);
        if is_trouble && !self.sent.is_empty() && self.chance.random_bool(0.3) {
            let mut again = self.sent[self.chance.random_range(0..self.sent.len())];
            if self.chance.random_bool(0.3) {
                again.2 = self.any_bits();
            }
            return again;
        }
        let (stream, n_lanes, lane_step) =
            [(0, 1, 1), (700, 5, 1), (1400, 30, 5)][self.chance.random_range(0..3)];
        let series = series(stream, self.chance.random_range(0..n_lanes) * lane_step);
        let age = match self.chance.random_range(0..10) {
            _ if !is_trouble => 0,
            0..5 => self.chance.random_range(0..4),
            5..9 => self.chance.random_range(0..60),
            _ => self.chance.random_range(0..400),
        };
        let jitter_ms = if is_trouble && self.chance.random_bool(0.2) {
            self.chance.random_range(0..1000)
        } else {
            0
        };
        let bits = self.bits(series);
        let sample = (series, (self.row - age) * 1000 + jitter_ms, bits);
        self.sent.push(sample);
        sample
    }

    fn bits(&mut self, series: SeriesRef) -> u64 {
        if self.chance.random_bool(self.trouble * 0.2) {
            return self.any_bits();
        }
        let step =
            f64::from(self.chance.random_range(0..5_u32)) * if series.lane.0 % 7 == 3 { 0.25 } else { 1.0 };
        let counter = self.counters.entry(series).or_default();
        *counter += step;
        counter.to_bits()
    }

    fn any_bits(&mut self) -> u64 {
        match self.chance.random_range(0..4) {
            0 => STALE_NAN_BITS,
            1 => 0xfff8_dead_beef_0001,
            2 => (-0.0_f64).to_bits(),
            _ => self.chance.random(),
        }
    }
}

fn check_reads(head: &Head, reference: &Reference, chance: &mut ChaCha8Rng, newest_row: i64) {
    let mut buffer = StreamBuffer::default();
    let mut newest = NewestBuffer::default();
    let mut live = LiveBuffer::default();
    for stream in [0, 700, 1400, 5] {
        let from = chance.random_range(-100..=newest_row * 1000);
        let to = chance.random_range(from..=newest_row * 1000 + 1000);
        for range in [
            TimeRange {
                start_ms: from,
                end_ms: to,
            },
            TimeRange::ending_at(newest_row * 1000, 20_000),
            TimeRange::ALL,
        ] {
            let mut lanes: Vec<LaneIdx> = (0..LANES_MAX).map(LaneIdx).collect();
            lanes.rotate_left(chance.random_range(0..usize::from(LANES_MAX)));
            lanes.truncate(chance.random_range(1..=usize::from(LANES_MAX)));
            let choice = if chance.random_bool(0.3) {
                lanes = (0..lanes.len() as u16).map(LaneIdx).collect();
                LaneChoice::First(lanes.len())
            } else {
                LaneChoice::List(&lanes)
            };
            head.read(StreamId(stream), choice, range, &mut buffer).unwrap();
            head.read_newest(StreamId(stream), choice, range, &mut newest)
                .unwrap();
            head.read_live(StreamId(stream), choice, range, &mut live)
                .unwrap();
            check_live(&live, &newest);
            assert!(buffer.timestamps_ms.is_sorted_by(|before, after| before < after));
            assert!(buffer.timestamps_ms.iter().all(|at| range.contains(*at)));
            assert_eq!(
                (buffer.lanes().len(), newest.samples.len()),
                (lanes.len(), lanes.len())
            );
            for (position, lane) in lanes.iter().enumerate() {
                let expected = reference.lane(stream, lane.0, range);
                assert_eq!(
                    lane_samples(&buffer, position),
                    expected,
                    "stream {stream} {lane:?} {range:?}"
                );
                let last = newest.samples[position].map(|(at, value)| (at, value.to_bits()));
                assert_eq!(
                    last,
                    expected.last().copied(),
                    "stream {stream} {lane:?} {range:?}"
                );
            }
        }
    }
}

fn check_live(live: &LiveBuffer, newest: &NewestBuffer) {
    let is_live = |newest: &Option<(TimestampMs, f64)>| newest.is_some_and(|(_, value)| !is_stale_nan(value));
    let mut expected = vec![0; newest.samples.len().div_ceil(64)];
    for position in (0..newest.samples.len()).filter(|position| is_live(&newest.samples[*position])) {
        expected[position / 64] |= 1_u64 << (position % 64);
    }
    assert_eq!(live.lanes, expected);
    assert_eq!(live.n_sampled, newest.samples.iter().flatten().count());
}

fn lane_samples(buffer: &StreamBuffer, position: usize) -> Vec<(TimestampMs, u64)> {
    let lane = &buffer.lanes()[position];
    assert_eq!(lane.values.len(), buffer.timestamps_ms.len());
    assert!(lane.absent_rows.is_sorted_by(|before, after| before < after));
    let rows = buffer.timestamps_ms.iter().zip(&lane.values).enumerate();
    let present = rows.filter(|(row, _)| !lane.absent_rows.contains(&(*row as u32)));
    let samples: Vec<_> = present.map(|(_, (at, value))| (*at, value.to_bits())).collect();
    assert!(lane.may_be_nan || samples.iter().all(|(_, bits)| !f64::from_bits(*bits).is_nan()));
    samples
}

fn check_stats(head: &Head, reference: &Reference) {
    let stats = head.stats();
    let times = || reference.samples.values().flat_map(|lane| lane.keys().copied());
    assert_eq!(stats.n_streams, reference.streams.len());
    assert_eq!(stats.n_series, reference.samples.len());
    assert_eq!(stats.n_samples, times().count() as u64);
    assert_eq!((stats.oldest_ms, stats.newest_ms), (times().min(), times().max()));
    let mut bytes = HeadBytes {
        table: stats.bytes.table,
        ..HeadBytes::default()
    };
    for stream in [0, 700, 1400] {
        let (raw, pages, late) = head.streams.get_or_make(StreamId(stream)).0.lock().heap_bytes();
        bytes.raw += raw;
        bytes.pages += pages;
        bytes.late += late;
    }
    assert_eq!(stats.bytes, bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_head_holds_what_a_sorted_map_holds(seed in any::<u64>(), n_batches in 1..600_i64, trouble in 0.0..0.6) {
        let chance = ChaCha8Rng::seed_from_u64(seed);
        let mut sender = Sender { chance, counters: BTreeMap::new(), sent: Vec::new(), row: 0, trouble };
        let mut chance = ChaCha8Rng::seed_from_u64(!seed);
        let head = Head::new(HeadConfig { out_of_order_window_ms: WINDOW_MS });
        let mut reference = Reference::default();
        for n_sent in 0..n_batches {
            let samples = sender.next_batch();
            let mut refused = Vec::new();
            let n_accepted = head.append(&batch(&samples), &mut refused);
            let expected: Vec<(usize, String)> = samples.iter().enumerate()
                .filter_map(|(sample_idx, sample)| Some((sample_idx, reference.append(*sample).err()?)))
                .map(|(sample_idx, reason)| (sample_idx, bits_of(reason)))
                .collect();
            let refused: Vec<_> = refused.iter().map(|refusal| (refusal.sample_idx, bits_of(refusal.reason))).collect();
            prop_assert_eq!(&refused, &expected);
            prop_assert_eq!(n_accepted, samples.len() - expected.len());
            if n_sent % 100 == 99 {
                check_reads(&head, &reference, &mut chance, sender.row);
            }
        }
        check_reads(&head, &reference, &mut chance, sender.row);
        check_stats(&head, &reference);
    }
}

/// A reason by bits, so that NaNs compare.
fn bits_of(reason: RefusalReason) -> String {
    match reason {
        RefusalReason::DuplicateTimestamp { existing } => format!("{:x}", existing.to_bits()),
        reason => format!("{reason:?}"),
    }
}

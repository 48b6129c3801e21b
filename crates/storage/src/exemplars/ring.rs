//! Which exemplars are kept.

use hashbrown::{HashMap, HashSet};
use model::{SeriesRef, StreamId, TimestampMs};

use super::{Exemplar, ExemplarConfig};

/// The newest exemplars, in the order in which they came.
#[derive(Debug)]
pub(crate) struct ExemplarRing {
    config: ExemplarConfig,
    /// At most `config.max`; then `next` is overwritten next, and is the oldest one.
    slots: Vec<Slot>,
    next: usize,
    by_series: HashMap<SeriesRef, Ends>,
}

/// An exemplar, or the place where one was.
#[derive(Debug)]
struct Slot {
    exemplar: Option<Exemplar>,
    /// The next newer one of its series.
    newer: u32,
}

/// The exemplars of one series.
#[derive(Debug, Clone, Copy)]
struct Ends {
    oldest: u32,
    newest: u32,
    n_exemplars: u32,
}

/// Stands where there is no newer one.
const NONE: u32 = u32::MAX;

/// What became of an exemplar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is in the ring.
    New,
    /// It is the newest one of its series already, or none are kept.
    Nothing,
    /// It is not behind the newest one of its series.
    OutOfOrder,
}

impl ExemplarRing {
    /// An empty ring.
    pub(crate) fn new(config: ExemplarConfig) -> Self {
        Self {
            config: ExemplarConfig {
                max: config.max.min(NONE as usize),
                ..config
            },
            slots: Vec::new(),
            next: 0,
            by_series: HashMap::new(),
        }
    }

    /// Takes an exemplar.
    pub(crate) fn push(&mut self, exemplar: &Exemplar) -> Taken {
        if self.config.max == 0 || self.config.per_series_max == 0 {
            return Taken::Nothing;
        }
        let series = exemplar.series;
        if let Some(ends) = self.by_series.get(&series) {
            let newest = self.slots[ends.newest as usize].exemplar.as_ref();
            match newest.map(|newest| rank(exemplar).cmp(&rank(newest))) {
                Some(std::cmp::Ordering::Less) => return Taken::OutOfOrder,
                Some(std::cmp::Ordering::Equal) => return Taken::Nothing,
                Some(std::cmp::Ordering::Greater) | None => {}
            }
            if ends.n_exemplars as usize >= self.config.per_series_max {
                self.take_oldest_of(series);
            }
        }
        let position = self.make_room();
        self.slots[position].exemplar = Some(exemplar.clone());
        self.slots[position].newer = NONE;
        self.link(series, position as u32);
        Taken::New
    }

    /// Forgets the exemplars of streams that `keep` does not want.
    pub(crate) fn retain(&mut self, keep: impl Fn(StreamId) -> bool) {
        let kept = self.in_order().filter(|exemplar| keep(exemplar.series.stream));
        let kept: Vec<Exemplar> = kept.cloned().collect();
        *self = Self::new(self.config);
        for exemplar in &kept {
            self.push(exemplar);
        }
    }

    /// All of them, in the order in which they came.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &Exemplar> {
        let (newer, older) = self.slots.split_at(self.next.min(self.slots.len()));
        let slots = older.iter().chain(newer);
        slots.filter_map(|slot| slot.exemplar.as_ref())
    }

    /// The series that have any, in no order.
    pub(crate) fn series(&self) -> impl Iterator<Item = SeriesRef> {
        self.by_series.keys().copied()
    }

    /// The streams that have any.
    pub(crate) fn streams(&self) -> HashSet<StreamId> {
        self.series().map(|series| series.stream).collect()
    }

    /// Those of one series within a time, both ends included, oldest first.
    pub(crate) fn of_series(
        &self,
        series: SeriesRef,
        first_ms: TimestampMs,
        last_ms: TimestampMs,
    ) -> impl Iterator<Item = &Exemplar> {
        let mut position = self.by_series.get(&series).map_or(NONE, |ends| ends.oldest);
        let all = std::iter::from_fn(move || {
            let slot = self.slots.get(position as usize)?;
            position = slot.newer;
            slot.exemplar.as_ref()
        });
        all.filter(move |exemplar| (first_ms..=last_ms).contains(&exemplar.timestamp_ms))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_series
            .values()
            .map(|ends| ends.n_exemplars as usize)
            .sum()
    }

    /// True when there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_series.is_empty()
    }

    /// Bytes of memory.
    pub(crate) fn heap_bytes(&self) -> usize {
        let labels = self.in_order().map(|exemplar| exemplar.labels.heap_bytes());
        self.slots.capacity() * size_of::<Slot>() + self.by_series.allocation_size() + labels.sum::<usize>()
    }

    /// A slot for the newest exemplar; the oldest one goes if there is no other.
    fn make_room(&mut self) -> usize {
        if self.slots.len() < self.config.max {
            self.slots.push(Slot {
                exemplar: None,
                newer: NONE,
            });
            return self.slots.len() - 1;
        }
        let position = self.next;
        self.next = (position + 1) % self.slots.len();
        // The oldest one of all is the oldest one of its series.
        if let Some(oldest) = &self.slots[position].exemplar {
            self.take_oldest_of(oldest.series);
        }
        position
    }

    fn take_oldest_of(&mut self, series: SeriesRef) {
        let Some(ends) = self.by_series.get_mut(&series) else {
            return;
        };
        let slot = &mut self.slots[ends.oldest as usize];
        slot.exemplar = None;
        ends.oldest = slot.newer;
        ends.n_exemplars -= 1;
        if ends.n_exemplars == 0 {
            self.by_series.remove(&series);
        }
    }

    fn link(&mut self, series: SeriesRef, position: u32) {
        let ends = self.by_series.entry(series).or_insert(Ends {
            oldest: position,
            newest: position,
            n_exemplars: 0,
        });
        ends.n_exemplars += 1;
        let before = std::mem::replace(&mut ends.newest, position);
        if before != position {
            self.slots[before as usize].newer = position;
        }
    }
}

/// The order of the exemplars of a series. Total, also for NaN.
fn rank(exemplar: &Exemplar) -> (TimestampMs, OrderedValue, &super::ExemplarLabels) {
    (
        exemplar.timestamp_ms,
        OrderedValue(exemplar.value),
        &exemplar.labels,
    )
}

/// A float by IEEE 754's total order.
#[derive(Debug)]
struct OrderedValue(f64);

impl Ord for OrderedValue {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for OrderedValue {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OrderedValue {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OrderedValue {}

#[cfg(test)]
mod tests {
    use model::LaneIdx;
    use proptest::prelude::*;

    use super::super::ExemplarLabels;
    use super::*;

    fn exemplar(series: u32, timestamp_ms: TimestampMs, value: f64, trace: &str) -> Exemplar {
        Exemplar {
            series: SeriesRef {
                stream: StreamId(series),
                lane: LaneIdx(0),
            },
            timestamp_ms,
            value,
            labels: ExemplarLabels::from_pairs([("trace_id", trace)]).unwrap(),
        }
    }

    fn ring(max: usize, per_series_max: usize) -> ExemplarRing {
        ExemplarRing::new(ExemplarConfig { max, per_series_max })
    }

    fn times(ring: &ExemplarRing, series: u32) -> Vec<TimestampMs> {
        let series = exemplar(series, 0, 0.0, "").series;
        let found = ring.of_series(series, TimestampMs::MIN, TimestampMs::MAX);
        found.map(|exemplar| exemplar.timestamp_ms).collect()
    }

    #[test]
    fn what_is_not_behind_the_newest_one_is_refused_and_the_newest_one_may_come_again() {
        let mut ring = ring(10, 10);
        assert_eq!(ring.push(&exemplar(1, 5, 1.0, "b")), Taken::New);
        assert_eq!(ring.push(&exemplar(1, 5, 1.0, "b")), Taken::Nothing);
        assert_eq!(ring.push(&exemplar(1, 4, 9.0, "z")), Taken::OutOfOrder);
        assert_eq!(ring.push(&exemplar(1, 5, 0.5, "z")), Taken::OutOfOrder);
        assert_eq!(ring.push(&exemplar(1, 5, 1.0, "a")), Taken::OutOfOrder);
        assert_eq!(ring.push(&exemplar(1, 5, 1.0, "c")), Taken::New);
        assert_eq!(ring.push(&exemplar(1, 5, 2.0, "a")), Taken::New);
        assert_eq!(ring.push(&exemplar(2, 1, 2.0, "a")), Taken::New, "another series");
        assert_eq!(ring.push(&exemplar(1, 6, f64::NAN, "a")), Taken::New);
        assert_eq!(ring.push(&exemplar(1, 6, f64::NAN, "a")), Taken::Nothing);
        assert_eq!((times(&ring, 1), times(&ring, 2)), (vec![5, 5, 5, 6], vec![1]));
    }

    #[test]
    fn the_oldest_one_makes_room_of_all_and_of_a_series() {
        let mut ring = ring(4, 2);
        for at_ms in 0..5 {
            ring.push(&exemplar(1, at_ms, 0.0, ""));
        }
        assert_eq!(times(&ring, 1), [3, 4]);
        for series in 2..6 {
            ring.push(&exemplar(series, 0, 0.0, ""));
        }
        assert_eq!((times(&ring, 1), ring.len()), (vec![], 4));
        assert_eq!(ring.streams().len(), 4);
        assert_eq!(ring.slots.len(), 4);
    }

    #[test]
    fn none_are_kept_when_none_are_wanted() {
        let mut ring = ring(0, 10);
        assert_eq!(ring.push(&exemplar(1, 5, 1.0, "b")), Taken::Nothing);
        assert!(ring.is_empty());
    }

    proptest! {
        #[test]
        fn a_ring_holds_what_a_list_would(
            pushed in prop::collection::vec((0_u32..4, 0_i64..40), 0..200),
            max in 1_usize..12,
            per_series_max in 1_usize..6,
        ) {
            let mut ring = ring(max, per_series_max);
            // The places of all that were ever taken, of which the last `max` count; false where one was displaced.
            let mut places: Vec<(u32, i64, bool)> = Vec::new();
            for (series, at_ms) in pushed {
                let taken = ring.push(&exemplar(series, at_ms, 0.0, ""));
                let first = places.len().saturating_sub(max);
                let of_series = |places: &[(u32, i64, bool)]| -> Vec<usize> {
                    (first..places.len()).filter(|at| places[*at].0 == series && places[*at].2).collect()
                };
                let held = of_series(&places);
                let newest = held.last().map(|at| places[*at].1);
                let expected = match newest {
                    Some(newest) if at_ms < newest => Taken::OutOfOrder,
                    Some(newest) if at_ms == newest => Taken::Nothing,
                    _ => Taken::New,
                };
                prop_assert_eq!(taken, expected);
                if taken == Taken::New {
                    if held.len() >= per_series_max {
                        places[held[0]].2 = false;
                    }
                    places.push((series, at_ms, true));
                }
                let last = &places[places.len().saturating_sub(max)..];
                let held: Vec<(u32, i64)> = last.iter().filter(|place| place.2).map(|place| (place.0, place.1)).collect();
                let found: Vec<(u32, i64)> = ring.in_order().map(|one| (one.series.stream.0, one.timestamp_ms)).collect();
                prop_assert_eq!(&found, &held);
                prop_assert_eq!(ring.len(), held.len());
                for series in 0..4 {
                    let expected: Vec<i64> = held.iter().filter(|one| one.0 == series).map(|one| one.1).collect();
                    prop_assert_eq!(times(&ring, series), expected);
                }
            }
        }

        #[test]
        fn a_ring_that_is_read_back_is_the_same(
            pushed in prop::collection::vec((0_u32..4, 0_i64..40), 0..100),
            max in 1_usize..12,
        ) {
            let mut ring = ring(max, 3);
            for (series, at_ms) in &pushed {
                ring.push(&exemplar(*series, *at_ms, 0.0, ""));
            }
            let mut again = self::ring(max, 3);
            for exemplar in ring.in_order() {
                prop_assert_eq!(again.push(exemplar), Taken::New);
            }
            prop_assert!(again.in_order().eq(ring.in_order()));
            ring.retain(|stream| stream.0 < 2);
            prop_assert!(ring.in_order().eq(again.in_order().filter(|one| one.series.stream.0 < 2)));
        }
    }
}

//! Start timestamps of the samples of a stream.
//!
//! A counter begins once and counts for hours, so what is kept is not a time per sample but runs of samples that have the
//! same one, or one that is the same distance before each. The lanes of a stream mostly began together and share their
//! runs; a lane that turns out to differ gets its own. A lane without runs has no start timestamp anywhere.

use std::sync::Arc;

use model::TimestampMs;

/// The start timestamp of all samples that every lane of a stream has had lately and, until somebody notices
/// otherwise, will have: the last run of the only group then has no end. Nothing has to be noted of a sample with this
/// start, and that is how nearly all come in.
///
/// A time up to 34 years behind [`Self::BASE_MS`]; what begins at another time is noted sample by sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OpenStart([u8; 5]);

/// Start timestamps of a stream; default: none.
#[derive(Debug, Default)]
pub(super) struct Starts {
    groups: Vec<Group>,
    /// For each lane its group plus 1, or 0. Lanes behind the end have none.
    group_of: Vec<u16>,
}

#[derive(Debug)]
struct Group {
    n_lanes: u32,
    runs: Arc<StartRuns>,
}

/// Start timestamps by time of the sample: runs in ascending order, none overlapping another. Between them there are
/// none.
#[derive(Debug, Clone, Default)]
pub(super) struct StartRuns(Vec<StartRun>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StartRun {
    /// Times of samples, both included.
    first_ms: TimestampMs,
    last_ms: TimestampMs,
    /// Of the first sample.
    start_ms: TimestampMs,
    /// Those of later samples are as much later as they are.
    moves: bool,
}

impl OpenStart {
    /// In 2014.
    const BASE_MS: TimestampMs = 1_400_000_000_000;

    /// Which one, or 0 if there is none.
    #[inline]
    pub(super) fn get(self) -> TimestampMs {
        let [a, b, c, d, e] = self.0;
        match i64::from_le_bytes([a, b, c, d, e, 0, 0, 0]) {
            0 => 0,
            distance_ms => Self::BASE_MS + distance_ms,
        }
    }

    fn of(start_ms: TimestampMs) -> Option<Self> {
        let distance_ms = start_ms.checked_sub(Self::BASE_MS)?;
        let [a, b, c, d, e, rest @ ..] = distance_ms.to_le_bytes();
        (distance_ms > 0 && rest == [0; 3]).then_some(Self([a, b, c, d, e]))
    }
}

impl Starts {
    /// Leaves the last run without an end, if all `lanes` share it and it has this start. A sample with it was just noted.
    pub(super) fn open(
        &mut self,
        start_ms: TimestampMs,
        mut lanes: impl Iterator<Item = u16>,
    ) -> Option<OpenStart> {
        let open_start = OpenStart::of(start_ms)?;
        let [group] = self.groups.as_slice() else {
            return None;
        };
        // A run of one sample may yet turn out to move.
        let is_steady =
            |run: &&StartRun| run.start_ms == start_ms && !run.moves && run.first_ms < run.last_ms;
        group.runs.0.last().filter(is_steady)?;
        if !lanes.all(|lane| self.group_idx(lane).is_some()) {
            return None;
        }
        self.close(TimestampMs::MAX);
        Some(open_start)
    }

    /// Gives the last run, which has no end, this one.
    pub(super) fn close(&mut self, last_ms: TimestampMs) {
        if let Some(group) = self.groups.first_mut()
            && let Some(run) = Arc::make_mut(&mut group.runs).0.last_mut()
        {
            run.last_ms = last_ms;
        }
    }

    /// The start timestamp of a sample at this time, if all lanes share their runs and one was noted.
    pub(super) fn of_all_lanes(&self, timestamp_ms: TimestampMs) -> Option<TimestampMs> {
        match self.groups.as_slice() {
            [group] => group.runs.get(timestamp_ms),
            _ => None,
        }
    }

    /// Lets a lane that had no sample before share the runs of the only group.
    pub(super) fn adopt(&mut self, lane: u16) {
        if self.group_idx(lane).is_none()
            && let Some(group) = self.groups.first_mut()
        {
            group.n_lanes += 1;
            self.assign(lane, 0);
        }
    }

    /// Notes when the counter of a new sample began, 0 if that is not known. `newest_ms` is when the newest sample of
    /// the stream is.
    pub(super) fn note(
        &mut self,
        lane: u16,
        timestamp_ms: TimestampMs,
        start_ms: TimestampMs,
        newest_ms: TimestampMs,
    ) {
        let Some(group_idx) = self.group_idx(lane) else {
            if start_ms != 0 {
                self.join(lane, timestamp_ms, start_ms, newest_ms);
            }
            return;
        };
        let group = &mut self.groups[group_idx];
        match group.runs.get(timestamp_ms) {
            Some(held) if held == start_ms => {}
            None if timestamp_ms > group.runs.last_ms() => {
                Arc::make_mut(&mut group.runs).push(timestamp_ms, start_ms);
            }
            None if start_ms == 0 => {}
            _ => {
                let own = self.own_group(lane, group_idx);
                Arc::make_mut(&mut own.runs).set(timestamp_ms, start_ms);
            }
        }
    }

    /// Forgets what belongs to samples older than `before_ms`, of whole runs.
    pub(super) fn drop_before(&mut self, before_ms: TimestampMs) {
        for group in &mut self.groups {
            let n_old = group.runs.0.partition_point(|run| run.last_ms < before_ms);
            if n_old > 0 {
                let runs = Arc::make_mut(&mut group.runs);
                runs.0.drain(..n_old);
                runs.0.shrink_to_fit();
            }
        }
        if self.groups.iter().all(|group| group.runs.0.is_empty()) {
            *self = Self::default();
        }
    }

    /// True when no sample has a start timestamp.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The runs of a lane, if it has any.
    pub(super) fn of_lane(&self, lane: u16) -> Option<&Arc<StartRuns>> {
        Some(&self.groups[self.group_idx(lane)?].runs)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let runs = self.groups.iter().map(|group| group.runs.heap_bytes());
        self.groups.capacity() * size_of::<Group>()
            + self.group_of.capacity() * size_of::<u16>()
            + runs.sum::<usize>()
    }

    fn group_idx(&self, lane: u16) -> Option<usize> {
        let group = *self.group_of.get(usize::from(lane))?;
        usize::from(group).checked_sub(1)
    }

    /// Puts a lane that has no start timestamp yet into a group that begins with this one, too.
    fn join(&mut self, lane: u16, timestamp_ms: TimestampMs, start_ms: TimestampMs, newest_ms: TimestampMs) {
        let mut begun = StartRuns(vec![StartRun::of_one(timestamp_ms, start_ms)]);
        if timestamp_ms < newest_ms {
            // Samples that are there already and newer have none.
            begun.0.push(StartRun {
                first_ms: timestamp_ms + 1,
                last_ms: newest_ms,
                start_ms: 0,
                moves: false,
            });
        }
        let known = self.groups.iter().position(|group| group.runs.0 == begun.0);
        let group_idx = known.unwrap_or_else(|| self.add_group(begun));
        self.groups[group_idx].n_lanes += 1;
        self.assign(lane, group_idx);
    }

    /// A group that the lane does not share.
    fn own_group(&mut self, lane: u16, group_idx: usize) -> &mut Group {
        let shared = &mut self.groups[group_idx];
        let mut own_idx = group_idx;
        if shared.n_lanes > 1 {
            shared.n_lanes -= 1;
            let runs = StartRuns::clone(&shared.runs);
            own_idx = self.add_group(runs);
            self.groups[own_idx].n_lanes = 1;
            self.assign(lane, own_idx);
        }
        &mut self.groups[own_idx]
    }

    fn add_group(&mut self, runs: StartRuns) -> usize {
        self.groups.push(Group {
            n_lanes: 0,
            runs: Arc::new(runs),
        });
        self.groups.len() - 1
    }

    fn assign(&mut self, lane: u16, group_idx: usize) {
        let lane = usize::from(lane);
        if self.group_of.len() <= lane {
            self.group_of.resize(lane + 1, 0);
        }
        // There are no more groups than lanes, and lane 65,535 has the group 65,535 at most.
        self.group_of[lane] = u16::try_from(group_idx + 1).unwrap_or(u16::MAX);
    }
}

impl StartRun {
    fn of_one(timestamp_ms: TimestampMs, start_ms: TimestampMs) -> Self {
        Self {
            first_ms: timestamp_ms,
            last_ms: timestamp_ms,
            start_ms,
            moves: false,
        }
    }

    fn at(&self, timestamp_ms: TimestampMs) -> TimestampMs {
        if self.moves {
            let elapsed_ms = timestamp_ms.wrapping_sub(self.first_ms);
            self.start_ms.wrapping_add(elapsed_ms)
        } else {
            self.start_ms
        }
    }

    /// Takes in a later sample if it fits.
    fn extend(&mut self, timestamp_ms: TimestampMs, start_ms: TimestampMs) -> bool {
        let moved = Self { moves: true, ..*self };
        if self.first_ms == self.last_ms && self.start_ms != 0 && moved.at(timestamp_ms) == start_ms {
            self.moves = true;
        }
        let fits = self.at(timestamp_ms) == start_ms;
        if fits {
            self.last_ms = timestamp_ms;
        }
        fits
    }
}

impl StartRuns {
    /// The start timestamp of a sample at this time, if one was noted.
    pub(super) fn get(&self, timestamp_ms: TimestampMs) -> Option<TimestampMs> {
        let run = self.0.get(self.position(timestamp_ms))?;
        (run.first_ms <= timestamp_ms).then(|| run.at(timestamp_ms))
    }

    /// Appends those of samples at these ascending times, 0 where there is none; nothing if there is none at all.
    pub(super) fn fill(&self, timestamps_ms: &[TimestampMs], starts_ms: &mut Vec<TimestampMs>) {
        let Some(first_ms) = timestamps_ms.first() else {
            return;
        };
        let n_before = starts_ms.len();
        let mut runs = &self.0[self.position(*first_ms)..];
        let mut any = 0;
        for timestamp_ms in timestamps_ms {
            while let [run, rest @ ..] = runs
                && run.last_ms < *timestamp_ms
            {
                runs = rest;
            }
            let run = runs.first().filter(|run| run.first_ms <= *timestamp_ms);
            let start_ms = run.map_or(0, |run| run.at(*timestamp_ms));
            any |= start_ms;
            starts_ms.push(start_ms);
        }
        if any == 0 {
            starts_ms.truncate(n_before);
        }
    }

    fn last_ms(&self) -> TimestampMs {
        self.0.last().map_or(TimestampMs::MIN, |run| run.last_ms)
    }

    fn push(&mut self, timestamp_ms: TimestampMs, start_ms: TimestampMs) {
        let fits = self
            .0
            .last_mut()
            .is_some_and(|last| last.extend(timestamp_ms, start_ms));
        if !fits {
            self.0.push(StartRun::of_one(timestamp_ms, start_ms));
        }
    }

    /// Changes what is said of one time.
    fn set(&mut self, timestamp_ms: TimestampMs, start_ms: TimestampMs) {
        let position = self.position(timestamp_ms);
        let own = StartRun::of_one(timestamp_ms, start_ms);
        let Some(run) = self
            .0
            .get(position)
            .copied()
            .filter(|run| run.first_ms <= timestamp_ms)
        else {
            self.0.insert(position, own);
            return;
        };
        let before = (run.first_ms < timestamp_ms).then(|| StartRun {
            last_ms: timestamp_ms - 1,
            ..run
        });
        let after = (run.last_ms > timestamp_ms).then(|| StartRun {
            first_ms: timestamp_ms + 1,
            start_ms: run.at(timestamp_ms + 1),
            ..run
        });
        let pieces = before.into_iter().chain([own]).chain(after);
        self.0.splice(position..=position, pieces);
    }

    /// The first run that does not end before this time.
    fn position(&self, timestamp_ms: TimestampMs) -> usize {
        self.0.partition_point(|run| run.last_ms < timestamp_ms)
    }

    fn heap_bytes(&self) -> usize {
        size_of::<Self>() + 2 * size_of::<usize>() + self.0.capacity() * size_of::<StartRun>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn n_runs(starts: &Starts) -> usize {
        starts.groups.iter().map(|group| group.runs.0.len()).sum()
    }

    #[test]
    fn lanes_that_began_together_share_one_run() {
        let mut starts = Starts::default();
        for row in 0..1_000 {
            for lane in 0..22 {
                let now_ms = 1_000 + row * 15;
                starts.note(lane, now_ms, 500, now_ms);
            }
        }
        assert_eq!((starts.groups.len(), n_runs(&starts)), (1, 1));
        // The counters begin again.
        for lane in 0..22 {
            starts.note(lane, 100_000, 99_999, 100_000);
        }
        assert_eq!((starts.groups.len(), n_runs(&starts)), (1, 2));
        assert_eq!(starts.of_lane(7).unwrap().get(1_015), Some(500));
        assert_eq!(starts.of_lane(7).unwrap().get(100_000), Some(99_999));
        assert!(starts.of_lane(22).is_none());
        assert!(starts.heap_bytes() < 400, "{}", starts.heap_bytes());
    }

    #[test]
    fn starts_that_move_with_the_samples_are_one_run() {
        let mut starts = Starts::default();
        for row in 1..1_000 {
            starts.note(3, row * 15, row * 15 - 15, row * 15);
        }
        // The first one is 0, which nobody knows.
        assert_eq!(n_runs(&starts), 1);
        assert_eq!(starts.of_lane(3).unwrap().get(150), Some(135));
        assert_eq!(starts.of_lane(3).unwrap().get(15), None);
    }

    #[test]
    fn a_lane_that_differs_leaves_its_group() {
        let mut starts = Starts::default();
        for lane in 0..3 {
            starts.note(lane, 10, 5, 10);
        }
        starts.note(0, 20, 5, 20);
        starts.note(1, 20, 15, 20);
        starts.note(2, 20, 5, 20);
        starts.note(2, 30, 0, 30);
        let read = |lane: u16| {
            let mut filled = Vec::new();
            starts
                .of_lane(lane)
                .unwrap()
                .fill(&[5, 10, 20, 30, 40], &mut filled);
            filled
        };
        assert_eq!(read(0), [0, 5, 5, 0, 0]);
        assert_eq!(read(1), [0, 5, 15, 0, 0]);
        assert_eq!(read(2), [0, 5, 5, 0, 0]);
        assert_eq!(starts.groups.len(), 2);
    }

    proptest! {
        #[test]
        fn every_sample_has_the_start_it_came_with(
            samples in proptest::collection::vec((0..3_u16, 0..30_i64, 0..4_i64, any::<bool>()), 0..80),
        ) {
            let (mut starts, mut newest_ms) = (Starts::default(), 0);
            let mut expected: BTreeMap<(u16, i64), i64> = BTreeMap::new();
            for (lane, at, start, moves) in samples {
                let at_ms = at * 10;
                let start_ms = if moves && start > 0 { at_ms - start } else { start };
                if let std::collections::btree_map::Entry::Vacant(entry) = expected.entry((lane, at_ms)) {
                    entry.insert(start_ms);
                    newest_ms = newest_ms.max(at_ms);
                    starts.note(lane, at_ms, start_ms, newest_ms);
                }
            }
            for ((lane, at_ms), start_ms) in &expected {
                let found = starts.of_lane(*lane).and_then(|runs| runs.get(*at_ms)).unwrap_or(0);
                prop_assert_eq!(found, *start_ms, "lane {} at {}", lane, at_ms);
            }
            for lane in 0..3 {
                let of_lane: Vec<_> = expected.iter().filter(|((of, _), _)| *of == lane).collect();
                let times: Vec<i64> = of_lane.iter().map(|((_, at_ms), _)| *at_ms).collect();
                let wanted: Vec<i64> = of_lane.iter().map(|(_, start_ms)| **start_ms).collect();
                let mut filled = Vec::new();
                if let Some(runs) = starts.of_lane(lane) {
                    runs.fill(&times, &mut filled);
                }
                filled.resize(times.len(), 0);
                prop_assert_eq!(filled, wanted);
            }
        }
    }
}

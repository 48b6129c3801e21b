//! Damaged files.

use testkit::Chance;

use super::*;
use crate::LOST_METRIC;
use crate::wal::{FramePlace, frames_of, segment_header_bytes};

impl World {
    /// Leaves one segment in the log, with these bytes.
    fn reset(&self, path: &Path, bytes: &[u8]) {
        for other in self.segments() {
            self.files.remove(&other).unwrap();
        }
        self.files.replace(path, bytes.to_vec());
    }
}

/// A log of so many groups, one sample of a known series and one of a new series each; with its content.
fn written(world: &World, n_groups: i64) -> Content {
    let (store, _) = world.open();
    for number in 0..n_groups {
        let pod = format!("pod-{number}");
        let (up, new) = (
            register(&store, UP),
            register(&store, &[("__name__", "x"), ("pod", &pod)]),
        );
        let samples = [(up, NOW_MS + number, number as f64), (new, NOW_MS, 0.5)];
        append(&store, &samples).unwrap();
    }
    store.close().unwrap();
    content(&store)
}

#[test]
fn a_torn_tail_of_any_length_is_cut_off_at_the_last_whole_record() {
    let world = World::new(1);
    let whole = written(&world, 5);
    let path = world.last_segment();
    let bytes = world.files.read(&path).unwrap();
    let frames = frames_of(&bytes, 1);
    // The last group: two definitions and more, samples, copies.
    let samples_frame = frames.iter().rev().find(|frame| frame.kind == 5).unwrap();
    for len in samples_frame.offset..bytes.len() as u64 {
        world.reset(&path, &bytes[..len as usize]);
        let (store, report) = world.open();
        let found = content(&store);
        assert_eq!(report.damaged, [], "{len} bytes");
        let good_end = frames
            .iter()
            .map(|frame| frame.end)
            .filter(|end| *end <= len)
            .max()
            .unwrap();
        let torn = report.torn.map(|torn| (torn.path, torn.offset, torn.bytes));
        let expected = (good_end < len).then(|| (path.clone(), good_end, len - good_end));
        assert_eq!(torn, expected);
        assert_eq!(world.files.read(&path).unwrap().len() as u64, good_end);
        assert_contains(&whole, &found);
        let n_samples: usize = found.values().map(BTreeMap::len).sum();
        let has_last = good_end >= samples_frame.end;
        assert_eq!(n_samples, if has_last { 10 } else { 8 }, "{len} bytes");
        drop(store);
    }
}

#[test]
fn a_flipped_bit_costs_at_most_the_record_it_is_in_and_is_told() {
    let world = World::new(1);
    let whole = written(&world, 20);
    let path = world.last_segment();
    let bytes = world.files.read(&path).unwrap();
    let frames = frames_of(&bytes, 1);
    let mut chance = Chance::from_seed(1);
    for _ in 0..400 {
        let bit = chance.below(bytes.len() as u64 * 8);
        let offset = bit / 8;
        world.reset(&path, &bytes);
        world.files.flip_bit(&path, bit);
        let (store, report) = world.open();
        let found = content(&store);
        let lost = whole.values().map(BTreeMap::len).sum::<usize>()
            - found.values().map(BTreeMap::len).sum::<usize>();
        assert_contains(&whole, &found);
        assert_eq!(report.lost_series_samples, 0, "bit {bit}");

        let hit = frames
            .iter()
            .find(|frame| (frame.offset..frame.end).contains(&offset));
        let told = report.damaged.iter().chain(&report.torn);
        let told: Vec<_> = told.map(|damage| (&damage.path, damage.offset)).collect();
        let place = hit.map_or(0, |frame| frame.offset);
        assert_eq!(told, [(&path, place)], "bit {bit}");
        let is_samples = hit.is_some_and(|frame| frame.kind == 5);
        assert_eq!(lost, if is_samples { 2 } else { 0 }, "bit {bit}");

        // Damage in the last group is told once: intact samples behind it stand in the next segment now.
        let was_torn = report.torn.is_some();
        world.files.crash();
        let (again, report) = world.open();
        assert_eq!(content(&again), found, "bit {bit}");
        assert_eq!((report.damaged.is_empty(), report.torn), (was_torn, None));
        drop(store);
    }
}

#[test]
fn holes_and_garbage_of_any_size_leave_the_rest() {
    let world = World::new(2);
    let whole = written(&world, 40);
    let path = world.last_segment();
    let bytes = world.files.read(&path).unwrap();
    let frames = frames_of(&bytes, 1);
    let mut chance = Chance::from_seed(2);
    for round in 0..100 {
        let start = chance.below(bytes.len() as u64);
        let end = (start + 1 + chance.below(3_000)).min(bytes.len() as u64);
        let mut damaged = bytes.clone();
        for byte in &mut damaged[start as usize..end as usize] {
            *byte = if round % 2 == 0 { 0 } else { chance.bits() as u8 };
        }
        world.reset(&path, &damaged);
        let (store, report) = world.open();
        let found = content(&store);
        // Zeros may be where zeros were.
        let is_intact = |frame: &&FramePlace| {
            let range = frame.offset as usize..frame.end as usize;
            frame.kind == 5 && damaged[range.clone()] == bytes[range]
        };
        let intact = frames.iter().filter(is_intact);
        let n_found: usize = found.values().map(BTreeMap::len).sum();
        assert_eq!(n_found, 2 * intact.count(), "{start}..{end}");
        let places = report.damaged.iter().chain(&report.torn);
        let places: Vec<u64> = places.map(|damage| damage.offset).collect();
        assert!(!places.is_empty() && places.iter().all(|place| *place < end));
        if report.lost_series_samples == 0 {
            assert_contains(&whole, &found);
        }
        drop(store);
    }
}

#[test]
fn intact_samples_behind_damage_in_the_last_group_survive_a_full_disk() {
    let world = World::new(1);
    let (store, _) = world.open();
    let up = register(&store, UP);
    append(&store, &[(up, NOW_MS, 1.0)]).unwrap();
    store.close().unwrap();
    let whole = content(&store);
    let path = world.last_segment();
    let n_bytes = world.files.read(&path).unwrap().len() as u64;
    world.files.flip_bit(&path, 8 * 100);
    for bytes_max in [Some(n_bytes + 10), None] {
        world.files.set_bytes_max(bytes_max);
        let (store, report) = world.open();
        assert_eq!(report.torn.unwrap().offset, 48);
        assert_eq!(content(&store), whole);
        world.files.crash();
    }
    let (store, report) = world.open();
    assert_eq!((content(&store), report.torn), (whole, None));
}

#[test]
fn samples_without_labels_are_kept_apart_and_their_ids_are_not_used_again() {
    let world = World::new(1);
    let whole = written(&world, 6);
    let path = world.last_segment();
    // All definitions of the third group, copies too: entity, stream and lane.
    let frames = frames_of(&world.files.read(&path).unwrap(), 1);
    let ends: Vec<usize> = (0..frames.len())
        .filter(|idx| frames[*idx].is_copy && frames.get(idx + 1).is_none_or(|next| !next.is_copy))
        .collect();
    let third = &frames[ends[1] + 1..=ends[2]];
    let definitions: Vec<_> = third.iter().filter(|frame| frame.kind != 5).collect();
    assert_eq!(definitions.len(), 6);
    for frame in definitions {
        world.files.flip_bit(&path, 8 * (frame.offset + 30));
    }
    let (store, report) = world.open();
    assert_eq!((report.damaged.len(), report.lost_series_samples), (6, 1));
    let found = content(&store);
    let lost: Vec<_> = found
        .iter()
        .filter(|(series, _)| series.contains(LOST_METRIC))
        .collect();
    assert_eq!(lost.len(), 1, "{found:?}");
    assert_eq!(*lost[0].1, BTreeMap::from([(NOW_MS, 0.5f64.to_bits())]));
    let mut rest = whole.clone();
    rest.remove("x{pod=\"pod-2\"}").unwrap();
    assert_contains(&found, &rest);

    // The series comes back, as another one; the old sample stays where it is, now and later.
    let again = register(&store, &[("__name__", "x"), ("pod", "pod-2")]);
    append(&store, &[(again, NOW_MS + 1, 7.0)]).unwrap();
    let before = content(&store);
    assert_eq!(
        before["x{pod=\"pod-2\"}"],
        BTreeMap::from([(NOW_MS + 1, 7.0f64.to_bits())])
    );
    for _ in 0..2 {
        world.files.crash();
        assert_eq!(content(&world.open().0), before);
    }
}

#[test]
fn a_later_segment_heals_definitions_lost_in_an_earlier_one() {
    let world = World::new(1);
    written(&world, 3);
    let whole = written(&world, 4);
    let path = &world.segments()[0];
    let bytes = world.files.read(path).unwrap();
    for frame in frames_of(&bytes, 1).iter().filter(|frame| frame.kind != 5) {
        world.files.flip_bit(path, 8 * (frame.offset + 25));
    }
    let (store, report) = world.open();
    assert!(report.damaged.len() > 10);
    assert_eq!(report.lost_series_samples, 0);
    assert_eq!(content(&store), whole);
}

#[test]
fn every_segment_can_be_read_without_those_before_it() {
    let mut world = World::new(1);
    world.config.segment_bytes = 1;
    let whole = written(&world, 60);
    let segments = world.segments();
    assert!(segments.len() > 5, "{} segments", segments.len());
    assert_eq!(content(&world.open().0), whole);
    for path in &segments[..segments.len() - 1] {
        world.files.remove(path).unwrap();
        let (store, report) = world.open();
        assert_eq!((report.lost_series_samples, report.damaged.len()), (0, 0));
        let found = content(&store);
        assert_contains(&whole, &found);
        assert!(found.len() > 1);
        let n_series = store.stats().catalog.n_series;
        assert_eq!(
            n_series,
            found.len(),
            "all series that have samples are known, and no others"
        );
        drop(store);
    }
}

#[test]
fn a_missing_or_shortened_segment_is_told() {
    let mut world = World::new(1);
    world.config.segment_bytes = 1;
    let whole = written(&world, 60);
    let segments = world.segments();
    let bytes = world.files.read(&segments[0]).unwrap();
    world
        .files
        .replace(&segments[0], bytes[..bytes.len() - 10].to_vec());
    world.files.remove(&segments[2]).unwrap();
    let (store, report) = world.open();
    let told: Vec<_> = report
        .damaged
        .iter()
        .map(|damage| (damage.path.clone(), damage.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (segments[0].clone(), "the end of the file is missing"),
            (segments[2].clone(), "the file is missing"),
            (segments[0].clone(), "the record is cut off"),
        ]
    );
    assert_contains(&whole, &content(&store));
}

#[test]
fn a_newer_format_is_refused_before_anything_is_changed() {
    let world = World::new(1);
    written(&world, 2);
    let path = world.last_segment();
    let mut bytes = world.files.read(&path).unwrap();
    bytes[..48].copy_from_slice(&segment_header_bytes(1, 9));
    bytes.extend_from_slice(b"something new");
    world.files.replace(&path, bytes.clone());
    let error = world.try_open().unwrap_err();
    assert_eq!(
        error.to_string(),
        "/data/wal/00000001.wal has format version 9; this program reads versions up to 6"
    );
    assert_eq!(world.files.read(&path).unwrap(), bytes);
}

//! What is too old is judged alike before and after a restart, whatever was being flushed meanwhile.

use testkit::Fault;

use super::*;
use crate::RefusalReason;
use crate::store::BlockConfig;

const WINDOW_MS: i64 = 60_000;

/// Samples may be half a minute late.
fn world(seed: u64) -> World {
    let mut world = World::new(seed);
    world.config.out_of_order_window_ms = WINDOW_MS / 2;
    world.config.blocks = BlockConfig {
        window_ms: WINDOW_MS,
        flush_interval_ms: i64::MAX,
        ..BlockConfig::default()
    };
    world
}

const OLD: &[(&str, &str)] = &[("__name__", "old")];

/// Refusals of samples of two series: one that has nothing newer than the cut, and one that has.
fn append_late(store: &Store) -> Vec<bool> {
    let late = |pairs| {
        let outcome = append(store, &[(register(store, pairs), NOW_MS, 7.0)]).unwrap();
        let is_old = |reason: RefusalReason| matches!(reason, RefusalReason::TooOld { .. });
        outcome.refused.iter().any(|refusal| is_old(refusal.reason))
    };
    vec![late(OLD), late(UP)]
}

fn fill(store: &Store) {
    append(store, &[(register(store, OLD), NOW_MS + WINDOW_MS, 1.0)]).unwrap();
    append(store, &[(register(store, UP), NOW_MS + WINDOW_MS, 2.0)]).unwrap();
    append(store, &[(register(store, UP), NOW_MS + 3 * WINDOW_MS, 3.0)]).unwrap();
}

fn ask_for_flush(store: &Store) -> mpsc::Receiver<bool> {
    let (told, flushed) = mpsc::channel();
    let done = Box::new(move |result: Result<_, Error>| told.send(result.is_ok()).unwrap());
    store.flush_before(Some(NOW_MS + 2 * WINDOW_MS), done).unwrap();
    flushed
}

#[test]
fn what_comes_late_while_a_flush_waits_for_a_reader_is_judged_alike_by_a_replay() {
    let world = world(1);
    let (store, _) = world.open();
    fill(&store);
    assert_eq!(append_late(&store), [true, true], "both have something newer");
    // A reader keeps the old rows in the head when they are in blocks already.
    let reader = store.select(&[], TimeRange::ALL).unwrap();
    assert!(ask_for_flush(&store).recv().unwrap());
    assert!(store.stats().head.n_samples >= 3);
    assert_eq!(
        append_late(&store),
        [false, true],
        "one has something newer that stays"
    );
    let before = content(&store);
    assert!(before[&labels(OLD).to_string()].contains_key(&NOW_MS));
    assert!(!before[&labels(UP).to_string()].contains_key(&NOW_MS));
    world.files.crash();
    drop((reader, store));
    let (store, report) = world.open();
    assert_eq!(report.damaged, []);
    assert_eq!(content(&store), before);
    assert!(ask_for_flush(&store).recv().unwrap());
    assert_eq!(content(&store), before);
}

#[test]
fn what_comes_late_after_a_flush_that_failed_is_judged_alike_by_a_replay() {
    let mut n_failed = 0;
    for operation in 0.. {
        let world = world(operation);
        let (store, _) = world.open();
        fill(&store);
        let failing = world.files.n_operations() + operation;
        world.files.fail_at(failing, Fault::Io);
        let is_flushed = ask_for_flush(&store).recv().unwrap();
        if world.files.n_operations() <= failing {
            break;
        }
        n_failed += usize::from(!is_flushed);
        let place = format!("operation {operation}, flushed: {is_flushed}");
        // The log may need a moment to be written again.
        append_when_healed(&store, &[(register(&store, UP), NOW_MS + 3 * WINDOW_MS, 3.0)]);
        let refused = append_late(&store);
        assert!(refused[1], "{place}");
        let before = content(&store);
        world.files.crash();
        drop(store);
        let (store, report) = world.open();
        assert_eq!(report.damaged, [], "{place}");
        assert_eq!(content(&store), before, "{place}");
        // What was taken is there, and what was refused is not.
        let has_old = before[&labels(OLD).to_string()].contains_key(&NOW_MS);
        assert_eq!(has_old, !refused[0], "{place}");
        assert!(ask_for_flush(&store).recv().unwrap(), "{place}");
        assert_eq!(content(&store), before, "{place}");
    }
    assert!(n_failed > 5, "only {n_failed} flushes failed");
}

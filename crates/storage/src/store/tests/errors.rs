//! Disks that fail and go on.

use testkit::Fault;

use super::*;

#[test]
fn after_any_error_the_store_goes_on_and_keeps_what_it_acknowledged() {
    for fault in [Fault::Io, Fault::Full, Fault::Short] {
        for operation in 0..40 {
            let mut world = World::new(operation);
            world.config.segment_bytes = if operation % 2 == 0 { 1 } else { 64 << 20 };
            let (store, _) = world.open();
            world.files.fail_at(world.files.n_operations() + operation, fault);
            let mut acknowledged = Content::new();
            let mut n_failed = 0;
            for number in 0..12 {
                let pod = format!("pod-{number}");
                let series = [("__name__", "up"), ("pod", pod.as_str())];
                let samples = [UP, &series].map(|pairs| {
                    let known = try_register(&store, &labels(pairs));
                    known.map(|series| (series, NOW_MS + number, number as f64))
                });
                let Ok(samples) = samples.into_iter().collect::<Result<Vec<_>, _>>() else {
                    continue;
                };
                match append(&store, &samples) {
                    Ok(_) => {
                        remember(&mut acknowledged, UP, NOW_MS + number, number as f64);
                        remember(&mut acknowledged, &series, NOW_MS + number, number as f64);
                    }
                    Err(error) => {
                        n_failed += 1;
                        assert!(matches!(error, Error::Io { .. } | Error::Unwritable), "{error}");
                    }
                }
            }
            let up = register(&store, UP);
            append_when_healed(&store, &[(up, NOW_MS + 100, 100.0)]);
            remember(&mut acknowledged, UP, NOW_MS + 100, 100.0);
            assert!(
                n_failed <= 1,
                "{n_failed} failed after one {fault:?} at {operation}"
            );
            assert_contains(&content(&store), &acknowledged);
            assert!(!store.stats().wal.is_failing);
            world.files.crash();
            let (again, report) = world.open();
            assert_contains(&content(&again), &acknowledged);
            assert_eq!(report.damaged, [], "{fault:?} at {operation}");
        }
    }
}

#[test]
fn a_full_disk_fails_requests_until_there_is_room() {
    let world = World::new(1);
    let (store, _) = world.open();
    let up = register(&store, UP);
    append(&store, &[(up, NOW_MS, 0.0)]).unwrap();
    let used = world.files.read(&world.last_segment()).unwrap().len() as u64;
    world.files.set_bytes_max(Some(used + 100));
    for number in 1..50 {
        let error = append(&store, &[(up, NOW_MS + number, 1.0)]).unwrap_err();
        assert!(matches!(error, Error::Io { .. } | Error::Unwritable), "{error}");
    }
    let (key, new) = (store.resolver().key(b"new"), labels(&[("__name__", "new")]));
    assert!(matches!(store.register(key, &new), Err(Error::Unwritable)));
    assert_eq!(
        register(&store, UP),
        up,
        "known series are found while the log cannot be written"
    );
    let stats = store.stats();
    assert!(stats.wal.is_failing && stats.wal.errors > 0);
    assert_eq!(content(&store).values().next().unwrap().len(), 1);

    world.files.set_bytes_max(None);
    append_when_healed(&store, &[(up, NOW_MS + 100, 2.0)]);
    let new = register(&store, &[("__name__", "new")]);
    append(&store, &[(new, NOW_MS, 3.0)]).unwrap();
    let before = content(&store);
    world.files.crash();
    let (again, report) = world.open();
    assert_eq!(content(&again), before);
    assert_eq!((report.damaged.len(), report.torn), (0, None));
    let left: u64 = world
        .segments()
        .iter()
        .map(|path| world.files.read(path).unwrap().len() as u64)
        .sum();
    assert!(left < 10 * used, "failed attempts leave no files behind");
}

#[test]
fn a_group_whose_sync_failed_never_comes_back() {
    let world = World::new(1);
    let (store, _) = world.open();
    let up = register(&store, UP);
    append(&store, &[(up, NOW_MS, 0.0)]).unwrap();
    // The write succeeds, the sync fails, and cutting off the leftovers fails too.
    let next = world.files.n_operations();
    world.files.fail_at(next + 1, Fault::Io);
    world.files.fail_at(next + 2, Fault::Io);
    append(&store, &[(up, NOW_MS + 1, 1.0)]).unwrap_err();
    let outcome = append_when_healed(&store, &[(up, NOW_MS + 1, 2.0)]);
    assert_eq!(outcome.refused, [], "the failed value was never visible");
    let before = content(&store);
    world.files.kill();
    let (again, report) = world.open();
    assert_eq!(content(&again), before);
    assert_eq!(report.damaged, []);
}

#[test]
fn definitions_of_a_failed_group_are_in_the_log_before_they_are_needed() {
    for n_failing in 1..6 {
        let world = World::new(n_failing);
        let (store, _) = world.open();
        let up = register(&store, UP);
        let next = world.files.n_operations();
        for operation in next..next + n_failing {
            world.files.fail_at(operation, Fault::Io);
        }
        // The request that registered the series dies; another one uses it.
        append(&store, &[(up, NOW_MS, 0.0)]).unwrap_err();
        append_when_healed(&store, &[(up, NOW_MS, 1.0)]);
        world.files.crash();
        let (again, report) = world.open();
        assert_eq!(report.lost_series_samples, 0);
        assert_eq!(content(&again), content(&store));
    }
}

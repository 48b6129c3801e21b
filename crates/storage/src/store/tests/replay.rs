//! A store that is opened again is the same store.

use proptest::prelude::*;

use super::*;

/// Samples that contradict each other, come late, twice, and in any order.
fn requests() -> impl Strategy<Value = Vec<Vec<(u8, i64, u8)>>> {
    let sample = (0..6u8, 0..40i64, 0..3u8);
    let request = proptest::collection::vec(sample, 0..30);
    proptest::collection::vec(request, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn opening_again_gives_the_same_content_and_the_same_refusals(
        requests in requests(),
        window_ms in 0..20_000i64,
        segment_bytes in prop_oneof![Just(1u64), Just(64 << 20)],
    ) {
        let mut world = World::new(1);
        world.config.out_of_order_window_ms = window_ms;
        world.config.segment_bytes = segment_bytes;
        let (store, _) = world.open();
        let mut answers = Vec::new();
        let mut n_sent = 0;
        for request in &requests {
            let samples: Vec<_> = request
                .iter()
                .map(|(series, seconds, value)| {
                    let (stream, lane) = (format!("pod-{}", series / 3), format!("{}", series % 3));
                    let pairs = [("__name__", "x_bucket"), ("pod", stream.as_str()), ("le", lane.as_str())];
                    (register(&store, &pairs), NOW_MS + 1_000 * seconds, f64::from(*value))
                })
                .collect();
            n_sent += samples.len();
            answers.push(send(&store, batch(&samples)));
        }
        let mut n_written = 0;
        for answer in answers {
            n_written += answer.recv().unwrap().unwrap().written;
        }
        let before = content(&store);
        let stats = store.stats();
        prop_assert_eq!(stats.appended_samples, n_written as u64);
        prop_assert_eq!(
            (stats.refused_duplicate_samples + stats.refused_old_samples) as usize,
            n_sent - n_written
        );
        for _ in 0..2 {
            world.files.crash();
            let (again, report) = world.open();
            prop_assert_eq!(report.samples, n_sent as u64);
            prop_assert_eq!(&content(&again), &before);
            prop_assert_eq!(again.stats().head, stats.head);
        }
    }
}

#[test]
fn a_request_larger_than_a_record_is_kept_whole() {
    let world = World::new(1);
    let (store, _) = world.open();
    let up = register(&store, UP);
    let samples: Vec<_> = (0..150_000)
        .map(|number| (up, NOW_MS + number, number as f64))
        .collect();
    assert_eq!(append(&store, &samples).unwrap().written, samples.len());
    world.files.crash();
    let (again, report) = world.open();
    assert_eq!(report.samples, 150_000);
    assert_eq!(content(&again), content(&store));
}

#[test]
fn progress_reaches_the_end() {
    let world = World::new(1);
    let (store, _) = world.open();
    let up = register(&store, UP);
    for number in 0..10 {
        append(&store, &[(up, NOW_MS + number, 1.0)]).unwrap();
    }
    drop(store);
    let mut seen = Vec::new();
    let surroundings = Surroundings {
        clock: Arc::new(world.clock.clone()),
        files: Arc::new(world.files.clone()),
        secret: HashSecret::from_seed(9),
        release_memory: || (),
    };
    let config = world.config.clone();
    Store::open(Path::new("/data"), config, surroundings, &mut |progress| {
        seen.push(progress);
    })
    .unwrap();
    assert!(seen.is_sorted_by_key(|progress| progress.bytes));
    let last = seen.last().unwrap();
    assert_eq!((last.samples, last.bytes), (10, last.total_bytes));
}

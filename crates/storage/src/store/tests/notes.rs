//! Notes, and metadata beside them.

use super::*;

pub(super) fn put(store: &Store, name: &str, text: &str) -> Result<(), Error> {
    let (sender, receiver) = mpsc::channel();
    store.put_note(name, text, Box::new(move |done| sender.send(done).unwrap()))?;
    receiver.recv().unwrap()
}

pub(super) fn note(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

#[test]
fn notes_outlive_crashes_and_the_segments_that_held_them() {
    let mut world = World::new(1);
    let (store, _) = world.open();
    put(&store, "ha/a", "old").unwrap();
    put(&store, "ha/a", "new").unwrap();
    put(&store, "ha/b", "gone").unwrap();
    put(&store, "ha/b", "").unwrap();
    put(&store, "hb", "other").unwrap();
    let expected = [note("ha/a", "new")];
    assert_eq!(store.notes("ha/"), expected);
    world.files.crash();
    let (store, report) = world.open();
    assert_eq!((report.torn, report.damaged), (None, vec![]));
    assert_eq!(store.notes("ha/"), expected);
    assert_eq!(store.notes(""), [note("ha/a", "new"), note("hb", "other")]);

    // Restated in the next segment, so the first one may go.
    append(&store, &[(register(&store, UP), NOW_MS, 1.0)]).unwrap();
    drop(store);
    world.config.segment_bytes = 1;
    world.files.remove(&world.segments()[0]).unwrap();
    assert_eq!(world.open().0.notes("ha/"), expected);
}

#[test]
fn notes_have_a_size_and_a_number() {
    let world = World::new(1);
    let (store, _) = world.open();
    let error = put(&store, "a", &"x".repeat(100_000)).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    assert_eq!(store.notes(""), []);
}

#[test]
fn what_is_remembered_outlives_a_log_that_is_trimmed_to_the_end() {
    for wal_sync in [WalSync::Always, WalSync::Interval(1_000_000)] {
        let mut world = World::new(1);
        world.config.wal_sync = wal_sync;
        let (store, _) = world.open();
        put(&store, "ha/a", "b").unwrap();
        put_metadata(&store);
        let mut store = store;
        for round in 0..3 {
            append(&store, &[(register(&store, UP), NOW_MS + round, 1.0)]).unwrap();
            let (sender, receiver) = mpsc::channel();
            let done = Box::new(move |flushed| sender.send(flushed).unwrap());
            store.flush(done).unwrap();
            assert_eq!(receiver.recv().unwrap().unwrap().samples, 1);
            // Told when the blocks are durable; the log is trimmed when the flush is over.
            store.close().unwrap();
            assert_eq!(world.segments().len(), 1);
            world.files.crash();
            let report;
            (store, report) = world.open();
            assert_eq!((report.samples, report.damaged), (0, vec![]), "round {round}");
            assert_eq!(store.notes(""), [note("ha/a", "b")]);
            assert_eq!(store.metadata(), metadata());
        }
    }
}

pub(super) fn put_metadata(store: &Store) {
    let (sender, receiver) = mpsc::channel();
    let done = Box::new(move |done| sender.send(done).unwrap());
    store.put_metadata(metadata(), done).unwrap();
    receiver.recv().unwrap().unwrap();
}

pub(super) fn metadata() -> Vec<MetricMetadata> {
    vec![MetricMetadata {
        metric_name: "latency".to_owned(),
        metric_type: MetricType::Histogram,
        help: "how long it takes".to_owned(),
        unit: "seconds".to_owned(),
    }]
}

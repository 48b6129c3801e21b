//! Notes, and logs of the version before them.

use super::*;

fn put(store: &Store, name: &str, text: &str) -> Result<(), Error> {
    let (sender, receiver) = mpsc::channel();
    store.put_note(name, text, Box::new(move |done| sender.send(done).unwrap()))?;
    receiver.recv().unwrap()
}

fn note(name: &str, text: &str) -> (String, String) {
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

fn put_metadata(store: &Store) {
    let (sender, receiver) = mpsc::channel();
    let done = Box::new(move |done| sender.send(done).unwrap());
    store.put_metadata(metadata(), done).unwrap();
    receiver.recv().unwrap().unwrap();
}

/// A segment of version 2: a float, native histograms and start timestamps, metadata.
fn version_2() -> Vec<u8> {
    let world = World::new(1);
    let (store, _) = world.open();
    put_metadata(&store);
    for number in 0..5 {
        let batch = extended::scrape(&store, number);
        send(&store, batch).recv().unwrap().unwrap();
    }
    store.close().unwrap();
    let mut bytes = world.files.read(&world.last_segment()).unwrap();
    let header = crate::wal::segment_header_bytes(1, 2);
    bytes[..header.len()].copy_from_slice(&header);
    bytes
}

fn metadata() -> Vec<MetricMetadata> {
    vec![MetricMetadata {
        metric_name: "latency".to_owned(),
        metric_type: MetricType::Histogram,
        help: "how long it takes".to_owned(),
        unit: "seconds".to_owned(),
    }]
}

/// `MESHTIDE_BLESS=1` writes the fixture, which nobody should do any more.
#[test]
fn a_log_of_version_2_is_read_and_continued() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/version-2.wal");
    if std::env::var_os("MESHTIDE_BLESS").is_some() && !path.exists() {
        std::fs::write(&path, version_2()).unwrap();
    }
    let old = std::fs::read(&path).unwrap();
    assert_eq!(old[8..10], [2, 0]);
    let world = World::new(1);
    let (store, _) = world.open();
    append(&store, &[(register(&store, UP), NOW_MS, 1.0)]).unwrap();
    store.close().unwrap();
    world.files.replace(&world.last_segment(), old);

    let (store, report) = world.open();
    assert_eq!((report.samples, report.torn, report.damaged), (15, None, vec![]));
    assert_eq!(store.metadata(), metadata());
    let found = extended::whole(&store);
    let (histogram, _, start_ms) = &found["latency"][&(NOW_MS + 60_000)];
    assert_eq!((histogram.as_ref().unwrap().count, *start_ms), (14.0, NOW_MS - 7));
    put(&store, "a", "b").unwrap();
    send(&store, extended::scrape(&store, 100))
        .recv()
        .unwrap()
        .unwrap();
    let before = extended::whole(&store);
    drop(store);
    let (store, report) = world.open();
    assert_eq!((report.torn, report.damaged), (None, vec![]));
    assert_eq!(extended::whole(&store), before);
    assert_eq!(store.notes(""), [note("a", "b")]);
}

//! Segments of the log as older versions wrote them, read and continued by this one.
//!
//! `MESHTIDE_BLESS=1` writes a fixture that is missing, with the version in its header that is asked for; nobody should
//! do that any more. The log of this version is part of the data directories in [`super::fixture`].

use super::exemplars::{exemplar, send_with, times};
use super::notes::{metadata, note, put, put_metadata};
use super::*;

/// The fixture of a version, which `fill` fills.
fn old_log(version: u16, fill: impl FnOnce(&Store)) -> Vec<u8> {
    let name = format!("fixtures/version-{version}.wal");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("MESHTIDE_BLESS").is_some() && !path.exists() {
        let world = World::new(1);
        let (store, _) = world.open();
        fill(&store);
        store.close().unwrap();
        let mut bytes = world.files.read(&world.last_segment()).unwrap();
        let header = crate::wal::segment_header_bytes(1, version);
        bytes[..header.len()].copy_from_slice(&header);
        std::fs::write(&path, bytes).unwrap();
    }
    let log = std::fs::read(&path).unwrap();
    assert_eq!(log[8..10], version.to_le_bytes());
    log
}

/// A store whose only segment is this one.
fn world_of(log: Vec<u8>) -> World {
    let world = World::new(1);
    let (store, _) = world.open();
    append(&store, &[(register(&store, UP), NOW_MS, 1.0)]).unwrap();
    store.close().unwrap();
    world.files.replace(&world.last_segment(), log);
    world
}

#[test]
fn a_log_of_version_2_is_read_and_continued() {
    // Floats, native histograms and start timestamps, metadata.
    let world = world_of(old_log(2, |store| {
        put_metadata(store);
        for number in 0..5 {
            let batch = extended::scrape(store, number);
            send(store, batch).recv().unwrap().unwrap();
        }
    }));
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

#[test]
fn a_log_of_version_3_is_read_and_continued() {
    let world = world_of(old_log(3, |store| {
        put(store, "a", "b").unwrap();
        append(store, &[(register(store, UP), NOW_MS, 1.0)]).unwrap();
    }));
    let (store, report) = world.open();
    assert_eq!((report.samples, report.torn, report.damaged), (1, None, vec![]));
    assert_eq!(store.notes(""), [note("a", "b")]);
    let exemplars = vec![exemplar(register(&store, UP), 3, 1.0)];
    send_with(&store, SampleBatch::default(), exemplars)
        .recv()
        .unwrap()
        .unwrap();
    drop(store);
    let (store, report) = world.open();
    assert_eq!((report.torn, report.damaged), (None, vec![]));
    let expected: BTreeMap<String, Vec<i64>> = BTreeMap::from([(labels(UP).to_string(), vec![3])]);
    assert_eq!(times(&store), expected);
}

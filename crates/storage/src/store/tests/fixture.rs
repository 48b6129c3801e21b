//! Data directories written by this version and older ones, opened by every later one.
//!
//! - `data-1`: blocks of version 1, floats alone.
//! - `data-2`: blocks of version 2, with native histograms and start timestamps; a log of version 2.
//! - `data-3`: the log of version 5, with metadata, notes, exemplars and a cut.
//! - `data-4`: the same with blocks of version 3.
//! - `data-5`: the same with blocks of version 4.
//! - `data-6`: the same with a log of version 6.
//!
//! `MESHTIDE_BLESS=1 cargo test -p storage fixture` writes the last one again: only when nobody has data of this version
//! yet. A new format gets a fixture of its own beside it.

use std::path::PathBuf;

use testkit::MockClock;

use super::exemplars::{exemplar, send_with, times};
use super::notes::{metadata, note, put, put_metadata};
use super::*;
use crate::LocalFiles;
use crate::store::BlockConfig;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn open(dir: &Path) -> (Arc<Store>, RecoveryReport) {
    let surroundings = Surroundings {
        clock: Arc::new(MockClock::at(NOW_MS)),
        files: Arc::new(LocalFiles),
        secret: HashSecret::from_seed(1),
        release_memory: || (),
    };
    let config = StoreConfig {
        blocks: BlockConfig {
            flush_interval_ms: i64::MAX,
            ..BlockConfig::default()
        },
        ..StoreConfig::default()
    };
    Store::open(dir, config, surroundings, &mut |_| {}).unwrap()
}

const POD: &str = "pod-1";

fn samples(first: i64, end: i64) -> impl Iterator<Item = (i64, f64)> {
    let odd = [
        f64::from_bits(0xfff8_0000_dead_beef),
        -0.0,
        f64::INFINITY,
        model::stale_nan(),
        0.1,
    ];
    (first..end).map(move |row| {
        let value = if row % 7 == 0 {
            odd[row as usize / 7 % odd.len()]
        } else {
            row as f64
        };
        (NOW_MS + row * 15_000, value)
    })
}

const SERIES: [&[(&str, &str)]; 2] = [UP, &[("__name__", "x_bucket"), ("le", "0.5"), ("pod", POD)]];

/// What a directory holds: rows 0 to 50 in five blocks, 50 to 60 in the log, and rows 10 to 12 deleted. `print` says what
/// a sample looks like.
fn expected(print: impl Fn(f64) -> u64) -> Content {
    let mut content = Content::new();
    for (at, value) in samples(0, 60) {
        if !(NOW_MS + 150_000..=NOW_MS + 180_000).contains(&at) {
            for series in SERIES {
                let samples = content.entry(labels(series).to_string()).or_default();
                samples.insert(at, print(value));
            }
        }
    }
    content
}

/// Writes the directory of this version.
fn write(dir: &Path) {
    let (store, _) = open(dir);
    let wait = |ask: &dyn Fn(crate::Done<()>) -> Result<(), Error>| {
        let (sender, receiver) = mpsc::channel();
        ask(Box::new(move |done| sender.send(done).unwrap())).unwrap();
        receiver.recv().unwrap().unwrap();
    };
    let append_rows = |first, end| {
        let mut batch = SampleBatch::default();
        for series in SERIES.map(|series| register(&store, series)) {
            for (at, value) in samples(first, end) {
                push(&mut batch, series, at, value);
            }
        }
        assert_eq!(send(&store, batch).recv().unwrap().unwrap().refused, []);
    };
    let flush = || wait(&|done| store.flush(Box::new(move |result| done(result.map(|_| ())))));
    for first in [0, 10, 20, 30] {
        append_rows(first, first + 10);
        flush();
    }
    wait(&|done| store.delete(vec![Vec::new()], NOW_MS + 150_000, NOW_MS + 180_000, done));
    append_rows(40, 50);
    flush();
    put(&store, "ha/a", "b").unwrap();
    put_metadata(&store);
    let exemplars = (0..3)
        .map(|at| exemplar(register(&store, UP), NOW_MS + at, 0.5))
        .collect();
    send_with(&store, SampleBatch::default(), exemplars)
        .recv()
        .unwrap()
        .unwrap();
    append_rows(50, 60);
    store.close().unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Opens a copy of a directory, compares it with what it is to hold, and goes on with it.
fn check(name: &str, expected: &Content) {
    let dir = tempfile::tempdir().unwrap();
    copy(&folder(name), dir.path());
    let inspection = crate::inspect(&(Arc::new(LocalFiles) as Arc<dyn Files>), dir.path()).unwrap();
    assert_eq!(inspection.damaged, Vec::<String>::new());
    let (store, report) = open(dir.path());
    assert!(
        report.damaged.is_empty() && report.blocks.blocks >= 2,
        "{report:?}"
    );
    assert_eq!(content(&store), *expected);
    append(&store, &[(register(&store, UP), NOW_MS + 60 * 15_000, 1.0)]).unwrap();
    // What was written by an older version becomes blocks of this one.
    let (sender, receiver) = mpsc::channel();
    store
        .tidy(Box::new(move |merged| sender.send(merged).unwrap()))
        .unwrap();
    receiver.recv().unwrap().unwrap();
    store.close().unwrap();
    drop(store);
    let (store, _) = open(dir.path());
    let mut found = content(&store);
    let up = found.get_mut(&labels(UP).to_string()).unwrap();
    assert_eq!(up.remove(&(NOW_MS + 60 * 15_000)), Some(1.0_f64.to_bits()));
    assert_eq!(found, *expected);
}

#[test]
fn a_data_directory_of_version_1_is_opened_and_goes_on() {
    check("data-1", &expected(f64::to_bits));
}

/// Rows with floats, and rows with histograms or starts.
fn extended_content() -> Content {
    let n_plain = samples(0, 60).filter(|(_, value)| print_of(*value) == value.to_bits());
    assert!((10..50).contains(&n_plain.count()), "floats and histograms");
    expected(print_of)
}

#[test]
fn a_data_directory_of_version_2_is_opened_and_goes_on() {
    check("data-2", &extended_content());
}

#[test]
fn a_data_directory_of_version_3_is_opened_and_goes_on() {
    check_extended("data-3");
}

#[test]
fn a_data_directory_with_blocks_of_version_3_is_opened_and_goes_on() {
    check_extended("data-4");
}

#[test]
fn a_data_directory_with_blocks_of_version_4_is_opened_and_goes_on() {
    check_extended("data-5");
}

#[test]
fn a_data_directory_of_this_version_is_opened_and_goes_on() {
    let folder = folder("data-6");
    if std::env::var_os("MESHTIDE_BLESS").is_some() {
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        write(&folder);
        std::fs::remove_file(folder.join("lock")).unwrap();
    }
    check_extended("data-6");
}

fn check_extended(name: &str) {
    check(name, &extended_content());
    let dir = tempfile::tempdir().unwrap();
    copy(&folder(name), dir.path());
    let (store, _) = open(dir.path());
    assert_eq!(store.notes(""), [note("ha/a", "b")]);
    assert_eq!(store.metadata(), metadata());
    let at = (0..3).map(|at| NOW_MS + at).collect();
    assert_eq!(times(&store), BTreeMap::from([(labels(UP).to_string(), at)]));
}

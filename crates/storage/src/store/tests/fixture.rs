//! A data directory written by this version, from now on opened by every later one.
//!
//! `MESHTIDE_BLESS=1 cargo test -p storage fixture` writes it again: only when nobody has data of this version yet. A
//! new format gets a fixture of its own beside it.

use std::path::PathBuf;

use testkit::MockClock;

use super::*;
use crate::LocalFiles;
use crate::store::BlockConfig;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/data-1")
}

fn open(dir: &Path) -> (Arc<Store>, RecoveryReport) {
    let surroundings = Surroundings {
        clock: Arc::new(MockClock::at(NOW_MS)),
        files: Arc::new(LocalFiles),
        secret: HashSecret::from_seed(1),
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

/// What the directory holds: rows 0 to 50 in five blocks, 50 to 60 in the log, and rows 10 to 12 deleted.
fn expected() -> Content {
    let mut content = Content::new();
    for (at, value) in samples(0, 60) {
        if !(NOW_MS + 150_000..=NOW_MS + 180_000).contains(&at) {
            remember(&mut content, UP, at, value);
            remember(
                &mut content,
                &[("__name__", "x_bucket"), ("le", "0.5"), ("pod", POD)],
                at,
                value,
            );
        }
    }
    content
}

fn write(dir: &Path) {
    let (store, _) = open(dir);
    let wait = |ask: &dyn Fn(crate::Done<()>) -> Result<(), Error>| {
        let (sender, receiver) = mpsc::channel();
        ask(Box::new(move |done| sender.send(done).unwrap())).unwrap();
        receiver.recv().unwrap().unwrap();
    };
    let append_rows = |first, end| {
        let bucket = [("__name__", "x_bucket"), ("le", "0.5"), ("pod", POD)];
        for series in [register(&store, UP), register(&store, &bucket)] {
            let rows: Vec<_> = samples(first, end)
                .map(|(at, value)| (series, at, value))
                .collect();
            append(&store, &rows).unwrap();
        }
    };
    let flush = || wait(&|done| store.flush(Box::new(move |result| done(result.map(|_| ())))));
    for first in [0, 10, 20, 30] {
        append_rows(first, first + 10);
        flush();
    }
    wait(&|done| store.delete(vec![Vec::new()], NOW_MS + 150_000, NOW_MS + 180_000, done));
    append_rows(40, 50);
    flush();
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

#[test]
fn a_data_directory_of_version_1_is_opened_and_goes_on() {
    if std::env::var_os("MESHTIDE_BLESS").is_some() {
        drop(std::fs::remove_dir_all(folder()));
        std::fs::create_dir_all(folder()).unwrap();
        write(&folder());
        std::fs::remove_file(folder().join("lock")).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    copy(&folder(), dir.path());
    let inspection = crate::inspect(&(Arc::new(LocalFiles) as Arc<dyn Files>), dir.path()).unwrap();
    assert_eq!(inspection.damaged, Vec::<String>::new());
    let (store, report) = open(dir.path());
    assert!(
        report.damaged.is_empty() && report.blocks.blocks >= 2,
        "{report:?}"
    );
    assert_eq!(content(&store), expected());
    append(&store, &[(register(&store, UP), NOW_MS + 60 * 15_000, 1.0)]).unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(
        content(&open(dir.path()).0)[&labels(UP).to_string()].len(),
        60 - 3 + 1
    );
}

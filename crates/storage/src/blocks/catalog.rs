//! Keeping the catalog of blocks: numbered records, each whole, each made by putting an object that must not exist.
//!
//! A record counts when its object is durable. A crash in between leaves an object that is cut off or was never
//! named: the record before it counts then, and the number is passed over. Records older than the one before the
//! newest are removed.

use std::path::PathBuf;
use std::sync::Arc;

use super::objects::Objects;
use super::record::{self, BadRecord};
use super::state::CatalogState;
use crate::Error;

const PREFIX: &str = "catalog/";
const SUFFIX: &str = ".record";

/// The records of a data directory, open for writing the next one.
#[derive(Debug)]
pub(crate) struct CatalogRecords {
    objects: Arc<Objects>,
    /// The newest record that counts; 0 if there is none.
    number: u64,
    next_number: u64,
    /// Records that do not count and are still there.
    others: Vec<u64>,
    state: CatalogState,
}

/// What counts in a data directory, without changing anything.
///
/// # Errors
/// As [`CatalogRecords::open`].
pub(crate) fn read_catalog(objects: Arc<Objects>) -> Result<(CatalogState, CatalogReport), Error> {
    let (records, report) = CatalogRecords::open(objects)?;
    Ok((records.state, report))
}

/// What was found when a catalog was opened.
#[derive(Debug, Default)]
pub(crate) struct CatalogReport {
    /// Records that cannot be read, with the reason. The newest one may be a write that a crash interrupted.
    pub(crate) damaged: Vec<(PathBuf, String)>,
    /// Number of the record that counts; 0 if there is none.
    pub(crate) number: u64,
}

impl CatalogReport {
    /// True when a newer record than the one that counts cannot be read.
    pub(crate) fn may_name_more(&self) -> bool {
        !self.damaged.is_empty()
    }
}

impl CatalogRecords {
    /// Reads the newest record that is intact.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::UnknownVersion`].
    pub(crate) fn open(objects: Arc<Objects>) -> Result<(Self, CatalogReport), Error> {
        let names = objects.list(PREFIX)?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
        numbers.sort_unstable();
        let mut report = CatalogReport::default();
        let mut state = CatalogState::default();
        for number in numbers.iter().rev() {
            let name = name_of(*number);
            let path = objects.describe(&name);
            match record::decode(&objects.get(&name)?, *number) {
                Ok(found) => {
                    report.number = *number;
                    state = found;
                    break;
                }
                Err(BadRecord::Version(found)) => {
                    let known = record::FORMAT_VERSION;
                    return Err(Error::UnknownVersion { path, found, known });
                }
                Err(BadRecord::Damaged(reason)) => report.damaged.push((path, reason)),
            }
        }
        let catalog = Self {
            objects,
            number: report.number,
            next_number: numbers.last().map_or(1, |last| last + 1),
            others: numbers
                .into_iter()
                .filter(|number| *number != report.number)
                .collect(),
            state,
        };
        Ok((catalog, report))
    }

    /// What counts now.
    pub(crate) fn state(&self) -> &CatalogState {
        &self.state
    }

    /// Makes a new state durable; it counts from then on. After an error the old one counts, and nobody knows what
    /// the next start finds unless another commit succeeds first: so nothing may be removed that the new state names.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn commit(&mut self, state: CatalogState) -> Result<(), Error> {
        let number = self.next_number;
        self.next_number += 1;
        let bytes = record::encode(number, &state).map_err(|error| {
            let path = self.objects.describe(&name_of(number));
            Error::io("write", &path, std::io::Error::other(error))
        })?;
        if let Err(error) = self.objects.put_new(&name_of(number), &bytes) {
            self.others.push(number);
            return Err(error);
        }
        let before = std::mem::replace(&mut self.number, number);
        self.state = state;
        self.remove_others();
        if before > 0 {
            self.others.push(before);
        }
        Ok(())
    }

    /// Removes what is two generations old or more. Should it fail, the next commit tries again.
    fn remove_others(&mut self) {
        let names: Vec<String> = self.others.iter().map(|number| file_name(*number)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if names.is_empty() {
            return;
        }
        match self.objects.delete(PREFIX, &names) {
            Ok(()) => self.others.clear(),
            Err(error) => {
                tracing::warn!(%error, "old records of the block catalog could not be removed");
            }
        }
    }
}

fn name_of(number: u64) -> String {
    format!("{PREFIX}{}", file_name(number))
}

fn file_name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| is_number && *number > 0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use model::Files;
    use testkit::{Fault, FaultyFiles};

    use super::super::state::entry;
    use super::*;

    fn open(files: &FaultyFiles) -> (CatalogRecords, CatalogReport) {
        let process: Arc<dyn Files> = Arc::new(files.process());
        process.create_dir(Path::new("/data")).unwrap();
        CatalogRecords::open(Arc::new(Objects::of_files(&process, Path::new("/data")))).unwrap()
    }

    fn with_blocks(n_blocks: u64) -> CatalogState {
        let mut state = CatalogState::default();
        state.add_blocks((1..=n_blocks).map(|id| entry(id, 0, 1)));
        state
    }

    #[test]
    fn the_newest_record_counts_and_old_ones_go() {
        let files = FaultyFiles::new(1);
        let (mut catalog, report) = open(&files);
        assert_eq!((catalog.state(), report.number), (&CatalogState::default(), 0));
        for n_blocks in 1..=5 {
            catalog.commit(with_blocks(n_blocks)).unwrap();
            files.crash();
            let report;
            (catalog, report) = open(&files);
            assert_eq!(
                (catalog.state(), report.number),
                (&with_blocks(n_blocks), n_blocks)
            );
        }
        let left = files.list(Path::new("/data/catalog")).unwrap();
        assert_eq!(
            left,
            ["00000000000000000004.record", "00000000000000000005.record"]
        );
    }

    #[test]
    fn a_commit_that_is_cut_anywhere_counts_wholly_or_not_at_all() {
        for operation in 0..12 {
            for seed in 0..20 {
                let files = FaultyFiles::new(seed);
                let (mut catalog, _) = open(&files);
                catalog.commit(with_blocks(1)).unwrap();
                files.fail_at(files.n_operations() + operation, Fault::Stop);
                let committed = catalog.commit(with_blocks(2));
                files.crash();
                let (mut after, report) = open(&files);
                if committed.is_ok() {
                    assert_eq!(after.state(), &with_blocks(2));
                } else {
                    assert!([with_blocks(1), with_blocks(2)].contains(after.state()));
                }
                assert!(report.damaged.len() <= 1);
                after.commit(with_blocks(3)).unwrap();
                files.crash();
                assert_eq!(open(&files).0.state(), &with_blocks(3));
            }
        }
    }

    #[test]
    fn a_damaged_record_is_told_and_the_one_before_it_counts() {
        let files = FaultyFiles::new(1);
        let (mut catalog, _) = open(&files);
        catalog.commit(with_blocks(1)).unwrap();
        catalog.commit(with_blocks(2)).unwrap();
        files.flip_bit(Path::new("/data/catalog/00000000000000000002.record"), 100);
        let (catalog, report) = open(&files);
        assert_eq!((catalog.state(), report.number), (&with_blocks(1), 1));
        assert!(report.damaged[0].0.ends_with("00000000000000000002.record"));
    }
}

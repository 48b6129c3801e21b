//! A file system in memory that fails on demand.
//!
//! What survives [`FaultyFiles::crash`]: bytes that a successful sync covered and directory entries that a
//! successful directory sync covered, always; of the rest any part, as [`Chance`] decides: a write may have
//! reached the disk whole, cut off anywhere, or with holes of 512-byte sectors. Bytes that a *failed* sync should
//! have covered are gone after a crash even if a later sync succeeded, as on Linux.
//!
//! Operations that change something (create, write, sync, truncate, remove, directory sync) are numbered from 0
//! in the order they are called; a [`Fault`] can be laid at each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{FileLock, Files, ReadFile, WriteFile};

use crate::Chance;

/// What goes wrong at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An input/output error. A write may have taken effect in part.
    Io,
    /// No space left. A write may have taken effect in part.
    Full,
    /// A write takes fewer bytes than given, without an error; other operations are as always.
    Short,
    /// The machine stops: this operation may have taken effect in part, and every later one fails until
    /// [`FaultyFiles::crash`].
    Stop,
}

/// A file system in memory. Clones are the same file system.
#[derive(Clone)]
pub struct FaultyFiles {
    state: Arc<Mutex<State>>,
    /// Set for what a process has: it is dead when the state has another life.
    life: Option<u64>,
}

struct State {
    chance: Chance,
    files: Vec<File>,
    dirs: BTreeSet<PathBuf>,
    entries: BTreeMap<PathBuf, usize>,
    durable_entries: BTreeMap<PathBuf, usize>,
    locks: BTreeSet<PathBuf>,
    faults: BTreeMap<u64, Fault>,
    n_operations: u64,
    bytes_max: Option<u64>,
    stopped: bool,
    /// Counts crashes; files opened before the last one are dead.
    life: u64,
}

#[derive(Debug, Default, Clone)]
struct File {
    bytes: Vec<u8>,
    /// Everything before is durable, but for `lost`.
    synced_len: usize,
    /// Covered by a failed sync.
    lost: Vec<Range<usize>>,
}

const SECTOR_BYTES: usize = 512;

impl FaultyFiles {
    /// An empty file system. `seed` decides what faults and crashes leave behind.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            chance: Chance::from_seed(seed),
            files: Vec::new(),
            dirs: BTreeSet::new(),
            entries: BTreeMap::new(),
            durable_entries: BTreeMap::new(),
            locks: BTreeSet::new(),
            faults: BTreeMap::new(),
            n_operations: 0,
            bytes_max: None,
            stopped: false,
            life: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            life: None,
        }
    }

    /// The same files as one process sees them: nothing works there any more after a crash or a kill.
    #[must_use]
    pub fn process(&self) -> Self {
        self.process_of(&self.state())
    }

    /// Lays a fault at the operation with this number.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.state().faults.insert(operation, fault);
    }

    /// How many changing operations there have been: the number of the next one.
    #[must_use]
    pub fn n_operations(&self) -> u64 {
        self.state().n_operations
    }

    /// Limits the size of all files together; `None` lifts the limit.
    pub fn set_bytes_max(&self, bytes_max: Option<u64>) {
        self.state().bytes_max = bytes_max;
    }

    /// The power goes off and on: what was not synced is lost in whole or in part, locks are free, open files are
    /// dead, faults are forgotten.
    pub fn crash(&self) {
        let mut state = self.state();
        state.lose_unsynced_entries();
        state.lose_unsynced_bytes();
        state.restart();
    }

    /// The process dies and starts again; the machine stays on, so nothing written is lost.
    pub fn kill(&self) {
        self.state().restart();
    }

    /// What a file holds.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`].
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state();
        let file = state.file_at(path)?;
        Ok(state.files[file].bytes.clone())
    }

    /// Replaces what a file holds, durably; makes it if missing.
    pub fn replace(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state();
        state.files.push(File {
            synced_len: bytes.len(),
            bytes,
            lost: Vec::new(),
        });
        let file = state.files.len() - 1;
        state.entries.insert(path.to_owned(), file);
        state.durable_entries.insert(path.to_owned(), file);
    }

    /// Flips one bit of a file; `bit` counts from the file's beginning.
    ///
    /// # Panics
    /// If there is no such file or it is shorter.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        let mut state = self.state();
        let file = state.file_at(path).expect("no such file");
        let byte = usize::try_from(bit / 8).expect("offset fits");
        state.files[file].bytes[byte] ^= 1 << (bit % 8);
    }

    /// These files for the process that now lives.
    fn process_of(&self, state: &State) -> Self {
        Self {
            state: Arc::clone(&self.state),
            life: Some(state.life),
        }
    }

    /// The state, for a process that still lives.
    fn living(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if self.life.is_none_or(|life| life == state.life) {
            Ok(state)
        } else {
            Err(stopped())
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts an operation and says what is to go wrong with it.
    fn begin(&mut self) -> io::Result<Option<Fault>> {
        if self.stopped {
            return Err(stopped());
        }
        let fault = self.faults.remove(&self.n_operations);
        self.n_operations += 1;
        if fault == Some(Fault::Stop) {
            self.stopped = true;
        }
        Ok(fault)
    }

    fn file_at(&self, path: &Path) -> io::Result<usize> {
        let not_found = || io::Error::new(io::ErrorKind::NotFound, format!("no file {}", path.display()));
        self.entries.get(path).copied().ok_or_else(not_found)
    }

    fn restart(&mut self) {
        self.locks.clear();
        self.faults.clear();
        self.stopped = false;
        self.life += 1;
    }

    fn lose_unsynced_entries(&mut self) {
        let paths: BTreeSet<PathBuf> = self
            .entries
            .keys()
            .chain(self.durable_entries.keys())
            .cloned()
            .collect();
        for path in paths {
            let (now, durable) = (self.entries.get(&path), self.durable_entries.get(&path));
            if now != durable && self.chance.one_in(2) {
                match durable.copied() {
                    Some(file) => self.entries.insert(path, file),
                    None => self.entries.remove(&path),
                };
            }
        }
        self.durable_entries.clone_from(&self.entries);
    }

    fn lose_unsynced_bytes(&mut self) {
        for file in &mut self.files {
            for range in std::mem::take(&mut file.lost) {
                let end = range.end.min(file.bytes.len());
                if let Some(bytes) = file.bytes.get_mut(range.start..end) {
                    bytes.fill(0);
                }
            }
            let n_unsynced = file.bytes.len() - file.synced_len;
            if n_unsynced > 0 && self.chance.one_in(2) {
                let kept = self.chance.index(n_unsynced + 1);
                file.bytes.truncate(file.synced_len + kept);
            }
            let n_sectors = file.bytes.len().div_ceil(SECTOR_BYTES);
            for sector in file.synced_len / SECTOR_BYTES..n_sectors {
                if self.chance.one_in(4) {
                    let start = (sector * SECTOR_BYTES).max(file.synced_len);
                    let end = ((sector + 1) * SECTOR_BYTES).min(file.bytes.len());
                    file.bytes[start..end].fill(0);
                }
            }
            file.synced_len = file.bytes.len();
        }
    }

    fn n_bytes(&self) -> u64 {
        self.entries
            .values()
            .map(|&file| self.files[file].bytes.len() as u64)
            .sum()
    }

    /// Takes a part of `bytes`, all of them if nothing is wrong.
    fn write(&mut self, file: usize, bytes: &[u8]) -> io::Result<usize> {
        let mut fault = self.begin()?;
        let room = self
            .bytes_max
            .map_or(u64::MAX, |max| max.saturating_sub(self.n_bytes()));
        let mut n_taken = bytes.len();
        if bytes.len() as u64 > room {
            n_taken = usize::try_from(room).unwrap_or(usize::MAX);
            fault = fault.or(Some(if n_taken == 0 { Fault::Full } else { Fault::Short }));
        } else if fault.is_some() && !bytes.is_empty() {
            n_taken = self.chance.index(bytes.len());
        }
        if fault == Some(Fault::Short) {
            n_taken = n_taken.max(1).min(bytes.len());
        }
        self.files[file].bytes.extend_from_slice(&bytes[..n_taken]);
        match fault {
            None | Some(Fault::Short) => Ok(n_taken),
            Some(fault) => Err(fault.error()),
        }
    }

    fn sync(&mut self, file: usize) -> io::Result<()> {
        let fault = self.begin()?;
        let file = &mut self.files[file];
        match fault {
            None | Some(Fault::Short) => {
                file.synced_len = file.bytes.len();
                Ok(())
            }
            Some(Fault::Stop) => Err(stopped()),
            Some(fault) => {
                file.lost.push(file.synced_len..file.bytes.len());
                Err(fault.error())
            }
        }
    }
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Io => io::Error::other("input/output error (injected)"),
            Self::Full => io::Error::new(io::ErrorKind::StorageFull, "no space left (injected)"),
            Self::Short | Self::Stop => stopped(),
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("the machine has stopped (injected)")
}

/// An operation that has its effect or fails without one.
fn all_or_nothing(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        None | Some(Fault::Short) => Ok(()),
        Some(fault) => Err(fault.error()),
    }
}

impl Files for FaultyFiles {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.living()?.dirs.extend(dir.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.living()?;
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let within = |path: &&PathBuf| path.parent() == Some(dir);
        let paths = state.entries.keys().chain(&state.dirs).filter(within);
        let names: BTreeSet<String> = paths
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect();
        Ok(names.into_iter().collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut state = self.living()?;
        if state.entries.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        all_or_nothing(state.begin()?)?;
        state.files.push(File::default());
        let file = state.files.len() - 1;
        state.entries.insert(path.to_owned(), file);
        Ok(Box::new(Writer {
            files: self.process_of(&state),
            file,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        drop(self.living()?);
        Ok(Box::new(Reader(io::Cursor::new(self.read(path)?))))
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut state = self.living()?;
        let fault = state.begin()?;
        let file = state.file_at(path)?;
        all_or_nothing(fault)?;
        let file = &mut state.files[file];
        file.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        file.synced_len = file.bytes.len();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.living()?;
        let fault = state.begin()?;
        state.file_at(path)?;
        all_or_nothing(fault)?;
        state.entries.remove(path);
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.living()?;
        if state.entries.keys().any(|path| path.parent() == Some(dir)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.dirs.remove(dir);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.living()?;
        all_or_nothing(state.begin()?)?;
        state.durable_entries.retain(|path, _| path.parent() != Some(dir));
        let added: Vec<_> = state
            .entries
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir))
            .map(|(path, file)| (path.clone(), *file))
            .collect();
        state.durable_entries.extend(added);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        let mut state = self.living()?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock {
            files: self.process_of(&state),
            path: path.to_owned(),
        }))
    }
}

/// A file being written.
#[derive(Debug)]
struct Writer {
    files: FaultyFiles,
    file: usize,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.files.living()?.write(self.file, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteFile for Writer {
    fn sync(&mut self) -> io::Result<()> {
        self.files.living()?.sync(self.file)
    }
}

/// A file being read, as it was when it was opened.
#[derive(Debug)]
struct Reader(io::Cursor<Vec<u8>>);

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Seek for Reader {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.seek(position)
    }
}

impl ReadFile for Reader {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.get_ref().len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = self.0.get_ref().get(start..).unwrap_or_default();
        let bytes = bytes.get(..buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// A lock that is held.
#[derive(Debug)]
struct Lock {
    files: FaultyFiles,
    path: PathBuf,
}

impl FileLock for Lock {}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Ok(mut state) = self.files.living() {
            state.locks.remove(&self.path);
        }
    }
}

/// Names and sizes, not what the files hold.
impl fmt::Debug for FaultyFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let sizes = state
            .entries
            .iter()
            .map(|(path, &file)| (path, state.files[file].bytes.len()));
        f.debug_map().entries(sizes).finish()
    }
}

#[cfg(test)]
mod tests;

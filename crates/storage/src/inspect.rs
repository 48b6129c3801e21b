//! Looking at a data directory: what it holds and whether it is sound.
//!
//! Changes nothing and takes no lock, so a server may be using the directory; what comes and goes meanwhile may then
//! look like damage. Reads every byte of it.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use model::Files;

use crate::Error;
use crate::block::Manifest;
use crate::blocks::files::{block_path, list_blocks, open_block};
use crate::blocks::objects::Objects;
use crate::blocks::state::CatalogState;
use crate::blocks::{BlockEntry, BlockId, read_catalog};
use crate::wal::survey_log;

/// What was found in a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// What it holds, as lines for people.
    pub found: Vec<String>,
    /// What is damaged, as lines for people. Nothing here means that it is sound.
    pub damaged: Vec<String>,
}

/// Looks at all of a data directory.
///
/// # Errors
/// [`Error::Io`] if there is no such directory, or it cannot be read.
pub fn inspect(files: &Arc<dyn Files>, dir: &Path) -> Result<Inspection, Error> {
    files.list(dir).map_err(|error| Error::io("list", dir, error))?;
    let mut inspection = Inspection::default();
    let objects = Arc::new(Objects::of_files(files, dir));
    let state = inspection.look_at_catalog(&objects)?;
    for block in &state.blocks {
        inspection.look_at_block(&objects, block);
    }
    inspection.look_at_folders(&objects, &state)?;
    inspection.look_at_overlaps(&state);
    inspection.look_at_log(&**files, &dir.join("wal"), &state)?;
    Ok(inspection)
}

impl Inspection {
    /// True when nothing is damaged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty()
    }

    fn look_at_catalog(&mut self, objects: &Arc<Objects>) -> Result<CatalogState, Error> {
        let (state, report) = read_catalog(Arc::clone(objects))?;
        for (path, reason) in &report.damaged {
            self.damaged.push(format!(
                "{}: {reason}. Either a crash interrupted its writing, then nothing is lost and the next record \
                 takes its place; or the disk has damaged it, then blocks that only it named are not used",
                path.display()
            ));
        }
        let n_samples: u64 = state.blocks.iter().map(|block| block.n_samples).sum();
        let n_bytes: u64 = state.blocks.iter().map(|block| block.bytes).sum();
        self.found.push(format!(
            "block catalog: record {}, {} blocks, {n_samples} samples, {n_bytes} bytes, {} deletions to be carried out",
            report.number,
            state.blocks.len(),
            state.deletions.len(),
        ));
        Ok(state)
    }

    fn look_at_block(&mut self, objects: &Objects, entry: &BlockEntry) {
        let path = block_path(objects, entry.id);
        self.found.push(format!(
            "{}: {} to {} ms, level {}, {} series, {} samples, {} bytes, from {}",
            path.display(),
            entry.first_ms,
            entry.last_ms,
            entry.level,
            entry.n_series,
            entry.n_samples,
            entry.bytes,
            sources(entry),
        ));
        let checked = open_block(objects, entry.id).and_then(|block| {
            block.verify()?;
            let manifest = block.manifest();
            Ok((differences(entry, manifest), manifest.n_histograms))
        });
        match checked {
            Ok((differences, n_histograms)) => {
                if n_histograms > 0 {
                    let line = format!("{}: {n_histograms} samples are native histograms", path.display());
                    self.found.push(line);
                }
                let told = differences
                    .into_iter()
                    .map(|difference| format!("{}: {difference}", path.display()));
                self.damaged.extend(told);
            }
            Err(error) => self
                .damaged
                .push(format!("{}: {}", path.display(), chain(&error))),
        }
    }

    fn look_at_folders(&mut self, objects: &Objects, state: &CatalogState) -> Result<(), Error> {
        for id in list_blocks(objects)? {
            if state.blocks.iter().all(|block| block.id != id) {
                self.found.push(format!(
                    "{}: not in the catalog. Left over from something interrupted, or about to be removed; \
                     the next start removes it",
                    block_path(objects, id).display()
                ));
            }
        }
        Ok(())
    }

    fn look_at_overlaps(&mut self, state: &CatalogState) {
        let mut blocks: Vec<&BlockEntry> = state.blocks.iter().collect();
        blocks.sort_unstable_by_key(|block| (block.first_ms, block.id));
        let mut widest: Option<&BlockEntry> = None;
        for block in blocks {
            if let Some(before) = widest
                && block.first_ms <= before.last_ms
            {
                self.found.push(format!(
                    "blocks {} and {} overlap in time: late samples or an early flush; the next merge of their \
                     day puts them together",
                    before.id.0, block.id.0
                ));
            }
            if widest.is_none_or(|before| block.last_ms > before.last_ms) {
                widest = Some(block);
            }
        }
    }

    fn look_at_log(&mut self, files: &dyn Files, dir: &Path, state: &CatalogState) -> Result<(), Error> {
        match files.list(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.found.push("log: none".to_owned());
                return Ok(());
            }
            _ => {}
        }
        let survey = survey_log(files, dir)?;
        let mut line = format!(
            "log: {} segments, {} bytes, {} records, {} samples",
            survey.segments, survey.bytes, survey.records, survey.samples
        );
        for mark in &state.flushed {
            line.push_str(&format!(
                "; what is older than {} ms and before segment {} is in blocks",
                mark.before_ms, mark.segments_below
            ));
        }
        self.found.push(line);
        let told = survey.damaged.iter().map(|damage| {
            format!(
                "{} at byte {}: {} ({} bytes)",
                damage.path.display(),
                damage.offset,
                damage.reason,
                damage.bytes
            )
        });
        self.damaged.extend(told);
        if let Some(damage) = survey.torn {
            self.found.push(format!(
                "{} at byte {}: an unfinished write, never acknowledged; the next start cuts it off",
                damage.path.display(),
                damage.offset
            ));
        }
        Ok(())
    }
}

/// Which blocks went into one.
fn sources(entry: &BlockEntry) -> String {
    if entry.level == 0 {
        return "the head".to_owned();
    }
    let BlockId(oldest) = entry.oldest_source;
    let BlockId(newest) = entry.newest_source;
    format!("blocks {oldest} to {newest}")
}

/// Where the catalog and the block itself do not agree.
fn differences(entry: &BlockEntry, manifest: &Manifest) -> Vec<String> {
    let pairs = [
        ("series", entry.n_series, manifest.n_series),
        (
            "samples",
            entry.n_samples,
            manifest.n_samples + manifest.n_histograms,
        ),
    ];
    let counts = pairs.into_iter().filter(|(_, listed, held)| listed != held);
    let mut differences: Vec<String> = counts
        .map(|(what, listed, held)| format!("the catalog says {listed} {what}, the block {held}"))
        .collect();
    if (entry.first_ms, entry.last_ms) != (manifest.first_ms, manifest.last_ms) {
        differences.push("the catalog says another range of time than the block".to_owned());
    }
    differences
}

fn chain(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

//! Merging blocks into one: reads them side by side, stream by stream.
//!
//! Memory: one stream of each block, and their tables of series. Nothing is kept of a merge that is interrupted; it
//! begins anew.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as MemoryOrdering};

use model::{BUCKET_LABEL, Labels, LaneKind, METRIC_NAME, Matcher, SeriesName, TimeRange, TimestampMs};

use super::files::{NewBlock, open_block};
use super::live::LiveBlock;
use super::merge::{StreamPart, blank, merge};
use super::objects::Objects;
use super::state::{BlockEntry, BlockId, Deletion};
use crate::block::{Block, BlockCatalog, StreamKey};
use crate::{Error, StreamBuffer};

/// What a merge is to do.
#[derive(Debug)]
pub(crate) struct Merge<'a> {
    pub(crate) objects: &'a Arc<Objects>,
    /// The blocks, in any order.
    pub(crate) inputs: Vec<Arc<LiveBlock>>,
    /// Deletions that may concern them.
    pub(crate) deletions: &'a [Deletion],
    /// All deletions with a lower number are done in the new block.
    pub(crate) deletions_done: u64,
    /// The number of the new block.
    pub(crate) id: BlockId,
    /// Set when it is to be given up.
    pub(crate) stop: &'a AtomicBool,
}

/// A block being read.
struct Input {
    block: Block,
    catalog: BlockCatalog,
    stream_idx: usize,
    /// Labels of the stream at hand.
    entity: Option<(u32, Labels)>,
    deletions: Vec<ParsedDeletion>,
    buffer: StreamBuffer,
}

/// A deletion, ready to be applied.
#[derive(Debug)]
pub(crate) struct ParsedDeletion {
    matchers: Vec<Matcher>,
    first_ms: TimestampMs,
    last_ms: TimestampMs,
}

/// Where streams are put together.
struct Spare {
    merged: StreamBuffer,
    other: StreamBuffer,
}

impl Default for Spare {
    fn default() -> Self {
        Self {
            merged: StreamBuffer::stored(),
            other: StreamBuffer::stored(),
        }
    }
}

impl Merge<'_> {
    /// Writes the new block, durably. None if nothing is left of the inputs.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the number of the block that is; [`Error::Io`]; [`Error::Closed`] when it was stopped.
    /// Nothing is left of the new block then, if the disk lets us.
    pub(crate) fn run(mut self) -> Result<Option<BlockEntry>, MergeError> {
        // In the order of age: the older block is right.
        self.inputs
            .sort_unstable_by_key(|block| block.entry.oldest_source);
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for block in &self.inputs {
            let input = self.open(block).map_err(|error| MergeError::of(block, error))?;
            inputs.push(input);
        }
        let mut output = NewBlock::begin(self.objects, self.id)?;
        let mut spare = Spare::default();
        while let Some(least) = least(&mut inputs) {
            if self.stop.load(MemoryOrdering::Relaxed) {
                return Err(Error::Closed.into());
            }
            self.copy_stream(&mut inputs, &least, &mut spare, &mut output)?;
        }
        let entry = output.finish()?;
        Ok(entry.map(|entry| self.describe(&entry)))
    }

    fn open(&self, block: &LiveBlock) -> Result<Input, Error> {
        let opened = open_block(self.objects, block.entry.id)?;
        let catalog = opened.load_catalog()?;
        let concerned = self.deletions.iter();
        let concerned = concerned.filter(|deletion| block.entry.is_concerned_by(deletion));
        Ok(Input {
            block: opened,
            catalog,
            stream_idx: 0,
            entity: None,
            deletions: concerned.map(ParsedDeletion::of).collect(),
            buffer: StreamBuffer::stored(),
        })
    }

    /// Merges the streams at hand that are the least, and steps over them.
    fn copy_stream(
        &self,
        inputs: &mut [Input],
        least: &[usize],
        spare: &mut Spare,
        output: &mut NewBlock,
    ) -> Result<(), MergeError> {
        for position in least {
            let (Some(input), Some(block)) = (inputs.get_mut(*position), self.inputs.get(*position)) else {
                continue;
            };
            input.read().map_err(|error| MergeError::of(block, error))?;
        }
        let chosen: Vec<&Input> = least
            .iter()
            .filter_map(|position| inputs.get(*position))
            .collect();
        let Some((base, entity)) = chosen.first().and_then(|input| input.key()) else {
            return Ok(());
        };
        let parts: Vec<StreamPart<'_>> = chosen.iter().map(|input| input.part()).collect();
        let (lanes, samples) = merge(&parts, &mut spare.merged, &mut spare.other);
        output
            .writer()
            .write_stream(StreamKey { base, entity }, &lanes, samples)?;
        for position in least {
            if let Some(input) = inputs.get_mut(*position) {
                input.stream_idx += 1;
            }
        }
        Ok(())
    }

    fn describe(&self, entry: &BlockEntry) -> BlockEntry {
        let inputs = || self.inputs.iter().map(|block| &block.entry);
        BlockEntry {
            oldest_source: inputs()
                .map(|block| block.oldest_source)
                .min()
                .unwrap_or(entry.id),
            newest_source: inputs()
                .map(|block| block.newest_source)
                .max()
                .unwrap_or(entry.id),
            level: 1 + inputs().map(|block| block.level).max().unwrap_or(0),
            deletions_done: self.deletions_done,
            ..entry.clone()
        }
    }
}

/// Why a merge failed.
#[derive(Debug)]
pub(crate) struct MergeError {
    /// The block that could not be read.
    pub(crate) damaged: Option<Arc<LiveBlock>>,
    pub(crate) error: Error,
}

impl MergeError {
    fn of(block: &Arc<LiveBlock>, error: Error) -> Self {
        Self {
            damaged: is_damage(&error).then(|| Arc::clone(block)),
            error,
        }
    }
}

impl From<Error> for MergeError {
    fn from(error: Error) -> Self {
        Self { damaged: None, error }
    }
}

/// True for errors that say that a block is not what it should be.
pub(crate) fn is_damage(error: &Error) -> bool {
    match error {
        Error::Damaged { .. } | Error::UnknownVersion { .. } => true,
        Error::Io { source, .. } => matches!(
            source.kind(),
            std::io::ErrorKind::NotFound | std::io::ErrorKind::UnexpectedEof
        ),
        _ => false,
    }
}

/// Which inputs have the least stream at hand; none when all are read.
fn least(inputs: &mut [Input]) -> Option<Vec<usize>> {
    for input in &mut *inputs {
        input.know_entity();
    }
    let mut least: Vec<usize> = Vec::new();
    for (position, input) in inputs.iter().enumerate() {
        let Some(key) = input.key() else {
            continue;
        };
        let held = least.first().and_then(|first| inputs.get(*first)?.key());
        match held.map_or(Ordering::Less, |held| key.cmp(&held)) {
            Ordering::Less => least = vec![position],
            Ordering::Equal => least.push(position),
            Ordering::Greater => {}
        }
    }
    (!least.is_empty()).then_some(least)
}

impl Input {
    /// Knows the labels of the stream at hand.
    fn know_entity(&mut self) {
        if self.stream_idx >= self.catalog.n_streams() {
            self.entity = None;
            return;
        }
        let entity = self.catalog.stream(self.stream_idx).entity();
        if self.entity.as_ref().is_none_or(|(held, _)| *held != entity) {
            self.entity = Some((entity, self.catalog.entity_labels(entity)));
        }
    }

    /// Base metric name and entity of the stream at hand.
    fn key(&self) -> Option<(&str, &Labels)> {
        let (_, labels) = self.entity.as_ref()?;
        Some((self.catalog.stream(self.stream_idx).base(), labels))
    }

    /// Reads the stream at hand, without what is deleted.
    fn read(&mut self) -> Result<(), Error> {
        self.block.read_stream(
            &self.catalog,
            self.stream_idx,
            TimeRange::ALL,
            None,
            &mut self.buffer,
        )?;
        let stream = self.catalog.stream(self.stream_idx);
        let Some((_, entity)) = self.entity.as_ref().filter(|_| !self.deletions.is_empty()) else {
            return Ok(());
        };
        let (timestamps_ms, lanes) = self.buffer.parts_mut();
        for (lane, kind) in lanes.iter_mut().zip(stream.lanes()) {
            for deletion in &self.deletions {
                if deletion.picks(stream.base(), kind, entity) {
                    blank(timestamps_ms, lane, deletion.first_ms, deletion.last_ms);
                }
            }
        }
        Ok(())
    }

    fn part(&self) -> StreamPart<'_> {
        StreamPart {
            lanes: self.catalog.stream(self.stream_idx).lanes().collect(),
            samples: &self.buffer,
        }
    }
}

impl ParsedDeletion {
    /// One whose matchers cannot be understood deletes nothing.
    pub(crate) fn of(deletion: &Deletion) -> Self {
        let matchers: Result<Vec<Matcher>, String> = deletion
            .matchers
            .iter()
            .map(super::state::StoredMatcher::to_matcher)
            .collect();
        let (first_ms, last_ms) = match &matchers {
            Ok(_) => (deletion.first_ms, deletion.last_ms),
            Err(error) => {
                tracing::error!(number = deletion.number, %error, "a deletion cannot be understood");
                (TimestampMs::MAX, TimestampMs::MIN)
            }
        };
        Self {
            matchers: matchers.unwrap_or_default(),
            first_ms,
            last_ms,
        }
    }

    /// True when it concerns a series.
    pub(crate) fn picks(&self, base: &str, lane: LaneKind<'_>, entity: &Labels) -> bool {
        self.matchers.iter().all(|matcher| match (matcher.name(), lane) {
            (METRIC_NAME, lane) => matcher.matches(&SeriesName { base, lane }.metric_name()),
            (BUCKET_LABEL, LaneKind::Bucket(le)) => matcher.matches(le),
            (name, _) => matcher.matches(entity.get(name)),
        })
    }

    /// The samples it takes out: oldest and newest, both included.
    pub(crate) fn extent(&self) -> (TimestampMs, TimestampMs) {
        (self.first_ms, self.last_ms)
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("stream_idx", &self.stream_idx)
            .finish_non_exhaustive()
    }
}

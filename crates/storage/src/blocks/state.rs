//! What the catalog of blocks says: which blocks count, what of the log they hold, and what is deleted in them.
//!
//! Changing it is pure; [`super::catalog`] makes changes durable.

use model::{MatchOp, Matcher, StreamId, TimeRange, TimestampMs};
use serde::{Deserialize, Serialize};

/// The number of a block; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockId(pub u64);

/// What is known of a block without opening it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockEntry {
    /// Its number, which names its folder.
    pub id: BlockId,
    /// The oldest block that went into it; its own number if it came from the head. Where two blocks have
    /// different samples at the same time of a series, the one with the lower number is right: it was first.
    pub oldest_source: BlockId,
    /// The newest block that went into it.
    pub newest_source: BlockId,
    /// How often it was merged: 0 from the head.
    pub level: u32,
    /// Its oldest sample, milliseconds since the epoch.
    pub first_ms: TimestampMs,
    /// Its newest sample.
    pub last_ms: TimestampMs,
    /// Series in it.
    pub n_series: u64,
    /// Samples in it.
    pub n_samples: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Deletions with a lower number left nothing of what they name in it.
    pub deletions_done: u64,
}

/// What of the log is in blocks: all samples older than `before_ms` in segments with a lower number than
/// `segments_below`, but for those of some streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// The first segment that may have more.
    pub segments_below: u64,
    /// The first time that may have more.
    pub before_ms: TimestampMs,
    /// Streams of which this is not said, ascending. Only programs whose blocks could not hold native histograms wrote
    /// any.
    #[serde(default)]
    pub except: Vec<u32>,
}

/// Samples that somebody wants gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// Its number; never used twice.
    pub number: u64,
    /// Which series: all of these fit.
    pub matchers: Vec<StoredMatcher>,
    /// The oldest sample that goes, milliseconds since the epoch.
    pub first_ms: TimestampMs,
    /// The newest sample that goes.
    pub last_ms: TimestampMs,
    /// It concerns what was there when it was asked for: blocks whose sources all have a lower number.
    pub blocks_below: BlockId,
}

/// A matcher as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMatcher {
    /// The label.
    pub name: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub op: String,
    /// What it is compared with.
    pub value: String,
}

/// Everything a catalog record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CatalogState {
    /// The number of the next block.
    pub next_block: BlockId,
    /// The number of the next deletion.
    pub next_deletion: u64,
    /// The blocks that count, by number.
    pub blocks: Vec<BlockEntry>,
    /// What of the log they hold; a sample is in blocks if one of these says so.
    pub flushed: Vec<Watermark>,
    /// What queries leave out of blocks and compaction will not copy, by number.
    pub deletions: Vec<Deletion>,
}

impl Default for CatalogState {
    fn default() -> Self {
        Self {
            next_block: BlockId(1),
            next_deletion: 1,
            blocks: Vec::new(),
            flushed: Vec::new(),
            deletions: Vec::new(),
        }
    }
}

impl BlockEntry {
    /// True when it may have samples in `range`.
    #[must_use]
    pub fn overlaps(&self, range: TimeRange) -> bool {
        range.overlaps(self.first_ms, self.last_ms)
    }

    /// True when a deletion takes something out of it that is still there.
    #[must_use]
    pub fn is_concerned_by(&self, deletion: &Deletion) -> bool {
        self.newest_source < deletion.blocks_below
            && deletion.number >= self.deletions_done
            && self.first_ms <= deletion.last_ms
            && deletion.first_ms <= self.last_ms
    }
}

impl Watermark {
    /// True when it says that a sample is in blocks.
    #[must_use]
    pub fn covers(&self, segment: u64, stream: StreamId, timestamp_ms: TimestampMs) -> bool {
        segment < self.segments_below
            && timestamp_ms < self.before_ms
            && self.except.binary_search(&stream.0).is_err()
    }
}

impl CatalogState {
    /// Adds blocks.
    pub(crate) fn add_blocks(&mut self, blocks: impl IntoIterator<Item = BlockEntry>) {
        self.blocks.extend(blocks);
        self.blocks.sort_unstable_by_key(|block| block.id);
    }

    /// Takes blocks out, and deletions that concern none of the rest.
    pub(crate) fn remove_blocks(&mut self, ids: &[BlockId]) {
        self.blocks.retain(|block| !ids.contains(&block.id));
        self.drop_done_deletions();
    }

    /// Notes what of the log is in blocks now. `oldest_segment` is the first that still exists.
    pub(crate) fn note_flushed(&mut self, watermark: Watermark, oldest_segment: u64) {
        self.flushed.push(watermark);
        let all = self.flushed.clone();
        let newest = all.iter().map(|mark| mark.segments_below).max();
        let mut kept: Vec<Watermark> = Vec::new();
        for mark in all {
            // The newest number must stay: segments are never numbered below it again.
            let is_needed = mark.segments_below > oldest_segment || Some(mark.segments_below) == newest;
            let is_covered = |other: &Watermark| {
                let says_as_much = other.except.is_empty() || other.except == mark.except;
                says_as_much
                    && other.segments_below >= mark.segments_below
                    && other.before_ms >= mark.before_ms
            };
            if is_needed && !kept.iter().any(is_covered) {
                kept.retain(|other| {
                    let says_more = !mark.except.is_empty() && other.except != mark.except;
                    says_more
                        || other.segments_below > mark.segments_below
                        || other.before_ms > mark.before_ms
                });
                kept.push(mark);
            }
        }
        self.flushed = kept;
    }

    /// Adds a deletion of what is in blocks now; its number is given out here.
    pub(crate) fn add_deletion(
        &mut self,
        matchers: Vec<StoredMatcher>,
        first_ms: TimestampMs,
        last_ms: TimestampMs,
    ) {
        self.deletions.push(Deletion {
            number: self.next_deletion,
            matchers,
            first_ms,
            last_ms,
            blocks_below: self.next_block,
        });
        self.next_deletion += 1;
        self.drop_done_deletions();
    }

    /// The deletions that take something out of a block.
    pub(crate) fn deletions_of<'a>(&'a self, block: &'a BlockEntry) -> impl Iterator<Item = &'a Deletion> {
        self.deletions
            .iter()
            .filter(|deletion| block.is_concerned_by(deletion))
    }

    fn drop_done_deletions(&mut self) {
        let blocks = &self.blocks;
        self.deletions
            .retain(|deletion| blocks.iter().any(|block| block.is_concerned_by(deletion)));
    }
}

impl From<&Matcher> for StoredMatcher {
    fn from(matcher: &Matcher) -> Self {
        let op = match matcher.op() {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        Self {
            name: matcher.name().to_owned(),
            op: op.to_owned(),
            value: matcher.value().to_owned(),
        }
    }
}

impl StoredMatcher {
    /// The matcher.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub(crate) fn to_matcher(&self) -> Result<Matcher, String> {
        let op = match &*self.op {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Regex,
            "!~" => MatchOp::NotRegex,
            other => return Err(format!("{other:?} is no operator of a matcher")),
        };
        Matcher::new(op, &*self.name, &*self.value).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
pub(crate) fn entry(id: u64, first_ms: TimestampMs, last_ms: TimestampMs) -> BlockEntry {
    BlockEntry {
        id: BlockId(id),
        oldest_source: BlockId(id),
        newest_source: BlockId(id),
        level: 0,
        first_ms,
        last_ms,
        n_series: 1,
        n_samples: 10,
        bytes: 100,
        deletions_done: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(segments_below: u64, before_ms: TimestampMs) -> Watermark {
        Watermark {
            segments_below,
            before_ms,
            except: Vec::new(),
        }
    }

    #[test]
    fn watermarks_that_say_nothing_more_are_dropped() {
        let mut state = CatalogState::default();
        state.note_flushed(mark(3, 100), 1);
        state.note_flushed(mark(5, 200), 1);
        assert_eq!(state.flushed, [mark(5, 200)]);
        state.note_flushed(mark(6, i64::MAX), 1);
        state.note_flushed(mark(9, 300), 4);
        assert_eq!(state.flushed, [mark(6, i64::MAX), mark(9, 300)]);
        state.note_flushed(mark(10, 400), 7);
        assert_eq!(state.flushed, [mark(10, 400)], "segments below 7 are gone");
        state.note_flushed(mark(10, i64::MAX), 10);
        assert_eq!(
            state.flushed,
            [mark(10, i64::MAX)],
            "even when there is no segment"
        );
    }

    #[test]
    fn a_watermark_that_leaves_streams_out_goes_with_the_next_that_does_not() {
        let partial = Watermark {
            except: vec![3],
            ..mark(5, 200)
        };
        let mut state = CatalogState::default();
        state.note_flushed(partial.clone(), 1);
        state.note_flushed(mark(5, 100), 1);
        assert_eq!(state.flushed, [partial, mark(5, 100)]);
        state.note_flushed(mark(5, 200), 1);
        assert_eq!(state.flushed, [mark(5, 200)]);
    }

    #[test]
    fn a_deletion_concerns_what_was_there_and_goes_when_nothing_is_left() {
        let mut state = CatalogState::default();
        let first = BlockId(1);
        state.next_block = BlockId(2);
        state.add_blocks([entry(first.0, 0, 100)]);
        let all = vec![StoredMatcher::from(&Matcher::equal("a", "b"))];
        state.add_deletion(all.clone(), 50, 60);
        state.add_deletion(all, 101, 200);
        assert_eq!(state.deletions.len(), 1, "the second concerns no block");
        let later = BlockId(2);
        state.add_blocks([entry(later.0, 0, 100)]);
        let concerned: Vec<bool> = state
            .blocks
            .iter()
            .map(|block| state.deletions_of(block).count() == 1)
            .collect();
        assert_eq!(concerned, [true, false]);
        let mut merged = entry(3, 0, 100);
        merged.newest_source = first;
        merged.deletions_done = state.next_deletion;
        state.add_blocks([merged]);
        state.remove_blocks(&[first]);
        assert!(state.deletions.is_empty());
    }

    #[test]
    fn matchers_are_kept_as_they_are() {
        for op in [
            MatchOp::Equal,
            MatchOp::NotEqual,
            MatchOp::Regex,
            MatchOp::NotRegex,
        ] {
            let matcher = Matcher::new(op, "job", "a|b").unwrap();
            let kept = StoredMatcher::from(&matcher).to_matcher().unwrap();
            assert_eq!((kept.name(), kept.op(), kept.value()), ("job", op, "a|b"));
        }
        let bad = StoredMatcher {
            name: "a".into(),
            op: "=".into(),
            value: "b".into(),
        };
        assert!(
            StoredMatcher {
                op: "~".into(),
                ..bad
            }
            .to_matcher()
            .is_err()
        );
    }
}

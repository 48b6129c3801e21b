//! Which blocks are merged next: a pure function of the list of blocks.
//!
//! Time is divided into windows (2 h), spans of three windows, and days. Every block lies within one day, a block
//! from the head within one window. When a span is over, its blocks become one, and when a day is over, its spans do:
//! what is read most, the last day, is four to six blocks then instead of twelve. Before, the blocks of one window become
//! one: late samples and early flushes leave several.
//!
//! - *Little is not rewritten for less.* A few small blocks beside a large one wait until they have a quarter of its
//!   size or are [`LOOSE_MAX`]; meanwhile they are merged with each other.
//! - *Space.* A merge keeps its inputs until its output is there. What it takes is at most half of all blocks, so
//!   that never more than 1.5 times the bytes lie on the disk; the first spans and the first day wait for that.
//! - *Order.* The blocks of one merge are neighbours in age among those of their time: the rule by which the older
//!   of two contradicting samples is right survives it.

use std::collections::BTreeMap;

use model::TimestampMs;

use super::state::{BlockEntry, BlockId};

/// Small blocks that may lie beside a large one of the same time.
const LOOSE_MAX: usize = 6;

/// Small blocks that become one without the large one.
const LOOSE_MERGED: usize = 4;

/// What may be rewritten whatever there is besides.
const BYTES_FREE: u64 = 16 << 20;

/// Windows of a span.
const SPAN_WINDOWS: i64 = 3;

/// Windows of a day.
const DAY_WINDOWS: i64 = 12;

/// What the choice depends on besides the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompactionPolicy {
    /// Length of a window, in milliseconds.
    pub(crate) window_ms: i64,
    /// Everything older is in blocks, but for late samples.
    pub(crate) closed_before_ms: TimestampMs,
}

/// Blocks to be merged into one, by number; none if all is well.
pub(crate) fn choose(blocks: &[BlockEntry], policy: CompactionPolicy) -> Option<Vec<BlockId>> {
    let limit = limit_bytes(blocks);
    let window_ms = policy.window_ms;
    let [day_ms, span_ms] = [DAY_WINDOWS, SPAN_WINDOWS].map(|n_windows| window_ms.saturating_mul(n_windows));
    let mut lengths = [(day_ms, span_ms), (span_ms, window_ms), (window_ms, window_ms)].into_iter();
    lengths.find_map(|(length_ms, part_ms)| {
        let spans = by_span(blocks, length_ms).into_iter();
        let mut closed =
            spans.filter(|(start_ms, _)| start_ms.saturating_add(length_ms) <= policy.closed_before_ms);
        closed.find_map(|(_, inside)| {
            let chosen = tidy(&inside, part_ms, limit)?;
            are_neighbours(&chosen, blocks).then(|| ids(&chosen))
        })
    })
}

/// How many bytes one merge may take.
fn limit_bytes(blocks: &[BlockEntry]) -> u64 {
    let all: u64 = blocks.iter().map(|block| block.bytes).sum();
    (all / 2).max(BYTES_FREE)
}

/// The blocks that lie within one span of time each, by its start.
fn by_span(blocks: &[BlockEntry], span_ms: i64) -> BTreeMap<TimestampMs, Vec<&BlockEntry>> {
    let mut spans: BTreeMap<TimestampMs, Vec<&BlockEntry>> = BTreeMap::new();
    for block in blocks {
        let (first, last) = (
            block.first_ms.div_euclid(span_ms),
            block.last_ms.div_euclid(span_ms),
        );
        if first == last {
            spans
                .entry(first.saturating_mul(span_ms))
                .or_default()
                .push(block);
        }
    }
    spans
}

/// Which of the blocks of one span are to become one. `part_ms` is the length of what it is divided into.
fn tidy<'a>(inside: &[&'a BlockEntry], part_ms: i64, limit: u64) -> Option<Vec<&'a BlockEntry>> {
    let largest = *inside.iter().max_by_key(|block| (block.bytes, block.id))?;
    let rest: Vec<&BlockEntry> = inside
        .iter()
        .copied()
        .filter(|block| block.id != largest.id)
        .collect();
    if rest.is_empty() {
        return None;
    }
    let rest_bytes: u64 = rest.iter().map(|block| block.bytes).sum();
    let is_much = rest_bytes.saturating_mul(4) >= largest.bytes || rest.len() >= LOOSE_MAX;
    let parts = |block: &BlockEntry| [block.first_ms, block.last_ms].map(|at_ms| at_ms.div_euclid(part_ms));
    let of_largest = parts(largest);
    // Before the first merge of several parts, all that is in them belongs together however small it is.
    let is_first =
        of_largest[0] == of_largest[1] && inside.iter().any(|block| parts(block)[0] != of_largest[0]);
    if (is_much || is_first) && rest_bytes + largest.bytes <= limit {
        return Some(inside.to_vec());
    }
    (rest.len() >= LOOSE_MERGED && rest_bytes <= limit).then_some(rest)
}

/// True when no other block of the same time is older than some of the chosen ones and newer than others.
fn are_neighbours(chosen: &[&BlockEntry], blocks: &[BlockEntry]) -> bool {
    let oldest = chosen.iter().map(|block| block.oldest_source).min();
    let newest = chosen.iter().map(|block| block.newest_source).max();
    let first_ms = chosen.iter().map(|block| block.first_ms).min();
    let last_ms = chosen.iter().map(|block| block.last_ms).max();
    let is_chosen = |block: &&BlockEntry| chosen.iter().any(|other| other.id == block.id);
    let mut others = blocks.iter().filter(|block| !is_chosen(block));
    others.all(|block| {
        let is_elsewhere = Some(block.last_ms) < first_ms || Some(block.first_ms) > last_ms;
        let is_apart = Some(block.newest_source) < oldest || Some(block.oldest_source) > newest;
        is_elsewhere || is_apart
    })
}

fn ids(blocks: &[&BlockEntry]) -> Vec<BlockId> {
    let mut ids: Vec<BlockId> = blocks.iter().map(|block| block.id).collect();
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests {
    use super::super::state::entry;
    use super::*;
    use testkit::Chance;

    const WINDOW_MS: i64 = 7_200_000;
    const MB: u64 = 1 << 20;

    /// A block of a window from the head.
    fn fresh(id: u64, window: i64, bytes: u64) -> BlockEntry {
        BlockEntry {
            bytes,
            ..entry(id, window * WINDOW_MS, (window + 1) * WINDOW_MS - 1)
        }
    }

    fn merged(blocks: &[BlockEntry], chosen: &[BlockId], id: u64) -> Vec<BlockEntry> {
        let inputs: Vec<&BlockEntry> = blocks.iter().filter(|block| chosen.contains(&block.id)).collect();
        let mut left: Vec<BlockEntry> = blocks
            .iter()
            .filter(|block| !chosen.contains(&block.id))
            .cloned()
            .collect();
        left.push(BlockEntry {
            oldest_source: inputs.iter().map(|block| block.oldest_source).min().unwrap(),
            newest_source: inputs.iter().map(|block| block.newest_source).max().unwrap(),
            level: 1,
            bytes: inputs.iter().map(|block| block.bytes).sum(),
            ..entry(
                id,
                inputs.iter().map(|block| block.first_ms).min().unwrap(),
                inputs.iter().map(|block| block.last_ms).max().unwrap(),
            )
        });
        left
    }

    fn check(blocks: &[BlockEntry], closed_windows: i64, chosen: &[u64]) {
        let policy = CompactionPolicy {
            window_ms: WINDOW_MS,
            closed_before_ms: closed_windows * WINDOW_MS,
        };
        let found = choose(blocks, policy).unwrap_or_default();
        assert_eq!(found, chosen.iter().map(|id| BlockId(*id)).collect::<Vec<_>>());
    }

    #[test]
    fn a_day_that_is_over_becomes_one_block() {
        let mut blocks: Vec<_> = (0..13)
            .map(|window| fresh(window as u64 + 1, window, MB))
            .collect();
        check(&blocks, 12, &(1..=12).collect::<Vec<_>>());
        blocks = merged(&blocks, &(1..=12).map(BlockId).collect::<Vec<_>>(), 20);
        check(&blocks, 13, &[]);
    }

    #[test]
    fn of_an_open_day_every_three_windows_become_one_block_and_in_the_end_all_do() {
        let mut blocks: Vec<_> = (0..13)
            .map(|window| fresh(window as u64 + 1, window, MB))
            .collect();
        check(&blocks, 2, &[]);
        for (span, closed) in [3, 6, 9].into_iter().enumerate() {
            let chosen = [closed - 2, closed - 1, closed].map(|id| id as u64);
            check(&blocks, closed, &chosen);
            blocks = merged(&blocks, &chosen.map(BlockId), 21 + span as u64);
            check(&blocks, closed + 2, &[]);
        }
        check(&blocks, 12, &[10, 11, 12, 21, 22, 23]);
        let blocks = merged(&blocks, &[10, 11, 12, 21, 22, 23].map(BlockId), 30);
        check(&blocks, 13, &[]);
    }

    #[test]
    fn a_small_span_is_merged_with_a_large_one_when_the_day_is_over_and_late_samples_wait_then() {
        let mut blocks = vec![fresh(1, 5, MB), fresh(2, 6, 100 * MB), fresh(3, 12, 300 * MB)];
        check(&blocks, 9, &[]);
        check(&blocks, 12, &[1, 2]);
        blocks = merged(&blocks, &[1, 2].map(BlockId), 10);
        blocks.push(fresh(11, 3, MB));
        check(&blocks, 13, &[]);
    }

    #[test]
    fn the_first_spans_of_a_large_store_wait_until_they_are_half_of_it() {
        let blocks: Vec<_> = (0..12)
            .map(|window| fresh(window as u64 + 1, window, 100 * MB))
            .collect();
        check(&blocks[..3], 3, &[]);
        check(&blocks[..5], 5, &[]);
        check(&blocks[..6], 6, &[1, 2, 3]);
        check(&blocks, 12, &[1, 2, 3]);
        let blocks = merged(&blocks, &[1, 2, 3].map(BlockId), 20);
        check(&blocks, 12, &[4, 5, 6]);
    }

    #[test]
    fn several_blocks_of_one_window_become_one_unless_the_others_are_small() {
        check(
            &[fresh(1, 0, 100 * MB), fresh(2, 0, 30 * MB), fresh(3, 1, 300 * MB)],
            2,
            &[1, 2],
        );
        check(
            &[fresh(1, 0, 100 * MB), fresh(2, 0, MB), fresh(3, 1, 300 * MB)],
            2,
            &[],
        );
        let few: Vec<_> = (2..6).map(|id| fresh(id, 0, MB)).collect();
        let blocks: Vec<_> = few
            .into_iter()
            .chain([fresh(1, 0, 100 * MB), fresh(9, 1, 300 * MB)])
            .collect();
        check(&blocks, 2, &[2, 3, 4, 5]);
        check(&blocks, 0, &[]);
    }

    #[test]
    fn blocks_between_which_another_stands_in_age_are_not_merged() {
        let mut wide = fresh(7, 0, 50 * MB);
        (wide.oldest_source, wide.newest_source) = (BlockId(2), BlockId(3));
        wide.last_ms = 3 * WINDOW_MS;
        check(&[fresh(1, 0, MB), fresh(4, 0, MB), wide], 3, &[]);
    }

    #[test]
    fn whatever_comes_merging_ends_and_takes_half_of_the_space_at_most() {
        for seed in 0..200 {
            let mut chance = Chance::from_seed(seed);
            let mut blocks: Vec<BlockEntry> = Vec::new();
            let mut next_id = 1;
            for window in 0..40 {
                for _ in 0..=chance.index(3) {
                    let at = window - chance.index(window as usize + 1) as i64 * i64::from(chance.one_in(2));
                    blocks.push(fresh(next_id, at, 1 + chance.index(60) as u64 * MB));
                    next_id += 1;
                }
                let policy = CompactionPolicy {
                    window_ms: WINDOW_MS,
                    closed_before_ms: (window + 1) * WINDOW_MS,
                };
                let mut n_merges = 0;
                while let Some(chosen) = choose(&blocks, policy) {
                    let bytes = |ids: &[BlockId]| -> u64 {
                        let chosen = blocks.iter().filter(|block| ids.contains(&block.id));
                        chosen.map(|block| block.bytes).sum()
                    };
                    assert!(chosen.len() > 1);
                    assert!(bytes(&chosen) <= limit_bytes(&blocks));
                    blocks = merged(&blocks, &chosen, next_id);
                    next_id += 1;
                    n_merges += 1;
                    assert!(n_merges < 100, "seed {seed}");
                }
            }
            // Three days are over: their blocks are few.
            assert!(blocks.len() < 40, "seed {seed}: {} blocks", blocks.len());
        }
    }
}

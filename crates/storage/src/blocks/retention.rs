//! Which blocks are too old or too many to be kept.

use model::TimestampMs;

use super::state::{BlockEntry, BlockId};

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Blocks go when their newest sample is older than this, in milliseconds.
    pub(crate) time_ms: i64,
    /// The oldest blocks go while all together have more bytes than this.
    pub(crate) bytes: Option<u64>,
}

/// The blocks that go, by number.
pub(crate) fn expired(blocks: &[BlockEntry], now_ms: TimestampMs, retention: Retention) -> Vec<BlockId> {
    let oldest_kept_ms = now_ms.saturating_sub(retention.time_ms);
    let (old, mut kept): (Vec<&BlockEntry>, Vec<&BlockEntry>) =
        blocks.iter().partition(|block| block.last_ms < oldest_kept_ms);
    let mut gone: Vec<BlockId> = old.iter().map(|block| block.id).collect();
    kept.sort_unstable_by_key(|block| (block.last_ms, block.id));
    let mut n_bytes: u64 = kept.iter().map(|block| block.bytes).sum();
    for block in kept {
        if retention.bytes.is_none_or(|bytes_max| n_bytes <= bytes_max) {
            break;
        }
        n_bytes -= block.bytes;
        gone.push(block.id);
    }
    gone.sort_unstable();
    gone
}

#[cfg(test)]
mod tests {
    use super::super::state::entry;
    use super::*;

    fn check(time_ms: i64, bytes: Option<u64>, gone: &[u64]) {
        let blocks = [
            entry(1, 300, 400),
            entry(2, 0, 100),
            entry(3, 100, 200),
            entry(4, 0, 150),
        ];
        let expired = expired(&blocks, 1_000, Retention { time_ms, bytes });
        assert_eq!(expired, gone.iter().map(|id| BlockId(*id)).collect::<Vec<_>>());
    }

    #[test]
    fn a_block_goes_when_its_newest_sample_is_too_old() {
        check(i64::MAX, None, &[]);
        check(900, None, &[]);
        check(899, None, &[2]);
        check(800, None, &[2, 4]);
        check(10, None, &[1, 2, 3, 4]);
    }

    #[test]
    fn the_oldest_blocks_go_while_there_is_too_much() {
        check(i64::MAX, Some(400), &[]);
        check(i64::MAX, Some(399), &[2]);
        check(i64::MAX, Some(250), &[2, 4]);
        check(899, Some(200), &[2, 4]);
        check(i64::MAX, Some(0), &[1, 2, 3, 4]);
    }
}

//! Pages of `samples.parquet` and `histograms.parquet`: version 2 data pages of Parquet, the encodings that `docs/format/block.md` chose.
//!
//! Parquet fixes what a page looks like; what is here writes a part of what it allows, and reads exactly what it
//! writes. Any bytes may be given to the reading side: what does not fit is a [`PageError`].
//!
//! `delta` packs integers, `floats` floats; `levels` and `lists` say which rows have which values, `header` stands before,
//! `encode` and `decode` put them together.

mod decode;
mod delta;
mod encode;
mod floats;
mod header;
mod levels;
mod lists;

pub(super) use decode::{Page, RowKind};
pub(super) use delta::DeltaReader;
pub(super) use encode::{EncodedPage, HISTOGRAMS_LEVEL, Levels, PageEncoder, SAMPLES_LEVEL};
pub(super) use header::Encoding;
pub(super) use levels::Runs;
pub(super) use lists::Lists;

/// Values a page holds at most.
pub(super) const PAGE_ROWS_MAX: usize = 1 << 20;

/// Counts of a run of more than one native histogram at most.
pub(super) const RUN_COUNTS_MAX: usize = 1 << 16;

/// Why bytes are no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PageError {
    /// They end too early.
    #[error("it ends within {0}")]
    Truncated(&'static str),
    /// Something has a value that nothing here writes.
    #[error("its {0} is invalid")]
    Invalid(&'static str),
}

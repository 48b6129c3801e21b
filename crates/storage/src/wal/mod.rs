//! The write-ahead log: what makes an acknowledged sample durable.
//!
//! `docs/format/wal.md` is the page about the files. Read in this order: `segment` and `frame` for how bytes
//! lie in files; `record` for what frames hold, with `samples`, `extended` (and `histogram` in it),
//! `definitions`, `metadata`, `notes`, `exemplars` and `cut` as Arrow record batches (`ipc`, samples by `message`); `writer` for the writing end;
//! `reader`, `chain`, `recovery` and `replay` for
//! the reading end.
//!
//! Invariants:
//! - A group of requests is written as: new definitions, metadata and notes, exemplars, samples, then the definitions once more. So
//!   definitions stand before the samples that need them, and a single damaged place never takes both copies.
//! - Every segment begins with the last cut and all definitions, metadata, notes and exemplars there are. It can be read without those before it,
//!   which may therefore be removed once their samples are kept elsewhere.
//! - Before a segment is removed, a later one that restates everything is durable.
//! - A segment whose write or sync failed is never written again.
//! - An id (of an entity, a stream, a lane) never means two things in the life of a data directory.
//!
//! Limits: 16 MiB per record, 65,536 rows per record, 65,536 samples per group unless one request has more.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::cast_possible_truncation,
        clippy::string_slice
    )
)]

mod bytes;
mod chain;
mod columns;
mod counters;
mod cut;
mod definitions;
mod exemplars;
mod extended;
mod frame;
mod histogram;
mod ipc;
mod lz4;
mod message;
mod metadata;
mod notes;
mod reader;
mod record;
mod recovery;
mod remembered;
mod replay;
mod report;
mod samples;
mod scan;
mod segment;
mod spans;
mod survey;
mod writer;

pub use counters::WalStats;
pub use notes::Note;
pub(crate) use record::is_definition;
pub use record::{Payload, Record, RecordEncoder, RecordKind, decode as decode_record};
pub use report::{Damage, RecoveryProgress, RecoveryReport};

pub(crate) use counters::WalCounters;
pub(crate) use cut::encode_cut;
pub(crate) use definitions::encode_definitions;
pub(crate) use exemplars::encode_exemplars;
pub(crate) use ipc::ROWS_MAX;
pub(crate) use metadata::encode_metadata;
pub(crate) use notes::encode_notes;
pub(crate) use recovery::{RecoveryTarget, recover};
pub(crate) use remembered::Remembered;
pub(crate) use replay::Replay;
pub(crate) use spans::SegmentSpans;
pub(crate) use survey::survey_log;
pub(crate) use writer::{WalEnd, WalWriter};

/// The metric name of samples whose series' labels are lost.
pub const LOST_METRIC: &str = "meshtide_lost_series";

#[cfg(test)]
pub(crate) use testing::{FramePlace, frames_of, segment_header_bytes};

/// What tests need to know about files.
#[cfg(test)]
mod testing {
    use super::frame::{FRAME_HEADER_BYTES, FrameHeader, FrameRole, Place};
    use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};

    /// Where a frame lies.
    pub(crate) struct FramePlace {
        pub(crate) offset: u64,
        pub(crate) end: u64,
        pub(crate) kind: u8,
        pub(crate) is_copy: bool,
    }

    /// The frames of an intact segment.
    pub(crate) fn frames_of(bytes: &[u8], segment: u64) -> Vec<FramePlace> {
        let mut frames = Vec::new();
        let mut offset = SEGMENT_HEADER_BYTES;
        while offset < bytes.len() {
            let place = Place {
                segment,
                offset: offset as u64,
            };
            let header = FrameHeader::from_bytes(&bytes[offset..], place).unwrap();
            let end = offset + FRAME_HEADER_BYTES + header.payload_len;
            frames.push(FramePlace {
                offset: offset as u64,
                end: end as u64,
                kind: header.kind,
                is_copy: header.role == FrameRole::Copy,
            });
            offset = end;
        }
        frames
    }

    /// The header of a segment in a version of its own.
    pub(crate) fn segment_header_bytes(number: u64, version: u16) -> [u8; SEGMENT_HEADER_BYTES] {
        let previous = None;
        let mut bytes = SegmentHeader { number, previous }.to_bytes();
        bytes[8..10].copy_from_slice(&version.to_le_bytes());
        let crc = codec::checksum::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

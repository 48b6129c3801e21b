//! Going through all segments: for everything, or for definitions alone.

use std::ops::Range;

use crossbeam_channel::Sender;
use model::Files;

use super::chain::{Chain, ChainedSegment};
use super::frame::FrameRole;
use super::reader::{Found, SegmentReader};
use super::record::{Record, decode, is_definition};
use super::replay::GatheredDefinitions;
use super::report::Damage;
use super::segment::SEGMENT_HEADER_BYTES;
use crate::Error;

/// What a scan hands over, in the order of the log.
#[derive(Debug)]
pub(crate) enum Step {
    /// A record; copies are left out.
    Record(FoundRecord),
    /// Something unreadable.
    Damage(Damage),
    /// A segment is done.
    Segment {
        /// Where its last intact frame ends; 0 if there is neither one nor an intact header.
        good_end: u64,
    },
}

/// A record and where it was.
#[derive(Debug)]
pub(crate) struct FoundRecord {
    pub(crate) record: Record,
    pub(crate) begins_group: bool,
    /// Position of its segment in the chain.
    pub(crate) segment_idx: usize,
    /// Where its frame begins.
    pub(crate) offset: u64,
    /// Bytes of the log up to its end.
    pub(crate) bytes_done: u64,
}

/// Reads all segments and sends what they hold; stops when nobody listens.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn scan(files: &dyn Files, chain: &Chain, steps: &Sender<Step>) -> Result<(), Error> {
    let mut bytes_before = 0;
    for (segment_idx, segment) in chain.segments.iter().enumerate() {
        let scan = SegmentScan {
            segment,
            segment_idx,
            steps,
            bytes_before,
        };
        if !scan.run(files)? {
            return Ok(());
        }
        bytes_before += segment.end;
    }
    Ok(())
}

struct SegmentScan<'a> {
    segment: &'a ChainedSegment,
    segment_idx: usize,
    steps: &'a Sender<Step>,
    bytes_before: u64,
}

impl SegmentScan<'_> {
    /// False when nobody listens any more.
    fn run(&self, files: &dyn Files) -> Result<bool, Error> {
        let segment = self.segment;
        let mut good_end = SEGMENT_HEADER_BYTES as u64;
        if let Some(damage) = &segment.header_damage {
            good_end = 0;
            if !self.send(Step::Damage(damage.clone())) {
                return Ok(false);
            }
        }
        let mut reader = SegmentReader::open(files, &segment.path, segment.number, segment.end)?;
        while let Some(found) = reader.next(|_| true)? {
            let step = match found {
                Found::Damage(damage) => Step::Damage(damage),
                Found::Frame {
                    offset,
                    kind,
                    role,
                    payload,
                } => {
                    good_end = reader.position();
                    if role == FrameRole::Copy {
                        continue;
                    }
                    self.decode(offset..good_end, kind, role, &payload)
                }
            };
            if !self.send(step) {
                return Ok(false);
            }
        }
        Ok(self.send(Step::Segment { good_end }))
    }

    fn decode(&self, place: Range<u64>, kind: u8, role: FrameRole, payload: &[u8]) -> Step {
        match decode(kind, payload) {
            Ok(record) => Step::Record(FoundRecord {
                record,
                begins_group: role == FrameRole::First,
                segment_idx: self.segment_idx,
                offset: place.start,
                bytes_done: self.bytes_before + place.end,
            }),
            Err(reason) => Step::Damage(Damage {
                path: self.segment.path.clone(),
                offset: place.start,
                bytes: place.end - place.start,
                reason,
            }),
        }
    }

    fn send(&self, step: Step) -> bool {
        self.steps.send(step).is_ok()
    }
}

/// Reads all definitions of the log, copies included.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn gather_definitions(files: &dyn Files, chain: &Chain) -> Result<GatheredDefinitions, Error> {
    let mut gathered = GatheredDefinitions::default();
    for segment in &chain.segments {
        let mut reader = SegmentReader::open(files, &segment.path, segment.number, segment.end)?;
        while let Some(found) = reader.next(|header| is_definition(header.kind))? {
            if let Found::Frame { kind, payload, .. } = found
                && is_definition(kind)
                && let Ok(Record::Definitions(definitions)) = decode(kind, &payload)
            {
                gathered.extend(definitions);
            }
        }
    }
    Ok(gathered)
}

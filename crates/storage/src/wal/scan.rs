//! Going through all segments: for everything, or for definitions alone.

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
        /// What stands behind that in the last segment of the log.
        torn: Option<Damage>,
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
            is_last: segment_idx + 1 == chain.segments.len(),
            steps,
            bytes_before,
            pending: Vec::new(),
            good_end: if segment.has_header {
                SEGMENT_HEADER_BYTES as u64
            } else {
                0
            },
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
    is_last: bool,
    steps: &'a Sender<Step>,
    bytes_before: u64,
    /// Damage since the last intact frame: at the end of the log it is a torn tail.
    pending: Vec<Damage>,
    good_end: u64,
}

impl SegmentScan<'_> {
    /// False when nobody listens any more.
    fn run(mut self, files: &dyn Files) -> Result<bool, Error> {
        let segment = self.segment;
        let mut reader = SegmentReader::open(files, &segment.path, segment.number, segment.end)?;
        while let Some(found) = reader.next(|_| true)? {
            let is_heard = match found {
                Found::Damage(damage) => {
                    self.pending.push(damage);
                    true
                }
                Found::Frame {
                    offset,
                    kind,
                    role,
                    payload,
                } => {
                    self.good_end = reader.position();
                    self.send_pending()
                        && (role == FrameRole::Copy || self.send_record(offset, kind, role, &payload))
                }
            };
            if !is_heard {
                return Ok(false);
            }
        }
        let torn = if self.is_last { self.take_torn() } else { None };
        let good_end = self.good_end;
        Ok(self.send_pending() && self.send(Step::Segment { good_end, torn }))
    }

    fn send_record(&mut self, offset: u64, kind: u8, role: FrameRole, payload: &[u8]) -> bool {
        self.send(match decode(kind, payload) {
            Ok(record) => Step::Record(FoundRecord {
                record,
                begins_group: role == FrameRole::First,
                segment_idx: self.segment_idx,
                offset,
                bytes_done: self.bytes_before + self.good_end,
            }),
            Err(reason) => Step::Damage(Damage {
                path: self.segment.path.clone(),
                offset,
                bytes: self.good_end - offset,
                reason,
            }),
        })
    }

    fn send_pending(&mut self) -> bool {
        let pending = std::mem::take(&mut self.pending);
        pending.into_iter().all(|damage| self.send(Step::Damage(damage)))
    }

    /// Makes one of all damage behind the last intact frame.
    fn take_torn(&mut self) -> Option<Damage> {
        let pending = std::mem::take(&mut self.pending);
        let bytes = pending.iter().map(|damage| damage.bytes).sum();
        pending.into_iter().next().map(|first| Damage { bytes, ..first })
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

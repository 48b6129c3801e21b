//! Looking at a log without changing it.

use std::path::Path;

use model::Files;

use super::chain::{chain, list_segments};
use super::frame::FrameRole;
use super::reader::{Found, SegmentReader};
use super::record::{Record, decode};
use super::report::Damage;
use crate::Error;

/// What a log holds.
#[derive(Debug, Default)]
pub(crate) struct LogSurvey {
    pub(crate) segments: usize,
    pub(crate) bytes: u64,
    /// Copies left out.
    pub(crate) records: u64,
    pub(crate) samples: u64,
    pub(crate) damaged: Vec<Damage>,
    /// Damage at the very end: most likely a write that was interrupted.
    pub(crate) torn: Option<Damage>,
}

/// Reads all of a log.
///
/// # Errors
/// [`Error::Io`] and [`Error::UnknownVersion`].
pub(crate) fn survey_log(files: &dyn Files, dir: &Path) -> Result<LogSurvey, Error> {
    let chain = chain(&list_segments(files, dir)?)?;
    let mut survey = LogSurvey {
        segments: chain.segments.len(),
        damaged: chain.damaged.clone(),
        ..LogSurvey::default()
    };
    let last = chain.segments.last().map(|segment| segment.number);
    for segment in &chain.segments {
        survey.bytes += segment.end;
        survey.damaged.extend(segment.header_damage.clone());
        let mut reader = SegmentReader::open(files, &segment.path, segment.number, segment.end)?;
        // Damage behind which no group begins belongs to the last one of its segment.
        let mut open_damage = Vec::new();
        while let Some(found) = reader.next(|_| true)? {
            match found {
                Found::Damage(damage) => open_damage.push(damage),
                Found::Frame {
                    kind, role, payload, ..
                } => {
                    if role == FrameRole::First {
                        survey.damaged.append(&mut open_damage);
                    }
                    survey.count(kind, role, &payload);
                }
            }
        }
        if Some(segment.number) == last {
            survey.torn = open_damage.into_iter().next();
        } else {
            survey.damaged.append(&mut open_damage);
        }
    }
    Ok(survey)
}

impl LogSurvey {
    fn count(&mut self, kind: u8, role: FrameRole, payload: &[u8]) {
        if role == FrameRole::Copy {
            return;
        }
        self.records += 1;
        if let Ok(Record::Samples(batch)) = decode(kind, payload) {
            self.samples += batch.len() as u64;
        }
    }
}

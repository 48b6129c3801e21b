//! Recovery: reading a log from its first segment to its last.
//!
//! A thread ([`scan`](super::scan)) reads, checks and decodes; the calling one applies. What cannot be read is told
//! and stepped over. Behind the last intact record of the last segment nothing was acknowledged: it is cut off.
//!
//! A record that cannot be applied, because definitions it needs are damaged, is held back until the next group
//! begins. If none does, it belongs to the group that a crash interrupted, which was never acknowledged: it is cut
//! off too. Otherwise placeholders take the place of the definitions.

use std::path::Path;

use crossbeam_channel::Receiver;
use model::{Clock, Files, MetricMetadata};

use super::chain::{Chain, chain, list_segments};
use super::record::Record;
use super::replay::Replay;
use super::report::{Damage, RecoveryProgress, RecoveryReport};
use super::scan::{FoundRecord, Step, gather_definitions, scan};
use super::segment::SegmentEnd;
use super::writer::WalEnd;
use crate::Error;

/// Decoded records that may wait to be applied: what bounds the memory.
const READ_AHEAD: usize = 4;

/// Takes what a recovery finds.
pub(crate) struct RecoveryTarget<'a> {
    /// Definitions and samples.
    pub(crate) replay: Replay<'a>,
    /// Metadata.
    pub(crate) put_metadata: &'a mut dyn FnMut(Vec<MetricMetadata>),
    /// Called for every record.
    pub(crate) progress: &'a mut dyn FnMut(RecoveryProgress),
}

/// Reads the log in `dir`.
///
/// # Errors
/// [`Error::Io`] and [`Error::UnknownVersion`].
pub(crate) fn recover(
    files: &dyn Files,
    dir: &Path,
    target: RecoveryTarget<'_>,
    clock: &dyn Clock,
) -> Result<(RecoveryReport, WalEnd), Error> {
    let begin_ms = clock.now_ms();
    let chain = &chain(&list_segments(files, dir)?)?;
    let total_bytes = chain.segments.iter().map(|segment| segment.end).sum();
    let mut recovery = Recovery {
        files,
        chain,
        target,
        report: RecoveryReport {
            segments: chain.segments.len(),
            bytes: total_bytes,
            damaged: chain.damaged.clone(),
            ..RecoveryReport::default()
        },
        good_ends: Vec::new(),
        held: Vec::new(),
    };
    let (sender, receiver) = crossbeam_channel::bounded(READ_AHEAD);
    std::thread::scope(|scope| {
        let scanning = scope.spawn(move || scan(files, chain, &sender));
        let applied = recovery.apply_all(receiver);
        let scanned = scanning.join().unwrap_or(Err(Error::Closed));
        applied.and(scanned)
    })?;
    recovery.settle_held()?;
    let end = recovery.end()?;
    let mut report = recovery.report;
    report.lost_series_samples = recovery.target.replay.lost_series_samples;
    report.duration_ms = clock.now_ms().saturating_sub(begin_ms);
    Ok((report, end))
}

struct Recovery<'log, 'store> {
    files: &'log dyn Files,
    chain: &'log Chain,
    target: RecoveryTarget<'store>,
    report: RecoveryReport,
    /// Where the frames of each segment end.
    good_ends: Vec<u64>,
    /// Records that cannot be applied, with all behind them up to the next group.
    held: Vec<FoundRecord>,
}

impl Recovery<'_, '_> {
    fn apply_all(&mut self, steps: Receiver<Step>) -> Result<(), Error> {
        for step in steps {
            match step {
                Step::Damage(damage) => self.report.damaged.push(damage),
                Step::Segment { good_end, torn } => {
                    self.good_ends.push(good_end);
                    self.report.torn = torn;
                }
                Step::Record(record) => {
                    let bytes = record.bytes_done;
                    self.take(record)?;
                    (self.target.progress)(RecoveryProgress {
                        bytes,
                        total_bytes: self.report.bytes,
                        samples: self.report.samples,
                    });
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, found: FoundRecord) -> Result<(), Error> {
        self.report.records += 1;
        if let Record::Samples(batch) = &found.record {
            self.report.samples += batch.len() as u64;
        }
        if found.begins_group {
            self.apply_held()?;
        }
        if !self.held.is_empty() || !self.apply(&found)? {
            self.held.push(found);
        }
        Ok(())
    }

    /// Applies what was held back, with placeholders for what is missing.
    fn apply_held(&mut self) -> Result<(), Error> {
        for mut found in std::mem::take(&mut self.held) {
            self.target.replay.invent(match &mut found.record {
                Record::Samples(batch) => Some(batch),
                Record::Definitions(_) | Record::Metadata(_) => None,
            });
            if !self.apply(&found)? {
                self.report.damaged.push(Damage {
                    path: self.path(&found),
                    offset: found.offset,
                    bytes: 0,
                    reason: "what it refers to is lost".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// False if something that the record needs is missing.
    fn apply(&mut self, found: &FoundRecord) -> Result<bool, Error> {
        let (files, chain) = (self.files, self.chain);
        let mut gather = || gather_definitions(files, chain);
        let replay = &mut self.target.replay;
        let is_applied = match &found.record {
            Record::Definitions(definitions) => replay.define(definitions, &mut gather)?,
            Record::Samples(batch) => replay.append(batch, &mut gather)?,
            Record::Metadata(metadata) => {
                (self.target.put_metadata)(metadata.clone());
                true
            }
        };
        let complaints: Vec<String> = replay.complaints.drain(..).collect();
        for reason in complaints {
            self.report.damaged.push(Damage {
                path: self.path(found),
                offset: found.offset,
                bytes: 0,
                reason,
            });
        }
        Ok(is_applied)
    }

    /// At the end of the log: what is still held back was not acknowledged, unless a later segment says so.
    fn settle_held(&mut self) -> Result<(), Error> {
        let Some(first) = self.held.first() else {
            return Ok(());
        };
        let last_idx = self.chain.segments.len() - 1;
        if first.segment_idx != last_idx {
            return self.apply_held();
        }
        let (path, offset) = (self.path(first), first.offset);
        let end = self
            .chain
            .segments
            .get(last_idx)
            .map_or(offset, |segment| segment.end);
        self.report.torn = Some(Damage {
            path,
            offset,
            bytes: end - offset,
            reason: "definitions that it needs are missing".to_owned(),
        });
        if let Some(good_end) = self.good_ends.last_mut() {
            *good_end = offset;
        }
        self.held.clear();
        Ok(())
    }

    /// Cuts off what is torn and says where the log goes on.
    fn end(&self) -> Result<WalEnd, Error> {
        let mut last = None;
        let read = self.chain.segments.iter().zip(&self.good_ends);
        for (segment, good_end) in read.rev() {
            if *good_end > 0 {
                // Also makes durable what the process before wrote and did not sync.
                self.files
                    .truncate(&segment.path, *good_end)
                    .map_err(|error| Error::io("truncate", &segment.path, error))?;
                last = Some(SegmentEnd {
                    number: segment.number,
                    end: *good_end,
                });
                break;
            }
            // A file that was never finished.
            self.files
                .remove(&segment.path)
                .map_err(|error| Error::io("remove", &segment.path, error))?;
        }
        Ok(WalEnd {
            next_number: self.chain.number_max + 1,
            last,
        })
    }

    fn path(&self, found: &FoundRecord) -> std::path::PathBuf {
        let segment = self.chain.segments.get(found.segment_idx);
        segment.map(|segment| segment.path.clone()).unwrap_or_default()
    }
}

//! Recovery: reading a log from its first segment to its last.
//!
//! A thread ([`scan`](super::scan)) reads, checks and decodes; the calling one applies. What cannot be read is told
//! and stepped over.
//!
//! **The last group.** Every group but the last was synced before the next one began, so damage in it is damage. In
//! the last one it rather comes from a crash that interrupted a write which was never acknowledged. Nobody can tell
//! for sure, so intact samples behind the damage are kept; but the log is cut off there, and the store begins the
//! next segment with them ([`WalEnd::carried`]). The same damage is therefore never told twice.
//!
//! **Missing definitions.** A record that needs definitions which cannot be found is held back until the next group
//! begins. If none does, it is cut off with the last group. Otherwise placeholders take the place of the
//! definitions.

use std::path::Path;

use crossbeam_channel::Receiver;
use model::{Clock, Files, SampleBatch, TimestampMs};

use super::chain::{Chain, chain, list_segments};
use super::record::Record;
use super::remembered::Remembered;
use super::replay::Replay;
use super::report::{Damage, RecoveryProgress, RecoveryReport};
use super::scan::{FoundRecord, Step, gather_definitions, scan};
use super::segment::SegmentEnd;
use super::spans::SegmentSpans;
use super::writer::WalEnd;
use crate::Error;
use crate::blocks::Watermark;

/// Decoded records that may wait to be applied: what bounds the memory.
const READ_AHEAD: usize = 4;

/// Takes what a recovery finds.
pub(crate) struct RecoveryTarget<'a> {
    /// Definitions and samples.
    pub(crate) replay: Replay<'a>,
    /// Metadata and notes.
    pub(crate) remembered: &'a mut Remembered,
    /// What is in blocks already and is not replayed.
    pub(crate) flushed: &'a [Watermark],
    /// Learns which segments there are.
    pub(crate) spans: &'a SegmentSpans,
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
    for segment in &chain.segments {
        target.spans.note(segment.number, TimestampMs::MIN);
    }
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
        open_damage: Vec::new(),
        carried: Vec::new(),
        held: Vec::new(),
    };
    let (sender, receiver) = crossbeam_channel::bounded(READ_AHEAD);
    std::thread::scope(|scope| {
        let scanning = scope.spawn(move || scan(files, chain, &sender));
        let applied = recovery.apply_all(receiver);
        let scanned = scanning.join().unwrap_or(Err(Error::Closed));
        applied.and(scanned)
    })?;
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
    /// Damage since the last group began.
    open_damage: Vec<Damage>,
    /// Samples behind that damage, applied.
    carried: Vec<SampleBatch>,
    /// Records that cannot be applied, with all behind them up to the next group.
    held: Vec<FoundRecord>,
}

impl Recovery<'_, '_> {
    fn apply_all(&mut self, steps: Receiver<Step>) -> Result<(), Error> {
        for step in steps {
            match step {
                Step::Damage(damage) => self.open_damage.push(damage),
                Step::Record(record) => {
                    let bytes = record.bytes_done;
                    self.take(record)?;
                    (self.target.progress)(RecoveryProgress {
                        bytes,
                        total_bytes: self.report.bytes,
                        samples: self.report.samples,
                    });
                }
                Step::Segment { good_end } => {
                    self.good_ends.push(good_end);
                    if self.good_ends.len() < self.chain.segments.len() {
                        self.settle_group()?;
                    }
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, mut found: FoundRecord) -> Result<(), Error> {
        self.report.records += 1;
        if let Record::Samples(batch) = &mut found.record {
            self.report.samples += batch.len() as u64;
            let segment = self.chain.segments.get(found.segment_idx);
            self.leave_out_flushed(segment.map_or(0, |segment| segment.number), batch);
        }
        if found.begins_group {
            self.settle_group()?;
        }
        if !self.held.is_empty() || !self.apply(&found)? {
            self.held.push(found);
        } else if let Record::Samples(batch) = found.record
            && !self.open_damage.is_empty()
        {
            self.carried.push(batch);
        }
        Ok(())
    }

    /// Takes samples out of a batch of some segment that are in blocks already.
    fn leave_out_flushed(&self, segment: u64, batch: &mut SampleBatch) {
        let newest_ms = batch.timestamps_ms.iter().max();
        let oldest_ms = batch.timestamps_ms.iter().min();
        let Some((newest_ms, oldest_ms)) = newest_ms.zip(oldest_ms) else {
            return;
        };
        self.target.spans.note(segment, *newest_ms);
        let marks = self.target.flushed.iter();
        let marks: Vec<&Watermark> = marks
            .filter(|mark| segment < mark.segments_below && *oldest_ms < mark.before_ms)
            .collect();
        if marks.is_empty() {
            return;
        }
        let mut kept = SampleBatch::default();
        for (row, (series, timestamp_ms)) in batch.series.iter().zip(&batch.timestamps_ms).enumerate() {
            if !marks
                .iter()
                .any(|mark| mark.covers(segment, series.stream, *timestamp_ms))
            {
                kept.push_from(batch, row);
            }
        }
        *batch = kept;
    }

    /// The group before was acknowledged: its damage is damage, and what was held back is applied with placeholders
    /// for what is missing.
    fn settle_group(&mut self) -> Result<(), Error> {
        self.report.damaged.append(&mut self.open_damage);
        self.carried.clear();
        for mut found in std::mem::take(&mut self.held) {
            self.target.replay.invent(match &mut found.record {
                Record::Samples(batch) => Some(batch),
                Record::Definitions(_)
                | Record::Metadata(_)
                | Record::Notes(_)
                | Record::Exemplars(_)
                | Record::Cut(_) => None,
            });
            if !self.apply(&found)? {
                self.tell(&found, "what it refers to is lost".to_owned());
            }
        }
        Ok(())
    }

    /// False if something that the record needs is missing.
    fn apply(&mut self, found: &FoundRecord) -> Result<bool, Error> {
        let (files, chain) = (self.files, self.chain);
        let mut gather = || gather_definitions(files, chain);
        let replay = &mut self.target.replay;
        let segment = chain.segments.get(found.segment_idx);
        replay.enter_segment(segment.map_or(0, |segment| segment.number));
        let is_applied = match &found.record {
            Record::Definitions(definitions) => replay.define(definitions, &mut gather)?,
            Record::Samples(batch) => replay.append(batch, &mut gather)?,
            Record::Metadata(metadata) => {
                self.target.remembered.put_metadata(metadata);
                true
            }
            Record::Exemplars(exemplars) => replay.take_exemplars(exemplars, &mut gather)?,
            Record::Notes(notes) => {
                self.target.remembered.put_notes(notes);
                true
            }
            Record::Cut(before_ms) => {
                replay.note_cut(*before_ms);
                true
            }
        };
        let complaints: Vec<String> = replay.complaints.drain(..).collect();
        for reason in complaints {
            self.tell(found, reason);
        }
        Ok(is_applied)
    }

    fn tell(&mut self, found: &FoundRecord, reason: String) {
        let segment = self.chain.segments.get(found.segment_idx);
        self.report.damaged.push(Damage {
            path: segment.map(|segment| segment.path.clone()).unwrap_or_default(),
            offset: found.offset,
            bytes: 0,
            reason,
        });
    }

    /// Cuts the log off where the last group is damaged and says where it goes on.
    fn end(&mut self) -> Result<WalEnd, Error> {
        let mut end = WalEnd {
            next_number: (self.chain.number_max + 1).max(self.numbers_begin()),
            last: None,
            carried: std::mem::take(&mut self.carried),
            uncut: None,
        };
        let Some(last_idx) = self.chain.segments.len().checked_sub(1) else {
            return Ok(end);
        };
        if let Some(cut) = self.take_torn(last_idx) {
            // What is carried over stays where it is until it stands in the next segment.
            if !end.carried.is_empty() {
                end.uncut = self.make_durable(last_idx)?;
            }
            if let Some(good_end) = self.good_ends.get_mut(last_idx) {
                *good_end = cut;
            }
            if cut == 0 && end.carried.is_empty() {
                let path = self.chain.segments.get(last_idx).map(|segment| &segment.path);
                if let Some(path) = path {
                    self.files
                        .remove(path)
                        .map_err(|error| Error::io("remove", path, error))?;
                }
            }
        }
        for segment_idx in (0..=last_idx).rev() {
            let is_carried_over = segment_idx == last_idx && end.uncut.is_some();
            end.last = match self.good_ends.get(segment_idx) {
                Some(0) | None => continue,
                Some(good_end) if is_carried_over => self.segment_end(segment_idx, *good_end),
                Some(_) => self.make_durable(segment_idx)?,
            };
            break;
        }
        Ok(end)
    }

    /// No segment may have a lower number: what is said to be flushed of those would be said of it.
    fn numbers_begin(&self) -> u64 {
        let marks = self.target.flushed.iter().map(|mark| mark.segments_below);
        marks.max().unwrap_or(0)
    }

    /// Where the last segment must be cut off, if anywhere; tells of it.
    fn take_torn(&mut self, last_idx: usize) -> Option<u64> {
        let damage = self.open_damage.first();
        let held = self.held.first();
        let reason = damage.map_or("definitions that it needs are missing", |damage| &damage.reason);
        let reason = reason.to_owned();
        let offset = damage
            .map(|damage| damage.offset)
            .or(held.map(|held| held.offset))?;
        let segment = self.chain.segments.get(last_idx)?;
        self.report.torn = Some(Damage {
            path: segment.path.clone(),
            offset,
            bytes: segment.end - offset,
            reason,
        });
        Some(offset)
    }

    /// Cuts a segment off behind its last good frame, and makes durable what the process before wrote and did not
    /// sync.
    fn make_durable(&self, segment_idx: usize) -> Result<Option<SegmentEnd>, Error> {
        let good_end = self.good_ends.get(segment_idx).copied().unwrap_or(0);
        if let Some(segment) = self.chain.segments.get(segment_idx) {
            self.files
                .truncate(&segment.path, good_end)
                .map_err(|error| Error::io("truncate", &segment.path, error))?;
        }
        Ok(self.segment_end(segment_idx, good_end))
    }

    fn segment_end(&self, segment_idx: usize, end: u64) -> Option<SegmentEnd> {
        let number = self.chain.segments.get(segment_idx)?.number;
        Some(SegmentEnd { number, end })
    }
}

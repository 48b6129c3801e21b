//! Records: what frames hold.

use std::fmt;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use catalog::Definition;
use model::{MetricMetadata, SampleBatch, TimestampMs};

use super::cut::decode_cut;
use super::definitions::{decode_entities, decode_lanes, decode_streams};
use super::exemplars::decode_exemplars;
use super::extended::{ExtendedColumns, decode_extended};
use super::ipc::{IpcEncoder, ROWS_MAX};
use super::message::MessageWriter;
use super::metadata::decode_metadata;
use super::notes::{Note, decode_notes};
use super::samples::{SampleColumns, decode_samples};
use crate::exemplars::Exemplar;

/// The kinds of records, by their stored number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// New entities.
    Entities = 1,
    /// New streams.
    Streams = 2,
    /// New lanes.
    Lanes = 3,
    /// What metrics say about themselves.
    Metadata = 4,
    /// Samples.
    Samples = 5,
    /// Samples of which some are native histograms or have a start timestamp.
    Extended = 6,
    /// What other parts of the program want to find again.
    Notes = 7,
    /// Exemplars.
    Exemplars = 8,
    /// Where the head was cut.
    Cut = 9,
}

/// An encoded record.
pub struct Payload {
    kind: RecordKind,
    bytes: Vec<u8>,
}

/// A record that was read.
#[derive(Debug, Clone)]
pub enum Record {
    /// Entities, streams or lanes.
    Definitions(Vec<Definition>),
    /// Metadata.
    Metadata(Vec<MetricMetadata>),
    /// Samples.
    Samples(SampleBatch),
    /// Notes.
    Notes(Vec<Note>),
    /// Exemplars.
    Exemplars(Vec<Exemplar>),
    /// From here on the age of a sample is not judged by samples older than this.
    Cut(TimestampMs),
}

/// Turns samples and record batches into payloads; keeps its working memory between calls.
#[derive(Debug)]
pub struct RecordEncoder {
    ipc: IpcEncoder,
    samples: SampleRecords,
}

impl RecordEncoder {
    /// An encoder.
    ///
    /// # Errors
    /// If lz4 is not compiled in.
    pub fn new() -> Result<Self, ArrowError> {
        Ok(Self {
            ipc: IpcEncoder::new()?,
            samples: SampleRecords::default(),
        })
    }

    /// Samples in their order, in as few records as possible.
    pub fn encode_samples<'a>(&mut self, batches: impl IntoIterator<Item = &'a SampleBatch>) -> Vec<Payload> {
        let records = &mut self.samples;
        for batch in batches {
            records.push(batch);
        }
        records.end_plain();
        records.end_extended();
        std::mem::take(&mut records.payloads)
    }

    /// The payload of a batch of one kind.
    ///
    /// # Errors
    /// If Arrow refuses the batch.
    pub(crate) fn encode(&mut self, kind: RecordKind, batch: &RecordBatch) -> Result<Payload, ArrowError> {
        Ok(Payload {
            kind,
            bytes: self.ipc.encode(batch)?,
        })
    }
}

/// Sample records being made. At most one of the two kinds has rows.
#[derive(Debug, Default)]
struct SampleRecords {
    plain: SampleColumns,
    extended: ExtendedColumns,
    writer: MessageWriter,
    payloads: Vec<Payload>,
}

impl SampleRecords {
    fn push(&mut self, batch: &SampleBatch) {
        let mut start = 0;
        if batch.is_extended() {
            self.end_plain();
            while start < batch.len() {
                start += self.extended.extend(batch, start..batch.len());
                if self.extended.is_full() {
                    self.end_extended();
                }
            }
            return;
        }
        if !batch.is_empty() {
            self.end_extended();
        }
        while start < batch.len() {
            let end = batch.len().min(start + ROWS_MAX - self.plain.len());
            self.plain.extend(batch, start..end);
            start = end;
            if self.plain.len() == ROWS_MAX {
                self.end_plain();
            }
        }
    }

    fn end_plain(&mut self) {
        if self.plain.len() > 0 {
            self.payloads.push(Payload {
                kind: RecordKind::Samples,
                bytes: self.plain.finish(&mut self.writer),
            });
        }
    }

    fn end_extended(&mut self) {
        if !self.extended.is_empty() {
            self.payloads.push(Payload {
                kind: RecordKind::Extended,
                bytes: self.extended.finish(&mut self.writer),
            });
        }
    }
}

impl Payload {
    /// What is in it.
    #[must_use]
    pub fn kind(&self) -> RecordKind {
        self.kind
    }

    /// Its bytes, a multiple of 8.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// True for the kinds that define series.
pub(crate) fn is_definition(kind: u8) -> bool {
    [RecordKind::Entities, RecordKind::Streams, RecordKind::Lanes]
        .iter()
        .any(|definition| *definition as u8 == kind)
}

/// Reads the payload of a record of this kind. Takes any bytes, and no more memory than a hundred times theirs or
/// some 100 MB, whichever is less.
///
/// # Errors
/// What is wrong with it, as a clause.
pub fn decode(kind: u8, payload: &[u8]) -> Result<Record, String> {
    let kinds = [
        RecordKind::Entities,
        RecordKind::Streams,
        RecordKind::Lanes,
        RecordKind::Metadata,
        RecordKind::Samples,
        RecordKind::Extended,
        RecordKind::Notes,
        RecordKind::Exemplars,
        RecordKind::Cut,
    ];
    match kinds.into_iter().find(|known| *known as u8 == kind) {
        Some(RecordKind::Entities) => decode_entities(payload).map(Record::Definitions),
        Some(RecordKind::Streams) => decode_streams(payload).map(Record::Definitions),
        Some(RecordKind::Lanes) => decode_lanes(payload).map(Record::Definitions),
        Some(RecordKind::Metadata) => decode_metadata(payload).map(Record::Metadata),
        Some(RecordKind::Samples) => decode_samples(payload).map(Record::Samples),
        Some(RecordKind::Extended) => decode_extended(payload).map(Record::Samples),
        Some(RecordKind::Notes) => decode_notes(payload).map(Record::Notes),
        Some(RecordKind::Exemplars) => decode_exemplars(payload).map(Record::Exemplars),
        Some(RecordKind::Cut) => decode_cut(payload).map(Record::Cut),
        None => Err(format!("unknown kind of record {kind}")),
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({} bytes)", self.kind, self.bytes.len())
    }
}

//! Definition records: entities, streams and lanes, a kind each.
//!
//! | kind | column | type | |
//! |---|---|---|---|
//! | entities | `entity` | UInt32 | entity id |
//! | | `names` | List(Utf8) | label names, sorted |
//! | | `values` | List(Utf8) | their values, as many |
//! | streams | `stream` | UInt32 | stream id |
//! | | `entity` | UInt32 | whose stream |
//! | | `base` | Utf8 | base metric name |
//! | lanes | `stream` | UInt32 | stream id |
//! | | `lane` | UInt16 | position in the stream |
//! | | `part` | UInt8 | 0 value, 1 sum, 2 count, 3 bucket |
//! | | `le` | Utf8 | of a bucket, otherwise empty |

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{RecordBatch, StringArray, UInt8Array, UInt16Array, UInt32Array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use catalog::{Definition, LaneName};
use model::{EntityId, Labels, LaneIdx, StreamId};

use super::columns::{TextLists, column, text_item};
use super::ipc::{self, ROWS_MAX};
use super::record::{Payload, RecordEncoder, RecordKind};

/// Text of one record, roughly.
const TEXT_BYTES_MAX: usize = 1 << 20;

static ENTITIES: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("entity", DataType::UInt32, false),
        Field::new("names", DataType::List(text_item()), false),
        Field::new("values", DataType::List(text_item()), false),
    ]))
});

static STREAMS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("stream", DataType::UInt32, false),
        Field::new("entity", DataType::UInt32, false),
        Field::new("base", DataType::Utf8, false),
    ]))
});

static LANES: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        Field::new("stream", DataType::UInt32, false),
        Field::new("lane", DataType::UInt16, false),
        Field::new("part", DataType::UInt8, false),
        Field::new("le", DataType::Utf8, false),
    ]))
});

/// Encodes definitions, given in the order in which they were made, as records in an order in which they can be
/// applied: entities, streams, lanes.
///
/// # Errors
/// If Arrow refuses a batch.
pub(crate) fn encode_definitions(
    definitions: impl IntoIterator<Item = Definition>,
    encoder: &mut RecordEncoder,
) -> Result<Vec<Payload>, ArrowError> {
    let mut columns = DefinitionColumns::default();
    for definition in definitions {
        columns.push(definition, encoder)?;
    }
    columns.finish(encoder)
}

/// The three kinds of records being made.
#[derive(Default)]
struct DefinitionColumns {
    entities: EntityColumns,
    streams: StreamColumns,
    lanes: LaneColumns,
    done: [Vec<Payload>; 3],
}

impl DefinitionColumns {
    fn push(&mut self, definition: Definition, encoder: &mut RecordEncoder) -> Result<(), ArrowError> {
        let [entities, streams, lanes] = &mut self.done;
        match definition {
            Definition::Entity { id, labels } => {
                self.entities.push(id, &labels);
                if self.entities.is_full() {
                    entities.push(std::mem::take(&mut self.entities).encode(encoder)?);
                }
            }
            Definition::Stream { id, entity, base } => {
                self.streams.push(id, entity, base);
                if self.streams.is_full() {
                    streams.push(std::mem::take(&mut self.streams).encode(encoder)?);
                }
            }
            Definition::Lane { stream, lane, name } => {
                self.lanes.push(stream, lane, name);
                if self.lanes.is_full() {
                    lanes.push(std::mem::take(&mut self.lanes).encode(encoder)?);
                }
            }
        }
        Ok(())
    }

    fn finish(self, encoder: &mut RecordEncoder) -> Result<Vec<Payload>, ArrowError> {
        let [mut entities, mut streams, mut lanes] = self.done;
        if !self.entities.ids.is_empty() {
            entities.push(self.entities.encode(encoder)?);
        }
        if !self.streams.ids.is_empty() {
            streams.push(self.streams.encode(encoder)?);
        }
        if !self.lanes.streams.is_empty() {
            lanes.push(self.lanes.encode(encoder)?);
        }
        entities.append(&mut streams);
        entities.append(&mut lanes);
        Ok(entities)
    }
}

struct EntityColumns {
    ids: Vec<u32>,
    names: ListBuilder<StringBuilder>,
    values: ListBuilder<StringBuilder>,
    text_bytes: usize,
}

impl Default for EntityColumns {
    fn default() -> Self {
        let texts = || ListBuilder::new(StringBuilder::new()).with_field(text_item());
        Self {
            ids: Vec::new(),
            names: texts(),
            values: texts(),
            text_bytes: 0,
        }
    }
}

impl EntityColumns {
    fn push(&mut self, id: EntityId, labels: &Labels) {
        self.ids.push(id.0);
        for (name, value) in labels.iter() {
            self.names.values().append_value(name);
            self.values.values().append_value(value);
            self.text_bytes += name.len() + value.len();
        }
        self.names.append(true);
        self.values.append(true);
    }

    fn is_full(&self) -> bool {
        self.ids.len() >= ROWS_MAX || self.text_bytes >= TEXT_BYTES_MAX
    }

    fn encode(mut self, encoder: &mut RecordEncoder) -> Result<Payload, ArrowError> {
        let batch = RecordBatch::try_new(
            SchemaRef::clone(&ENTITIES),
            vec![
                Arc::new(UInt32Array::from(self.ids)),
                Arc::new(self.names.finish()),
                Arc::new(self.values.finish()),
            ],
        )?;
        encoder.encode(RecordKind::Entities, &batch)
    }
}

#[derive(Default)]
struct StreamColumns {
    ids: Vec<u32>,
    entities: Vec<u32>,
    bases: Vec<Arc<str>>,
    text_bytes: usize,
}

impl StreamColumns {
    fn push(&mut self, id: StreamId, entity: EntityId, base: Arc<str>) {
        self.ids.push(id.0);
        self.entities.push(entity.0);
        self.text_bytes += base.len();
        self.bases.push(base);
    }

    fn is_full(&self) -> bool {
        self.ids.len() >= ROWS_MAX || self.text_bytes >= TEXT_BYTES_MAX
    }

    fn encode(self, encoder: &mut RecordEncoder) -> Result<Payload, ArrowError> {
        let batch = RecordBatch::try_new(
            SchemaRef::clone(&STREAMS),
            vec![
                Arc::new(UInt32Array::from(self.ids)),
                Arc::new(UInt32Array::from(self.entities)),
                Arc::new(StringArray::from_iter_values(self.bases)),
            ],
        )?;
        encoder.encode(RecordKind::Streams, &batch)
    }
}

#[derive(Default)]
struct LaneColumns {
    streams: Vec<u32>,
    lanes: Vec<u16>,
    names: Vec<LaneName>,
    text_bytes: usize,
}

impl LaneColumns {
    fn push(&mut self, stream: StreamId, lane: LaneIdx, name: LaneName) {
        self.streams.push(stream.0);
        self.lanes.push(lane.0);
        self.text_bytes += le_of(&name).len();
        self.names.push(name);
    }

    fn is_full(&self) -> bool {
        self.streams.len() >= ROWS_MAX || self.text_bytes >= TEXT_BYTES_MAX
    }

    fn encode(self, encoder: &mut RecordEncoder) -> Result<Payload, ArrowError> {
        let parts = self.names.iter().map(part_of);
        let batch = RecordBatch::try_new(
            SchemaRef::clone(&LANES),
            vec![
                Arc::new(UInt32Array::from(self.streams)),
                Arc::new(UInt16Array::from(self.lanes)),
                Arc::new(UInt8Array::from_iter_values(parts)),
                Arc::new(StringArray::from_iter_values(self.names.iter().map(le_of))),
            ],
        )?;
        encoder.encode(RecordKind::Lanes, &batch)
    }
}

fn part_of(name: &LaneName) -> u8 {
    match name {
        LaneName::Value => 0,
        LaneName::Sum => 1,
        LaneName::Count => 2,
        LaneName::Bucket(_) => 3,
    }
}

fn le_of(name: &LaneName) -> &str {
    match name {
        LaneName::Bucket(le) => le,
        LaneName::Value | LaneName::Sum | LaneName::Count => "",
    }
}

/// Reads a record of entities.
pub(crate) fn decode_entities(payload: &[u8]) -> Result<Vec<Definition>, String> {
    let batch = ipc::decode(payload, &ENTITIES)?;
    let ids = column::<UInt32Array>(&batch, 0)?.values();
    let names = TextLists::of(&batch, 1)?;
    let values = TextLists::of(&batch, 2)?;
    let entity = |(row, id): (usize, &u32)| {
        let (names, values) = (names.row(row)?, values.row(row)?);
        if names.len() != values.len() {
            return Err(format!("entity {id} has more names than values, or fewer"));
        }
        let labels = Labels::from_pairs(names.into_iter().zip(values));
        Ok(Definition::Entity {
            id: EntityId(*id),
            labels: labels.map_err(|error| format!("entity {id}: {error}"))?,
        })
    };
    ids.iter().enumerate().map(entity).collect()
}

/// Reads a record of streams.
pub(crate) fn decode_streams(payload: &[u8]) -> Result<Vec<Definition>, String> {
    let batch = ipc::decode(payload, &STREAMS)?;
    let ids = column::<UInt32Array>(&batch, 0)?.values();
    let entities = column::<UInt32Array>(&batch, 1)?.values();
    let bases = column::<StringArray>(&batch, 2)?.iter();
    let rows = ids.iter().zip(entities).zip(bases);
    let stream = |((id, entity), base): ((&u32, &u32), Option<&str>)| Definition::Stream {
        id: StreamId(*id),
        entity: EntityId(*entity),
        base: Arc::from(base.unwrap_or_default()),
    };
    Ok(rows.map(stream).collect())
}

/// Reads a record of lanes.
pub(crate) fn decode_lanes(payload: &[u8]) -> Result<Vec<Definition>, String> {
    let batch = ipc::decode(payload, &LANES)?;
    let streams = column::<UInt32Array>(&batch, 0)?.values();
    let lanes = column::<UInt16Array>(&batch, 1)?.values();
    let parts = column::<UInt8Array>(&batch, 2)?.values();
    let les = column::<StringArray>(&batch, 3)?.iter();
    let rows = streams.iter().zip(lanes).zip(parts.iter().zip(les));
    let lane = |((stream, lane), (part, le)): ((&u32, &u16), (&u8, Option<&str>))| {
        let name = match (*part, le) {
            (0, _) => LaneName::Value,
            (1, _) => LaneName::Sum,
            (2, _) => LaneName::Count,
            (3, Some(le)) if !le.is_empty() => LaneName::Bucket(Arc::from(le)),
            _ => return Err(format!("lane {lane} of stream {stream} is no part of a metric")),
        };
        Ok(Definition::Lane {
            stream: StreamId(*stream),
            lane: LaneIdx(*lane),
            name,
        })
    };
    rows.map(lane).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::record::{Record, decode};

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    fn definitions() -> Vec<Definition> {
        let entity = |id, pairs: &[_]| Definition::Entity {
            id: EntityId(id),
            labels: labels(pairs),
        };
        let lane = |stream, lane, name| Definition::Lane {
            stream: StreamId(stream),
            lane: LaneIdx(lane),
            name,
        };
        vec![
            entity(0, &[("pod", "a"), ("zone", "ü")]),
            entity(1, &[]),
            Definition::Stream {
                id: StreamId(0),
                entity: EntityId(1),
                base: Arc::from("requests"),
            },
            lane(0, 0, LaneName::Value),
            lane(0, 1, LaneName::Sum),
            lane(0, 2, LaneName::Count),
            lane(0, 3, LaneName::Bucket(Arc::from("1.0"))),
        ]
    }

    fn round_trip(definitions: &[Definition]) -> Vec<Definition> {
        let mut encoder = RecordEncoder::new().unwrap();
        let payloads = encode_definitions(definitions.iter().cloned(), &mut encoder).unwrap();
        let mut read = Vec::new();
        for payload in payloads {
            match decode(payload.kind() as u8, payload.bytes()).unwrap() {
                Record::Definitions(definitions) => read.extend(definitions),
                other => panic!("{other:?}"),
            }
        }
        read
    }

    #[test]
    fn definitions_are_read_back() {
        assert_eq!(round_trip(&definitions()), definitions());
        assert_eq!(round_trip(&[]), []);
    }

    #[test]
    fn definitions_made_in_turn_come_back_in_an_order_that_can_be_applied() {
        let mut mixed = definitions();
        mixed.rotate_left(2);
        mixed.swap(0, 1);
        let read = round_trip(&mixed);
        let rank = |definition: &Definition| match definition {
            Definition::Entity { .. } => 0,
            Definition::Stream { .. } => 1,
            Definition::Lane { .. } => 2,
        };
        assert!(read.iter().map(rank).is_sorted());
        assert_eq!(read.len(), mixed.len());
    }

    #[test]
    fn much_text_is_cut_into_several_records() {
        let value = "v".repeat(8_000);
        let many: Vec<Definition> = (0..500)
            .map(|id| Definition::Entity {
                id: EntityId(id),
                labels: labels(&[("text", &value), ("id", &id.to_string())]),
            })
            .collect();
        let mut encoder = RecordEncoder::new().unwrap();
        let payloads = encode_definitions(many.clone(), &mut encoder).unwrap();
        assert!(payloads.len() > 2);
        assert_eq!(round_trip(&many), many);
    }
}

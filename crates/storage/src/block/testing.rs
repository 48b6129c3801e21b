//! Blocks for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Label, Labels, LaneKind, TimeRange, stale_nan};
use proptest::prelude::*;

use super::{Block, BlockFiles, BlockSinks, BlockWriter, Manifest, MemoryFile, StreamKey};
use crate::{LaneBuffer, NewestBuffer, Selection, StreamBuffer};

/// Samples of one lane by time: bits of the value, start time.
pub(crate) type LaneSamples = BTreeMap<i64, (u64, i64)>;

/// The text of a lane: its suffix and bound.
pub(crate) type LaneText = (&'static str, String);

/// What a block is to hold.
pub(crate) type Content = BTreeMap<(String, Labels), BTreeMap<LaneText, LaneSamples>>;

/// A block in memory.
#[derive(Debug, Clone)]
pub(crate) struct WrittenBlock {
    pub(crate) manifest: Manifest,
    pub(crate) samples: Vec<u8>,
    pub(crate) series: Vec<u8>,
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

pub(crate) fn lane_kind((suffix, le): &LaneText) -> LaneKind<'_> {
    match *suffix {
        "_sum" => LaneKind::Sum,
        "_count" => LaneKind::Count,
        "_bucket" => LaneKind::Bucket(le),
        _ => LaneKind::Value,
    }
}

pub(crate) fn lane_text(kind: LaneKind<'_>) -> LaneText {
    let le = if let LaneKind::Bucket(le) = kind { le } else { "" };
    (kind.suffix(), le.to_owned())
}

/// Puts lanes into a buffer as the head would.
pub(crate) fn fill(buffer: &mut StreamBuffer, lanes: &BTreeMap<LaneText, LaneSamples>) {
    buffer.reset(lanes.len());
    let times: std::collections::BTreeSet<i64> =
        lanes.values().flat_map(|lane| lane.keys().copied()).collect();
    let (timestamps_ms, lane_buffers) = buffer.parts_mut();
    timestamps_ms.extend(&times);
    for (lane_buffer, lane) in lane_buffers.iter_mut().zip(lanes.values()) {
        fill_lane(lane_buffer, &times, lane);
    }
}

fn fill_lane(buffer: &mut LaneBuffer, times: &std::collections::BTreeSet<i64>, lane: &LaneSamples) {
    let has_starts = lane.values().any(|(_, start_ms)| *start_ms != 0);
    for (row, timestamp_ms) in (0_u32..).zip(times) {
        let sample = lane.get(timestamp_ms);
        if sample.is_none() {
            buffer.absent_rows.push(row);
        }
        let (bits, start_ms) = sample.copied().unwrap_or((77, 0));
        buffer.values.push(f64::from_bits(bits));
        if has_starts {
            buffer.starts_ms.push(start_ms);
        }
    }
    buffer.may_be_nan = true;
}

/// What a buffer holds.
pub(crate) fn samples_of(buffer: &StreamBuffer) -> Vec<LaneSamples> {
    let lanes = buffer.lanes().iter().map(|lane| {
        let rows = buffer.timestamps_ms.iter().zip(&lane.values).enumerate();
        let present = rows.filter(|(row, _)| !lane.absent_rows.contains(&(*row as u32)));
        let samples = present.map(|(row, (timestamp_ms, value))| {
            assert!(lane.may_be_nan || !value.is_nan());
            let start_ms = lane.starts_ms.get(row).copied().unwrap_or(0);
            (*timestamp_ms, (value.to_bits(), start_ms))
        });
        samples.collect()
    });
    lanes.collect()
}

/// Writes a block; `None` if there is no sample.
pub(crate) fn write(content: &Content) -> Option<WrittenBlock> {
    let sinks = BlockSinks {
        samples: Vec::new(),
        series: Vec::new(),
    };
    let mut writer = BlockWriter::new(sinks).unwrap();
    let mut buffer = StreamBuffer::default();
    for ((base, entity), lanes) in content {
        fill(&mut buffer, lanes);
        let kinds: Vec<LaneKind<'_>> = lanes.keys().map(lane_kind).collect();
        writer
            .write_stream(StreamKey { base, entity }, &kinds, &buffer)
            .unwrap();
    }
    let (sinks, manifest) = writer.finish().unwrap();
    Some(WrittenBlock {
        manifest: manifest?,
        samples: sinks.samples,
        series: sinks.series,
    })
}

impl WrittenBlock {
    pub(crate) fn open(&self) -> Arc<Block> {
        Arc::new(self.try_open().unwrap())
    }

    pub(crate) fn try_open(&self) -> Result<Block, crate::Error> {
        let files = BlockFiles {
            samples: Arc::new(MemoryFile::new("samples.parquet", self.samples.clone())),
            series: Arc::new(MemoryFile::new("series.parquet", self.series.clone())),
        };
        Block::open(self.manifest.clone(), files)
    }
}

/// The labels of a series.
pub(crate) fn series_labels(base: &str, entity: &Labels, (suffix, le): &LaneText) -> Labels {
    let mut all: Vec<Label> = entity.as_slice().to_vec();
    let mut add = |name: &str, value: &str| {
        all.push(Label {
            name: name.to_owned(),
            value: value.to_owned(),
        });
    };
    add("__name__", &format!("{base}{suffix}"));
    if !le.is_empty() {
        add("le", le);
    }
    Labels::from_pairs(all.into_iter().map(|label| (label.name, label.value))).unwrap()
}

/// Everything that a selection gives in a range, by labels. What is read newest is compared with what is read last.
pub(crate) fn all_of_selection(selection: &dyn Selection, range: TimeRange) -> BTreeMap<Labels, LaneSamples> {
    let names = selection.label_names();
    let columns: Vec<_> = names
        .iter()
        .map(|name| (name, selection.label_column(name)))
        .collect();
    let mut found = BTreeMap::new();
    let (mut buffer, mut newest) = (StreamBuffer::default(), NewestBuffer::default());
    for (stream_idx, stream) in selection.streams().iter().enumerate() {
        selection.read(stream_idx, range, &mut buffer).unwrap();
        selection.read_newest(stream_idx, range, &mut newest).unwrap();
        let lanes = samples_of(&buffer);
        assert_eq!(lanes.len(), stream.n_lanes as usize);
        for (lane_idx, lane) in lanes.into_iter().enumerate() {
            let series_idx = stream.first_series as usize + lane_idx;
            let pairs = columns
                .iter()
                .map(|(name, column)| (&***name, column.value(series_idx)));
            let last = lane.last_key_value().map(|(t, (bits, _))| (*t, *bits));
            assert_eq!(
                newest.samples[lane_idx].map(|(t, value)| (t, value.to_bits())),
                last
            );
            found.insert(Labels::from_pairs(pairs).unwrap(), lane);
        }
    }
    found
}

fn any_value() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0..50_u32).prop_map(|value| f64::from(value).to_bits()),
        2 => any::<f64>().prop_map(f64::to_bits),
        1 => any::<u64>(),
        1 => Just(stale_nan().to_bits()),
    ]
}

fn any_lane() -> impl Strategy<Value = LaneSamples> {
    let start = prop_oneof![4 => Just(0_i64), 1 => 1..100_i64];
    proptest::collection::btree_map(0..60_i64, (any_value(), start), 0..50)
}

/// Small blocks of times 0 to 59.
pub(crate) fn any_content() -> impl Strategy<Value = Content> {
    let lane = ("_sum|_count|_bucket|", "1|2|\\+Inf|x").prop_map(|(suffix, le)| {
        let suffix = ["_sum", "_count", "_bucket", ""]
            .into_iter()
            .find(|known| *known == suffix)
            .unwrap();
        (suffix, if suffix == "_bucket" { le } else { String::new() })
    });
    let lanes = proptest::collection::btree_map(lane, any_lane(), 1..6);
    let entity = proptest::collection::btree_map("[ab]", "[xyz]", 0..3)
        .prop_map(|pairs| Labels::from_pairs(pairs).unwrap());
    proptest::collection::btree_map(("[mn]", entity), lanes, 0..8)
}

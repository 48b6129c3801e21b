//! Blocks for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::histogram::{Bounds, CountForm, CounterResetHint, HistogramLayout, Schema, Span};
use model::{FloatHistogram, Label, Labels, LaneKind, TimeRange, stale_nan};
use proptest::prelude::*;

use super::{Block, BlockFiles, BlockSinks, BlockWriter, Manifest, MemoryFile, RangeRead, StreamKey};
use crate::{LaneBuffer, NewestBuffer, Selection, StoredHistogram, StreamBuffer};

/// Samples of one lane by time: bits of the value or the sum, start time, and which of the [`native`] histograms it is,
/// 0 for a float.
pub(crate) type LaneSamples = BTreeMap<i64, (u64, i64, u8)>;

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
    pub(crate) histograms: Vec<u8>,
}

/// How many histograms there are, from 1 on.
pub(crate) const N_NATIVES: u8 = 7;

/// A histogram of every kind there is.
pub(crate) fn native(number: u8) -> StoredHistogram {
    let span = |offset: i32, length: u32| Span { offset, length };
    let exponential = Bounds {
        schema: Schema::new(3).unwrap(),
        zero_threshold: 1e-128,
        ..Bounds::default()
    };
    let custom = Bounds {
        schema: Schema::CUSTOM,
        custom_bounds: Arc::from([0.1, 2.5, f64::from_bits(0x7ff0_0000_0000_0000)]),
        ..Bounds::default()
    };
    let odd = f64::from_bits(0x7ff8_0000_0000_beef).to_bits();
    let (float, integer) = (CountForm::Float, CountForm::Integer);
    let (unknown, continues) = (CounterResetHint::Unknown, CounterResetHint::NotReset);
    let two = [span(-9, 2), span(3, 1)];
    let (form, bounds, positive, negative, hint, counts) = match number {
        1 => (
            integer,
            exponential,
            &two[..],
            &[][..],
            unknown,
            vec![7, 1, 1, 2, 3],
        ),
        2 => (
            integer,
            exponential,
            &two[..],
            &[][..],
            continues,
            vec![9, 1, 2, 2, 4],
        ),
        3 => (
            integer,
            exponential,
            &two[..1],
            &two[1..],
            CounterResetHint::Reset,
            vec![u64::MAX, (1 << 53) + 1, 0, 5, 8],
        ),
        4 => (
            float,
            exponential,
            &two[..1],
            &two[1..],
            CounterResetHint::Gauge,
            vec![odd, 1, 0.5_f64.to_bits(), 0, (-0.0_f64).to_bits()],
        ),
        5 => (integer, custom, &two[..0], &[][..], unknown, vec![0, 0]),
        6 => (
            float,
            custom,
            &[span(0, 4)][..],
            &[][..],
            continues,
            vec![1, 0, 1, 2, 3, 4],
        ),
        _ => (integer, Bounds::default(), &[][..], &[][..], unknown, vec![3, 3]),
    };
    let layout = HistogramLayout::new(form, bounds, positive, negative).unwrap();
    StoredHistogram::new(Arc::new(layout), hint, Arc::new(counts), 0)
}

/// Which histogram it is. Of its hint nothing may be said that was not said before, but less.
pub(crate) fn number_of(found: &FloatHistogram) -> u8 {
    let hintless = |histogram: &FloatHistogram| {
        let counter_reset_hint = CounterResetHint::Unknown;
        let hintless = FloatHistogram {
            counter_reset_hint,
            ..histogram.clone()
        };
        format!("{hintless:?}")
    };
    let number =
        (1..=N_NATIVES).find(|number| hintless(&native(*number).to_float(found.sum)) == hintless(found));
    let number = number.unwrap();
    let hints = (
        native(number).to_float(0.0).counter_reset_hint,
        found.counter_reset_hint,
    );
    let is_less = hints == (CounterResetHint::NotReset, CounterResetHint::Unknown);
    assert!(hints.0 == hints.1 || is_less, "{hints:?}");
    number
}

/// Which histogram it is, bit by bit.
fn number_of_stored(found: &StoredHistogram) -> u8 {
    let is_same = |number: &u8| {
        let native = native(*number);
        native.layout() == found.layout()
            && native.counts() == found.counts()
            && native.hint() == found.hint()
    };
    (1..=N_NATIVES).find(is_same).unwrap()
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
    let has_starts = lane.values().any(|(_, start_ms, _)| *start_ms != 0);
    for (row, timestamp_ms) in (0_u32..).zip(times) {
        let sample = lane.get(timestamp_ms);
        if sample.is_none() {
            buffer.absent_rows.push(row);
        }
        let (bits, start_ms, number) = sample.copied().unwrap_or((77, 0, 0));
        buffer.values.push(f64::from_bits(bits));
        if number > 0 {
            buffer.stored.push((row, native(number)));
        }
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
            let is_own = |held: u32| held as usize == row;
            let float = lane.histograms.iter().find(|(held, _)| is_own(*held));
            let stored = lane.stored.iter().find(|(held, _)| is_own(*held));
            let number = match (float, stored) {
                (None, None) => 0,
                (Some((_, float)), None) => {
                    assert_eq!(float.sum.to_bits(), value.to_bits());
                    number_of(float)
                }
                (None, Some((_, stored))) => number_of_stored(stored),
                (Some(_), Some(_)) => panic!("a histogram is read in one way"),
            };
            (*timestamp_ms, (value.to_bits(), start_ms, number))
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
        histograms: Vec::new(),
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
        histograms: sinks.histograms,
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
            histograms: self.manifest.histograms.map(|_| {
                let file = MemoryFile::new("histograms.parquet", self.histograms.clone());
                Arc::new(file) as Arc<dyn RangeRead>
            }),
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
            let last = lane
                .last_key_value()
                .map(|(t, (bits, _, number))| (*t, *bits, *number));
            let histogram = newest
                .histograms
                .iter()
                .find(|(held, _)| *held as usize == lane_idx);
            let number = histogram.map_or(0, |(_, histogram)| number_of(histogram));
            assert_eq!(
                newest.samples[lane_idx].map(|(t, value)| (t, value.to_bits(), number)),
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
    // Lanes of floats, of histograms, and of both.
    let number = prop_oneof![4 => Just(0..1_u8), 1 => Just(1..3), 1 => Just(1..N_NATIVES + 1), 1 => Just(0..N_NATIVES + 1)];
    number.prop_flat_map(move |numbers| {
        proptest::collection::btree_map(0..60_i64, (any_value(), start.clone(), numbers), 0..50)
    })
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

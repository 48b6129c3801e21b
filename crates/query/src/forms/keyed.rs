//! What is stored and what was made, as one selection.

use std::sync::Arc;

use catalog::LaneName;
use hashbrown::HashMap;
use model::{BUCKET_LABEL, LabelColumn, Labels, LaneKind, METRIC_NAME, SeriesName, TimestampMs};
use storage::Selection;
use storage::merged::{LaneLists, Part, PartStream, SelectionKeys, StreamKeys, Warned, merge};

/// Says what the streams of a selection are.
#[derive(Debug)]
struct Keys {
    of: Arc<dyn Selection>,
    /// The labels of the entity of each stream.
    entities: Vec<Labels>,
    /// What stands for them in all parts.
    identities: Vec<u128>,
}

/// The series and the warnings of both; of samples of one series at one time, that of `stored` counts.
pub(super) fn join(stored: Arc<dyn Selection>, made: Arc<dyn Selection>) -> Arc<dyn Selection> {
    let parts = [stored, made];
    let mut known = HashMap::new();
    let keyed = parts.iter().map(|part| Part {
        selection: Arc::clone(part),
        keys: Arc::new(Keys::new(Arc::clone(part), &mut known)),
        first_ms: TimestampMs::MIN,
        last_ms: TimestampMs::MAX,
    });
    let merged = merge(keyed.collect());
    let warnings = move || {
        let mut warnings: Vec<String> = parts.iter().flat_map(|part| part.warnings()).collect();
        warnings.sort();
        warnings.dedup();
        warnings
    };
    Arc::new(Warned::new(merged, warnings))
}

/// The labels of the entity of each stream of a selection: without the name, and without the bounds of buckets.
pub(super) fn entities(selection: &dyn Selection) -> Vec<Labels> {
    let (names, bounds) = (
        selection.label_column(METRIC_NAME),
        selection.label_column(BUCKET_LABEL),
    );
    let others = selection.label_names();
    let others = others
        .into_iter()
        .filter(|name| !matches!(&**name, METRIC_NAME | BUCKET_LABEL));
    let columns: Vec<(Arc<str>, LabelColumn)> = others
        .map(|name| {
            let column = selection.label_column(&name);
            (name, column)
        })
        .collect();
    let streams = selection.streams().iter().map(|stream| {
        let series_idx = stream.first_series as usize;
        let bound = bounds.value(series_idx);
        // `le` is an ordinary label where it is no bound.
        let own = !SeriesName::split(names.value(series_idx), bound).takes_le();
        let bound = (own && !bound.is_empty()).then_some((BUCKET_LABEL, bound));
        let others = columns
            .iter()
            .map(|(name, column)| (&**name, column.value(series_idx)));
        let pairs = others.filter(|(_, value)| !value.is_empty()).chain(bound);
        // They are some of the labels of a series.
        Labels::from_pairs(pairs).unwrap_or_default()
    });
    streams.collect()
}

impl Keys {
    fn new(of: Arc<dyn Selection>, known: &mut HashMap<Labels, u128>) -> Self {
        let entities = entities(&*of);
        let identities = entities.iter().map(|labels| {
            let next = known.len() as u128;
            *known.entry(labels.clone()).or_insert(next)
        });
        Self {
            identities: identities.collect(),
            entities,
            of,
        }
    }
}

impl SelectionKeys for Keys {
    fn stream_keys(&self) -> StreamKeys {
        let (names, bounds) = (
            self.of.label_column(METRIC_NAME),
            self.of.label_column(BUCKET_LABEL),
        );
        let mut keys = StreamKeys::default();
        let mut lists = LaneLists::new();
        for (stream_idx, stream) in self.of.streams().iter().enumerate() {
            let series = stream.first_series as usize..(stream.first_series + stream.n_lanes) as usize;
            let split = |series_idx| SeriesName::split(names.value(series_idx), bounds.value(series_idx));
            let base = split(series.start).base;
            if keys.bases.last().is_none_or(|last| **last != *base) {
                keys.bases.push(Arc::from(base));
            }
            let lanes: Vec<LaneName> = series
                .map(|series_idx| lane_name(split(series_idx).lane))
                .collect();
            let lanes = lists.position(&lanes, || lanes.clone());
            keys.streams.push(PartStream {
                base: keys.bases.len() as u32 - 1,
                entity: stream_idx as u32,
                identity: self.identities[stream_idx],
                lanes,
            });
        }
        keys.lanes = lists.finish();
        keys
    }

    fn entity_labels(&self, entity: u32) -> Labels {
        self.entities[entity as usize].clone()
    }
}

fn lane_name(lane: LaneKind<'_>) -> LaneName {
    match lane {
        LaneKind::Value => LaneName::Value,
        LaneKind::Sum => LaneName::Sum,
        LaneKind::Count => LaneName::Count,
        LaneKind::Bucket(bound) => LaneName::Bucket(Arc::from(bound)),
    }
}

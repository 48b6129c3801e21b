//! Asking for exemplars.

use std::collections::BTreeMap;

use catalog::{Catalog, SelectedLanes};
use hashbrown::HashMap;
use model::{Labels, LaneIdx, Matcher, SeriesRef, StreamId, TimestampMs};
use parking_lot::Mutex;

use super::{Exemplar, ExemplarRing};

/// Series whose exemplars are copied while the ring is locked once.
const SERIES_AT_ONCE: usize = 256;

/// A series with exemplars.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// Its labels.
    pub labels: Labels,
    /// At least one, oldest first.
    pub exemplars: Vec<Exemplar>,
}

/// The exemplars between two times, both included, of the series that at least one of `selectors` picks, sorted by
/// the labels of the series. Nobody may let streams go meanwhile.
pub(crate) fn select(
    catalog: &Catalog,
    ring: &Mutex<ExemplarRing>,
    selectors: &[Vec<Matcher>],
    first_ms: TimestampMs,
    last_ms: TimestampMs,
) -> Vec<SeriesExemplars> {
    let held: Vec<SeriesRef> = ring.lock().series().collect();
    let picked = picked(catalog, &held, selectors);
    let mut found = Vec::new();
    for some in picked.chunks(SERIES_AT_ONCE) {
        let ring = ring.lock();
        for series in some {
            let exemplars: Vec<Exemplar> = ring.of_series(*series, first_ms, last_ms).cloned().collect();
            if !exemplars.is_empty() {
                found.push((*series, exemplars));
            }
        }
    }
    let named = found.into_iter().filter_map(|(series, exemplars)| {
        let labels = catalog.series_labels(series)?;
        Some(SeriesExemplars { labels, exemplars })
    });
    let mut named: Vec<SeriesExemplars> = named.collect();
    named.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
    named
}

/// Those of the series that a selector picks, each once.
fn picked(catalog: &Catalog, held: &[SeriesRef], selectors: &[Vec<Matcher>]) -> Vec<SeriesRef> {
    let mut lanes_of: HashMap<StreamId, Vec<LaneIdx>> = HashMap::new();
    for series in held {
        lanes_of.entry(series.stream).or_default().push(series.lane);
    }
    let mut picked = BTreeMap::new();
    for matchers in selectors {
        let selection = catalog.select(matchers);
        for (stream_idx, stream) in selection.streams().iter().enumerate() {
            let Some(lanes) = lanes_of.get(&stream.stream) else {
                continue;
            };
            let chosen = selection.lanes(stream_idx);
            let is_chosen = |lane: &&LaneIdx| match chosen {
                SelectedLanes::All { n_lanes } => usize::from(lane.0) < n_lanes,
                SelectedLanes::Some(list) => list.contains(lane),
            };
            for lane in lanes.iter().filter(is_chosen) {
                picked.insert((stream.stream, *lane), ());
            }
        }
    }
    let refs = picked.into_keys();
    refs.map(|(stream, lane)| SeriesRef { stream, lane }).collect()
}

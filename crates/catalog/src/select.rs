//! Selecting: matchers → streams and lanes.
//!
//! Matchers on `__name__` choose metrics and the parts of them whose full name fits; matchers on `le` choose
//! buckets by their bound and every other lane by its entity's own `le`; the rest choose entities.

use std::collections::BTreeMap;

use model::{BUCKET_LABEL, EntityId, LaneIdx, METRIC_NAME, Matcher, StreamId};

use crate::Catalog;
use crate::entities::EntityTable;
use crate::matching::{PickedCodes, RowSet};
use crate::regex_cache::{self, Subject};
use crate::selection::{CatalogSelection, SelectedLanes};
use crate::streams::{LaneCode, Metric, MetricId, N_PARTS, Part, PartSet};

/// The conditions on `le`.
struct LeFilter {
    /// Bounds that buckets may have: a code must be in all.
    bounds: Vec<PickedCodes>,
    /// Entities whose own `le` fits; their other lanes are picked.
    entities: RowSet,
}

impl Catalog {
    /// The series that all matchers pick, as of now. No matcher at all picks every series.
    ///
    /// Takes microseconds when few entities are picked, and about 20 ns per stream otherwise. A regular expression
    /// that does not reduce to literals runs once over the values of its label, the first time.
    #[must_use]
    pub fn select(&self, matchers: &[Matcher]) -> CatalogSelection {
        let on = |label: &str| -> Vec<&Matcher> { matchers.iter().filter(|m| m.name() == label).collect() };
        let others = matchers
            .iter()
            .filter(|m| m.name() != METRIC_NAME && m.name() != BUCKET_LABEL);
        let mut selection = CatalogSelection::default();
        let entities = self.entity_rows(&others.collect::<Vec<_>>());
        if entities.is_empty() {
            return selection;
        }
        let le = self.le_filter(&on(BUCKET_LABEL));
        for (metric_id, parts) in self.metrics(&on(METRIC_NAME)) {
            self.select_metric(metric_id, parts, &entities, &le, &mut selection);
        }
        selection
    }

    fn le_filter(&self, matchers: &[&Matcher]) -> LeFilter {
        let picked = matchers
            .iter()
            .map(|matcher| self.picked_codes(EntityTable::BUCKET_LABEL_ID, matcher));
        LeFilter {
            bounds: picked.collect(),
            entities: self.entity_rows(matchers),
        }
    }

    /// The metrics with the parts that all name matchers pick, by base name.
    fn metrics(&self, matchers: &[&Matcher]) -> Vec<(MetricId, PartSet)> {
        let listed = matchers
            .iter()
            .filter(|matcher| !matcher.is_negative())
            .filter_map(|matcher| matcher.set_values())
            .min_by_key(|names| names.len());
        match listed {
            Some(names) => self.listed_metrics(names, matchers),
            None => self.scanned_metrics(matchers),
        }
    }

    /// Metrics that have one of `names` as a full name, which all matchers pick.
    fn listed_metrics(&self, names: &[String], matchers: &[&Matcher]) -> Vec<(MetricId, PartSet)> {
        let mut found: BTreeMap<&str, (MetricId, PartSet)> = BTreeMap::new();
        let picked = names
            .iter()
            .filter(|name| matchers.iter().all(|matcher| matcher.matches(name)));
        for name in picked {
            for part in Part::ALL {
                if let Some(base) = name.strip_suffix(part.suffix())
                    && let Some(id) = self.streams.metric_id(base)
                {
                    let (_, parts) = found.entry(base).or_insert((id, PartSet::EMPTY));
                    parts.insert(part);
                }
            }
        }
        found.into_values().collect()
    }

    fn scanned_metrics(&self, matchers: &[&Matcher]) -> Vec<(MetricId, PartSet)> {
        let mut name = String::new();
        let mut full_name = |id: usize, part: Part| {
            let metric = &self.streams.metrics()[id];
            name.clear();
            name.extend([&*metric.base, part.suffix()]);
            name.clone()
        };
        let n_codes = self.streams.metrics().len() * N_PARTS;
        let mut sets = Vec::new();
        let mut direct = Vec::new();
        for matcher in matchers.iter().filter(|matcher| !matcher.matches_everything()) {
            if matcher.set_values().is_some() {
                direct.push(*matcher);
                continue;
            }
            let matches = |code: u32| {
                let (id, part) = (code as usize / N_PARTS, Part::ALL[code as usize % N_PARTS]);
                matcher.matches(&full_name(id, part)) != matcher.is_negative()
            };
            let set =
                regex_cache::matching_codes(&self.regexes, Subject::MetricNames, matcher, n_codes, matches);
            sets.push((set, matcher.is_negative()));
        }
        let mut picked_parts = |id: MetricId, metric: &Metric| -> PartSet {
            let is_picked = |part: &Part| {
                let code = id.0 * N_PARTS as u32 + *part as u32;
                metric.parts().contains(*part)
                    && sets
                        .iter()
                        .all(|(set, is_negative)| set.contains(code) != *is_negative)
                    && direct
                        .iter()
                        .all(|matcher| matcher.matches(&full_name(id.0 as usize, *part)))
            };
            Part::ALL.into_iter().filter(is_picked).collect()
        };
        self.streams
            .metrics_by_name()
            .map(|(id, metric)| (id, picked_parts(id, metric)))
            .filter(|(_, parts)| *parts != PartSet::EMPTY)
            .collect()
    }

    fn select_metric(
        &self,
        id: MetricId,
        parts: PartSet,
        entities: &RowSet,
        le: &LeFilter,
        selection: &mut CatalogSelection,
    ) {
        let metric = self.streams.metric(id);
        let parts = parts.intersection(metric.parts());
        if parts == PartSet::EMPTY {
            return;
        }
        let takes_all = le.bounds.is_empty() && parts.contains_all(metric.parts());
        let mut chooser = LaneChooser::new(parts, le);
        for_each_stream(metric, entities, |entity, stream| {
            let lanes = self.streams.stream(stream).lanes();
            let chosen = if takes_all {
                SelectedLanes::All { n_lanes: lanes.len() }
            } else {
                chooser.choose(entity, lanes)
            };
            if chosen != SelectedLanes::Some(&[]) && chosen != (SelectedLanes::All { n_lanes: 0 }) {
                selection.push(stream, entity, id, chosen);
            }
        });
    }
}

/// Calls `visit` for the metric's streams of these entities, by entity.
fn for_each_stream(metric: &Metric, entities: &RowSet, mut visit: impl FnMut(EntityId, StreamId)) {
    let rows = match entities {
        RowSet::All => {
            return metric
                .streams
                .iter()
                .for_each(|(&entity, &stream)| visit(entity, stream));
        }
        RowSet::Some(rows) => rows,
    };
    // Looking one up costs about as much as passing over ten.
    if rows.len() * 10 < metric.streams.len() as u64 {
        for row in rows {
            let entity = EntityId(row);
            if let Some(&stream) = metric.streams.get(&entity) {
                visit(entity, stream);
            }
        }
        return;
    }
    let mut rows = rows.iter().peekable();
    for (&entity, &stream) in &metric.streams {
        while rows.next_if(|row| *row < entity.0).is_some() {}
        match rows.peek() {
            Some(&row) if row == entity.0 => visit(entity, stream),
            Some(_) => {}
            None => return,
        }
    }
}

/// Chooses lanes, stream by stream of one metric. Streams with the same lanes as the one before get its choice.
struct LaneChooser<'a> {
    parts: PartSet,
    le: &'a LeFilter,
    last_lanes: Vec<LaneCode>,
    last_entity_fits: bool,
    chosen: Vec<LaneIdx>,
}

impl<'a> LaneChooser<'a> {
    fn new(parts: PartSet, le: &'a LeFilter) -> Self {
        Self {
            parts,
            le,
            last_lanes: Vec::new(),
            last_entity_fits: false,
            chosen: Vec::new(),
        }
    }

    fn choose(&mut self, entity: EntityId, lanes: &[LaneCode]) -> SelectedLanes<'_> {
        let entity_fits = self.le.entities.contains(entity.0);
        if self.last_entity_fits != entity_fits || self.last_lanes != lanes {
            self.last_entity_fits = entity_fits;
            self.last_lanes.clear();
            self.last_lanes.extend_from_slice(lanes);
            self.chosen.clear();
            let (parts, le) = (self.parts, self.le);
            let fits = |lane: LaneCode| {
                let le_fits = match lane.le_code() {
                    Some(code) => le.bounds.iter().all(|bound| bound.contains(code)),
                    None => entity_fits,
                };
                parts.contains(lane.part()) && le_fits
            };
            let numbered = (0..).map(LaneIdx).zip(lanes);
            self.chosen.extend(
                numbered
                    .filter(|(_, lane)| fits(**lane))
                    .map(|(lane_idx, _)| lane_idx),
            );
        }
        if self.chosen.len() == lanes.len() {
            SelectedLanes::All { n_lanes: lanes.len() }
        } else {
            SelectedLanes::Some(&self.chosen)
        }
    }
}

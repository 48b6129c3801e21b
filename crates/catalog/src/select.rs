//! Selecting: matchers → streams and lanes.
//!
//! Matchers on `__name__` choose metrics and the parts of them whose full name fits; matchers on `le` choose
//! buckets by their bound and every other lane by its entity's own `le`; the rest choose entities.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{BUCKET_LABEL, EntityId, LaneIdx, METRIC_NAME, Matcher, StreamId};

use crate::Catalog;
use crate::entities::EntityTable;
use crate::matching::{PickedCodes, RowSet, SMALL_DICTIONARY};
use crate::order::Ranks;
use crate::regex_cache::{self, CodeSet, Subject};
use crate::selection::{CatalogSelection, SelectedLanes};
use crate::streams::{LaneCode, Metric, MetricId, NameCode, Part, PartSet, Stream, StreamTable};

/// So many new entities are put in order in no time.
const UNORDERED_FEW: usize = 16;

/// The conditions on `le`.
struct LeFilter {
    /// Bounds that buckets may have: a code must be in all.
    bounds: Vec<PickedCodes>,
    /// Entities whose own `le` fits; their other lanes are picked.
    entities: RowSet,
}

/// The conditions on full metric names.
struct NameFilter<'a> {
    /// [`NameCode`]s by regular expression, and whether it is negative. They are tested once and cached.
    sets: Vec<(Arc<CodeSet>, bool)>,
    /// Matchers that only compare, which is done each time.
    compared: Vec<&'a Matcher>,
    streams: &'a StreamTable,
    name: String,
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
        let ranks = self.entities.ranks();
        for (metric_id, parts) in self.metrics(&on(METRIC_NAME)) {
            let chooser = LaneChooser::new(&self.streams, parts, &le, &ranks);
            self.select_metric(metric_id, &entities, chooser, &mut selection);
        }
        selection
    }

    /// True when [`Self::select`] looks at few values only: there is no regular expression that is yet to be tried on
    /// many.
    #[must_use]
    pub fn selects_quickly(&self, matchers: &[Matcher]) -> bool {
        let is_quick = |matcher: &Matcher| {
            if matcher.set_values().is_some() || matcher.matches_everything() {
                return true;
            }
            if matcher.name() == METRIC_NAME {
                return self.streams.metrics_by_name().nth(SMALL_DICTIONARY).is_none();
            }
            let label = self.entities.label_id(matcher.name(), &self.secret);
            label.is_none_or(|id| !self.is_costly(id, matcher))
        };
        // Nor is there much to be put in order before.
        self.entities.n_unordered() <= UNORDERED_FEW && matchers.iter().all(is_quick)
    }

    /// Streams in the order of selections: by base metric name, then by the labels of their entities.
    #[must_use]
    pub fn streams_in_order(&self) -> Vec<StreamId> {
        let ranks = self.entities.ranks();
        let mut sorted = Vec::with_capacity(self.streams.n_streams());
        for (_, metric) in self.streams.metrics_by_name() {
            let streams = ordered_streams(metric, &RowSet::All, &ranks);
            sorted.extend(streams.into_iter().map(|(_, stream)| stream));
        }
        sorted
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

    /// All metrics, their full names tested.
    fn scanned_metrics(&self, matchers: &[&Matcher]) -> Vec<(MetricId, PartSet)> {
        let mut filter = self.name_filter(matchers);
        let metrics = self.streams.metrics_by_name().map(|(id, metric)| {
            let parts = Part::ALL
                .into_iter()
                .filter(|part| metric.parts().contains(*part));
            (id, parts.filter(|part| filter.picks(id, *part)).collect())
        });
        metrics.filter(|(_, parts)| *parts != PartSet::EMPTY).collect()
    }

    fn name_filter<'a>(&'a self, matchers: &[&'a Matcher]) -> NameFilter<'a> {
        let wanted = matchers.iter().filter(|matcher| !matcher.matches_everything());
        let (compared, scanned): (Vec<&Matcher>, Vec<&Matcher>) =
            wanted.partition(|matcher| matcher.set_values().is_some());
        let mut name = String::new();
        let sets = scanned.into_iter().map(|matcher| {
            let n_codes = NameCode::count(self.streams.metrics().len());
            let set =
                regex_cache::matching_codes(&self.regexes, Subject::MetricNames, matcher, n_codes, |code| {
                    self.streams.write_name(NameCode(code), &mut name);
                    matcher.matches(&name) != matcher.is_negative()
                });
            (set, matcher.is_negative())
        });
        NameFilter {
            sets: sets.collect(),
            compared,
            streams: &self.streams,
            name: String::new(),
        }
    }

    fn select_metric<'a>(
        &'a self,
        id: MetricId,
        entities: &RowSet,
        mut chooser: LaneChooser<'a>,
        selection: &mut CatalogSelection,
    ) {
        let metric = self.streams.metric(id);
        if chooser.parts.intersection(metric.parts()) == PartSet::EMPTY {
            return;
        }
        for (_, stream_id) in ordered_streams(metric, entities, chooser.ranks) {
            let stream = self.streams.stream(stream_id);
            let chosen = chooser.choose(stream);
            if !chosen.is_empty() {
                selection.push(stream_id, stream.entity, id, chosen);
            }
        }
    }
}

impl NameFilter<'_> {
    fn picks(&mut self, metric: MetricId, part: Part) -> bool {
        let code = NameCode::new(metric, part);
        let is_in = |(set, is_negative): &(Arc<CodeSet>, bool)| set.contains(code.0) != *is_negative;
        if !self.sets.iter().all(is_in) {
            return false;
        }
        if self.compared.is_empty() {
            return true;
        }
        self.streams.write_name(code, &mut self.name);
        self.compared.iter().all(|matcher| matcher.matches(&self.name))
    }
}

/// The metric's streams of these entities, by rank of the entity.
fn ordered_streams(metric: &Metric, entities: &RowSet, ranks: &Ranks) -> Vec<(u32, StreamId)> {
    let mut streams = Vec::new();
    for_each_stream(metric, entities, |entity, stream| {
        streams.push((ranks.of_entity(entity), stream));
    });
    if !streams.is_sorted() {
        streams.sort_unstable();
    }
    streams
}

/// Calls `visit` for the metric's streams of these entities, by id of the entity.
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
    streams: &'a StreamTable,
    parts: PartSet,
    le: &'a LeFilter,
    ranks: &'a Ranks,
    /// The stream before, and whether its entity's own `le` fitted.
    last: Option<(&'a Stream, bool)>,
    /// By rank.
    chosen: Vec<LaneIdx>,
    /// The choice is all lanes, in the order in which they came.
    takes_all: bool,
}

impl<'a> LaneChooser<'a> {
    fn new(streams: &'a StreamTable, parts: PartSet, le: &'a LeFilter, ranks: &'a Ranks) -> Self {
        Self {
            streams,
            parts,
            le,
            ranks,
            last: None,
            chosen: Vec::new(),
            takes_all: false,
        }
    }

    fn choose(&mut self, stream: &'a Stream) -> SelectedLanes<'_> {
        let entity_fits = self.le.entities.contains(stream.entity.0);
        let is_alike = self
            .last
            .is_some_and(|(before, before_fits)| before_fits == entity_fits && before.has_lanes_of(stream));
        if !is_alike {
            let codes = self.streams.lanes(stream);
            let lanes = (0..).map(LaneIdx).zip(codes);
            let fitting = lanes.filter(|(_, lane)| self.fits(**lane, entity_fits));
            let mut chosen: Vec<LaneIdx> = fitting.map(|(lane_idx, _)| lane_idx).collect();
            let rank = |lane: &LaneIdx| self.ranks.of_lane(codes[usize::from(lane.0)]);
            chosen.sort_unstable_by_key(rank);
            self.takes_all = chosen.len() == codes.len() && chosen.is_sorted();
            self.chosen = chosen;
        }
        self.last = Some((stream, entity_fits));
        if self.takes_all {
            SelectedLanes::All {
                n_lanes: self.chosen.len(),
            }
        } else {
            SelectedLanes::Some(&self.chosen)
        }
    }

    fn fits(&self, lane: LaneCode, entity_fits: bool) -> bool {
        let le_fits = match lane.le_code() {
            Some(code) => self.le.bounds.iter().all(|bound| bound.contains(code)),
            None => entity_fits,
        };
        le_fits && self.parts.contains(lane.part())
    }
}

//! Matchers → streams and lanes of a block.
//!
//! Matchers are evaluated on dictionaries: a label's once per distinct value, names once per metric and part. What
//! is left is a look at one flag per entity and stream.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{BUCKET_LABEL, LabelColumn, METRIC_NAME, Matcher};

use super::catalog::{BlockCatalog, LaneCode, LanePart, Metric, SeriesEntry, StreamEntry};
use super::dictionary::PickedCodes;

/// Which lanes of a stream are read, in the order of the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneSet<'a> {
    /// All.
    All,
    /// Those at these positions, ascending.
    Some(&'a [u16]),
}

/// The streams that matchers picked, with their lanes, in the order of the block.
#[derive(Debug, Default)]
pub(crate) struct BlockChoice {
    streams: Vec<ChosenStream>,
    /// The lists of streams of which not all lanes are chosen. Neighbours with equal lists share one.
    lane_lists: Vec<u16>,
}

#[derive(Debug, Clone, Copy)]
struct ChosenStream {
    stream: u32,
    n_lanes: u32,
    /// Where its list begins in `lane_lists`, or [`ALL_LANES`].
    list_start: u32,
}

const ALL_LANES: u32 = u32::MAX;

/// The conditions on lanes.
struct LaneFilter<'a> {
    /// Codes of `le` that are picked; `None` if all are.
    le: Option<PickedCodes>,
    /// The entities' own `le`.
    own_le: &'a [u32],
}

impl<'a> LaneSet<'a> {
    /// How many lanes of a stream of `n_lanes` are chosen.
    pub(crate) fn len(self, n_lanes: usize) -> usize {
        match self {
            Self::All => n_lanes,
            Self::Some(lanes) => lanes.len(),
        }
    }

    /// The positions of the chosen lanes.
    pub(crate) fn iter(self, n_lanes: usize) -> impl Iterator<Item = usize> + use<'a> {
        let (all, list) = match self {
            Self::All => (0..n_lanes, &[][..]),
            Self::Some(list) => (0..0, list),
        };
        all.chain(list.iter().map(|lane| usize::from(*lane)))
    }
}

impl BlockChoice {
    /// Number of streams.
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// The position in the block of the `idx`-th stream, and its lanes.
    pub(crate) fn stream(&self, idx: usize) -> Option<(usize, LaneSet<'_>)> {
        let stream = self.streams.get(idx)?;
        let lanes = if stream.list_start == ALL_LANES {
            LaneSet::All
        } else {
            let start = stream.list_start as usize;
            LaneSet::Some(self.lane_lists.get(start..start + stream.n_lanes as usize)?)
        };
        Some((stream.stream as usize, lanes))
    }

    /// Positions and lanes of all streams.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, LaneSet<'_>)> {
        (0..self.len()).filter_map(|idx| self.stream(idx))
    }

    #[expect(clippy::cast_possible_truncation, reason = "there are fewer series than 2^31")]
    fn push(&mut self, stream: usize, lanes: &[u16], n_lanes_of_stream: usize) {
        let list_start = if lanes.len() == n_lanes_of_stream {
            ALL_LANES
        } else {
            if !self.lane_lists.ends_with(lanes) {
                self.lane_lists.extend_from_slice(lanes);
            }
            (self.lane_lists.len() - lanes.len()) as u32
        };
        self.streams.push(ChosenStream {
            stream: stream as u32,
            n_lanes: lanes.len() as u32,
            list_start,
        });
    }
}

impl BlockCatalog {
    /// The streams and lanes that all `matchers` pick.
    pub(crate) fn choose(&self, matchers: &[Matcher]) -> BlockChoice {
        let mut choice = BlockChoice::default();
        let on = |label: &str| -> Vec<&Matcher> {
            let on_label = matchers.iter().filter(|matcher| matcher.name() == label);
            on_label.filter(|matcher| !matcher.matches_everything()).collect()
        };
        let Some(entities) = self.picked_entities(matchers) else {
            return choice;
        };
        let le_matchers = on(BUCKET_LABEL);
        let lane_filter = LaneFilter {
            le: match self.le_label() {
                _ if le_matchers.is_empty() => None,
                Some(label) => Some(label.dictionary.picked(&le_matchers)),
                None => Some(vec![le_matchers.iter().all(|matcher| matcher.matches_empty())]),
            },
            own_le: self.le_label().map_or(&[], |label| &label.codes),
        };
        let name_matchers = on(METRIC_NAME);
        let mut lanes = Vec::new();
        for metric in &self.metrics {
            let parts = self.picked_parts(metric, &name_matchers);
            if !parts.contains(&true) {
                continue;
            }
            for stream_idx in metric.streams.clone() {
                let Some(stream) = self.streams.get(stream_idx) else {
                    continue;
                };
                if entities.get(stream.entity as usize).copied().unwrap_or(false) {
                    lane_filter.choose(self.series_entries(*stream), stream.entity, parts, &mut lanes);
                    if !lanes.is_empty() {
                        choice.push(stream_idx, &lanes, stream.n_lanes as usize);
                    }
                }
            }
        }
        choice
    }

    /// Which entities fulfil the matchers on their labels but `le`; `None` if none does.
    fn picked_entities(&self, matchers: &[Matcher]) -> Option<Vec<bool>> {
        let mut entities = vec![true; self.n_entities];
        for matcher in matchers {
            if [METRIC_NAME, BUCKET_LABEL].contains(&matcher.name()) || matcher.matches_everything() {
                continue;
            }
            match self
                .label_idx(matcher.name())
                .and_then(|label| self.labels.get(label))
            {
                None if matcher.matches_empty() => {}
                None => return None,
                Some(label) => {
                    let picked = label.dictionary.picked(&[matcher]);
                    for (entity, code) in entities.iter_mut().zip(&label.codes) {
                        *entity &= picked.get(*code as usize).copied().unwrap_or(false);
                    }
                }
            }
        }
        entities.contains(&true).then_some(entities)
    }

    /// Which parts of a metric have a full name that is picked.
    fn picked_parts(&self, metric: &Metric, matchers: &[&Matcher]) -> [bool; LanePart::ALL.len()] {
        metric.names.map(|name| {
            let name = name.and_then(|name| self.names.get(name as usize));
            name.is_some_and(|name| matchers.iter().all(|matcher| matcher.matches(name)))
        })
    }

    /// One label of the chosen series.
    pub(crate) fn label_column(&self, choice: &BlockChoice, name: &str) -> LabelColumn {
        let entries = choice
            .iter()
            .filter_map(|(stream, lanes)| Some((*self.streams.get(stream)?, lanes)));
        if name == METRIC_NAME {
            return self.name_column(entries);
        }
        let Some(label) = self.label_idx(name).and_then(|label| self.labels.get(label)) else {
            let n_series = entries
                .map(|(stream, lanes)| lanes.len(stream.n_lanes as usize))
                .sum();
            return LabelColumn::absent(n_series);
        };
        let mut codes = Vec::new();
        for (stream, lanes) in entries {
            let own = label.codes.get(stream.entity as usize).copied().unwrap_or(0);
            if name == BUCKET_LABEL {
                let series = self.chosen_series(stream, lanes);
                codes.extend(series.map(|series| series.lane.le_code_or(own)));
            } else {
                codes.extend(std::iter::repeat_n(own, lanes.len(stream.n_lanes as usize)));
            }
        }
        LabelColumn {
            codes,
            values: label.dictionary.values().to_vec(),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are fewer names than series"
    )]
    fn name_column<'a>(&self, entries: impl Iterator<Item = (StreamEntry, LaneSet<'a>)>) -> LabelColumn {
        let mut values: Vec<Arc<str>> = vec![Arc::from("")];
        let mut local: HashMap<u32, u32> = HashMap::new();
        let mut codes = Vec::new();
        for (stream, lanes) in entries {
            let Some(metric) = self.metrics.get(stream.metric as usize) else {
                continue;
            };
            let name_codes = metric.names.map(|name| {
                let value = name.and_then(|name| self.names.get(name as usize));
                let Some((name, value)) = name.zip(value) else {
                    return 0;
                };
                *local.entry(name).or_insert_with(|| {
                    values.push(Arc::clone(value));
                    values.len() as u32 - 1
                })
            });
            let series = self.chosen_series(stream, lanes);
            codes.extend(series.map(|series| series.lane.part.of(name_codes)));
        }
        LabelColumn { codes, values }
    }

    fn chosen_series<'a>(
        &'a self,
        stream: StreamEntry,
        lanes: LaneSet<'a>,
    ) -> impl Iterator<Item = &'a SeriesEntry> {
        let series = self.series_entries(stream);
        lanes.iter(series.len()).filter_map(move |lane| series.get(lane))
    }

    /// The names of the labels that one of the chosen series has, sorted.
    pub(crate) fn chosen_label_names(&self, choice: &BlockChoice) -> Vec<Arc<str>> {
        let labels = self.labels.iter().filter(|label| {
            choice.iter().any(|(stream, lanes)| {
                let Some(stream) = self.streams.get(stream) else {
                    return false;
                };
                let has_bound = || {
                    let mut series = self.chosen_series(*stream, lanes);
                    *label.name == *BUCKET_LABEL && series.any(|series| series.lane.le_code != 0)
                };
                label
                    .codes
                    .get(stream.entity as usize)
                    .is_some_and(|code| *code != 0)
                    || has_bound()
            })
        });
        let mut names: Vec<Arc<str>> = labels.map(|label| Arc::clone(&label.name)).collect();
        if choice.len() > 0 {
            names.push(Arc::from(METRIC_NAME));
        }
        names.sort_unstable();
        names
    }
}

impl LaneCode {
    fn le_code_or(self, own: u32) -> u32 {
        if self.part == LanePart::Bucket {
            self.le_code
        } else {
            own
        }
    }
}

impl LaneFilter<'_> {
    /// Replaces `lanes` by those of a stream that fit.
    fn choose(
        &self,
        series: &[SeriesEntry],
        entity: u32,
        parts: [bool; LanePart::ALL.len()],
        lanes: &mut Vec<u16>,
    ) {
        let own = self.own_le.get(entity as usize).copied().unwrap_or(0);
        let fits = |lane: LaneCode| {
            let le_code = lane.le_code_or(own);
            let le_fits = |picked: &PickedCodes| picked.get(le_code as usize).copied().unwrap_or(false);
            lane.part.of(parts) && self.le.as_ref().is_none_or(le_fits)
        };
        lanes.clear();
        let numbered = (0_u16..).zip(series);
        lanes.extend(
            numbered
                .filter(|(_, series)| fits(series.lane))
                .map(|(lane, _)| lane),
        );
    }
}

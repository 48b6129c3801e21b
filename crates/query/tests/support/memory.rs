//! A source in memory that groups series into entities, streams and lanes like the real store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use model::histogram::CounterResetHint;
use model::{
    BUCKET_LABEL, FloatHistogram, LabelColumn, Labels, LaneKind, METRIC_NAME, Matcher, SeriesName, TimeRange,
    TimestampMs,
};
use parking_lot::Mutex;
use storage::{Error, NewestBuffer, SelectedStream, Selection, Source, StreamBuffer};

/// Series and their samples, filled before it is queried.
#[derive(Debug, Default)]
pub(crate) struct MemorySource {
    /// Label names of entities in order of appearance, each with its values.
    names: Vec<String>,
    dictionaries: Vec<Dictionary>,
    /// One code per label name; shorter when later names are absent.
    entities: Vec<Vec<u32>>,
    entity_idx: HashMap<Vec<u32>, usize>,
    /// By base metric name and entity.
    streams: BTreeMap<(String, usize), Arc<Stream>>,
}

#[derive(Debug)]
struct Dictionary {
    values: Vec<Arc<str>>,
    codes: HashMap<Arc<str>, u32>,
}

#[derive(Debug, Default, Clone)]
struct Stream {
    timestamps_ms: Vec<TimestampMs>,
    lanes: Vec<Lane>,
}

#[derive(Debug, Clone)]
struct Lane {
    suffix: &'static str,
    le: Arc<str>,
    /// By row of the stream.
    values: Vec<f64>,
    /// Rows without a sample, ascending; their values mean nothing.
    absent: Vec<u32>,
    /// Samples that are histograms; what the values say there means nothing.
    histograms: BTreeMap<TimestampMs, Arc<FloatHistogram>>,
}

impl MemorySource {
    /// Adds samples of one series, in any order of time; a later sample of the same time wins.
    pub(crate) fn add(&mut self, labels: &Labels, samples: impl IntoIterator<Item = (TimestampMs, f64)>) {
        self.change(labels, |stream, lane| {
            stream.add(lane, samples);
        });
    }

    /// Adds histograms of one series, in order of time; they get the hints that the real store gives them.
    pub(crate) fn add_histograms(
        &mut self,
        labels: &Labels,
        samples: impl IntoIterator<Item = (TimestampMs, Arc<FloatHistogram>)>,
    ) {
        self.change(labels, |stream, lane| {
            for (timestamp_ms, histogram) in samples {
                if histogram.is_stale() {
                    stream.add(lane, [(timestamp_ms, model::stale_nan())]);
                    continue;
                }
                let lane_idx = stream.add(lane, [(timestamp_ms, 0.25)]);
                let lane = &mut stream.lanes[lane_idx];
                let mut stored = FloatHistogram::clone(&histogram);
                let previous = lane.histograms.last_key_value().map(|(_, previous)| &**previous);
                stored.counter_reset_hint = CounterResetHint::as_stored(&histogram, previous);
                lane.histograms.insert(timestamp_ms, Arc::new(stored));
            }
        });
    }

    fn change(&mut self, labels: &Labels, change: impl FnOnce(&mut Stream, LaneKind<'_>)) {
        let split = SeriesName::split(labels.metric_name(), labels.get(BUCKET_LABEL));
        let kept = labels
            .iter()
            .filter(|(name, _)| *name != METRIC_NAME && !(*name == BUCKET_LABEL && split.takes_le()));
        let entity_idx = self.entity(kept);
        let stream = self
            .streams
            .entry((split.base.to_owned(), entity_idx))
            .or_default();
        change(Arc::make_mut(stream), split.lane);
    }

    /// Adds a whole stream at once: lanes with a value at each timestamp.
    pub(crate) fn add_stream(
        &mut self,
        base: &str,
        entity: &[(&str, &str)],
        timestamps_ms: Vec<TimestampMs>,
        lanes: Vec<(LaneKind<'_>, Vec<f64>)>,
    ) {
        let entity_idx = self.entity(entity.iter().copied());
        let lanes = lanes.into_iter().map(|(kind, values)| Lane {
            suffix: kind.suffix(),
            le: le_of(kind),
            values,
            absent: Vec::new(),
            histograms: BTreeMap::new(),
        });
        let stream = Stream {
            timestamps_ms,
            lanes: lanes.collect(),
        };
        self.streams
            .insert((base.to_owned(), entity_idx), Arc::new(stream));
    }

    fn entity<'a>(&mut self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> usize {
        let mut codes = vec![0; self.names.len()];
        for (name, value) in labels {
            let name_idx = self
                .names
                .iter()
                .position(|known| known == name)
                .unwrap_or_else(|| {
                    self.names.push(name.to_owned());
                    self.dictionaries.push(Dictionary::default());
                    codes.push(0);
                    codes.len() - 1
                });
            codes[name_idx] = self.dictionaries[name_idx].code(value);
        }
        codes.truncate(
            codes
                .iter()
                .rposition(|&code| code != 0)
                .map_or(0, |last| last + 1),
        );
        let next = self.entities.len();
        let entity_idx = *self.entity_idx.entry(codes.clone()).or_insert(next);
        if entity_idx == next {
            self.entities.push(codes);
        }
        entity_idx
    }

    fn entity_code(&self, entity: usize, name_idx: usize) -> u32 {
        self.entities[entity].get(name_idx).copied().unwrap_or(0)
    }

    /// For each matcher of an entity's label, which codes it picks.
    fn picked_codes(&self, matchers: &[Matcher]) -> Vec<(usize, Vec<bool>)> {
        let of_entities = matchers.iter().filter(|matcher| !is_of_lane(matcher.name()));
        let picked = of_entities.filter_map(|matcher| {
            let name_idx = self.names.iter().position(|name| name == matcher.name())?;
            let values = self.dictionaries[name_idx].values.iter();
            Some((name_idx, values.map(|value| matcher.matches(value)).collect()))
        });
        picked.collect()
    }

    /// True when some matcher asks for a label that no series has to be there.
    fn is_hopeless(&self, matchers: &[Matcher]) -> bool {
        let is_known = |name: &str| is_of_lane(name) || self.names.iter().any(|known| known == name);
        matchers
            .iter()
            .any(|matcher| !is_known(matcher.name()) && !matcher.matches(""))
    }

    fn lanes_of(
        &self,
        base: &str,
        entity: usize,
        stream: &Stream,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Vec<usize> {
        let rows = stream.rows(range);
        let name_idx = self.names.iter().position(|name| name == BUCKET_LABEL);
        let le_of_entity = name_idx.map_or("", |name_idx| {
            &self.dictionaries[name_idx].values[self.entity_code(entity, name_idx) as usize]
        });
        let is_picked = |lane: &Lane| {
            let le = if lane.le.is_empty() {
                le_of_entity
            } else {
                &lane.le
            };
            let of_lane = matchers.iter().filter(|matcher| is_of_lane(matcher.name()));
            let mut of_lane = of_lane.map(|matcher| match matcher.name() {
                METRIC_NAME => matcher.matches(&format!("{base}{}", lane.suffix)),
                _ => matcher.matches(le),
            });
            lane.has_samples(rows.clone()) && of_lane.all(|matches| matches)
        };
        (0..stream.lanes.len())
            .filter(|&lane| is_picked(&stream.lanes[lane]))
            .collect()
    }
}

/// Labels whose value is that of the lane, at least for buckets.
fn is_of_lane(name: &str) -> bool {
    name == METRIC_NAME || name == BUCKET_LABEL
}

impl Default for Dictionary {
    fn default() -> Self {
        Self {
            values: vec!["".into()],
            codes: HashMap::new(),
        }
    }
}

impl Dictionary {
    fn code(&mut self, value: &str) -> u32 {
        if let Some(&code) = self.codes.get(value) {
            return code;
        }
        let code = u32::try_from(self.values.len()).unwrap();
        self.values.push(value.into());
        self.codes.insert(value.into(), code);
        code
    }
}

fn le_of(kind: LaneKind<'_>) -> Arc<str> {
    match kind {
        LaneKind::Bucket(le) => le.into(),
        _ => "".into(),
    }
}

impl Lane {
    fn has_samples(&self, rows: Range<usize>) -> bool {
        let absent = |row: usize| self.absent.partition_point(|&absent| (absent as usize) < row);
        absent(rows.end) - absent(rows.start) < rows.len()
    }
}

impl Stream {
    /// Adds samples of a lane and gives its position.
    fn add(&mut self, kind: LaneKind<'_>, samples: impl IntoIterator<Item = (TimestampMs, f64)>) -> usize {
        let n_rows = u32::try_from(self.timestamps_ms.len()).unwrap();
        let (suffix, le) = (kind.suffix(), le_of(kind));
        let position = self
            .lanes
            .iter()
            .position(|lane| lane.suffix == suffix && lane.le == le);
        let lane_idx = position.unwrap_or_else(|| {
            self.lanes.push(Lane {
                suffix,
                le,
                values: vec![0.0; n_rows as usize],
                absent: (0..n_rows).collect(),
                histograms: BTreeMap::new(),
            });
            self.lanes.len() - 1
        });
        for (timestamp_ms, value) in samples {
            let row = self.timestamps_ms.partition_point(|&t| t < timestamp_ms);
            if self.timestamps_ms.get(row) != Some(&timestamp_ms) {
                self.timestamps_ms.insert(row, timestamp_ms);
                for lane in &mut self.lanes {
                    lane.insert_absent(row);
                }
            }
            let lane = &mut self.lanes[lane_idx];
            lane.values[row] = value;
            lane.absent.retain(|&absent| absent as usize != row);
        }
        lane_idx
    }

    fn rows(&self, range: TimeRange) -> Range<usize> {
        let start = self.timestamps_ms.partition_point(|&t| t <= range.start_ms);
        let end = self.timestamps_ms.partition_point(|&t| t <= range.end_ms);
        start..end.max(start)
    }
}

impl Lane {
    fn insert_absent(&mut self, row: usize) {
        self.values.insert(row, 0.5);
        let position = self.absent.partition_point(|&absent| (absent as usize) < row);
        for absent in &mut self.absent[position..] {
            *absent += 1;
        }
        self.absent.insert(position, u32::try_from(row).unwrap());
    }
}

#[derive(Debug)]
struct MemorySelection {
    streams: Vec<SelectedStream>,
    chosen: Vec<Chosen>,
    /// The labels of entities.
    columns: Vec<EntityColumn>,
    n_series: usize,
    /// Columns of the metric name and of `le`, made when asked for.
    lane_columns: Mutex<HashMap<String, LabelColumn>>,
}

/// Name, one code per chosen stream, values.
type EntityColumn = (String, Vec<u32>, Vec<Arc<str>>);

#[derive(Debug)]
struct Chosen {
    base: String,
    stream: Arc<Stream>,
    lanes: Vec<usize>,
}

impl Source for MemorySource {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Arc<dyn Selection>, Error> {
        let mut selection = MemorySelection {
            streams: Vec::new(),
            chosen: Vec::new(),
            columns: Vec::new(),
            n_series: 0,
            lane_columns: Mutex::default(),
        };
        let picked = self.picked_codes(matchers);
        let is_hopeless = self.is_hopeless(matchers);
        let mut entities = Vec::new();
        for ((base, entity), stream) in self.streams.iter().filter(|_| !is_hopeless) {
            let code = |name_idx: usize| self.entity_code(*entity, name_idx) as usize;
            if !picked.iter().all(|(name_idx, picked)| picked[code(*name_idx)]) {
                continue;
            }
            let lanes = self.lanes_of(base, *entity, stream, matchers, range);
            if lanes.is_empty() {
                continue;
            }
            selection.streams.push(SelectedStream {
                first_series: u32::try_from(selection.n_series).unwrap(),
                n_lanes: u32::try_from(lanes.len()).unwrap(),
            });
            selection.n_series += lanes.len();
            selection.chosen.push(Chosen {
                base: base.clone(),
                stream: Arc::clone(stream),
                lanes,
            });
            entities.push(*entity);
        }
        for (name_idx, (name, dictionary)) in self.names.iter().zip(&self.dictionaries).enumerate() {
            let codes = entities.iter().map(|&entity| self.entity_code(entity, name_idx));
            selection
                .columns
                .push((name.clone(), codes.collect(), dictionary.values.clone()));
        }
        Ok(Arc::new(selection))
    }

    fn label_names(&self, range: TimeRange) -> Result<Vec<Arc<str>>, Error> {
        let selection = self.select(&[], range)?;
        Ok(selection.label_names())
    }

    fn label_values(&self, name: &str, range: TimeRange) -> Result<Vec<Arc<str>>, Error> {
        let column = self.select(&[], range)?.label_column(name);
        let used: BTreeSet<u32> = column.codes.iter().copied().filter(|&code| code != 0).collect();
        let mut values: Vec<_> = used
            .iter()
            .map(|&code| Arc::clone(&column.values[code as usize]))
            .collect();
        values.sort();
        Ok(values)
    }
}

impl MemorySelection {
    fn entity_column(&self, name: &str) -> Option<&EntityColumn> {
        self.columns.iter().find(|(known, _, _)| known == name)
    }

    /// A column made lane by lane; an empty value is taken from the entity.
    fn lane_column(&self, name: &str, value: impl Fn(&str, &Lane) -> String) -> LabelColumn {
        let mut columns = self.lane_columns.lock();
        let column = columns.entry(name.to_owned());
        column
            .or_insert_with(|| self.make_lane_column(name, value))
            .clone()
    }

    fn make_lane_column(&self, name: &str, value: impl Fn(&str, &Lane) -> String) -> LabelColumn {
        let of_entities = self.entity_column(name);
        let mut dictionary = Dictionary::default();
        let mut codes = Vec::with_capacity(self.n_series);
        for (idx, chosen) in self.chosen.iter().enumerate() {
            for &lane in &chosen.lanes {
                let mut text = value(&chosen.base, &chosen.stream.lanes[lane]);
                if let (true, Some((_, entity_codes, values))) = (text.is_empty(), of_entities) {
                    text = values[entity_codes[idx] as usize].to_string();
                }
                codes.push(if text.is_empty() {
                    0
                } else {
                    dictionary.code(&text)
                });
            }
        }
        LabelColumn {
            codes,
            values: dictionary.values,
        }
    }
}

impl Selection for MemorySelection {
    fn streams(&self) -> &[SelectedStream] {
        &self.streams
    }

    fn n_series(&self) -> usize {
        self.n_series
    }

    fn label_names(&self) -> Vec<Arc<str>> {
        let of_entities = self
            .columns
            .iter()
            .filter(|(_, codes, _)| codes.iter().any(|&code| code != 0));
        let mut names: BTreeSet<&str> = of_entities.map(|(name, _, _)| name.as_str()).collect();
        let lanes = || {
            self.chosen
                .iter()
                .flat_map(|chosen| chosen.lanes.iter().map(|&lane| &chosen.stream.lanes[lane]))
        };
        if lanes().any(|lane| !lane.le.is_empty()) {
            names.insert(BUCKET_LABEL);
        }
        if self.chosen.iter().any(|chosen| !chosen.base.is_empty()) {
            names.insert(METRIC_NAME);
        }
        names.into_iter().map(Arc::from).collect()
    }

    fn label_column(&self, name: &str) -> LabelColumn {
        match name {
            METRIC_NAME => return self.lane_column(name, |base, lane| format!("{base}{}", lane.suffix)),
            BUCKET_LABEL => return self.lane_column(name, |_, lane| lane.le.to_string()),
            _ => {}
        }
        let Some((_, stream_codes, values)) = self.entity_column(name) else {
            return LabelColumn::absent(self.n_series);
        };
        let codes = stream_codes.iter().zip(&self.streams);
        let codes = codes.flat_map(|(&code, stream)| std::iter::repeat_n(code, stream.n_lanes as usize));
        LabelColumn {
            codes: codes.collect(),
            values: values.clone(),
        }
    }

    fn read(&self, stream_idx: usize, range: TimeRange, buffer: &mut StreamBuffer) -> Result<(), Error> {
        let Chosen { stream, lanes, .. } = &self.chosen[stream_idx];
        let rows = stream.rows(range);
        buffer.reset(lanes.len());
        let (timestamps_ms, lane_buffers) = buffer.parts_mut();
        timestamps_ms.extend_from_slice(&stream.timestamps_ms[rows.clone()]);
        for (&lane, lane_buffer) in lanes.iter().zip(lane_buffers) {
            let lane = &stream.lanes[lane];
            lane_buffer.values.extend_from_slice(&lane.values[rows.clone()]);
            lane_buffer.may_be_nan = lane_buffer.values.iter().any(|value| value.is_nan());
            let absent = lane.absent.iter().filter(|&&row| rows.contains(&(row as usize)));
            lane_buffer
                .absent_rows
                .extend(absent.map(|&row| row - u32::try_from(rows.start).unwrap()));
            for (row, timestamp_ms) in (0..).zip(&*timestamps_ms) {
                if let Some(histogram) = lane.histograms.get(timestamp_ms) {
                    lane_buffer.histograms.push((row, Arc::clone(histogram)));
                }
            }
        }
        Ok(())
    }

    fn read_newest(
        &self,
        stream_idx: usize,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error> {
        let Chosen { stream, lanes, .. } = &self.chosen[stream_idx];
        let rows = stream.rows(range);
        buffer.samples.clear();
        buffer.samples.extend(lanes.iter().map(|&lane| {
            let lane = &stream.lanes[lane];
            let is_present = |row: &usize| lane.absent.binary_search(&u32::try_from(*row).unwrap()).is_err();
            let newest = rows.clone().rev().find(is_present)?;
            Some((stream.timestamps_ms[newest], lane.values[newest]))
        }));
        buffer.histograms.clear();
        for ((lane_idx, &lane), sample) in (0..).zip(lanes).zip(&buffer.samples) {
            let histogram = sample.and_then(|(time_ms, _)| stream.lanes[lane].histograms.get(&time_ms));
            buffer
                .histograms
                .extend(histogram.map(|histogram| (lane_idx, Arc::clone(histogram))));
        }
        Ok(())
    }
}

//! A source in memory that groups series into entities, streams and lanes like the real store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{
    BUCKET_LABEL, LabelColumn, Labels, LaneKind, METRIC_NAME, Matcher, SeriesName, TimeRange, TimestampMs,
};
use storage::{Error, NewestBuffer, SelectedStream, Selection, Source, StreamBuffer};

/// Series and their samples, filled before it is queried.
#[derive(Debug, Default)]
pub(crate) struct MemorySource {
    dictionaries: BTreeMap<String, Dictionary>,
    entities: Vec<Vec<(String, u32)>>,
    entity_idx: HashMap<Vec<(String, u32)>, usize>,
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
    /// By row of the stream; `None` is no sample.
    values: Vec<Option<f64>>,
}

impl MemorySource {
    /// Adds samples of one series, in any order of time; a later sample of the same time wins.
    pub(crate) fn add(&mut self, labels: &Labels, samples: impl IntoIterator<Item = (TimestampMs, f64)>) {
        let split = SeriesName::split(labels.metric_name(), labels.get(BUCKET_LABEL));
        let kept = labels
            .iter()
            .filter(|(name, _)| *name != METRIC_NAME && !(*name == BUCKET_LABEL && split.takes_le()));
        let mut entity = Vec::new();
        for (name, value) in kept {
            let dictionary = self.dictionaries.entry(name.to_owned()).or_default();
            entity.push((name.to_owned(), dictionary.code(value)));
        }
        let next = self.entities.len();
        let entity_idx = *self.entity_idx.entry(entity.clone()).or_insert(next);
        if entity_idx == next {
            self.entities.push(entity);
        }
        let stream = self
            .streams
            .entry((split.base.to_owned(), entity_idx))
            .or_default();
        Arc::make_mut(stream).add(split.lane, samples);
    }

    /// Adds a whole stream at once: lanes with a value at each timestamp.
    pub(crate) fn add_stream(
        &mut self,
        base: &str,
        entity: &[(&str, &str)],
        timestamps_ms: Vec<TimestampMs>,
        lanes: Vec<(LaneKind<'_>, Vec<f64>)>,
    ) {
        let mut coded = Vec::new();
        for (name, value) in entity {
            let dictionary = self.dictionaries.entry((*name).to_owned()).or_default();
            coded.push(((*name).to_owned(), dictionary.code(value)));
        }
        coded.sort();
        let next = self.entities.len();
        let entity_idx = *self.entity_idx.entry(coded.clone()).or_insert(next);
        if entity_idx == next {
            self.entities.push(coded);
        }
        let lanes = lanes.into_iter().map(|(kind, values)| Lane {
            suffix: kind.suffix(),
            le: le_of(kind),
            values: values.into_iter().map(Some).collect(),
        });
        let stream = Stream {
            timestamps_ms,
            lanes: lanes.collect(),
        };
        self.streams
            .insert((base.to_owned(), entity_idx), Arc::new(stream));
    }

    fn label_of(&self, base: &str, entity: usize, lane: &Lane, name: &str) -> Arc<str> {
        if name == METRIC_NAME {
            return format!("{base}{}", lane.suffix).into();
        }
        if name == BUCKET_LABEL && lane.suffix == "_bucket" {
            return Arc::clone(&lane.le);
        }
        let found = self.entities[entity].iter().find(|(label, _)| label == name);
        found.map_or_else(
            || "".into(),
            |(_, code)| Arc::clone(&self.dictionaries[name].values[*code as usize]),
        )
    }
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

impl Stream {
    fn add(&mut self, kind: LaneKind<'_>, samples: impl IntoIterator<Item = (TimestampMs, f64)>) {
        let n_rows = self.timestamps_ms.len();
        let (suffix, le) = (kind.suffix(), le_of(kind));
        let position = self
            .lanes
            .iter()
            .position(|lane| lane.suffix == suffix && lane.le == le);
        let lane_idx = position.unwrap_or_else(|| {
            self.lanes.push(Lane {
                suffix,
                le,
                values: vec![None; n_rows],
            });
            self.lanes.len() - 1
        });
        for (timestamp_ms, value) in samples {
            let row = self.timestamps_ms.partition_point(|&t| t < timestamp_ms);
            if self.timestamps_ms.get(row) != Some(&timestamp_ms) {
                self.timestamps_ms.insert(row, timestamp_ms);
                for lane in &mut self.lanes {
                    lane.values.insert(row, None);
                }
            }
            self.lanes[lane_idx].values[row] = Some(value);
        }
    }

    fn rows(&self, range: TimeRange) -> std::ops::Range<usize> {
        let start = self.timestamps_ms.partition_point(|&t| t <= range.start_ms);
        let end = self.timestamps_ms.partition_point(|&t| t <= range.end_ms);
        start..end.max(start)
    }
}

#[derive(Debug)]
struct MemorySelection {
    streams: Vec<SelectedStream>,
    chosen: Vec<(Arc<Stream>, Vec<usize>)>,
    /// Columns of labels of entities, by name: one code per stream.
    columns: BTreeMap<String, (Vec<u32>, Vec<Arc<str>>)>,
    bases: Vec<String>,
    n_series: usize,
}

impl Source for MemorySource {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Arc<dyn Selection>, Error> {
        let mut selection = MemorySelection {
            streams: Vec::new(),
            chosen: Vec::new(),
            columns: BTreeMap::new(),
            bases: Vec::new(),
            n_series: 0,
        };
        let mut entities = Vec::new();
        for ((base, entity), stream) in &self.streams {
            let rows = stream.rows(range);
            let matches = |lane: &Lane| {
                let value = |name: &str| self.label_of(base, *entity, lane, name);
                lane.values[rows.clone()].iter().any(Option::is_some)
                    && matchers
                        .iter()
                        .all(|matcher| matcher.matches(&value(matcher.name())))
            };
            let lanes: Vec<usize> = (0..stream.lanes.len())
                .filter(|&lane| matches(&stream.lanes[lane]))
                .collect();
            if lanes.is_empty() {
                continue;
            }
            selection.streams.push(SelectedStream {
                first_series: u32::try_from(selection.n_series).unwrap(),
                n_lanes: u32::try_from(lanes.len()).unwrap(),
            });
            selection.n_series += lanes.len();
            selection.chosen.push((Arc::clone(stream), lanes));
            selection.bases.push(base.clone());
            entities.push(*entity);
        }
        for (name, dictionary) in &self.dictionaries {
            let code = |entity: &usize| {
                let found = self.entities[*entity].iter().find(|(label, _)| label == name);
                found.map_or(0, |(_, code)| *code)
            };
            let codes: Vec<u32> = entities.iter().map(code).collect();
            selection
                .columns
                .insert(name.clone(), (codes, dictionary.values.clone()));
        }
        Ok(Arc::new(selection))
    }

    fn label_names(&self) -> Result<Vec<Arc<str>>, Error> {
        let selection = self.select(&[], TimeRange::ALL)?;
        Ok(selection.label_names())
    }

    fn label_values(&self, name: &str) -> Result<Vec<Arc<str>>, Error> {
        let column = self.select(&[], TimeRange::ALL)?.label_column(name);
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
    /// A column made lane by lane.
    fn lane_column(
        &self,
        value: impl Fn(&str, &Lane) -> String,
        or: Option<&(Vec<u32>, Vec<Arc<str>>)>,
    ) -> LabelColumn {
        let mut dictionary = Dictionary::default();
        let mut codes = Vec::with_capacity(self.n_series);
        for (idx, ((stream, lanes), base)) in self.chosen.iter().zip(&self.bases).enumerate() {
            for &lane in lanes {
                let mut text = value(base, &stream.lanes[lane]);
                if let (true, Some((entity_codes, values))) = (text.is_empty(), or) {
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
        let is_used = |name: &str| self.label_column(name).codes.iter().any(|&code| code != 0);
        let names = self
            .columns
            .keys()
            .map(String::as_str)
            .chain([METRIC_NAME, BUCKET_LABEL]);
        let names: BTreeSet<&str> = names.filter(|name| is_used(name)).collect();
        names.into_iter().map(Arc::from).collect()
    }

    fn label_column(&self, name: &str) -> LabelColumn {
        if name == METRIC_NAME {
            return self.lane_column(|base, lane| format!("{base}{}", lane.suffix), None);
        }
        if name == BUCKET_LABEL {
            return self.lane_column(|_, lane| lane.le.to_string(), self.columns.get(name));
        }
        let Some((stream_codes, values)) = self.columns.get(name) else {
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
        let (stream, lanes) = &self.chosen[stream_idx];
        let rows = stream.rows(range);
        buffer.reset(lanes.len());
        let (timestamps_ms, lane_buffers) = buffer.parts_mut();
        timestamps_ms.extend_from_slice(&stream.timestamps_ms[rows.clone()]);
        for (&lane, lane_buffer) in lanes.iter().zip(lane_buffers) {
            for (row, value) in (0_u32..).zip(&stream.lanes[lane].values[rows.clone()]) {
                match value {
                    Some(value) => {
                        lane_buffer.may_be_nan |= value.is_nan();
                        lane_buffer.values.push(*value);
                    }
                    None => {
                        lane_buffer.absent_rows.push(row);
                        lane_buffer.values.push(0.5);
                    }
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
        let (stream, lanes) = &self.chosen[stream_idx];
        let rows = stream.rows(range);
        buffer.samples.clear();
        buffer.samples.extend(lanes.iter().map(|&lane| {
            let newest = rows
                .clone()
                .rev()
                .find_map(|row| Some((row, stream.lanes[lane].values[row]?)));
            newest.map(|(row, value)| (stream.timestamps_ms[row], value))
        }));
        Ok(())
    }
}

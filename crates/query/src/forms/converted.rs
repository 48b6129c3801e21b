//! A selection whose samples are made of those of another one.

use std::fmt;
use std::sync::Arc;

use model::{BUCKET_LABEL, LabelColumn, METRIC_NAME, TimeRange, is_stale_nan};
use storage::{Error, NewestBuffer, SelectedStream, Selection, StreamBuffer};

/// How samples are made.
pub(super) trait Conversion: Send + Sync + fmt::Debug {
    /// The `le` of each lane of a stream; none where there is one lane without.
    fn bounds(&self, stream_idx: usize) -> &[Arc<str>];

    /// Fills `made`, which has the lanes of the stream and no row, from all lanes of the stream it is made of.
    ///
    /// # Errors
    /// Damaged data.
    fn convert(
        &self,
        stream_idx: usize,
        range: TimeRange,
        stored: &StreamBuffer,
        made: &mut StreamBuffer,
    ) -> Result<(), Error>;

    /// What is to be told of what was made so far.
    fn warnings(&self) -> Vec<String>;
}

/// Streams of one metric, each made of one of another metric.
#[derive(Debug)]
pub(super) struct Converted<C> {
    inner: Arc<dyn Selection>,
    name: Arc<str>,
    /// Positions in `inner`.
    origins: Vec<usize>,
    streams: Vec<SelectedStream>,
    n_series: usize,
    conversion: C,
}

impl<C: Conversion> Converted<C> {
    /// The streams of `inner` at `origins` under another name; `None` if there is none.
    pub(super) fn new(
        inner: Arc<dyn Selection>,
        name: &str,
        origins: Vec<usize>,
        conversion: C,
    ) -> Option<Self> {
        let mut n_series = 0;
        let streams = (0..origins.len()).map(|stream_idx| {
            let n_lanes = conversion.bounds(stream_idx).len().max(1);
            let first_series = n_series as u32;
            n_series += n_lanes;
            SelectedStream {
                first_series,
                n_lanes: n_lanes as u32,
            }
        });
        let streams: Vec<SelectedStream> = streams.collect();
        (!streams.is_empty()).then_some(Self {
            inner,
            name: Arc::from(name),
            origins,
            streams,
            n_series,
            conversion,
        })
    }

    fn n_lanes(&self, stream_idx: usize) -> usize {
        self.streams[stream_idx].n_lanes as usize
    }

    /// `le` of all series.
    fn bound_column(&self) -> LabelColumn {
        let mut column = LabelColumn::absent(0);
        let mut known = hashbrown::HashMap::new();
        for stream_idx in 0..self.streams.len() {
            let bounds = self.conversion.bounds(stream_idx);
            if bounds.is_empty() {
                column.codes.push(0);
            }
            for bound in bounds {
                let code = *known.entry(Arc::clone(bound)).or_insert_with(|| {
                    column.values.push(Arc::clone(bound));
                    column.values.len() as u32 - 1
                });
                column.codes.push(code);
            }
        }
        column
    }
}

impl<C: Conversion> Selection for Converted<C> {
    fn streams(&self) -> &[SelectedStream] {
        &self.streams
    }

    fn n_series(&self) -> usize {
        self.n_series
    }

    fn label_names(&self) -> Vec<Arc<str>> {
        let mut names = self.inner.label_names();
        names.retain(|name| &**name != BUCKET_LABEL);
        if (0..self.streams.len()).any(|stream_idx| !self.conversion.bounds(stream_idx).is_empty()) {
            let position = names.partition_point(|name| &**name < BUCKET_LABEL);
            names.insert(position, Arc::from(BUCKET_LABEL));
        }
        names
    }

    fn label_column(&self, name: &str) -> LabelColumn {
        match name {
            METRIC_NAME => LabelColumn {
                codes: vec![1; self.n_series],
                values: vec![Arc::from(""), Arc::clone(&self.name)],
            },
            BUCKET_LABEL => self.bound_column(),
            _ => {
                let LabelColumn { codes, values } = self.inner.label_column(name);
                let streams = self.inner.streams();
                let repeated = self.origins.iter().enumerate().flat_map(|(stream_idx, origin)| {
                    let code = codes[streams[*origin].first_series as usize];
                    std::iter::repeat_n(code, self.n_lanes(stream_idx))
                });
                LabelColumn {
                    codes: repeated.collect(),
                    values,
                }
            }
        }
    }

    fn read(&self, stream_idx: usize, range: TimeRange, buffer: &mut StreamBuffer) -> Result<(), Error> {
        let mut stored = StreamBuffer::default();
        self.inner.read(self.origins[stream_idx], range, &mut stored)?;
        buffer.reset(self.n_lanes(stream_idx));
        self.conversion.convert(stream_idx, range, &stored, buffer)
    }

    fn read_newest(
        &self,
        stream_idx: usize,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error> {
        let mut all = StreamBuffer::default();
        self.read(stream_idx, range, &mut all)?;
        buffer.samples.clear();
        buffer.histograms.clear();
        for (lane_idx, lane) in (0_u32..).zip(all.lanes()) {
            // Every lane made has a sample in every row.
            let newest = all.timestamps_ms.last().zip(lane.values.last());
            buffer
                .samples
                .push(newest.map(|(timestamp_ms, value)| (*timestamp_ms, *value)));
            let is_stale = newest.is_some_and(|(_, value)| is_stale_nan(*value));
            if let Some((row, histogram)) = lane.histograms.last()
                && !is_stale
                && *row as usize + 1 == all.timestamps_ms.len()
            {
                buffer.histograms.push((lane_idx, Arc::clone(histogram)));
            }
        }
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.inner.warnings();
        warnings.extend(self.conversion.warnings());
        warnings
    }
}

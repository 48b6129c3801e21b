//! How queries read: the contract between `query` and whatever holds samples.
//!
//! A query first lists its series ([`Source::select`]), then works on label columns, and only then reads samples,
//! stream by stream, into buffers it reuses. A series is addressed by its position in the selection.

use std::fmt;
use std::sync::Arc;

use model::{FloatHistogram, LabelColumn, Matcher, TimeRange, TimestampMs, is_stale_nan};

use crate::block::DecodedPages;
use crate::head::ReadScratch;
use crate::merged::append;
use crate::{Error, StoredHistogram};

/// Something that can be queried: the head, later the head and its blocks.
pub trait Source: Send + Sync + fmt::Debug {
    /// The series that all `matchers` pick and that may have samples in `range`, as of now. Series registered
    /// later do not appear in the selection; samples appended later may.
    ///
    /// An empty list of matchers picks every series.
    ///
    /// # Errors
    /// Those of the store; a selection of nothing is not an error.
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Arc<dyn Selection>, Error>;

    /// True when selecting these series takes microseconds, and reading some of them as well: no file is read, and no
    /// expression is tried on many values. A guess: it may be otherwise a moment later.
    fn is_quick(&self, matchers: &[Matcher], range: TimeRange) -> bool {
        let _ = (matchers, range);
        false
    }

    /// The names of all labels of all series that have samples in `range`, sorted, `__name__` included; there may be
    /// some of series that have none.
    ///
    /// # Errors
    /// Those of the store.
    fn label_names(&self, range: TimeRange) -> Result<Vec<Arc<str>>, Error>;

    /// All values that one label has in series with samples in `range`, sorted, without the empty one; there may be
    /// some of series that have none.
    ///
    /// # Errors
    /// Those of the store.
    fn label_values(&self, name: &str, range: TimeRange) -> Result<Vec<Arc<str>>, Error>;
}

/// A known list of series, grouped by stream.
///
/// The series of stream `s` have the positions `streams()[s].first_series ..` + `n_lanes`. The order is the same
/// for equal content: by base metric name, then by entity, then by lane, so that sums are reproducible.
pub trait Selection: Send + Sync + fmt::Debug {
    /// The streams, in order of their series.
    fn streams(&self) -> &[SelectedStream];

    /// Number of series; the sum of all `n_lanes`.
    fn n_series(&self) -> usize;

    /// The names of all labels that at least one of the series has, sorted, `__name__` included.
    fn label_names(&self) -> Vec<Arc<str>>;

    /// One label of all series, `n_series()` codes. Labels that no series has give an absent column.
    fn label_column(&self, name: &str) -> LabelColumn;

    /// Reads the samples of one stream in `range` (left-open) into `buffer`, replacing what it held. The buffer
    /// then has exactly `n_lanes` lanes in the order of the selection.
    ///
    /// # Errors
    /// Damaged data.
    ///
    /// # Panics
    /// If `stream_idx` is no position of [`Self::streams`].
    fn read(&self, stream_idx: usize, range: TimeRange, buffer: &mut StreamBuffer) -> Result<(), Error>;

    /// Reads the newest sample in `range` of each lane of one stream, staleness markers included. Equal to what
    /// [`Self::read`] would find last in each lane, only cheaper.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_newest(
        &self,
        stream_idx: usize,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error>;

    /// Tells which lanes of one stream are alive in `range`: their newest sample is no staleness marker. Equal to
    /// what follows from [`Self::read_newest`], only cheaper where a store can tell without values.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn read_live(&self, stream_idx: usize, range: TimeRange, buffer: &mut LiveBuffer) -> Result<(), Error> {
        self.read_newest(stream_idx, range, &mut buffer.newest)?;
        buffer.take_newest();
        Ok(())
    }

    /// What the reader should be told of the answer, as texts: that samples may be missing. Complete only after
    /// everything was read.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Where the series of one stream lie in a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelectedStream {
    /// Position of its first series.
    pub first_series: u32,
    /// How many of its lanes are selected; at least one.
    pub n_lanes: u32,
}

/// Samples of one stream: shared timestamps, one value column per lane.
#[derive(Debug, Default)]
pub struct StreamBuffer {
    /// Strictly ascending; every timestamp at which at least one selected lane may have a sample.
    pub timestamps_ms: Vec<TimestampMs>,
    /// One per selected lane. Only the first `n_lanes` are meaningful: use [`Self::lanes`].
    lanes: Vec<LaneBuffer>,
    n_lanes: usize,
    /// Native histograms are wanted as they are stored, not as queries see them.
    pub(crate) wants_stored: bool,
    /// Of the head, while it reads.
    pub(crate) scratch: ReadScratch,
    /// For the parts of what is read from several places.
    pub(crate) spare: Vec<StreamBuffer>,
    /// Of blocks, from one read to the next.
    pub(crate) decoded: DecodedPages,
}

/// Samples of one lane, by row of its stream.
#[derive(Debug, Default)]
pub struct LaneBuffer {
    /// One per timestamp. What stands in a row without a sample is undefined.
    pub values: Vec<f64>,
    /// Rows without a sample, ascending. Empty for nearly every lane.
    pub absent_rows: Vec<u32>,
    /// False promises that no value is a NaN of any kind, so neither a staleness marker.
    pub may_be_nan: bool,
    /// Rows whose sample is a native histogram, ascending; what stands in `values` there is undefined. Empty for nearly
    /// every lane. A staleness marker is a float here, whatever came in.
    pub histograms: Vec<(u32, Arc<FloatHistogram>)>,
    /// The same as they are stored, in a buffer that asks for that ([`StreamBuffer::stored`]); then `histograms` is
    /// empty, and their sums stand in `values`.
    pub stored: Vec<(u32, StoredHistogram)>,
    /// When the counter of each row began, 0 where nobody said so. Empty if nobody did for any row.
    pub starts_ms: Vec<TimestampMs>,
}

/// The newest sample of each lane of one stream.
#[derive(Debug, Default)]
pub struct NewestBuffer {
    /// One per selected lane; `None` when it has no sample in the range.
    pub samples: Vec<Option<(TimestampMs, f64)>>,
    /// Lanes whose newest sample is a native histogram, ascending; the value in `samples` is undefined there.
    pub histograms: Vec<(u32, Arc<FloatHistogram>)>,
    /// Of the head, while it reads.
    pub(crate) scratch: ReadScratch,
    /// For the parts of what is read from several places.
    pub(crate) spare: Vec<NewestBuffer>,
    /// Of blocks, from one read to the next.
    pub(crate) decoded: DecodedPages,
}

/// Which lanes of one stream are alive.
#[derive(Debug, Default)]
pub struct LiveBuffer {
    /// One bit per selected lane, lane `i` being bit `i % 64` of word `i / 64`; bits behind the last lane are 0.
    pub lanes: Vec<u64>,
    /// How many lanes have a sample, staleness markers included.
    pub n_sampled: usize,
    /// For what can only be told from samples.
    pub(crate) newest: NewestBuffer,
}

impl LiveBuffer {
    /// Says of `n_lanes` that none has a sample.
    pub(crate) fn reset(&mut self, n_lanes: usize) {
        self.lanes.clear();
        self.lanes.resize(n_lanes.div_ceil(64), 0);
        self.n_sampled = 0;
    }

    /// Says what follows from the newest samples.
    pub(crate) fn take_newest(&mut self) {
        self.reset(self.newest.samples.len());
        for (position, sample) in self.newest.samples.iter().enumerate() {
            let Some((_, value)) = *sample else { continue };
            self.n_sampled += 1;
            self.lanes[position / 64] |= u64::from(!is_stale_nan(value)) << (position % 64);
        }
        // A histogram is never a staleness marker, and what stands in its place in `samples` says nothing.
        for (position, _) in &self.newest.histograms {
            self.lanes[*position as usize / 64] |= 1 << (position % 64);
        }
    }
}

impl StreamBuffer {
    /// A buffer that native histograms are read into as they are stored: what blocks are written from.
    #[must_use]
    pub fn stored() -> Self {
        Self {
            wants_stored: true,
            ..Self::default()
        }
    }

    /// Empties the buffer for a stream of `n_lanes`; allocations are kept.
    pub fn reset(&mut self, n_lanes: usize) {
        self.timestamps_ms.clear();
        self.n_lanes = n_lanes;
        if self.lanes.len() < n_lanes {
            self.lanes.resize_with(n_lanes, LaneBuffer::default);
        }
        for lane in &mut self.lanes[..n_lanes] {
            lane.values.clear();
            lane.absent_rows.clear();
            lane.may_be_nan = false;
            lane.histograms.clear();
            lane.stored.clear();
            lane.starts_ms.clear();
        }
    }

    /// Drops the rows up to a time, that of it included.
    pub fn forget_until(&mut self, end_ms: TimestampMs) {
        let n_rows = self.timestamps_ms.partition_point(|held_ms| *held_ms <= end_ms);
        if n_rows == self.timestamps_ms.len() {
            return self.reset(self.n_lanes);
        }
        let n_before = n_rows as u32;
        self.timestamps_ms.drain(..n_rows);
        for lane in &mut self.lanes[..self.n_lanes] {
            lane.values.drain(..n_rows);
            lane.absent_rows.retain_mut(|row| keep_row(row, n_before));
            lane.histograms.retain_mut(|(row, _)| keep_row(row, n_before));
            lane.stored.retain_mut(|(row, _)| keep_row(row, n_before));
            lane.starts_ms.drain(..n_rows.min(lane.starts_ms.len()));
        }
    }

    /// Adds rows of the same lanes that are all later. Whether a histogram continues the one before it is not known
    /// where they meet.
    ///
    /// # Panics
    /// If there are other lanes, or stored histograms.
    pub fn append(&mut self, later: &Self) {
        assert_eq!(later.n_lanes, self.n_lanes, "rows of the same lanes");
        assert!(!self.wants_stored, "histograms as queries see them");
        let same: Vec<u32> = (0..self.n_lanes as u32).collect();
        append(self, later, &same);
    }

    /// The lanes, in the order of the selection.
    #[must_use]
    pub fn lanes(&self) -> &[LaneBuffer] {
        &self.lanes[..self.n_lanes]
    }

    /// The lanes, to be filled.
    pub fn lanes_mut(&mut self) -> &mut [LaneBuffer] {
        &mut self.lanes[..self.n_lanes]
    }

    /// The timestamps and the lanes, to be filled together.
    pub fn parts_mut(&mut self) -> (&mut Vec<TimestampMs>, &mut [LaneBuffer]) {
        (&mut self.timestamps_ms, &mut self.lanes[..self.n_lanes])
    }

    /// As [`Self::parts_mut`], with the scratch.
    pub(crate) fn parts_and_scratch_mut(
        &mut self,
    ) -> (&mut Vec<TimestampMs>, &mut [LaneBuffer], &mut ReadScratch) {
        (
            &mut self.timestamps_ms,
            &mut self.lanes[..self.n_lanes],
            &mut self.scratch,
        )
    }
}

/// Renumbers a row of which so many before are dropped; false if it is one of them.
fn keep_row(row: &mut u32, n_before: u32) -> bool {
    let later = row.checked_sub(n_before);
    *row = later.unwrap_or(*row);
    later.is_some()
}

//! Reading the samples of a stream in a range.
//!
//! Timestamps are decoded once for all lanes that share them, which nearly always are all; then the rows of all
//! chosen lanes page by page, each straight to its place in the buffer. Where lanes differ in their timestamps,
//! they are read one by one and spread over the union.

use std::ops::Range;
use std::sync::Arc;

use model::{TimeRange, TimestampMs};

use super::super::page::{DeltaReader, Page, PageError};
use super::super::schema::SampleColumn;
use super::catalog::{BlockCatalog, SeriesEntry, StreamEntry};
use super::decoded::{self, BlockPages, DecodedPage};
use super::fetched::Fetched;
use super::pages::PageSource;
use super::select::LaneSet;
use super::{Block, PageCache};
use crate::{Error, LaneBuffer, StreamBuffer};

/// The rows of one lane that are wanted, and the place of the first one in its buffer.
#[derive(Debug, Clone)]
struct WantedRows {
    rows: Range<u64>,
    lane: usize,
}

/// The timestamps of one or more lanes, in the range.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) timestamps_ms: Vec<TimestampMs>,
    /// How many rows of a lane are older.
    pub(super) n_older: u64,
}

impl Block {
    /// Reads the samples of one stream in `range` (left-open) into `buffer`, replacing what it held: all lanes, in
    /// the order of [`BlockStream::lanes`](super::BlockStream::lanes). How compaction reads.
    ///
    /// # Errors
    /// [`Error::Damaged`] and [`Error::Io`].
    ///
    /// # Panics
    /// If there is no such stream. The catalog must be this block's.
    #[expect(
        clippy::indexing_slicing,
        reason = "a position that the caller got from the catalog"
    )]
    pub fn read_stream(
        &self,
        catalog: &BlockCatalog,
        stream_idx: usize,
        range: TimeRange,
        cache: Option<&PageCache>,
        buffer: &mut StreamBuffer,
    ) -> Result<(), Error> {
        let stream = catalog.streams[stream_idx];
        let source = PageSource {
            block: self,
            catalog,
            cache,
            reads_on: true,
        };
        source.read(stream, LaneSet::All, range, buffer)
    }
}

impl PageSource<'_> {
    /// Reads some lanes of a stream.
    pub(super) fn read(
        &self,
        stream: StreamEntry,
        lanes: LaneSet<'_>,
        range: TimeRange,
        buffer: &mut StreamBuffer,
    ) -> Result<(), Error> {
        let mut kept = buffer.decoded.take(self.block.cache_key);
        let mut result = self.read_with(stream, lanes, range, buffer, &mut kept);
        if result.is_ok() && !self.catalog.stream_runs(stream).is_empty() {
            result = self.mix_in(stream, lanes, range, buffer, &mut kept);
        }
        if !self.reads_on {
            // The cache has what is worth keeping.
            kept.fetched = Fetched::default();
        }
        buffer.decoded.put_back(kept);
        result
    }

    fn read_with(
        &self,
        stream: StreamEntry,
        lanes: LaneSet<'_>,
        range: TimeRange,
        buffer: &mut StreamBuffer,
        kept: &mut BlockPages,
    ) -> Result<(), Error> {
        let series = self.catalog.series_entries(stream);
        let n_lanes = lanes.len(series.len());
        buffer.reset(n_lanes);
        self.know_pages(series)?;
        let mut owners = lanes.iter(series.len()).map(|lane| times_owner(series, lane));
        let Some(first_owner) = owners.next() else {
            return Ok(());
        };
        if !owners.all(|owner| owner == first_owner) {
            return self.read_uneven(series, lanes, range, buffer, kept);
        }
        let times = self.times(series.get(first_owner), range, kept)?;
        let (timestamps_ms, lane_buffers) = buffer.parts_mut();
        *timestamps_ms = times.timestamps_ms;
        let n_rows = timestamps_ms.len() as u64;
        let wanted = lanes
            .iter(series.len())
            .enumerate()
            .filter_map(|(lane, series_idx)| {
                let start = series.get(series_idx)?.first_row + times.n_older;
                let rows = start..start + n_rows;
                Some(WantedRows { rows, lane })
            });
        self.read_values(&wanted.collect::<Vec<_>>(), lane_buffers, kept)
    }

    /// Reads lanes that do not share their timestamps.
    fn read_uneven(
        &self,
        series: &[SeriesEntry],
        lanes: LaneSet<'_>,
        range: TimeRange,
        buffer: &mut StreamBuffer,
        kept: &mut BlockPages,
    ) -> Result<(), Error> {
        let mut times: Vec<(usize, Times)> = Vec::new();
        let mut of_lane = Vec::new();
        for lane in lanes.iter(series.len()) {
            let owner = times_owner(series, lane);
            if times.last().is_none_or(|(last, _)| *last != owner) {
                times.push((owner, self.times(series.get(owner), range, kept)?));
            }
            of_lane.push(times.len() - 1);
        }
        let (timestamps_ms, lane_buffers) = buffer.parts_mut();
        for (_, times) in &times {
            timestamps_ms.extend(&times.timestamps_ms);
        }
        timestamps_ms.sort_unstable();
        timestamps_ms.dedup();
        let wanted = lanes.iter(series.len()).zip(&of_lane).enumerate();
        let wanted = wanted.filter_map(|(lane, (series_idx, times_idx))| {
            let (_, times) = times.get(*times_idx)?;
            let start = series.get(series_idx)?.first_row + times.n_older;
            let rows = start..start + times.timestamps_ms.len() as u64;
            Some(WantedRows { rows, lane })
        });
        self.read_values(&wanted.collect::<Vec<_>>(), lane_buffers, kept)?;
        for (times_idx, lane_buffer) in of_lane.iter().zip(lane_buffers) {
            if let Some((_, times)) = times.get(*times_idx) {
                spread(lane_buffer, &times.timestamps_ms, timestamps_ms);
            }
        }
        Ok(())
    }

    /// The timestamps of a series in a range.
    pub(super) fn times(
        &self,
        series: Option<&SeriesEntry>,
        range: TimeRange,
        kept: &mut BlockPages,
    ) -> Result<Times, Error> {
        let (mut timestamps_ms, mut n_skipped) = (Vec::new(), 0);
        if let Some(series) = series {
            let all = series.first_row..series.first_row + u64::from(series.n_rows);
            let rows = self.catalog.pages.rows_within(all.clone(), range);
            n_skipped = rows.start - all.start;
            timestamps_ms.resize(length(&rows), 0);
            self.read_timestamps(rows, &mut timestamps_ms, kept)?;
        }
        let n_older = timestamps_ms.partition_point(|timestamp_ms| *timestamp_ms <= range.start_ms);
        let end = timestamps_ms.partition_point(|timestamp_ms| *timestamp_ms <= range.end_ms);
        timestamps_ms.truncate(end.max(n_older));
        timestamps_ms.drain(..n_older);
        Ok(Times {
            timestamps_ms,
            n_older: n_skipped + n_older as u64,
        })
    }

    fn read_timestamps(
        &self,
        rows: Range<u64>,
        timestamps_ms: &mut [i64],
        kept: &mut BlockPages,
    ) -> Result<(), Error> {
        let pages = &self.catalog.pages;
        let (decoded, fetched) = (&mut kept.timestamps_ms, &mut kept.fetched);
        let (mut row, mut rest) = (rows.start, timestamps_ms);
        let mut page_idx = pages.page_of(row);
        let end_page = pages.page_of(rows.end.saturating_sub(1)) + 1;
        while row < rows.end && !rest.is_empty() {
            let page_rows = pages.rows(page_idx);
            let in_page =
                length(&(page_rows.start..row))..length(&(page_rows.start..rows.end.min(page_rows.end)));
            let (now, later) = rest.split_at_mut(in_page.len().min(rest.len()));
            let n_rows = length(&page_rows);
            let wanted = page_idx..end_page;
            let mut read = |rows, values: &mut [i64]| {
                self.read_integers(SampleColumn::Timestamp, wanted.clone(), rows, values, fetched)
            };
            if decoded.is_worth_it(page_idx, n_rows, in_page.start, in_page.len()) {
                let all = decoded.get(page_idx, n_rows, |all| read(0..n_rows, all));
                decoded::copy(all?, in_page, now);
            } else {
                read(in_page, now)?;
            }
            rest = later;
            row = page_rows.end;
            page_idx += 1;
        }
        Ok(())
    }

    /// The integers of some rows of the first of some pages, of a column where every row has one.
    pub(super) fn read_integers(
        &self,
        column: SampleColumn,
        pages: Range<usize>,
        rows: Range<usize>,
        values: &mut [i64],
        fetched: &mut Fetched,
    ) -> Result<(), Error> {
        let page_idx = pages.start;
        let page = self.page(column, pages, fetched)?;
        let read = page.integers().and_then(|mut integers| {
            integers.skip(rows.start)?;
            integers.read(values)
        });
        read.map_err(|error| self.damaged(column, page_idx, error))
    }

    /// The values of some rows of lanes, which come in the order of their rows, into the buffers of those lanes.
    fn read_values(
        &self,
        wanted: &[WantedRows],
        lane_buffers: &mut [LaneBuffer],
        kept: &mut BlockPages,
    ) -> Result<(), Error> {
        for lane in wanted {
            if let Some(buffer) = lane_buffers.get_mut(lane.lane) {
                buffer.values.resize(length(&lane.rows), 0.0);
            }
        }
        let pages = &self.catalog.pages;
        let mut wanted = wanted;
        let (mut next_page, mut end_page) = (0, 0);
        while let Some((first, rest)) = wanted.split_first() {
            let page_idx = pages.page_of(first.rows.start).max(next_page);
            let page_rows = pages.rows(page_idx);
            if first.rows.is_empty() || first.rows.end <= page_rows.start || page_idx >= pages.n_pages() {
                wanted = rest;
                continue;
            }
            let in_page = wanted.partition_point(|lane| lane.rows.start < page_rows.end);
            if end_page <= page_idx {
                end_page = self.end_of_pages(wanted);
            }
            let (in_page, _) = wanted.split_at(in_page);
            self.read_page_values(page_idx..end_page, in_page, lane_buffers, kept)?;
            next_page = page_idx + 1;
            // The last one may go on in the next page.
            let n_done = in_page
                .iter()
                .filter(|lane| lane.rows.end <= page_rows.end)
                .count();
            wanted = wanted.get(n_done..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// Where the pages end that begin with that of the first rows and are all wanted.
    fn end_of_pages(&self, wanted: &[WantedRows]) -> usize {
        let pages = &self.catalog.pages;
        let mut end = 0;
        for lane in wanted.iter().filter(|lane| !lane.rows.is_empty()) {
            if end > 0 && pages.page_of(lane.rows.start) > end {
                break;
            }
            end = pages.page_of(lane.rows.end - 1) + 1;
        }
        end
    }

    /// The part of the values of some lanes that stands in the first of some pages.
    fn read_page_values(
        &self,
        pages: Range<usize>,
        wanted: &[WantedRows],
        lane_buffers: &mut [LaneBuffer],
        kept: &mut BlockPages,
    ) -> Result<(), Error> {
        let page_idx = pages.start;
        let (decoded, fetched) = (&mut kept.values, &mut kept.fetched);
        let page_rows = self.catalog.pages.rows(page_idx);
        let within = |lane: &WantedRows| {
            let (start, end) = (
                lane.rows.start.max(page_rows.start),
                lane.rows.end.min(page_rows.end),
            );
            length(&(page_rows.start..start))..length(&(page_rows.start..end))
        };
        let first = wanted.first().map_or(0, |lane| within(lane).start);
        let n_wanted = wanted.iter().map(|lane| within(lane).len()).sum();
        let values = self.page_values(pages.clone(), (first, n_wanted), decoded, fetched)?;
        let mut decoder = match &values {
            PageValues::Decoded(_) => None,
            PageValues::Encoded(pages) => Some(self.value_decoder(page_idx, pages)?),
        };
        let has_starts = self
            .catalog
            .pages
            .place(SampleColumn::StartTimestamp as usize, page_idx)
            .has_values;
        for lane in wanted {
            let Some(buffer) = lane_buffers.get_mut(lane.lane) else {
                continue;
            };
            let in_page = within(lane);
            let first = length(&(lane.rows.start..page_rows.start));
            let places = first..first + in_page.len();
            let slots = buffer.values.get_mut(places.clone()).unwrap_or(&mut []);
            buffer.may_be_nan |= match (&values, &mut decoder) {
                (PageValues::Encoded(_), Some(decoder)) => decoder
                    .read(in_page.clone(), slots)
                    .map_err(|error| self.damaged(SampleColumn::ValueInt, page_idx, error))?,
                (PageValues::Decoded(all), _) => {
                    decoded::copy(all, in_page.clone(), slots);
                    slots.iter().any(|value| value.is_nan())
                }
                (PageValues::Encoded(_), None) => false,
            };
            if has_starts {
                buffer.starts_ms.resize(buffer.values.len(), 0);
                let starts_ms = buffer.starts_ms.get_mut(places).unwrap_or(&mut []);
                self.read_starts(pages.clone(), in_page, starts_ms, fetched)?;
            }
        }
        Ok(())
    }

    /// The values of the first of some pages, decoded if little of it is wanted.
    fn page_values<'a>(
        &self,
        pages: Range<usize>,
        (first, n_wanted): (usize, usize),
        decoded: &'a mut DecodedPage<f64>,
        fetched: &mut Fetched,
    ) -> Result<PageValues<'a>, Error> {
        let (page_idx, n_rows) = (pages.start, length(&self.catalog.pages.rows(pages.start)));
        if !decoded.is_worth_it(page_idx, n_rows, first, n_wanted) {
            return self.value_pages(pages, fetched).map(PageValues::Encoded);
        }
        let all = decoded.get(page_idx, n_rows, |all| {
            let pages = self.value_pages(pages, fetched)?;
            let mut decoder = self.value_decoder(page_idx, &pages)?;
            let read = decoder.read(0..n_rows, all).map(|_| ());
            read.map_err(|error| self.damaged(SampleColumn::ValueInt, page_idx, error))
        });
        all.map(PageValues::Decoded)
    }

    /// The pages of integers and floats that hold the values of the first of some pages of rows.
    fn value_pages(&self, pages: Range<usize>, fetched: &mut Fetched) -> Result<ValuePages, Error> {
        let n_rows = length(&self.catalog.pages.rows(pages.start));
        let integers = self.page(SampleColumn::ValueInt, pages.clone(), fetched)?;
        let floats = if integers.n_values() < n_rows {
            Some(self.page(SampleColumn::ValueFloat, pages, fetched)?)
        } else {
            None
        };
        Ok(ValuePages { integers, floats })
    }

    fn value_decoder<'a>(&self, page_idx: usize, pages: &'a ValuePages) -> Result<ValueDecoder<'a>, Error> {
        ValueDecoder::new(&pages.integers, pages.floats.as_deref())
            .map_err(|error| self.damaged(SampleColumn::ValueInt, page_idx, error))
    }

    fn read_starts(
        &self,
        pages: Range<usize>,
        rows: Range<usize>,
        starts_ms: &mut [i64],
        fetched: &mut Fetched,
    ) -> Result<(), Error> {
        let (column, page_idx) = (SampleColumn::StartTimestamp, pages.start);
        let page = self.page(column, pages, fetched)?;
        let Some(runs) = page.runs().filter(|_| page.n_values() > 0) else {
            return Ok(());
        };
        let read = page.integers().and_then(|mut integers| {
            let mut n_passed = 0;
            for part in runs.within(rows.clone()).filter(|part| part.is_present) {
                let places = part.rows.start - rows.start..part.rows.end - rows.start;
                integers.skip(part.n_alike_before - n_passed)?;
                integers.read(starts_ms.get_mut(places).unwrap_or(&mut []))?;
                n_passed = part.n_alike_before + part.rows.len();
            }
            Ok(())
        });
        read.map_err(|error| self.damaged(column, page_idx, error))
    }
}

/// The values of one page, as they are at hand.
enum PageValues<'a> {
    Decoded(&'a [f64]),
    Encoded(ValuePages),
}

/// The pages of one page of rows that hold values.
struct ValuePages {
    integers: Arc<Page>,
    /// Read only if a row has no integer.
    floats: Option<Arc<Page>>,
}

/// The values of one page, decoded from front to back.
pub(super) struct ValueDecoder<'a> {
    integers: &'a Page,
    /// Of the integers; `None` if there is none.
    reader: Option<DeltaReader<'a>>,
    /// How many integers the reader has passed.
    n_passed: usize,
    floats: Option<&'a Page>,
}

impl<'a> ValueDecoder<'a> {
    pub(super) fn new(integers: &'a Page, floats: Option<&'a Page>) -> Result<Self, PageError> {
        let reader = if integers.n_values() > 0 {
            Some(integers.integers()?)
        } else {
            None
        };
        Ok(Self {
            integers,
            reader,
            n_passed: 0,
            floats,
        })
    }

    /// Reads some rows, which lie behind those read before; true if one may be NaN.
    pub(super) fn read(&mut self, rows: Range<usize>, values: &mut [f64]) -> Result<bool, PageError> {
        let mut may_be_nan = false;
        let Some(runs) = self.integers.runs() else {
            return Err(PageError::Invalid("levels"));
        };
        for part in runs.within(rows.clone()) {
            let places = part.rows.start - rows.start..part.rows.end - rows.start;
            let values = values.get_mut(places).unwrap_or(&mut []);
            if part.is_present {
                self.read_integers(part.n_alike_before, values)?;
            } else {
                let floats = self.floats.ok_or(PageError::Invalid("floats"))?;
                floats.read_floats(part.n_alike_before, values)?;
                may_be_nan |= values.iter().any(|value| value.is_nan());
            }
        }
        Ok(may_be_nan)
    }

    fn read_integers(&mut self, first: usize, values: &mut [f64]) -> Result<(), PageError> {
        let reader = self.reader.as_mut().ok_or(PageError::Invalid("integers"))?;
        let n_skipped = first
            .checked_sub(self.n_passed)
            .ok_or(PageError::Invalid("integers"))?;
        reader.skip(n_skipped)?;
        self.n_passed = first + values.len();
        reader.read_floats(values)
    }
}

/// The series whose timestamps a lane has.
pub(super) fn times_owner(series: &[SeriesEntry], lane: usize) -> usize {
    let before = series.get(..=lane).unwrap_or(&[]);
    before
        .iter()
        .rposition(|series| !series.same_timestamps)
        .unwrap_or(0)
}

/// Gives a lane that has values at `own_ms` a value at each of `all_ms`, which has all of those.
fn spread(lane: &mut LaneBuffer, own_ms: &[TimestampMs], all_ms: &[TimestampMs]) {
    if own_ms.len() == all_ms.len() {
        return;
    }
    let values = std::mem::take(&mut lane.values);
    let starts_ms = std::mem::take(&mut lane.starts_ms);
    let mut own = own_ms.iter().enumerate().peekable();
    for (row, timestamp_ms) in (0_u32..).zip(all_ms) {
        let found = own.next_if(|(_, own_ms)| *own_ms == timestamp_ms);
        if found.is_none() {
            lane.absent_rows.push(row);
        }
        let own_row = found.map(|(own_row, _)| own_row);
        let value = own_row.and_then(|own_row| values.get(own_row));
        lane.values.push(value.copied().unwrap_or(0.0));
        if !starts_ms.is_empty() {
            let start_ms = own_row.and_then(|own_row| starts_ms.get(own_row));
            lane.starts_ms.push(start_ms.copied().unwrap_or(0));
        }
    }
}

/// The number of rows in a range that lies in memory; 0 if it ends before it begins.
fn length(rows: &Range<u64>) -> usize {
    usize::try_from(rows.end.saturating_sub(rows.start)).unwrap_or(usize::MAX)
}

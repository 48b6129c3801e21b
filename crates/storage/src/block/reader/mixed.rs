//! Native histograms among the rows of floats.
//!
//! Floats of a stream are read first, as if there were nothing else; then the histograms of its lanes are put between
//! them by time. No series has both at one time.

use std::ops::Range;
use std::sync::Arc;

use model::{TimeRange, TimestampMs};

use super::catalog::{SeriesRuns, StreamEntry};
use super::decoded::BlockPages;
use super::histograms::{DecodedRuns, TimedHistogram};
use super::pages::PageSource;
use super::select::LaneSet;
use crate::{Error, LaneBuffer, NewestBuffer, StreamBuffer};

impl PageSource<'_> {
    /// Adds the native histograms of some lanes of a stream to a buffer with their floats.
    pub(super) fn mix_in(
        &self,
        stream: StreamEntry,
        lanes: LaneSet<'_>,
        range: TimeRange,
        buffer: &mut StreamBuffer,
        kept: &mut BlockPages,
    ) -> Result<(), Error> {
        let mut found = Vec::new();
        for runs in self.lane_runs(stream, lanes) {
            let mut histograms = Vec::new();
            if let Some(runs) = runs {
                self.read_histograms(runs, range, kept, &mut histograms)?;
            }
            found.push(histograms);
        }
        weave(buffer, &found);
        Ok(())
    }

    /// Puts native histograms into the place of older floats, or of none.
    pub(super) fn mix_in_newest(
        &self,
        stream: StreamEntry,
        lanes: LaneSet<'_>,
        range: TimeRange,
        buffer: &mut NewestBuffer,
        kept: &mut BlockPages,
    ) -> Result<(), Error> {
        let samples = buffer.samples.iter_mut();
        for (position, (runs, sample)) in (0_u32..).zip(self.lane_runs(stream, lanes).zip(samples)) {
            let Some(runs) = runs else { continue };
            let Some(newest) = self.newest_histogram(runs, range, kept)? else {
                continue;
            };
            if sample.is_none_or(|(timestamp_ms, _)| timestamp_ms < newest.timestamp_ms) {
                *sample = Some((newest.timestamp_ms, newest.sum));
                let histogram = newest.histogram.to_float(newest.sum);
                buffer.histograms.push((position, Arc::new(histogram)));
            }
        }
        Ok(())
    }

    /// The runs of each of some lanes, if it has any.
    fn lane_runs<'a>(
        &'a self,
        stream: StreamEntry,
        lanes: LaneSet<'a>,
    ) -> impl Iterator<Item = Option<SeriesRuns>> + 'a {
        let all = self.catalog.stream_runs(stream);
        lanes.iter(stream.n_lanes as usize).map(move |lane| {
            let series = stream.first_series as usize + lane;
            let found = all.binary_search_by_key(&series, |runs| runs.series as usize);
            all.get(found.ok()?).copied()
        })
    }

    /// The histograms of a series in `range`.
    fn read_histograms(
        &self,
        runs: SeriesRuns,
        range: TimeRange,
        kept: &mut BlockPages,
        histograms: &mut Vec<TimedHistogram>,
    ) -> Result<(), Error> {
        self.know_runs(runs)?;
        let pages = &self.catalog.histogram_pages;
        let end = runs.first_run + u64::from(runs.n_runs);
        let mut run = runs.first_run;
        while run < end {
            let page_idx = pages.page_of(run);
            let rows = pages.rows(page_idx);
            let page = self.runs_of_page(page_idx, kept)?;
            for place in places(run..end.min(rows.end), rows.start) {
                let Some(of_page) = page.runs.get(place) else {
                    continue;
                };
                let timestamps_ms = page.timestamps_ms(of_page);
                histograms.extend(page.histograms(of_page, rows_in(timestamps_ms, range)));
            }
            run = rows.end;
        }
        Ok(())
    }

    /// The newest histogram of a series in `range`.
    fn newest_histogram(
        &self,
        runs: SeriesRuns,
        range: TimeRange,
        kept: &mut BlockPages,
    ) -> Result<Option<TimedHistogram>, Error> {
        self.know_runs(runs)?;
        let pages = &self.catalog.histogram_pages;
        let end = runs.first_run + u64::from(runs.n_runs);
        for run in (runs.first_run..end).rev() {
            let page_idx = pages.page_of(run);
            let page = self.runs_of_page(page_idx, kept)?;
            let place = places(run..run + 1, pages.rows(page_idx).start).next();
            let Some(of_page) = place.and_then(|place| page.runs.get(place)) else {
                continue;
            };
            let timestamps_ms = page.timestamps_ms(of_page);
            if let Some(last) = rows_in(timestamps_ms, range).last() {
                return Ok(page.histograms(of_page, last..last + 1).next());
            }
            if timestamps_ms
                .first()
                .is_some_and(|first_ms| *first_ms <= range.start_ms)
            {
                break;
            }
        }
        Ok(None)
    }

    /// The runs of a page, decoded once as long as nobody asks for others.
    fn runs_of_page(&self, page_idx: usize, kept: &mut BlockPages) -> Result<Arc<DecodedRuns>, Error> {
        if let Some((held, runs)) = &kept.runs
            && *held == page_idx
        {
            return Ok(Arc::clone(runs));
        }
        let runs = Arc::new(self.decode_runs(page_idx)?);
        kept.runs = Some((page_idx, Arc::clone(&runs)));
        Ok(runs)
    }
}

/// Positions in a page that begins with the row `first`.
fn places(rows: Range<u64>, first: u64) -> Range<usize> {
    let place = |row: u64| usize::try_from(row.saturating_sub(first)).unwrap_or(usize::MAX);
    place(rows.start)..place(rows.end)
}

/// The rows of ascending times that lie in a range.
fn rows_in(timestamps_ms: &[TimestampMs], range: TimeRange) -> Range<usize> {
    let start = timestamps_ms.partition_point(|timestamp_ms| *timestamp_ms <= range.start_ms);
    let end = timestamps_ms.partition_point(|timestamp_ms| *timestamp_ms <= range.end_ms);
    start..end.max(start)
}

/// Puts the histograms of each lane between its floats.
fn weave(buffer: &mut StreamBuffer, found: &[Vec<TimedHistogram>]) {
    let wants_stored = buffer.wants_stored;
    let (timestamps_ms, lanes) = buffer.parts_mut();
    let own_ms = std::mem::take(timestamps_ms);
    timestamps_ms.extend(&own_ms);
    let times = found.iter().flatten().map(|histogram| histogram.timestamp_ms);
    timestamps_ms.extend(times);
    // Runs that ascend: sorting them is merging.
    timestamps_ms.sort();
    timestamps_ms.dedup();
    for (lane, histograms) in lanes.iter_mut().zip(found) {
        widen(lane, &own_ms, timestamps_ms);
        put(lane, histograms, timestamps_ms, wants_stored);
    }
}

/// Moves the rows of a lane from those of `own_ms` to those of `all_ms`, which has all of them.
fn widen(lane: &mut LaneBuffer, own_ms: &[TimestampMs], all_ms: &[TimestampMs]) {
    if own_ms.len() == all_ms.len() {
        return;
    }
    let values = std::mem::take(&mut lane.values);
    let starts_ms = std::mem::take(&mut lane.starts_ms);
    let absent_rows = std::mem::take(&mut lane.absent_rows);
    lane.values.resize(all_ms.len(), 0.0);
    if !starts_ms.is_empty() {
        lane.starts_ms.resize(all_ms.len(), 0);
    }
    let mut own = own_ms.iter().enumerate().peekable();
    let mut absent = absent_rows.iter().map(|row| *row as usize).peekable();
    for (row, timestamp_ms) in all_ms.iter().enumerate() {
        let own_row = own.next_if(|(_, own_ms)| *own_ms == timestamp_ms);
        let present = own_row.filter(|(own_row, _)| absent.next_if_eq(own_row).is_none());
        let Some((own_row, _)) = present else {
            lane.absent_rows.push(u32::try_from(row).unwrap_or(u32::MAX));
            continue;
        };
        if let (Some(place), Some(value)) = (lane.values.get_mut(row), values.get(own_row)) {
            *place = *value;
        }
        if let (Some(place), Some(start_ms)) = (lane.starts_ms.get_mut(row), starts_ms.get(own_row)) {
            *place = *start_ms;
        }
    }
}

/// Puts histograms into the rows of their times.
fn put(
    lane: &mut LaneBuffer,
    histograms: &[TimedHistogram],
    timestamps_ms: &[TimestampMs],
    wants_stored: bool,
) {
    let mut absent = std::mem::take(&mut lane.absent_rows).into_iter().peekable();
    let mut rows = (0_u32..).zip(timestamps_ms);
    for histogram in histograms {
        let found = rows.find(|(_, timestamp_ms)| **timestamp_ms == histogram.timestamp_ms);
        let Some((row, _)) = found else { break };
        while let Some(before) = absent.next_if(|absent| *absent < row) {
            lane.absent_rows.push(before);
        }
        absent.next_if_eq(&row);
        if let Some(place) = lane.values.get_mut(row as usize) {
            *place = histogram.sum;
            lane.may_be_nan |= histogram.sum.is_nan();
        }
        if histogram.start_ms != 0 {
            lane.starts_ms.resize(timestamps_ms.len(), 0);
            if let Some(place) = lane.starts_ms.get_mut(row as usize) {
                *place = histogram.start_ms;
            }
        }
        if wants_stored {
            lane.stored.push((row, histogram.histogram.clone()));
        } else {
            let float = histogram.histogram.to_float(histogram.sum);
            lane.histograms.push((row, Arc::new(float)));
        }
    }
    lane.absent_rows.extend(absent);
}

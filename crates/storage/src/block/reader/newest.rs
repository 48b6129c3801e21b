//! Reading the newest sample of each lane in a range.

use model::TimeRange;

use super::super::page::PageError;
use super::super::schema::SampleColumn;
use super::catalog::{SeriesEntry, StreamEntry};
use super::decoded::BlockPages;
use super::fetched::Fetched;
use super::pages::PageSource;
use super::read::{Times, ValueDecoder, times_owner};
use super::select::LaneSet;
use crate::{Error, NewestBuffer};

impl PageSource<'_> {
    /// Reads the newest sample of some lanes of a stream: the timestamps of lanes that share them once, and of each
    /// lane one value.
    pub(super) fn read_newest(
        &self,
        stream: StreamEntry,
        lanes: LaneSet<'_>,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error> {
        let series = self.catalog.series_entries(stream);
        buffer.samples.clear();
        buffer.histograms.clear();
        let mut kept = buffer.decoded.take(self.block.cache_key);
        let mut result = self.read_newest_with(series, lanes, range, buffer, &mut kept);
        if result.is_ok() && !self.catalog.stream_runs(stream).is_empty() {
            result = self.mix_in_newest(stream, lanes, range, buffer, &mut kept);
        }
        kept.fetched = Fetched::default();
        buffer.decoded.put_back(kept);
        result
    }

    fn read_newest_with(
        &self,
        series: &[SeriesEntry],
        lanes: LaneSet<'_>,
        range: TimeRange,
        buffer: &mut NewestBuffer,
        kept: &mut BlockPages,
    ) -> Result<(), Error> {
        self.know_pages(series)?;
        let mut last: Option<(usize, Times)> = None;
        for lane in lanes.iter(series.len()) {
            let owner = times_owner(series, lane);
            let times = match last.take() {
                Some((known, times)) if known == owner => times,
                _ => self.times(series.get(owner), range, kept)?,
            };
            let newest = match (times.timestamps_ms.last(), series.get(lane)) {
                (Some(timestamp_ms), Some(series)) => {
                    let row = times.n_older + times.timestamps_ms.len() as u64 - 1;
                    Some((*timestamp_ms, self.value(series, row, &mut kept.fetched)?))
                }
                _ => None,
            };
            buffer.samples.push(newest);
            last = Some((owner, times));
        }
        Ok(())
    }

    /// The value in one row of a series.
    fn value(&self, series: &SeriesEntry, row: u64, fetched: &mut Fetched) -> Result<f64, Error> {
        let row = series.first_row + row;
        let page_idx = self.catalog.pages.page_of(row);
        let first_row = self.catalog.pages.rows(page_idx).start;
        let damaged = |error: PageError| self.damaged(SampleColumn::ValueInt, page_idx, error);
        let row = usize::try_from(row - first_row).map_err(|_| damaged(PageError::Invalid("rows")))?;
        let page = page_idx..page_idx + 1;
        let integers = self.page(SampleColumn::ValueInt, page.clone(), fetched)?;
        let is_integer = integers.runs().and_then(|runs| runs.within(row..row + 1).next());
        let floats = if is_integer.is_some_and(|part| part.is_present) {
            None
        } else {
            Some(self.page(SampleColumn::ValueFloat, page, fetched)?)
        };
        let mut value = [0.0];
        ValueDecoder::new(&integers, floats.as_deref())
            .and_then(|mut decoder| decoder.read(row..row + 1, &mut value))
            .map_err(damaged)?;
        Ok(value[0])
    }
}

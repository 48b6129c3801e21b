//! The sealed rows of a stream: pages in ascending order of time, none overlapping another.

use std::ops::Range;
use std::sync::Arc;

use codec::PageReader;
use model::{TimeRange, TimestampMs};

use super::extras::Extras;
use super::late::{LateBuffer, LateSample};
use super::rebuild::Rebuilder;

/// Pages are merged by this many at a time.
const MERGE_FAN_IN: usize = 4;

/// Pages of fewer rows are merged with pages of fewer rows; see [`merge_choice`].
const MERGE_LEVELS_ROWS: [u32; 2] = [64, 256];

/// Sealed rows, encoded.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) first_ms: TimestampMs,
    pub(super) last_ms: TimestampMs,
    pub(super) n_rows: u32,
    pub(super) bytes: Arc<[u8]>,
}

/// What is sealed of a stream, and what came too late for it. Here, because this is not in every stream's way, also
/// what is more to its samples than values, sealed or not.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    pub(super) pages: Vec<Page>,
    pub(super) late: LateBuffer,
    /// Only if [`RawRows::is_extended`](super::raw::RawRows) says so.
    pub(super) extras: Option<Box<Extras>>,
    /// What came for rows that were being written to a block; any time, none of it anywhere else.
    pub(super) deferred: LateBuffer,
}

impl Page {
    pub(super) fn reader(&self) -> Result<PageReader<'_>, codec::Error> {
        PageReader::open(&self.bytes)
    }
}

impl Sealed {
    /// Every row up to here is sealed, every later one is open.
    pub(super) fn newest_ms(&self) -> TimestampMs {
        self.pages.last().map_or(TimestampMs::MIN, |page| page.last_ms)
    }

    /// The oldest row that is sealed or late.
    pub(super) fn oldest_ms(&self) -> Option<TimestampMs> {
        let page_ms = self.pages.first().map(|page| page.first_ms);
        let others = self.late.oldest_ms().into_iter().chain(self.deferred.oldest_ms());
        page_ms.into_iter().chain(others).min()
    }

    /// Bytes of the pages, with what holds them.
    pub(super) fn page_bytes(&self) -> usize {
        let reference_counts = 2 * size_of::<usize>();
        let contents = self.pages.iter().map(|page| page.bytes.len() + reference_counts);
        size_of::<Self>() + self.pages.capacity() * size_of::<Page>() + contents.sum::<usize>()
    }

    /// Copies late samples in `range`, sorted, behind nothing.
    pub(super) fn copy_late(&self, range: TimeRange, late: &mut Vec<LateSample>) {
        late.extend_from_slice(self.late.in_range(range));
        let deferred = self.deferred.in_range(range);
        if !deferred.is_empty() {
            late.extend_from_slice(deferred);
            late.sort_unstable_by_key(|sample| (sample.timestamp_ms, sample.lane));
        }
    }

    /// The pages that may have rows in `range`.
    pub(super) fn pages_in(&self, range: TimeRange) -> &[Page] {
        let first = self.pages.partition_point(|page| page.last_ms <= range.start_ms);
        let end = self.pages.partition_point(|page| page.first_ms <= range.end_ms);
        &self.pages[first..end.max(first)]
    }

    /// The bits of a sample, wherever it is.
    pub(super) fn get(&self, timestamp_ms: TimestampMs, lane: u16) -> Result<Option<u64>, codec::Error> {
        if let Some(bits) = self.late.get(timestamp_ms, lane) {
            return Ok(Some(bits));
        }
        let page_idx = self.pages.partition_point(|page| page.last_ms < timestamp_ms);
        let Some(page) = self
            .pages
            .get(page_idx)
            .filter(|page| page.first_ms <= timestamp_ms)
        else {
            return Ok(None);
        };
        let reader = page.reader()?;
        let column = reader.column(usize::from(lane))?;
        if column.is_absent() {
            return Ok(None);
        }
        let mut timestamps_ms = Vec::new();
        reader.read_timestamps(&mut timestamps_ms)?;
        let row = timestamps_ms
            .binary_search(&timestamp_ms)
            .ok()
            .filter(|row| column.contains(*row));
        let Some(row) = row else {
            return Ok(None);
        };
        let mut value = [0.0];
        column.read(row..row + 1, &mut value, |_| ())?;
        Ok(Some(value[0].to_bits()))
    }

    /// Adds the page of the newest sealed rows, and merges older ones when enough have come together.
    pub(super) fn push(&mut self, page: Page, rebuilder: &mut Rebuilder) -> Result<(), codec::Error> {
        // There are few pages and many streams: room for pages to come would be a large part of all.
        self.pages.reserve_exact(1);
        self.pages.push(page);
        while let Some(merged) = merge_choice(&self.pages) {
            let mut pages = rebuilder.rebuild(&self.pages[merged.clone()], &[])?;
            self.pages.splice(merged, pages.drain(..));
        }
        Ok(())
    }

    /// Moves the late samples into the pages they belong to.
    pub(super) fn fold_late(&mut self, rebuilder: &mut Rebuilder) -> Result<(), codec::Error> {
        let late = self.late.take();
        let mut left = &late[..];
        // From the newest page on, so that replacing one by two moves none that is still to come. What is older
        // than the oldest page belongs to that one.
        for page_idx in (0..self.pages.len()).rev() {
            let previous_last_ms = page_idx
                .checked_sub(1)
                .map(|previous| self.pages[previous].last_ms);
            let n_older = previous_last_ms.map_or(0, |last_ms| {
                left.partition_point(|sample| sample.timestamp_ms <= last_ms)
            });
            let (older, own) = left.split_at(n_older);
            if !own.is_empty() {
                let mut pages = rebuilder.rebuild(&self.pages[page_idx..=page_idx], own)?;
                self.pages.splice(page_idx..=page_idx, pages.drain(..));
            }
            left = older;
        }
        Ok(())
    }
}

/// Which neighbouring pages are to become one, so that a stream of n rows has about log(n) pages and each row is
/// rewritten at most twice. The newest page stays as it is: most queries look at the last minutes, and a short
/// page is cheaper to read than the end of a long one.
fn merge_choice(pages: &[Page]) -> Option<Range<usize>> {
    let mut end = pages.len().checked_sub(1)?;
    for n_rows_limit in MERGE_LEVELS_ROWS {
        let n_short = pages[..end]
            .iter()
            .rev()
            .take_while(|page| page.n_rows < n_rows_limit)
            .count();
        let first = end - n_short;
        if n_short >= MERGE_FAN_IN {
            return Some(first..first + MERGE_FAN_IN);
        }
        end = first;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(n_rows: &[u32], expected: impl Into<Option<Range<usize>>>) {
        let bytes: Arc<[u8]> = Arc::from(&[][..]);
        let page = |n_rows: &u32| Page {
            first_ms: 0,
            last_ms: 0,
            n_rows: *n_rows,
            bytes: Arc::clone(&bytes),
        };
        let pages: Vec<Page> = n_rows.iter().map(page).collect();
        assert_eq!(merge_choice(&pages), expected.into(), "{n_rows:?}");
    }

    #[test]
    fn four_short_pages_become_one_but_the_newest_waits() {
        check(&[], None);
        check(&[16, 16, 16, 16], None);
        check(&[16, 16, 16, 16, 16], 0..4);
        check(&[64, 16, 16, 16, 16], None);
        check(&[64, 64, 64, 16, 16, 16, 16, 16], 3..7);
        check(&[64, 64, 64, 64, 16], 0..4);
        check(&[256, 64, 64, 64, 64, 16, 16], 1..5);
        check(&[256, 256, 256, 256, 256], None);
    }

    #[test]
    fn pages_that_late_samples_made_longer_still_merge() {
        check(&[300, 70, 17, 20, 16, 16, 16], 2..6);
        check(&[64, 70, 80, 90, 16, 1], 0..4);
    }
}

//! Writing pages anew: several into one, or one with the late samples that belong to it.

use std::sync::Arc;

use codec::{PageWriter, Presence};
use model::TimestampMs;

use super::late::LateSample;
use super::pages::Page;
use super::raw::RowsView;

/// A page that late samples made longer than this is divided.
const PAGE_ROWS_MAX: usize = 1024;

/// Rewrites pages, a lane at a time; keeps its allocations.
#[derive(Debug, Default)]
pub(super) struct Rebuilder {
    writer: PageWriter,
    /// Timestamps of the pages.
    held_ms: Vec<TimestampMs>,
    /// Timestamps of the pages and the late samples.
    timestamps_ms: Vec<TimestampMs>,
    /// For each held row, its new one.
    places: Vec<usize>,
    /// By lane, then row.
    late: Vec<LatePlace>,
    lane: LaneScratch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LatePlace {
    lane: usize,
    row: usize,
    bits: u64,
}

/// One lane on its way.
#[derive(Debug, Default)]
struct LaneScratch {
    decoded: Vec<f64>,
    absent_rows: Vec<usize>,
    values: Vec<f64>,
    /// One bit per row.
    present: Vec<u64>,
}

impl Rebuilder {
    /// The page of some open rows, at most 64.
    pub(super) fn encode(
        &mut self,
        timestamps_ms: &[TimestampMs],
        rows: RowsView<'_>,
        n_lanes: usize,
    ) -> Page {
        self.writer.begin(timestamps_ms);
        for lane in 0..n_lanes {
            self.lane.values.clear();
            self.lane.values.extend(rows.values(lane));
            let is_complete = rows.complete_lanes(lane / 64) >> (lane % 64) & 1 == 1;
            let held_rows = if is_complete {
                u64::MAX
            } else {
                rows.held_rows(lane)
            };
            self.writer.push(&self.lane.values, Presence::Rows(&[held_rows]));
        }
        finish(&mut self.writer, timestamps_ms)
    }

    /// The pages that hold the rows of neighbouring `pages` and the samples of `late`, which none of them holds:
    /// one, or more if it became too long. `late` is sorted by time.
    ///
    /// # Errors
    /// A page that does not decode.
    pub(super) fn rebuild(&mut self, pages: &[Page], late: &[LateSample]) -> Result<Vec<Page>, codec::Error> {
        self.place_rows(pages, late)?;
        let n_rows = self.timestamps_ms.len();
        let n_lanes_held = pages.iter().map(|page| Ok(page.reader()?.n_columns()));
        let n_lanes_held = n_lanes_held
            .collect::<Result<Vec<usize>, codec::Error>>()?
            .into_iter()
            .max();
        let n_lanes_late = self.late.last().map_or(0, |place| place.lane + 1);
        let n_lanes = n_lanes_held.unwrap_or_default().max(n_lanes_late);
        // Whole words of presence bits for each piece.
        let n_pieces = n_rows.div_ceil(PAGE_ROWS_MAX);
        let piece_len = n_rows.div_ceil(n_pieces).next_multiple_of(64);
        let mut rebuilt = Vec::with_capacity(n_pieces);
        for first_row in (0..n_rows).step_by(piece_len) {
            let rows = first_row..n_rows.min(first_row + piece_len);
            let timestamps_ms = &self.timestamps_ms[rows.clone()];
            self.writer.begin(timestamps_ms);
            let mut late = &self.late[..];
            for lane in 0..n_lanes {
                let (own, others) = late.split_at(late.partition_point(|place| place.lane == lane));
                late = others;
                self.lane.fill(pages, lane, &self.places, n_rows, own)?;
                let present = &self.lane.present[first_row / 64..];
                self.writer
                    .push(&self.lane.values[rows.clone()], Presence::Rows(present));
            }
            rebuilt.push(finish(&mut self.writer, timestamps_ms));
        }
        Ok(rebuilt)
    }

    /// A page of the rows of `page` from `from_ms` on, of which there is one.
    ///
    /// # Errors
    /// A page that does not decode.
    pub(super) fn keep_from(&mut self, page: &Page, from_ms: TimestampMs) -> Result<Page, codec::Error> {
        let pages = std::slice::from_ref(page);
        self.place_rows(pages, &[])?;
        let n_rows = self.timestamps_ms.len();
        let first_row = self
            .timestamps_ms
            .partition_point(|timestamp_ms| *timestamp_ms < from_ms);
        let timestamps_ms = &self.timestamps_ms[first_row..];
        let mut present = Vec::with_capacity(n_rows.div_ceil(64));
        self.writer.begin(timestamps_ms);
        for lane in 0..page.reader()?.n_columns() {
            self.lane.fill(pages, lane, &self.places, n_rows, &[])?;
            present.clear();
            present.resize(timestamps_ms.len().div_ceil(64), 0_u64);
            for row in first_row..n_rows {
                let bit = self.lane.present[row / 64] >> (row % 64) & 1;
                present[(row - first_row) / 64] |= bit << ((row - first_row) % 64);
            }
            self.writer
                .push(&self.lane.values[first_row..], Presence::Rows(&present));
        }
        Ok(finish(&mut self.writer, timestamps_ms))
    }

    /// Finds the rows of everything.
    fn place_rows(&mut self, pages: &[Page], late: &[LateSample]) -> Result<(), codec::Error> {
        self.held_ms.clear();
        for page in pages {
            page.reader()?.read_timestamps(&mut self.held_ms)?;
        }
        self.timestamps_ms.clear();
        self.timestamps_ms.extend_from_slice(&self.held_ms);
        self.timestamps_ms
            .extend(late.iter().map(|sample| sample.timestamp_ms));
        if !late.is_empty() {
            self.timestamps_ms.sort_unstable();
            self.timestamps_ms.dedup();
        }
        self.places.clear();
        self.late.clear();
        let mut held = self.held_ms.iter().peekable();
        let mut late = late.iter().peekable();
        for (row, timestamp_ms) in self.timestamps_ms.iter().enumerate() {
            while held.next_if_eq(&timestamp_ms).is_some() {
                self.places.push(row);
            }
            while let Some(sample) = late.next_if(|sample| sample.timestamp_ms == *timestamp_ms) {
                self.late.push(LatePlace {
                    lane: usize::from(sample.lane),
                    row,
                    bits: sample.bits,
                });
            }
        }
        self.late.sort_unstable();
        Ok(())
    }
}

impl LaneScratch {
    /// Gathers the values of one lane.
    fn fill(
        &mut self,
        pages: &[Page],
        lane: usize,
        places: &[usize],
        n_rows: usize,
        late: &[LatePlace],
    ) -> Result<(), codec::Error> {
        self.decode(pages, lane, places.len())?;
        self.present.clear();
        self.present.resize(n_rows.div_ceil(64), 0);
        if places.len() == n_rows {
            std::mem::swap(&mut self.values, &mut self.decoded);
            self.present.fill(u64::MAX);
        } else {
            self.values.clear();
            self.values.resize(n_rows, 0.0);
            for (place, value) in places.iter().zip(&self.decoded) {
                self.values[*place] = *value;
                self.present[place / 64] |= 1 << (place % 64);
            }
        }
        for held_row in &self.absent_rows {
            let row = places[*held_row];
            self.present[row / 64] &= !(1 << (row % 64));
        }
        for place in late {
            self.values[place.row] = f64::from_bits(place.bits);
            self.present[place.row / 64] |= 1 << (place.row % 64);
        }
        Ok(())
    }

    /// Decodes what the pages hold of a lane.
    fn decode(&mut self, pages: &[Page], lane: usize, n_held: usize) -> Result<(), codec::Error> {
        self.absent_rows.clear();
        self.decoded.clear();
        self.decoded.resize(n_held, 0.0);
        let mut first_row = 0;
        for page in pages {
            let reader = page.reader()?;
            let rows = first_row..first_row + reader.n_rows();
            let absent_rows = &mut self.absent_rows;
            let values = &mut self.decoded[rows];
            let absent = |row: usize| absent_rows.push(first_row + row);
            reader.column(lane)?.read(0..reader.n_rows(), values, absent)?;
            first_row += reader.n_rows();
        }
        Ok(())
    }
}

fn finish(writer: &mut PageWriter, timestamps_ms: &[TimestampMs]) -> Page {
    Page {
        first_ms: timestamps_ms.first().copied().unwrap_or_default(),
        last_ms: timestamps_ms.last().copied().unwrap_or_default(),
        n_rows: timestamps_ms.len() as u32,
        bytes: Arc::from(writer.finish()),
    }
}

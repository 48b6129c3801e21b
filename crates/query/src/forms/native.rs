//! Classic histograms as native ones with custom bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::histogram::CounterResetHint;
use model::{
    BUCKET_LABEL, FloatHistogram, LaneKind, METRIC_NAME, MatchOp, Matcher, SeriesName, TimeRange,
    is_stale_nan, stale_nan,
};
use promql::kernel::classic::{ClassicError, ClassicHistogram};
use promql::kernel::histogram::parse_bound;
use storage::{Error, LaneBuffer, Selection, Source, StreamBuffer};

use super::Question;
use super::converted::{Conversion, Converted};

/// What each lane of the streams says of a histogram.
#[derive(Debug)]
struct Classics {
    /// By stream, then by lane.
    lanes: Vec<Vec<Option<Piece>>>,
    n_refused: AtomicU64,
}

/// What one series says of a classic histogram.
#[derive(Debug, Clone, Copy)]
enum Piece {
    Bucket(f64),
    Sum,
    Count,
}

/// What the lanes say at one time.
enum Row {
    Nothing,
    Stale,
    Histogram(FloatHistogram),
}

/// The classic histograms of the metric that is asked for.
pub(super) fn select(
    source: &dyn Source,
    question: &Question<'_>,
    range: TimeRange,
) -> Result<Option<Arc<dyn Selection>>, Error> {
    // A native histogram has no `le`.
    if question.bounds.iter().any(|bound| !bound.matches_empty()) {
        return Ok(None);
    }
    let name = regex::escape(question.name);
    let names = format!("{name}_bucket|{name}_count|{name}_sum");
    let Ok(names) = Matcher::new(MatchOp::Regex, METRIC_NAME, names) else {
        return Ok(None);
    };
    let inner = source.select(&question.renamed(names), range)?;
    let (names, bounds) = (inner.label_column(METRIC_NAME), inner.label_column(BUCKET_LABEL));
    let mut origins = Vec::new();
    let mut lanes = Vec::new();
    for (origin, stream) in inner.streams().iter().enumerate() {
        let series = stream.first_series as usize..(stream.first_series + stream.n_lanes) as usize;
        let pieces: Vec<Option<Piece>> = series
            .map(|series_idx| piece(names.value(series_idx), bounds.value(series_idx)))
            .collect();
        if pieces.iter().any(|piece| matches!(piece, Some(Piece::Bucket(_)))) {
            origins.push(origin);
            lanes.push(pieces);
        }
    }
    let classics = Classics {
        lanes,
        n_refused: AtomicU64::new(0),
    };
    let converted = Converted::new(inner, question.name, origins, classics);
    Ok(converted.map(|converted| Arc::new(converted) as Arc<dyn Selection>))
}

fn piece(name: &str, bound: &str) -> Option<Piece> {
    match SeriesName::split(name, bound).lane {
        LaneKind::Bucket(bound) => parse_bound(bound)
            .filter(|bound| !bound.is_nan())
            .map(Piece::Bucket),
        LaneKind::Sum => Some(Piece::Sum),
        LaneKind::Count => Some(Piece::Count),
        LaneKind::Value => None,
    }
}

impl Conversion for Classics {
    fn bounds(&self, _stream_idx: usize) -> &[Arc<str>] {
        &[]
    }

    fn convert(
        &self,
        stream_idx: usize,
        _range: TimeRange,
        stored: &StreamBuffer,
        made: &mut StreamBuffer,
    ) -> Result<(), Error> {
        let pieces = &self.lanes[stream_idx];
        let starts_ms = stored.lanes().iter().map(|lane| &lane.starts_ms);
        let starts_ms = starts_ms.max_by_key(|starts_ms| starts_ms.len());
        let (timestamps_ms, lanes) = made.parts_mut();
        let lane = &mut lanes[0];
        for (row, timestamp_ms) in stored.timestamps_ms.iter().enumerate() {
            match self.row(pieces, stored.lanes(), row) {
                Row::Nothing => continue,
                Row::Stale => {
                    lane.values.push(stale_nan());
                    lane.may_be_nan = true;
                }
                Row::Histogram(histogram) => push_histogram(lane, histogram),
            }
            timestamps_ms.push(*timestamp_ms);
            if let Some(start_ms) = starts_ms.and_then(|starts_ms| starts_ms.get(row)) {
                lane.starts_ms.push(*start_ms);
            }
        }
        Ok(())
    }

    fn warnings(&self) -> Vec<String> {
        let n_refused = self.n_refused.load(Ordering::Relaxed);
        let warning =
            format!("{n_refused} samples of classic histograms do not fit together and are left out");
        (n_refused > 0).then_some(warning).into_iter().collect()
    }
}

impl Classics {
    fn row(&self, pieces: &[Option<Piece>], lanes: &[LaneBuffer], row: usize) -> Row {
        let (mut n_buckets, mut n_stale) = (0, 0);
        let mut classic = ClassicHistogram::default();
        let mut fits = Ok(());
        for (piece, lane) in pieces.iter().zip(lanes) {
            let (Some(piece), Some(value)) = (piece, float_at(lane, row)) else {
                continue;
            };
            if is_stale_nan(value) {
                n_stale += 1;
                continue;
            }
            fits = fits.and_then(|()| match piece {
                Piece::Sum => {
                    classic.set_sum(value);
                    Ok(())
                }
                Piece::Count => classic.set_count(value),
                Piece::Bucket(bound) => {
                    n_buckets += 1;
                    classic.set_bucket(*bound, value)
                }
            });
        }
        let histogram: Result<FloatHistogram, ClassicError> = match fits {
            Ok(()) if n_buckets == 0 && n_stale == 0 => return Row::Nothing,
            Ok(()) if n_buckets == 0 => return Row::Stale,
            fits => fits.and_then(|()| classic.convert()),
        };
        histogram.map_or_else(
            |_| {
                self.n_refused.fetch_add(1, Ordering::Relaxed);
                Row::Nothing
            },
            Row::Histogram,
        )
    }
}

/// The sample of a row, if it has one that is a float.
fn float_at(lane: &LaneBuffer, row: usize) -> Option<f64> {
    let position = row as u32;
    let is_absent = lane.absent_rows.binary_search(&position).is_ok();
    let is_histogram = || {
        lane.histograms
            .binary_search_by_key(&position, |(row, _)| *row)
            .is_ok()
    };
    (!is_absent && !is_histogram()).then(|| lane.values[row])
}

/// Appends a row with a histogram, with the hint and the shared bounds that the store would give it.
fn push_histogram(lane: &mut LaneBuffer, mut histogram: FloatHistogram) {
    let row = lane.values.len() as u32;
    let previous = lane.histograms.last();
    if let Some((_, previous)) = previous
        && previous.custom_bounds == histogram.custom_bounds
    {
        histogram.custom_bounds = Arc::clone(&previous.custom_bounds);
    }
    let before = previous.filter(|(before, _)| before + 1 == row);
    let before = before.map(|(_, histogram)| &**histogram);
    histogram.counter_reset_hint = CounterResetHint::as_stored(&histogram, before);
    lane.values.push(0.0);
    lane.histograms.push((row, Arc::new(histogram)));
}

//! What is remembered of senders, read back from the store after a restart: the totals of those that send differences, and
//! when an Envoy began.

use std::collections::BTreeSet;

use catalog::SeriesKey;
use model::{Labels, Matcher, MetricType, TimeRange, TimestampMs, is_stale_nan};
use storage::{LaneBuffer, NewestBuffer, Selection, Source, Store, StreamBuffer};
use wire::otlp::Beginning;

use super::deltas::{Amount, Total};
use super::envoys::SILENT_MS;
use super::histogram_total::HistogramTotal;

/// How far back totals are looked for.
const WINDOW_MS: TimestampMs = 3_600_000;

/// Counters and histograms of the sender with these labels that were alive in the hour before `time_ms`. Nothing when
/// the sender does not say who it is, or the store cannot be read: then counters begin anew, which queries can take.
pub(super) fn restore(
    store: &Store,
    identity: &[(String, String)],
    time_ms: TimestampMs,
) -> Vec<(Labels, SeriesKey, Total)> {
    if identity.is_empty() {
        return Vec::new();
    }
    let range = TimeRange {
        start_ms: time_ms.saturating_sub(WINDOW_MS),
        end_ms: time_ms,
    };
    let found = store
        .select(&of_sender(identity), range)
        .and_then(|selection| read(store, &*selection, range));
    found.unwrap_or_else(|error| {
        tracing::warn!(%error, "totals of delta counters cannot be read back; they begin anew");
        Vec::new()
    })
}

/// When the newest process began that has stored samples of this sender about `time_ms`, by the first of its counters: to
/// read them all would take long after a restart. If two processes have stored different series in that minute, it may be
/// the earlier one, until the later one reports. Nothing when there is none, the
/// sender does not say who it is, or the store cannot be read: then the sender is taken for the first one there.
pub(super) fn restore_beginning(
    store: &Store,
    identity: &[(String, String)],
    time_ms: TimestampMs,
) -> Option<Beginning> {
    if identity.is_empty() {
        return None;
    }
    let range = TimeRange {
        start_ms: time_ms.saturating_sub(SILENT_MS),
        end_ms: time_ms.saturating_add(SILENT_MS),
    };
    let selection = store.select(&of_sender(identity), range).ok()?;
    let mut buffer = StreamBuffer::default();
    (0..selection.streams().len()).find_map(|stream_idx| {
        selection.read(stream_idx, range, &mut buffer).ok()?;
        buffer
            .lanes()
            .iter()
            .find_map(|lane| beginning(&buffer.timestamps_ms, lane))
    })
}

/// The newest beginning in a lane; nothing in one of a gauge.
fn beginning(timestamps_ms: &[TimestampMs], lane: &LaneBuffer) -> Option<Beginning> {
    let rows = timestamps_ms.iter().zip(&lane.starts_ms);
    let said = rows.filter(|(_, start_ms)| **start_ms != 0);
    said.max_by_key(|(time_ms, start_ms)| (**start_ms, **time_ms))
        .map(|(&time_ms, &start_ms)| Beginning { start_ms, time_ms })
}

/// Picks the series of a sender. A label that it lacks has to be absent.
fn of_sender(identity: &[(String, String)]) -> [Matcher; 2] {
    let value = |label: &str| identity.iter().find(|(name, _)| name == label);
    ["job", "instance"].map(|label| {
        let value = value(label).map_or("", |(_, value)| value.as_str());
        Matcher::equal(label, value)
    })
}

fn read(
    store: &Store,
    selection: &dyn Selection,
    range: TimeRange,
) -> Result<Vec<(Labels, SeriesKey, Total)>, storage::Error> {
    let adds_up = families_that_add_up(store);
    let columns: Vec<_> = selection
        .label_names()
        .into_iter()
        .map(|name| (selection.label_column(&name), name))
        .collect();
    let mut found = Vec::new();
    let mut newest = NewestBuffer::default();
    for (stream_idx, stream) in selection.streams().iter().enumerate() {
        selection.read_newest(stream_idx, range, &mut newest)?;
        for (series_idx, sample) in (stream.first_series as usize..).zip(&newest.samples) {
            let lane = series_idx - stream.first_series as usize;
            let Some((stored_ms, amount)) = sample.and_then(|sample| amount(sample, lane, &newest)) else {
                continue;
            };
            let pairs = columns
                .iter()
                .map(|(column, name)| (&**name, column.value(series_idx)));
            let pairs = pairs.filter(|(_, value)| !value.is_empty());
            let Ok(labels) = Labels::from_pairs(pairs) else {
                continue;
            };
            let name = labels.metric_name();
            if !adds_up.contains(name) && !adds_up.contains(family(name)) {
                continue;
            }
            let key = own_key(store, &labels);
            store.register(key, &labels)?;
            let total = Total {
                amount,
                stored_ms,
                changed_ms: stored_ms,
            };
            found.push((labels, key, total));
        }
    }
    Ok(found)
}

/// What the newest sample of a lane says; nothing when it says that the series has ended.
fn amount(
    (stored_ms, value): (TimestampMs, f64),
    lane: usize,
    newest: &NewestBuffer,
) -> Option<(TimestampMs, Amount)> {
    let mut histograms = newest.histograms.iter();
    let histogram = histograms.find(|(at, _)| *at as usize == lane);
    let amount = match histogram.map(|(_, histogram)| histogram) {
        Some(histogram) if is_stale_nan(histogram.sum) => return None,
        Some(histogram) => Amount::Histogram(Box::new(HistogramTotal::stored(histogram)?)),
        None if is_stale_nan(value) => return None,
        None => Amount::Number(value),
    };
    Some((stored_ms, amount))
}

fn families_that_add_up(store: &Store) -> BTreeSet<String> {
    let all = store.metadata().into_iter();
    all.filter(|one| matches!(one.metric_type, MetricType::Counter | MetricType::Histogram))
        .map(|one| one.metric_name)
        .collect()
}

/// The name by which metadata knows a part of a histogram.
fn family(name: &str) -> &str {
    let suffixes = ["_bucket", "_sum", "_count"];
    let found = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
    found.unwrap_or(name)
}

/// A key that nothing on the wire has.
fn own_key(store: &Store, labels: &Labels) -> SeriesKey {
    let mut bytes = b"\0od".to_vec();
    for (name, value) in labels.iter() {
        for text in [name, value] {
            bytes.extend_from_slice(&text.len().to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    store.resolver().key(&bytes)
}

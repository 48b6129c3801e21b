//! Delta temporality: counts since the last report become counts since the start.
//!
//! A sender that reports differences is remembered with the total of each of its series; a report adds to them, and
//! the totals are stored as if the sender had sent them. A series that did not change is not in the next report, so
//! its total is stored again from time to time: otherwise it would go stale while its sender lives.
//!
//! Invariants:
//! - Totals are stored before a report is acknowledged, and are all the state there is. After a restart they are read
//!   back from the store: the counters and histograms of the sender's `job` and `instance`. A series that is not found
//!   starts at zero, which queries see as the reset of a counter.
//! - A report that comes twice counts once: a series whose total has that time already keeps it.
//! - A series is stored again at the time of its sender's *last* report, of which all requests have come by then, and
//!   never at that of the present one, which may come in parts.
//!
//! Limits: a series is forgotten when it has not changed for [`KEPT_MS`], a sender when it is silent for
//! [`SILENT_MS`]. Reports of one sender have to come in order; an older one is refused. Start timestamps are not kept,
//! because those of differences would tell queries that the counter began anew each time.

use std::collections::{BTreeMap, HashMap};

use catalog::SeriesKey;
use model::{Labels, TimestampMs, is_stale_nan};
use parking_lot::Mutex;
use storage::Store;
use wire::remote_write::Histogram;

use super::histogram_total::HistogramTotal;
use super::restore::restore;

/// The totals of all senders.
#[derive(Debug, Default)]
pub(super) struct Deltas(Mutex<Senders>);

#[derive(Debug, Default)]
struct Senders {
    by_id: BTreeMap<u128, Sender>,
    /// When silent ones were last let go, by the time of reports.
    swept_ms: Option<TimestampMs>,
}

/// A series is stored again when its newest sample is that old, looked at every [`STAMP_INTERVAL_MS`]. Together they
/// stay well below a lookback of five minutes.
const STAMP_AGE_MS: TimestampMs = 60_000;

/// See [`STAMP_AGE_MS`].
const STAMP_INTERVAL_MS: TimestampMs = 30_000;

/// How long a series that does not change is repeated.
const KEPT_MS: TimestampMs = 86_400_000;

/// How long a sender that sends nothing is remembered.
const SILENT_MS: TimestampMs = 3_600_000;

/// How often silent senders are looked for.
const SWEEP_INTERVAL_MS: TimestampMs = 60_000;

/// One difference of a request.
#[derive(Debug)]
pub(super) struct Difference {
    /// Position of its series in the request.
    pub(super) position: usize,
    /// Row of its sample among the samples of the request.
    pub(super) row: usize,
    /// A histogram's; then the sample only keeps the place.
    pub(super) histogram: Option<Histogram>,
}

/// The differences of one sender in one request.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) sender: u128,
    /// The labels `job` and `instance`, as far as the sender has them.
    pub(super) identity: Vec<(String, String)>,
    pub(super) differences: Vec<Difference>,
}

/// A difference is older than what its series has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TooOld {
    /// The time of the newest sample.
    pub(super) newest_ms: TimestampMs,
}

/// One who sends differences.
#[derive(Debug)]
pub(super) struct Sender {
    /// The newest time in its reports.
    newest_ms: TimestampMs,
    /// When its series were last looked at for being stored again.
    stamped_ms: TimestampMs,
    series: Vec<(SeriesKey, Total)>,
    /// Positions in `series`.
    index: HashMap<SeriesKey, usize>,
    /// Series that were read back and have not been reported since, under keys of their own.
    restored: HashMap<Labels, SeriesKey>,
}

/// A number or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Amount {
    Number(f64),
    Histogram(Box<HistogramTotal>),
}

/// The total of one series.
#[derive(Debug)]
pub(super) struct Total {
    pub(super) amount: Amount,
    /// Time of its newest sample.
    pub(super) stored_ms: TimestampMs,
    /// Time of its newest difference.
    pub(super) changed_ms: TimestampMs,
}

/// Totals that are stored again.
pub(super) type Stamps = Vec<(SeriesKey, TimestampMs, Amount)>;

impl Deltas {
    /// Lets `convert` turn the differences of one report, made at `time_ms` at the latest, into totals. Gives the
    /// totals to store again.
    pub(super) fn take(
        &self,
        store: &Store,
        report: &Report,
        time_ms: TimestampMs,
        convert: impl FnOnce(&mut Sender),
    ) -> Stamps {
        let mut senders = self.0.lock();
        let sender = senders
            .by_id
            .entry(report.sender)
            .or_insert_with(|| Sender::new(time_ms, restore(store, &report.identity, time_ms)));
        let stamps = sender.stamps(time_ms);
        convert(sender);
        sender.newest_ms = sender.newest_ms.max(time_ms);
        senders.sweep(time_ms);
        stamps
    }
}

impl Senders {
    /// Lets silent senders go, now and then.
    fn sweep(&mut self, time_ms: TimestampMs) {
        let is_due = |swept_ms: TimestampMs| time_ms >= swept_ms.saturating_add(SWEEP_INTERVAL_MS);
        if self.swept_ms.is_none_or(is_due) {
            self.swept_ms = Some(time_ms);
            let oldest_ms = time_ms.saturating_sub(SILENT_MS);
            self.by_id.retain(|_, sender| sender.newest_ms >= oldest_ms);
        }
    }
}

impl Sender {
    fn new(time_ms: TimestampMs, found: Vec<(Labels, SeriesKey, Total)>) -> Self {
        let mut sender = Self {
            newest_ms: found
                .iter()
                .map(|(.., total)| total.stored_ms)
                .max()
                .unwrap_or(time_ms),
            stamped_ms: TimestampMs::MIN,
            series: Vec::new(),
            index: HashMap::new(),
            restored: HashMap::new(),
        };
        for (labels, key, total) in found {
            sender.insert(key, total);
            sender.restored.insert(labels, key);
        }
        sender
    }

    /// Adds a difference to the total of its series and gives the total. `labels` is asked when the key has not been
    /// seen yet.
    pub(super) fn add(
        &mut self,
        key: SeriesKey,
        time_ms: TimestampMs,
        difference: f64,
        labels: impl FnOnce() -> Option<Labels>,
    ) -> Result<f64, TooOld> {
        let (total, is_newer) = self.enter(key, time_ms, labels)?;
        if is_stale_nan(difference) {
            self.remove(key);
            return Ok(difference);
        }
        let before = match total.amount {
            Amount::Number(before) => before,
            Amount::Histogram(_) => 0.0,
        };
        let after = if is_newer { before + difference } else { before };
        total.amount = Amount::Number(after);
        Ok(after)
    }

    /// The same for a histogram.
    pub(super) fn add_histogram(
        &mut self,
        key: SeriesKey,
        difference: &Histogram,
        labels: impl FnOnce() -> Option<Labels>,
    ) -> Result<Histogram, TooOld> {
        let time_ms = difference.timestamp_ms;
        let (total, is_newer) = self.enter(key, time_ms, labels)?;
        if is_stale_nan(difference.sum) {
            self.remove(key);
            return Ok(difference.clone());
        }
        let mut amount = match std::mem::replace(&mut total.amount, Amount::Number(0.0)) {
            Amount::Histogram(before) => before,
            Amount::Number(_) => Box::default(),
        };
        if is_newer {
            amount.add(difference);
        }
        let after = amount.histogram(time_ms);
        total.amount = Amount::Histogram(amount);
        Ok(after)
    }

    /// The total of a series, for a difference of that time; and whether that is newer than what is in it.
    fn enter(
        &mut self,
        key: SeriesKey,
        time_ms: TimestampMs,
        labels: impl FnOnce() -> Option<Labels>,
    ) -> Result<(&mut Total, bool), TooOld> {
        let position = match self.index.get(&key) {
            Some(position) => *position,
            None => {
                let total = self.adopt(labels).unwrap_or(Total {
                    amount: Amount::Number(0.0),
                    stored_ms: TimestampMs::MIN,
                    changed_ms: time_ms,
                });
                self.insert(key, total)
            }
        };
        #[expect(clippy::indexing_slicing, reason = "the index holds positions of the list")]
        let (_, total) = &mut self.series[position];
        let newest_ms = total.stored_ms;
        if time_ms < newest_ms {
            return Err(TooOld { newest_ms });
        }
        (total.stored_ms, total.changed_ms) = (time_ms, time_ms);
        Ok((total, time_ms > newest_ms))
    }

    /// The total that was read back for these labels; from now on it has the sender's key.
    fn adopt(&mut self, labels: impl FnOnce() -> Option<Labels>) -> Option<Total> {
        if self.restored.is_empty() {
            return None;
        }
        let own_key = self.restored.remove(&labels()?)?;
        self.remove(own_key)
    }

    fn insert(&mut self, key: SeriesKey, total: Total) -> usize {
        let position = self.series.len();
        self.index.insert(key, position);
        self.series.push((key, total));
        position
    }

    fn remove(&mut self, key: SeriesKey) -> Option<Total> {
        let position = self.index.remove(&key)?;
        let (_, total) = self.series.swap_remove(position);
        if let Some((moved, _)) = self.series.get(position) {
            self.index.insert(*moved, position);
        }
        Some(total)
    }

    /// Totals to store again, at the time of the last report.
    fn stamps(&mut self, time_ms: TimestampMs) -> Stamps {
        let at_ms = self.newest_ms;
        if time_ms <= at_ms || at_ms < self.stamped_ms.saturating_add(STAMP_INTERVAL_MS) {
            return Stamps::new();
        }
        self.stamped_ms = at_ms;
        let forgotten = |total: &Total| total.changed_ms < at_ms.saturating_sub(KEPT_MS);
        let old = self.series.iter().filter(|(_, total)| forgotten(total));
        for key in old.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.remove(key);
        }
        let mut stamps = Stamps::new();
        for (key, total) in &mut self.series {
            if at_ms.saturating_sub(total.stored_ms) >= STAMP_AGE_MS {
                total.stored_ms = at_ms;
                stamps.push((*key, at_ms, total.amount.clone()));
            }
        }
        stamps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(sender: &mut Sender, key: u128, time_ms: TimestampMs, difference: f64) -> Result<f64, TooOld> {
        sender.add(SeriesKey(key), time_ms, difference, || None)
    }

    fn sender() -> Sender {
        Sender::new(0, Vec::new())
    }

    #[test]
    fn differences_add_up_and_one_that_comes_twice_counts_once() {
        let mut sender = sender();
        assert_eq!(add(&mut sender, 1, 1_000, 5.0), Ok(5.0));
        assert_eq!(add(&mut sender, 2, 1_000, 1.0), Ok(1.0));
        assert_eq!(add(&mut sender, 1, 2_000, 2.5), Ok(7.5));
        assert_eq!(add(&mut sender, 1, 2_000, 2.5), Ok(7.5));
        let late = Err(TooOld { newest_ms: 2_000 });
        assert_eq!(add(&mut sender, 1, 1_999, 1.0), late);
        assert_eq!(add(&mut sender, 1, 3_000, 0.0), Ok(7.5));
    }

    #[test]
    fn what_stands_still_is_stored_again_at_the_time_of_the_last_report() {
        let mut sender = sender();
        add(&mut sender, 1, 1_000, 5.0).unwrap();
        let mut all = Vec::new();
        for time_ms in (5_000..200_000).step_by(5_000) {
            all.extend(sender.stamps(time_ms));
            add(&mut sender, 2, time_ms, 1.0).unwrap();
            sender.newest_ms = time_ms;
        }
        let expected = [90_000, 150_000].map(|time_ms| (SeriesKey(1), time_ms, Amount::Number(5.0)));
        assert_eq!(all, expected);
        assert_eq!(add(&mut sender, 1, 200_000, 2.0), Ok(7.0));
    }

    #[test]
    fn a_series_that_never_changes_is_forgotten_in_the_end() {
        let mut sender = sender();
        add(&mut sender, 1, 0, 5.0).unwrap();
        add(&mut sender, 2, 0, 5.0).unwrap();
        add(&mut sender, 2, KEPT_MS, 1.0).unwrap();
        sender.newest_ms = KEPT_MS + 1;
        let stamps = sender.stamps(KEPT_MS + 2);
        assert!(stamps.is_empty(), "{stamps:?}");
        assert_eq!(add(&mut sender, 1, KEPT_MS + 2, 1.0), Ok(1.0));
        assert_eq!(add(&mut sender, 2, KEPT_MS + 2, 1.0), Ok(7.0));
    }

    #[test]
    fn silent_senders_are_let_go_whoever_reports() {
        let mut senders = Senders::default();
        senders.by_id.insert(1, sender());
        senders.sweep(SILENT_MS);
        assert!(senders.by_id.contains_key(&1));
        senders.sweep(SILENT_MS + SWEEP_INTERVAL_MS - 1);
        assert!(senders.by_id.contains_key(&1), "looked at too early");
        senders.sweep(SILENT_MS + SWEEP_INTERVAL_MS);
        assert!(senders.by_id.is_empty());
    }

    #[test]
    fn a_staleness_marker_ends_a_series() {
        let mut sender = sender();
        add(&mut sender, 1, 0, 5.0).unwrap();
        assert!(add(&mut sender, 1, 1, model::stale_nan()).is_ok_and(is_stale_nan));
        assert_eq!(add(&mut sender, 1, 2, 1.0), Ok(1.0));
    }

    #[test]
    fn totals_that_were_read_back_go_on_under_the_senders_keys() {
        let labels = Labels::from_pairs([("__name__", "x"), ("job", "a")]).unwrap();
        let total = Total {
            amount: Amount::Number(40.0),
            stored_ms: 1_000,
            changed_ms: 1_000,
        };
        let mut sender = Sender::new(2_000, vec![(labels.clone(), SeriesKey(99), total)]);
        let found = sender.add(SeriesKey(1), 2_000, 2.0, || Some(labels));
        assert_eq!(found, Ok(42.0));
        assert_eq!(sender.series.len(), 1);
    }
}

//! What metrics say about themselves, on its way to the store: only what is new.
//!
//! Senders repeat metadata without end: remote write 1.0 every minute, 2.0 with every series of every request. The
//! log should hold each word once.
//!
//! Of a request of 2.0, [`wire::remote_write::v2::Glances`] leaves a few series, what they say as two numbers; their texts
//! are read only when the numbers are new. Two versions of a service may differ in what they say of one metric, and both go
//! on saying it: so the word on a metric changes once a minute at most, to what is said then.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use model::{MetricMetadata, MetricType, TimestampMs};
use parking_lot::Mutex;
use wire::remote_write::v2::{Metadata, Said};

/// What has been handed to the store.
#[derive(Debug, Default)]
pub(crate) struct KnownMetadata {
    hasher: RandomState,
    /// From the hash of a name to that of its newest metadata.
    newest: Mutex<HashMap<u64, u64>>,
    /// What series of remote write 2.0 said last, by the number of their metric's name.
    said: Mutex<HashMap<u64, LastSaid>>,
}

/// What was said about a metric.
#[derive(Debug, Clone, Copy)]
struct LastSaid {
    content: u64,
    /// When it was first said, since something else was.
    since_ms: TimestampMs,
}

/// So long what was said of a metric stands before something else said of it is heard: as often as remote write 1.0 says it.
const UNCHANGED_MS: u64 = 60_000;

/// Metrics beyond this have no metadata: more than any mesh has.
const N_METRICS_MAX: usize = 100_000;

/// Bytes of name, help and unit of one metric.
const TEXT_BYTES_MAX: usize = 8 << 10;

impl KnownMetadata {
    /// Leaves in `metadata` what is new and within the limits.
    pub(crate) fn retain_new(&self, metadata: &mut Vec<MetricMetadata>) {
        if metadata.is_empty() {
            return;
        }
        let mut newest = self.newest.lock();
        metadata.retain(|one| {
            let n_bytes = one.metric_name.len() + one.help.len() + one.unit.len();
            let name = self.hasher.hash_one(&one.metric_name);
            let has_room = newest.len() < N_METRICS_MAX || newest.contains_key(&name);
            if one.metric_name.is_empty() || n_bytes > TEXT_BYTES_MAX || !has_room {
                return false;
            }
            let whole = self.hasher.hash_one(one);
            newest.insert(name, whole) != Some(whole)
        });
    }

    /// Leaves in `said` what series say for the first time, or differently than before.
    pub(crate) fn retain_changed(&self, said: &mut Vec<(usize, Said)>, now_ms: TimestampMs) {
        if said.is_empty() {
            return;
        }
        let mut known = self.said.lock();
        said.retain(|(_, said)| {
            let is_heard = match known.get(&said.name) {
                Some(last) => last.content != said.content && last.since_ms.abs_diff(now_ms) >= UNCHANGED_MS,
                None => known.len() < N_METRICS_MAX,
            };
            if is_heard {
                let last = LastSaid {
                    content: said.content,
                    since_ms: now_ms,
                };
                known.insert(said.name, last);
            }
            is_heard
        });
    }

    /// Forgets these again, because the store has not taken them.
    pub(crate) fn forget(&self, metadata: &[String]) {
        let mut newest = self.newest.lock();
        for name in metadata {
            newest.remove(&self.hasher.hash_one(name));
        }
        drop(newest);
        self.said.lock().clear();
    }
}

/// Metadata of a series of remote write 2.0, under the name of its family: a bucket's is that of its histogram.
pub(crate) fn family_metadata(metric_name: &str, metadata: Metadata<'_>) -> MetricMetadata {
    let suffixes: &[&str] = match metadata.metric_type {
        MetricType::Histogram | MetricType::GaugeHistogram => &["_bucket", "_sum", "_count"],
        MetricType::Summary => &["_sum", "_count"],
        _ => &[],
    };
    let family = suffixes
        .iter()
        .find_map(|suffix| metric_name.strip_suffix(suffix))
        .unwrap_or(metric_name);
    MetricMetadata {
        metric_name: family.to_owned(),
        metric_type: metadata.metric_type,
        help: metadata.help.to_owned(),
        unit: metadata.unit.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &str, help: &str) -> MetricMetadata {
        MetricMetadata {
            metric_name: name.into(),
            help: help.into(),
            ..MetricMetadata::default()
        }
    }

    #[test]
    fn only_what_changed_is_left() {
        let known = KnownMetadata::default();
        let check = |given: &[MetricMetadata], expected: &[MetricMetadata]| {
            let mut metadata = given.to_vec();
            known.retain_new(&mut metadata);
            assert_eq!(metadata, expected);
        };
        let (a, b) = (metric("a", "1"), metric("b", "1"));
        check(&[a.clone(), a.clone(), b.clone()], &[a.clone(), b.clone()]);
        check(&[a.clone(), b.clone()], &[]);
        let changed = metric("a", "2");
        check(std::slice::from_ref(&changed), std::slice::from_ref(&changed));
        check(std::slice::from_ref(&a), std::slice::from_ref(&a));
        known.forget(&["b".into()]);
        check(&[a, b.clone()], &[b]);
        check(&[metric("", "x"), metric("c", &"x".repeat(TEXT_BYTES_MAX))], &[]);
    }

    #[test]
    fn what_series_say_is_heard_when_it_changes_and_once_a_minute() {
        let known = KnownMetadata::default();
        let check = |now_ms: TimestampMs, given: &[(u64, u64)], expected: &[usize]| {
            let said = |(position, (name, content)): (usize, &(u64, u64))| {
                let (name, content) = (*name, *content);
                (position, Said { name, content })
            };
            let mut said: Vec<(usize, Said)> = given.iter().enumerate().map(said).collect();
            known.retain_changed(&mut said, now_ms);
            let heard: Vec<usize> = said.iter().map(|(position, _)| *position).collect();
            assert_eq!(heard, expected, "at {now_ms}");
        };
        check(0, &[(1, 10), (2, 10), (1, 10), (2, 11)], &[0, 1]);
        check(59_999, &[(1, 11), (2, 10), (3, 10)], &[2]);
        check(60_000, &[(1, 10), (1, 11), (1, 10)], &[1]);
        // Also when the clock was set back.
        check(-60_000, &[(1, 11), (1, 10)], &[1]);
        known.forget(&[]);
        check(-60_000, &[(1, 10), (2, 10)], &[0, 1]);
    }

    #[test]
    fn parts_of_a_histogram_speak_for_the_whole() {
        let check = |name: &str, metric_type: MetricType, expected: &str| {
            let metadata = Metadata {
                metric_type,
                help: "",
                unit: "",
            };
            assert_eq!(family_metadata(name, metadata).metric_name, expected);
        };
        check("x_bucket", MetricType::Histogram, "x");
        check("x_sum", MetricType::Summary, "x");
        check("x_bucket", MetricType::Summary, "x_bucket");
        check("x_count", MetricType::Counter, "x_count");
    }
}

//! What metrics say about themselves, on its way to the store: only what is new.
//!
//! Senders repeat metadata without end: remote write 1.0 every minute, 2.0 with every series of every request. The
//! log should hold each word once. For 2.0 only the metadata of series that are new here is looked at, because a
//! known series is taken in without reading its name; a changed help text is noticed with the next new series.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use model::{MetricMetadata, MetricType};
use parking_lot::Mutex;
use wire::remote_write::v2::Metadata;

/// What has been handed to the store.
#[derive(Debug, Default)]
pub(crate) struct KnownMetadata {
    hasher: RandomState,
    /// From the hash of a name to that of its newest metadata.
    newest: Mutex<HashMap<u64, u64>>,
}

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

    /// Forgets these again, because the store has not taken them.
    pub(crate) fn forget(&self, metadata: &[String]) {
        let mut newest = self.newest.lock();
        for name in metadata {
            newest.remove(&self.hasher.hash_one(name));
        }
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

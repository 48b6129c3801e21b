//! The mesh as a scraper sees it.

use std::fmt;

use model::{Labels, stale_nan};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::MeshConfig;
use crate::target::{Counters, Target};
use crate::topology::{Topology, Workload};

/// A running mesh.
pub struct Mesh {
    config: MeshConfig,
    topology: Topology,
    targets: Vec<Target>,
    counters: Counters,
    rng: ChaCha8Rng,
}

/// One series in text form, borrowed from the mesh.
#[derive(Debug, Clone, Copy)]
pub struct SeriesText<'a> {
    /// The label set, as a number: equal numbers mean equal `labels`, so that encoders can keep their bytes.
    pub entity: usize,
    /// All labels but `__name__` and `le`, sorted.
    pub labels: &'a Labels,
    /// The metric name.
    pub metric_name: &'static str,
    /// The bucket's upper bound, for bucket series.
    pub le: Option<&'static str>,
}

/// Takes the samples of a scrape.
pub trait ScrapeSink {
    /// One sample; staleness markers too.
    fn sample(&mut self, series: SeriesText<'_>, timestamp_ms: i64, value: f64);
}

/// Hands the samples of one label set to a sink.
pub(crate) struct Emit<'a> {
    pub(crate) entity: usize,
    pub(crate) labels: &'a Labels,
    pub(crate) timestamp_ms: i64,
    pub(crate) value: Option<f64>,
    pub(crate) sink: &'a mut dyn ScrapeSink,
}

/// Counts samples.
#[derive(Debug, Default)]
pub(crate) struct CountingSink {
    pub(crate) n_samples: usize,
}

impl Mesh {
    /// A mesh in which nothing has happened yet.
    #[must_use]
    pub fn new(config: MeshConfig) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let topology = Topology::new(&config, &mut rng);
        let mut mesh = Self {
            config,
            topology,
            targets: Vec::new(),
            counters: Counters::default(),
            rng,
        };
        for workload_idx in 0..mesh.topology.workloads.len() {
            for _ in 0..mesh.topology.workloads[workload_idx].n_replicas {
                let target = mesh.new_pod(workload_idx);
                mesh.targets.push(target);
            }
        }
        if mesh.config.control_plane {
            let istiod = mesh.new_control_plane();
            mesh.targets.push(istiod);
        }
        mesh.targets.retain(|target| !target.entities.is_empty());
        mesh
    }

    /// Number of scrape targets.
    #[must_use]
    pub fn n_targets(&self) -> usize {
        self.targets.len()
    }

    /// Number of series that are exposed now.
    #[must_use]
    pub fn n_series(&self) -> usize {
        self.targets.iter().map(Target::n_series).sum()
    }

    /// Distance of two scrapes of one target, milliseconds.
    #[must_use]
    pub fn scrape_interval_ms(&self) -> i64 {
        self.config.scrape_interval_ms
    }

    /// When a target is scraped within its interval, milliseconds; changes when its pod is replaced.
    ///
    /// # Panics
    /// If there is no such target.
    #[must_use]
    pub fn phase_ms(&self, target_idx: usize) -> i64 {
        self.targets[target_idx].phase_ms
    }

    /// Scrapes all targets once in the interval that begins at `interval_start_ms`, each at its own phase, with a
    /// jitter of a few milliseconds. Intervals must come in ascending order.
    pub fn scrape_interval(&mut self, interval_start_ms: i64, sink: &mut dyn ScrapeSink) {
        for target_idx in 0..self.targets.len() {
            self.scrape_target(target_idx, interval_start_ms, sink);
        }
    }

    /// Scrapes one target in the interval that begins at `interval_start_ms`.
    ///
    /// # Panics
    /// If there is no such target.
    pub fn scrape_target(&mut self, target_idx: usize, interval_start_ms: i64, sink: &mut dyn ScrapeSink) {
        let hours = self.config.scrape_interval_ms as f64 / 3_600_000.0;
        if self.rng.random::<f64>() < self.config.rollouts_per_hour * hours {
            self.replace_pod(target_idx, interval_start_ms, sink);
        }
        let (failed, restarts) = (self.config.failed_scrapes, self.config.restarts_per_hour * hours);
        let target = &mut self.targets[target_idx];
        let jitter_ms = target.rng.random_range(0..3);
        let timestamp_ms = interval_start_ms + target.phase_ms + jitter_ms;
        let fails = target.rng.random::<f64>() < failed;
        if target.rng.random::<f64>() < restarts {
            target.restart();
        }
        let elapsed_ms = timestamp_ms
            - target
                .last_scrape_ms
                .unwrap_or(timestamp_ms - self.config.scrape_interval_ms);
        target.advance(elapsed_ms as f64 / 1_000.0 * daily_load(timestamp_ms));
        target.last_scrape_ms = Some(timestamp_ms);
        if !fails {
            target.emit(timestamp_ms, None, sink);
            target.alive = true;
        } else if target.alive {
            target.emit(timestamp_ms, Some(stale_nan()), sink);
            target.alive = false;
        }
    }

    /// Ends the series of a pod and puts a new one in its place, as a roll-out does.
    fn replace_pod(&mut self, target_idx: usize, interval_start_ms: i64, sink: &mut dyn ScrapeSink) {
        let old = &self.targets[target_idx];
        if old.workload >= self.topology.workloads.len() {
            return;
        }
        if old.alive {
            old.emit(interval_start_ms + old.phase_ms, Some(stale_nan()), sink);
        }
        let workload_idx = old.workload;
        self.targets[target_idx] = self.new_pod(workload_idx);
    }

    fn new_pod(&mut self, workload_idx: usize) -> Target {
        let workload = &self.topology.workloads[workload_idx];
        let mut target = Target::new(workload_idx, workload, &self.config, &mut self.counters);
        target.expose_sidecar(&self.topology, &self.config, &mut self.counters);
        target
    }

    fn new_control_plane(&mut self) -> Target {
        let istiod = Workload {
            name: "istiod".to_owned(),
            app: "istiod".to_owned(),
            version: String::new(),
            namespace: "istio-system".to_owned(),
            principal: String::new(),
            n_replicas: 1,
        };
        let mut target = Target::new(
            self.topology.workloads.len(),
            &istiod,
            &self.config,
            &mut self.counters,
        );
        target.expose_control_plane(&mut self.counters);
        target
    }
}

impl fmt::Debug for Mesh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mesh")
            .field("config", &self.config)
            .field("n_targets", &self.n_targets())
            .finish_non_exhaustive()
    }
}

impl Emit<'_> {
    pub(crate) fn sample(&mut self, metric_name: &'static str, value: f64) {
        self.give(metric_name, None, value);
    }

    pub(crate) fn bucket(&mut self, metric_name: &'static str, le: &'static str, value: f64) {
        self.give(metric_name, Some(le), value);
    }

    fn give(&mut self, metric_name: &'static str, le: Option<&'static str>, value: f64) {
        let series = SeriesText {
            entity: self.entity,
            labels: self.labels,
            metric_name,
            le,
        };
        self.sink
            .sample(series, self.timestamp_ms, self.value.unwrap_or(value));
    }
}

impl ScrapeSink for CountingSink {
    fn sample(&mut self, _series: SeriesText<'_>, _timestamp_ms: i64, _value: f64) {
        self.n_samples += 1;
    }
}

/// Traffic over the day, relative to its mean: half at night, half more at noon.
fn daily_load(timestamp_ms: i64) -> f64 {
    let day_share = (timestamp_ms.rem_euclid(86_400_000)) as f64 / 86_400_000.0;
    1.0 - 0.5 * (day_share * std::f64::consts::TAU).cos()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use model::is_stale_nan;

    use super::*;

    #[derive(Default)]
    struct Recorder {
        samples: BTreeMap<String, Vec<(i64, f64)>>,
    }

    impl ScrapeSink for Recorder {
        fn sample(&mut self, series: SeriesText<'_>, timestamp_ms: i64, value: f64) {
            let key = format!("{}{:?}{}", series.metric_name, series.le, series.labels);
            self.samples.entry(key).or_default().push((timestamp_ms, value));
        }
    }

    fn run(config: MeshConfig, n_intervals: i64) -> Recorder {
        let mut mesh = Mesh::new(config);
        let mut recorder = Recorder::default();
        for interval in 0..n_intervals {
            mesh.scrape_interval(
                1_700_000_000_000 + interval * mesh.scrape_interval_ms(),
                &mut recorder,
            );
        }
        recorder
    }

    #[test]
    fn bookinfo_has_the_series_of_a_real_one() {
        let mesh = Mesh::new(MeshConfig::bookinfo(1));
        assert!((3_000..5_000).contains(&mesh.n_series()), "{}", mesh.n_series());
        let recorder = run(MeshConfig::bookinfo(1), 2);
        let edge = recorder.samples.keys().find(|key| {
            key.starts_with("istio_requests_total")
                && key.contains("reporter=\"source\"")
                && key.contains("reviews-v2")
        });
        assert!(
            edge.is_some_and(|key| key.contains("destination_service_name=\"reviews\"")),
            "{edge:?}"
        );
    }

    #[test]
    fn a_steady_mesh_has_exactly_the_series_asked_for() {
        let mesh = Mesh::new(MeshConfig::steady_http(100, 7));
        assert_eq!(mesh.n_series(), 6_700);
        let recorder = run(MeshConfig::steady_http(100, 7), 3);
        assert_eq!(recorder.samples.len(), 6_700);
        assert!(recorder.samples.values().all(|samples| samples.len() == 3));
        assert!(
            recorder
                .samples
                .values()
                .flatten()
                .all(|(_, value)| !is_stale_nan(*value))
        );
    }

    #[test]
    fn equal_seeds_give_equal_meshes() {
        let text = |seed| format!("{:?}", run(MeshConfig::services(5, seed), 4).samples);
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(4));
    }

    #[test]
    fn a_rollout_ends_series_and_begins_others_under_new_pod_names() {
        let config = MeshConfig {
            rollouts_per_hour: 60.0,
            ..MeshConfig::bookinfo(5)
        };
        let recorder = run(config, 8);
        let ended = recorder
            .samples
            .values()
            .filter(|samples| samples.last().is_some_and(|s| is_stale_nan(s.1)));
        assert!(ended.count() > 100);
        let pods: BTreeSet<_> = recorder
            .samples
            .keys()
            .filter_map(|key| key.split("pod=\"").nth(1)?.split('"').next())
            .collect();
        assert!(pods.len() > 8, "{pods:?}");
    }

    #[test]
    fn counters_fall_only_when_a_proxy_restarts() {
        let falls = |restarts_per_hour| {
            let config = MeshConfig {
                restarts_per_hour,
                ..MeshConfig::steady_http(50, 2)
            };
            let recorder = run(config, 20);
            let counters = recorder
                .samples
                .iter()
                .filter(|(name, _)| name.starts_with("istio_requests_total"));
            counters
                .filter(|(_, samples)| samples.windows(2).any(|pair| pair[1].1 < pair[0].1))
                .count()
        };
        assert_eq!(falls(0.0), 0);
        assert!(falls(20.0) > 0);
    }
}

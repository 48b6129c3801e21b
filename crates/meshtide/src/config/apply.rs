//! From settings to what the crates are built with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Result, bail, ensure};
use catalog::CatalogLimits;
use model::Labels;
use query::EngineOptions;
use query::sql::SqlOptions;
use server::listener;
use storage::{BlockCacheConfig, BlockConfig, ExemplarConfig, StoreConfig, WalSync as StoreSync};
use wire::otlp::DeltaPolicy;

use super::{Delta, Otlp, Settings, Span, Strategy, WalSync};

/// Threads for a setting in which 0 stands for one per processor.
fn threads(setting: usize) -> usize {
    match setting {
        0 => n_cpus(),
        n_threads => n_threads,
    }
}

/// Processors this process may use.
pub(crate) fn n_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

impl Settings {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the field.
    pub(crate) fn check(&self) -> Result<()> {
        let positive = |name: &str, span: Span| {
            ensure!(span.ms > 0, "{name} has to be longer than 0s");
            Ok(())
        };
        positive("http.idle_timeout", self.http.idle_timeout)?;
        positive("storage.retention", self.storage.retention)?;
        positive("storage.block_window", self.storage.block_window)?;
        positive("storage.flush_interval", self.storage.flush_interval)?;
        positive("storage.wal_sync_interval", self.storage.wal_sync_interval)?;
        positive("ha.failover_timeout", self.ha.failover_timeout)?;
        for pair in &self.ha.pairs {
            let names = pair.group.iter().chain([&pair.replica]);
            ensure!(
                !pair.group.is_empty() && names.clone().all(|name| !name.is_empty()),
                "ha.pairs: a pair needs a group of labels and a replica label"
            );
        }
        positive("query.lookback", self.query.lookback)?;
        positive("query.timeout", self.query.timeout)?;
        positive("query.subquery_step", self.query.subquery_step)?;
        positive("scrape_interval", self.scrape_interval)?;
        self.external_labels()?;
        for (attribute, label) in &self.otlp.promote_resource_attributes {
            let is_label = !label.is_empty() && !label.starts_with("__");
            ensure!(
                is_label,
                "otlp.promote_resource_attributes: {attribute} cannot become the label {label:?}"
            );
        }
        Ok(())
    }

    fn external_labels(&self) -> Result<Labels> {
        let pairs = self.external_labels.iter();
        match Labels::from_pairs(pairs.map(|(name, value)| (name.as_str(), value.as_str()))) {
            Ok(labels) => Ok(labels),
            Err(error) => bail!("external_labels: {error}"),
        }
    }

    /// How connections are taken at an address.
    pub(crate) fn listener(&self, listen: SocketAddr) -> listener::Config {
        listener::Config {
            listen,
            connections_max: self.http.connections_max,
            head_timeout: self.http.idle_timeout.duration(),
            drain_timeout: self.http.drain_timeout.duration(),
        }
    }

    pub(crate) fn store(&self) -> StoreConfig {
        StoreConfig {
            wal_sync: match self.storage.wal_sync {
                WalSync::Always => StoreSync::Always,
                WalSync::Interval => StoreSync::Interval(self.storage.wal_sync_interval.ms.unsigned_abs()),
            },
            out_of_order_window_ms: self.storage.out_of_order_window.ms,
            queue_samples_max: self.storage.queue_samples_max,
            segment_bytes: self.storage.wal_segment.0,
            limits: CatalogLimits {
                labels_per_series_max: self.ingest.labels_per_series_max,
                label_name_bytes_max: self.ingest.label_name_bytes_max,
                label_value_bytes_max: self.ingest.label_value_bytes_max,
                ..CatalogLimits::default()
            },
            exemplars: ExemplarConfig {
                max: self.storage.exemplars_max,
                per_series_max: self.storage.exemplars_per_series_max,
            },
            blocks: BlockConfig {
                window_ms: self.storage.block_window.ms,
                flush_interval_ms: self.storage.flush_interval.ms,
                retention_ms: self.storage.retention.ms,
                retention_bytes: Some(self.storage.retention_size.0).filter(|bytes| *bytes > 0),
                cache: BlockCacheConfig {
                    page_bytes_max: self.storage.page_cache.as_usize(),
                    catalog_bytes_max: self.storage.series_cache.as_usize(),
                },
            },
        }
    }

    pub(crate) fn engine(&self) -> EngineOptions {
        EngineOptions {
            lookback_ms: self.query.lookback.ms,
            timeout: self.query.timeout.duration(),
            max_samples: self.query.samples_max,
            max_concurrent: self.query.concurrent_max,
            memory_bytes: self.query.memory_max.as_usize(),
            default_subquery_step_ms: self.query.subquery_step.ms,
            experimental: self.query.experimental,
            delayed_name_removal: self.query.delayed_name_removal,
            use_start_timestamps: self.query.start_timestamps,
            either_histogram_form: self.query.either_histogram_form,
            threads: threads(self.query.threads),
            sql: SqlOptions {
                max_concurrent: self.sql.concurrent_max,
                memory_bytes: self.sql.memory_max.as_usize(),
                result_rows_max: self.sql.rows_max,
                result_bytes_max: self.sql.result_max.as_usize(),
                ..SqlOptions::default()
            },
        }
    }

    fn ingest(&self) -> server::ingest::Config {
        server::ingest::Config {
            threads: threads(self.ingest.threads),
            requests_max: self.ingest.requests_max,
            bodies_bytes_max: self.ingest.bodies_max.as_usize(),
            future_max_ms: self.ingest.future_max.ms,
            retention_ms: Some(self.storage.retention.ms),
            otlp: self.otlp(),
            ha: self.ha(),
            limits: wire::Limits {
                otlp_bytes: self.otlp.decompressed_body_max.as_usize(),
                compressed_bytes: self.ingest.body_max.as_usize(),
                decompressed_bytes: self.ingest.decompressed_body_max.as_usize(),
                labels_per_series: self.ingest.labels_per_series_max,
                label_name_bytes: self.ingest.label_name_bytes_max,
                label_value_bytes: self.ingest.label_value_bytes_max,
                ..wire::Limits::default()
            },
        }
    }

    fn otlp(&self) -> wire::otlp::Settings {
        let Otlp {
            translation_strategy: Strategy(strategy),
            promote_resource_attributes: promoted,
            ..
        } = &self.otlp;
        wire::otlp::Settings {
            strategy: *strategy,
            promoted: promoted
                .iter()
                .map(|(attribute, label)| (attribute.clone(), label.clone()))
                .collect(),
            promotes_all: self.otlp.promote_all_resource_attributes,
            not_promoted: self.otlp.ignore_resource_attributes.clone(),
            target_info: self.otlp.target_info,
            keeps_identifying: self.otlp.keep_identifying_resource_attributes,
            promotes_scope: self.otlp.promote_scope_metadata,
            delta: match self.otlp.delta {
                Delta::Reject => DeltaPolicy::Reject,
                Delta::Convert => DeltaPolicy::Convert,
            },
            envoy_profile: self.otlp.envoy_profile,
            nesting_max: self.otlp.nesting_max,
        }
    }

    fn ha(&self) -> server::ha::Config {
        let pairs = self.ha.pairs.iter().map(|pair| server::ha::PairLabels {
            group: pair.group.clone(),
            replica: pair.replica.clone(),
        });
        server::ha::Config {
            enabled: self.ha.enabled,
            failover_ms: self.ha.failover_timeout.ms,
            pairs: pairs.collect(),
        }
    }

    /// The HTTP interface, without what only the process knows.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn server(&self, data_dir: &Path, process: server::ProcessInfo) -> Result<server::Config> {
        Ok(server::Config {
            external_labels: self.external_labels()?,
            config_yaml: self.prometheus_yaml(),
            flags: self.prometheus_flags(data_dir),
            build: server::BuildInfo {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                revision: option_env!("MESHTIDE_REVISION").unwrap_or("unknown").to_owned(),
            },
            process: server::ProcessInfo {
                n_cpus: n_cpus(),
                retention: self.storage.retention.to_string(),
                ..process
            },
            ingest: self.ingest(),
            admin_api: self.http.admin_api,
        })
    }

    /// The part of this configuration that a Prometheus would have, in its words.
    fn prometheus_yaml(&self) -> String {
        let mut yaml = format!(
            "global:\n  scrape_interval: {}\n  evaluation_interval: {}\n",
            self.scrape_interval, self.query.subquery_step
        );
        if !self.external_labels.is_empty() {
            yaml.push_str("  external_labels:\n");
            for (name, value) in &self.external_labels {
                yaml.push_str(&format!("    {name:?}: {value:?}\n"));
            }
        }
        yaml
    }

    /// Settings that a Prometheus has as well, by the names of its flags.
    fn prometheus_flags(&self, data_dir: &Path) -> BTreeMap<String, String> {
        let flags = [
            ("query.lookback-delta", self.query.lookback.to_string()),
            ("query.max-concurrency", self.query.concurrent_max.to_string()),
            ("query.max-samples", self.query.samples_max.to_string()),
            ("query.timeout", self.query.timeout.to_string()),
            ("storage.tsdb.path", data_dir.display().to_string()),
            ("storage.tsdb.retention.time", self.storage.retention.to_string()),
            (
                "storage.tsdb.retention.size",
                self.storage.retention_size.to_string(),
            ),
            ("web.enable-admin-api", self.http.admin_api.to_string()),
            ("web.enable-remote-write-receiver", "true".to_owned()),
            ("web.listen-address", self.http.listen.to_string()),
            ("web.max-connections", self.http.connections_max.to_string()),
        ];
        flags
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

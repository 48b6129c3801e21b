//! What to simulate and where to send it.

use clap::Args;
use mesh::MeshConfig;
use mesh::remote_write::Version;
use model::duration::parse_duration_ms;

/// The arguments of `meshtide simulate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    /// Where to send it, such as http://127.0.0.1:9090/api/v1/write
    #[arg(long, value_name = "URL")]
    pub(crate) remote_write: String,

    /// Number of services, each of one to three versions on some pods: some 10,000 series per service.
    /// 0 is Istio's bookinfo sample
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) services: usize,

    /// Exactly N × 67 series of steady HTTP traffic instead: no churn, no other metrics; for measuring
    #[arg(long, value_name = "N", conflicts_with = "services")]
    pub(crate) steady: Option<usize>,

    /// How much of the past to send first, as fast as the server takes it
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub(crate) backfill: i64,

    /// Go on with live scrapes after the back-fill, until Ctrl-C
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub(crate) live: bool,

    /// Distance of two scrapes of a pod
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub(crate) scrape_interval: i64,

    /// Roll-outs of a workload per hour; each replaces its pods and their series
    #[arg(long, value_name = "RATE", default_value_t = 0.02)]
    pub(crate) rollouts_per_hour: f64,

    /// Version of the protocol: 1 or 2
    #[arg(long, value_name = "VERSION", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) protocol: u8,

    /// Requests under way at the same time
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) connections: usize,

    /// Samples per request; Prometheus sends 2,000
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) samples_per_request: usize,

    /// Equal seeds give equal meshes
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) seed: u64,

    /// No progress bar
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl Plan {
    /// The bookinfo sample, live, sent to `remote_write`: what `meshtide demo` runs.
    #[must_use]
    pub(crate) fn demo(remote_write: String) -> Self {
        Self {
            remote_write,
            services: 0,
            steady: None,
            backfill: 30 * 60_000,
            live: true,
            scrape_interval: 5_000,
            rollouts_per_hour: 0.5,
            protocol: 1,
            connections: 2,
            samples_per_request: 2_000,
            seed: 1,
            quiet: true,
        }
    }

    pub(super) fn mesh_config(&self) -> MeshConfig {
        let config = match (self.steady, self.services) {
            (Some(n_combinations), _) => {
                return self.timed(MeshConfig::steady_http(n_combinations, self.seed));
            }
            (None, 0) => MeshConfig::bookinfo(self.seed),
            (None, n_services) => MeshConfig::services(n_services, self.seed),
        };
        self.timed(MeshConfig {
            rollouts_per_hour: self.rollouts_per_hour,
            ..config
        })
    }

    fn timed(&self, mut config: MeshConfig) -> MeshConfig {
        config.scrape_interval_ms = self.scrape_interval.max(1);
        config
    }

    pub(super) fn version(&self) -> Version {
        if self.protocol == 2 {
            Version::V2
        } else {
            Version::V1
        }
    }

    pub(super) fn back_fill_ms(&self) -> i64 {
        self.backfill
    }
}

fn duration(text: &str) -> Result<i64, String> {
    parse_duration_ms(text).ok_or_else(|| format!("{text:?} is no duration; write it like 30s, 10m or 1h30m"))
}

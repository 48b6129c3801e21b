//! One scraped pod and the label sets it exposes.

use model::Labels;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::baseline::{self, MetricTable, QuietHistograms};
use crate::config::MeshConfig;
use crate::control_plane;
use crate::labels::{
    Outcome, Pairs, PodNames, Reporter, connection_labels, label_set, outcome_labels, peer_labels,
    scrape_labels,
};
use crate::scrape::Emit;
use crate::topology::{Call, Protocol, Topology, Workload};
use crate::traffic::{HttpTraffic, MessageTraffic, TcpTraffic};

/// One pod.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) workload: usize,
    pub(crate) rng: ChaCha8Rng,
    /// When it is scraped, relative to the interval.
    pub(crate) phase_ms: i64,
    pub(crate) last_scrape_ms: Option<i64>,
    /// Its series exist downstream and have not been ended.
    pub(crate) alive: bool,
    pub(crate) entities: Vec<ExposedEntity>,
    scrape: Pairs,
}

/// A label set and what is exposed under it.
#[derive(Debug)]
pub(crate) struct ExposedEntity {
    /// Unique in the mesh, and never used again.
    pub(crate) id: usize,
    pub(crate) labels: Labels,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Http(Box<HttpTraffic>),
    Messages(MessageTraffic),
    Tcp(TcpTraffic),
    Table(MetricTable),
    Quiet(QuietHistograms),
}

/// Counts what has been handed out in a mesh.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) next_entity: usize,
    pub(crate) next_pod: usize,
    pub(crate) n_combinations: usize,
}

impl Target {
    /// A pod of a workload, with a name and an address that no pod had before.
    pub(crate) fn new(
        workload_idx: usize,
        workload: &Workload,
        config: &MeshConfig,
        counters: &mut Counters,
    ) -> Self {
        let pod_number = counters.next_pod;
        counters.next_pod += 1;
        let mut rng = ChaCha8Rng::seed_from_u64(
            config
                .seed
                .wrapping_mul(0x9e37_79b9)
                .wrapping_add(pod_number as u64),
        );
        let template_hash = random_text(10, &mut rng);
        let name = format!("{}-{template_hash}-{}", workload.name, random_text(5, &mut rng));
        let ip = format!(
            "10.{}.{}.{}",
            4 + (pod_number >> 16),
            (pod_number >> 8) & 255,
            pod_number & 255
        );
        let scrape = scrape_labels(&PodNames {
            workload,
            name: &name,
            ip: &ip,
            node: pod_number % 40,
            template_hash: &template_hash,
        });
        let phase_ms = rng.random_range(0..config.scrape_interval_ms);
        Self {
            workload: workload_idx,
            rng,
            phase_ms,
            last_scrape_ms: None,
            alive: false,
            entities: Vec::new(),
            scrape,
        }
    }

    /// Adds everything a sidecar of this workload exposes.
    pub(crate) fn expose_sidecar(
        &mut self,
        topology: &Topology,
        config: &MeshConfig,
        counters: &mut Counters,
    ) {
        if config.sidecar_baseline {
            self.expose_baseline(counters);
        }
        for call in &topology.calls {
            if call.source == self.workload {
                self.expose_call(call, Reporter::Source, topology, config, counters);
            }
            if call.destination == self.workload {
                self.expose_call(call, Reporter::Destination, topology, config, counters);
            }
        }
    }

    /// Adds everything istiod exposes.
    pub(crate) fn expose_control_plane(&mut self, counters: &mut Counters) {
        self.expose(
            &[],
            Content::Table(MetricTable::new(control_plane::METRICS)),
            counters,
        );
        self.expose(
            &[],
            Content::Quiet(QuietHistograms::new(&control_plane::HISTOGRAMS)),
            counters,
        );
        for push_type in control_plane::PUSH_TYPES {
            let content = Content::Table(MetricTable::new(control_plane::BY_TYPE));
            self.expose(&[("type", push_type.to_owned())], content, counters);
        }
        self.expose_build("pilot", counters);
    }

    fn expose_baseline(&mut self, counters: &mut Counters) {
        let cluster = [("cluster_name", "xds-grpc".to_owned())];
        self.expose(
            &cluster,
            Content::Table(MetricTable::new(baseline::ENVOY_CLUSTER)),
            counters,
        );
        self.expose(
            &cluster,
            Content::Quiet(QuietHistograms::new(&baseline::CLUSTER_HISTOGRAMS)),
            counters,
        );
        self.expose(
            &[],
            Content::Table(MetricTable::new(baseline::ENVOY_SERVER)),
            counters,
        );
        self.expose(
            &[],
            Content::Quiet(QuietHistograms::new(&baseline::SERVER_HISTOGRAMS)),
            counters,
        );
        self.expose(&[], Content::Table(MetricTable::new(baseline::AGENT)), counters);
        self.expose_build("proxy", counters);
    }

    fn expose_build(&mut self, component: &str, counters: &mut Counters) {
        let labels = [("component", component.to_owned()), ("tag", "1.30.1".to_owned())];
        self.expose(
            &labels,
            Content::Table(MetricTable::new(baseline::BUILD)),
            counters,
        );
    }

    fn expose_call(
        &mut self,
        call: &Call,
        reporter: Reporter,
        topology: &Topology,
        config: &MeshConfig,
        counters: &mut Counters,
    ) {
        let (source, destination) = (
            &topology.workloads[call.source],
            &topology.workloads[call.destination],
        );
        let own = if reporter == Reporter::Source {
            source
        } else {
            destination
        };
        let rate = call.requests_per_second / own.n_replicas as f64;
        let peers = peer_labels(reporter, source, destination);
        if call.protocol == Protocol::Tcp {
            let connection = connection_labels(reporter, "tcp", "-");
            self.expose_under(
                &[&peers, &connection],
                Content::Tcp(TcpTraffic::new(rate)),
                counters,
            );
            return;
        }
        let protocol = if call.protocol == Protocol::Grpc {
            "grpc"
        } else {
            "http"
        };
        for outcome in outcomes(call, reporter) {
            if config
                .combinations_max
                .is_some_and(|most| counters.n_combinations >= most)
            {
                return;
            }
            counters.n_combinations += 1;
            let traffic = HttpTraffic::new(
                rate * outcome.share,
                call.median_ms,
                call.request_bytes,
                call.response_bytes,
            );
            let labels = outcome_labels(reporter, protocol, &outcome);
            self.expose_under(&[&peers, &labels], Content::Http(Box::new(traffic)), counters);
        }
        if call.protocol == Protocol::Grpc {
            self.expose_under(&[&peers], Content::Messages(MessageTraffic::new(rate)), counters);
        }
    }

    fn expose(&mut self, labels: &[(&'static str, String)], content: Content, counters: &mut Counters) {
        self.expose_under(&[labels], content, counters);
    }

    fn expose_under(
        &mut self,
        parts: &[&[(&'static str, String)]],
        content: Content,
        counters: &mut Counters,
    ) {
        let mut all: Vec<&[(&'static str, String)]> = vec![&self.scrape];
        all.extend_from_slice(parts);
        let id = counters.next_entity;
        counters.next_entity += 1;
        self.entities.push(ExposedEntity {
            id,
            labels: label_set(&all),
            content,
        });
    }

    /// Lets `seconds` of traffic pass.
    pub(crate) fn advance(&mut self, seconds: f64) {
        for entity in &mut self.entities {
            entity.content.advance(seconds, &mut self.rng);
        }
    }

    /// All counters fall to 0, as after a restart of the proxy.
    pub(crate) fn restart(&mut self) {
        for entity in &mut self.entities {
            entity.content.reset();
        }
    }

    /// Number of series it exposes.
    pub(crate) fn n_series(&self) -> usize {
        let mut count = crate::scrape::CountingSink::default();
        self.emit(0, None, &mut count);
        count.n_samples
    }

    /// Gives every series once. `value` replaces all values, as a staleness marker does.
    pub(crate) fn emit(
        &self,
        timestamp_ms: i64,
        value: Option<f64>,
        sink: &mut dyn crate::scrape::ScrapeSink,
    ) {
        for entity in &self.entities {
            let mut emit = Emit {
                entity: entity.id,
                labels: &entity.labels,
                timestamp_ms,
                value,
                sink,
            };
            entity.content.emit(&mut emit);
        }
    }
}

impl Content {
    fn advance(&mut self, seconds: f64, rng: &mut ChaCha8Rng) {
        match self {
            Self::Http(traffic) => traffic.advance(seconds, rng),
            Self::Messages(traffic) => traffic.advance(seconds, rng),
            Self::Tcp(traffic) => traffic.advance(seconds, rng),
            Self::Table(table) => table.advance(seconds, rng),
            Self::Quiet(histograms) => histograms.advance(seconds, rng),
        }
    }

    fn reset(&mut self) {
        match self {
            Self::Http(traffic) => traffic.reset(),
            Self::Messages(traffic) => traffic.reset(),
            Self::Tcp(traffic) => traffic.reset(),
            Self::Table(table) => table.reset(),
            Self::Quiet(histograms) => histograms.reset(),
        }
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        match self {
            Self::Http(traffic) => traffic.emit(emit),
            Self::Messages(traffic) => traffic.emit(emit),
            Self::Tcp(traffic) => traffic.emit(emit),
            Self::Table(table) => table.emit(emit),
            Self::Quiet(histograms) => histograms.emit(emit),
        }
    }
}

/// How the requests of a call end. What the server never saw is known to the client alone.
fn outcomes(call: &Call, reporter: Reporter) -> Vec<Outcome> {
    let grpc = call.protocol == Protocol::Grpc;
    let outcome = |response_code, grpc_status, response_flags, share| Outcome {
        response_code,
        grpc_status: if grpc { grpc_status } else { "" },
        response_flags,
        share,
    };
    let mut outcomes = vec![outcome("200", "0", "-", 0.97)];
    if call.client_errors {
        outcomes.push(outcome(if grpc { "200" } else { "404" }, "5", "-", 0.02));
    }
    if call.server_errors {
        outcomes.push(outcome(if grpc { "200" } else { "500" }, "13", "-", 0.005));
    }
    if call.unavailable && reporter == Reporter::Source {
        outcomes.push(outcome(if grpc { "200" } else { "503" }, "14", "URX", 0.002));
    }
    if call.disconnects {
        outcomes.push(outcome("0", "1", "DC", 0.001));
    }
    outcomes
}

fn random_text(length: usize, rng: &mut impl Rng) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    (0..length)
        .map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())]))
        .collect()
}

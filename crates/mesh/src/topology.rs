//! Who calls whom.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, LogNormal};

use crate::config::{MeshConfig, MeshShape};

/// A Deployment: one version of one service.
#[derive(Debug, Clone)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) app: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) principal: String,
    pub(crate) n_replicas: usize,
}

/// How a call is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Grpc,
    Tcp,
}

/// One workload calling another.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) source: usize,
    pub(crate) destination: usize,
    pub(crate) protocol: Protocol,
    /// Requests per second of all pods together; 0 for an idle call.
    pub(crate) requests_per_second: f64,
    pub(crate) median_ms: f64,
    pub(crate) request_bytes: f64,
    pub(crate) response_bytes: f64,
    /// Which outcomes occur beside success.
    pub(crate) client_errors: bool,
    pub(crate) server_errors: bool,
    pub(crate) unavailable: bool,
    pub(crate) disconnects: bool,
}

/// All workloads and calls.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    pub(crate) workloads: Vec<Workload>,
    pub(crate) calls: Vec<Call>,
}

impl Workload {
    fn new(app: &str, version: &str, namespace: &str, n_replicas: usize) -> Self {
        Self {
            name: format!("{app}-{version}"),
            app: app.to_owned(),
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            principal: format!("spiffe://cluster.local/ns/{namespace}/sa/{app}"),
            n_replicas,
        }
    }

    /// Workload, namespace, principal, app, version, canonical service and revision, cluster: all are functions of
    /// the workload.
    pub(crate) fn identity(&self) -> [String; 8] {
        [
            self.name.clone(),
            self.namespace.clone(),
            self.principal.clone(),
            self.app.clone(),
            self.version.clone(),
            self.app.clone(),
            self.version.clone(),
            "Kubernetes".to_owned(),
        ]
    }
}

impl Topology {
    pub(crate) fn new(config: &MeshConfig, rng: &mut impl Rng) -> Self {
        match config.shape {
            MeshShape::Bookinfo => Self::bookinfo(rng),
            MeshShape::Services(n_services) => Self::services(n_services.max(1), config, rng),
        }
    }

    fn bookinfo(rng: &mut impl Rng) -> Self {
        let mut topology = Self {
            workloads: vec![gateway()],
            calls: Vec::new(),
        };
        for (app, version) in [
            ("productpage", "v1"),
            ("details", "v1"),
            ("reviews", "v1"),
            ("reviews", "v2"),
            ("reviews", "v3"),
            ("ratings", "v1"),
        ] {
            topology
                .workloads
                .push(Workload::new(app, version, "bookinfo", 1));
        }
        for (source, destination, rps) in [
            (0, 1, 12.0),
            (1, 2, 12.0),
            (1, 3, 4.0),
            (1, 4, 4.0),
            (1, 5, 4.0),
            (4, 6, 4.0),
            (5, 6, 4.0),
        ] {
            let mut call = Call::random(source, destination, rng);
            call.requests_per_second = rps;
            call.protocol = Protocol::Http;
            (call.client_errors, call.unavailable, call.disconnects) = (false, false, false);
            call.server_errors = source == 1 && destination == 4;
            topology.calls.push(call);
        }
        topology
    }

    fn services(n_services: usize, config: &MeshConfig, rng: &mut impl Rng) -> Self {
        let mut topology = Self {
            workloads: vec![gateway()],
            calls: Vec::new(),
        };
        let replicas = LogNormal::new(3f64.ln(), 0.6).expect("the spread is positive");
        let mut versions_of = Vec::with_capacity(n_services);
        for service_idx in 0..n_services {
            let app = format!(
                "{}-{service_idx}",
                SERVICE_WORDS[service_idx % SERVICE_WORDS.len()]
            );
            let namespace = format!("team-{:02}", service_idx / 10);
            let n_versions = [1, 1, 1, 2, 2, 3].choose(rng).copied().unwrap_or(1);
            let first = topology.workloads.len();
            for version in 1..=n_versions {
                let n_replicas = (replicas.sample(rng).round() as usize).clamp(1, 40);
                topology.workloads.push(Workload::new(
                    &app,
                    &format!("v{version}"),
                    &namespace,
                    n_replicas,
                ));
            }
            versions_of.push(first..topology.workloads.len());
        }
        topology.add_calls(&versions_of, config, rng);
        topology
    }

    /// The gateway calls a tenth of the services; a workload calls about four, popular ones (low index) more often.
    fn add_calls(&mut self, versions_of: &[std::ops::Range<usize>], config: &MeshConfig, rng: &mut impl Rng) {
        let n_services = versions_of.len();
        for source in 0..self.workloads.len() {
            let n_called = if source == 0 {
                n_services.div_ceil(10)
            } else {
                rng.random_range(1..=7)
            };
            let mut called: Vec<usize> = (0..n_called)
                .map(|_| (rng.random::<f64>().powi(2) * n_services as f64) as usize)
                .collect();
            called.sort_unstable();
            called.dedup();
            for service_idx in called {
                let versions = versions_of[service_idx].clone();
                if versions.contains(&source) {
                    continue;
                }
                let mut template = Call::random(source, versions.start, rng);
                if !config.other_protocols {
                    template.protocol = Protocol::Http;
                }
                if rng.random::<f64>() < config.idle_share {
                    template.requests_per_second = 0.0;
                }
                let share = 1.0 / versions.len() as f64;
                for destination in versions {
                    let requests_per_second = template.requests_per_second * share;
                    self.calls.push(Call {
                        destination,
                        requests_per_second,
                        ..template.clone()
                    });
                }
            }
        }
    }
}

impl Call {
    fn random(source: usize, destination: usize, rng: &mut impl Rng) -> Self {
        let rates = LogNormal::new(8f64.ln(), 1.2).expect("the spread is positive");
        Self {
            source,
            destination,
            protocol: match rng.random_range(0..10) {
                0 => Protocol::Tcp,
                1 | 2 => Protocol::Grpc,
                _ => Protocol::Http,
            },
            requests_per_second: rates.sample(rng),
            median_ms: rng.random_range(2.0..50.0),
            request_bytes: rng.random_range(200.0..2_000.0),
            response_bytes: rng.random_range(100.0..50_000.0),
            client_errors: rng.random::<f64>() < 0.5,
            server_errors: rng.random::<f64>() < 0.2,
            unavailable: rng.random::<f64>() < 0.1,
            disconnects: rng.random::<f64>() < 0.1,
        }
    }
}

fn gateway() -> Workload {
    let mut workload = Workload::new("istio-ingressgateway", "latest", "istio-system", 1);
    workload.name = "istio-ingressgateway".to_owned();
    workload
}

const SERVICE_WORDS: [&str; 20] = [
    "cart",
    "checkout",
    "catalog",
    "payment",
    "shipping",
    "auth",
    "profile",
    "search",
    "pricing",
    "inventory",
    "orders",
    "email",
    "reviews",
    "media",
    "session",
    "gateway",
    "ledger",
    "quotes",
    "billing",
    "audit",
];

//! A small mesh with Istio's metric and label names: enough for every console query to find something.

use model::Labels;

use super::memory::MemorySource;

/// One scrape per 15 s from time 0, so many of them.
pub(crate) const N_SCRAPES: i64 = 40;
/// Between two scrapes.
pub(crate) const SCRAPE_MS: i64 = 15_000;

const BOUNDS: [(&str, f64); 5] = [("1", 0.1), ("5", 0.5), ("100", 0.8), ("5000", 1.0), ("+Inf", 1.0)];
const SERVICES: [&str; 4] = ["productpage", "reviews", "ratings", "details"];

/// Edges between four services of `namespace`, seen from both sides, HTTP and TCP.
pub(crate) fn small_mesh(namespace: &str) -> MemorySource {
    let mut source = MemorySource::default();
    for (from, &client) in SERVICES.iter().enumerate() {
        for (to, &server) in SERVICES.iter().enumerate().filter(|(to, _)| *to != from) {
            for reporter in ["source", "destination"] {
                let code = if to == 2 { "503" } else { "200" };
                let edge = Edge {
                    namespace,
                    client,
                    server,
                    reporter,
                    code,
                    per_scrape: (1 + from * 4 + to) as f64,
                };
                edge.add_to(&mut source);
            }
        }
    }
    source
}

struct Edge<'a> {
    namespace: &'a str,
    client: &'a str,
    server: &'a str,
    reporter: &'a str,
    code: &'a str,
    per_scrape: f64,
}

impl Edge<'_> {
    fn labels(&self) -> Vec<(String, String)> {
        let (namespace, client, server) = (self.namespace, self.client, self.server);
        let pairs = [
            ("reporter", self.reporter.to_owned()),
            ("source_workload", format!("{client}-v1")),
            ("source_canonical_service", client.to_owned()),
            ("source_canonical_revision", "v1".to_owned()),
            ("source_app", client.to_owned()),
            ("source_workload_namespace", namespace.to_owned()),
            ("source_cluster", "Kubernetes".to_owned()),
            (
                "source_principal",
                format!("spiffe://cluster.local/ns/{namespace}/sa/{client}"),
            ),
            ("destination_workload", format!("{server}-v1")),
            ("destination_canonical_service", server.to_owned()),
            ("destination_canonical_revision", "v1".to_owned()),
            ("destination_app", server.to_owned()),
            ("destination_workload_namespace", namespace.to_owned()),
            (
                "destination_service",
                format!("{server}.{namespace}.svc.cluster.local"),
            ),
            ("destination_service_name", server.to_owned()),
            ("destination_service_namespace", namespace.to_owned()),
            ("destination_cluster", "Kubernetes".to_owned()),
            ("request_protocol", "http".to_owned()),
            ("response_code", self.code.to_owned()),
            ("response_flags", "-".to_owned()),
            ("grpc_response_status", "0".to_owned()),
            ("connection_security_policy", "mutual_tls".to_owned()),
            ("pod", format!("{client}-v1-abc")),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    fn add_to(&self, source: &mut MemorySource) {
        let mut add = |name: &str, le: Option<&str>, per_scrape: f64| {
            let mut pairs = self.labels();
            pairs.push(("__name__".to_owned(), name.to_owned()));
            pairs.extend(le.map(|le| ("le".to_owned(), le.to_owned())));
            let samples = (0..N_SCRAPES).map(|idx| (idx * SCRAPE_MS, per_scrape * idx as f64));
            source.add(&Labels::from_pairs(pairs).unwrap(), samples);
        };
        for name in [
            "istio_requests_total",
            "istio_tcp_sent_bytes_total",
            "istio_tcp_received_bytes_total",
        ] {
            add(name, None, self.per_scrape);
        }
        for base in [
            "istio_request_duration_milliseconds",
            "istio_request_bytes",
            "istio_response_bytes",
        ] {
            for (le, share) in BOUNDS {
                add(&format!("{base}_bucket"), Some(le), self.per_scrape * share);
            }
            add(&format!("{base}_sum"), None, self.per_scrape * 20.0);
            add(&format!("{base}_count"), None, self.per_scrape);
        }
    }
}

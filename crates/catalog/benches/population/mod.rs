//! A mesh-like population: 67 series per entity, 32 labels per series besides `__name__`.
//!
//! `MESHTIDE_BENCH_ENTITIES` sets the number of entities (default 5,000; CI runs with few).

use catalog::{Catalog, CatalogLimits, HashSecret};
use model::Labels;

pub(crate) const SERIES_PER_ENTITY: usize = 67;
const HISTOGRAMS: [&str; 3] = [
    "istio_request_duration_milliseconds",
    "istio_request_bytes",
    "istio_response_bytes",
];
const BOUNDS: [&str; 20] = [
    "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000",
    "60000", "300000", "600000", "1800000", "3600000", "+Inf",
];
const ENTITIES_PER_POD: usize = 20;
const PODS_PER_WORKLOAD: usize = 5;

pub(crate) fn n_entities() -> usize {
    let chosen = std::env::var("MESHTIDE_BENCH_ENTITIES").ok();
    chosen.and_then(|text| text.parse().ok()).unwrap_or(5_000)
}

/// The series of one entity: an edge between two workloads, seen by one pod.
pub(crate) fn entity_series(entity: usize) -> Vec<Labels> {
    let own = entity_labels(entity);
    let series = |name: String, le: Option<&str>| {
        let le = le.map(|le| ("le".to_owned(), le.to_owned()));
        let pairs = own
            .iter()
            .cloned()
            .chain(le)
            .chain([("__name__".to_owned(), name)]);
        Labels::from_pairs(pairs).expect("distinct names")
    };
    let mut all = vec![series("istio_requests_total".to_owned(), None)];
    for base in HISTOGRAMS {
        all.extend(BOUNDS.iter().map(|le| series(format!("{base}_bucket"), Some(le))));
        all.push(series(format!("{base}_sum"), None));
        all.push(series(format!("{base}_count"), None));
    }
    assert_eq!(all.len(), SERIES_PER_ENTITY);
    all
}

/// A catalog with the whole population.
pub(crate) fn catalog() -> Catalog {
    let mut catalog = Catalog::new(CatalogLimits::default(), HashSecret::from_seed(1));
    for entity in 0..n_entities() {
        for labels in entity_series(entity) {
            catalog.register(&labels).expect("within the limits");
        }
    }
    catalog
}

/// The labels of an entity: of the edge, of both its ends, and of the pod that was scraped.
fn entity_labels(entity: usize) -> Vec<(String, String)> {
    let pod = entity / ENTITIES_PER_POD;
    let workload = pod / PODS_PER_WORKLOAD;
    let peer = (workload * 7 + entity % ENTITIES_PER_POD) % 120;
    let is_source = entity.is_multiple_of(2);
    let (source, destination) = if is_source {
        (workload, peer)
    } else {
        (peer, workload)
    };
    let (reporter, policy) = if is_source {
        ("source", "unknown")
    } else {
        ("destination", "mutual_tls")
    };
    let code = ["200", "200", "200", "404", "503"][entity % 5];
    let flags = if code == "503" { "UF,URX" } else { "-" };
    let service = format!("service-{destination}");
    let edge = [
        ("reporter", reporter.to_owned()),
        ("response_code", code.to_owned()),
        ("request_protocol", "http".to_owned()),
        ("response_flags", flags.to_owned()),
        ("grpc_response_status", ["", "", "0"][entity % 3].to_owned()),
        ("connection_security_policy", policy.to_owned()),
        (
            "destination_service",
            format!("{service}.{}.svc.cluster.local", namespace(destination)),
        ),
        ("destination_service_name", service),
        ("destination_service_namespace", namespace(destination)),
    ];
    let edge = edge.map(|(name, value)| (name.to_owned(), value)).into_iter();
    edge.chain(pod_labels(pod, workload))
        .chain(end_labels("source", source))
        .chain(end_labels("destination", destination))
        .collect()
}

fn pod_labels(pod: usize, workload: usize) -> [(String, String); 8] {
    [
        ("job", "kubernetes-pods".to_owned()),
        (
            "instance",
            format!("10.{}.{}.{}:15020", pod / 65_536, pod / 256 % 256, pod % 256),
        ),
        ("namespace", namespace(workload)),
        (
            "pod",
            format!("workload-{workload}-v1-6f7d8c9b5d-{:05x}", pod * 7_919),
        ),
        (
            "node",
            format!("ip-10-0-{}-17.eu-central-1.compute.internal", pod % 40),
        ),
        ("app", format!("workload-{workload}")),
        ("pod_template_hash", format!("{:010x}", workload * 104_729)),
        ("security_istio_io_tlsMode", "istio".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

/// The labels of one end of an edge.
fn end_labels(end: &str, workload: usize) -> [(String, String); 8] {
    let namespace = namespace(workload);
    let principal = format!("spiffe://cluster.local/ns/{namespace}/sa/workload-{workload}");
    [
        ("workload", format!("workload-{workload}-v1")),
        ("workload_namespace", namespace),
        ("app", format!("workload-{workload}")),
        ("version", "v1".to_owned()),
        ("canonical_service", format!("workload-{workload}")),
        ("canonical_revision", "v1".to_owned()),
        ("cluster", "Kubernetes".to_owned()),
        ("principal", principal),
    ]
    .map(|(name, value)| (format!("{end}_{name}"), value))
}

fn namespace(workload: usize) -> String {
    format!("team-{}", workload % 12)
}

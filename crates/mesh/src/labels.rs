//! The label sets of a mesh: Istio's own labels and those that scraping adds.

use model::Labels;

use crate::topology::Workload;

/// The pairs of a label set under construction.
pub(crate) type Pairs = Vec<(&'static str, String)>;

/// What Prometheus' job `kubernetes-pods` adds to everything a pod exposes.
pub(crate) fn scrape_labels(pod: &PodNames<'_>) -> Pairs {
    vec![
        ("instance", format!("{}:15020", pod.ip)),
        ("job", "kubernetes-pods".to_owned()),
        ("namespace", pod.workload.namespace.clone()),
        ("node", format!("worker-{}", pod.node)),
        ("pod", pod.name.to_owned()),
        ("app", pod.workload.app.clone()),
        ("version", pod.workload.version.clone()),
        ("pod_template_hash", pod.template_hash.to_owned()),
        ("security_istio_io_tlsMode", "istio".to_owned()),
        ("service_istio_io_canonical_name", pod.workload.app.clone()),
        (
            "service_istio_io_canonical_revision",
            pod.workload.version.clone(),
        ),
    ]
}

/// What scraping knows of a pod.
#[derive(Debug)]
pub(crate) struct PodNames<'a> {
    pub(crate) workload: &'a Workload,
    pub(crate) name: &'a str,
    pub(crate) ip: &'a str,
    pub(crate) node: usize,
    pub(crate) template_hash: &'a str,
}

/// Who saw a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reporter {
    Source,
    Destination,
}

/// How requests of one label combination ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) response_code: &'static str,
    pub(crate) grpc_status: &'static str,
    pub(crate) response_flags: &'static str,
    /// Share of the call's requests.
    pub(crate) share: f64,
}

/// The 19 labels that say who called whom, and the reporter.
pub(crate) fn peer_labels(reporter: Reporter, source: &Workload, destination: &Workload) -> Pairs {
    let mut pairs = vec![
        (
            "reporter",
            if reporter == Reporter::Source {
                "source"
            } else {
                "destination"
            }
            .to_owned(),
        ),
        (
            "destination_service",
            format!("{}.{}.svc.cluster.local", destination.app, destination.namespace),
        ),
        ("destination_service_name", destination.app.clone()),
        ("destination_service_namespace", destination.namespace.clone()),
    ];
    let source_names = [
        "source_workload",
        "source_workload_namespace",
        "source_principal",
        "source_app",
        "source_version",
        "source_canonical_service",
        "source_canonical_revision",
        "source_cluster",
    ];
    let destination_names = [
        "destination_workload",
        "destination_workload_namespace",
        "destination_principal",
        "destination_app",
        "destination_version",
        "destination_canonical_service",
        "destination_canonical_revision",
        "destination_cluster",
    ];
    pairs.extend(source_names.into_iter().zip(source.identity()));
    pairs.extend(destination_names.into_iter().zip(destination.identity()));
    pairs
}

/// What an HTTP or gRPC combination has beside its peers.
pub(crate) fn outcome_labels(reporter: Reporter, protocol: &str, outcome: &Outcome) -> Pairs {
    let mut pairs = connection_labels(reporter, protocol, outcome.response_flags);
    pairs.push(("response_code", outcome.response_code.to_owned()));
    pairs.push(("grpc_response_status", outcome.grpc_status.to_owned()));
    pairs
}

/// What a TCP combination has beside its peers.
pub(crate) fn connection_labels(reporter: Reporter, protocol: &str, response_flags: &str) -> Pairs {
    let policy = if reporter == Reporter::Source {
        "unknown"
    } else {
        "mutual_tls"
    };
    vec![
        ("request_protocol", protocol.to_owned()),
        ("response_flags", response_flags.to_owned()),
        ("connection_security_policy", policy.to_owned()),
    ]
}

/// The label set of all these pairs.
pub(crate) fn label_set(parts: &[&[(&'static str, String)]]) -> Labels {
    let pairs = parts.iter().flat_map(|part| part.iter().cloned());
    Labels::from_pairs(pairs).expect("the parts of a mesh label set have different names")
}

//! What an operator may choose about OTLP.

use super::names::TranslationStrategy;

/// How OTLP is turned into Prometheus series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What is done to names of senders other than Envoy.
    pub strategy: TranslationStrategy,
    /// Attributes of a resource that become labels of its series, with the name of the label. The first attribute
    /// that is there fills a label.
    pub promoted: Vec<(String, String)>,
    /// Makes labels of all other attributes of a resource, too, under names that follow the strategy.
    pub promotes_all: bool,
    /// Attributes that [`Self::promotes_all`] leaves out.
    pub not_promoted: Vec<String>,
    /// Makes a series `target_info` of the attributes of each resource that says who it is.
    pub target_info: bool,
    /// Repeats in `target_info` the attributes of which `job` and `instance` are made.
    pub keeps_identifying: bool,
    /// Adds `otel_scope_name` and `otel_scope_version` to every series of a scope that has a name.
    pub promotes_scope: bool,
    /// What is done with delta temporality.
    pub delta: DeltaPolicy,
    /// Gives Envoy's metrics the names and labels of its own Prometheus page. Envoy is known by
    /// `telemetry.sdk.name="envoy"`.
    pub envoy_profile: bool,
    /// Arrays and maps inside an attribute may be nested so deep; a deeper one is shown as `…`.
    pub nesting_max: usize,
}

/// What is done with counts since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeltaPolicy {
    /// Their points are rejected.
    #[default]
    Reject,
    /// The visitor is told of them, and that they are differences.
    Convert,
}

/// What the mesh's dashboards call these attributes.
const PROMOTED: [(&str, &str); 4] = [
    ("k8s.cluster.name", "cluster"),
    ("k8s.namespace.name", "namespace"),
    ("k8s.pod.name", "pod"),
    ("k8s.node.name", "node"),
];

impl Default for Settings {
    fn default() -> Self {
        let promoted = PROMOTED.map(|(attribute, label)| (attribute.to_owned(), label.to_owned()));
        Self {
            strategy: TranslationStrategy::default(),
            promoted: promoted.to_vec(),
            promotes_all: false,
            not_promoted: Vec::new(),
            target_info: true,
            keeps_identifying: false,
            promotes_scope: false,
            delta: DeltaPolicy::default(),
            envoy_profile: true,
            nesting_max: 16,
        }
    }
}

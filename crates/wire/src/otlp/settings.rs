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
    /// Adds `otel_scope_name` and `otel_scope_version` to every series of a scope that has a name.
    pub promotes_scope: bool,
    /// Gives Envoy's metrics the names and labels of its own Prometheus page. Envoy is known by
    /// `telemetry.sdk.name="envoy"`.
    pub envoy_profile: bool,
    /// Arrays and maps inside an attribute may be nested so deep; a deeper one is shown as `…`.
    pub nesting_max: usize,
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
            promotes_scope: false,
            envoy_profile: true,
            nesting_max: 16,
        }
    }
}

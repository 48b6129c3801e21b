//! Settings of pairs.

/// Which labels make a pair, and when its other replica takes over.
#[derive(Debug, Clone)]
pub struct Config {
    /// Whether pairs are looked for at all.
    pub enabled: bool,
    /// How long the elected replica has to be silent, in milliseconds.
    pub failover_ms: i64,
    /// Ways to name a pair; of several that a series has the first one counts.
    pub pairs: Vec<PairLabels>,
}

/// The labels by which senders say which pair they belong to, and which replica of it they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairLabels {
    /// Labels that are the same on both replicas. The first one has to be there; the others tell pairs apart when
    /// they are.
    pub group: Vec<String>,
    /// The label in which the replicas differ.
    pub replica: String,
}

impl PairLabels {
    /// The pair that these labels name.
    #[must_use]
    pub fn new(group: &[&str], replica: &str) -> Self {
        Self {
            group: group.iter().map(|name| (*name).to_owned()).collect(),
            replica: replica.to_owned(),
        }
    }

    /// What Prometheus Operator sets, hence kube-prometheus, and what Mimir and Cortex ask for. Clusters often
    /// have pairs of the same name, which only a `cluster` label tells apart.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        vec![
            Self::new(&["prometheus", "cluster"], "prometheus_replica"),
            Self::new(&["cluster"], "__replica__"),
        ]
    }
}

/// On, with a fail-over after 30 s.
impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            failover_ms: 30_000,
            pairs: PairLabels::defaults(),
        }
    }
}

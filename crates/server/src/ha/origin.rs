//! From which replica of which pair a series comes.

use super::PairLabels;

/// A pair of replicas.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PairName {
    /// The labels that name it.
    pub(crate) labels: Vec<(String, String)>,
    /// The label in which its replicas differ.
    pub(crate) replica_label: String,
    /// Which part of the targets it scrapes, as Prometheus Operator names its shards; empty for the first one.
    pub(crate) shard: String,
}

/// One replica of a pair.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) pair: PairName,
    pub(crate) replica: String,
}

/// The replica label of Prometheus Operator, whose values are names of pods.
const OPERATOR_REPLICA: &str = "prometheus_replica";

impl Origin {
    /// Where a series with these labels comes from; `None` if it does not come from a replica of a pair.
    pub(crate) fn of(labels: &[(&str, &str)], pairs: &[PairLabels]) -> Option<Self> {
        pairs.iter().find_map(|pair| Self::of_pair(labels, pair))
    }

    fn of_pair(labels: &[(&str, &str)], pair: &PairLabels) -> Option<Self> {
        let value_of = |name: &str| {
            let found = labels.iter().find(|(found, _)| *found == name);
            found.map(|(_, value)| *value).filter(|value| !value.is_empty())
        };
        let replica = value_of(&pair.replica)?;
        let first = pair.group.first()?;
        value_of(first)?;
        if pair.replica == OPERATOR_REPLICA && has_generated_name(replica) {
            return None;
        }
        let group = pair.group.iter();
        let labels = group.filter_map(|name| value_of(name).map(|value| (name.clone(), value.to_owned())));
        Some(Self {
            pair: PairName {
                labels: labels.collect(),
                replica_label: pair.replica.clone(),
                shard: shard(replica).to_owned(),
            },
            replica: replica.to_owned(),
        })
    }

    /// Bytes that stand for this origin and no other, and for no labels of remote write.
    pub(crate) fn key_bytes(&self) -> Vec<u8> {
        let mut bytes = b"\0ha".to_vec();
        let labels = self.pair.labels.iter();
        let texts = labels.flat_map(|(name, value)| [name, value]);
        for text in texts.chain([&self.pair.replica_label, &self.pair.shard, &self.replica]) {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes
    }
}

impl std::fmt::Display for PairName {
    /// `prometheus="monitoring/k8s"`, with `, shard 1` behind it if it is not the first shard.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, (name, value)) in self.labels.iter().enumerate() {
            let separator = if position > 0 { ", " } else { "" };
            write!(f, "{separator}{name}={value:?}")?;
        }
        if !self.shard.is_empty() {
            write!(f, ", shard {}", self.shard)?;
        }
        Ok(())
    }
}

/// The shard in a replica's name: `1` of `prometheus-k8s-shard-1-0`. Shards have the labels of one pair and scrape
/// different targets, so each is a pair of its own.
fn shard(replica: &str) -> &str {
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = || {
        let (rest, ordinal) = replica.rsplit_once('-')?;
        let (rest, shard) = rest.rsplit_once('-')?;
        (is_number(&ordinal) && is_number(&shard) && rest.ends_with("-shard")).then_some(shard)
    };
    parts().unwrap_or("")
}

/// True for names that Kubernetes makes up for the pods of a DaemonSet or a Deployment, such as
/// `prom-agent-k8s-x7k2p`: those agents scrape different nodes and are no replicas of each other.
fn has_generated_name(pod: &str) -> bool {
    const SUFFIX_BYTES: usize = 5;
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let suffix = pod.rsplit_once('-').map_or("", |(_, suffix)| suffix);
    suffix.len() == SUFFIX_BYTES
        && suffix.bytes().all(|byte| ALPHABET.contains(&byte))
        && !suffix.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(labels: &[(&str, &str)]) -> Option<(String, String)> {
        let origin = Origin::of(labels, &PairLabels::defaults())?;
        Some((origin.pair.to_string(), origin.replica))
    }

    fn operator(replica: &str) -> Option<(String, String)> {
        origin(&[("prometheus", "monitoring/k8s"), ("prometheus_replica", replica)])
    }

    #[test]
    fn replicas_are_known_by_the_labels_of_the_operator_and_of_mimir() {
        let expected = |pair: &str, replica: &str| Some((pair.to_owned(), replica.to_owned()));
        assert_eq!(
            operator("prometheus-k8s-0"),
            expected("prometheus=\"monitoring/k8s\"", "prometheus-k8s-0")
        );
        assert_eq!(operator("a"), expected("prometheus=\"monitoring/k8s\"", "a"));
        assert_eq!(
            origin(&[("__replica__", "r1"), ("cluster", "east"), ("job", "x")]),
            expected("cluster=\"east\"", "r1")
        );
    }

    #[test]
    fn clusters_and_shards_are_pairs_of_their_own() {
        let labels = [
            ("cluster", "east"),
            ("prometheus", "monitoring/k8s"),
            ("prometheus_replica", "prometheus-k8s-shard-12-1"),
        ];
        let (pair, _) = origin(&labels).unwrap();
        assert_eq!(pair, "prometheus=\"monitoring/k8s\", cluster=\"east\", shard 12");
        for replica in [
            "prometheus-k8s-1-0",
            "shard-1-0",
            "x-shard-1-",
            "x-shard-a-0",
            "x-shard-1",
        ] {
            assert_eq!(shard(replica), "", "{replica}");
        }
    }

    #[test]
    fn series_without_both_labels_belong_to_no_pair() {
        assert_eq!(origin(&[("prometheus", "monitoring/k8s")]), None);
        assert_eq!(origin(&[("prometheus_replica", "k8s-0")]), None);
        assert_eq!(
            origin(&[("prometheus", ""), ("prometheus_replica", "k8s-0")]),
            None
        );
        assert_eq!(origin(&[("cluster", "east"), ("__replica__", "")]), None);
        assert_eq!(origin(&[]), None);
    }

    #[test]
    fn agents_on_every_node_are_no_replicas() {
        assert_eq!(operator("prom-agent-k8s-x7k2p"), None);
        for replica in ["prom-agent-0", "prom-black", "prom-24689", "x7k2p"] {
            assert!(operator(replica).is_some(), "{replica}");
        }
        assert!(origin(&[("cluster", "c"), ("__replica__", "agent-x7k2p")]).is_some());
    }

    #[test]
    fn bytes_of_different_origins_differ() {
        let of = |labels: &[(&str, &str)]| Origin::of(labels, &PairLabels::defaults()).unwrap().key_bytes();
        let one = of(&[("cluster", "a"), ("__replica__", "bc")]);
        let two = of(&[("cluster", "ab"), ("__replica__", "c")]);
        assert_ne!(one, two);
        assert_eq!(one[0], 0);
    }
}

//! Labels with more values than are scanned without a thought.

use catalog::{Catalog, CatalogLimits, HashSecret};
use model::{Labels, MatchOp, Matcher};

const N_PODS: usize = 5_000;

/// Every pod one series; every tenth in zone b, the others in a; every third without a node.
fn pod_labels(pod: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", "up".to_owned()),
        ("pod", format!("pod-{pod}")),
        ("zone", if pod.is_multiple_of(10) { "b" } else { "a" }.to_owned()),
        (
            "node",
            if pod.is_multiple_of(3) {
                String::new()
            } else {
                format!("node-{pod}")
            },
        ),
    ])
    .unwrap()
}

fn matcher(op: MatchOp, name: &str, value: &str) -> Matcher {
    Matcher::new(op, name, value).unwrap()
}

fn check(catalog: &Catalog, n_pods: usize, matchers: &[Matcher]) {
    let expected = (0..n_pods).map(pod_labels).filter(|labels| {
        matchers
            .iter()
            .all(|matcher| matcher.matches(labels.get(matcher.name())))
    });
    let mut expected: Vec<Labels> = expected.collect();
    expected.sort();
    let expected: Vec<&str> = expected.iter().map(|labels| labels.get("pod")).collect();
    let selection = catalog.select(matchers);
    let column = catalog.label_column(&selection, "pod");
    let found: Vec<&str> = (0..selection.n_series())
        .map(|series_idx| column.value(series_idx))
        .collect();
    assert_eq!(found, expected, "{matchers:?}");
}

#[test]
fn large_dictionaries_are_matched_right_cold_warm_and_grown() {
    use MatchOp::{Equal, NotRegex, Regex};
    let mut lists = Vec::new();
    for op in [Regex, NotRegex] {
        for (name, pattern) in [
            ("pod", "pod-1.*"),
            ("pod", ".*7"),
            ("node", "node-2.*"),
            ("node", "(node-.*5)?"),
            ("node", ".+"),
            ("node", "none.*"),
        ] {
            let regex = matcher(op, name, pattern);
            // Few candidates left, half of them, and all.
            let few = [
                matcher(Regex, "pod", "pod-4999|pod-1|pod-15|pod-27|pod-1000"),
                regex.clone(),
            ];
            lists.push(few.to_vec());
            lists.push(vec![matcher(Equal, "zone", "b"), regex.clone()]);
            lists.push(vec![matcher(Equal, "zone", "a"), regex.clone()]);
            lists.push(vec![regex]);
        }
    }
    let mut catalog = Catalog::new(CatalogLimits::default(), HashSecret::from_seed(1));
    for (n_pods_before, n_pods) in [(0, N_PODS), (N_PODS, N_PODS + 2_000)] {
        for pod in n_pods_before..n_pods {
            catalog.register(&pod_labels(pod)).unwrap();
        }
        for _ in ["cold", "warm"] {
            for matchers in &lists {
                check(&catalog, n_pods, matchers);
            }
        }
    }
}

#[test]
fn rare_labels_do_not_cost_a_column_each() {
    let mut catalog = Catalog::new(CatalogLimits::default(), HashSecret::from_seed(1));
    let n_entities = 20_000;
    for entity in 0..n_entities {
        let rare = format!("annotation_{}", entity % 300);
        let pairs = [("__name__", "up"), ("id", &entity.to_string()), (&rare, "yes")];
        let labels = Labels::from_pairs(pairs).unwrap();
        catalog.register(&labels).unwrap();
    }
    // A full column for each of the 300 names would take 1,200 bytes per entity.
    let per_entity = catalog.heap_bytes() / n_entities;
    assert!(per_entity < 300, "{per_entity} bytes per entity");
    let selection = catalog.select(&[Matcher::equal("annotation_7", "yes")]);
    assert_eq!(selection.n_series(), n_entities.div_ceil(300));
    assert_eq!(catalog.label_names().len(), 302);
}

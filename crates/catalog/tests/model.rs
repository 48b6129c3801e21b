//! The catalog against a plain list of label sets, under random labels and matchers.

use std::collections::BTreeSet;

use catalog::{Catalog, CatalogLimits, CatalogSelection, Definition, HashSecret};
use model::{Labels, MatchOp, Matcher, SeriesRef};
use proptest::prelude::*;

const METRICS: [&str; 9] = [
    "x",
    "x_sum",
    "x_count",
    "x_bucket",
    "y",
    "y_bucket",
    "x_bucket_sum",
    "_sum",
    "x_sum_bucket",
];
const LABELS: [&str; 5] = ["a", "b", "c", "d", "le"];
const VALUES: [&str; 6] = ["", "1", "2", "10", "1.0", "n"];
const PATTERNS: [&str; 22] = [
    "",
    "1",
    "2",
    "n",
    "x",
    "x_bucket",
    "x_sum",
    "unknown",
    ".*",
    ".+",
    "1.*",
    "1|2",
    "1|",
    "[^1]*",
    ".*0",
    "x.*",
    "x_.*",
    "x|y_bucket",
    ".*_bucket",
    "x(_sum|_count)",
    "n?",
    ".*um",
];

fn empty_catalog(seed: u64) -> Catalog {
    Catalog::new(CatalogLimits::default(), HashSecret::from_seed(seed))
}

/// Label sets of several series; the numbers are positions in the lists above.
fn any_labels() -> impl Strategy<Value = Labels> {
    let values = proptest::collection::vec(0..VALUES.len(), LABELS.len());
    (0..METRICS.len(), values).prop_map(|(metric, values)| {
        let own = LABELS
            .iter()
            .zip(values)
            .map(|(name, value)| (*name, VALUES[value]));
        Labels::from_pairs(own.chain([("__name__", METRICS[metric])])).unwrap()
    })
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let names = ["__name__", "__name__", "le", "le", "a", "b", "c", "d", "unknown"];
    let ops = [
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ];
    (0..names.len(), 0..ops.len(), 0..PATTERNS.len())
        .prop_map(move |(name, op, value)| Matcher::new(ops[op], names[name], PATTERNS[value]).unwrap())
}

fn registered(population: &[Labels]) -> (Catalog, Vec<Definition>) {
    let mut catalog = empty_catalog(1);
    let mut definitions = Vec::new();
    for labels in population {
        assert_eq!(
            catalog.find(labels).is_some(),
            catalog_has(&definitions, &catalog, labels)
        );
        let first = catalog.register(labels).unwrap();
        definitions.extend(first.created);
        let again = catalog.register(labels).unwrap();
        assert_eq!((again.series, again.created.len()), (first.series, 0));
        assert_eq!(catalog.find(labels), Some(first.series));
        assert_eq!(catalog.series_labels(first.series).as_ref(), Some(labels));
    }
    (catalog, definitions)
}

fn catalog_has(definitions: &[Definition], catalog: &Catalog, labels: &Labels) -> bool {
    definitions.iter().any(|definition| match definition {
        Definition::Lane { stream, lane, .. } => {
            let series = SeriesRef {
                stream: *stream,
                lane: *lane,
            };
            catalog.series_labels(series).as_ref() == Some(labels)
        }
        _ => false,
    })
}

/// The series of a selection in its order, with the invariants of the order checked.
fn selected(catalog: &Catalog, selection: &CatalogSelection) -> Vec<Labels> {
    let mut series = Vec::new();
    let mut last_key = None;
    for (stream_idx, stream) in selection.streams().iter().enumerate() {
        assert_eq!(stream.first_series as usize, series.len());
        let lanes: Vec<_> = selection.lanes(stream_idx).iter().collect();
        assert_eq!(lanes.len(), stream.n_lanes as usize);
        assert!(!lanes.is_empty());
        for lane in lanes {
            series.push(
                catalog
                    .series_labels(SeriesRef {
                        stream: stream.stream,
                        lane,
                    })
                    .unwrap(),
            );
        }
        let first = &series[stream.first_series as usize];
        let name = model::SeriesName::split(first.metric_name(), first.get("le"));
        let key = Some((name.base.to_owned(), catalog.entity_labels(stream.entity)));
        assert!(last_key < key, "{last_key:?} {key:?}");
        last_key = key;
    }
    assert_eq!(selection.n_series(), series.len());
    series
}

fn check_columns(catalog: &Catalog, selection: &CatalogSelection, series: &[Labels]) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for name in ["__name__", "a", "b", "c", "d", "le", "unknown"] {
        let column = catalog.label_column(selection, name);
        assert_eq!(column.codes.len(), series.len());
        assert_eq!(&*column.values[0], "");
        let distinct: BTreeSet<_> = column.values.iter().collect();
        assert_eq!(distinct.len(), column.values.len(), "{name}: {:?}", column.values);
        let used: BTreeSet<u32> = column.codes.iter().copied().chain([0]).collect();
        assert_eq!(used.len(), column.values.len(), "{name}: every value occurs");
        for (series_idx, labels) in series.iter().enumerate() {
            assert_eq!(column.value(series_idx), labels.get(name), "{name} of {labels}");
            if !labels.get(name).is_empty() {
                names.insert(name);
            }
        }
    }
    let found = catalog.selected_label_names(selection);
    assert!(found.iter().map(|name| &**name).eq(names), "{found:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn selections_equal_a_filtered_list(
        population in proptest::collection::vec(any_labels(), 0..60),
        late in proptest::collection::vec(any_labels(), 0..10),
        matcher_lists in proptest::collection::vec(proptest::collection::vec(any_matcher(), 0..4), 1..6),
    ) {
        let (mut catalog, _) = registered(&population);
        let mut expected: BTreeSet<Labels> = population.into_iter().collect();
        // The second round meets caches that know a part of the dictionaries.
        for added in [vec![], late] {
            for labels in added {
                catalog.register(&labels).unwrap();
                expected.insert(labels);
            }
            for matchers in &matcher_lists {
                let selection = catalog.select(matchers);
                let series = selected(&catalog, &selection);
                let fits = |labels: &&Labels| matchers.iter().all(|m| m.matches(labels.get(m.name())));
                let wanted: BTreeSet<&Labels> = expected.iter().filter(fits).collect();
                prop_assert_eq!(series.iter().collect::<BTreeSet<_>>(), wanted, "{:?}", matchers);
                prop_assert_eq!(series.len(), expected.iter().filter(fits).count());
                check_columns(&catalog, &selection, &series);
            }
        }
        prop_assert_eq!(catalog.n_series(), expected.len());
    }

    #[test]
    fn a_selection_is_frozen(
        population in proptest::collection::vec(any_labels(), 0..40),
        late in proptest::collection::vec(any_labels(), 0..40),
        matchers in proptest::collection::vec(any_matcher(), 0..3),
    ) {
        let (mut catalog, _) = registered(&population);
        let selection = catalog.select(&matchers);
        let before = selected(&catalog, &selection);
        for labels in &late {
            catalog.register(labels).unwrap();
        }
        prop_assert_eq!(&selected(&catalog, &selection), &before);
        check_columns(&catalog, &selection, &before);
    }

    #[test]
    fn streams_can_be_left_out_of_a_selection(
        population in proptest::collection::vec(any_labels(), 0..40),
        matchers in proptest::collection::vec(any_matcher(), 0..3),
        refused in proptest::collection::btree_set(0u32..20, 0..10),
    ) {
        let (catalog, _) = registered(&population);
        let all = catalog.select(&matchers);
        let mut retained = all.clone();
        retained.retain(|stream| !refused.contains(&stream.stream.0));
        let kept_streams = all.streams().iter().filter(|stream| !refused.contains(&stream.stream.0));
        let expected: Vec<Labels> = kept_streams
            .flat_map(|stream| {
                let first = stream.first_series as usize;
                selected(&catalog, &all)[first..first + stream.n_lanes as usize].to_vec()
            })
            .collect();
        let series = selected(&catalog, &retained);
        prop_assert_eq!(&series, &expected);
        check_columns(&catalog, &retained, &series);
    }

    #[test]
    fn names_and_values_are_those_of_all_series(
        population in proptest::collection::vec(any_labels(), 0..40),
    ) {
        let (catalog, _) = registered(&population);
        let all = |get: &dyn Fn(&Labels) -> Vec<String>| -> Vec<String> {
            population.iter().flat_map(get).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let names = all(&|labels| labels.iter().map(|(name, _)| name.to_owned()).collect());
        prop_assert!(catalog.label_names().iter().map(|name| &**name).eq(names.iter().map(String::as_str)));
        for name in names.iter().map(String::as_str).chain(["unknown"]) {
            let values = all(&|labels| vec![labels.get(name).to_owned()]);
            let values = values.iter().filter(|value| !value.is_empty());
            let found = catalog.label_values(name);
            prop_assert!(found.iter().map(|value| &**value).eq(values.map(String::as_str)), "{} {:?}", name, found);
        }
        let n_series: usize = catalog.series_by_metric().map(|(_, n_series)| n_series).sum();
        prop_assert_eq!(n_series, catalog.statistics().n_series);
    }

    #[test]
    fn replaying_the_definitions_gives_an_equal_catalog(
        population in proptest::collection::vec(any_labels(), 0..60),
    ) {
        let (catalog, log) = registered(&population);
        let (mut replayed, mut copied) = (empty_catalog(2), empty_catalog(3));
        for definition in log.iter().chain(&log) {
            replayed.apply(definition).unwrap();
        }
        for definition in catalog.definitions() {
            copied.apply(&definition).unwrap();
        }
        let definitions: Vec<Definition> = catalog.definitions().collect();
        prop_assert_eq!(definitions.len(), log.len());
        for other in [&mut replayed, &mut copied] {
            prop_assert!(other.definitions().eq(definitions.iter().cloned()));
            for labels in &population {
                prop_assert_eq!(other.find(labels), catalog.find(labels));
                prop_assert!(other.register(labels).unwrap().created.is_empty());
            }
            let everything = |catalog: &Catalog| selected(catalog, &catalog.select(&[]));
            prop_assert_eq!(everything(other), everything(&catalog));
        }
    }

    #[test]
    fn a_damaged_log_never_breaks_the_catalog(
        population in proptest::collection::vec(any_labels(), 1..30),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..10),
    ) {
        let (_, mut log) = registered(&population);
        let n_definitions = log.len();
        for (from, to) in damage {
            log.swap(from.index(n_definitions), to.index(n_definitions));
        }
        let mut catalog = empty_catalog(1);
        for definition in &log {
            let before = catalog.definitions().count();
            let is_applied = catalog.apply(definition).is_ok();
            prop_assert_eq!(catalog.definitions().count() - before, usize::from(is_applied));
        }
        // Whatever was let in is whole: every series is found by its own labels, and copies are equal.
        let selection = catalog.select(&[]);
        let all = selected(&catalog, &selection);
        prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), catalog.n_series());
        for labels in &all {
            let found = catalog.find(labels).unwrap();
            prop_assert_eq!(catalog.series_labels(found), Some(labels.clone()));
        }
        let mut copy = empty_catalog(2);
        for definition in catalog.definitions() {
            copy.apply(&definition).unwrap();
        }
        prop_assert!(copy.definitions().eq(catalog.definitions()));
    }
}

//! What is refused, and that a refusal changes nothing.

use std::sync::Arc;

use catalog::{Catalog, CatalogError, CatalogLimits, Definition, HashSecret, LaneName};
use model::{EntityId, Labels, LaneIdx, Matcher, SeriesRef, StreamId};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn with_limits(limits: CatalogLimits) -> Catalog {
    Catalog::new(limits, HashSecret::from_seed(1))
}

fn entity(id: u32, pairs: &[(&str, &str)]) -> Definition {
    Definition::Entity {
        id: EntityId(id),
        labels: labels(pairs),
    }
}

fn stream(id: u32, entity: u32, base: &str) -> Definition {
    Definition::Stream {
        id: StreamId(id),
        entity: EntityId(entity),
        base: Arc::from(base),
    }
}

fn lane(stream: u32, lane: u16, name: LaneName) -> Definition {
    Definition::Lane {
        stream: StreamId(stream),
        lane: LaneIdx(lane),
        name,
    }
}

fn bucket(le: &str) -> LaneName {
    LaneName::Bucket(Arc::from(le))
}

/// Registers `refused` after `accepted` and expects `error`, with the catalog as it was.
fn check_refusal(
    limits: CatalogLimits,
    accepted: &[&[(&str, &str)]],
    refused: &[(&str, &str)],
    error: CatalogError,
) {
    let mut catalog = with_limits(limits);
    for pairs in accepted {
        catalog.register(&labels(pairs)).unwrap();
    }
    let before: Vec<Definition> = catalog.definitions().collect();
    assert_eq!(catalog.register(&labels(refused)), Err(error));
    assert!(catalog.definitions().eq(before));
    for pairs in accepted {
        assert!(
            catalog.register(&labels(pairs)).unwrap().created.is_empty(),
            "known series stay"
        );
    }
}

#[test]
fn a_histogram_shares_entity_and_stream() {
    let mut catalog = with_limits(CatalogLimits::default());
    let mut register = |pairs: &[(&str, &str)]| catalog.register(&labels(pairs)).unwrap();
    let first = register(&[("__name__", "x_bucket"), ("le", "1.0"), ("pod", "p")]);
    let expected = [
        entity(0, &[("pod", "p")]),
        stream(0, 0, "x"),
        lane(0, 0, bucket("1.0")),
    ];
    assert_eq!(first.created, expected);
    assert_eq!(
        register(&[("__name__", "x_bucket"), ("le", "1"), ("pod", "p")]).created,
        [lane(0, 1, bucket("1"))]
    );
    assert_eq!(
        register(&[("__name__", "x_count"), ("pod", "p")]).created,
        [lane(0, 2, LaneName::Count)]
    );
    // Without buckets' right to it, `le` is a label like any other.
    assert_eq!(
        register(&[("__name__", "x_count"), ("le", "1"), ("pod", "p")])
            .created
            .len(),
        3
    );
    assert_eq!(catalog.statistics().n_entities, 2);
    assert_eq!(catalog.statistics().n_streams, 2);
    assert_eq!(catalog.statistics().n_label_pairs, 5, "pod=p, two le, two names");
}

#[test]
fn label_sets_of_equal_concatenated_text_are_different_entities() {
    let mut catalog = with_limits(CatalogLimits::default());
    let alike: [&[(&str, &str)]; 4] = [
        &[("a", "bcd"), ("__name__", "x")],
        &[("ab", "cd"), ("__name__", "x")],
        &[("a", "b"), ("c", "d"), ("__name__", "x")],
        &[("abcd", "x"), ("__name__", "x")],
    ];
    for pairs in alike {
        assert_eq!(
            catalog.register(&labels(pairs)).unwrap().created.len(),
            3,
            "{pairs:?}"
        );
    }
}

#[test]
fn series_without_a_metric_name_are_refused() {
    check_refusal(
        CatalogLimits::default(),
        &[],
        &[("a", "1")],
        CatalogError::MissingMetricName,
    );
}

#[test]
fn limits_on_labels_are_kept() {
    let limits = CatalogLimits {
        labels_per_series_max: 2,
        label_name_bytes_max: 8,
        label_value_bytes_max: 4,
        ..CatalogLimits::default()
    };
    let check = |refused: &[(&str, &str)], error| {
        check_refusal(
            limits.clone(),
            &[&[("__name__", "x"), ("a", "1234")]],
            refused,
            error,
        );
    };
    check(
        &[("__name__", "x"), ("a", "1"), ("b", "1")],
        CatalogError::TooManyLabels { actual: 3, limit: 2 },
    );
    check(
        &[("__name__", "x"), ("nine_long", "1")],
        CatalogError::LabelNameTooLong {
            start: "nine_long".into(),
            actual: 9,
            limit: 8,
        },
    );
    check(
        &[("__name__", "x"), ("a", "12345")],
        CatalogError::LabelValueTooLong {
            name: "a".into(),
            actual: 5,
            limit: 4,
        },
    );
    check(
        &[("__name__", "xxxxx")],
        CatalogError::LabelValueTooLong {
            name: "__name__".into(),
            actual: 5,
            limit: 4,
        },
    );
}

#[test]
fn limits_on_numbers_are_kept() {
    let one: &[(&str, &str)] = &[("__name__", "x_bucket"), ("le", "1"), ("a", "1")];
    let limits = CatalogLimits {
        entities_max: 1,
        ..CatalogLimits::default()
    };
    let error = CatalogError::TooManyEntities { limit: 1 };
    check_refusal(limits, &[one], &[("__name__", "x"), ("a", "2")], error);

    let limits = CatalogLimits {
        streams_max: 1,
        ..CatalogLimits::default()
    };
    let error = CatalogError::TooManyStreams { limit: 1 };
    check_refusal(
        limits.clone(),
        &[one],
        &[("__name__", "y"), ("a", "1")],
        error.clone(),
    );
    check_refusal(limits, &[one], &[("__name__", "x"), ("a", "2")], error);

    let limits = CatalogLimits {
        lanes_per_stream_max: 1,
        ..CatalogLimits::default()
    };
    let error = CatalogError::TooManyLanes {
        base: "x".into(),
        limit: 1,
    };
    check_refusal(
        limits,
        &[one],
        &[("__name__", "x_bucket"), ("le", "2"), ("a", "1")],
        error,
    );
}

#[test]
fn stored_definitions_are_applied_beyond_the_limits() {
    let mut catalog = with_limits(CatalogLimits {
        entities_max: 0,
        streams_max: 0,
        lanes_per_stream_max: 0,
        labels_per_series_max: 0,
        ..CatalogLimits::default()
    });
    for definition in [
        entity(0, &[("a", "1")]),
        stream(0, 0, "x"),
        lane(0, 0, LaneName::Value),
    ] {
        catalog.apply(&definition).unwrap();
    }
    let expected = labels(&[("__name__", "x"), ("a", "1")]);
    let series = SeriesRef {
        stream: StreamId(0),
        lane: LaneIdx(0),
    };
    assert_eq!(catalog.series_labels(series), Some(expected));
}

#[test]
fn damaged_definitions_are_refused_and_change_nothing() {
    let log = [
        entity(0, &[("a", "1")]),
        entity(1, &[("le", "5")]),
        stream(0, 0, "x"),
        stream(1, 1, "x"),
        lane(0, 0, bucket("1")),
        lane(0, 1, LaneName::Sum),
    ];
    let contradiction = |kind, id| CatalogError::Contradiction { kind, id };
    let out_of_order = |kind, id, expected| CatalogError::OutOfOrder { kind, id, expected };
    let undefined = |kind, id| CatalogError::Undefined { kind, id };
    let no_name = "no series has this name and le";
    let impossible = |kind, id, reason| CatalogError::Impossible { kind, id, reason };
    let cases = [
        (entity(0, &[("a", "2")]), contradiction("entity", 0)),
        (entity(2, &[("a", "1")]), contradiction("entity", 2)),
        (entity(1 << 25, &[("a", "3")]), out_of_order("entity", 1 << 25, 2)),
        (
            entity(2, &[("__name__", "x")]),
            impossible("entity", 2, "its labels hold a metric name"),
        ),
        (stream(0, 0, "y"), contradiction("stream", 0)),
        (stream(0, 1, "x"), contradiction("stream", 0)),
        (stream(2, 0, "x"), contradiction("stream", 2)),
        (stream(1 << 25, 0, "y"), out_of_order("stream", 1 << 25, 2)),
        (stream(2, 2, "y"), undefined("entity", 2)),
        (
            stream(2, 0, ""),
            impossible("stream", 2, "its metric name is empty"),
        ),
        (lane(0, 1, LaneName::Count), contradiction("lane", 1)),
        (lane(0, 2, LaneName::Sum), contradiction("lane", 2)),
        (lane(0, 3, LaneName::Count), out_of_order("lane", 3, 2)),
        (lane(2, 0, LaneName::Count), undefined("stream", 2)),
        (lane(0, 2, bucket("")), impossible("lane", 2, no_name)),
        (lane(1, 0, bucket("1")), impossible("lane", 0, no_name)),
    ];
    for (damaged, error) in cases {
        let mut catalog = with_limits(CatalogLimits::default());
        for definition in &log {
            catalog.apply(definition).unwrap();
        }
        let before: Vec<Definition> = catalog.definitions().collect();
        assert_eq!(catalog.apply(&damaged), Err(error), "{damaged:?}");
        assert!(catalog.definitions().eq(before), "{damaged:?}");
    }
}

#[test]
fn what_is_let_go_leaves_nothing_and_its_ids_come_back_when_they_may() {
    let mut catalog = with_limits(CatalogLimits::default());
    let series: Vec<Labels> = (0..60)
        .map(|n| labels(&[("__name__", "x"), ("pod", &format!("pod-{n}")), ("zone", "a")]))
        .collect();
    let refs: Vec<SeriesRef> = series
        .iter()
        .map(|labels| catalog.register(labels).unwrap().series)
        .collect();
    let kept = catalog.retained(|stream| stream.0 % 3 == 0, |_| false);
    assert_eq!(kept.n_series(), 20);
    assert_eq!(kept.label_values("pod").len(), 20);
    for (labels, series) in series.iter().zip(&refs) {
        let is_kept = series.stream.0 % 3 == 0;
        assert_eq!(kept.find(labels), is_kept.then_some(*series));
        assert_eq!(kept.series_labels(*series), is_kept.then(|| labels.clone()));
    }
    assert_eq!(kept.select(&[Matcher::equal("zone", "a")]).n_series(), 20);
    assert_eq!(
        catalog.find(&series[1]),
        Some(refs[1]),
        "the old one is as it was"
    );

    // What a restart makes of it is the same.
    let mut again = with_limits(CatalogLimits::default());
    for definition in kept.definitions() {
        again.apply(&definition).unwrap();
    }
    assert!(again.definitions().eq(kept.definitions()));

    let mut kept = kept;
    let new = kept.register(&series[1]).unwrap().series;
    assert_eq!(new.stream.0, 60, "a new id: the old one may still be remembered");
    let (entities, streams) = kept.vacant_ids();
    assert_eq!((entities.len(), streams.len()), (40, 40));
    kept.reuse_ids(entities, streams);
    for labels in &series {
        let series = kept.register(labels).unwrap().series;
        assert_eq!(kept.series_labels(series).as_ref(), Some(labels));
    }
    assert_eq!(
        (kept.n_stream_ids(), kept.n_entity_ids(), kept.n_series()),
        (61, 61, 60)
    );
    assert_eq!(kept.select(&[Matcher::equal("zone", "a")]).n_series(), 60);
    assert_eq!(kept.select(&[Matcher::equal("pod", "pod-7")]).n_series(), 1);
}

#[test]
fn a_value_lane_whose_name_would_split_is_refused() {
    let mut catalog = with_limits(CatalogLimits::default());
    catalog.apply(&entity(0, &[])).unwrap();
    catalog.apply(&stream(0, 0, "x_sum")).unwrap();
    assert!(catalog.apply(&lane(0, 0, LaneName::Value)).is_err());
    assert!(
        catalog.apply(&lane(0, 0, LaneName::Sum)).is_ok(),
        "x_sum_sum is a name"
    );
}

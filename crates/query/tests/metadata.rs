//! Series, labels, label values and newest samples.

mod support;

use std::sync::Arc;

use model::{Labels, Matcher, TimeRange, stale_nan};
use query::{Engine, EngineOptions, LabelSets};
use support::memory::MemorySource;

fn engine() -> Engine {
    let mut source = MemorySource::default();
    let mut add = |pairs: &[(&str, &str)], samples: &[(i64, f64)]| {
        source.add(
            &Labels::from_pairs(pairs.iter().copied()).unwrap(),
            samples.iter().copied(),
        );
    };
    add(&[("__name__", "up"), ("job", "b")], &[(0, 1.0), (60_000, 0.0)]);
    add(
        &[("__name__", "up"), ("job", "a"), ("zone", "z")],
        &[(0, 1.0), (50_000, 1.0)],
    );
    add(&[("__name__", "down"), ("job", "b")], &[(10_000, 7.0)]);
    add(
        &[("__name__", "gone"), ("job", "b")],
        &[(10_000, 7.0), (20_000, stale_nan())],
    );
    add(
        &[("__name__", "x_bucket"), ("job", "c"), ("le", "1")],
        &[(10_000, 3.0)],
    );
    add(
        &[("__name__", "x_bucket"), ("job", "c"), ("le", "+Inf")],
        &[(10_000, 4.0)],
    );
    Engine::new(Arc::new(source), EngineOptions::default()).unwrap()
}

fn selectors(texts: &[&str]) -> Vec<Vec<Matcher>> {
    texts
        .iter()
        .map(|text| promql::parse_selector(text).unwrap())
        .collect()
}

fn texts(sets: &LabelSets) -> Vec<String> {
    let text = |idx| Labels::from_pairs(sets.labels(idx)).unwrap().to_string();
    let mut texts: Vec<String> = (0..sets.n_series()).map(text).collect();
    texts.sort();
    texts
}

const UP_TO_MINUTE: TimeRange = TimeRange {
    start_ms: -1,
    end_ms: 60_000,
};

#[tokio::test]
async fn series_of_several_selectors_come_once() {
    let engine = engine();
    let check = async |asked: &[&str], range: TimeRange, limit: Option<usize>| {
        texts(&engine.series(selectors(asked), range, limit).await.unwrap())
    };
    assert_eq!(
        check(&["up", "{job=\"b\"}"], UP_TO_MINUTE, None).await,
        [
            "down{job=\"b\"}",
            "gone{job=\"b\"}",
            "up{job=\"a\", zone=\"z\"}",
            "up{job=\"b\"}"
        ]
    );
    assert_eq!(check(&["nosuch"], UP_TO_MINUTE, None).await, [""; 0]);
    assert_eq!(
        check(&["up", "{job=\"b\"}"], UP_TO_MINUTE, Some(2)).await.len(),
        2
    );
    let late = TimeRange {
        start_ms: 55_000,
        end_ms: 60_000,
    };
    assert_eq!(check(&["up"], late, None).await, ["up{job=\"b\"}"]);
    assert_eq!(
        check(&["x_bucket{le=\"1\"}"], UP_TO_MINUTE, None).await,
        ["x_bucket{job=\"c\", le=\"1\"}"]
    );
}

#[tokio::test]
async fn label_names_and_values_are_sorted_and_only_of_what_is_selected() {
    let engine = engine();
    let names = engine
        .label_names(selectors(&["up"]), UP_TO_MINUTE)
        .await
        .unwrap();
    assert_eq!(
        names.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["__name__", "job", "zone"]
    );
    let all = engine.label_names(Vec::new(), UP_TO_MINUTE).await.unwrap();
    assert_eq!(
        all.iter().map(|name| &**name).collect::<Vec<_>>(),
        ["__name__", "job", "le", "zone"]
    );

    let check = async |name: &str, asked: &[&str], expected: &[&str]| {
        let values = engine
            .label_values(name.to_owned(), selectors(asked), UP_TO_MINUTE)
            .await
            .unwrap();
        assert_eq!(
            values.iter().map(|value| &**value).collect::<Vec<_>>(),
            expected,
            "{name} {asked:?}"
        );
    };
    check("job", &["up", "down"], &["a", "b"]).await;
    check("job", &[], &["a", "b", "c"]).await;
    check("zone", &["down"], &[]).await;
    check("le", &["{job=\"c\"}"], &["+Inf", "1"]).await;
    check("__name__", &["{job=\"b\"}"], &["down", "gone", "up"]).await;
}

#[tokio::test]
async fn newest_samples_keep_their_time_and_leave_stale_series_out() {
    let engine = engine();
    let asked = selectors(&["{job=~\"a|b\"}", "up"]);
    let newest = engine.newest(asked, UP_TO_MINUTE).await.unwrap();
    let found: Vec<_> = (0..newest.n_series())
        .map(|idx| {
            (
                Labels::from_pairs(newest.labels(idx)).unwrap().to_string(),
                newest.sample(idx),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("down{job=\"b\"}".to_owned(), (10_000, 7.0)),
            ("up{job=\"a\", zone=\"z\"}".to_owned(), (50_000, 1.0)),
            ("up{job=\"b\"}".to_owned(), (60_000, 0.0)),
        ]
    );
    assert_eq!(
        engine.newest(Vec::new(), UP_TO_MINUTE).await.unwrap().n_series(),
        0
    );
}

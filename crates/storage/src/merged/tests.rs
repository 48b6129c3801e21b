//! Parts merged are what a map of all their samples is.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::HashSecret;
use model::histogram::CounterResetHint;
use model::{Labels, MatchOp, Matcher, TimeRange};
use proptest::prelude::*;

use super::{Part, merge, merge_texts};
use crate::Selection;
use crate::block::testing::{
    Content, LaneSamples, all_of_selection, any_content, labels, series_labels, write,
};
use crate::block::{BlockSource, PageCache};

fn part(content: &Content, matchers: &[Matcher], range: TimeRange) -> Option<Part> {
    let block = write(content)?.open();
    let catalog = Arc::new(block.load_catalog().unwrap());
    let source = BlockSource::new(block, catalog, Arc::new(PageCache::new(1 << 20)));
    Some(source.select_part(matchers, range, &HashSecret::from_seed(1)))
}

fn merged(contents: &[Content], matchers: &[Matcher], range: TimeRange) -> Option<Arc<dyn Selection>> {
    let parts: Vec<Part> = contents
        .iter()
        .filter_map(|content| part(content, matchers, range))
        .collect();
    (!parts.is_empty()).then(|| merge(parts))
}

/// All samples of all contents; the first one that has a sample is right.
fn expected(contents: &[Content], matchers: &[Matcher], range: TimeRange) -> BTreeMap<Labels, LaneSamples> {
    let mut all = BTreeMap::<Labels, LaneSamples>::new();
    for ((base, entity), lanes) in contents.iter().flatten() {
        for (lane, samples) in lanes {
            let labels = series_labels(base, entity, lane);
            let is_picked = matchers
                .iter()
                .all(|matcher| matcher.matches(labels.get(matcher.name())));
            let within = samples
                .iter()
                .filter(|(timestamp_ms, _)| range.contains(**timestamp_ms));
            for (timestamp_ms, sample) in within.filter(|_| is_picked) {
                let series = all.entry(labels.clone()).or_default();
                series.entry(*timestamp_ms).or_insert(*sample);
            }
        }
    }
    all
}

fn check(contents: &[Content], matchers: &[Matcher], range: TimeRange) {
    let mut found = merged(contents, matchers, range)
        .map_or_else(BTreeMap::new, |selection| all_of_selection(&*selection, range));
    found.retain(|_, samples| !samples.is_empty());
    assert_eq!(found, expected(contents, matchers, range));
}

/// The labels of all series in their order.
fn order(selection: &dyn Selection) -> Vec<Labels> {
    let names = selection.label_names();
    let columns: Vec<_> = names
        .iter()
        .map(|name| (name, selection.label_column(name)))
        .collect();
    let labels_of = |series_idx: usize| {
        Labels::from_pairs(
            columns
                .iter()
                .map(|(name, column)| (&***name, column.value(series_idx))),
        )
        .unwrap()
    };
    (0..selection.n_series()).map(labels_of).collect()
}

fn shifted(content: &Content, ms: i64) -> Content {
    let mut content = content.clone();
    for samples in content.values_mut().flat_map(BTreeMap::values_mut) {
        *samples = samples
            .iter()
            .map(|(timestamp_ms, sample)| (timestamp_ms + ms, *sample))
            .collect();
    }
    content
}

#[test]
fn the_order_does_not_depend_on_the_parts() {
    let sample = LaneSamples::from([(1, (0, 0, 0))]);
    let stream = |base: &str, job: &str, les: &[&str]| {
        let lanes = les
            .iter()
            .map(|le| (("_bucket", (*le).to_owned()), sample.clone()));
        (
            (base.to_owned(), labels(&[("job", job)])),
            lanes.collect::<BTreeMap<_, _>>(),
        )
    };
    let whole = Content::from([
        stream("x", "a", &["1", "2", "10"]),
        stream("x", "b", &["1"]),
        stream("y", "a", &["1"]),
    ]);
    let one = Content::from([stream("x", "b", &["1"]), stream("x", "a", &["2"])]);
    let other = Content::from([stream("y", "a", &["1"]), stream("x", "a", &["10", "1"])]);
    let expected = order(&*merged(&[whole], &[], TimeRange::ALL).unwrap());
    assert_eq!(expected.len(), 5);
    assert_eq!(
        order(&*merged(&[one.clone(), other.clone()], &[], TimeRange::ALL).unwrap()),
        expected
    );
    assert_eq!(
        order(&*merged(&[other, one], &[], TimeRange::ALL).unwrap()),
        expected
    );
}

#[test]
fn a_part_with_all_there_is_answers_alone() {
    let sample = LaneSamples::from([(1, (0, 0, 0))]);
    let content = Content::from([(
        ("up".to_owned(), labels(&[])),
        [(("", String::new()), sample)].into(),
    )]);
    let matcher = [Matcher::equal("__name__", "up")];
    let selection = merged(
        &[Content::new(), content.clone(), shifted(&content, 5)],
        &matcher,
        TimeRange {
            start_ms: 3,
            end_ms: 9,
        },
    );
    assert!(!format!("{:?}", selection.unwrap()).starts_with("Merged"));
    let none = merged(
        &[content.clone(), content],
        &[Matcher::equal("__name__", "down")],
        TimeRange::ALL,
    )
    .unwrap();
    assert_eq!((none.n_series(), none.streams().len()), (0, 0));
}

#[test]
fn a_histogram_continues_none_of_another_part() {
    // Number 2 continues the one before it.
    let content = |times: &[i64]| {
        let samples: LaneSamples = times.iter().map(|at| (*at, (0, 0, 2))).collect();
        Content::from([(
            ("h".to_owned(), labels(&[])),
            [(("", String::new()), samples)].into(),
        )])
    };
    let continuing = |contents: &[Content]| {
        let selection = merged(contents, &[], TimeRange::ALL).unwrap();
        let mut buffer = crate::StreamBuffer::default();
        selection.read(0, TimeRange::ALL, &mut buffer).unwrap();
        let histograms = buffer.lanes()[0].histograms.iter();
        let continuing =
            histograms.filter(|(_, histogram)| histogram.counter_reset_hint == CounterResetHint::NotReset);
        continuing
            .map(|(row, _)| buffer.timestamps_ms[*row as usize])
            .collect::<Vec<i64>>()
    };
    let (first, second) = (content(&[10, 30, 40, 50]), content(&[20, 40, 60, 70]));
    assert_eq!(continuing(&[first.clone(), second.clone()]), [10, 40, 50, 70]);
    let (before, after) = (content(&[1, 2]), content(&[80, 90]));
    assert_eq!(
        continuing(&[after, first, before, second]),
        [1, 2, 40, 50, 70, 90]
    );
}

#[test]
fn names_are_sorted_and_stand_once() {
    let list = |names: &[&str]| {
        names
            .iter()
            .map(|name| Arc::from(*name))
            .collect::<Vec<Arc<str>>>()
    };
    assert_eq!(
        merge_texts([list(&["a", "c"]), list(&[]), list(&["b", "c"])]),
        list(&["a", "b", "c"])
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_parts_are_joined(
        contents in proptest::collection::vec((any_content(), 0..3_i64), 1..4),
        start_ms in -1..150_i64,
        len in 0..150_i64,
        job in "[xyz]{0,2}",
    ) {
        // Some parts lie in a row, some upon another.
        let contents: Vec<Content> = contents.iter().map(|(content, place)| shifted(content, place * 60)).collect();
        check(&contents, &[], TimeRange::ALL);
        check(&contents, &[], TimeRange { start_ms, end_ms: start_ms + len });
        let matcher = Matcher::new(MatchOp::NotRegex, "a", format!("[{job}w]")).unwrap();
        check(&contents, &[matcher], TimeRange { start_ms, end_ms: 1_000 });
    }
}

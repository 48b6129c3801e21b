//! Selections are in the same order whatever came first.

use catalog::{Catalog, CatalogLimits, CatalogSelection, HashSecret};
use model::{BUCKET_LABEL, Labels, METRIC_NAME, SeriesName, SeriesRef};
use proptest::prelude::*;

fn series_in_order(catalog: &Catalog, selection: &CatalogSelection) -> Vec<Labels> {
    let mut series = Vec::new();
    for (stream_idx, stream) in selection.streams().iter().enumerate() {
        assert_eq!(stream.first_series as usize, series.len());
        for lane in selection.lanes(stream_idx).iter() {
            let stream = stream.stream;
            series.push(catalog.series_labels(SeriesRef { stream, lane }).unwrap());
        }
    }
    series
}

/// What series are sorted by: base metric name, labels of the entity, lane.
fn compare(a: &Labels, b: &Labels) -> std::cmp::Ordering {
    let name = |labels: &Labels| {
        let (name, le) = (
            labels.metric_name().to_owned(),
            labels.get(BUCKET_LABEL).to_owned(),
        );
        (name, le)
    };
    let ((a_name, a_le), (b_name, b_le)) = (name(a), name(b));
    let (a_split, b_split) = (
        SeriesName::split(&a_name, &a_le),
        SeriesName::split(&b_name, &b_le),
    );
    let entity = |labels: &Labels, split: SeriesName<'_>| {
        let own = labels
            .iter()
            .filter(|(name, _)| *name != METRIC_NAME && !(*name == BUCKET_LABEL && split.takes_le()));
        Labels::from_pairs(own).unwrap()
    };
    a_split
        .base
        .cmp(b_split.base)
        .then_with(|| entity(a, a_split).cmp(&entity(b, b_split)))
        .then_with(|| a_split.lane.compare(&b_split.lane))
}

fn any_labels() -> impl Strategy<Value = Labels> {
    let name = prop_oneof!["[xy]", "[xy]_(sum|count)", Just("x_bucket".to_owned())];
    let le = prop_oneof![
        Just(String::new()),
        "[019]",
        Just("1.0".to_owned()),
        Just("+Inf".to_owned())
    ];
    let label = prop_oneof![2 => Just(String::new()), 3 => "[ab]{1,2}"];
    (name, le, label.clone(), label.clone(), label).prop_map(|(name, le, a, b, z)| {
        Labels::from_pairs([(METRIC_NAME, name), ("le", le), ("a", a), ("b", b), ("z", z)]).unwrap()
    })
}

proptest! {
    #[test]
    fn series_come_by_metric_labels_and_lane_whenever_they_were_registered(
        series in proptest::collection::vec(any_labels(), 1..60),
        looks in proptest::collection::vec(any::<bool>(), 60),
    ) {
        let mut catalog = Catalog::new(CatalogLimits::default(), HashSecret::from_seed(1));
        let mut expected: Vec<Labels> = Vec::new();
        for (labels, is_look) in series.iter().zip(looks) {
            catalog.register(labels).unwrap();
            if !expected.contains(labels) {
                expected.push(labels.clone());
            }
            if is_look {
                expected.sort_by(compare);
                prop_assert_eq!(&series_in_order(&catalog, &catalog.select(&[])), &expected);
            }
        }
        expected.sort_by(compare);
        prop_assert_eq!(&series_in_order(&catalog, &catalog.select(&[])), &expected);
        let kept = catalog.retained(|_| true, |_| false);
        prop_assert_eq!(&series_in_order(&kept, &kept.select(&[])), &expected);
        let selection = kept.select(&[]);
        let streams: Vec<_> = selection.streams().iter().map(|stream| stream.stream).collect();
        prop_assert_eq!(kept.streams_in_order(), streams);
    }
}

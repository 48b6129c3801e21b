//! Exemplars through log, ring and restarts.

use model::Matcher;

use super::*;
use crate::{Exemplar, ExemplarLabels};

const LATENCY: &[(&str, &str)] = &[("__name__", "latency_bucket"), ("job", "mesh"), ("le", "0.5")];

pub(super) fn exemplar(series: SeriesRef, timestamp_ms: i64, value: f64) -> Exemplar {
    let trace = format!("{timestamp_ms:032x}");
    Exemplar {
        series,
        timestamp_ms,
        value,
        labels: ExemplarLabels::from_pairs([("trace_id", trace.as_str())]).unwrap(),
    }
}

pub(super) fn send_with(
    store: &Store,
    batch: SampleBatch,
    exemplars: Vec<Exemplar>,
) -> mpsc::Receiver<Result<AppendOutcome, Error>> {
    let (sender, receiver) = mpsc::channel();
    let answered = sender.clone();
    let done = Box::new(move |outcome| drop(answered.send(outcome)));
    if let Err(error) = store.append_with(Arc::new(batch), exemplars, done) {
        sender.send(Err(error)).unwrap();
    }
    receiver
}

/// All there are: labels → times.
pub(super) fn times(store: &Store) -> BTreeMap<String, Vec<i64>> {
    let all = store.exemplars(&[vec![]], i64::MIN, i64::MAX);
    let of_series = |series: crate::SeriesExemplars| {
        let times = series.exemplars.iter().map(|exemplar| {
            let expected = format!("{:032x}", exemplar.timestamp_ms);
            assert_eq!(
                exemplar.labels.iter().collect::<Vec<_>>(),
                [("trace_id", &*expected)]
            );
            exemplar.timestamp_ms
        });
        (series.labels.to_string(), times.collect())
    };
    all.into_iter().map(of_series).collect()
}

fn flush(store: &Store) {
    let (sender, receiver) = mpsc::channel();
    store
        .flush(Box::new(move |flushed| sender.send(flushed).unwrap()))
        .unwrap();
    receiver.recv().unwrap().unwrap();
}

#[test]
fn some_lanes_of_a_stream_are_picked_in_whatever_order_they_came() {
    let world = World::new(1);
    let (store, _) = world.open();
    for le in ["10", "2", "+Inf", "0.5", "5"] {
        let pairs = [("__name__", "latency_bucket"), ("job", "mesh"), ("le", le)];
        let series = register(&store, &pairs);
        let one = vec![exemplar(series, 5, 0.1)];
        send_with(&store, batch(&[(series, NOW_MS, 1.0)]), one)
            .recv()
            .unwrap()
            .unwrap();
    }
    let some = Matcher::new(model::MatchOp::Regex, "le", "2|5|10").unwrap();
    let picked = store.exemplars(&[vec![some]], i64::MIN, i64::MAX);
    let picked: Vec<&str> = picked.iter().map(|series| series.labels.get("le")).collect();
    assert_eq!(picked, ["10", "2", "5"]);
}

#[test]
fn exemplars_are_there_after_a_restart_and_obey_their_order() {
    let world = World::new(1);
    let (store, _) = world.open();
    let (up, latency) = (register(&store, UP), register(&store, LATENCY));
    let first = vec![
        exemplar(latency, 5, 0.1),
        exemplar(latency, 5, 0.1),
        exemplar(latency, 4, 9.0),
    ];
    let samples = || batch(&[(up, NOW_MS, 1.0), (latency, NOW_MS, 1.0)]);
    let outcome = send_with(&store, samples(), first).recv().unwrap().unwrap();
    assert_eq!((outcome.written, outcome.exemplars.written), (2, 2));
    assert_eq!(outcome.exemplars.out_of_order, [(latency, 4)]);
    let alone = vec![exemplar(latency, 7, 0.2), exemplar(up, 1, 0.2)];
    let outcome = send_with(&store, SampleBatch::default(), alone)
        .recv()
        .unwrap()
        .unwrap();
    assert_eq!(outcome.exemplars.written, 2);

    let name_of = |pairs| labels(pairs).to_string();
    let expected = BTreeMap::from([(name_of(LATENCY), vec![5, 7]), (name_of(UP), vec![1])]);
    assert_eq!(times(&store), expected);
    world.files.crash();
    let (store, report) = world.open();
    assert_eq!((report.torn, report.damaged), (None, vec![]));
    assert_eq!(times(&store), expected);
    let latency = register(&store, LATENCY);
    let late = vec![exemplar(latency, 6, 0.2), exemplar(latency, 7, 0.2)];
    let outcome = send_with(&store, SampleBatch::default(), late)
        .recv()
        .unwrap()
        .unwrap();
    assert_eq!(outcome.exemplars.written, 1, "the newest one may come again");
    assert_eq!(outcome.exemplars.out_of_order.len(), 1);
}

#[test]
fn selectors_and_times_pick_exemplars_and_series_are_sorted() {
    let world = World::new(1);
    let (store, _) = world.open();
    let series = ["c", "a", "b"].map(|pod| register(&store, &[("__name__", "x"), ("pod", pod)]));
    let samples: Vec<_> = series.iter().map(|series| (*series, NOW_MS, 1.0)).collect();
    append(&store, &samples).unwrap();
    let all = series
        .iter()
        .flat_map(|series| (0..4).map(|at| exemplar(*series, at, 1.0)))
        .collect();
    send_with(&store, SampleBatch::default(), all)
        .recv()
        .unwrap()
        .unwrap();
    let check = |selectors: &[Vec<Matcher>], range: (i64, i64), expected: &[(&str, usize)]| {
        let found = store.exemplars(selectors, range.0, range.1);
        let found: Vec<(&str, usize)> = found
            .iter()
            .map(|series| (series.labels.get("pod"), series.exemplars.len()))
            .collect();
        assert_eq!(found, expected);
    };
    let x = || Matcher::equal("__name__", "x");
    check(&[vec![x()]], (0, 9), &[("a", 4), ("b", 4), ("c", 4)]);
    check(&[vec![x()], vec![x()]], (1, 2), &[("a", 2), ("b", 2), ("c", 2)]);
    check(&[vec![x(), Matcher::equal("pod", "b")]], (3, 3), &[("b", 1)]);
    check(&[vec![Matcher::equal("__name__", "y")]], (0, 9), &[]);
    check(&[vec![x()]], (4, 9), &[]);
}

#[test]
fn exemplars_outlive_the_samples_of_their_series_and_the_segments_that_held_them() {
    let mut world = World::new(1);
    world.config.segment_bytes = 1;
    let (mut store, _) = world.open();
    let gone: Vec<(String, String)> = (0..50)
        .map(|pod| ("pod".to_owned(), format!("gone-{pod}")))
        .collect();
    let mut expected = BTreeMap::new();
    for (label, pod) in &gone {
        let pairs = [("__name__", "x"), (label.as_str(), pod.as_str())];
        let series = register(&store, &pairs);
        append(&store, &[(series, NOW_MS, 1.0)]).unwrap();
        if pod.ends_with('7') {
            let exemplars = vec![exemplar(series, 3, 1.0)];
            send_with(&store, SampleBatch::default(), exemplars)
                .recv()
                .unwrap()
                .unwrap();
            expected.insert(labels(&pairs).to_string(), vec![3]);
        }
    }
    for round in 0..3 {
        flush(&store);
        assert_eq!(world.segments().len(), 1, "round {round}");
        assert_eq!(store.stats().catalog.n_series, expected.len());
        // Other series take the ids of those that are let go.
        for pod in 0..20 {
            let pod = format!("new-{round}-{pod}");
            append(
                &store,
                &[(register(&store, &[("__name__", "x"), ("pod", &pod)]), NOW_MS, 1.0)],
            )
            .unwrap();
        }
        assert_eq!(times(&store), expected);
        drop(store);
        world.files.crash();
        let report;
        (store, report) = world.open();
        assert_eq!(
            (report.lost_series_samples, report.damaged),
            (0, vec![]),
            "round {round}"
        );
        assert_eq!(times(&store), expected, "round {round}");
    }
}

#[test]
fn the_ring_has_the_size_it_is_given_also_after_a_restart() {
    let mut world = World::new(1);
    world.config.exemplars.max = 10;
    world.config.exemplars.per_series_max = 4;
    let (store, _) = world.open();
    let series = register(&store, UP);
    append(&store, &[(series, NOW_MS, 1.0)]).unwrap();
    for at in 0..20 {
        let exemplars = vec![exemplar(series, at, 1.0)];
        send_with(&store, SampleBatch::default(), exemplars)
            .recv()
            .unwrap()
            .unwrap();
    }
    let held = |store: &Store| times(store).remove(&labels(UP).to_string()).unwrap_or_default();
    assert_eq!(held(&store), [16, 17, 18, 19]);
    assert_eq!(store.stats().exemplars.0, 4);
    drop(store);
    world.config.exemplars.per_series_max = 2;
    assert_eq!(held(&world.open().0), [18, 19]);
    world.config.exemplars.max = 0;
    let (store, _) = world.open();
    assert_eq!(held(&store), [0; 0]);
    let exemplars = vec![exemplar(register(&store, UP), 30, 1.0)];
    let outcome = send_with(&store, SampleBatch::default(), exemplars)
        .recv()
        .unwrap()
        .unwrap();
    assert_eq!((outcome.exemplars.written, held(&store).len()), (1, 0));
}

use super::*;

fn entries(body: &[u8]) -> Vec<Entry<'_>> {
    Request::new(body, &Limits::default())
        .map(Result::unwrap)
        .collect()
}

fn only_series(body: &[u8]) -> TimeSeries<'_> {
    match entries(body)[..] {
        [Entry::Series(series)] => series,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_comes_back() {
    let mut label_bytes = Vec::new();
    push_label(&mut label_bytes, "__name__", "up");
    push_label(&mut label_bytes, "job", "mesh");
    let samples = [
        Sample {
            timestamp_ms: 1_700_000_000_000,
            value: 0.0,
        },
        Sample {
            timestamp_ms: -5,
            value: -0.0,
        },
    ];
    let mut encoder = Encoder::default();
    encoder.push_series(&label_bytes, &samples);
    let series = only_series(encoder.body());
    assert_eq!(series.label_bytes(&mut Vec::new()), label_bytes);
    let labels = parse_labels(&label_bytes, &Limits::default()).unwrap();
    assert_eq!(labels.as_slice(), [("__name__", "up"), ("job", "mesh")]);
    assert_eq!(labels.metric_name(), "up");
    assert_eq!(series.n_samples, 2);
    let decoded: Vec<Sample> = series.samples().map(Result::unwrap).collect();
    assert_eq!(decoded, samples);
    assert!(decoded[1].value.is_sign_negative());
}

//! The replies of a real Prometheus 3.5.3 to `/federate`, one per escaping, against what we write for the same
//! series. Only the timestamps were made equal in the recorded files.

use model::Sample;
use wire::exposition::{Dialect, Escaping, Event, Parser, federate};

const REPLIES: [(Escaping, &str); 4] = [
    (
        Escaping::Underscores,
        include_str!("federate/prometheus-3.5.3_underscores.txt"),
    ),
    (
        Escaping::AllowUtf8,
        include_str!("federate/prometheus-3.5.3_allow-utf-8.txt"),
    ),
    (Escaping::Dots, include_str!("federate/prometheus-3.5.3_dots.txt")),
    (
        Escaping::Values,
        include_str!("federate/prometheus-3.5.3_values.txt"),
    ),
];

const ODD_VALUES: [(&str, f64); 9] = [
    ("123456789", 123_456_789.0),
    ("1e-4", 1e-4),
    ("1e-5", 1e-5),
    ("1e21", 1e21),
    ("1e6", 1e6),
    ("999999", 999_999.0),
    ("inf", f64::INFINITY),
    ("nan", f64::NAN),
    ("neg zero", -0.0),
];

/// The labels of the scrape, which all series have.
const SCRAPE: [(&str, &str); 2] = [("instance", "127.0.0.1:18777"), ("job", "a")];

fn write(escaping: Escaping) -> String {
    let mut writer = federate::Writer::new(escaping, &[]);
    let mut out = String::new();
    let mut push = |labels: &[(&str, &str)], value| {
        let mut labels = [labels, &SCRAPE].concat();
        labels.sort_unstable();
        let sample = Sample {
            timestamp_ms: 1_795_247_454_525,
            value,
        };
        assert!(writer.push(&mut out, labels.iter().copied(), sample));
    };
    let dotted = ("__name__", "my.dotted_metric");
    push(&[dotted, ("http.code", "200"), ("größe", "ü")], 3.0);
    push(&[dotted], 4.0);
    let odd = ("__name__", "odd_values");
    push(&[odd, ("tab", "\t"), ("v", "quote\"back\\slash\nnewline")], 1.5);
    for (text, value) in ODD_VALUES {
        push(&[odd, ("v", text)], value);
    }
    out
}

#[test]
fn replies_are_prometheus_to_the_byte() {
    for (escaping, reply) in REPLIES {
        assert_eq!(write(escaping), reply, "{escaping:?}");
    }
}

#[test]
fn a_reply_that_is_read_and_written_again_is_the_same() {
    for (_, reply) in REPLIES {
        // What was escaped stays as it is: none of these names needs it a second time.
        let mut writer = federate::Writer::new(Escaping::AllowUtf8, &[]);
        let mut again = String::new();
        for event in Parser::new(reply, Dialect::Text) {
            let Event::Sample(line) = event.unwrap() else {
                continue;
            };
            let labels = line
                .labels
                .iter()
                .map(|(name, value)| (name.as_ref(), value.as_ref()));
            let labels = [("__name__", line.metric_name.as_ref())]
                .into_iter()
                .chain(labels);
            let sample = Sample {
                timestamp_ms: line.timestamp_ms.unwrap(),
                value: line.value,
            };
            writer.push(&mut again, labels, sample);
        }
        assert_eq!(again, reply);
    }
}

//! The metrics of the random data: names, labels, how their samples come and what they say.
//!
//! Data and queries are made from this one table, so that most queries find something.

use super::native::NativeKind;

/// One metric, or one classic histogram.
#[derive(Debug)]
pub struct Metric {
    /// Its name; of a histogram without `_bucket`, `_sum`, `_count`.
    pub name: &'static str,
    /// Its labels, each with the values that occur.
    pub labels: &'static [(&'static str, &'static [&'static str])],
    /// How many of a hundred label combinations exist.
    pub present_percent: u64,
    /// When samples come.
    pub rhythm: Rhythm,
    /// What they say.
    pub values: Values,
}

/// Which data and queries there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repertoire {
    /// Floats, without `info`.
    #[default]
    Floats,
    /// Native histograms among the floats, and `info`. Much of both was mended after Prometheus 3.5.
    Natives,
}

impl Repertoire {
    /// All metrics.
    pub fn metrics(self) -> impl Iterator<Item = &'static Metric> {
        let natives = match self {
            Self::Floats => &[][..],
            Self::Natives => NATIVE_METRICS,
        };
        METRICS.iter().chain(natives)
    }
}

/// When the samples of a series come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rhythm {
    /// At whole quarters of a minute: query times and window ends hit samples exactly.
    Aligned,
    /// Every 15 s at a millisecond of its own, now and then late.
    Scraped,
    /// At random, 1 s to 70 s apart.
    Irregular,
    /// Every 4 to 7 minutes: around the lookback.
    Sparse,
    /// Every 1 s, for some minutes.
    Dense,
    /// One sample.
    Once,
}

/// What the samples of a series say. Nearly all values are multiples of 1/8, so that sums do not depend on the order
/// of addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Grows by up to this many eighths a sample, and sometimes starts again.
    Counter(i64),
    /// As a counter, with NaN and ±Inf in between.
    MessyCounter,
    /// Wanders by up to this many eighths a sample.
    Walk(i64),
    /// Anything: NaN of any bits, ±Inf, −0, very small, very large.
    Messy,
    /// Numbers near the ends of what 64 bits can say.
    Extreme,
    /// Fractions that no sum adds without rounding.
    Fraction,
    /// 0 or 1.
    Switch,
    /// Always the same, another number per series.
    Constant,
    /// Never equal to that of another series at any time.
    Distinct,
    /// A classic histogram with these bounds, as written in `le`.
    Histogram(&'static [&'static str]),
    /// The same, with counts that go down from bucket to bucket and buckets that miss samples.
    BrokenHistogram(&'static [&'static str]),
    /// Native histograms.
    Native(NativeKind),
}

const JOBS: &[&str] = &["api", "web", "db"];
const INSTANCES: &[&str] = &["a:1", "b:1", "c:2"];
const SERVICES: &[&str] = &["front", "cart", "pay"];
const NAMES: &[&str] = &["x", "y", "z"];

/// Those of native histograms, and the info metric.
pub static NATIVE_METRICS: &[Metric] = &[
    Metric {
        name: "native_ms",
        labels: &[("source", SERVICES), ("destination", &["cart", "pay"])],
        present_percent: 90,
        rhythm: Rhythm::Scraped,
        values: Values::Native(NativeKind::Counter),
    },
    Metric {
        name: "native_seconds",
        labels: &[("job", JOBS), ("instance", &["a:1", "b:1"])],
        present_percent: 100,
        rhythm: Rhythm::Aligned,
        values: Values::Native(NativeKind::Counter),
    },
    Metric {
        name: "native_changing_total",
        labels: &[("job", JOBS)],
        present_percent: 100,
        rhythm: Rhythm::Scraped,
        values: Values::Native(NativeKind::Changing),
    },
    Metric {
        name: "native_gauge",
        labels: &[("job", JOBS), ("instance", &["a:1", "b:1"])],
        present_percent: 90,
        rhythm: Rhythm::Irregular,
        values: Values::Native(NativeKind::Gauge),
    },
    Metric {
        name: "native_custom",
        labels: &[("job", JOBS), ("instance", &["a:1", "b:1"])],
        present_percent: 90,
        rhythm: Rhythm::Aligned,
        values: Values::Native(NativeKind::Custom),
    },
    Metric {
        name: "native_bounds",
        labels: &[("job", JOBS)],
        present_percent: 100,
        rhythm: Rhythm::Scraped,
        values: Values::Native(NativeKind::ChangingCustom),
    },
    Metric {
        name: "native_mixed",
        labels: &[("job", JOBS)],
        present_percent: 100,
        rhythm: Rhythm::Aligned,
        values: Values::Native(NativeKind::Mixed),
    },
    Metric {
        name: "target_info",
        labels: &[("job", JOBS), ("instance", INSTANCES), ("zone", &["north"])],
        present_percent: 80,
        rhythm: Rhythm::Aligned,
        values: Values::Constant,
    },
];

/// All metrics of floats.
pub static METRICS: &[Metric] = &[
    Metric {
        name: "mesh_requests_total",
        labels: &[
            ("source", SERVICES),
            ("destination", SERVICES),
            ("code", &["200", "404", "503"]),
        ],
        present_percent: 85,
        rhythm: Rhythm::Scraped,
        values: Values::Counter(800),
    },
    Metric {
        name: "mesh_bytes_total",
        labels: &[("source", SERVICES), ("destination", SERVICES)],
        present_percent: 90,
        rhythm: Rhythm::Aligned,
        values: Values::Counter(1 << 40),
    },
    Metric {
        name: "mesh_latency_ms",
        labels: &[("source", SERVICES), ("destination", &["cart", "pay"])],
        present_percent: 80,
        rhythm: Rhythm::Scraped,
        values: Values::Histogram(&["0.5", "1", "5", "10", "50", "100", "+Inf"]),
    },
    Metric {
        name: "odd_seconds",
        labels: &[("job", JOBS)],
        present_percent: 100,
        rhythm: Rhythm::Aligned,
        values: Values::BrokenHistogram(&["-1", "0", "0.1", "1e-1", "1", "1.0", "2.5", "Inf", "abc", ""]),
    },
    Metric {
        name: "spelt_seconds",
        labels: &[("job", JOBS)],
        present_percent: 100,
        rhythm: Rhythm::Scraped,
        values: Values::Histogram(&["-Inf", ".5", "5.", "1E1", "0x1p4", "1e400", " 1", "infinity"]),
    },
    Metric {
        name: "endless_seconds",
        labels: &[("job", JOBS), ("instance", &["a:1", "b:1"])],
        present_percent: 80,
        rhythm: Rhythm::Irregular,
        values: Values::Histogram(&["0.1", "1", "10"]),
    },
    Metric {
        name: "memory_bytes",
        labels: &[("job", JOBS), ("instance", INSTANCES)],
        present_percent: 90,
        rhythm: Rhythm::Irregular,
        values: Values::Walk(1 << 30),
    },
    Metric {
        name: "temperature",
        labels: &[("job", JOBS), ("instance", INSTANCES)],
        present_percent: 90,
        rhythm: Rhythm::Aligned,
        values: Values::Walk(16),
    },
    Metric {
        name: "messy",
        labels: &[("job", JOBS), ("instance", &["a:1", "b:1"])],
        present_percent: 100,
        rhythm: Rhythm::Scraped,
        values: Values::Messy,
    },
    Metric {
        name: "messy_total",
        labels: &[("job", JOBS)],
        present_percent: 100,
        rhythm: Rhythm::Irregular,
        values: Values::MessyCounter,
    },
    Metric {
        name: "extreme",
        labels: &[("job", JOBS)],
        present_percent: 100,
        rhythm: Rhythm::Aligned,
        values: Values::Extreme,
    },
    Metric {
        name: "load_ratio",
        labels: &[("job", JOBS), ("instance", &["a:1", "c:2"])],
        present_percent: 90,
        rhythm: Rhythm::Scraped,
        values: Values::Fraction,
    },
    // One name, other labels in every job.
    Metric {
        name: "shared_total",
        labels: &[("job", &["api"]), ("instance", INSTANCES)],
        present_percent: 90,
        rhythm: Rhythm::Scraped,
        values: Values::Counter(200),
    },
    Metric {
        name: "shared_total",
        labels: &[("job", &["web", "db"]), ("pod", &["p-1", "p-2"]), ("zone", NAMES)],
        present_percent: 60,
        rhythm: Rhythm::Irregular,
        values: Values::Walk(40),
    },
    // A summary, and names that look like parts of a histogram.
    Metric {
        name: "call_seconds",
        labels: &[("job", JOBS), ("quantile", &["0.5", "0.99", "1"])],
        present_percent: 90,
        rhythm: Rhythm::Scraped,
        values: Values::Walk(30),
    },
    Metric {
        name: "call_seconds_sum",
        labels: &[("job", JOBS)],
        present_percent: 90,
        rhythm: Rhythm::Scraped,
        values: Values::Counter(100),
    },
    Metric {
        name: "call_seconds_count",
        labels: &[("job", JOBS)],
        present_percent: 90,
        rhythm: Rhythm::Irregular,
        values: Values::Counter(30),
    },
    Metric {
        name: "rain_bucket",
        labels: &[("job", JOBS)],
        present_percent: 90,
        rhythm: Rhythm::Aligned,
        values: Values::Walk(30),
    },
    Metric {
        name: "alone",
        labels: &[],
        present_percent: 100,
        rhythm: Rhythm::Aligned,
        values: Values::Walk(9),
    },
    Metric {
        name: "up",
        labels: &[("job", JOBS), ("instance", INSTANCES)],
        present_percent: 100,
        rhythm: Rhythm::Scraped,
        values: Values::Switch,
    },
    Metric {
        name: "build_info",
        labels: &[
            ("job", JOBS),
            ("instance", INSTANCES),
            ("version", &["1.0", "1.1"]),
        ],
        present_percent: 60,
        rhythm: Rhythm::Aligned,
        values: Values::Constant,
    },
    Metric {
        name: "limit_bytes",
        labels: &[("job", JOBS)],
        present_percent: 100,
        rhythm: Rhythm::Aligned,
        values: Values::Constant,
    },
    Metric {
        name: "distinct",
        labels: &[("job", JOBS), ("instance", INSTANCES)],
        present_percent: 100,
        rhythm: Rhythm::Aligned,
        values: Values::Distinct,
    },
    Metric {
        name: "sparse",
        labels: &[("job", JOBS)],
        present_percent: 100,
        rhythm: Rhythm::Sparse,
        values: Values::Walk(80),
    },
    Metric {
        name: "dense_total",
        labels: &[("job", JOBS)],
        present_percent: 100,
        rhythm: Rhythm::Dense,
        values: Values::Counter(16),
    },
    Metric {
        name: "once",
        labels: &[("job", &["api", "web"])],
        present_percent: 100,
        rhythm: Rhythm::Once,
        values: Values::Constant,
    },
    Metric {
        name: "strange",
        labels: &[
            ("path", &["/a\"b", "c\\d", "e\nf", "g☃", "a.b", "$1", "a|b", " "]),
            ("n", NAMES),
        ],
        present_percent: 40,
        rhythm: Rhythm::Scraped,
        values: Values::Walk(8),
    },
    Metric {
        name: "http.requests",
        labels: &[("net.peer", &["x", "y"]), ("job", JOBS)],
        present_percent: 80,
        rhythm: Rhythm::Aligned,
        values: Values::Counter(100),
    },
    Metric {
        name: "größe ☃",
        labels: &[("länge", &["kurz", "größer"]), ("job", JOBS)],
        present_percent: 80,
        rhythm: Rhythm::Irregular,
        values: Values::Walk(12),
    },
    Metric {
        name: "sum",
        labels: &[("by", NAMES), ("on", &["1", "2"])],
        present_percent: 80,
        rhythm: Rhythm::Aligned,
        values: Values::Walk(8),
    },
    Metric {
        name: "colon:rate5m",
        labels: &[("source", SERVICES)],
        present_percent: 100,
        rhythm: Rhythm::Scraped,
        values: Values::Walk(100),
    },
];

impl Metric {
    /// True for classic histograms.
    #[must_use]
    pub fn is_histogram(&self) -> bool {
        matches!(self.values, Values::Histogram(_) | Values::BrokenHistogram(_))
    }

    /// True for native histograms.
    #[must_use]
    pub fn is_native(&self) -> bool {
        matches!(self.values, Values::Native(_))
    }
}

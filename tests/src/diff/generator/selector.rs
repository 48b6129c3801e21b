//! Selectors, ranges, subqueries, `offset` and `@`.

use super::{Family, Generator};
use crate::diff::metric::{Metric, Repertoire, Values};
use crate::diff::query::{Expr, Selector, Shift, Subquery};
use crate::diff::spelling;

/// What a selector is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Anything,
    Counter,
    Buckets,
}

const RANGES_MS: &[i64] = &[
    60_000, 60_000, 120_000, 300_000, 300_000, 300_000, 600_000, 15_000, 30_000, 45_000, 90_500, 1_000, 1,
    1_200_000, 3_600_000,
];

impl Generator<'_> {
    /// Labels a query may group or match by.
    pub(super) fn label_names(&self) -> &'static [&'static str] {
        match self.family {
            Family::Mesh => &[
                "source",
                "destination",
                "source",
                "destination",
                "code",
                "le",
                "__name__",
                "missing",
            ],
            Family::Jobs => &[
                "job", "instance", "job", "instance", "version", "le", "__name__", "net.peer", "pod",
                "quantile",
            ],
            Family::Any => &[
                "job", "instance", "source", "path", "n", "by", "on", "le", "__name__", "net.peer", "länge",
                "zone",
            ],
        }
    }

    /// Some of them, perhaps none.
    pub(super) fn some_labels(&mut self, limit: usize) -> Vec<String> {
        let n_labels = self.chance.index(limit + 1);
        let names: Vec<_> = (0..n_labels)
            .map(|_| self.chance.pick(self.label_names()))
            .collect();
        names
            .into_iter()
            .map(|name| spelling::label(self.chance, name))
            .collect()
    }

    pub(super) fn selector(&mut self) -> Selector {
        self.selector_of(Wanted::Anything)
    }

    pub(super) fn selector_of(&mut self, wanted: Wanted) -> Selector {
        let metric = self.metric(wanted);
        let name = self.series_name(metric, wanted);
        let mut matchers = Vec::new();
        if self.chance.percent(45) {
            for _ in 0..self.chance.between(1, 2) {
                matchers.push(self.matcher(metric));
            }
        }
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':'));
        let metric = match self.chance.below(16) {
            0 => {
                matchers.push(format!("__name__={}", spelling::quoted(&name)));
                None
            }
            1 => {
                matchers.insert(0, spelling::quoted(&name));
                None
            }
            2 => {
                matchers.push(self.name_pattern(&name));
                None
            }
            _ if !plain => {
                matchers.insert(0, spelling::quoted(&name));
                None
            }
            _ => Some(name),
        };
        if !matchers.is_empty() && self.chance.one_in(20) {
            // A trailing comma is allowed.
            matchers.push(String::new());
        }
        Selector {
            metric,
            matchers,
            shift: self.shift(),
        }
    }

    fn metric(&mut self, wanted: Wanted) -> &'static Metric {
        let metrics: Vec<&'static Metric> = self.repertoire.metrics().collect();
        let prefers_native = self.repertoire == Repertoire::Natives && self.chance.percent(65);
        loop {
            let metric = metrics[self.chance.index(metrics.len())];
            if prefers_native && !metric.is_native() && !self.chance.one_in(200) {
                continue;
            }
            let is_histogram = metric.is_histogram() || metric.is_native();
            let fits = match wanted {
                Wanted::Anything => true,
                Wanted::Counter => {
                    is_histogram || matches!(metric.values, Values::Counter(_) | Values::MessyCounter)
                }
                Wanted::Buckets => is_histogram,
            };
            let label = match self.family {
                Family::Mesh => "source",
                Family::Jobs => "job",
                Family::Any => "",
            };
            let in_family = label.is_empty() || metric.labels.iter().any(|(name, _)| *name == label);
            // A few come from anywhere.
            if (fits && in_family)
                || self
                    .chance
                    .one_in(if wanted == Wanted::Buckets { 100 } else { 40 })
            {
                return metric;
            }
        }
    }

    fn series_name(&mut self, metric: &Metric, wanted: Wanted) -> String {
        let suffixes = ["_bucket", "_bucket", "_sum", "_count"];
        match wanted {
            _ if !metric.is_histogram() => metric.name.to_owned(),
            Wanted::Buckets => format!("{}_bucket", metric.name),
            _ => format!("{}{}", metric.name, self.chance.pick(&suffixes)),
        }
    }

    fn name_pattern(&mut self, name: &str) -> String {
        let start: String = name.chars().take(4).collect();
        let pattern = match self.chance.below(4) {
            0 => format!("{start}.*"),
            1 => format!("{name}|up|temperature"),
            2 => format!("^(?:{name})$"),
            _ => format!(".+{}", name.chars().skip(2).collect::<String>()),
        };
        format!("__name__=~{}", spelling::quoted(&pattern))
    }

    fn matcher(&mut self, metric: &Metric) -> String {
        const ANY: &[(&str, &[&str])] = &[("job", &["api", "web"]), ("missing", &["x"])];
        let labels = if metric.labels.is_empty() {
            ANY
        } else {
            metric.labels
        };
        let (name, values) = self.chance.pick(labels);
        let value = self.chance.pick(values);
        let (op, value) = match self.chance.below(12) {
            0..4 => ("=", value.to_owned()),
            4 | 5 => ("!=", value.to_owned()),
            6..9 => ("=~", self.pattern(value, values)),
            9 | 10 => ("!~", self.pattern(value, values)),
            _ => (self.chance.pick(&["=", "!=", "=~", "!~"]), String::new()),
        };
        let name = if self.chance.one_in(15) { "missing" } else { name };
        format!(
            "{}{op}{}",
            spelling::label(self.chance, name),
            spelling::string(self.chance, &value)
        )
    }

    /// A regular expression around a value that occurs.
    fn pattern(&mut self, value: &str, values: &[&str]) -> String {
        let literal = literal_pattern(value);
        let first: String = value
            .chars()
            .take(1)
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let last: String = value
            .chars()
            .last()
            .filter(char::is_ascii_alphanumeric)
            .into_iter()
            .collect();
        match self.chance.below(14) {
            0 => literal,
            1 | 2 => format!("{literal}|{}", literal_pattern(self.chance.pick(values))),
            3 => format!("^(?:{literal}|nothing)$"),
            4 => format!("{first}.*"),
            5 => format!(".*{last}"),
            6 => format!(".+{last}.?"),
            7 => ".*".to_owned(),
            8 => ".+".to_owned(),
            9 => format!("[^{first}].*|{literal}").replace("[^]", "."),
            10 => "[0-9]+|[a-c]:[12]|\\w{3}".to_owned(),
            11 => format!("({literal})?"),
            12 => format!("(?i){}", literal.to_uppercase()).replace("\\\\N", "\\n"),
            _ => format!("(?:{first}|{literal}).{{0,3}}"),
        }
    }

    /// `offset` and `@`, both rare.
    pub(super) fn shift(&mut self) -> Shift {
        let offset = self.chance.one_in(8).then(|| {
            let ms = self.chance.pick(&[
                60_000, 300_000, -60_000, 15_000, -15_000, 1_000, 500, 420_000, -300_000, 0,
            ]);
            self.offset(ms)
        });
        let at = self.chance.one_in(12).then(|| {
            let ms = self
                .chance
                .between(self.window.start_ms, self.window.end_ms + 300_000);
            match self.chance.below(8) {
                0 | 1 => "start()".to_owned(),
                2 | 3 => "end()".to_owned(),
                4 => format!("{}", ms as f64 / 1_000.0),
                5 => format!("{:e}", (ms / 1_000) as f64),
                6 => self.chance.pick(&["0", "-10.5", "1e9"]).to_owned(),
                _ => (ms / 1_000 - (ms / 1_000) % 15).to_string(),
            }
        });
        Shift {
            offset,
            at,
            at_first: self.chance.percent(50),
        }
    }

    /// What stands after `offset`; arithmetic needs parentheses since 3.14.
    fn offset(&mut self, ms: i64) -> String {
        match self.chance.below(8) {
            0 => format!("({})", spelling::length(self.chance, ms.abs().max(1))),
            1 => format!("-({})", spelling::length(self.chance, ms.abs().max(1))),
            _ => spelling::duration(self.chance, ms),
        }
    }

    fn range_length(&mut self) -> (String, i64) {
        let ms = self.chance.pick(RANGES_MS);
        (spelling::length(self.chance, ms), ms)
    }

    pub(super) fn matrix(&mut self, depth: u32) -> Expr {
        self.matrix_of(depth, Wanted::Anything)
    }

    /// A range selector, or a subquery when the tree may be high enough.
    pub(super) fn matrix_of(&mut self, depth: u32, wanted: Wanted) -> Expr {
        let (range, range_ms) = self.range_length();
        if depth < 2 || self.chance.percent(70) {
            return Expr::Range(self.selector_of(wanted), range);
        }
        // At most some 120 evaluations: nested subqueries multiply.
        let steps_ms: &[i64] = match range_ms {
            ..60_000 => &[1_000, 7_000, 500],
            60_000..600_000 => &[15_000, 30_000, 60_000, 7_000],
            _ => &[60_000, 30_000, 61_500],
        };
        let step_ms = self.chance.pick(steps_ms);
        let step = if self.chance.percent(30) {
            String::new()
        } else {
            spelling::length(self.chance, step_ms)
        };
        let inner = if self.chance.one_in(15) {
            self.scalar(depth - 1)
        } else {
            self.vector(depth - 1)
        };
        Expr::Subquery(Box::new(Subquery {
            inner,
            range,
            step,
            shift: self.shift(),
        }))
    }
}

/// `value` as a regular expression that matches exactly it.
fn literal_pattern(value: &str) -> String {
    let mut pattern = String::new();
    for letter in value.chars() {
        match letter {
            '\n' => pattern += "\\n",
            _ if letter.is_ascii_alphanumeric() || !letter.is_ascii() || letter == ' ' => {
                pattern.push(letter);
            }
            _ => pattern += &format!("\\{letter}"),
        }
    }
    pattern
}

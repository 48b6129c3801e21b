//! Function calls.

use super::Generator;
use super::selector::Wanted;
use crate::diff::metric::Repertoire;
use crate::diff::query::{Expr, Kind, Selector};
use crate::diff::spelling;

/// Functions of one range vector.
pub(super) const RANGE_FUNCTIONS: &[&str] = &[
    "rate",
    "rate",
    "increase",
    "irate",
    "delta",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "absent_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
    "ts_of_last_over_time",
];

/// Functions of one instant vector.
pub(super) const INSTANT_FUNCTIONS: &[&str] = &[
    "abs",
    "ceil",
    "floor",
    "round",
    "exp",
    "ln",
    "log2",
    "log10",
    "sqrt",
    "sgn",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "deg",
    "rad",
    "timestamp",
    "timestamp",
    "absent",
    "sort",
    "sort_desc",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "year",
    "histogram_count",
    "histogram_sum",
    "histogram_avg",
    "histogram_stddev",
    "histogram_stdvar",
];

/// Functions of native histograms.
const STATISTICS: &[&str] = &[
    "histogram_count",
    "histogram_sum",
    "histogram_avg",
    "histogram_stddev",
    "histogram_stdvar",
];

const COUNTER_FUNCTIONS: &[&str] = &["rate", "increase", "irate", "resets"];

impl Generator<'_> {
    pub(super) fn range_call(&mut self, depth: u32) -> Expr {
        let call = |function: &str, arguments| Expr::Call(function.to_owned(), arguments);
        match self.chance.below(14) {
            0 => {
                let ratio = self.ratio();
                call("quantile_over_time", vec![ratio, self.matrix(depth)])
            }
            1 => {
                let matrix = self.matrix(depth);
                let ahead = if self.chance.one_in(4) {
                    self.scalar(1)
                } else {
                    self.number()
                };
                call("predict_linear", vec![matrix, ahead])
            }
            2 => {
                let matrix = self.matrix(depth);
                let mut factor = || {
                    if self.chance.one_in(20) {
                        return self.scalar(1);
                    }
                    let factors = ["0.1", "0.5", "0.9", "0.3", "1", "0", "0.01"];
                    Expr::Number(self.chance.pick(&factors).to_owned())
                };
                call("double_exponential_smoothing", vec![matrix, factor(), factor()])
            }
            3 if self.chance.percent(50) => {
                // Of NaN it was something else before 3.14.
                let mut selector = self.selector_of(Wanted::Buckets);
                if self.chance.percent(70) {
                    selector.metric = Some("temperature".to_owned());
                    selector.matchers.clear();
                }
                call("mad_over_time", vec![Expr::Range(selector, "10m".to_owned())])
            }
            _ => {
                let function = self.chance.pick(RANGE_FUNCTIONS);
                let is_counter = COUNTER_FUNCTIONS.contains(&function) && self.chance.percent(80);
                let wanted = if is_counter {
                    Wanted::Counter
                } else {
                    Wanted::Anything
                };
                call(function, vec![self.matrix_of(depth, wanted)])
            }
        }
    }

    pub(super) fn instant_call(&mut self, depth: u32) -> Expr {
        let call = |function: &str, arguments| Expr::Call(function.to_owned(), arguments);
        match self.chance.below(12) {
            0 => {
                let vector = self.vector(depth - 1);
                let (low, high) = (self.scalar(depth - 1), self.scalar(depth - 1));
                call("clamp", vec![vector, low, high])
            }
            1 => {
                let function = self.chance.pick(&["clamp_min", "clamp_max", "round"]);
                let vector = self.vector(depth - 1);
                let limit = self.scalar(depth - 1);
                call(function, vec![vector, limit])
            }
            2 => {
                let function =
                    self.chance
                        .pick(&["hour", "minute", "month", "year", "day_of_week", "days_in_month"]);
                call(function, Vec::new())
            }
            3 if self.chance.percent(50) => {
                let scalar = self.scalar(depth - 1);
                call("vector", vec![scalar])
            }
            3 => self.date_of_number(),
            4..8 if self.repertoire == Repertoire::Natives => {
                let function = self.chance.pick(STATISTICS);
                call(function, vec![self.vector(depth - 1)])
            }
            _ => {
                let function = self.chance.pick(INSTANT_FUNCTIONS);
                call(function, vec![self.vector(depth - 1)])
            }
        }
    }

    /// Labels of info series added to a vector. The info metric is named exactly: which metrics a pattern stands for is
    /// up to the data.
    pub(super) fn info(&mut self, depth: u32) -> Expr {
        let vector = self.vector(depth - 1);
        let filter = self.chance.pick(&[
            "",
            "",
            "{zone=\"north\"}",
            "{zone=~\".+\"}",
            "{zone=~\".*\"}",
            "{__name__=\"build_info\"}",
            "{__name__=~\"target_info|limit_bytes\"}",
            "{missing=\"\"}",
            "{version=\"1.0\",__name__=\"build_info\"}",
        ]);
        let mut arguments = vec![vector];
        if !filter.is_empty() {
            let matchers = filter.trim_matches(['{', '}']).split(',');
            arguments.push(Expr::Selector(Selector {
                matchers: matchers.map(str::to_owned).collect(),
                ..Selector::default()
            }));
        }
        Expr::Call("info".to_owned(), arguments)
    }

    /// Dates far away, before 1970, and none at all.
    fn date_of_number(&mut self) -> Expr {
        let functions = [
            "hour",
            "minute",
            "month",
            "year",
            "day_of_week",
            "day_of_month",
            "day_of_year",
            "days_in_month",
        ];
        let seconds = self.chance.pick(&[
            "-1",
            "-0.5",
            "951782400",
            "1709164799.9",
            "-62135596801",
            "253402300800",
            "1e10",
            "4102444800",
            "-86400",
            "68169600",
        ]);
        let vector = Expr::Call("vector".to_owned(), vec![Expr::Number(seconds.to_owned())]);
        Expr::Call(self.chance.pick(&functions).to_owned(), vec![vector])
    }

    pub(super) fn label_call(&mut self, depth: u32) -> Expr {
        let vector = self.vector(depth - 1);
        match self.chance.below(10) {
            0..6 => self.label_replace(vector),
            6 | 7 => self.label_join(vector),
            _ => {
                let function = self.chance.pick(&["sort_by_label", "sort_by_label_desc"]);
                let mut arguments = vec![vector];
                for _ in 0..self.chance.between(1, 2) {
                    let name = self.chance.pick(self.label_names());
                    arguments.push(self.text(name));
                }
                Expr::Call(function.to_owned(), arguments)
            }
        }
    }

    fn label_replace(&mut self, vector: Expr) -> Expr {
        let target = self.chance.pick(&[
            "new", "new", "job", "source", "__name__", "net.peer", "missing", "länge", "le",
        ]);
        let source = self.chance.pick(self.label_names());
        let pattern = self.chance.pick(&[
            "(.*)",
            "(.*)",
            "(.+):(.*)",
            "a.*|front",
            "(?P<first>.)(.*)",
            "",
            "^(.)",
            ".*",
            "([a-z]+).*",
            "nothing",
            "(?i)(A|F)(.*)",
            "(a)|(.)(.*)",
            "(.*?)([[:alpha:]]+)",
            "(?P<first>\\pL+)(?P<first_>\\W.*)?",
            "(?:(x)|.)*",
            "(?U)(.+)(.*)",
            "\\Qa:1\\E|(\\w+)",
            "(?s)(.)",
            "((((.))))(.*)",
            "\\x61(.*)|([^a].*)",
        ]);
        let replacement = self.chance.pick(&[
            "$1",
            "${1}x",
            "$2-$1",
            "fixed",
            "",
            "$$",
            "$first",
            "${first}_",
            "$3",
            "$1x",
            "\u{2603}$0",
            "$10-${1}0",
            "${1",
            "$",
            "${}",
            "$-1",
            "$1$2$1",
            "\\1",
            "${ first}",
            "$first_",
        ]);
        let texts = [target, replacement, source, pattern].map(|text| self.text(text));
        Expr::Call(
            "label_replace".to_owned(),
            [vec![vector], texts.to_vec()].concat(),
        )
    }

    fn label_join(&mut self, vector: Expr) -> Expr {
        let target = self
            .chance
            .pick(&["new", "new", "instance", "destination", "__name__"]);
        let separator = self.chance.pick(&["-", "", ", ", "\n"]);
        let mut arguments = vec![vector, self.text(target), self.text(separator)];
        for _ in 0..self.chance.between(0, 3) {
            let name = self.chance.pick(self.label_names());
            arguments.push(self.text(name));
        }
        Expr::Call("label_join".to_owned(), arguments)
    }

    pub(super) fn histogram_call(&mut self, depth: u32) -> Expr {
        let buckets = self.buckets(depth);
        if self.chance.percent(75) {
            let ratio = self.ratio();
            return Expr::Call("histogram_quantile".to_owned(), vec![ratio, buckets]);
        }
        // From within the first bucket it was something else before 3.8.
        let low = self
            .chance
            .pick(&["0.6", "1", "2.5", "7", "10", "100", "1", "5", "+Inf", "0"]);
        let mut bound = || {
            let text = self.chance.pick(&[
                "0", "0.1", "1", "2.5", "7", "10", "-1", "1e9", "+Inf", "0.5", "100",
            ]);
            Expr::Number(text.to_owned())
        };
        let (low, high) = (Expr::Number(low.to_owned()), bound());
        Expr::Call("histogram_fraction".to_owned(), vec![low, high, buckets])
    }

    /// Buckets as they are, their rates, or sums of rates.
    fn buckets(&mut self, depth: u32) -> Expr {
        if self.chance.percent(10) {
            return self.vector(depth - 1);
        }
        let selector: Selector = self.selector_of(Wanted::Buckets);
        if self.chance.percent(35) {
            return Expr::Selector(selector);
        }
        let range = spelling::duration(self.chance, 300_000);
        let function = self.chance.pick(&["rate", "increase"]);
        let rate = Expr::Call(function.to_owned(), vec![Expr::Range(selector, range)]);
        if self.chance.percent(40) {
            return rate;
        }
        let mut grouping = self.grouping(false);
        grouping.labels.push("le".to_owned());
        self.sum(Some(grouping), rate)
    }

    pub(super) fn ratio(&mut self) -> Expr {
        if self.chance.one_in(12) {
            let scalar = self.scalar(1);
            debug_assert_eq!(scalar.kind(), Kind::Scalar);
            return scalar;
        }
        Expr::Number(spelling::ratio(self.chance))
    }
}

#[cfg(test)]
mod tests {
    use promql::function::FUNCTIONS;

    use crate::diff::case::Window;
    use crate::diff::generator;
    use crate::diff::metric::Repertoire;

    /// What Prometheus 3.5 lacks, and `info`, much of which was mended after it.
    const LEFT_OUT: &[&str] = &[
        "end",
        "first_over_time",
        "histogram_quantiles",
        "info",
        "max_of",
        "min_of",
        "range",
        "start",
        "start_timestamp",
        "step",
        "ts_of_first_over_time",
    ];

    #[test]
    fn every_function_is_generated_or_left_out_on_purpose() {
        let window = Window {
            start_ms: 1_000_000_000,
            end_ms: 1_003_600_000,
        };
        let texts: Vec<String> = (0..6_000)
            .map(|number| generator::case(4, number, window, Repertoire::Floats).text)
            .collect();
        for function in FUNCTIONS
            .iter()
            .filter(|function| !LEFT_OUT.contains(&function.name))
        {
            let call = format!("{}(", function.name);
            assert!(texts.iter().any(|text| text.contains(&call)), "{}", function.name);
        }
    }
}

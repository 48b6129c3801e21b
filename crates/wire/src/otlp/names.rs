//! Names of metrics and labels: from OpenTelemetry's to Prometheus'.
//!
//! Source: Prometheus 3.14's `otlptranslator` for the four strategies; for Envoy, what the same Envoy shows on
//! `/stats/prometheus`.

use super::units;

/// What is done to names. The words of the configuration are Prometheus'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TranslationStrategy {
    /// Characters that Prometheus did not always allow become `_`; units and `_total` are appended.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Characters stay; units and `_total` are appended.
    NoUtf8EscapingWithSuffixes,
    /// Characters become `_`; nothing is appended.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay as they are.
    NoTranslation,
}

impl TranslationStrategy {
    /// The strategy of that name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|strategy| strategy.name() == name)
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnderscoreEscapingWithSuffixes => "UnderscoreEscapingWithSuffixes",
            Self::NoUtf8EscapingWithSuffixes => "NoUTF8EscapingWithSuffixes",
            Self::UnderscoreEscapingWithoutSuffixes => "UnderscoreEscapingWithoutSuffixes",
            Self::NoTranslation => "NoTranslation",
        }
    }

    /// Every strategy.
    pub const ALL: [Self; 4] = [
        Self::UnderscoreEscapingWithSuffixes,
        Self::NoUtf8EscapingWithSuffixes,
        Self::UnderscoreEscapingWithoutSuffixes,
        Self::NoTranslation,
    ];

    fn escapes(self) -> bool {
        matches!(
            self,
            Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes
        )
    }

    /// The label of an attribute. Attributes that come out equal are joined by the caller.
    #[must_use]
    pub fn label_name(self, key: &str) -> String {
        if !self.escapes() {
            return key.to_owned();
        }
        let name = underscored(key);
        let mut start = name.chars();
        match (start.next(), start.next()) {
            (Some('0'..='9'), _) => format!("key_{name}"),
            (Some('_'), second) if second != Some('_') => format!("key{name}"),
            _ => name,
        }
    }

    /// True when something of a metric's name is left after the translation. Asked for every metric of every request.
    #[must_use]
    pub(super) fn leaves_a_name(self, name: &[u8]) -> bool {
        if self.escapes() {
            has_metric_char(name)
        } else {
            name.iter().any(|byte| *byte != b'_')
        }
    }

    /// The name of a metric; `None` when nothing of it is left.
    #[must_use]
    pub fn metric_name(self, name: &str, unit: &str, kind: NameKind) -> Option<String> {
        if !self.leaves_a_name(name.as_bytes()) {
            return None;
        }
        Some(match self {
            Self::NoTranslation => name.to_owned(),
            Self::NoUtf8EscapingWithSuffixes => with_suffixes(name, unit, kind),
            Self::UnderscoreEscapingWithoutSuffixes => {
                let is_separator = |c: char| !is_metric_char(c) && c != '_';
                let parts: Vec<&str> = name.split(is_separator).filter(|part| !part.is_empty()).collect();
                digit_safe(parts.join("_"))
            }
            Self::UnderscoreEscapingWithSuffixes => {
                digit_safe(tokens_with_suffixes(name, unit, kind).join("_"))
            }
        })
    }
}

/// What decides about suffixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A monotonic sum: `_total`.
    Counter,
    /// A gauge: `_ratio` when its unit is `1`.
    Gauge,
    /// Anything else.
    Other,
}

/// The name of an Envoy statistic on the same Envoy's `/stats/prometheus`: what Istio adds loses its namespace, what
/// is Envoy's own gets a prefix, and every other character becomes `_`.
#[must_use]
pub(super) fn envoy_metric_name(name: &str) -> Option<String> {
    if !has_metric_char(name.as_bytes()) {
        return None;
    }
    Some(match name.strip_prefix("istiocustom.") {
        Some(istio) => underscored_name(istio),
        None if name.starts_with("envoy.") || name.starts_with("envoy_") => underscored_name(name),
        None => format!("envoy_{}", underscored_name(name)),
    })
}

/// The label of an Envoy attribute.
#[must_use]
pub(super) fn envoy_label_name(key: &str) -> String {
    let name = underscored(key);
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

/// Each character that no label had before UTF-8 as `_`.
fn underscored(text: &str) -> String {
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().map(|c| if valid(c) { c } else { '_' }).collect()
}

/// Each character that no metric name had before UTF-8 as `_`.
fn underscored_name(text: &str) -> String {
    let valid = |c: char| is_metric_char(c) || c == '_';
    text.chars().map(|c| if valid(c) { c } else { '_' }).collect()
}

/// True when a name holds a character that every translation keeps.
pub(super) fn has_metric_char(name: &[u8]) -> bool {
    name.iter().any(|byte| is_metric_char(char::from(*byte)))
}

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn digit_safe(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_metric_char(c))
        .filter(|token| !token.is_empty())
}

fn tokens_with_suffixes(name: &str, unit: &str, kind: NameKind) -> Vec<String> {
    let mut parts: Vec<String> = tokens(name).map(str::to_owned).collect();
    if parts.is_empty() {
        return parts;
    }
    let unit_words = units::words(unit);
    for (prefix, word) in [("", unit_words.main), ("per", unit_words.per)] {
        let words: Vec<String> = tokens(&word).map(str::to_owned).collect();
        let is_there = words.iter().all(|word| parts.contains(word));
        if !is_there {
            parts.extend((!prefix.is_empty()).then(|| prefix.to_owned()));
            parts.extend(words);
        }
    }
    if let Some(suffix) = suffix(unit, kind) {
        parts.retain(|part| part != suffix);
        parts.push(suffix.to_owned());
    }
    parts
}

/// The word a name of this kind ends with.
fn suffix(unit: &str, kind: NameKind) -> Option<&'static str> {
    match kind {
        NameKind::Counter => Some("total"),
        NameKind::Gauge if unit.trim() == "1" => Some("ratio"),
        NameKind::Gauge | NameKind::Other => None,
    }
}

/// As [`tokens_with_suffixes`] for a name whose characters stay.
fn with_suffixes(name: &str, unit: &str, kind: NameKind) -> String {
    let suffix = suffix(unit, kind);
    let mut text = match suffix {
        Some(suffix) => without_suffix(name, suffix).to_owned(),
        None => name.to_owned(),
    };
    let unit_words = units::words(unit);
    let per = if unit_words.per.is_empty() {
        String::new()
    } else {
        format!("per_{}", unit_words.per)
    };
    let parts = [unit_words.main.as_str(), per.as_str(), suffix.unwrap_or("")];
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        if !text.ends_with(part) {
            text.push('_');
            text.push_str(part);
        }
    }
    text
}

fn without_suffix<'a>(name: &'a str, suffix: &str) -> &'a str {
    let stem = name.strip_suffix(suffix);
    let stem = stem.and_then(|stem| stem.strip_suffix(['_', '.']));
    stem.filter(|stem| !stem.is_empty()).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use TranslationStrategy::*;

    #[test]
    fn names_get_units_and_the_suffix_of_their_kind() {
        let cases = [
            ("requests.count", "1", NameKind::Counter, "requests_count_total"),
            ("memory.usage", "By", NameKind::Other, "memory_usage_bytes"),
            ("cpu.utilization", "1", NameKind::Gauge, "cpu_utilization_ratio"),
            ("requests", "1/s", NameKind::Other, "requests_per_second"),
            ("memory", "By/{x}", NameKind::Other, "memory_bytes"),
            ("123metric", "", NameKind::Other, "_123metric"),
            (
                "default.total_match_count",
                "",
                NameKind::Counter,
                "default_match_count_total",
            ),
            (
                "http.server.duration_seconds",
                "s",
                NameKind::Other,
                "http_server_duration_seconds",
            ),
            ("a..b--c", "", NameKind::Other, "a_b_c"),
            ("queue", "{items}", NameKind::Gauge, "queue"),
            ("speed", "m/s", NameKind::Gauge, "speed_meters_per_second"),
        ];
        for (name, unit, kind, expected) in cases {
            let translated = UnderscoreEscapingWithSuffixes.metric_name(name, unit, kind);
            assert_eq!(translated.as_deref(), Some(expected), "{name} in {unit}");
        }
        let nothing = UnderscoreEscapingWithSuffixes.metric_name("@#$%", "", NameKind::Gauge);
        assert_eq!(nothing, None);
    }

    #[test]
    fn the_other_strategies_escape_or_append_less() {
        let name = "http.server.request.duration";
        let of = |strategy: TranslationStrategy| strategy.metric_name(name, "s", NameKind::Other);
        assert_eq!(
            of(NoUtf8EscapingWithSuffixes).as_deref(),
            Some("http.server.request.duration_seconds")
        );
        assert_eq!(
            of(UnderscoreEscapingWithoutSuffixes).as_deref(),
            Some("http_server_request_duration")
        );
        assert_eq!(of(NoTranslation).as_deref(), Some(name));
        let counter = NoUtf8EscapingWithSuffixes.metric_name("a.total", "", NameKind::Counter);
        assert_eq!(counter.as_deref(), Some("a_total"));
    }

    #[test]
    fn labels_are_escaped_by_character() {
        let label = |key| UnderscoreEscapingWithSuffixes.label_name(key);
        assert_eq!(label("k8s.pod.name"), "k8s_pod_name");
        assert_eq!(label("a..b"), "a__b");
        assert_eq!(label("1st"), "key_1st");
        assert_eq!(label("_x"), "key_x");
        assert_eq!(label("__x"), "__x");
        assert_eq!(NoTranslation.label_name("k8s.pod.name"), "k8s.pod.name");
    }

    #[test]
    fn envoy_names_are_those_of_its_prometheus_page() {
        let cases = [
            ("istiocustom.istio_requests_total", "istio_requests_total"),
            ("cluster.upstream_rq", "envoy_cluster_upstream_rq"),
            ("cluster.upstream_rq_total", "envoy_cluster_upstream_rq_total"),
            (
                "envoy.cluster.upstream_cx_length_ms",
                "envoy_cluster_upstream_cx_length_ms",
            ),
            ("http1.dropped-headers", "envoy_http1_dropped_headers"),
        ];
        for (name, expected) in cases {
            assert_eq!(envoy_metric_name(name).as_deref(), Some(expected));
        }
        assert_eq!(envoy_label_name("envoy.cluster_name"), "envoy_cluster_name");
    }
}

//! What a scraper accepts of what we can write.

use super::escape::Escaping;

/// How names are to be escaped for a client that sent this `Accept` header. The format is always text 0.0.4: that
/// is what `/federate` falls back to in Prometheus too, and it never offers OpenMetrics there.
///
/// The parameter `escaping` counts from the first clause on, in order of preference, up to the clause that names
/// our format, even when its own clause names another one; unknown schemes are ignored.
///
/// Source: prometheus/common `expfmt`, `NegotiateAccept`.
#[must_use]
pub fn negotiate(accept: Option<&str>) -> Escaping {
    let mut clauses: Vec<Clause<'_>> = accept.unwrap_or_default().split(',').map(Clause::parse).collect();
    clauses.sort_by(|a, b| {
        b.quality
            .total_cmp(&a.quality)
            .then(a.wildness().cmp(&b.wildness()))
    });
    let mut escaping = Escaping::default();
    for clause in &clauses {
        let asked = clause.parameter("escaping").and_then(Escaping::from_word);
        escaping = asked.unwrap_or(escaping);
        if clause.is_our_text() {
            break;
        }
    }
    escaping
}

impl Escaping {
    /// The `Content-Type` of a text written with this escaping.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8",
            Self::Underscores => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            Self::Dots => "text/plain; version=0.0.4; charset=utf-8; escaping=dots",
            Self::Values => "text/plain; version=0.0.4; charset=utf-8; escaping=values",
        }
    }
}

/// One of the comma-separated parts of an `Accept` header.
struct Clause<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f64,
}

impl<'a> Clause<'a> {
    fn parse(clause: &'a str) -> Self {
        let mut parts = clause.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let parameters: Vec<_> = parts
            .filter_map(|part| part.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
            .collect();
        let mut clause = Self {
            media_type,
            parameters,
            quality: 1.0,
        };
        if let Some(quality) = clause.parameter("q").and_then(|text| text.parse().ok()) {
            clause.quality = quality;
        }
        clause
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        let mut values = self.parameters.iter().filter(|parameter| parameter.0 == name);
        values.next().map(|parameter| parameter.1)
    }

    /// At equal quality the clause with fewer wildcards comes first.
    fn wildness(&self) -> usize {
        self.media_type.matches('*').count()
    }

    fn is_our_text(&self) -> bool {
        match self.media_type {
            "*/*" => true,
            "text/*" | "text/plain" => self.parameter("version").is_none_or(|version| version == "0.0.4"),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_picks_the_escaping() {
        let check = |accept: Option<&str>, expected| assert_eq!(negotiate(accept), expected, "{accept:?}");
        check(None, Escaping::Underscores);
        check(Some(""), Escaping::Underscores);
        check(Some("*/*"), Escaping::Underscores);
        check(Some("text/plain"), Escaping::Underscores);
        check(Some("text/plain;version=0.0.4;escaping=dots"), Escaping::Dots);
        check(
            Some("text/plain; version=0.0.4; escaping=values"),
            Escaping::Values,
        );
        check(Some("text/plain;escaping=wonderful"), Escaping::Underscores);
        // Behind our format nothing counts any more.
        check(
            Some("text/plain;q=0.5,application/x;escaping=dots;q=0.1"),
            Escaping::Underscores,
        );
        check(
            Some("application/x;escaping=dots;q=0.1,text/plain;q=0.5"),
            Escaping::Underscores,
        );
        check(Some("*/*,text/plain;escaping=dots"), Escaping::Dots);
    }

    #[test]
    fn prometheus_3_as_a_scraper_gets_utf8_names() {
        let accept = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                      application/openmetrics-text;version=0.0.1;q=0.5,\
                      text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                      text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert_eq!(negotiate(Some(accept)), Escaping::AllowUtf8);
        assert_eq!(
            negotiate(Some(accept)).content_type(),
            "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8"
        );
    }

    #[test]
    fn prometheus_2_as_a_scraper_gets_classic_names() {
        let accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(negotiate(Some(accept)), Escaping::Underscores);
    }
}

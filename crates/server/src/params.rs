//! Parameters of a request: the URL's and a posted form's, merged, and how Prometheus reads them.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};
use http_body_util::{BodyExt, Limited};
use model::duration::parse_duration_ms;
use model::{Clock, TimeRange, TimestampMs};

use crate::error::ApiError;

/// Bytes of a form. Go's limit, and enough for a query of a hundred dashboards' variables.
const FORM_BYTES_MAX: usize = 10 << 20;

/// Times beyond this (a quarter of a million years) are moved to it, so that sums of times and ranges stay in
/// range. Grafana asks for the year 56,000 when it probes for exemplars.
const TIME_MS_MAX: TimestampMs = i64::MAX / 1000;

/// What Prometheus makes of NaN and infinity as a time: 2^63 nanoseconds before 1970.
const NO_TIME_MS: TimestampMs = i64::MIN / NS_PER_MS;

/// Nanoseconds in a millisecond.
const NS_PER_MS: i64 = 1_000_000;

/// Names and values in order: a form's first, then the URL's.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let mut pairs = Vec::new();
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let is_form = content_type.is_some_and(|value| is_form(value.as_bytes()));
        if parts.method == Method::POST && is_form {
            push_pairs(&mut pairs, &read_form(body).await?);
        }
        push_pairs(&mut pairs, parts.uri.query().unwrap_or_default().as_bytes());
        Ok(Self(pairs))
    }
}

fn is_form(content_type: &[u8]) -> bool {
    let media_type = content_type
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    media_type
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
}

async fn read_form(body: Body) -> Result<Vec<u8>, ApiError> {
    match Limited::new(body, FORM_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes().into()),
        Err(error) => Err(ApiError::bad_data(format!(
            "error parsing form values: {error} (a form may have {FORM_BYTES_MAX} bytes)"
        ))),
    }
}

fn push_pairs(pairs: &mut Vec<(String, String)>, encoded: &[u8]) {
    let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned());
    pairs.extend(form_urlencoded::parse(encoded).map(owned));
}

impl Params {
    #[cfg(test)]
    pub(crate) fn of(query: &str) -> Self {
        let mut params = Self::default();
        params.push_encoded(query.as_bytes());
        params
    }

    /// Adds what a URL or a form says.
    pub(crate) fn push_encoded(&mut self, encoded: &[u8]) {
        push_pairs(&mut self.0, encoded);
    }

    /// Adds the members of a JSON object. Numbers are taken as they are written.
    pub(crate) fn push_json(&mut self, text: &str) -> Result<(), ApiError> {
        let object: serde_json::Value = serde_json::from_str(text)
            .map_err(|error| ApiError::bad_data(format!("the body is no JSON: {error}")))?;
        let serde_json::Value::Object(members) = object else {
            return Err(ApiError::bad_data("the body has to be a JSON object"));
        };
        for (name, value) in members {
            match value {
                serde_json::Value::String(text) => self.0.push((name, text)),
                serde_json::Value::Null => {}
                other => self.0.push((name, other.to_string())),
            }
        }
        Ok(())
    }

    /// The first value of `name`; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// Every value of `name`.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(other, _)| other == name);
        named.map(|(_, value)| value.as_str())
    }

    /// A time that has to be there.
    pub(crate) fn time(&self, name: &str) -> Result<TimestampMs, ApiError> {
        parse_time(self.get(name)).map_err(|reason| ApiError::parameter(name, reason))
    }

    /// A time that may be left out.
    pub(crate) fn time_or(&self, name: &str, default: TimestampMs) -> Result<TimestampMs, ApiError> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(default);
        }
        parse_time(text)
            .map_err(|reason| ApiError::parameter(name, format!("invalid time value for '{name}': {reason}")))
    }

    /// The instant of a query; now when it is left out.
    pub(crate) fn instant(&self, clock: &dyn Clock) -> Result<TimestampMs, ApiError> {
        self.time_or("time", clock.now_ms())
    }

    /// From `start` to `end`, both included and both all of time by default.
    pub(crate) fn range(&self) -> Result<TimeRange, ApiError> {
        let start_ms = self.time_or("start", TimestampMs::MIN)?;
        let end_ms = self.time_or("end", TimestampMs::MAX)?;
        Ok(TimeRange {
            start_ms: start_ms.saturating_sub(1),
            end_ms,
        })
    }

    /// A duration in nanoseconds that has to be there.
    pub(crate) fn duration_ns(&self, name: &str) -> Result<i64, ApiError> {
        parse_duration(self.get(name)).map_err(|reason| ApiError::parameter(name, reason))
    }

    /// `timeout`, when given. One that is not positive is over at once.
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, ApiError> {
        if self.get("timeout").is_empty() {
            return Ok(None);
        }
        let ns = self.duration_ns("timeout")?;
        Ok(Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(0))))
    }

    /// `lookback_delta`, when given and positive. Cut to milliseconds, so it may be 0, and nothing is found.
    pub(crate) fn lookback_ms(&self) -> Result<Option<i64>, ApiError> {
        let text = self.get("lookback_delta");
        if text.is_empty() {
            return Ok(None);
        }
        let ns = parse_duration(text).map_err(|reason| {
            ApiError::bad_data(format!("error parsing lookback delta duration: {reason}"))
        })?;
        Ok((ns > 0).then_some(ns / NS_PER_MS))
    }

    /// `limit`; zero means none.
    pub(crate) fn limit(&self) -> Result<Option<usize>, ApiError> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(None);
        }
        let bad = |reason: String| ApiError::parameter("limit", reason);
        let digits = text.strip_prefix('+').unwrap_or(text);
        match digits.parse::<i64>() {
            Err(error) => Err(bad(atoi_reason(text, &error))),
            Ok(limit) if limit < 0 => Err(bad("limit must be non-negative".into())),
            Ok(limit) => Ok(usize::try_from(limit).ok().filter(|limit| *limit > 0)),
        }
    }
}

/// What Go says about a number it cannot read.
fn atoi_reason(text: &str, error: &std::num::ParseIntError) -> String {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let what = match error.kind() {
        PosOverflow | NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.Atoi: parsing {text:?}: {what}")
}

/// Float seconds, rounded to milliseconds, or RFC 3339.
fn parse_time(text: &str) -> Result<TimestampMs, String> {
    if let Some(seconds) = parse_float(text) {
        if !seconds.is_finite() {
            return Ok(NO_TIME_MS);
        }
        return Ok(round_ms(seconds));
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => Ok(time.as_millisecond()),
        Err(_) => Err(format!("cannot parse {text:?} to a valid timestamp")),
    }
}

/// Float seconds or a duration such as `5m`, in nanoseconds.
fn parse_duration(text: &str) -> Result<i64, String> {
    if let Some(seconds) = parse_float(text) {
        let ns = seconds * 1e9;
        if ns.abs() > i64::MAX as f64 {
            return Err(format!(
                "cannot parse {text:?} to a valid duration. It overflows int64"
            ));
        }
        return Ok(if ns.is_nan() { i64::MIN } else { ns as i64 });
    }
    let ms = parse_duration_ms(text).ok_or_else(|| format!("cannot parse {text:?} to a valid duration"))?;
    Ok(ms.saturating_mul(NS_PER_MS))
}

/// A float as Go reads it: also "inf", "infinity" and "nan" in any case, and underscores between digits.
fn parse_float(text: &str) -> Option<f64> {
    if !text.contains('_') {
        return text.parse().ok();
    }
    let digits_apart = text.split('_').collect::<Vec<_>>();
    let is_apart = digits_apart.windows(2).all(|sides| {
        sides[0].ends_with(|c: char| c.is_ascii_digit()) && sides[1].starts_with(|c: char| c.is_ascii_digit())
    });
    is_apart.then(|| digits_apart.concat())?.parse().ok()
}

/// Milliseconds of float seconds. Whole seconds and the rest are taken apart before rounding, as Prometheus does:
/// `1.0005` is a little less than it looks.
fn round_ms(seconds: f64) -> TimestampMs {
    let whole_ms = seconds.trunc() * 1000.0;
    let rest_ms = (seconds.fract() * 1000.0).round();
    ((whole_ms + rest_ms) as TimestampMs).clamp(-TIME_MS_MAX, TIME_MS_MAX)
}

#[cfg(test)]
mod tests;

//! What the query API answered.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::http::Answer;

/// One reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `errorType`; empty on success.
    pub error_type: String,
    /// `error`; empty on success.
    pub error: String,
    /// `resultType`; empty on failure.
    pub result_type: String,
    /// The series in order; a scalar or string is one series without labels.
    pub series: Vec<ReplySeries>,
    /// `warnings`, sorted.
    pub warnings: Vec<String>,
    /// `infos`, sorted.
    pub infos: Vec<String>,
}

/// What the text of a native histogram begins with.
pub const HISTOGRAM: &str = "histogram";

/// One series of a reply.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplySeries {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Time as written, value as written; a native histogram as [`HISTOGRAM`] and its numbers.
    pub samples: Vec<(String, String)>,
}

impl Reply {
    /// Reads a reply of `/api/v1/query` or `/api/v1/query_range`.
    ///
    /// # Errors
    /// If it is not what the API describes.
    pub fn read(answer: &Answer) -> Result<Self> {
        let json = answer.json()?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| {
            let mut list: Vec<String> = value.as_array().into_iter().flatten().map(text).collect();
            list.sort();
            list
        };
        let data = &json["data"];
        let result_type = text(&data["resultType"]);
        let series = match result_type.as_str() {
            "scalar" | "string" => vec![ReplySeries {
                labels: BTreeMap::new(),
                samples: vec![sample(&data["result"])?],
            }],
            "" => Vec::new(),
            _ => {
                let list = data["result"].as_array().context("the result is no list")?;
                list.iter().map(series).collect::<Result<_>>()?
            }
        };
        Ok(Self {
            status: answer.status,
            error_type: text(&json["errorType"]),
            error: text(&json["error"]),
            result_type,
            series,
            warnings: list(&json["warnings"]),
            infos: list(&json["infos"]),
        })
    }

    /// True on success with at least one series.
    #[must_use]
    pub fn has_data(&self) -> bool {
        !self.series.is_empty()
    }
}

fn series(one: &Value) -> Result<ReplySeries> {
    let labels = one["metric"].as_object().context("a series without labels")?;
    let labels = labels
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect();
    let list = |many: &str, single: &str| -> Vec<Value> {
        match (&one[many], &one[single]) {
            (Value::Array(list), _) => list.clone(),
            (_, Value::Null) => Vec::new(),
            (_, single) => vec![single.clone()],
        }
    };
    let floats = list("values", "value");
    let histograms = list("histograms", "histogram");
    let samples = floats.iter().map(sample);
    let samples = samples.chain(histograms.iter().map(histogram));
    let mut samples = samples.collect::<Result<Vec<_>>>()?;
    if !histograms.is_empty() {
        let seconds = |(time, _): &(String, String)| time.parse::<f64>().unwrap_or(f64::NAN);
        samples.sort_by(|a, b| seconds(a).total_cmp(&seconds(b)));
    }
    Ok(ReplySeries { labels, samples })
}

/// The time of a native histogram and its numbers, one after the other.
fn histogram(pair: &Value) -> Result<(String, String)> {
    let time = pair[0].as_number().context("a histogram without time")?;
    let mut text = HISTOGRAM.to_owned();
    let mut push = |value: &Value| {
        let word = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.push(' ');
        text.push_str(&word);
    };
    push(&pair[1]["count"]);
    push(&pair[1]["sum"]);
    for bucket in pair[1]["buckets"].as_array().into_iter().flatten() {
        bucket.as_array().into_iter().flatten().for_each(&mut push);
    }
    Ok((time.to_string(), text))
}

fn sample(pair: &Value) -> Result<(String, String)> {
    let time = pair[0].as_number().context("a sample without time")?;
    let value = pair[1].as_str().context("a sample without value")?;
    Ok((time.to_string(), value.to_owned()))
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LINES_MAX: usize = 12;
        if self.status != 200 || !self.error.is_empty() {
            return write!(f, "{} {}: {}", self.status, self.error_type, self.error);
        }
        write!(
            f,
            "{} {} of {} series",
            self.status,
            self.result_type,
            self.series.len()
        )?;
        for series in self.series.iter().take(LINES_MAX) {
            let samples = series.samples.iter().take(LINES_MAX);
            let samples: Vec<String> = samples.map(|(time, value)| format!("{value}@{time}")).collect();
            let more = if series.samples.len() > LINES_MAX {
                " …"
            } else {
                ""
            };
            write!(f, "\n      {} {}{more}", series.labels_text(), samples.join(" "))?;
        }
        if self.series.len() > LINES_MAX {
            f.write_str("\n      …")?;
        }
        for (kind, list) in [("warning", &self.warnings), ("info", &self.infos)] {
            for text in list {
                write!(f, "\n      {kind}: {text}")?;
            }
        }
        Ok(())
    }
}

impl ReplySeries {
    /// Its labels as PromQL writes them.
    #[must_use]
    pub fn labels_text(&self) -> String {
        let labels = self
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"));
        format!("{{{}}}", labels.collect::<Vec<_>>().join(", "))
    }
}

//! `/api/v1/query` and `/api/v1/query_range`.

use std::fmt::Write;

use axum::extract::State;
use model::TimestampMs;
use model::number::push_plain_float;
use query::{Explained, QueryRequest, QueryResult, QueryStats, QueryTimes, SeriesSet, Value};

use crate::app::{App, IfReady};
use crate::error::{ApiError, ErrorKind};
use crate::json;
use crate::params::Params;
use crate::reply::{ApiResult, Pieces, Reply};

/// Most points per series of a range query.
const POINTS_MAX: i128 = 11_000;

/// The value of an expression at one time.
pub(crate) async fn instant(
    State(app): State<App>,
    ready: IfReady,
    reply: Reply,
    params: Params,
) -> ApiResult {
    let limit = params.limit()?;
    let times = QueryTimes::Instant {
        time_ms: params.instant(&*app.clock)?,
    };
    answer(&ready, &reply, &params, times, limit).await
}

/// The values of an expression at many times.
pub(crate) async fn range(ready: IfReady, reply: Reply, params: Params) -> ApiResult {
    let limit = params.limit()?;
    let times = range_times(&params)?;
    answer(&ready, &reply, &params, times, limit).await
}

fn range_times(params: &Params) -> Result<QueryTimes, ApiError> {
    let start_ms = params.time("start")?;
    let end_ms = params.time("end")?;
    if end_ms < start_ms {
        return Err(ApiError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step_ns = params.duration_ns("step")?;
    if step_ns <= 0 {
        return Err(ApiError::parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if i128::from(end_ms - start_ms) * 1_000_000 / i128::from(step_ns) > POINTS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. \
             Try decreasing the query resolution (?step=XX)",
        ));
    }
    let step_ms = step_ns / 1_000_000;
    if step_ms == 0 {
        return Err(ApiError::new(
            ErrorKind::Execution,
            "the step is shorter than a millisecond",
        ));
    }
    Ok(QueryTimes::Range {
        start_ms,
        end_ms,
        step_ms,
    })
}

async fn answer(
    ready: &IfReady,
    reply: &Reply,
    params: &Params,
    times: QueryTimes,
    limit: Option<usize>,
) -> ApiResult {
    let request = QueryRequest {
        text: params.get("query").to_owned(),
        times,
        lookback_ms: params.lookback_ms()?,
        timeout: params.timeout()?,
        limit,
        per_step_stats: params.get("stats") == "all",
        explain: !matches!(params.get("explain"), "" | "0" | "false"),
    };
    let stats = params.get("stats");
    let mut result = ready.opened.engine.query(request).await?;
    result.warnings.extend(stats_warning(stats));
    let n_steps = match times {
        QueryTimes::Instant { .. } => 1,
        QueryTimes::Range {
            start_ms,
            end_ms,
            step_ms,
        } => (end_ms - start_ms) / step_ms + 1,
    };
    Ok(reply.pieces(
        json::CONTENT_TYPE,
        Answer::new(result, n_steps, !stats.is_empty()),
    ))
}

/// `stats`: any value asks for them, but those that say nothing are to go.
fn stats_warning(stats: &str) -> Option<String> {
    let is_known = matches!(stats, "" | "true" | "all");
    (!is_known).then(|| {
        format!(
            "value {stats:?} for parameter \"stats\" is deprecated and will be rejected in the next major release, \
             use \"true\" or \"all\""
        )
    })
}

/// A result that writes itself, series by series.
struct Answer {
    result: QueryResult,
    /// Series written so far.
    n_written: usize,
    /// Points per series, at most, unless the result is a list of raw samples.
    n_steps: i64,
    stats: bool,
}

/// Series of no more points than this are written on the spot, some of them: about 100 µs.
const SHORT_PART_POINTS: i64 = 1_000;

impl Answer {
    fn new(result: QueryResult, n_steps: i64, stats: bool) -> Self {
        Self {
            result,
            n_written: 0,
            n_steps,
            stats,
        }
    }

    fn write_head(&self, json: &mut String) {
        json.push_str(r#"{"status":"success","data":{"resultType":""#);
        json.push_str(match &self.result.value {
            Value::Scalar { .. } => "scalar",
            Value::String { .. } => "string",
            Value::Vector(_) => "vector",
            Value::Matrix(_) => "matrix",
        });
        json.push_str(r#"","result":["#);
        match &self.result.value {
            Value::Scalar { timestamp_ms, value } => {
                // Unlike samples, scalars never have an exponent.
                json::push_timestamp(json, *timestamp_ms);
                json.push_str(",\"");
                push_plain_float(json, *value);
                json.push('"');
            }
            Value::String { timestamp_ms, text } => {
                json::push_timestamp(json, *timestamp_ms);
                json.push(',');
                json::push_string(json, text);
            }
            Value::Vector(_) | Value::Matrix(_) => {}
        }
    }

    fn write_tail(&self, json: &mut String) {
        json.push(']');
        if self.stats {
            push_stats(json, &self.result.stats);
        }
        if let Some(explained) = &self.result.explained {
            json.push_str(",\"explain\":");
            push_explained(json, explained);
        }
        json.push('}');
        for (name, texts) in [("warnings", &self.result.warnings), ("infos", &self.result.infos)] {
            if !texts.is_empty() {
                json.push_str(",\"");
                json.push_str(name);
                json.push_str("\":");
                json::push_strings(json, texts);
            }
        }
        json.push('}');
    }

    fn series(&self) -> Option<(&SeriesSet, bool)> {
        match &self.result.value {
            Value::Vector(series) => Some((series, false)),
            Value::Matrix(series) => Some((series, true)),
            Value::Scalar { .. } | Value::String { .. } => None,
        }
    }
}

impl Pieces for Answer {
    fn write(&mut self, json: &mut String) -> bool {
        if self.n_written == 0 {
            self.write_head(json);
        }
        let n_series = match self.series() {
            Some((series, is_matrix)) if self.n_written < series.n_series() => {
                if self.n_written > 0 {
                    json.push(',');
                }
                push_series(json, series, self.n_written, is_matrix);
                series.n_series()
            }
            _ => 0,
        };
        self.n_written += 1;
        let more = self.n_written < n_series;
        if !more {
            self.write_tail(json);
        }
        more
    }

    fn has_short_parts(&self) -> bool {
        match &self.result.value {
            Value::Scalar { .. } | Value::String { .. } | Value::Vector(_) => true,
            // The one step of an instant query says nothing about the samples of `m[5m]`.
            Value::Matrix(_) => self.n_steps > 1 && self.n_steps <= SHORT_PART_POINTS,
        }
    }
}

fn push_series(json: &mut String, series: &SeriesSet, series_idx: usize, is_matrix: bool) {
    json.push_str(r#"{"metric":"#);
    json::push_labels(json, series.labels(series_idx));
    let names = if is_matrix {
        [r#","values":["#, r#","histograms":["#]
    } else {
        [r#","value":"#, r#","histogram":"#]
    };
    push_points(
        json,
        names[0],
        is_matrix,
        series.points(series_idx),
        |json, (time_ms, value)| {
            json::push_point(json, time_ms, value);
        },
    );
    push_points(
        json,
        names[1],
        is_matrix,
        series.histograms(series_idx),
        |json, (time_ms, value)| {
            json::push_histogram_point(json, time_ms, value);
        },
    );
    json.push('}');
}

/// The points of one kind under their name; nothing if there are none.
fn push_points<T>(
    json: &mut String,
    name: &str,
    is_matrix: bool,
    points: impl Iterator<Item = T>,
    push: impl Fn(&mut String, T),
) {
    let mut is_any = false;
    for point in points {
        json.push_str(if is_any { "," } else { name });
        is_any = true;
        push(json, point);
    }
    if is_any && is_matrix {
        json.push(']');
    }
}

fn push_stats(json: &mut String, stats: &QueryStats) {
    let total = stats.prepare_time + stats.eval_time + stats.sort_time;
    write!(
        json,
        r#","stats":{{"timings":{{"evalTotalTime":{},"resultSortTime":{},"queryPreparationTime":{},"innerEvalTime":{},"execQueueTime":{},"execTotalTime":{}}},"samples":{{"totalQueryableSamples":{},"samplesRead":{},"peakSamples":{}"#,
        total.as_secs_f64(),
        stats.sort_time.as_secs_f64(),
        stats.prepare_time.as_secs_f64(),
        stats.eval_time.as_secs_f64(),
        stats.queue_time.as_secs_f64(),
        (total + stats.queue_time).as_secs_f64(),
        stats.samples_queryable,
        stats.samples_read,
        // What is held is counted in bytes here; a sample has sixteen.
        stats.peak_bytes / 16,
    )
    .expect("writing to a String cannot fail");
    if let Some(steps) = &stats.per_step {
        let seen = steps.iter().map(|&(time_ms, seen, _)| (time_ms, seen));
        push_steps(json, "totalQueryableSamplesPerStep", seen);
        let read = steps.iter().map(|&(time_ms, _, read)| (time_ms, read));
        push_steps(json, "samplesReadPerStep", read);
    }
    json.push_str("}}");
}

/// A number for each step, under a name.
fn push_steps(json: &mut String, name: &str, steps: impl Iterator<Item = (TimestampMs, u64)>) {
    write!(json, ",\"{name}\":[").expect("writing to a String cannot fail");
    for (position, (time_ms, count)) in steps.enumerate() {
        json.push_str(if position > 0 { ",[" } else { "[" });
        json::push_timestamp(json, time_ms);
        write!(json, ",{count}]").expect("writing to a String cannot fail");
    }
    json.push(']');
}

fn push_explained(json: &mut String, explained: &Explained) {
    json.push_str(r#"{"operator":"#);
    json::push_string(json, explained.operator);
    json.push_str(r#","details":"#);
    json::push_string(json, &explained.details);
    write!(
        json,
        r#","partitions":{},"series":{},"busySeconds":{},"peakBytes":{}"#,
        explained.n_partitions,
        explained.n_series,
        explained.busy.as_secs_f64(),
        explained.peak_bytes,
    )
    .expect("writing to a String cannot fail");
    if let (Some(n_read), Some(n_queryable)) = (explained.samples_read, explained.samples_queryable) {
        write!(
            json,
            r#","samplesRead":{n_read},"samplesQueryable":{n_queryable}"#
        )
        .expect("writing to a String cannot fail");
    }
    json.push_str(r#","inputs":["#);
    for (position, input) in explained.inputs.iter().enumerate() {
        if position > 0 {
            json.push(',');
        }
        push_explained(json, input);
    }
    json.push_str("]}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_ranges_are_refused_with_the_texts_of_prometheus() {
        let check = |query: &str, expected: &str| {
            let error = range_times(&Params::of(query)).unwrap_err();
            assert_eq!(error, ApiError::bad_data(expected), "{query}");
        };
        check(
            "",
            r#"invalid parameter "start": cannot parse "" to a valid timestamp"#,
        );
        check(
            "start=1&end=x",
            r#"invalid parameter "end": cannot parse "x" to a valid timestamp"#,
        );
        check(
            "start=1&end=0",
            r#"invalid parameter "end": end timestamp must not be before start time"#,
        );
        check(
            "start=1&end=2",
            r#"invalid parameter "step": cannot parse "" to a valid duration"#,
        );
        check(
            "start=1&end=2&step=0",
            r#"invalid parameter "step": zero or negative query resolution step widths are not accepted. Try a positive integer"#,
        );
        check(
            "start=1&end=11002&step=1",
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        );
        assert!(range_times(&Params::of("start=1&end=11001&step=1")).is_ok());
        assert!(range_times(&Params::of("start=-1e300&end=1e300&step=1e10")).is_err());
    }
}

//! Questions about series instead of values: `/series`, `/labels`, `/label/<name>/values`.

use std::sync::Arc;

use axum::extract::Path;
use model::Matcher;
use query::LabelSets;

use crate::app::IfReady;
use crate::error::ApiError;
use crate::json;
use crate::label_name::unescape;
use crate::params::Params;
use crate::reply::{ApiResult, Pieces, Reply};

const TRUNCATED: &str = "results truncated due to limit";

/// The label sets that selectors pick.
pub(crate) async fn series(ready: IfReady, reply: Reply, params: Params) -> ApiResult {
    if params.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let range = params.range()?;
    let limit = params.limit()?;
    let selectors = selectors(&params)?;
    for matchers in &selectors {
        check_not_everything(matchers).map_err(|reason| ApiError::parameter("match[]", reason))?;
    }
    // One more than asked for, to know whether there are more.
    let one_more = limit.map(|limit| limit + 1);
    let found = ready.opened.engine.series(selectors, range, one_more).await?;
    Ok(reply.pieces(json::CONTENT_TYPE, SeriesList::new(found, limit)))
}

/// The names of labels.
pub(crate) async fn label_names(ready: IfReady, reply: Reply, params: Params) -> ApiResult {
    let (range, limit) = (params.range()?, params.limit()?);
    let selectors = restricting_selectors(&params)?;
    let names = ready.opened.engine.label_names(selectors, range).await?;
    Ok(reply.pieces(json::CONTENT_TYPE, Texts::new(names, limit)))
}

/// The values of one label.
pub(crate) async fn label_values(
    ready: IfReady,
    reply: Reply,
    Path(name): Path<String>,
    params: Params,
) -> ApiResult {
    let (range, limit) = (params.range()?, params.limit()?);
    let selectors = restricting_selectors(&params)?;
    let engine = &ready.opened.engine;
    let values = engine.label_values(unescape(&name), selectors, range).await?;
    Ok(reply.pieces(json::CONTENT_TYPE, Texts::new(values, limit)))
}

/// The selectors of all `match[]`.
pub(crate) fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, ApiError> {
    params
        .all("match[]")
        .map(|text| promql::parse_selector(text).map_err(|error| ApiError::parameter("match[]", error)))
        .collect()
}

/// The selectors of all `match[]`, each of which has to leave something out.
fn restricting_selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let selectors = selectors(params)?;
    for matchers in &selectors {
        check_not_everything(matchers).map_err(ApiError::bad_data)?;
    }
    Ok(selectors)
}

fn check_not_everything(matchers: &[Matcher]) -> Result<(), &'static str> {
    if matchers.iter().all(Matcher::matches_empty) {
        return Err("match[] must contain at least one non-empty matcher");
    }
    Ok(())
}

/// A list of label sets.
struct SeriesList {
    found: LabelSets,
    n_series: usize,
    n_written: usize,
}

impl SeriesList {
    fn new(found: LabelSets, limit: Option<usize>) -> Self {
        let n_series = limit.map_or(found.n_series(), |limit| limit.min(found.n_series()));
        Self {
            found,
            n_series,
            n_written: 0,
        }
    }
}

/// Series in a part: enough to make parts few, few enough to keep them small.
const SERIES_PER_PART: usize = 16;

impl Pieces for SeriesList {
    fn write(&mut self, json: &mut String) -> bool {
        if self.n_written == 0 {
            json.push_str(r#"{"status":"success","data":["#);
        }
        let end = self.n_series.min(self.n_written + SERIES_PER_PART);
        for series_idx in self.n_written..end {
            if series_idx > 0 {
                json.push(',');
            }
            json::push_labels(json, self.found.labels(series_idx));
        }
        self.n_written = end;
        let more = end < self.n_series;
        if !more {
            push_end(json, self.n_series < self.found.n_series());
        }
        more
    }
}

/// A list of texts.
struct Texts {
    texts: Vec<Arc<str>>,
    truncated: bool,
    n_written: usize,
}

impl Texts {
    fn new(mut texts: Vec<Arc<str>>, limit: Option<usize>) -> Self {
        let n_found = texts.len();
        texts.truncate(limit.unwrap_or(usize::MAX));
        Self {
            truncated: texts.len() < n_found,
            texts,
            n_written: 0,
        }
    }
}

const TEXTS_PER_PART: usize = 1024;

impl Pieces for Texts {
    fn write(&mut self, json: &mut String) -> bool {
        if self.n_written == 0 {
            json.push_str(r#"{"status":"success","data":["#);
        }
        let part = self.texts.iter().skip(self.n_written).take(TEXTS_PER_PART);
        for text in part {
            if self.n_written > 0 {
                json.push(',');
            }
            json::push_string(json, text);
            self.n_written += 1;
        }
        let more = self.n_written < self.texts.len();
        if !more {
            push_end(json, self.truncated);
        }
        more
    }
}

fn push_end(json: &mut String, truncated: bool) {
    json.push(']');
    if truncated {
        json.push_str(",\"warnings\":");
        json::push_strings(json, [TRUNCATED]);
    }
    json.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(mut pieces: impl Pieces) -> String {
        let mut json = String::new();
        while pieces.write(&mut json) {}
        json
    }

    #[test]
    fn a_truncated_list_carries_a_warning() {
        let texts = || ["a", "b", "c"].map(Arc::from).to_vec();
        assert_eq!(
            whole(Texts::new(texts(), None)),
            r#"{"status":"success","data":["a","b","c"]}"#
        );
        assert_eq!(
            whole(Texts::new(texts(), Some(3))),
            r#"{"status":"success","data":["a","b","c"]}"#
        );
        assert_eq!(
            whole(Texts::new(texts(), Some(2))),
            r#"{"status":"success","data":["a","b"],"warnings":["results truncated due to limit"]}"#
        );
        assert_eq!(
            whole(Texts::new(Vec::new(), None)),
            r#"{"status":"success","data":[]}"#
        );
    }

    #[test]
    fn long_lists_are_written_in_parts() {
        let texts: Vec<Arc<str>> = (0..5_000).map(|n| Arc::from(format!("value {n}"))).collect();
        let json = whole(Texts::new(texts.clone(), None));
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        let expected: Vec<&str> = texts.iter().map(|text| &**text).collect();
        assert_eq!(read["data"], serde_json::json!(expected));
    }

    #[test]
    fn selectors_have_to_leave_something_out() {
        let check = |query: &str| restricting_selectors(&Params::of(query)).map(|all| all.len());
        assert_eq!(check(""), Ok(0));
        assert_eq!(check("match[]=up&match[]={job=~\"a.*\"}"), Ok(2));
        assert_eq!(
            check("match[]={a=\"\"}"),
            Err(ApiError::bad_data(
                "match[] must contain at least one non-empty matcher"
            ))
        );
        assert_eq!(
            check("match[]=up{"),
            Err(ApiError::bad_data(
                "invalid parameter \"match[]\": 1:4: parse error: unexpected end of input inside braces"
            ))
        );
    }
}

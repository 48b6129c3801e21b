//! What is asked, and in which of the ways one may ask.
//!
//! The statement is the body itself, or the field `query` of a form or of a JSON object. `curl -d 'SELECT …'` says it
//! sends a form and sends a statement; a form without a field that is known here is taken as one.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};

use super::writer::SqlFormat;
use crate::error::ApiError;
use crate::params::Params;

/// Bytes of a body. A statement of the largest size fits, however it is encoded.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A statement and how its result is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SqlQuery {
    pub(super) text: String,
    pub(super) format: SqlFormat,
    pub(super) timeout: Option<Duration>,
}

impl<S: Send + Sync> FromRequest<S> for SqlQuery {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let body = read(body).await?;
        let mut params = Params::default();
        let text = match media_type(&parts.headers).as_str() {
            "application/x-www-form-urlencoded" => {
                params.push_encoded(body.as_bytes());
                let is_form = ["query", "format", "timeout"]
                    .iter()
                    .any(|name| params.all(name).next().is_some());
                if is_form {
                    None
                } else {
                    params = Params::default();
                    Some(body)
                }
            }
            "application/json" => {
                params.push_json(&body)?;
                None
            }
            _ => Some(body),
        };
        params.push_encoded(parts.uri.query().unwrap_or_default().as_bytes());
        let text = match text {
            Some(text) if !text.trim().is_empty() => text,
            _ => params.get("query").to_owned(),
        };
        Ok(Self {
            text,
            format: format(&params, &parts.headers)?,
            timeout: params.timeout()?,
        })
    }
}

async fn read(body: Body) -> Result<String, ApiError> {
    let collected = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let bytes = collected.map_err(|error| {
        ApiError::bad_data(format!(
            "cannot read the statement: {error} (a body may have {BODY_BYTES_MAX} bytes)"
        ))
    })?;
    String::from_utf8(bytes.to_bytes().into())
        .map_err(|error| ApiError::bad_data(format!("the statement is not UTF-8: {error}")))
}

/// Without parameters, in small letters.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// `format=`, or else the first of `Accept` that is known, or else JSON.
fn format(params: &Params, headers: &HeaderMap) -> Result<SqlFormat, ApiError> {
    let name = params.get("format");
    if !name.is_empty() {
        return SqlFormat::named(name).ok_or_else(|| {
            ApiError::parameter("format", format!("{name:?} is none of json, csv and arrow"))
        });
    }
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut media_types = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|entry| entry.split(';').next().unwrap_or_default().trim());
    Ok(media_types
        .find_map(SqlFormat::of_media_type)
        .unwrap_or(SqlFormat::Json))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, headers: &[(&str, &str)], body: &str) -> Result<SqlQuery, ApiError> {
        let mut request = Request::post(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(SqlQuery::from_request(request, &()))
    }

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");

    fn text_of(url: &str, headers: &[(&str, &str)], body: &str) -> String {
        read(url, headers, body).unwrap().text
    }

    #[test]
    fn a_statement_may_come_as_body_form_json_or_in_the_url() {
        let statement = "SELECT 1 + 1 FROM a WHERE b = 'c%25'";
        assert_eq!(text_of("/s", &[], statement), statement);
        assert_eq!(text_of("/s", &[FORM], statement), statement);
        assert_eq!(
            text_of("/s", &[FORM], "query=SELECT+1+%2B+1&format=csv"),
            "SELECT 1 + 1"
        );
        assert_eq!(
            text_of("/s", &[JSON], r#"{"query":"SELECT 'ü'","format":"csv"}"#),
            "SELECT 'ü'"
        );
        assert_eq!(text_of("/s?query=SELECT+2", &[], ""), "SELECT 2");
    }

    #[test]
    fn the_format_is_named_or_accepted() {
        let check = |url: &str, accept: &str, expected: SqlFormat| {
            let query = read(url, &[("accept", accept)], "SELECT 1").unwrap();
            assert_eq!(query.format, expected, "{url} {accept}");
        };
        check("/s", "*/*", SqlFormat::Json);
        check("/s", "text/html, text/csv;q=0.5", SqlFormat::Csv);
        check("/s", "application/vnd.apache.arrow.stream", SqlFormat::Arrow);
        check("/s?format=json", "text/csv", SqlFormat::Json);
        let query = read(
            "/s",
            &[JSON],
            r#"{"query":"SELECT 1","format":"arrow","timeout":"5s"}"#,
        )
        .unwrap();
        assert_eq!(
            (query.format, query.timeout),
            (SqlFormat::Arrow, Some(Duration::from_secs(5)))
        );
        let error = read("/s?format=xml", &[], "SELECT 1").unwrap_err();
        assert!(error.message.contains("json, csv and arrow"), "{error:?}");
    }

    #[test]
    fn bodies_that_cannot_be_read_are_refused() {
        assert!(read("/s", &[JSON], "[1]").unwrap_err().message.contains("object"));
        assert!(read("/s", &[JSON], "{").unwrap_err().message.contains("JSON"));
        let long = "x".repeat(BODY_BYTES_MAX + 1);
        assert!(read("/s", &[], &long).unwrap_err().message.contains("bytes"));
    }
}

//! A blocking HTTP client: keep-alive, any status is an answer.

use std::time::Duration;

use anyhow::{Context, Result};

/// One connection's worth of client. Clones share the connection pool.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, decoded from chunks.
    pub body: Vec<u8>,
}

impl Client {
    /// A client of the server at `base`, such as `http://127.0.0.1:9090`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build();
        Self {
            agent: config.new_agent(),
            base: base.to_owned(),
        }
    }

    /// GET of a path, which may hold a percent-encoded query.
    ///
    /// # Errors
    /// If no answer arrives.
    pub fn get(&self, path: &str) -> Result<Answer> {
        let url = format!("{}{path}", self.base);
        let response = self
            .agent
            .get(&url)
            .call()
            .with_context(|| format!("GET {url}"))?;
        Answer::read(response)
    }

    /// POST of a body with these headers.
    ///
    /// # Errors
    /// If no answer arrives.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        let url = format!("{}{path}", self.base);
        let mut request = self.agent.post(&url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send(body).with_context(|| format!("POST {url}"))?)
    }

    /// POST of a form.
    ///
    /// # Errors
    /// If no answer arrives.
    pub fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        let url = format!("{}{path}", self.base);
        let fields = fields.iter().map(|(name, value)| (*name, *value));
        Answer::read(
            self.agent
                .post(&url)
                .send_form(fields)
                .with_context(|| format!("POST {url}"))?,
        )
    }

    /// A remote-write 1.0 request, already compressed.
    ///
    /// # Errors
    /// If no answer arrives.
    pub fn remote_write(&self, body: &[u8]) -> Result<Answer> {
        let headers = [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "0.1.0"),
        ];
        self.post("/api/v1/write", &headers, body)
    }

    /// A remote-write 2.0 request, already compressed.
    ///
    /// # Errors
    /// If no answer arrives.
    pub fn remote_write_v2(&self, body: &[u8]) -> Result<Answer> {
        let headers = [
            (
                "content-type",
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            ),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", "2.0.0"),
        ];
        self.post("/api/v1/write", &headers, body)
    }

    /// The `data` of a successful API reply.
    ///
    /// # Errors
    /// If there is no answer, or it is not a success.
    pub fn api(&self, path: &str, fields: &[(&str, &str)]) -> Result<serde_json::Value> {
        let answer = self.post_form(path, fields)?;
        let reply = answer.json()?;
        anyhow::ensure!(
            reply["status"] == "success",
            "{path} {fields:?}: {} {}",
            answer.status,
            answer.text()
        );
        Ok(reply["data"].clone())
    }
}

impl Answer {
    fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Self> {
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        let body = response
            .body_mut()
            .with_config()
            .limit(4 << 30)
            .read_to_vec()
            .context("read the body")?;
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// The body as text; damaged UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// If it is none.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("status {}: {}", self.status, self.text()))
    }

    /// The first header of that name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

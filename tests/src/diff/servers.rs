//! The two servers that are compared, with the same data in both.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::case::{Case, Method};
use super::dataset::Dataset;
use super::reply::Reply;
use crate::http::Client;
use crate::process::Server;

/// How to start a server.
#[derive(Debug, Clone)]
pub enum Program {
    /// A Prometheus 3.5.
    Prometheus(PathBuf),
    /// Meshtide.
    Meshtide(PathBuf),
}

/// A running pair.
#[derive(Debug)]
pub struct Pair {
    expected: Running,
    actual: Running,
}

/// A server and its folder, which goes when it goes.
#[derive(Debug)]
struct Running {
    client: Client,
    _server: Server,
    _folder: TempDir,
}

impl Pair {
    /// Starts both and gives them the data.
    ///
    /// # Errors
    /// If one does not start or refuses some of the data.
    pub fn start(expected: &Program, actual: &Program, data: &Dataset) -> Result<Self> {
        let pair = Self {
            expected: expected.start()?,
            actual: actual.start()?,
        };
        for request in data.requests() {
            for running in [&pair.expected, &pair.actual] {
                let answer = running.client.remote_write(&request)?;
                ensure!(
                    matches!(answer.status, 200 | 204),
                    "the data is refused: {} {}",
                    answer.status,
                    answer.text()
                );
            }
        }
        Ok(pair)
    }

    /// What the server that is right answers.
    ///
    /// # Errors
    /// If it does not answer as the API describes.
    pub fn expect(&self, case: &Case) -> Result<Reply> {
        self.expected.ask(case)
    }

    /// What both answer: the expected, then the actual reply.
    ///
    /// # Errors
    /// If one does not answer as the API describes.
    pub fn ask(&self, case: &Case) -> Result<(Reply, Reply)> {
        Ok((self.expected.ask(case)?, self.actual.ask(case)?))
    }
}

impl Program {
    fn start(&self) -> Result<Running> {
        let folder = tempfile::tempdir()?;
        let server = match self {
            Self::Prometheus(program) => start_prometheus(program, folder.path()),
            Self::Meshtide(program) => start_meshtide(program, folder.path()),
        }?;
        Ok(Running {
            client: server.client(),
            _server: server,
            _folder: folder,
        })
    }
}

impl Running {
    fn ask(&self, case: &Case) -> Result<Reply> {
        let (path, fields) = case.request();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let answer = match case.wording.method {
            Method::Post => self.client.post_form(path, &fields)?,
            Method::Get => self.client.get(&with_fields(path, &fields))?,
            Method::Both => {
                let (query, rest): (Vec<_>, Vec<_>) =
                    fields.into_iter().partition(|(name, _)| *name == "query");
                self.client.post_form(&with_fields(path, &rest), &query)?
            }
        };
        Reply::read(&answer).with_context(|| case.to_string())
    }
}

/// The path with the fields behind a question mark.
fn with_fields(path: &str, fields: &[(&str, &str)]) -> String {
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", percent_encoded(value)));
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            b' ' => "+".to_owned(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn start_prometheus(program: &Path, folder: &Path) -> Result<Server> {
    let config = folder.join("prometheus.yml");
    std::fs::write(&config, "global:\n  evaluation_interval: 1m\n")?;
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", folder.join("data").display()),
        "--web.listen-address=127.0.0.1:{port}".to_owned(),
        "--web.enable-remote-write-receiver".to_owned(),
        "--enable-feature=promql-experimental-functions,promql-duration-expr,native-histograms".to_owned(),
    ];
    Server::start(program, &arguments, &folder.join("log"))
}

fn start_meshtide(program: &Path, folder: &Path) -> Result<Server> {
    let config = folder.join("meshtide.yaml");
    std::fs::write(&config, "query: {experimental: true}\n")?;
    let arguments = [
        "serve".to_owned(),
        format!("--config={}", config.display()),
        format!("--data-dir={}", folder.join("data").display()),
        "--http-listen=127.0.0.1:{port}".to_owned(),
        // The data may end at any time, long ago for one.
        "--retention=36500d".to_owned(),
    ];
    Server::start(program, &arguments, &folder.join("log"))
}

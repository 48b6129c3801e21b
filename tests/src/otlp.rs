//! A server that takes OTLP, as tests of real senders use it.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::peers;
use crate::process::{Server, free_port};

/// A running Meshtide with its ports for OTLP.
#[derive(Debug)]
pub struct OtlpServer {
    /// The process.
    pub server: Server,
    /// Port of gRPC.
    pub grpc: u16,
    /// Port of HTTP.
    pub http: u16,
}

impl OtlpServer {
    /// Starts it with its data in `folder/name`, its log beside it, and more arguments.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(folder: &Path, name: &str, more: &[String]) -> Result<Self> {
        let (grpc, http) = (free_port()?, free_port()?);
        let mut arguments = vec![
            "serve".to_owned(),
            format!("--data-dir={}", folder.join(name).display()),
            "--http-listen=127.0.0.1:{port}".to_owned(),
            format!("--otlp-grpc-listen=127.0.0.1:{grpc}"),
            format!("--otlp-http-listen=127.0.0.1:{http}"),
        ];
        arguments.extend_from_slice(more);
        let log = folder.join(format!("{name}.log"));
        let server = Server::start(&peers::meshtide(), &arguments, &log)?;
        Ok(Self { server, grpc, http })
    }

    /// The only value of a query, now.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn value(&self, query: &str) -> Result<String> {
        let data = self.server.client().api("/api/v1/query", &[("query", query)])?;
        let result = data["result"].as_array().map_or(&[][..], Vec::as_slice);
        ensure!(result.len() == 1, "{query} has {} results: {data}", result.len());
        let value = result[0]["value"][1].as_str();
        value.map(str::to_owned).context("no value")
    }

    /// Compares queries, in which `LABELS` stands for `labels`, with their values.
    ///
    /// # Errors
    /// The first that differs.
    pub fn check(&self, expected: &[(&str, &str)], labels: &str) -> Result<()> {
        for (query, value) in expected {
            let query = query.replace("LABELS", labels);
            let found = self.value(&query)?;
            ensure!(found == *value, "{query} is {found}, not {value}");
        }
        Ok(())
    }
}

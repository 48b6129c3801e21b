//! The servers that are measured, each with the arguments that make the comparison fair.

use std::path::{Path, PathBuf};

use anyhow::Result;
use meshtide_tests::process::Server;

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This project.
    Meshtide,
    /// Prometheus as a remote-write receiver.
    Prometheus,
    /// VictoriaMetrics, single node.
    VictoriaMetrics,
}

/// A server to be measured.
#[derive(Debug, Clone)]
pub struct Target {
    /// What it is.
    pub kind: Kind,
    /// Its binary.
    pub program: PathBuf,
}

impl Target {
    /// How tables call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Meshtide => "Meshtide",
            Kind::Prometheus => "Prometheus",
            Kind::VictoriaMetrics => "VictoriaMetrics",
        }
    }

    /// Starts it on a data directory.
    ///
    /// # Errors
    /// If it does not become ready.
    pub fn start(&self, folder: &Path) -> Result<Server> {
        let data = folder.join("data").display().to_string();
        let arguments = match self.kind {
            Kind::Meshtide => vec![
                "serve".to_owned(),
                format!("--data-dir={data}"),
                "--http-listen=127.0.0.1:{port}".to_owned(),
            ],
            Kind::Prometheus => {
                let config = folder.join("prometheus.yml");
                std::fs::write(&config, "global: {scrape_interval: 15s}\n")?;
                vec![
                    format!("--config.file={}", config.display()),
                    format!("--storage.tsdb.path={data}"),
                    "--web.listen-address=127.0.0.1:{port}".to_owned(),
                    "--web.enable-remote-write-receiver".to_owned(),
                    "--query.max-samples=500000000".to_owned(),
                ]
            }
            // The default of 40 labels per series is near what a mesh has; the deduplication stays off.
            Kind::VictoriaMetrics => vec![
                format!("-storageDataPath={data}"),
                "-httpListenAddr=127.0.0.1:{port}".to_owned(),
                "-maxLabelsPerTimeseries=60".to_owned(),
                "-search.latencyOffset=0s".to_owned(),
                "-search.maxUniqueTimeseries=10000000".to_owned(),
                "-search.maxSamplesPerQuery=1000000000".to_owned(),
                // Its default of 30 s is too short for the largest queries on a busy machine.
                "-search.maxQueryDuration=110s".to_owned(),
            ],
        };
        Server::start(&self.program, &arguments, &folder.join("log"))
    }
}

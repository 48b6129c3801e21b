//! Real Envoys.

use std::path::Path;

use anyhow::Result;

use crate::peers;
use crate::process::{Server, free_port};

/// How to start an Envoy, once or again.
#[derive(Debug)]
pub struct Envoy<'a> {
    /// The Python whose packages hold it.
    pub python: &'a Path,
    /// Its configuration, in which `{admin}` stands for the port of the admin page.
    pub config: String,
    /// More arguments.
    pub more: &'a [&'a str],
    /// Where its output goes.
    pub log: &'a Path,
}

impl Envoy<'_> {
    /// Starts it with its admin page on a free port.
    ///
    /// # Errors
    /// There is no Envoy, or it does not become ready.
    pub fn start(&self) -> Result<Server> {
        self.start_at(free_port()?)
    }

    /// Starts it with its admin page on this port.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub fn start_at(&self, admin: u16) -> Result<Server> {
        let config = self.config.replace("{admin}", &admin.to_string());
        let fixed = [
            "--config-yaml",
            &config,
            "--use-dynamic-base-id",
            "--concurrency",
            "1",
            "--log-level",
            "warn",
        ];
        let arguments: Vec<String> = fixed
            .iter()
            .chain(self.more)
            .map(|text| (*text).to_owned())
            .collect();
        Server::start_at(
            admin,
            &peers::packaged(self.python, "envoy")?,
            &arguments,
            self.log,
        )
    }
}

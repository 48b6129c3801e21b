//! Servers as child processes.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::http::Client;

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    log: PathBuf,
}

/// What the operating system says of a process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// User and system CPU time, seconds.
    pub cpu_seconds: f64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// The most that was ever resident, bytes.
    pub rss_peak_bytes: u64,
}

impl Server {
    /// Starts `program` with `arguments`, in which `{port}` stands for a free port, and waits until it answers
    /// `/-/ready` (or `/health`, or `/ready`) with 200. Its output goes to `log`.
    ///
    /// # Errors
    /// If the process ends or is not ready within a minute; the error holds the end of its log.
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> Result<Self> {
        Self::start_at(free_port()?, program, arguments, log)
    }

    /// As [`Self::start`], on a port that others know already.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub fn start_at(port: u16, program: &Path, arguments: &[String], log: &Path) -> Result<Self> {
        let port_text = port.to_string();
        let arguments = arguments
            .iter()
            .map(|argument| argument.replace("{port}", &port_text));
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .context("open the log")?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut server = Self {
            child,
            port,
            log: log.to_owned(),
        };
        server.wait_ready(Duration::from_secs(60))?;
        Ok(server)
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.url())
    }

    /// CPU time and memory so far.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().context("kill")?;
        self.child.wait().context("wait for the killed process")?;
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// If it does not end within 30 seconds, or not with status 0.
    pub fn terminate(&mut self) -> Result<()> {
        let status = Command::new("kill")
            .arg("-TERM")
            .arg(self.child.id().to_string())
            .status()?;
        anyhow::ensure!(status.success(), "cannot signal process {}", self.child.id());
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                anyhow::ensure!(status.success(), "ended with {status}: {}", self.log_end());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("did not end within 30 s of SIGTERM: {}", self.log_end())
    }

    /// Everything it printed.
    #[must_use]
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log_end(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        let client = self.client();
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("ended with {status} before it was ready: {}", self.log_end());
            }
            for path in ["/-/ready", "/health", "/ready"] {
                if client.get(path).is_ok_and(|answer| answer.status == 200) {
                    return Ok(());
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        bail!("not ready within {limit:?}: {}", self.log_end())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill() {
            drop(error); // It has ended by itself.
        }
        drop(self.child.wait());
    }
}

impl Usage {
    fn of(pid: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("read the process' stat")?;
        // Fields after the command name, which may hold spaces; utime and stime are the 14th and 15th of all.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks: f64 = [11, 12]
            .iter()
            .filter_map(|idx| fields.get(*idx)?.parse::<f64>().ok())
            .sum();
        let status =
            std::fs::read_to_string(format!("/proc/{pid}/status")).context("read the process' status")?;
        let kilobytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        Ok(Self {
            // The unit of utime and stime is 1/100 s on Linux (USER_HZ).
            cpu_seconds: ticks / 100.0,
            rss_bytes: kilobytes("VmRSS:").unwrap_or(0) * 1024,
            rss_peak_bytes: kilobytes("VmHWM:").unwrap_or(0) * 1024,
        })
    }
}

/// A port nobody listens on at the moment.
///
/// # Errors
/// If there is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?.port())
}

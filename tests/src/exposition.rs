//! Scrape targets: real expositions with moving counters, the pods of a synthetic mesh, or anything else.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use mesh::{Mesh, MeshConfig, ScrapeSink, SeriesText};
use model::is_stale_nan;

/// What a scrape of a path gives.
pub type Page = Box<dyn FnMut() -> String + Send>;

/// Serves expositions over HTTP until the process ends.
#[derive(Debug)]
pub struct Exposition {
    address: SocketAddr,
    paths: Vec<String>,
}

/// Text of a real exposition; counters and histograms grow by 2 % of their first value at every scrape.
#[derive(Debug)]
struct Recorded {
    lines: Vec<Line>,
    n_scrapes: u32,
}

#[derive(Debug)]
enum Line {
    /// Given as it is.
    Verbatim(String),
    /// Series text and first value of something that grows.
    Growing { series: String, value: f64, whole: bool },
}

/// Writes a scrape as text; series that ended are simply not there.
struct TextSink(String);

impl Exposition {
    /// Serves each file under `/<its name>` and each pod of a bookinfo mesh under `/mesh/<position>`.
    ///
    /// # Errors
    /// If a file cannot be read or no port is free.
    pub fn serve(files: &[std::path::PathBuf]) -> Result<Self> {
        let mut pages: Vec<(String, Page)> = Vec::new();
        for file in files {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let mut recorded = Recorded::read(file)?;
            pages.push((format!("/{name}"), Box::new(move || recorded.scrape())));
        }
        pages.sort_by(|one, other| one.0.cmp(&other.0));
        let config = MeshConfig {
            scrape_interval_ms: 1_000,
            failed_scrapes: 0.0,
            ..MeshConfig::bookinfo(11)
        };
        // At one scrape a second, a minute should see a roll-out and a restart or two.
        let config = MeshConfig {
            rollouts_per_hour: 10.0,
            restarts_per_hour: 20.0,
            ..config
        };
        let mesh = Mesh::new(config);
        let n_targets = mesh.n_targets();
        let mesh = Arc::new(Mutex::new(mesh));
        for target in 0..n_targets {
            let mesh = Arc::clone(&mesh);
            let mut time_ms = 0;
            let page = move || {
                time_ms += 1_000;
                let mut sink = TextSink(String::new());
                let mut mesh = mesh.lock().unwrap_or_else(PoisonError::into_inner);
                mesh.scrape_target(target, time_ms, &mut sink);
                sink.0
            };
            pages.push((format!("/mesh/{target}"), Box::new(page)));
        }
        Self::of_pages(pages)
    }

    /// Serves these pages, each under its path. What ends with `# EOF` is OpenMetrics, everything else the older format.
    ///
    /// # Errors
    /// If no port is free.
    pub fn of_pages(pages: Vec<(String, Page)>) -> Result<Self> {
        let paths: Vec<String> = pages.iter().map(|(path, _)| path.clone()).collect();
        let pages = pages.into_iter().map(|(path, page)| (path, Mutex::new(page)));
        let pages: Arc<HashMap<String, Mutex<Page>>> = Arc::new(pages.collect());
        let listener = TcpListener::bind("127.0.0.1:0").context("listen for scrapes")?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let pages = Arc::clone(&pages);
                std::thread::spawn(move || drop(answer(stream, &pages)));
            }
        });
        Ok(Self { address, paths })
    }

    /// The scrape configuration of a Prometheus that scrapes everything once a second.
    #[must_use]
    pub fn scrape_config(&self) -> String {
        let mut yaml = String::from("scrape_configs:\n");
        for (position, path) in self.paths.iter().enumerate() {
            let address = self.address;
            let pushed = write!(
                yaml,
                "  - job_name: target-{position}\n    honor_labels: true\n    metrics_path: {path}\n    \
                 static_configs: [{{targets: ['{address}']}}]\n"
            );
            pushed.expect("writing to a String cannot fail");
        }
        yaml
    }
}

impl Recorded {
    fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let mut growing = false;
        let mut family = String::new();
        let lines = text.lines().map(|line| {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
                family = name.to_owned();
                growing = matches!(kind.trim(), "counter" | "histogram");
            }
            let value = line
                .rsplit_once(' ')
                .and_then(|(_, value)| value.parse::<f64>().ok());
            match value {
                Some(value) if growing && !line.starts_with('#') && line.starts_with(&family) => {
                    Line::Growing {
                        series: line
                            .rsplit_once(' ')
                            .map(|(series, _)| series.to_owned())
                            .unwrap_or_default(),
                        value,
                        whole: value.fract() == 0.0,
                    }
                }
                _ => Line::Verbatim(line.to_owned()),
            }
        });
        Ok(Self {
            lines: lines.collect(),
            n_scrapes: 0,
        })
    }

    fn scrape(&mut self) -> String {
        let factor = 1.0 + 0.02 * f64::from(self.n_scrapes);
        self.n_scrapes += 1;
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Verbatim(line) => text.push_str(line),
                Line::Growing { series, value, whole } => {
                    let grown = value * factor;
                    let value = if *whole { grown.floor() } else { grown };
                    write!(text, "{series} {value}").expect("writing to a String cannot fail");
                }
            }
            text.push('\n');
        }
        text
    }
}

impl ScrapeSink for TextSink {
    fn sample(&mut self, series: SeriesText<'_>, _timestamp_ms: i64, value: f64) {
        if is_stale_nan(value) {
            return;
        }
        self.0.push_str(series.metric_name);
        self.0.push('{');
        for (name, text) in series.labels.iter() {
            write!(self.0, "{name}={text:?},").expect("writing to a String cannot fail");
        }
        if let Some(le) = series.le {
            write!(self.0, "le={le:?}").expect("writing to a String cannot fail");
        }
        writeln!(self.0, "}} {value}").expect("writing to a String cannot fail");
    }
}

fn answer(mut stream: TcpStream, pages: &HashMap<String, Mutex<Page>>) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut request_line = String::new();
    reader.read_line(&mut request_line)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = request_line.split_whitespace().nth(1).unwrap_or_default();
    let (status, body) = match pages.get(path) {
        Some(page) => ("200 OK", page.lock().unwrap_or_else(PoisonError::into_inner)()),
        None => ("404 Not Found", String::new()),
    };
    // A body that ends with `# EOF` is OpenMetrics, whatever its sender says; say what Prometheus can read.
    let kind = if body.trim_end().ends_with("# EOF") {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}

//! `meshtide sql`: a statement to a server, or to a data directory that no server holds.

mod read_only;
mod remote;
mod table;

use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use clap::{Args, ValueEnum};
use model::Clock;
use query::Engine;
use query::sql::{SqlRequest, SqlResult, SqlStats};
use server::{SqlFormat, SqlWriter};
use storage::Store;

use crate::clock::SystemClock;
use crate::config::Settings;
use crate::failure::usage;
use crate::service::open_store;
use read_only::ReadOnlyFiles;
use remote::RemoteRows;
use table::TableWriter;

/// The arguments of `meshtide sql`.
#[derive(Debug, Clone, Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// One statement: SELECT, WITH, EXPLAIN, DESCRIBE, SHOW TABLES. `-` reads it from standard input
    #[arg(value_name = "STATEMENT")]
    statement: String,

    #[command(flatten)]
    place: Place,

    /// How rows are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Where the data is.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// Ask the server at this address: http://127.0.0.1:9090
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Read this data directory, which no server may hold meanwhile. Nothing in it is changed
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns, for people; long cells are cut
    Table,
    /// A line of names, then a line per row
    Csv,
    /// One document, the same as the server's
    Json,
    /// An Arrow IPC stream: pandas, polars, DuckDB
    Arrow,
}

const HELP: &str = "\
Tables:
  samples           series_id, metric, timestamp, value: every sample of every series
  series            series_id, metric, labels: every series; labels['pod'] is one label
  one per metric    timestamp, value, series_id and a column for each label of the metric

Examples:
  meshtide sql 'SHOW TABLES' --url http://127.0.0.1:9090
  meshtide sql 'DESCRIBE istio_requests_total' --url http://127.0.0.1:9090
  meshtide sql \"SELECT metric, count(*) AS n FROM series GROUP BY metric ORDER BY n DESC\" --data-dir ./data
  meshtide sql --format csv --url http://127.0.0.1:9090 \"
    SELECT destination_workload, date_bin(interval '1 minute', timestamp) AS minute, max(value)
    FROM istio_requests_total
    WHERE response_code = '503' AND timestamp > now() - interval '1 hour'
    GROUP BY 1, 2 ORDER BY 1, 2\"

Names keep their case; put double quotes around those with other characters: SELECT \"http.method\" FROM \"a:b\".
A label that a series lacks is the empty text. More, with examples that work: docs/sql.md";

/// Answers one statement on standard output.
///
/// # Errors
/// The statement is refused or fails; the server cannot be reached; the directory cannot be opened.
pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let statement = match arguments.statement.as_str() {
        "-" => {
            let mut text = String::new();
            io::stdin()
                .read_to_string(&mut text)
                .context("cannot read standard input")?;
            text
        }
        statement => statement.to_owned(),
    };
    let outcome = match (&arguments.place.url, &arguments.place.data_dir) {
        (Some(url), _) => ask_server(url, &statement, arguments.format).await,
        (None, Some(dir)) => ask_directory(dir, &statement, arguments.format).await,
        (None, None) => return Err(usage(&anyhow::anyhow!("give --url or --data-dir"))),
    };
    match outcome {
        // `| head` has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        other => other,
    }
}

async fn ask_server(url: &str, statement: &str, format: Format) -> Result<()> {
    let mut rows = RemoteRows::ask(url, statement).await?;
    let mut output = Output::new(format, rows.schema())?;
    while let Some(batch) = rows.next().await? {
        output.push(&batch)?;
    }
    output.finish(SqlStats::default(), &[])
}

async fn ask_directory(dir: &Path, statement: &str, format: Format) -> Result<()> {
    let settings = Settings::default();
    let mut config = settings.store();
    // What a server does to its directory now and then is left to it.
    config.blocks.flush_interval_ms = i64::MAX;
    config.blocks.retention_ms = i64::MAX;
    config.blocks.retention_bytes = None;
    let opened = open_store(config, dir, Arc::new(ReadOnlyFiles)).await;
    let (store, _) = opened.map_err(explain)?;
    let source: Arc<Store> = Arc::clone(&store);
    let engine = Engine::new(source, settings.engine())?;
    let request = SqlRequest {
        text: statement.to_owned(),
        now_ms: SystemClock.now_ms(),
        timeout: None,
    };
    let outcome = async {
        let mut rows = engine.sql(request).await?;
        write_out(&mut rows, format).await
    };
    let outcome = outcome.await;
    // The engine has threads of its own, which must not be waited for inside of others.
    tokio::task::spawn_blocking(move || drop(engine)).await?;
    tokio::task::spawn_blocking(move || store.close()).await??;
    outcome
}

async fn write_out(rows: &mut SqlResult, format: Format) -> Result<()> {
    let mut output = Output::new(format, rows.schema())?;
    while let Some(batch) = rows.next().await {
        output.push(&batch?)?;
    }
    let warnings = rows.warnings();
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    output.finish(rows.stats(), &warnings)
}

/// Says what to do when a server holds the directory.
fn explain(error: anyhow::Error) -> anyhow::Error {
    let in_use = error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<storage::Error>(),
            Some(storage::Error::InUse { .. })
        )
    });
    if !in_use {
        return error;
    }
    error.context("a running server holds this directory: ask it instead, with --url http://127.0.0.1:9090")
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Standard output in one of the formats.
struct Output {
    out: BufWriter<io::Stdout>,
    writer: Writer,
}

enum Writer {
    Table(TableWriter),
    Other(SqlWriter),
}

impl Output {
    fn new(format: Format, schema: &SchemaRef) -> Result<Self> {
        let other = |format| SqlWriter::new(format, schema).map(Writer::Other);
        let writer = match format {
            Format::Table => Writer::Table(TableWriter::new(schema)),
            Format::Csv => other(SqlFormat::Csv)?,
            Format::Json => other(SqlFormat::Json)?,
            Format::Arrow => other(SqlFormat::Arrow)?,
        };
        Ok(Self {
            out: BufWriter::new(io::stdout()),
            writer,
        })
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.writer {
            Writer::Table(table) => table.push(batch, &mut self.out),
            Writer::Other(writer) => {
                writer.push(batch)?;
                Ok(self.out.write_all(&writer.take())?)
            }
        }
    }

    fn finish(mut self, stats: SqlStats, warnings: &[String]) -> Result<()> {
        match &mut self.writer {
            Writer::Table(table) => table.finish(&mut self.out)?,
            Writer::Other(writer) => {
                writer.finish(stats, warnings)?;
                self.out.write_all(&writer.take())?;
            }
        }
        Ok(self.out.flush()?)
    }
}

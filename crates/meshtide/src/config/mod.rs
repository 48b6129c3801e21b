//! The configuration: a YAML file, over which command-line flags go.
//!
//! Every field stands once, here, with its documentation and default; `config/meshtide.yaml` is generated from it
//! (`MESHTIDE_BLESS=1 cargo test -p meshtide config` writes it) and a test compares.

mod apply;
#[cfg(test)]
mod described;
mod section;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use section::section;

pub(crate) use value::{Bytes, Delta, HaPair, Listen, Span, Strategy, WalSync};

section! {
    /// Everything that can be set.
    Settings {
        /// The HTTP interface: remote write, queries, /federate, probes, own metrics.
        http: Http = Http::default(),
        /// What is kept, and how safely.
        storage: Storage = Storage::default(),
        /// Taking samples in. What is beyond a limit here is turned away with 503 and Retry-After, or 400.
        ingest: Ingest = Ingest::default(),
        /// Taking OpenTelemetry's metrics in, by OTLP: see docs/otlp.md.
        otlp: Otlp = Otlp::default(),
        /// Pairs of identical Prometheus servers, of which one at a time is listened to: see docs/high-availability.md.
        ha: Ha = Ha::default(),
        /// Answering queries.
        query: Query = Query::default(),
        /// Answering SQL. Its time, memory and threads are out of those of queries.
        sql: Sql = Sql::default(),
        /// Labels that /federate adds to series that lack them, such as the name of the cluster:
        ///   external_labels: {cluster: "east"}
        external_labels: BTreeMap<String, String> = BTreeMap::new(),
        /// The scrape interval of the Prometheus that writes here. It is only passed on, by
        /// /api/v1/status/config: Kiali chooses its rate windows by it.
        scrape_interval: Span = Span::seconds(15),
    }
}

section! {
    /// The HTTP interface.
    Http {
        /// Where to listen. Also: --http-listen.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 9090)),
        /// Connections at once; more have to wait.
        connections_max: usize = 512,
        /// How long a connection may be idle, or take for the head of a request.
        idle_timeout: Span = Span::minutes(5),
        /// How long requests under way may take to end when the server stops.
        drain_timeout: Span = Span::seconds(10),
        /// Whether /api/v1/admin/tsdb may be asked to flush, to delete and to clean. Also: --enable-admin-api.
        admin_api: bool = false,
    }
}

section! {
    /// What is kept.
    Storage {
        /// How long samples are kept; older ones are refused. A block goes when its newest sample is older.
        /// Also: --retention.
        retention: Span = Span::days(15),
        /// How many bytes of blocks are kept; beyond that the oldest ones go. 0 is without limit.
        retention_size: Bytes = Bytes(0),
        /// The span of time of which the head makes a block; twelve of them are merged into one. It must stay what
        /// it is for as long as data is kept.
        block_window: Span = Span::minutes(120),
        /// How often the head is asked whether a window is over, and blocks whether they are to be merged or dropped.
        flush_interval: Span = Span::minutes(1),
        /// Memory for decoded pages of blocks.
        page_cache: Bytes = Bytes(64 << 20),
        /// Memory for the tables of series of blocks.
        series_cache: Bytes = Bytes(64 << 20),
        /// How far behind the newest sample of its stream a sample may come.
        out_of_order_window: Span = Span::minutes(60),
        /// When the write-ahead log is synced to disk. Also: --wal-sync.
        ///   always    before every acknowledgement: what was acknowledged survives a power cut
        ///   interval  now and then: what was acknowledged since may be lost in a power cut
        wal_sync: WalSync = WalSync::Always,
        /// How often, with wal_sync: interval.
        wal_sync_interval: Span = Span::seconds(1),
        /// Size at which the log begins its next file.
        wal_segment: Bytes = Bytes(64 << 20),
        /// Exemplars that are kept, the newest ones of all series together; some 200 bytes each. 0 keeps none.
        exemplars_max: usize = 100_000,
        /// Exemplars that are kept of one series.
        exemplars_per_series_max: usize = 1_000,
        /// Samples that may wait to be written to the log; some 24 bytes each.
        queue_samples_max: usize = 1_000_000,
    }
}

section! {
    /// Taking samples in.
    Ingest {
        /// Threads that decode requests; 0 is one per processor.
        threads: usize = 0,
        /// Write requests under way at once.
        requests_max: usize = 256,
        /// Bytes of their bodies together, as sent.
        bodies_max: Bytes = Bytes(64 << 20),
        /// Size of one body, as sent.
        body_max: Bytes = Bytes(32 << 20),
        /// Size of one body once it is decompressed.
        decompressed_body_max: Bytes = Bytes(32 << 20),
        /// How far in the future a sample may be.
        future_max: Span = Span::minutes(10),
        /// Labels of one series, the metric name included.
        labels_per_series_max: usize = 128,
        /// Bytes of a label name.
        label_name_bytes_max: usize = 1_024,
        /// Bytes of a label value, or of a metric name.
        label_value_bytes_max: usize = 8_192,
    }
}

section! {
    /// OTLP.
    Otlp {
        /// Where to listen for OTLP over gRPC, or off. If this very address is taken, as by a second server on one
        /// machine, the server says so and goes without; any other address has to be free. Both ports of OTLP take
        /// both protocols, and so does the one of http. Also: --otlp-grpc-listen.
        grpc_listen: Listen = Listen::At(SocketAddr::from(([127, 0, 0, 1], 4317))),
        /// The same for OTLP over HTTP. Also: --otlp-http-listen.
        http_listen: Listen = Listen::At(SocketAddr::from(([127, 0, 0, 1], 4318))),
        /// Size of one body once it is decompressed.
        decompressed_body_max: Bytes = Bytes(64 << 20),
        /// What is done to names. Prometheus knows the same four:
        ///   UnderscoreEscapingWithSuffixes     http.duration in s is http_duration_seconds
        ///   UnderscoreEscapingWithoutSuffixes  http_duration
        ///   NoUTF8EscapingWithSuffixes         http.duration_seconds
        ///   NoTranslation                      http.duration
        translation_strategy: Strategy = Strategy::default(),
        /// Give the metrics of an Envoy the names and labels of its own page /stats/prometheus.
        envoy_profile: bool = true,
        /// Attributes of a resource that become labels of all its series, and the names of the labels.
        promote_resource_attributes: BTreeMap<String, String> = promoted(),
        /// Make labels of all other attributes of a resource, too.
        promote_all_resource_attributes: bool = false,
        /// The attributes that this leaves out.
        ignore_resource_attributes: Vec<String> = Vec::new(),
        /// Add otel_scope_name, otel_scope_version and otel_scope_ATTRIBUTE to the series of a scope with a name.
        promote_scope_metadata: bool = false,
        /// Make a series target_info of the attributes of every resource that has a name.
        target_info: bool = true,
        /// Keep service.name, service.namespace and service.instance.id in target_info.
        keep_identifying_resource_attributes: bool = false,
        /// What is done with counts since the last report, which Prometheus cannot use:
        ///   reject   their points are refused, and the sender is told what to set
        ///   convert  they are added up per sender
        delta: Delta = Delta::Reject,
        /// How deep lists and maps in an attribute may lie in each other; what lies deeper is shown as one sign.
        nesting_max: usize = 16,
    }
}

/// The promoted attributes, as people write them.
fn promoted() -> BTreeMap<String, String> {
    wire::otlp::Settings::default().promoted.into_iter().collect()
}

section! {
    /// Pairs of identical Prometheus servers.
    Ha {
        /// Whether pairs are looked for. Without, every replica's samples are stored, with its replica label.
        enabled: bool = true,
        /// How long the elected replica has to be silent until the other one takes over.
        failover_timeout: Span = Span::seconds(30),
        /// The labels that name a pair, and the label in which its replicas differ and which is taken off. The first
        /// label of the group has to be there, the others tell pairs apart when they are.
        pairs: Vec<HaPair> = HaPair::defaults(),
    }
}

section! {
    /// Answering queries.
    Query {
        /// How far an instant selector looks back for a sample.
        lookback: Span = Span::minutes(5),
        /// Longest time of a query, waiting included.
        timeout: Span = Span::minutes(2),
        /// Most samples that one query may hold at a time.
        samples_max: u64 = 50_000_000,
        /// Queries that run at once; more have to wait.
        concurrent_max: usize = 20,
        /// Memory of all queries together.
        memory_max: Bytes = Bytes(1 << 30),
        /// The step of a subquery that names none, as in `rate(x[1m])[1h:]`.
        subquery_step: Span = Span::minutes(1),
        /// Accept what Prometheus keeps behind feature flags: experimental functions and aggregations.
        experimental: bool = false,
        /// Keep the metric name until the end of a query, so that an outer by (__name__) still sees it: Prometheus'
        /// flag promql-delayed-name-removal.
        delayed_name_removal: bool = false,
        /// Let counters begin anew where start timestamps say so, and start_timestamp() tell of them: Prometheus' flag
        /// use-start-timestamps.
        start_timestamps: bool = false,
        /// Find histograms in the form that is asked for, also where they are stored in the other one: x as native histograms
        /// made of classic x_bucket, and x_bucket made of native x. See docs/promql.md.
        either_histogram_form: bool = false,
        /// Threads that compute; 0 is one per processor.
        threads: usize = 0,
    }
}

section! {
    /// Answering SQL.
    Sql {
        /// Statements that run at once; more have to wait.
        concurrent_max: usize = 4,
        /// Memory of one statement.
        memory_max: Bytes = Bytes(256 << 20),
        /// Rows of one result; a larger one is an error.
        rows_max: usize = 1_000_000,
        /// Size of one result as it is sent; a larger one is an error.
        result_max: Bytes = Bytes(256 << 20),
    }
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or something in it is unknown or wrong; the error says what and where.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let yaml = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        Self::parse(&yaml).with_context(|| format!("the configuration {} is wrong", path.display()))
    }

    fn parse(yaml: &str) -> Result<Self> {
        // A file of nothing but comments is null, not an empty map.
        let settings: Option<Self> = serde_yaml_ng::from_str(yaml)?;
        let settings = settings.unwrap_or_default();
        settings.check()?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests;

//! A thread that decodes requests, with the working memory it keeps.

use std::fmt;
use std::sync::Arc;

use catalog::Resolver;
use model::{Clock, MetricMetadata, SampleBatch, SeriesRef, TimestampMs};
use storage::handoff::Receiver;
use storage::{AppendOutcome, Exemplar, Store};
use tokio::sync::oneshot;
use wire::remote_write::{Protocol, SeriesLabels, v1, v2};
use wire::{Limits, snappy};

use crate::error::chain;
use crate::ha::Tracker;

use super::exemplars::ExemplarCounts;
use super::gather::Columns;
use super::metadata::KnownMetadata;
use super::origins::Origins;
use super::otlp::{self, OtlpBody, Points, Senders};
use super::resolve::{Bounds, Resolving};
use super::{
    Config, Dropped, Failure, Job, Message, MetadataDurable, Refusals, Stored, SymbolHash, Taken,
    resolver_hash,
};

/// Decodes requests until there are no more.
pub(super) struct Worker {
    config: Config,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    known_metadata: Arc<KnownMetadata>,
    ha: Option<Arc<Tracker>>,
    v2_keys: v2::SeriesKeys<SymbolHash>,
    otlp: otlp::Reader,
    scratch: Scratch,
}

/// Working memory, kept from request to request.
#[derive(Debug, Default)]
struct Scratch {
    decompressed: Vec<u8>,
    columns: Columns,
    found: Vec<Option<SeriesRef>>,
    symbol_hashes: v2::SymbolHashes,
    /// Symbols of the last request, of which `symbol_hashes` has the hashes.
    n_symbols: usize,
}

/// A larger decompressed body gives its memory back. A request of two thousand mesh samples has 2.4 MB.
const DECOMPRESSED_BYTES_KEPT_MAX: usize = 4 << 20;

/// A request with more series or samples gives the memory of its columns back.
const ROWS_KEPT_MAX: usize = 64 << 10;

impl Worker {
    pub(super) fn new(
        config: &Config,
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        known_metadata: Arc<KnownMetadata>,
        senders: Arc<Senders>,
        ha: Option<Arc<Tracker>>,
    ) -> Self {
        let hash = resolver_hash(&store);
        Self {
            otlp: otlp::Reader::new(&store, senders, &config.otlp, &config.limits),
            v2_keys: v2::SeriesKeys::new(hash, config.limits.labels_per_series),
            config: config.clone(),
            store,
            clock,
            known_metadata,
            ha,
            scratch: Scratch::default(),
        }
    }

    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        while let Ok(job) = queue.receive(None) {
            self.take_in(job);
        }
    }

    /// Decodes one request and hands it to the store, which then answers. When nobody waits for the answer any
    /// more the samples are stored all the same.
    fn take_in(&mut self, job: Job) {
        let Job { body, message, reply } = job;
        let store = Arc::clone(&self.store);
        let _session = store.session();
        let decoded = match &message {
            Message::RemoteWrite(protocol) => self.decode(&body, *protocol),
            Message::Otlp(how) => self.decode_otlp(&body, how),
        };
        drop(body);
        self.scratch.give_back();
        match decoded {
            Err(failure) => drop(reply.send(Err(failure))),
            Ok(decoded) => self.hand_over(decoded, reply),
        }
    }

    fn decode(&mut self, body: &[u8], protocol: Protocol) -> Result<Decoded, Failure> {
        let Scratch {
            decompressed,
            columns,
            found,
            symbol_hashes,
            n_symbols,
        } = &mut self.scratch;
        let limits = &self.config.limits;
        let body = snappy::decompress(body, limits.decompressed_bytes, decompressed).map_err(|error| {
            Failure::Malformed(format!("the body cannot be decompressed by snappy: {error}"))
        })?;
        columns.clear();
        let request = match protocol {
            Protocol::V1 => {
                let gathered = columns.gather_v1(body, limits, self.store.resolver());
                gathered.map(|()| Walked::V1(body))
            }
            Protocol::V2 => v2::Request::parse(body, limits).and_then(|request| {
                *n_symbols = request.symbols().len();
                self.v2_keys.hash_symbols(request.symbols(), symbol_hashes);
                columns.gather_v2(&request, limits, &self.v2_keys, symbol_hashes)?;
                Ok(Walked::V2(request))
            }),
        };
        let request = request.map_err(Failure::undecodable)?;
        let mut refusals = Refusals::default();
        let mut metadata = std::mem::take(&mut columns.metadata);
        let resolver = self.store.resolver();
        let mut resolving = Resolving {
            store: &self.store,
            limits,
            columns,
            found,
            refusals: &mut refusals,
            origins: match &self.ha {
                Some(tracker) => request.origins(tracker, resolver, limits),
                None => Origins::none(resolver),
            },
            learned: Vec::new(),
        };
        if resolving.look_up() {
            match &request {
                Walked::V1(body) => resolving.register_v1(body)?,
                Walked::V2(request) => resolving.register_v2(request)?,
            }
            resolving.remember();
        }
        let now_ms = self.clock.now_ms();
        if let Walked::V2(request) = &request {
            metadata = resolving.metadata_v2(request, &self.known_metadata, now_ms);
        }
        let bounds = bounds(&self.config, now_ms);
        let exemplars = resolving.exemplars(bounds);
        let (batch, dropped) = resolving.batch(bounds);
        if let Some(tracker) = &self.ha
            && dropped != Dropped::default()
        {
            tracker.note_dropped(dropped.n_samples());
        }
        Ok(Decoded {
            batch,
            dropped,
            metadata,
            refusals,
            exemplars,
            points: None,
        })
    }

    fn decode_otlp(&mut self, body: &[u8], how: &OtlpBody) -> Result<Decoded, Failure> {
        let bytes = self.otlp.open(body, how)?;
        let decoded = self.decode_opened(&bytes, &how.origin);
        self.otlp.give_back(bytes);
        decoded
    }

    /// Decodes an OTLP message that lies open.
    fn decode_opened(&mut self, body: &[u8], origin: &str) -> Result<Decoded, Failure> {
        let Scratch { columns, found, .. } = &mut self.scratch;
        columns.clear();
        let mut points = self.otlp.gather(body, origin, &self.store, columns)?;
        let mut refusals = Refusals::default();
        let mut resolving = Resolving {
            store: &self.store,
            limits: &self.config.limits,
            columns,
            found,
            refusals: &mut refusals,
            origins: Origins::none(self.store.resolver()),
            learned: Vec::new(),
        };
        let mut metadata = Vec::new();
        if resolving.look_up() {
            metadata = self.otlp.register(body, origin, &mut resolving)?;
            resolving.remember();
        }
        let bounds = bounds(&self.config, self.clock.now_ms());
        // What is converted loses its position.
        let exemplars = resolving.exemplars(bounds);
        self.otlp.convert(bounds, &mut resolving);
        self.otlp.note_rows(&resolving, bounds, &mut points);
        let (batch, dropped) = resolving.batch(bounds);
        Ok(Decoded {
            batch,
            dropped,
            metadata,
            refusals,
            exemplars,
            points: Some(points),
        })
    }

    fn hand_over(&self, decoded: Decoded, reply: oneshot::Sender<Result<Taken, Failure>>) {
        let (exemplars, exemplar_counts) = decoded.exemplars;
        let mut taken = Taken {
            stored: None,
            metadata: None,
            refusals: decoded.refusals,
            dropped: decoded.dropped,
            exemplars: exemplar_counts,
            points: decoded.points,
        };
        match self.put_metadata(decoded.metadata) {
            Ok(durable) => taken.metadata = durable,
            Err(failure) => return drop(reply.send(Err(failure))),
        }
        if decoded.batch.is_empty() && exemplars.is_empty() {
            return drop(reply.send(Ok(taken)));
        }
        let batch = Arc::new(decoded.batch);
        let samples = Arc::clone(&batch);
        let answer = move |result: Result<AppendOutcome, storage::Error>| {
            let result = result.map_err(unavailable).map(|outcome| {
                taken.stored = Some(Stored { outcome, samples });
                taken
            });
            drop(reply.send(result));
        };
        if let Err(error) = self.store.append_with(batch, exemplars, Box::new(answer)) {
            // `answer` was dropped and the reply with it, which the handler takes for what it is.
            tracing::debug!(%error, "the store does not take samples");
        }
    }

    /// Hands new metadata to the store; gives back where its durability will be told.
    fn put_metadata(&self, mut metadata: Vec<MetricMetadata>) -> Result<Option<MetadataDurable>, Failure> {
        self.known_metadata.retain_new(&mut metadata);
        if metadata.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = metadata.iter().map(|one| one.metric_name.clone()).collect();
        let (sender, durable) = oneshot::channel();
        let known = Arc::clone(&self.known_metadata);
        let failed = names.clone();
        let done = Box::new(move |result: Result<(), storage::Error>| {
            if result.is_err() {
                known.forget(&failed);
            }
            drop(sender.send(result));
        });
        self.store.put_metadata(metadata, done).map_err(|error| {
            self.known_metadata.forget(&names);
            unavailable(error)
        })?;
        Ok(Some(durable))
    }
}

/// A request whose series have been counted.
enum Walked<'a> {
    V1(&'a [u8]),
    V2(v2::Request<'a>),
}

impl Walked<'_> {
    /// From whom its series come, as far as the first one says it.
    fn origins<'t>(&self, tracker: &'t Tracker, resolver: &'t Resolver, limits: &Limits) -> Origins<'t> {
        let mut scattered = Vec::new();
        let first = match self {
            Self::V1(body) => {
                let mut entries = v1::Request::new(body, limits).filter_map(Result::ok);
                let first = entries.find_map(|entry| match entry {
                    v1::Entry::Series(series) => Some(series),
                    v1::Entry::Metadata(_) => None,
                });
                first.and_then(|first| v1::parse_labels(first.label_bytes(&mut scattered), limits).ok())
            }
            Self::V2(request) => {
                let first = request.series().find_map(Result::ok);
                first.and_then(|first| first.labels(request.symbols(), limits).ok())
            }
        };
        Origins::new(tracker, resolver, first.as_ref().map(SeriesLabels::as_slice))
    }
}

/// What is left of a request once its labels are resolved.
struct Decoded {
    batch: SampleBatch,
    dropped: Dropped,
    metadata: Vec<MetricMetadata>,
    refusals: Refusals,
    exemplars: (Vec<Exemplar>, ExemplarCounts),
    points: Option<Points>,
}

fn bounds(config: &Config, now_ms: TimestampMs) -> Bounds {
    Bounds {
        oldest_ms: config.retention_ms.map_or(TimestampMs::MIN, |retention_ms| {
            now_ms.saturating_sub(retention_ms)
        }),
        newest_ms: now_ms.saturating_add(config.future_max_ms),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used where errors are handed over")]
fn unavailable(error: storage::Error) -> Failure {
    Failure::Unavailable(chain(&error))
}

impl Scratch {
    /// Keeps the memory of ordinary requests, not that of the largest one ever.
    fn give_back(&mut self) {
        if self.decompressed.capacity() > DECOMPRESSED_BYTES_KEPT_MAX {
            self.decompressed = Vec::new();
        }
        if self.found.capacity() > ROWS_KEPT_MAX || self.columns.capacity() > ROWS_KEPT_MAX {
            self.found = Vec::new();
            self.columns = Columns::default();
        }
        if self.n_symbols > ROWS_KEPT_MAX {
            self.symbol_hashes = v2::SymbolHashes::default();
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

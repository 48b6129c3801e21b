//! Data directories of blocks, made block by block as `docs/format/` says: without the log, so that weeks take seconds.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use catalog::HashSecret;
use codec::checksum::crc32c;
use model::{Labels, LaneKind};
use storage::block::{BlockSinks, BlockWriter, Manifest, StreamKey};
use storage::{Store, StoreConfig, StreamBuffer, Surroundings};
use testkit::MockClock;

use crate::counted_files::{CountedFiles, Counter};
use crate::traffic::{BOUNDS, Chance, Edge, histogram_lanes};
use crate::usage::{load, thread_time};

/// A data directory of nothing but blocks, removed when dropped.
#[derive(Debug)]
pub struct DataDirectory {
    folder: tempfile::TempDir,
    entries: Vec<serde_json::Value>,
    n_samples: u64,
    n_bytes: u64,
    written: Duration,
    read: Counter,
    edges: Edges,
}

/// What each stream has counted so far, by name and number.
type Edges = HashMap<(String, u64), Edge>;

/// A block being made. Its streams have to come in the order of base name and labels.
#[derive(Debug)]
pub struct NewBlock {
    writer: BlockWriter<BufWriter<File>>,
    timestamps_ms: Vec<i64>,
    buffer: StreamBuffer,
    chance: Chance,
    /// CPU time of writing.
    written: Duration,
    edges: Edges,
}

/// The times of a block's scrapes.
#[derive(Debug, Clone, Copy)]
pub struct Scrapes {
    /// The first one.
    pub start_ms: i64,
    /// Up to where, without it.
    pub end_ms: i64,
    /// Distance of two.
    pub interval_ms: i64,
}

impl DataDirectory {
    /// One without a block.
    ///
    /// # Errors
    /// If there is no place for it.
    pub fn new() -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir()?,
            entries: Vec::new(),
            n_samples: 0,
            n_bytes: 0,
            written: Duration::ZERO,
            read: Counter::default(),
            edges: Edges::new(),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What stores that it has opened have read of blocks.
    #[must_use]
    pub fn read(&self) -> &Counter {
        &self.read
    }

    /// Adds a block with what `fill` writes.
    ///
    /// # Errors
    /// Those of `fill`, and of the disk.
    pub fn add_block(
        &mut self,
        scrapes: Scrapes,
        fill: impl FnOnce(&mut NewBlock) -> Result<()>,
    ) -> Result<()> {
        let id = self.entries.len() as u64 + 1;
        let folder = self.path().join("blocks").join(id.to_string());
        fs::create_dir_all(&folder)?;
        let sink = |name: &str| Ok::<_, io::Error>(BufWriter::new(File::create(folder.join(name))?));
        let sinks = BlockSinks {
            samples: sink("samples.parquet")?,
            series: sink("series.parquet")?,
            histograms: sink("histograms.parquet")?,
        };
        let mut block = NewBlock {
            writer: BlockWriter::new(sinks)?,
            timestamps_ms: (scrapes.start_ms..scrapes.end_ms)
                .step_by(scrapes.interval_ms as usize)
                .collect(),
            buffer: StreamBuffer::default(),
            chance: Chance(id),
            written: Duration::ZERO,
            edges: std::mem::take(&mut self.edges),
        };
        fill(&mut block)?;
        self.edges = block.edges;
        let begun = thread_time();
        let (_, manifest) = block.writer.finish()?;
        self.written += block.written + (thread_time() - begun);
        let manifest = manifest.context("there is no sample")?;
        // Nothing was written to it.
        fs::remove_file(folder.join("histograms.parquet"))?;
        fs::write(folder.join("manifest.json"), manifest.to_json())?;
        self.note(id, &manifest);
        Ok(())
    }

    fn note(&mut self, id: u64, manifest: &Manifest) {
        self.n_samples += manifest.n_samples;
        self.n_bytes += manifest.n_bytes();
        self.entries.push(serde_json::json!({
            "id": id, "oldest_source": id, "newest_source": id, "level": 1,
            "first_ms": manifest.first_ms, "last_ms": manifest.last_ms,
            "n_series": manifest.n_series, "n_samples": manifest.n_samples,
            "bytes": manifest.n_bytes(), "deletions_done": 0,
        }));
    }

    /// How large it is, in a sentence.
    #[must_use]
    pub fn describe(&self) -> String {
        format!(
            "{} M samples in {} blocks, {:.3} bytes each, written at {:.1} M per CPU-second; load {}",
            self.n_samples / 1_000_000,
            self.entries.len(),
            self.bytes_per_sample(),
            self.n_samples as f64 / self.written.as_secs_f64() / 1e6,
            load(),
        )
    }

    /// Bytes of all files by samples.
    #[must_use]
    pub fn bytes_per_sample(&self) -> f64 {
        self.n_bytes as f64 / self.n_samples as f64
    }

    /// Writes the catalog that names the blocks. To be called once, before the first store opens them.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(&self) -> Result<()> {
        let state = serde_json::json!({
            "next_block": self.entries.len() + 1, "next_deletion": 1,
            "blocks": self.entries, "flushed": [], "deletions": [],
        });
        let text = format!("meshtide block catalog 1 1\n{state}\n");
        let record = format!("{text}crc32c {:08x}\n", crc32c(text.as_bytes()));
        let folder = self.path().join("catalog");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{:020}.record", 1)), record)?;
        Ok(())
    }

    /// A store on it; nothing is flushed or merged unless asked for.
    ///
    /// # Errors
    /// If it does not open.
    pub fn open(&self, now_ms: i64) -> Result<Arc<Store>> {
        self.open_with(now_ms, StoreConfig::default())
    }

    /// As [`Self::open`], with other settings.
    ///
    /// # Errors
    /// If it does not open.
    pub fn open_with(&self, now_ms: i64, mut config: StoreConfig) -> Result<Arc<Store>> {
        let surroundings = Surroundings {
            clock: Arc::new(MockClock::at(now_ms)),
            files: Arc::new(CountedFiles(self.read.clone())),
            secret: HashSecret::from_seed(1),
            release_memory: || (),
        };
        config.blocks.flush_interval_ms = i64::MAX;
        let (store, _) = Store::open(self.path(), config, surroundings, &mut |_| {})?;
        Ok(store)
    }
}

impl NewBlock {
    /// Writes a counter.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn counter(&mut self, name: &str, (number, entity): &(u64, Labels)) -> Result<()> {
        self.begin(1);
        let edge = self
            .edges
            .entry((name.to_owned(), *number))
            .or_insert_with(|| Edge::new(*number));
        let [lane] = self.buffer.lanes_mut() else {
            unreachable!("one lane was asked for");
        };
        for _ in &self.timestamps_ms {
            edge.advance_count(&mut self.chance);
            lane.values.push(edge.count);
        }
        self.write(name, entity, &[LaneKind::Value])
    }

    /// Writes a histogram: sum, count and buckets.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn histogram(&mut self, base: &str, (number, entity): &(u64, Labels)) -> Result<()> {
        self.begin(2 + BOUNDS.len());
        let edge = self
            .edges
            .entry((base.to_owned(), *number))
            .or_insert_with(|| Edge::new(*number));
        for _ in &self.timestamps_ms {
            edge.advance(&mut self.chance);
            let values = [edge.sum, edge.count].into_iter().chain(edge.buckets);
            for (lane, value) in self.buffer.lanes_mut().iter_mut().zip(values) {
                lane.values.push(value);
            }
        }
        self.write(base, entity, &histogram_lanes())
    }

    fn begin(&mut self, n_lanes: usize) {
        self.buffer.reset(n_lanes);
        self.buffer.timestamps_ms.extend(&self.timestamps_ms);
    }

    fn write(&mut self, base: &str, entity: &Labels, lanes: &[LaneKind<'_>]) -> Result<()> {
        let begun = thread_time();
        self.writer
            .write_stream(StreamKey { base, entity }, lanes, &self.buffer)?;
        self.written += thread_time() - begun;
        Ok(())
    }
}

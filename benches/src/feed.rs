//! Series and samples for a store of this process.

use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context, Result, ensure};
use model::{BUCKET_LABEL, Labels, LaneKind, METRIC_NAME, SampleBatch, SeriesName, SeriesRef};
use storage::Store;

/// Samples of one request.
const BATCH_LEN: usize = 20_000;

/// Requests that are under way at the same time.
const PENDING_MAX: usize = 8;

/// Registers some lanes of a stream.
///
/// # Errors
/// Limits of the store.
pub fn register(
    store: &Store,
    base: &str,
    entity: &Labels,
    lanes: &[LaneKind<'_>],
) -> Result<Vec<SeriesRef>> {
    let series = lanes.iter().map(|lane| {
        let name = SeriesName { base, lane: *lane }.metric_name();
        let le = match lane {
            LaneKind::Bucket(le) => Some((BUCKET_LABEL, *le)),
            _ => None,
        };
        let own = [(METRIC_NAME, name.as_str())].into_iter().chain(le);
        let labels = Labels::from_pairs(entity.iter().chain(own))?;
        let key = store.resolver().key(format!("{labels:?}").as_bytes());
        Ok(store.register(key, &labels)?)
    });
    series.collect()
}

/// Appends samples in requests, some at a time.
#[derive(Debug)]
pub struct Feed<'a> {
    store: &'a Store,
    batch: SampleBatch,
    n_pending: usize,
    sender: Sender<bool>,
    answers: Receiver<bool>,
}

impl<'a> Feed<'a> {
    /// A feed of `store`; [`Self::finish`] it.
    #[must_use]
    pub fn new(store: &'a Store) -> Self {
        let (sender, answers) = channel();
        Self {
            store,
            batch: SampleBatch::default(),
            n_pending: 0,
            sender,
            answers,
        }
    }

    /// Adds a sample.
    ///
    /// # Errors
    /// If one of those before was not stored.
    pub fn push(&mut self, series: SeriesRef, timestamp_ms: i64, value: f64) -> Result<()> {
        self.batch.push(series, timestamp_ms, value);
        if self.batch.len() >= BATCH_LEN {
            self.send()?;
        }
        Ok(())
    }

    /// Waits until everything is stored.
    ///
    /// # Errors
    /// If it was not.
    pub fn finish(mut self) -> Result<()> {
        self.send()?;
        while self.n_pending > 0 {
            self.wait()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let sender = self.sender.clone();
        // Whoever waits for it is gone when the bench fails.
        let done = Box::new(move |outcome: Result<_, _>| {
            let _told = sender.send(outcome.is_ok());
        });
        self.store.append(std::mem::take(&mut self.batch), done)?;
        self.n_pending += 1;
        while self.n_pending > PENDING_MAX {
            self.wait()?;
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let is_stored = self.answers.recv().context("the store is closed")?;
        self.n_pending -= 1;
        ensure!(is_stored, "a request was not stored");
        Ok(())
    }
}

//! A source that can be stopped, to see what happens meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::{Matcher, TimeRange};
use parking_lot::{Condvar, Mutex};
use storage::{Error, NewestBuffer, SelectedStream, Selection, Source, StreamBuffer};

/// A source whose reads wait until they are let through.
#[derive(Debug)]
pub(crate) struct Gated {
    inner: Arc<dyn Source>,
    gate: Arc<Gate>,
}

/// What reads wait for.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    n_reads: AtomicUsize,
}

#[derive(Debug)]
struct GatedSelection {
    inner: Arc<dyn Selection>,
    gate: Arc<Gate>,
}

impl Gate {
    fn pass(&self) {
        self.n_reads.fetch_add(1, Ordering::SeqCst);
        let mut is_open = self.is_open.lock();
        while !*is_open {
            self.opened.wait(&mut is_open);
        }
    }

    /// Lets all reads through, from now on.
    pub(crate) fn open(&self) {
        *self.is_open.lock() = true;
        self.opened.notify_all();
    }

    /// Reads that came here.
    pub(crate) fn n_reads(&self) -> usize {
        self.n_reads.load(Ordering::SeqCst)
    }
}

impl Gated {
    /// A closed gate before `inner`.
    pub(crate) fn new(inner: Arc<dyn Source>) -> (Self, Arc<Gate>) {
        let gate = Arc::<Gate>::default();
        let source = Self {
            inner,
            gate: Arc::clone(&gate),
        };
        (source, gate)
    }
}

impl Source for Gated {
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Arc<dyn Selection>, Error> {
        Ok(Arc::new(GatedSelection {
            inner: self.inner.select(matchers, range)?,
            gate: Arc::clone(&self.gate),
        }))
    }

    fn label_names(&self, range: TimeRange) -> Result<Vec<Arc<str>>, Error> {
        self.inner.label_names(range)
    }

    fn label_values(&self, name: &str, range: TimeRange) -> Result<Vec<Arc<str>>, Error> {
        self.inner.label_values(name, range)
    }
}

impl Selection for GatedSelection {
    fn streams(&self) -> &[SelectedStream] {
        self.inner.streams()
    }

    fn n_series(&self) -> usize {
        self.inner.n_series()
    }

    fn label_names(&self) -> Vec<Arc<str>> {
        self.inner.label_names()
    }

    fn label_column(&self, name: &str) -> model::LabelColumn {
        self.inner.label_column(name)
    }

    fn read(&self, stream_idx: usize, range: TimeRange, buffer: &mut StreamBuffer) -> Result<(), Error> {
        self.gate.pass();
        self.inner.read(stream_idx, range, buffer)
    }

    fn warnings(&self) -> Vec<String> {
        vec!["a gate was passed".to_owned()]
    }

    fn read_newest(
        &self,
        stream_idx: usize,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error> {
        self.gate.pass();
        self.inner.read_newest(stream_idx, range, buffer)
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    tokio::time::timeout(Duration::from_secs(20), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
}

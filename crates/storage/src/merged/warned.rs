//! A selection of which something is to be said.

use std::fmt;
use std::sync::Arc;

use model::{LabelColumn, TimeRange};

use crate::{Error, LiveBuffer, NewestBuffer, SelectedStream, Selection, StreamBuffer};

/// Another selection with warnings in the place of its own: what is merged keeps none of those of parts.
pub struct Warned {
    inner: Arc<dyn Selection>,
    warnings: Box<dyn Fn() -> Vec<String> + Send + Sync>,
}

impl Warned {
    /// `warnings` is called when somebody wants to know them: there may be more once samples were read.
    pub fn new(
        inner: Arc<dyn Selection>,
        warnings: impl Fn() -> Vec<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner,
            warnings: Box::new(warnings),
        }
    }
}

impl fmt::Debug for Warned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Warned").field(&self.inner).finish()
    }
}

impl Selection for Warned {
    fn streams(&self) -> &[SelectedStream] {
        self.inner.streams()
    }

    fn n_series(&self) -> usize {
        self.inner.n_series()
    }

    fn label_names(&self) -> Vec<Arc<str>> {
        self.inner.label_names()
    }

    fn label_column(&self, name: &str) -> LabelColumn {
        self.inner.label_column(name)
    }

    fn read(&self, stream_idx: usize, range: TimeRange, buffer: &mut StreamBuffer) -> Result<(), Error> {
        self.inner.read(stream_idx, range, buffer)
    }

    fn read_newest(
        &self,
        stream_idx: usize,
        range: TimeRange,
        buffer: &mut NewestBuffer,
    ) -> Result<(), Error> {
        self.inner.read_newest(stream_idx, range, buffer)
    }

    fn read_live(&self, stream_idx: usize, range: TimeRange, buffer: &mut LiveBuffer) -> Result<(), Error> {
        self.inner.read_live(stream_idx, range, buffer)
    }

    fn warnings(&self) -> Vec<String> {
        (self.warnings)()
    }
}

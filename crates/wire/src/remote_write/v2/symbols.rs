//! The symbol table: every string of a request, once.

use crate::error::LabelsError;
use crate::remote_write::labels::text;

/// The symbol table of one request.
#[derive(Debug, Clone, Default)]
pub struct Symbols<'a> {
    /// `Err` holds the bytes of a symbol that is not UTF-8; it harms only the series that use it.
    texts: Vec<Result<&'a str, &'a [u8]>>,
}

impl<'a> Symbols<'a> {
    /// Number of symbols.
    #[must_use]
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The bytes of each symbol, in order.
    pub fn iter_bytes(&self) -> impl ExactSizeIterator<Item = &'a [u8]> {
        self.texts.iter().map(bytes_of)
    }

    /// Adds the next symbol.
    pub(in crate::remote_write) fn push(&mut self, bytes: &'a [u8]) {
        self.texts.push(std::str::from_utf8(bytes).map_err(|_| bytes));
    }

    /// The bytes of one symbol; `None` when there is no such symbol.
    pub(super) fn bytes(&self, reference: u32) -> Option<&'a [u8]> {
        self.texts.get(reference as usize).map(bytes_of)
    }

    /// The text of one symbol.
    pub(in crate::remote_write) fn text(&self, reference: u32) -> Result<&'a str, LabelsError> {
        match self.texts.get(reference as usize) {
            Some(Ok(text)) => Ok(text),
            Some(Err(bytes)) => text(bytes),
            None => Err(self.out_of_range(reference)),
        }
    }

    fn out_of_range(&self, reference: u32) -> LabelsError {
        LabelsError::ReferenceOutOfRange {
            reference,
            n_symbols: self.len(),
        }
    }
}

fn bytes_of<'a>(symbol: &Result<&'a str, &'a [u8]>) -> &'a [u8] {
    match symbol {
        Ok(text) => text.as_bytes(),
        Err(bytes) => bytes,
    }
}

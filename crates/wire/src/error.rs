//! What can be wrong with foreign bytes: a whole message, or one series of it.

/// A message that is no valid protobuf of its schema. Nothing read from it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset}")]
pub struct DecodeError {
    /// Where in the decompressed body, in bytes.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Why the labels of one series are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// The bytes of the labels are broken.
    #[error("malformed labels: {0}")]
    Malformed(#[from] DecodeError),
    /// A name or a value is not UTF-8.
    #[error("label text {text:?} is not valid UTF-8")]
    NotUtf8 {
        /// The text, with replacement characters, cut after some.
        text: String,
    },
    /// A label has no name.
    #[error("label with value {value:?} has an empty name")]
    EmptyName {
        /// The value that came with it, cut after some bytes.
        value: String,
    },
    /// One name stands twice.
    #[error("duplicate label name {name:?}")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// There is no `__name__`, or it is empty.
    #[error("missing metric name (label \"__name__\")")]
    MissingMetricName,
    /// More labels than allowed.
    #[error("more than {limit} labels")]
    TooManyLabels {
        /// What is allowed.
        limit: usize,
    },
    /// A label name longer than allowed.
    #[error("label name {name:?} has {bytes} bytes, more than {limit}")]
    NameTooLong {
        /// The name, cut after some bytes.
        name: String,
        /// Its length.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A label value longer than allowed.
    #[error("value of label {name:?} has {bytes} bytes, more than {limit}")]
    ValueTooLong {
        /// The label's name.
        name: String,
        /// The value's length.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Remote write 2.0: a label name without a value.
    #[error("odd number of label references ({n_refs})")]
    OddReferences {
        /// How many references there are.
        n_refs: usize,
    },
    /// Remote write 2.0: a reference to a symbol that is not there.
    #[error("label reference {reference} is beyond the {n_symbols} symbols of the request")]
    ReferenceOutOfRange {
        /// The reference.
        reference: u32,
        /// Size of the symbol table.
        n_symbols: usize,
    },
}

/// A series that is refused; the other series of its request are not touched by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("series {series}: {reason}")]
pub struct RefusedSeries {
    /// The series as far as it can be read, as text of bounded length.
    pub series: String,
    /// What is wrong with it.
    pub reason: LabelsError,
}

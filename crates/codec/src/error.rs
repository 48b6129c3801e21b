//! What damaged bytes are answered with.

/// Bytes that no encoder here has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end too early.
    #[error("bytes end within {within}")]
    Truncated {
        /// Which part was being read.
        within: &'static str,
    },
    /// A number is outside what its place allows.
    #[error("invalid {what}")]
    Invalid {
        /// Which number.
        what: &'static str,
    },
}

//! Page encodings, checksums and varints: the only place that knows bit layouts.
#![forbid(unsafe_code)]

//! Label dictionaries, entity table, postings and matcher resolution.
#![forbid(unsafe_code)]

//! PromQL plans as DataFusion operators over the storage.
#![forbid(unsafe_code)]

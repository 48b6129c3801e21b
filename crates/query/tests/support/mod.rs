//! What tests and benches share.
#![allow(dead_code, reason = "each of them takes what it needs")]

pub(crate) mod ask_sql;
pub(crate) mod gate;
pub(crate) mod memory;
pub(crate) mod mesh;
pub(crate) mod runner;

//! The `meshtide` command.
#![forbid(unsafe_code)]
fn main() {}

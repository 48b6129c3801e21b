//! Test time, test chance and files that fail: what tests hand in where a server has the real thing.
//!
//! - [`MockClock`] stands still until it is told otherwise.
//! - [`Chance`] gives the same numbers for the same seed.
//! - [`FaultyFiles`] is a file system in memory that can fail at any operation, run full, lose what was not synced
//!   in a crash, and flip bits.
//! - [`mutate`] damages bytes; [`keep_seeds`] keeps them whole, for fuzzing.
#![forbid(unsafe_code)]

mod chance;
mod clock;
mod faulty_files;
mod mutation;
mod seeds;

pub use chance::Chance;
pub use clock::MockClock;
pub use faulty_files::{Fault, FaultyFiles};
pub use mutation::mutate;
pub use seeds::keep_seeds;

//! The write-ahead log.

mod report;

pub use report::{Damage, RecoveryProgress, RecoveryReport};

/// The metric name of samples whose series' labels are lost.
pub const LOST_METRIC: &str = "meshtide_lost_series";

//! The write-ahead log, the head, blocks, and the reads over them.
#![forbid(unsafe_code)]

pub mod block;
pub mod blocks;
pub mod checks;
pub mod error;
pub mod exemplars;
pub mod files;
pub mod handoff;
pub mod head;
pub mod inspect;
pub mod merged;
pub mod source;
pub mod store;
mod stored;
pub mod wal;

pub use blocks::BlockCacheConfig;
pub use error::Error;
pub use exemplars::{Exemplar, ExemplarConfig, ExemplarLabelError, ExemplarLabels, SeriesExemplars};
pub use files::LocalFiles;
pub use head::{Head, HeadConfig, HeadStats, LaneChoice, Refusal, RefusalReason};
pub use inspect::{Inspection, inspect};
pub use source::{LaneBuffer, LiveBuffer, NewestBuffer, SelectedStream, Selection, Source, StreamBuffer};
pub use store::{
    AppendOutcome, BlockConfig, BlockStats, Done, ExemplarOutcome, FlushOutcome, Session, Store, StoreConfig,
    StoreStats, Surroundings, WalSync,
};
pub use stored::StoredHistogram;
pub use wal::{Damage, LOST_METRIC, RecoveryProgress, RecoveryReport, WalStats};

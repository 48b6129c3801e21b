//! Pairs of identical Prometheus servers: of each pair one replica is elected, and only its samples are stored.
//!
//! Two replicas scrape the same targets at different moments, so their samples cannot be merged into one series
//! that makes sense; they differ in nothing but the *replica label*. That label is taken off, and the samples of
//! the replicas that are not elected are acknowledged and left out. `origin` says from which replica a series
//! comes, `election` decides, `tracker` keeps the elections of all pairs.
//!
//! - **Per request.** Replicas put their labels on every series they send, so one look at the first series is
//!   enough to know whom to ask about. Every origin has a salt by which the keys of its series are changed, so a key
//!   that the resolver knows is known to be of that origin, too: a request of mixed origin is decided series by
//!   series, at the price of parsing the labels of those that are not of the first origin and not known yet (see
//!   `ingest::origins`). A sample costs nothing.
//! - **Stripping.** A key means the series without its replica label from the moment it is registered.
//! - **Silence.** Time is the server's own, counted from when requests arrive; what their samples say does not matter.
//! - **Restart.** Elections are notes of the store, durable before the samples that follow them. After a restart
//!   an elected replica has as long to be heard as after its last request.
//!
//! Limits: [`PAIRS_MAX`] pairs; the one that was silent longest makes room for another.

mod config;
mod election;
mod origin;
mod tracker;

pub use config::{Config, PairLabels};

pub(crate) use origin::Origin;
pub(crate) use tracker::{PairStatus, Tracker};

/// Pairs whose elections are kept.
pub(crate) const PAIRS_MAX: usize = 10_000;

/// What to do with the series of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Store them.
    Elected,
    /// Acknowledge them and leave them out.
    Lost,
}

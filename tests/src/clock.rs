//! The machine's own time, for tests with peers that know no other.
#![expect(
    clippy::disallowed_methods,
    reason = "a real writer stamps its samples with it, and a server takes none of another time"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;

/// Milliseconds since the epoch.
///
/// # Errors
/// The clock stands before it.
pub fn now_ms() -> Result<i64> {
    Ok(i64::try_from(since_epoch()?.as_millis())?)
}

/// Seconds since the epoch.
///
/// # Errors
/// The clock stands before it.
pub fn now_s() -> Result<f64> {
    Ok(since_epoch()?.as_secs_f64())
}

fn since_epoch() -> Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

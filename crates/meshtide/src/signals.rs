//! Signals that end the process.

use anyhow::{Context, Result};

/// Waits for Ctrl-C or SIGTERM.
///
/// # Errors
/// The system does not let signals be waited for.
#[cfg(unix)]
pub(crate) async fn stop() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let context = "cannot wait for signals";
    let mut interrupt = signal(SignalKind::interrupt()).context(context)?;
    let mut terminate = signal(SignalKind::terminate()).context(context)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Waits for Ctrl-C.
///
/// # Errors
/// The system does not let it be waited for.
#[cfg(not(unix))]
pub(crate) async fn stop() -> Result<()> {
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")
}

//! How the process ends: 0 done, 1 failed, 2 wrong usage.

use std::process::ExitCode;

/// Marks an error as the user's: a wrong argument or a wrong configuration.
#[derive(Debug, thiserror::Error)]
#[error("wrong usage")]
struct WrongUsage;

/// `error`, as the user's.
pub(crate) fn usage(error: &anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    anyhow::Error::new(WrongUsage).context(text)
}

/// Logs an error; gives back the exit code for it.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if error.is::<WrongUsage>() {
        // The marker is the last cause and says nothing of its own.
        tracing::error!("{error}");
        return ExitCode::from(2);
    }
    tracing::error!("{error:#}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_wrong_usage_from_failure() {
        let wrong = usage(&anyhow::anyhow!("inner").context("outer"));
        assert_eq!(wrong.to_string(), "outer: inner");
        assert_eq!(report(&wrong), ExitCode::from(2));
        assert_eq!(report(&anyhow::anyhow!("x")), ExitCode::FAILURE);
    }
}

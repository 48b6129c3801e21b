//! `meshtide inspect DIR`: what a data directory holds, and whether it is sound.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use model::Files;
use storage::LocalFiles;

/// The arguments of `meshtide inspect`.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArguments {
    /// A data directory. A server may be using it: what it is just writing or removing may then look damaged
    #[arg(value_name = "DIR")]
    data_dir: PathBuf,
}

/// Prints what there is; false if something is damaged.
///
/// # Errors
/// There is no such directory, or it cannot be read.
#[expect(clippy::print_stdout, reason = "the command's result")]
pub(crate) fn run(arguments: &InspectArguments) -> Result<bool> {
    let files: Arc<dyn Files> = Arc::new(LocalFiles);
    let dir = &arguments.data_dir;
    let inspection =
        storage::inspect(&files, dir).with_context(|| format!("cannot inspect {}", dir.display()))?;
    for line in &inspection.found {
        println!("{line}");
    }
    for line in &inspection.damaged {
        println!("DAMAGED {line}");
    }
    match inspection.damaged.len() {
        0 => println!("sound: every checksum, count and order is as it should be"),
        n_damaged => println!("{n_damaged} damaged places"),
    }
    Ok(inspection.is_sound())
}

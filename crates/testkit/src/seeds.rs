//! Valid inputs of tests, kept as the files from which fuzzing starts.

use std::path::Path;

/// Writes `inputs` into the folder of the fuzz target `target` below the one that `MESHTIDE_FUZZ_SEEDS` names, a file
/// each; does nothing when that is not set. `fuzz/README.md` has the command.
///
/// # Panics
/// If a file cannot be written.
pub fn keep_seeds<Input: AsRef<[u8]>>(target: &str, inputs: impl IntoIterator<Item = Input>) {
    let Some(folder) = std::env::var_os("MESHTIDE_FUZZ_SEEDS") else {
        return;
    };
    let folder = Path::new(&folder).join(target);
    let written = std::fs::create_dir_all(&folder).and_then(|()| {
        inputs
            .into_iter()
            .enumerate()
            .try_for_each(|(idx, input)| std::fs::write(folder.join(idx.to_string()), input))
    });
    written.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
}

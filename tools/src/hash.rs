//! SHA-256 of what a result depends on, as hex digits. Not here: what that is.

use crate::Failure;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::OnceLock;

/// Hash of these parts; where one ends and the next begins counts.
pub fn of(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hash of files' contents, in their order.
pub fn of_files(files: &[&Path]) -> Result<String, Failure> {
    let read = |file: &&Path| std::fs::read(file).map_err(Failure::with(file.display()));
    let contents = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(of(&contents.iter().map(Vec::as_slice).collect::<Vec<_>>()))
}

/// Hash of the program that runs: it stands for the version of every computation in it. Read once.
pub fn of_this_program() -> Result<String, Failure> {
    static HASH: OnceLock<String> = OnceLock::new();
    if let Some(hash) = HASH.get() {
        return Ok(hash.clone());
    }
    let hash = of_files(&[&std::env::current_exe().map_err(Failure::with("this program's own file"))?])?;
    Ok(HASH.get_or_init(|| hash).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart() {
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_eq!(of(&[b"ab"]).len(), 64);
        assert_eq!(of(&[b"ab"]), of(&[b"ab"]));
    }
}

//! Where a scenario is: a file anywhere, or one in the project's folder of scenarios by its name. Not here: what is in it.

use std::fs;
use std::path::{Path, PathBuf};

/// Folder of the scenarios that have names.
const SCENARIOS: &str = "scenarios";

/// The file that is meant: of that path, or of that name in the folder of scenarios.
///
/// # Errors
/// In words, with the names that there are, if there is no such file.
pub fn file_of(word: &str) -> Result<PathBuf, String> {
    file_in(Path::new(SCENARIOS), word)
}

fn file_in(folder: &Path, word: &str) -> Result<PathBuf, String> {
    let named = folder.join(format!("{word}.toml"));
    let found = [PathBuf::from(word), named].into_iter().find(|path| path.is_file());
    found.ok_or_else(|| {
        let mut names = names(folder, "");
        names.sort();
        format!("there is no file {word}, and {} has only these: {}", folder.display(), names.join(", "))
    })
}

/// The names of the scenarios in a folder and its folders, with what comes before them.
fn names(folder: &Path, before: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = |path: PathBuf| {
        let stem = path.file_stem()?.to_str()?;
        let name = format!("{before}{stem}");
        match path.extension() {
            Some(extension) if extension == "toml" => Some(vec![name]),
            None if path.is_dir() => Some(names(&path, &format!("{name}/"))),
            _ => None,
        }
    };
    entries.filter_map(|entry| named(entry.path())).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_found_by_its_path_or_by_its_name_and_else_the_names_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let (mine, scenarios) = (folder.path().join("mine.toml"), folder.path().join("scenarios"));
        fs::create_dir_all(scenarios.join("compare")).unwrap();
        for file in [&mine, &scenarios.join("shares.toml"), &scenarios.join("compare/overload.toml")] {
            fs::write(file, "").unwrap();
        }
        assert_eq!(file_in(&scenarios, mine.to_str().unwrap()), Ok(mine));
        assert_eq!(file_in(&scenarios, "shares"), Ok(scenarios.join("shares.toml")));
        assert_eq!(file_in(&scenarios, "compare/overload"), Ok(scenarios.join("compare/overload.toml")));
        let error = file_in(&scenarios, "share").unwrap_err();
        assert!(
            error.starts_with("there is no file share, and ")
                && error.ends_with(": compare/overload, shares")
        );
    }
}

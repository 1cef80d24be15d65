//! `./just new-policy NAME`: a policy of one's own, as a crate that compiles, is tested, runs on the kernel and in the simulator, and
//! can be compared at once. It is `policies/template` under another name, and a row in each of three tables.
//!
//! Not here: what to write into it (`docs/write-a-scheduler.md`), and whether that is right (`grade`).

use crate::Failure;
use std::path::{Path, PathBuf};

/// The crate that is copied.
const TEMPLATE: &str = "policies/template";
/// Its files.
const FILES: [&str; 4] = ["Cargo.toml", "src/lib.rs", "src/main.rs", "tests/policy.rs"];
/// The table of policies: what each is called and promises.
const TABLE: &str = "libos-core/src/scenario/policy.rs";
/// How each is made in the simulator.
const SIMULATOR: &str = "tools/src/sim/policy.rs";
/// What the simulator is made of.
const MANIFEST: &str = "tools/Cargo.toml";
/// Every crate that is used anywhere.
const LOCK: &str = "Cargo.lock";
/// The folder of the programs that come with the project.
const PROGRAMS: &str = "apps/src/bin";
/// A name is the name of a program, too; and no longer than one in a table.
const LONGEST: usize = 24;
/// For where there is little room.
const SHORT: usize = 9;
/// What no crate can be called.
const KEYWORDS: [&str; 46] = [
    "abstract", "alloc", "as", "async", "await", "become", "box", "break", "const", "continue", "core",
    "crate", "do", "dyn", "else", "enum", "extern", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "pub", "ref", "return", "self", "static", "std",
    "struct", "super", "test", "trait", "type", "unsafe", "use", "where", "while",
];

/// A name in the forms that are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    /// As people write it, in words with dashes.
    word: String,
    /// As Rust names the crate.
    module: String,
    /// As Rust names the type.
    kind: String,
}

impl Name {
    fn new(word: &str) -> Result<Self, Failure> {
        let parts: Vec<&str> = word.split('-').collect();
        let is_part = |part: &&str| {
            part.chars().next().is_some_and(|first| first.is_ascii_lowercase())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        if word.len() > LONGEST || !parts.iter().all(is_part) {
            return Err(Failure(format!(
                "{word:?} cannot be a policy's name: it is 1 to {LONGEST} of the characters a-z, 0-9 and -, and each part of it begins \
                 with a letter, as in my-policy2"
            )));
        }
        if KEYWORDS.contains(&word) {
            return Err(Failure(format!("{word:?} is a word of Rust's own: call the policy something else")));
        }
        let capital = |part: &&str| {
            let (first, rest) = part.split_at(1);
            first.to_ascii_uppercase() + rest
        };
        Ok(Self { word: word.into(), module: parts.join("_"), kind: parts.iter().map(capital).collect() })
    }

    fn short(&self) -> String {
        self.word.chars().take(SHORT).collect::<String>().trim_end_matches('-').into()
    }

    /// A file of the template under this name.
    fn applied(&self, text: &str) -> String {
        // By way of words that are in no file and no name, for a name may have the template's in it.
        text.replace("template::policy", "MODULE::policy")
            .replace("Template", "KIND")
            .replace("template", &self.word)
            .replace("MODULE", &self.module)
            .replace("KIND", &self.kind)
    }
}

/// A file and what it is to be.
type Written = (PathBuf, String);

/// The command `new-policy`, in the project's folder.
///
/// # Errors
/// If the name cannot be one, or is one already; or a file is not as this command knows it. Nothing is written then.
pub fn command(root: &Path, word: &str) -> Result<(), Failure> {
    let name = Name::new(word)?;
    let files = plan(root, &name)?;
    for (file, text) in &files {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(Failure::with(folder.display()))?;
        }
        std::fs::write(file, text).map_err(Failure::with(file.display()))?;
    }
    println!("{}", said(&name));
    Ok(())
}

/// Everything that is to be written.
fn plan(root: &Path, name: &Name) -> Result<Vec<Written>, Failure> {
    let read = |path: &str| {
        let file = root.join(path);
        std::fs::read_to_string(&file).map_err(Failure::with(file.display()))
    };
    is_free(root, name, &read(LOCK)?)?;
    let mut files = Vec::new();
    for file in FILES {
        let text = name.applied(&read(&format!("{TEMPLATE}/{file}"))?);
        files.push((root.join("policies").join(&name.word).join(file), text));
    }
    let Name { word, module, kind } = name;
    let row = format!("    /// `policies/{word}`.\n    {kind}, \"{word}\", \"{}\", Nothing;\n", name.short());
    files.push((root.join(TABLE), after_the_last_row(&read(TABLE)?, &row)?));
    let row = format!("            scenario::Policy::{kind} => plain({module}::policy(core)),\n");
    files.push((
        root.join(SIMULATOR),
        before(SIMULATOR, &read(SIMULATOR)?, "            scenario::Policy::None =>", &row)?,
    ));
    let row = format!("{word} = {{ path = \"../policies/{word}\" }}\n");
    files.push((root.join(MANIFEST), before(MANIFEST, &read(MANIFEST)?, "tranche-abi.workspace", &row)?));
    Ok(files)
}

/// Whether nothing has this name yet.
fn is_free(root: &Path, name: &Name, lock: &str) -> Result<(), Failure> {
    let word = &name.word;
    let taken = |by: &str| {
        Err(Failure(format!("{word:?} is the name of {by} already: call the policy something else")))
    };
    if root.join("policies").join(word).exists() {
        return taken(&format!("a policy, in policies/{word},"));
    }
    if lock.lines().any(|line| line == format!("name = \"{word}\"")) {
        return taken("a crate");
    }
    if root.join(PROGRAMS).join(format!("{word}.rs")).exists() {
        return taken(&format!("a program, {PROGRAMS}/{word}.rs,"));
    }
    Ok(())
}

/// The table of policies with one row more.
fn after_the_last_row(text: &str, row: &str) -> Result<String, Failure> {
    let begin = text.find("\npolicies! {\n");
    let end = begin.and_then(|begin| Some(begin + text[begin..].find("\n}\n")? + 1));
    let end = end.ok_or_else(|| unknown(TABLE, "policies! { … }"))?;
    Ok(format!("{}{row}{}", &text[..end], &text[end..]))
}

/// A file with a line more, before the first that begins with a text.
fn before(path: &str, text: &str, mark: &str, row: &str) -> Result<String, Failure> {
    let place = text.find(&format!("\n{mark}")).ok_or_else(|| unknown(path, mark.trim()))? + 1;
    Ok(format!("{}{row}{}", &text[..place], &text[place..]))
}

fn unknown(path: &str, what: &str) -> Failure {
    Failure(format!(
        "{path}: there is no {what:?} beside which the policy's row would go; nothing was changed"
    ))
}

/// What to do next.
fn said(name: &Name) -> String {
    let Name { word, kind, .. } = name;
    format!(
        "policies/{word}/src/lib.rs is your policy, {kind}: for now, first come, first served. Beside it are its program and its tests.\n\
         It has a row in {TABLE} (its name, and what it promises), in {SIMULATOR}\n\
         and in {MANIFEST}; git diff shows them. To be rid of it, take them out and remove policies/{word}.\n\n\
         cargo test -p {word}                                   tests it, in seconds\n\
         ./just sim compare/compute --policy {word}             simulates it\n\
         ./just run-qemu compare/compute --policy {word}        runs it on the kernel\n\
         ./just grade {word} fifo                               compares it with what is published of FIFO\n\
         ./just compare --policies {word},round-robin,stride    compares it, as a page\n\n\
         docs/write-a-scheduler.md goes on from here."
    )
}

#[cfg(test)]
mod tests;

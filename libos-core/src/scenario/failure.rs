//! The table of failures: how a scheduler can fail on purpose, and which of them it can be told to end.
//!
//! Not here: how a scheduler does it (`apps::scheduler::failure`), nor what others suffer from it (the host's `blast`).
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

/// A failure with its time. Times in milliseconds after the run's start; the broker gives word at the next revolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// How.
    pub how: Failure,
    /// From when on.
    pub from_ms: u32,
    /// Until when; `None`: for good.
    pub until_ms: Option<u32>,
}

/// Makes the type, and what can be asked of it, from the table below.
macro_rules! failures {
    ($($(#[$doc:meta])+ $variant:ident, $word:literal, $ends:ident;)+) => {
        /// A way in which a scheduler fails.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Failure {
            $($(#[$doc])+ $variant,)+
        }

        impl Failure {
            /// All, with their names.
            pub const NAMES: [(&'static str, Self); [$($word),+].len()] = [$(($word, Self::$variant)),+];

            /// Its name, in files and results.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// Who can end it.
            pub fn end(self) -> End {
                match self {
                    $(Self::$variant => End::$ends,)+
                }
            }
        }
    };
}

/// Who can end a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The scheduler itself, when it is told to.
    Itself,
    /// Others only: what failed is no more.
    Others,
}

failures! {
    /// It faults.
    Crash, "crash", Others;
    /// It computes without end, and does nothing else.
    EndlessLoop, "endless-loop", Itself;
    /// It gives its slices to nobody, and keeps the CPU past the end of each, until that is taken by force.
    NeverYields, "never-yields", Itself;
    /// It yields to activations that are no more, never were, or are not its own.
    YieldsToTheDead, "yields-to-the-dead", Itself;
    /// It makes capabilities and targets up.
    Forges, "forges", Itself;
    /// It makes calls as fast as it can, most of which take the lock that all cores share.
    FloodsCalls, "floods-calls", Itself;
    /// It schedules as ever, and gives nothing back that it is asked for.
    IgnoresRevocation, "ignores-revocation", Itself;
    /// It overwrites its own memory: the pages that it shares with the kernel, its policy's tables, and all else on its heap.
    CorruptsItsTables, "corrupts-its-tables", Others;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_found_by_its_word() {
        for (word, failure) in Failure::NAMES {
            assert_eq!(failure.word(), word);
        }
        assert_eq!(Failure::Crash.end(), End::Others);
        assert_eq!(Failure::Forges.end(), End::Itself);
    }
}

//! The table of policies: every one's name, and what it promises. A scheduler program of the same name runs it on the kernel.
//!
//! Not here: what any of them does (`libos-stride`, `libos-rt`, `sched::line`), nor how one is made for a simulation (the host's
//! `tools`).
#![forbid(unsafe_code)]

use super::Admission;
use serde::{Deserialize, Serialize};

/// What a policy promises its clients; so what is measured of it, and what is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// CPU time in proportion to tickets.
    Shares,
    /// That the deadlines are met of those whom it takes on, where admission is required. Who has no deadlines runs in the
    /// background.
    Deadlines,
    /// A budget for every period, whatever other clients do, to those whom it takes on, where admission is required. So deadlines are met
    /// of jobs that need no more than a budget and come no sooner than a period apart. Who has no deadlines runs in the background.
    Bandwidth,
    /// Nothing, but it goes by deadlines.
    Effort,
    /// That everybody's turn comes.
    Turns,
    /// Nothing.
    Nothing,
}

/// Makes the type, and what can be asked of it, from the table below.
macro_rules! policies {
    ($($(#[$doc:meta])+ $variant:ident, $word:literal, $short:literal, $promise:ident;)+) => {
        /// By which rule a libOS schedules its clients.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Policy {
            /// It has no clients: the program uses its slots itself.
            None,
            $($(#[$doc])+ $variant,)+
        }

        impl Policy {
            /// All that schedule clients.
            pub const ALL: [Self; Self::NAMES.len() - 1] = [$(Self::$variant),+];
            /// All, with their names; the one without clients last.
            pub const NAMES: [(&'static str, Self); [$($word),+].len() + 1] =
                [$(($word, Self::$variant),)+ ("none", Self::None)];

            /// Its name, in files and results, and its program's.
            pub fn word(self) -> &'static str {
                match self {
                    Self::None => "none",
                    $(Self::$variant => $word,)+
                }
            }

            /// A name for where there is little room.
            pub fn short(self) -> &'static str {
                match self {
                    Self::None => "program",
                    $(Self::$variant => $short,)+
                }
            }

            /// What it promises.
            pub fn promise(self) -> Promise {
                match self {
                    Self::None => Promise::Nothing,
                    $(Self::$variant => Promise::$promise,)+
                }
            }
        }
    };
}

policies! {
    /// Proportional share, deterministic.
    Stride, "stride", "stride", Shares;
    /// Proportional share, deterministic, by halves of halves.
    HierarchicalStride, "hierarchical-stride", "hi-stride", Shares;
    /// Proportional share, by lot.
    Lottery, "lottery", "lottery", Shares;
    /// Earliest deadline first.
    Edf, "edf", "edf", Deadlines;
    /// Fixed priorities, the shorter the period the higher.
    RateMonotonic, "rate-monotonic", "rate-mon.", Deadlines;
    /// Fixed priorities, the shorter the time from release to deadline the higher.
    DeadlineMonotonic, "deadline-monotonic", "dead-mon.", Deadlines;
    /// Constant-bandwidth servers, earliest deadline first; who has used its budget goes on with the next.
    Cbs, "cbs", "cbs", Bandwidth;
    /// The same, but who has used its budget stops until its deadline.
    CbsHard, "cbs-hard", "cbs-hard", Bandwidth;
    /// Earliest deadline first, of the clients of all cores together.
    GlobalEdf, "global-edf", "glob-edf", Effort;
    /// Fixed priorities, the shorter the period the higher, of the clients of all cores together.
    GlobalRateMonotonic, "global-rate-monotonic", "glob-rm", Effort;
    /// Global earliest deadline first, but before all others who must run from now on to be in time.
    Edzl, "edzl", "edzl", Effort;
    /// Everybody in turn, a quantum each.
    RoundRobin, "round-robin", "robin", Turns;
    /// First come, first served.
    Fifo, "fifo", "fifo", Nothing;
}

impl Policy {
    /// Whether it schedules by deadlines, so clients tell it theirs.
    pub fn is_for_deadlines(self) -> bool {
        matches!(self.promise(), Promise::Deadlines | Promise::Bandwidth | Promise::Effort)
    }

    /// Whether it can guarantee deadlines.
    pub fn can_guarantee(self) -> bool {
        matches!(self.promise(), Promise::Deadlines | Promise::Bandwidth)
    }

    /// Whom it takes on where a scenario does not say.
    pub fn usual_admission(self) -> Admission {
        match self.promise() {
            // Servers that take on everybody are what the paper is about, and what they were before they could refuse anybody.
            Promise::Bandwidth => Admission::Off,
            _ => Admission::Required,
        }
    }

    /// Whether a client that waits for another lends it what it is scheduled by, if its libOS wants that.
    pub fn lends(self) -> bool {
        let tickets = matches!(self, Self::Stride | Self::HierarchicalStride | Self::Lottery);
        tickets || matches!(self, Self::Edf | Self::RateMonotonic | Self::DeadlineMonotonic)
    }

    /// Whether all cores' activations share one policy, so that a client runs on any core, one at a time.
    pub fn is_global(self) -> bool {
        matches!(self, Self::GlobalEdf | Self::GlobalRateMonotonic | Self::Edzl)
    }

    /// Whether it divides CPU time by tickets.
    pub fn is_for_shares(self) -> bool {
        self.promise() == Promise::Shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_policys_name_is_the_one_by_which_it_is_written_in_results() {
        for (word, policy) in Policy::NAMES {
            let mut bytes = [0; 64];
            let debug = format!("{policy:?}");
            let kebab = debug.char_indices().flat_map(|(place, letter)| {
                let dash = (place > 0 && letter.is_ascii_uppercase()).then_some('-');
                dash.into_iter().chain([letter.to_ascii_lowercase()])
            });
            let length = kebab.fold(0, |at, letter| at + letter.encode_utf8(&mut bytes[at..]).len());
            assert_eq!((policy.word(), &bytes[..length]), (word, word.as_bytes()));
        }
    }

    #[test]
    fn short_names_have_nine_letters_at_most() {
        for (_, policy) in Policy::NAMES {
            assert!(policy.short().len() <= 9, "{}", policy.short());
        }
    }
}

//! The call fuzzer: makes random and mutated calls by the million, in environments that may die of it; nobody else may
//! notice.
//!
//! One program, two parts. As a libOS it is the [`supervisor`]: it makes environments of the same program with few
//! frames and slots, gives them [`turns`] on every core, notices when they die or fall silent, destroys and reclaims them,
//! keeps [`account`], and begins again with the next seed. In such an environment it is a [`fuzzer`]: an activation for
//! each core, all on the same address space, each making single calls with [`arguments`] of all [`kinds`], [`sequences`] of
//! calls that get further than single ones, and [`abuse`] of its own page, stack and registers. It calls through
//! [`stubs`], and counts in a [`tally`] that survives it.
//!
//! Numbers, names and argument types are those of the call table, so a call that is new there is made here, too.
//!
//! Not here: who suffers from it; the scenario has others whose work checks itself. The fuzzer has no handle to the
//! machine, so it can neither write to the console nor switch it off, although it tries.

pub mod abuse;
pub mod account;
pub mod arguments;
pub mod fuzzer;
pub mod kinds;
pub mod sequences;
pub mod stubs;
pub mod supervisor;
pub mod tally;
pub mod turns;

use libos_core::start::StartInfo;

/// The name by which an environment knows that it is to make calls.
const FUZZER: &str = "fuzzer";

/// Runs as the supervisor, or in an environment that it made.
pub fn main(info: StartInfo) {
    if info.name == FUZZER { fuzzer::main(&info) } else { supervisor::main(&info) }
}

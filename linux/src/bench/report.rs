//! What the console gets of the benchmark. Not here: how a line is said (`linux_guest::report`).

use crate::measure::Batches;
use linux_guest::report::say;
pub use linux_guest::report::wrong;

/// What an operation has taken.
pub fn figure(id: &str, batches: &Batches) {
    let Batches { ticks, operations, overhead } = batches;
    say(format_args!(
        "{{\"id\":\"{id}\",\"operations\":{operations},\"overhead\":{overhead},\"ticks\":{ticks:?}}}"
    ));
}

/// That this Linux has no such operation.
pub fn absent(id: &str, reason: core::fmt::Arguments) {
    say(format_args!("{{\"id\":\"{id}\",\"absent\":\"{reason}\"}}"));
}

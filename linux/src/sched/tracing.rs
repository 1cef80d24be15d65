//! Who had which core when, as Linux records it: its event `sched_switch`, by `CLOCK_MONOTONIC`, into a ring for each core that
//! is read when the run is over.

use crate::files::{self, Text};
use core::ffi::CStr;
use linux_guest::calls;
use linux_guest::plan::Plan;

/// The text in which Linux describes the event.
pub const FORMAT: &CStr = c"/trace/events/sched/sched_switch/format";
/// The text in which Linux describes the head of a page.
pub const HEAD: &CStr = c"/trace/events/header_page";

const SWITCH: &CStr = c"/trace/tracing_on";

/// Makes everything ready, but records nothing yet.
pub fn prepare(plan: &Plan) {
    calls::make_directory(c"/trace");
    calls::mount(c"tracefs", c"/trace");
    files::set(SWITCH, format_args!("0"));
    files::set(c"/trace/trace_clock", format_args!("mono"));
    files::set(c"/trace/buffer_size_kb", format_args!("{}", plan.trace_kib));
    files::set(c"/trace/events/sched/sched_switch/enable", format_args!("1"));
}

/// Records from now on.
pub fn begin() {
    files::set(SWITCH, format_args!("1"));
}

/// Records no longer.
pub fn end() {
    files::set(SWITCH, format_args!("0"));
}

/// A file of a core's ring.
pub fn of_core(core: u64, name: &str) -> Text {
    Text::new(format_args!("/trace/per_cpu/cpu{core}/{name}"))
}

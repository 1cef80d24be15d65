//! From the first function to the end of the machine.
//!
//! Everybody is made, set up and asleep before the run begins, and ends itself when it is over; meanwhile the first process
//! sleeps. What it does before and after is nobody's time.

use crate::clients::Clients;
use crate::{files, handover, shared, tracing};
use linux_guest::calls::{self, Time};
use linux_guest::{program, report};
use linux_raw_sys::general as linux;

/// How long Linux goes on working after its boot: less than this.
const AFTER_BOOT: Time = [1, 0];
/// From the last preparation to the beginning of the run, in nanoseconds: enough for everybody to wake up and sleep again.
const BEFORE: u64 = 100_000_000;
/// From the end of the run until everybody has noticed it, in nanoseconds.
const AFTER: u64 = 50_000_000;

program!(first);

extern "C" fn first() -> ! {
    report::begin();
    let clients = Clients::read();
    calls::sleep(&AFTER_BOOT).must();
    settings();
    shared::map(clients.records());
    tracing::prepare(clients.plan());
    clients.start();
    tracing::begin();
    let begin = calls::clock(linux::CLOCK_MONOTONIC) + BEFORE;
    shared::start(begin);
    calls::sleep_until(begin + clients.plan().duration + AFTER);
    tracing::end();
    clients.join();
    handover::all(begin, &clients);
    report::end();
    loop {
        calls::power_off().must();
    }
}

/// What holds for the whole machine. Processes of real time may have all of the CPU: then Linux checks no set of deadlines,
/// and stops nobody for the others' sake.
fn settings() {
    calls::mount(c"proc", c"/proc");
    files::set(c"/proc/sys/kernel/sched_rt_runtime_us", format_args!("-1"));
    calls::make_directory(c"/cgroup");
    calls::mount(c"cgroup2", c"/cgroup");
    files::set(c"/cgroup/cgroup.subtree_control", format_args!("+cpu"));
}

//! Processes that wait and are woken: by a signal from another, by the timer.

use crate::processes::Peer;
use crate::{exceptions, measure, report, shared};
use core::arch::{asm, naked_asm};
use core::sync::atomic::Ordering::Relaxed;
use linux_guest::call::Tick;
use linux_guest::calls::{self, Time};
use linux_raw_sys::general as linux;

/// Long enough for another process to start and to wait.
const MOMENT: Time = [0, 10_000_000];
/// The period of the timer.
const PERIOD: Time = [0, 200_000];

/// Measures both.
pub fn measure() {
    report::figure("signal", &signal());
    report::figure("timer", &timer());
}

/// A signal to another real-time process, which waits and is more urgent: until its handler's first instruction.
fn signal() -> measure::Batches {
    exceptions::handle(linux::SIGUSR1, leave_stamp as *const ());
    calls::set_priority(2);
    let peer = Peer::start(|| {
        // That it is interrupted by a signal is no error.
        let _ = calls::pause().make();
    });
    calls::set_priority(1);
    calls::sleep(&MOMENT).must();
    let send = calls::kill(peer.0, linux::SIGUSR1);
    let [figure] = measure::singly(100, || {
        let before = send.timed().before;
        let inside = Tick(shared::stamp().swap(0, Relaxed));
        if inside < before {
            report::wrong("signal: the other process was not run at once");
        }
        [inside.since(before)]
    });
    peer.end();
    calls::set_priority(0);
    figure
}

/// A handler that leaves the time of its first instruction in the shared page.
#[unsafe(naked)]
extern "C" fn leave_stamp() {
    naked_asm!("mrs x3, cntvct_el0", "mov x4, #{stamp}", "str x3, [x4]", "ret", stamp = const shared::STAMP)
}

/// The timer interrupts an ordinary process, which reads the counter all the time: from its last reading until the
/// real-time process that has slept goes on.
fn timer() -> measure::Batches {
    let peer = Peer::start(|| {
        // SAFETY: It writes to the shared page only.
        unsafe {
            asm!("mrs {now}, cntvct_el0", "str {now}, [{stamp}]", now = out(reg) _, stamp = in(reg) shared::STAMP,
                options(nostack, preserves_flags))
        };
    });
    calls::set_priority(1);
    let sleep = calls::sleep(&PERIOD);
    let [figure] = measure::singly(20, || {
        let awake = sleep.timed().after;
        [awake.since(Tick(shared::stamp().load(Relaxed)))]
    });
    calls::set_priority(0);
    peer.end();
    figure
}

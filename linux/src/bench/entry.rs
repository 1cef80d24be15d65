//! From the first function to the end of the machine.
//!
//! The first process only watches: the operations are measured in a child of it, because Linux treats signals to the first
//! process differently.

use crate::{appel, exceptions, memory, processes, shared, waking};
use linux_guest::calls::{self, Time};
use linux_guest::{program, report};

/// How long Linux goes on working after its boot: less than these three seconds.
const AFTER_BOOT: Time = [3, 0];

program!(first);

extern "C" fn first() -> ! {
    match calls::fork() {
        None => {
            measure();
            report::end();
            calls::exit()
        }
        Some(child) => {
            calls::wait4(child).must();
            // Whether the child has said its last word, the host sees.
            loop {
                calls::power_off().must();
            }
        }
    }
}

/// Everything, in the order of the benchmark's table.
fn measure() {
    report::begin();
    calls::sleep(&AFTER_BOOT).must();
    calls::mount(c"proc", c"/proc");
    shared::map();
    exceptions::measure();
    processes::measure();
    memory::measure();
    appel::measure();
    waking::measure();
}

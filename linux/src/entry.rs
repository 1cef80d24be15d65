//! From Linux's start of `/init` to the end of the machine.
//!
//! The first process only watches: the operations are measured in a child of it, because Linux treats signals to the first
//! process differently.

use crate::calls::Time;
use crate::{appel, calls, exceptions, memory, processes, report, shared, waking};
use core::arch::naked_asm;

/// How long Linux goes on working after its boot: less than these three seconds.
const AFTER_BOOT: Time = [3, 0];

/// Where Linux starts the program; the stack is there.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.start")]
extern "C" fn _start() -> ! {
    naked_asm!("mov x29, xzr", "mov x30, xzr", "b {first}", first = sym first)
}

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
    calls::mount_proc();
    shared::map();
    exceptions::measure();
    processes::measure();
    memory::measure();
    appel::measure();
    waking::measure();
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    report::wrong("the program has panicked")
}

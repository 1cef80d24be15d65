//! From Linux's start of `/init` to a program's first function, which does not return; and a panic's last word.

/// The entry of a program, which calls `first`, an `extern "C" fn() -> !`; and its panic handler.
#[macro_export]
macro_rules! program {
    ($first:path) => {
        /// Where Linux starts the program; the stack is there.
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".text.start")]
        extern "C" fn _start() -> ! {
            core::arch::naked_asm!("mov x29, xzr", "mov x30, xzr", "b {first}", first = sym $first)
        }

        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo) -> ! {
            $crate::report::wrong("the program has panicked")
        }
    };
}

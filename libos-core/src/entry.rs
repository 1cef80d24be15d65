//! The entry of every program: from the registers that its creator set to its `main`.
//!
//! Not here: what a creator does before (`spawn`). The first environment has no creator that knows our conventions: it
//! is entered with `x0 = 0` on some stack, and builds here what a creator would have built.

#[cfg(target_os = "none")]
mod target {
    use crate::frames::{Frames, Run};
    use crate::mailbox::Mailbox;
    use crate::mapping::Space;
    use crate::start::{self, Header, StartInfo};
    use crate::{calls, heap, layout, output, page, public, spawn, trace};
    use core::arch::naked_asm;
    use tranche_abi::layout::{HANDLE_SELF, PAGE_SIZE};
    use tranche_abi::{Address, Frame, Protection, Tick};

    unsafe extern "Rust" {
        /// The program, as `program!` defines it.
        safe fn tranche_program_main(info: StartInfo);
    }

    /// Pages of the first environment's heap at most; a sixteenth of its frames if that is less.
    const FIRST_HEAP_PAGES: u64 = 2048;
    /// Pages of the first environment's stack.
    const FIRST_STACK_PAGES: u64 = 32;

    /// Where every activation starts: `x0` = the start page, or 0 in the first environment.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    #[unsafe(link_section = ".text.start")]
    pub extern "C" fn _start() -> ! {
        naked_asm!(
            "mov x29, xzr",
            "mov x30, xzr",
            "cbnz x0, {begin}",
            "bl {bootstrap}",
            "mov sp, x0",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, #{start}",
            "b {begin}",
            begin = sym begin,
            bootstrap = sym bootstrap,
            start = const layout::START_BASE,
        )
    }

    /// Runs the program as its start page says.
    extern "C" fn begin(start: u64) -> ! {
        // SAFETY: Whoever started us mapped the start pages there, for ever.
        let header = unsafe { &*(start as *const Header) };
        assert!(header.magic == Header::MAGIC, "started by somebody with other conventions");
        // SAFETY: As the header says, which is the creator's.
        unsafe { heap::begin(layout::HEAP_BASE as usize, header.heap_bytes as usize) };
        let mailbox = (header.mailbox_bytes > 0).then(|| {
            // SAFETY: As the header says, which is the creator's.
            unsafe { Mailbox::at(layout::MAILBOX_BASE, header.mailbox_bytes) }
        });
        output::begin(mailbox);
        // SAFETY: The header is followed by as many bytes as it says.
        let encoded = unsafe {
            core::slice::from_raw_parts(
                (start as *const u8).add(size_of::<Header>()),
                header.encoded as usize,
            )
        };
        match postcard::from_bytes::<StartInfo>(encoded) {
            Ok(info) => {
                trace::begin(info.trace());
                tranche_program_main(info);
            }
            Err(error) => panic!("start page: {error}"),
        }
        // Done. Nobody needs the CPU here any more; events wake us for nothing.
        loop {
            page::take_events();
            page::take_ready();
            // Not refused to a running activation.
            let _ = calls::wait(Tick::NEVER);
        }
    }

    /// Builds the first environment's heap, stacks and start page out of the frames that it was given at boot. Its new
    /// stack pointer.
    extern "C" fn bootstrap() -> u64 {
        let view = public::view();
        let boot = Run { first: view.boot_first_frame(), count: view.boot_frames() };
        let heap_pages = FIRST_HEAP_PAGES.min(boot.count / 16);
        let heap = Run { first: boot.first, count: heap_pages };
        let mut next = heap.end();
        let mut table = || {
            next += 1;
            Some(Frame(next - 1))
        };
        let mut space = Space { env: HANDLE_SELF, table: &mut table };
        expect(space.map(Address(layout::HEAP_BASE), heap, Protection::ReadWrite));
        // SAFETY: Just mapped, and nothing else is there.
        unsafe { heap::begin(layout::HEAP_BASE as usize, (heap_pages * PAGE_SIZE) as usize) };
        let mut frames = Frames::new(Run { first: Frame(next), count: boot.end() - next });
        expect(spawn::map_stacks(&mut frames, 0, FIRST_STACK_PAGES));
        write_start(&mut frames, heap_pages * PAGE_SIZE);
        layout::stack_top(0)
    }

    fn write_start(frames: &mut Frames, heap_bytes: u64) {
        let Some(page) = frames.take(1) else { fail() };
        let mut table = || frames.take(1).map(|run| run.first);
        let mut space = Space { env: HANDLE_SELF, table: &mut table };
        expect(space.map(Address(layout::START_BASE), page, Protection::ReadWrite));
        let Some(rest) = frames.take_longest() else { fail() };
        let info = StartInfo {
            name: "first".into(),
            activations: 1,
            first_frame: rest.first.0,
            frames: rest.count,
            ..StartInfo::default()
        };
        let Ok(contents) = start::encode(&info, heap_bytes, 0) else { fail() };
        // SAFETY: Just mapped writable, nothing else is there, and the contents are much shorter than a page.
        unsafe {
            core::ptr::copy_nonoverlapping(contents.as_ptr(), layout::START_BASE as *mut u8, contents.len())
        };
        expect(calls::protect(HANDLE_SELF, Address(layout::START_BASE), 1, Protection::Read));
    }

    fn expect<E>(result: Result<(), E>) {
        if result.is_err() {
            fail()
        }
    }

    /// Nothing can be said yet: no start page, so no panic.
    fn fail() -> ! {
        loop {
            // SAFETY: A fault that nobody handles ends the activation, which is what is wanted.
            unsafe { core::arch::asm!("brk #1") };
        }
    }
}

/// The address at which an activation of this program is started.
#[cfg(target_os = "none")]
pub fn address() -> u64 {
    target::_start as *const () as u64
}

/// On the host a program has no address at which a kernel could start it.
#[cfg(not(target_os = "none"))]
pub fn address() -> u64 {
    0
}

/// Makes a binary of a function `fn main(info: StartInfo)`. On the host the binary only says where it belongs.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        fn tranche_program_main(info: $crate::start::StartInfo) {
            $main(info)
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            let _: fn($crate::start::StartInfo) = $main;
            println!("{} runs on the kernel: ./just run-qemu", env!("CARGO_BIN_NAME"));
        }
    };
}

//! A thousand clients out of as little as clients can be made of: environments of eight activations and one page of code, in
//! which each waits for a span of time as soon as it runs, or yields.
//!
//! Not here: who schedules them (`super::decisions`). They stay until the program ends, when all that it owned goes back.

use super::refused;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::frames::{Frames, Run};
use libos_core::mapping::{self, Space};
use libos_core::{calls, layout};
use tranche_abi::layout::{ENV_FRAMES, HANDLE_SELF, MAX_ACTIVATIONS, PAGE_SIZE};
use tranche_abi::{ActivationIndex, Address, Handle, Protection, Target, Tick};

/// Where we see the environments' pages, one after the other.
const WINDOWS: u64 = 0xa000_0000;
/// Where in its page a client reads for how long to wait.
const SPAN: u64 = PAGE_SIZE - 8;

/// The clients.
pub struct Multitude {
    /// Each one's activation.
    pub targets: Vec<Target>,
    spans: Vec<&'static AtomicU64>,
}

impl Multitude {
    /// Makes so many clients.
    pub fn new(frames: &mut Frames, count: usize) -> Result<Self, String> {
        let mut all = Self { targets: Vec::with_capacity(count), spans: Vec::new() };
        while all.targets.len() < count {
            let activations = (count - all.targets.len()).min(MAX_ACTIVATIONS);
            all.environment(frames, activations)?;
        }
        Ok(all)
    }

    /// From now on whoever runs waits for so long; if that is no time, it yields.
    pub fn wait_for(&self, span: Tick) {
        self.spans.iter().for_each(|place| place.store(span.0, Relaxed));
    }

    /// Adds an environment of some clients.
    fn environment(&mut self, frames: &mut Frames, activations: usize) -> Result<(), String> {
        let state = frames.take(ENV_FRAMES).ok_or("no frames for an environment")?;
        let (handle, _) = calls::env_create(state.first).map_err(refused("env_create"))?;
        let page = frames.take(1).ok_or("no frame for the code")?;
        let code = self.place(frames, handle, page)?;
        for activation in (0..activations as u64).map(ActivationIndex) {
            let page = frames.take(1).ok_or("no frame for an activation")?;
            let target = Target::new(handle, activation);
            let mut table = || frames.take(1).map(|run| run.first);
            let create = || calls::activation_create(target, page.first);
            Space { env: handle, table: &mut table }
                .with_tables(Address(layout::page_address(activation.0)), create)
                .map_err(refused("activation_create"))?;
            // It uses no stack.
            calls::activation_start(target, code, Address(layout::STACK_BASE), code.0 + SPAN)
                .map_err(refused("activation_start"))?;
            self.targets.push(target);
        }
        Ok(())
    }

    /// Puts the code where the clients run it and where we write the span. Where that is for them.
    fn place(&mut self, frames: &mut Frames, env: Handle, page: Run) -> Result<Address, String> {
        let mut table = || frames.take(1).map(|run| run.first);
        mapping::fill(page, code::bytes(), &mut table).map_err(refused("fill"))?;
        let window = Address(WINDOWS + self.spans.len() as u64 * PAGE_SIZE);
        let code = Address(layout::IMAGE_BASE);
        for (env, address, protection) in
            [(HANDLE_SELF, window, Protection::ReadWrite), (env, code, Protection::ReadExecute)]
        {
            Space { env, table: &mut table }.map(address, page, protection).map_err(refused("map"))?;
        }
        // SAFETY: Just mapped there, readable and writable, and never unmapped; it is only accessed as atomics.
        self.spans.push(unsafe { &*core::ptr::with_exposed_provenance((window.0 + SPAN) as usize) });
        Ok(code)
    }
}

#[cfg(target_os = "none")]
mod code {
    use core::arch::naked_asm;
    use tranche_abi::calls::immediate;

    /// Instructions of [`client`].
    const LENGTH: usize = 9;

    /// What a client does; entered with the address of the span in `x0`.
    #[unsafe(naked)]
    extern "C" fn client() -> ! {
        naked_asm!(
            "mov x20, x0",
            "2:",
            "ldr x1, [x20]",
            "cbz x1, 3f",
            "mrs x0, cntvct_el0",
            "add x0, x0, x1",
            "svc #{wait}",
            "b 2b",
            "3:",
            "svc #{yield_now}",
            "b 2b",
            wait = const immediate(4),
            yield_now = const immediate(2),
        )
    }

    pub(super) fn bytes() -> &'static [u8] {
        // SAFETY: The function is so long, readable like all code, and the same wherever it stands.
        unsafe { core::slice::from_raw_parts(client as *const u8, LENGTH * 4) }
    }
}

/// On the host nobody runs.
#[cfg(not(target_os = "none"))]
mod code {
    pub(super) fn bytes() -> &'static [u8] {
        &[]
    }
}

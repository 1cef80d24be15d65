//! The machine code of the fuzzer: one `svc` for each number, single instructions that EL0 should not get away with, and
//! the way back to where calls are made.
//!
//! Not here: what is put into the registers (`arguments`), what is done when an instruction faults (`fuzzer`).

use tranche_abi::layout::MAX_ACTIVATIONS;

/// Registers of a call: `x0` to `x7`, `x16` and `x17`, before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    /// `x0` to `x7`.
    pub x: [u64; 8],
    /// `x16`.
    pub x16: u64,
    /// `x17`: where a protected control transfer says whether it was refused.
    pub x17: u64,
}

/// How the kernel is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Call of this number, by the kernel's general way.
    Plain(u8),
    /// The same, by its fast way if it has one.
    Fast(u8),
    /// By one of the immediates that are no call of the kernel's.
    Foreign(usize),
}

/// Calls that an immediate can number.
pub const NUMBERS: u16 = 256;
/// Immediates that are no call of the kernel's.
pub const FOREIGN: [u16; 8] = [0, 1, 255, 4096, 0x7e00, 0x8000, 0xfeff, 0x81ff];
/// Single instructions, see [`instruct`].
pub const INSTRUCTIONS: u64 = 36;
/// Bytes from one stub, instruction or entry to the next.
const STRIDE: u64 = 8;

/// The number of an entry's stub.
fn stub_of(entry: Entry) -> u64 {
    match entry {
        Entry::Plain(number) => number.into(),
        Entry::Fast(number) => u64::from(NUMBERS) + u64::from(number),
        Entry::Foreign(place) => 2 * u64::from(NUMBERS) + (place % FOREIGN.len()) as u64,
    }
}

#[cfg(target_os = "none")]
mod target {
    use super::{FOREIGN, INSTRUCTIONS, NUMBERS, Registers, STRIDE};
    use libos_core::layout;
    use tranche_abi::calls::{CALLS, immediate};

    unsafe extern "C" {
        pub fn tranche_fuzz_call(registers: *mut Registers, stub: u64);
        pub fn tranche_fuzz_numbers();
        pub fn tranche_fuzz_instruct(address: u64, instruction: u64);
        pub fn tranche_fuzz_instructions();
        pub fn tranche_fuzz_instructions_end();
        pub fn tranche_fuzz_again();
        pub fn tranche_fuzz_store(address: u64, value: u64);
    }

    core::arch::global_asm!(
        ".pushsection .text.tranche_fuzz, \"ax\"",
        ".balign 16",
        ".global tranche_fuzz_call, tranche_fuzz_numbers, tranche_fuzz_instruct, tranche_fuzz_instructions",
        ".global tranche_fuzz_instructions_end, tranche_fuzz_again, tranche_fuzz_store",

        // A call may come back with every register changed but the stack pointer: a transfer's answer is in registers.
        "tranche_fuzz_call:",
        "sub sp, sp, #176",
        "stp x29, x30, [sp]",       "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",  "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",  "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",    "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]", "stp d14, d15, [sp, #144]",
        "str x0, [sp, #160]",
        "mov x17, x1",
        "ldr x16, [x0, #64]",
        "ldp x6, x7, [x0, #48]",
        "ldp x4, x5, [x0, #32]",
        "ldp x2, x3, [x0, #16]",
        "ldp x0, x1, [x0]",
        "br x17",
        "tranche_fuzz_back:",
        "ldr x8, [sp, #160]",
        "stp x0, x1, [x8]",
        "stp x2, x3, [x8, #16]",
        "stp x4, x5, [x8, #32]",
        "stp x6, x7, [x8, #48]",
        "stp x16, x17, [x8, #64]",
        "ldp d14, d15, [sp, #144]", "ldp d12, d13, [sp, #128]",
        "ldp d10, d11, [sp, #112]", "ldp d8, d9, [sp, #96]",
        "ldp x27, x28, [sp, #80]",  "ldp x25, x26, [sp, #64]",
        "ldp x23, x24, [sp, #48]",  "ldp x21, x22, [sp, #32]",
        "ldp x19, x20, [sp, #16]",  "ldp x29, x30, [sp]",
        "add sp, sp, #176",
        "ret",

        ".balign 16",
        "tranche_fuzz_numbers:",
        ".set tranche_fuzz_number, 0",
        ".rept {numbers}",
        "svc #({calls} + tranche_fuzz_number)",
        "b tranche_fuzz_back",
        ".set tranche_fuzz_number, tranche_fuzz_number + 1",
        ".endr",
        ".set tranche_fuzz_number, 0",
        ".rept {numbers}",
        ".set tranche_fuzz_immediate, {calls} + tranche_fuzz_number",
        ".irp fast, {f1}, {f2}, {f3}, {f14}, {f35}, {f54}, {f61}, {f63}",
        ".if (\\fast & 255) == tranche_fuzz_number",
        ".set tranche_fuzz_immediate, \\fast",
        ".endif",
        ".endr",
        "svc #tranche_fuzz_immediate",
        "b tranche_fuzz_back",
        ".set tranche_fuzz_number, tranche_fuzz_number + 1",
        ".endr",
        ".irp number, {h0}, {h1}, {h2}, {h3}, {h4}, {h5}, {h6}, {h7}",
        "svc #\\number",
        "b tranche_fuzz_back",
        ".endr",

        // x0 = an address or any value; x1 = where in the table. Most of these never come back.
        "tranche_fuzz_instruct:",
        "mov x17, x1",
        "mov x1, x0",
        "br x17",
        ".balign 16",
        "tranche_fuzz_instructions:",
        ".macro tranche_fuzz_one text:vararg",
        "\\text",
        "ret",
        ".endm",
        // What does not exist, and what belongs to higher levels.
        "tranche_fuzz_one udf #0",
        "tranche_fuzz_one brk #0xffff",
        "tranche_fuzz_one hlt #0xf000",
        "tranche_fuzz_one hvc #0",
        "tranche_fuzz_one smc #0",
        "tranche_fuzz_one eret",
        "tranche_fuzz_one mrs x0, sctlr_el1",
        "tranche_fuzz_one msr vbar_el1, x0",
        "tranche_fuzz_one msr ttbr0_el1, x0",
        "tranche_fuzz_one msr daifset, #15",
        "tranche_fuzz_one msr spsel, #1",
        "tranche_fuzz_one msr tpidrro_el0, x0",
        "tranche_fuzz_one msr cntv_cval_el0, x0",
        "tranche_fuzz_one msr cntv_ctl_el0, x0",
        "tranche_fuzz_one msr pmcr_el0, x0",
        "tranche_fuzz_one tlbi vmalle1",
        "tranche_fuzz_one ic iallu",
        "tranche_fuzz_one dc isw, x0",
        "tranche_fuzz_one at s1e1r, x0",
        // Memory in every manner.
        "tranche_fuzz_one ldr x1, [x0]",
        "tranche_fuzz_one ldxr x1, [x0]",
        "tranche_fuzz_one ldar x1, [x0]",
        "tranche_fuzz_one ldp q0, q1, [x0]",
        "tranche_fuzz_one ld1 {{v0.2d-v3.2d}}, [x0]",
        "tranche_fuzz_one dc civac, x0",
        "tranche_fuzz_one ic ivau, x0",
        "tranche_fuzz_one mov sp, x0",
        // Jumps.
        "tranche_fuzz_one br x0",
        "tranche_fuzz_one ret x0",
        "tranche_fuzz_one mov x30, x0",
        // What EL0 may do, and which changes what is saved with it.
        "tranche_fuzz_one msr tpidr_el0, x0",
        "tranche_fuzz_one msr fpcr, x0",
        "tranche_fuzz_one msr fpsr, x0",
        "tranche_fuzz_one dup v31.2d, x0",
        "tranche_fuzz_one fdiv v7.2d, v31.2d, v0.2d",
        "tranche_fuzz_one wfe",
        "tranche_fuzz_instructions_end:",

        "tranche_fuzz_store:",
        "str x1, [x0]",
        "ret",

        // Entry i: activation i goes on with an empty stack, whatever it did before.
        ".balign 16",
        "tranche_fuzz_again:",
        ".set tranche_fuzz_activation, 0",
        ".rept 8",
        "mov x0, #tranche_fuzz_activation",
        "b 1f",
        ".set tranche_fuzz_activation, tranche_fuzz_activation + 1",
        ".endr",
        "1:",
        "add x1, x0, #1",
        "mov x2, #{stride}",
        "mov x3, #{base}",
        "madd x1, x1, x2, x3",
        "sub x1, x1, #{above}",
        "mov sp, x1",
        "mov x29, xzr",
        "mov x30, xzr",
        "b {go_on}",
        ".popsection",
        numbers = const NUMBERS,
        calls = const CALLS,
        f1 = const immediate(1), f2 = const immediate(2), f3 = const immediate(3), f14 = const immediate(14),
        f35 = const immediate(35), f54 = const immediate(54), f61 = const immediate(61), f63 = const immediate(63),
        h0 = const FOREIGN[0], h1 = const FOREIGN[1], h2 = const FOREIGN[2], h3 = const FOREIGN[3],
        h4 = const FOREIGN[4], h5 = const FOREIGN[5], h6 = const FOREIGN[6], h7 = const FOREIGN[7],
        stride = const layout::STACK_STRIDE,
        base = const layout::STACK_BASE,
        above = const layout::STACK_BASE + layout::STACK_STRIDE - layout::stack_top(0),
        go_on = sym crate::fuzz::fuzzer::go_on,
    );

    /// Where instruction `number` of the table is.
    pub fn instruction(number: u64) -> u64 {
        let (begin, end) =
            (tranche_fuzz_instructions as *const (), tranche_fuzz_instructions_end as *const ());
        debug_assert_eq!(end as u64 - begin as u64, INSTRUCTIONS * STRIDE);
        begin as u64 + number % INSTRUCTIONS * STRIDE
    }
}

/// Enters the kernel.
pub fn call(entry: Entry, registers: &mut Registers) {
    let stub = stub_of(entry);
    #[cfg(target_os = "none")]
    // SAFETY: What a call may change of the caller's registers is saved around it. What it does to memory is seen by the
    // supervisor, which expects this environment to die of it.
    unsafe {
        target::tranche_fuzz_call(registers, target::tranche_fuzz_numbers as *const () as u64 + stub * STRIDE)
    };
    #[cfg(not(target_os = "none"))]
    {
        registers.x[0] = tranche_abi::Error::NoKernel as u64;
        let _ = stub;
    }
}

/// Executes single instruction `number` of the table with `value` in `x0`. Most of them fault, and then this does not
/// return: [`again`] is where it goes on.
pub fn instruct(number: u64, value: u64) {
    #[cfg(target_os = "none")]
    // SAFETY: As above: whatever it breaks is this environment's own.
    unsafe {
        target::tranche_fuzz_instruct(value, target::instruction(number))
    };
    #[cfg(not(target_os = "none"))]
    let _ = (number, value, INSTRUCTIONS);
}

/// Stores a value at any address, or faults.
pub fn store(address: u64, value: u64) {
    #[cfg(target_os = "none")]
    // SAFETY: As above: whatever it breaks is this environment's own.
    unsafe {
        target::tranche_fuzz_store(address, value)
    };
    #[cfg(not(target_os = "none"))]
    let _ = (address, value);
}

/// Where an activation of this environment goes on after a fault: at the beginning, with an empty stack.
pub fn again(activation: u64) -> u64 {
    #[cfg(target_os = "none")]
    let begin = target::tranche_fuzz_again as *const () as u64;
    #[cfg(not(target_os = "none"))]
    let begin = 0;
    begin + activation % MAX_ACTIVATIONS as u64 * STRIDE
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_call_has_a_stub_for_either_way_and_foreign_immediates_are_none_of_the_kernels() {
        use tranche_abi::calls::{NAMES, immediate, number};
        assert!(NAMES.iter().all(|(number, _)| *number < NUMBERS));
        let entries = [Entry::Plain(255), Entry::Fast(0), Entry::Fast(255), Entry::Foreign(7)];
        assert_eq!(entries.map(stub_of), [255, 256, 511, 519]);
        assert!(FOREIGN.iter().all(|foreign| number(*foreign).is_none()));
        let fast = |number: &u16| immediate(*number) != 256 + number;
        let with_fast_way: Vec<u16> = (0..NUMBERS).filter(fast).collect();
        assert_eq!(with_fast_way, [1, 2, 3, 14, 35, 54, 61, 63], "as in the assembly");
    }
}

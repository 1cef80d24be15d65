//! Fills every register that a program has with a pattern, lets time pass, and looks what became of them.
//!
//! Not here: who interrupts meanwhile. All of `x1` to `x30` (`x18` too), `v0` to `v31`, the condition flags, `FPCR`; `x0`
//! counts the time. The stack pointer shows in that it finds the way back.

/// Somebody's pattern: `x{n}` is `self + n`, both halves of `v{n}` are `self + 64 + n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern(pub u64);

/// Registers as they were found.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub struct Dump {
    /// `x0` (which is 0: the count is over) to `x30`, and the condition flags.
    x: [u64; 32],
    /// `v0` to `v31`, low half first.
    v: [[u64; 2]; 32],
    /// `FPCR`.
    fpcr: u64,
    fill: u64,
}

/// Place of the flags in [`Dump::differences`].
const FLAGS: usize = 31;
/// Place of `v0` there; `FPCR` is after `v31`.
const V0: usize = 32;

impl Pattern {
    fn x(&self, n: usize) -> u64 {
        match n {
            0 => 0,
            // A pattern of flags: bits 28 to 31.
            FLAGS => (self.0 & 0xf) << 28,
            _ => self.0.wrapping_add(n as u64),
        }
    }
    fn v(&self, n: usize) -> u64 {
        self.0.wrapping_add(64 + n as u64)
    }
    /// Two of the four rounding modes: bits 22 and 23.
    fn fpcr(&self) -> u64 {
        (self.0 >> 4 & 3) << 22
    }
}

impl Dump {
    const NEW: Self = Self { x: [0; 32], v: [[0; 2]; 32], fpcr: 0, fill: 0 };

    /// Places that differ from the pattern: 0 to 30 for `x`, 31 for the flags, 32 to 63 for `v`, 64 for `FPCR`.
    pub fn differences(&self, pattern: &Pattern) -> impl Iterator<Item = usize> {
        let x = (0..32).filter(|n| self.x[*n] != pattern.x(*n));
        let v = (0..32).filter(|n| self.v[*n] != [pattern.v(*n); 2]).map(|n| n + V0);
        let fpcr = (self.fpcr != pattern.fpcr()).then_some(V0 + 32);
        x.chain(v).chain(fpcr)
    }
}

/// Whether any FP/SIMD register holds a value of this pattern now. Says something if called before they are used.
pub fn holds_any_of(pattern: &Pattern) -> bool {
    let mut dump = Dump::NEW;
    look(&mut dump);
    let of_pattern = |value: &u64| value.wrapping_sub(pattern.0) < 128;
    dump.v.iter().flatten().any(of_pattern)
}

/// Fills the registers with the pattern, counts `rounds` down, or makes one null call if there are none, and says what is
/// in the registers then.
pub fn hold(pattern: &Pattern, rounds: u64) -> Dump {
    let mut dump = Dump::NEW;
    let input = [pattern.0, pattern.x(FLAGS), pattern.fpcr(), rounds];
    fill_and_count(&mut dump, &input);
    dump
}

#[cfg(target_os = "none")]
fn look(dump: &mut Dump) {
    // SAFETY: Writes the FP/SIMD registers to their places in the dump.
    unsafe { tranche_look_at_fp(dump) }
}

#[cfg(target_os = "none")]
fn fill_and_count(dump: &mut Dump, input: &[u64; 4]) {
    // SAFETY: Preserves what the procedure call standard says, and writes to the dump alone.
    unsafe { tranche_hold_registers(dump, input) }
}

/// On the host, registers keep what one writes to them by assumption.
#[cfg(not(target_os = "none"))]
fn look(_dump: &mut Dump) {}

#[cfg(not(target_os = "none"))]
fn fill_and_count(dump: &mut Dump, input: &[u64; 4]) {
    let pattern = Pattern(input[0]);
    dump.x = core::array::from_fn(|n| pattern.x(n));
    dump.v = core::array::from_fn(|n| [pattern.v(n); 2]);
    dump.fpcr = input[2];
}

#[cfg(target_os = "none")]
unsafe extern "C" {
    fn tranche_look_at_fp(dump: &mut Dump);
    fn tranche_hold_registers(dump: &mut Dump, input: &[u64; 4]);
}

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .text.tranche_registers, \"ax\"",
    ".balign 4",
    ".global tranche_look_at_fp, tranche_hold_registers",

    ".macro tranche_store_v base",
    "add x1, \\base, #{v}",
    "stp q0, q1, [x1, #0]",     "stp q2, q3, [x1, #32]",    "stp q4, q5, [x1, #64]",    "stp q6, q7, [x1, #96]",
    "stp q8, q9, [x1, #128]",   "stp q10, q11, [x1, #160]", "stp q12, q13, [x1, #192]", "stp q14, q15, [x1, #224]",
    "stp q16, q17, [x1, #256]", "stp q18, q19, [x1, #288]", "stp q20, q21, [x1, #320]", "stp q22, q23, [x1, #352]",
    "stp q24, q25, [x1, #384]", "stp q26, q27, [x1, #416]", "stp q28, q29, [x1, #448]", "stp q30, q31, [x1, #480]",
    "mrs x2, fpcr",
    "str x2, [\\base, #{fpcr}]",
    ".endm",

    "tranche_look_at_fp:",
    "tranche_store_v x0",
    "ret",

    "tranche_hold_registers:",
    // Keep what the caller must get back; the dump's address at the bottom.
    "sub sp, sp, #192",
    "stp x0, x18, [sp, #0]",
    "stp x19, x20, [sp, #16]",  "stp x21, x22, [sp, #32]",  "stp x23, x24, [sp, #48]",
    "stp x25, x26, [sp, #64]",  "stp x27, x28, [sp, #80]",  "stp x29, x30, [sp, #96]",
    "stp d8, d9, [sp, #112]",   "stp d10, d11, [sp, #128]", "stp d12, d13, [sp, #144]", "stp d14, d15, [sp, #160]",
    "mrs x2, fpcr",
    "str x2, [sp, #176]",
    // x30 = pattern, flags, FPCR, x0 = rounds.
    "ldp x30, x2, [x1]",
    "ldp x3, x0, [x1, #16]",
    "msr nzcv, x2",
    "msr fpcr, x3",
    "add x2, x30, #64",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    "dup v\\n\\().2d, x2",
    "add x2, x2, #1",
    ".endr",
    ".irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29",
    "add x\\n, x30, #\\n",
    ".endr",
    "add x30, x30, #30",
    // None of these touches the flags.
    "cbz x0, 3f",
    "2:",
    "sub x0, x0, #1",
    "cbnz x0, 2b",
    "b 4f",
    "3:",
    "svc #{null}",
    "4:",
    "ldr x0, [sp]",
    "stp x1, x2, [x0, #8]",
    ".irp n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30",
    "str x\\n, [x0, #8 * \\n]",
    ".endr",
    "mrs x2, nzcv",
    "str x2, [x0, #248]",
    "tranche_store_v x0",
    "ldr x2, [sp, #176]",
    "msr fpcr, x2",
    "ldp d8, d9, [sp, #112]",   "ldp d10, d11, [sp, #128]", "ldp d12, d13, [sp, #144]", "ldp d14, d15, [sp, #160]",
    "ldr x18, [sp, #8]",
    "ldp x19, x20, [sp, #16]",  "ldp x21, x22, [sp, #32]",  "ldp x23, x24, [sp, #48]",
    "ldp x25, x26, [sp, #64]",  "ldp x27, x28, [sp, #80]",  "ldp x29, x30, [sp, #96]",
    "add sp, sp, #192",
    "ret",
    ".popsection",
    v = const core::mem::offset_of!(Dump, v),
    fpcr = const core::mem::offset_of!(Dump, fpcr),
    null = const tranche_abi::calls::immediate(1),
);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn every_register_that_changed_is_named() {
        let pattern = Pattern(0xabcd_0000_1234_5675);
        let mut dump = hold(&pattern, 1);
        assert_eq!(dump.differences(&pattern).count(), 0);
        dump.x[18] ^= 1;
        dump.x[FLAGS] = 0;
        dump.v[31][1] += 1;
        dump.fpcr ^= 1 << 22;
        assert_eq!(dump.differences(&pattern).collect::<Vec<_>>(), [18, 31, 63, 64]);
        assert!(hold(&Pattern(1), 1).differences(&pattern).count() > 60);
    }
}

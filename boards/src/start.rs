//! The first instructions of every core: from wherever the image was loaded, at EL2 or EL1 with the MMU off, to Rust at
//! the addresses that the kernel is linked for.
//!
//! Until the MMU is on, everything here is relative to the program counter. The image map made here grants each page
//! only what it needs: text is never written, data never run.

use core::arch::global_asm;
use tranche_abi::layout::MAX_CORES;
use tranche_kernel::arch::aarch64::{cpu, mmu};

/// Checked against `boards/kernel.ld`, which cannot see Rust's constants.
const STACKS_SIZE: u64 = 8 * 12 * 4096;
const _: () = assert!(MAX_CORES as u64 * cpu::STACK_BLOCK == STACKS_SIZE, "kernel.ld: .stacks");
const _: () = assert!(mmu::IMAGE == 0xffff_ffff_8000_0000, "kernel.ld: IMAGE_TABLES");

/// Where `kernel.ld` puts the image within the first level-3 table, which is also the boot protocol's text offset.
const IMAGE_OFFSET: u64 = 0x80000;
/// The arm64 boot protocol's flags: little-endian, 4 KiB pages, anywhere in memory.
const IMAGE_FLAGS: u64 = 0b1010;
/// `SPSR_EL2`: return to EL1 on its own stack pointer, everything masked.
const EL1H_MASKED: u64 = 0x3c5;
/// `HCR_EL2.RW`: EL1 is AArch64.
const HCR_RW: u64 = 1 << 31;
/// `CNTHCTL_EL2.{EL1PCTEN, EL1PCEN}`: EL1 may use the physical timer.
const CNTHCTL_EL1: u64 = 3;
/// `CPTR_EL2`: its bits that are one, and no trap.
const CPTR_NONE: u64 = 0x33ff;
/// `ICC_SRE_EL2.{SRE, Enable}`: the interrupt controller's system registers, for EL1 too.
const ICC_SRE: u64 = 1 | 1 << 3;

global_asm!(
    r#"
    .section .text.head, "ax"
    // Arm64 Linux boot protocol, "Call the kernel image": 64 bytes of header.
    b primary
    .long 0
    .quad {IMAGE_OFFSET}
    .quad image_size
    .quad {IMAGE_FLAGS}
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .long 0

    .macro address register, symbol
        adrp \register, \symbol
        add \register, \register, :lo12:\symbol
    .endm

    .macro constant register, value     // any 64-bit constant, without a literal pool
        movz \register, #((\value) & 0xffff)
        movk \register, #(((\value) >> 16) & 0xffff), lsl #16
        movk \register, #(((\value) >> 32) & 0xffff), lsl #32
        movk \register, #(((\value) >> 48) & 0xffff), lsl #48
    .endm

    // x0 = physical address of the device tree
primary:
    mov x20, x0
    mrs x22, CurrentEL
    bl to_el1
    bl clear_tables
    bl fill_tables
    bl clear_tables_from_caches
    ldr x1, =primary_mapped
    b mmu_on

primary_mapped:
    address x0, bss_begin
    address x1, bss_end
1:  cmp x0, x1
    b.hs 2f
    stp xzr, xzr, [x0], #16
    b 1b
2:  mov x0, xzr
    bl set_stack
    mov x0, x20
    mov x1, x21
    lsr x2, x22, #2
    b {primary}

    // Another core, by PSCI or spin table.
    .global secondary
secondary:
    mrs x22, CurrentEL
    bl to_el1
    adrp x21, image_begin
    ldr x1, =secondary_mapped
    b mmu_on

secondary_mapped:                       // its number is the position of its affinity
    mrs x2, mpidr_el1
    constant x3, {AFFINITY_MASK}
    and x2, x2, x3
    address x1, {affinities}
    mov x0, xzr
1:  ldr x3, [x1, x0, lsl #3]
    cmp x3, x2
    b.eq 2f
    add x0, x0, #1
    cmp x0, #{MAX_CORES}
    b.lo 1b
3:  wfe                                 // nobody knows this core
    b 3b
2:  bl set_stack
    lsr x1, x22, #2
    b {secondary}

    // Points to the stack of core x0. Keeps x0.
set_stack:
    constant x1, {STACK_BLOCK}
    address x2, stacks
    madd x2, x0, x1, x2
    add x2, x2, x1
    mov sp, x2
    mov x29, xzr
    ret

    // Returns at EL1 with the MMU off and everything masked.
to_el1:
    msr daifset, #0xf
    constant x0, {SCTLR_OFF}
    mrs x1, CurrentEL
    cmp x1, #(2 << 2)
    b.eq 1f
    msr sctlr_el1, x0
    isb
    ret
1:  msr sctlr_el1, x0
    constant x0, {HCR_RW}
    msr hcr_el2, x0
    mov x0, #{CNTHCTL_EL1}
    msr cnthctl_el2, x0
    msr cntvoff_el2, xzr
    mov x0, #{CPTR_NONE}
    msr cptr_el2, x0
    msr hstr_el2, xzr
    msr vttbr_el2, xzr
    mrs x0, midr_el1
    msr vpidr_el2, x0
    mrs x0, mpidr_el1
    msr vmpidr_el2, x0
    mov x0, xzr                         // all of the performance counters that there are belong to EL1
    mrs x1, id_aa64dfr0_el1
    ubfx x1, x1, #8, #4
    cbz x1, 2f
    cmp x1, #0xf
    b.eq 2f
    mrs x0, pmcr_el0
    ubfx x0, x0, #11, #5
2:  msr mdcr_el2, x0
    mrs x0, id_aa64pfr0_el1             // GIC system registers?
    ubfx x0, x0, #24, #4
    cbz x0, 3f
    mrs x0, S3_4_C12_C9_5               // ICC_SRE_EL2
    orr x0, x0, #{ICC_SRE_BIT}
    orr x0, x0, #{ICC_SRE_ENABLE}
    msr S3_4_C12_C9_5, x0
    isb
    mrs x0, S3_4_C12_C9_5
    tbz x0, #0, 3f
    msr S3_4_C12_C11_0, xzr             // ICH_HCR_EL2
3:  mov x0, #{EL1H_MASKED}
    msr spsr_el2, x0
    msr elr_el2, x30
    eret

clear_tables:
    address x0, tables_begin
    address x1, tables_end
1:  stp xzr, xzr, [x0], #16
    cmp x0, x1
    b.lo 1b
    ret

    // The MMU was off while the tables were written: what a cache may hold of them is older.
clear_tables_from_caches:
    dsb sy
    address x0, tables_begin
    address x1, tables_end
1:  dc ivac, x0
    add x0, x0, #16                     // the smallest line that there may be
    cmp x0, x1
    b.lo 1b
    dsb sy
    ret

    // Sets x21 to the physical address of the image.
fill_tables:
    mov x19, x30
    adrp x21, image_begin
    // The image, where it is linked: root[510] -> level 2 [0, 1] -> level 3, by kind of page.
    address x0, kernel_root
    address x1, image_level2
    address x2, image_level3
    add x3, x1, #{TABLE}
    str x3, [x0, #(510 * 8)]
    add x3, x2, #{TABLE}
    str x3, [x1]
    add x3, x3, #4096
    str x3, [x1, #8]
    address x0, image_begin
    address x1, text_end
    constant x3, {PAGE_TEXT}
    bl fill_pages
    address x1, constants_end
    constant x3, {PAGE_CONSTANT}
    bl fill_pages
    address x1, image_end
    constant x3, {PAGE_DATA}
    bl fill_pages
    // This code, where it was loaded, for the moment in which the MMU goes on: one block of 2 MiB.
    address x0, identity_root
    address x1, identity_level2
    add x3, x1, #{TABLE}
    lsr x4, x21, #30
    and x5, x4, #511
    str x3, [x0, x5, lsl #3]
    lsr x4, x21, #21
    and x5, x4, #511
    lsl x4, x4, #21
    constant x3, {BLOCK_TEXT}
    orr x4, x4, x3
    str x4, [x1, x5, lsl #3]
    ret x19

    // Level-3 entries for the pages from x0 up to x1 with attributes x3; x2 = the level-3 tables. Leaves x0 = x1.
fill_pages:
    sub x4, x0, x21
    add x4, x4, #{IMAGE_OFFSET_PAGES}, lsl #12
    lsr x4, x4, #12
1:  cmp x0, x1
    b.hs 2f
    orr x5, x0, x3
    str x5, [x2, x4, lsl #3]
    add x0, x0, #4096
    add x4, x4, #1
    b 1b
2:  ret

    // Turns the MMU and the caches on and goes to x1. Nothing is cached of older translations afterwards.
mmu_on:
    address x2, identity_root
    msr ttbr0_el1, x2
    address x2, kernel_root
    msr ttbr1_el1, x2
    constant x2, {MAIR}
    msr mair_el1, x2
    constant x2, {TCR}
    mrs x3, id_aa64mmfr0_el1            // physical address size, as far as 48 bits
    and x3, x3, #0xf
    mov x4, #5
    cmp x3, x4
    csel x3, x3, x4, lo
    orr x2, x2, x3, lsl #32
    msr tcr_el1, x2
    tlbi vmalle1
    ic iallu
    dsb nsh
    isb
    constant x2, {SCTLR}
    msr sctlr_el1, x2
    isb
    br x1
    .ltorg
    "#,
    IMAGE_OFFSET = const IMAGE_OFFSET,
    IMAGE_OFFSET_PAGES = const IMAGE_OFFSET >> 12,
    IMAGE_FLAGS = const IMAGE_FLAGS,
    AFFINITY_MASK = const cpu::AFFINITY_MASK,
    affinities = sym cpu::AFFINITIES,
    MAX_CORES = const MAX_CORES,
    STACK_BLOCK = const cpu::STACK_BLOCK,
    SCTLR_OFF = const mmu::SCTLR_OFF,
    SCTLR = const mmu::SCTLR,
    MAIR = const mmu::MAIR,
    TCR = const mmu::TCR,
    TABLE = const mmu::TABLE,
    PAGE_TEXT = const mmu::PAGE_TEXT,
    PAGE_CONSTANT = const mmu::PAGE_CONSTANT,
    PAGE_DATA = const mmu::PAGE_DATA,
    BLOCK_TEXT = const mmu::BLOCK_TEXT,
    HCR_RW = const HCR_RW,
    CNTHCTL_EL1 = const CNTHCTL_EL1,
    CPTR_NONE = const CPTR_NONE,
    ICC_SRE_BIT = const ICC_SRE & 1,
    ICC_SRE_ENABLE = const ICC_SRE & !1,
    EL1H_MASKED = const EL1H_MASKED,
    primary = sym crate::primary,
    secondary = sym crate::cores::secondary,
);

unsafe extern "C" {
    /// Where another core enters the kernel.
    #[link_name = "secondary"]
    static SECONDARY: u8;
}

/// The physical address at which another core is to be started.
pub fn secondary_entry() -> u64 {
    mmu::image_physical(&raw const SECONDARY)
}

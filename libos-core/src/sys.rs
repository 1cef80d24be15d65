//! The one instruction with which EL0 enters the kernel, and an untyped stub per row of the call table.
//!
//! Not here: types, meaning, documentation of the calls. Those are in [`calls`](crate::calls).
//!
//! A stub is safe to call although some calls change the caller's own mappings: like a write to another program's
//! memory through its supervisor, what a page table does to an address is outside of what the language can see. What
//! goes wrong that way is a fault upcall.

use tranche_abi::*;

/// The values of a reply, `x1..x4`.
pub type Values = [u64; 4];

/// Executes `svc #IMMEDIATE` with `arguments` in `x0..x7`. The kernel preserves every register but `x0..x4`.
///
/// # Safety
/// The immediate may be one that the kernel reflects to the caller's fault upcall; whoever uses such a one has
/// registered a handler that copes. Those of protected control transfer change all registers.
#[cfg(target_os = "none")]
#[inline(always)]
pub unsafe fn enter<const IMMEDIATE: u16>(arguments: [u64; 8]) -> Result<Values, Error> {
    let [mut x0, mut x1, mut x2, mut x3, mut x4, x5, x6, x7] = arguments;
    // SAFETY: The kernel changes no register but the five declared as outputs, and no memory of the caller's but by
    // the contract of the call. Memory is clobbered, because a call may let others run who share some.
    unsafe {
        core::arch::asm!(
            "svc #{immediate}",
            immediate = const IMMEDIATE,
            inout("x0") x0, inout("x1") x1, inout("x2") x2, inout("x3") x3, inout("x4") x4,
            in("x5") x5, in("x6") x6, in("x7") x7,
            options(nostack),
        );
    }
    reply(x0).map(|()| [x1, x2, x3, x4])
}

/// What a reply's number says: 0 is success.
#[inline(always)]
pub(crate) fn reply(number: u64) -> Result<(), Error> {
    match number {
        0 => Ok(()),
        number => Err(Error::from_register(number).unwrap_or(Error::NoKernel)),
    }
}

/// There is no kernel beneath a program on the host.
///
/// # Safety
/// Always safe; unsafe only to have the same signature as on the target.
#[cfg(not(target_os = "none"))]
pub unsafe fn enter<const IMMEDIATE: u16>(_arguments: [u64; 8]) -> Result<Values, Error> {
    Err(Error::NoKernel)
}

macro_rules! stubs {
    ($($(#[$doc:meta])* $number:literal $variant:ident $name:ident { $($argument:ident : $type:ty),* };)*) => {$(
        #[doc = concat!("Call ", stringify!($number), ", as in the table.")]
        #[inline(always)]
        #[allow(clippy::too_many_arguments)] // As many as the call has.
        #[allow(dead_code)] // Some are made with other registers, in `transfer` and `upcall`.
        pub(crate) fn $name($($argument: $type),*) -> Result<Values, Error> {
            let given: &[u64] = &[$($argument.into()),*];
            let mut arguments = [0; 8];
            arguments[..given.len()].copy_from_slice(given);
            // SAFETY: The number is in the table, so the kernel answers it.
            unsafe { enter::<{ tranche_abi::calls::immediate($number) }>(arguments) }
        }
    )*};
}

tranche_abi::call_table!(stubs);

//! Why a call was refused. Nothing happened in a refused call.

macro_rules! errors {
    ($($(#[$doc:meta])* $number:literal $name:ident,)*) => {
        /// The reason for which the kernel refused a call; `x0` of the reply, 0 meaning success.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u64)]
        pub enum Error { $($(#[$doc])* $name = $number,)* }

        impl Error {
            /// The error that a reply's `x0` stands for; `None` for success and for numbers of no error.
            pub const fn from_register(x0: u64) -> Option<Self> {
                match x0 { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

errors! {
    /// The handle is not bound, or is bound to another kind of object than the call is for: bind again.
    1 BadHandle,
    /// The handle or capability lacks the right that the call needs: ask its owner for more.
    2 NoRight,
    /// The capability was not made by this kernel, or was changed: ask its owner for a true one.
    3 Forged,
    /// The capability or handle is genuine but its object was voided, reused or destroyed since.
    4 Stale,
    /// An argument is out of range or malformed: see the call's documentation.
    5 BadArgument,
    /// The caller does not own the frame, slot, extent or environment that it named.
    6 NotOwner,
    /// The object is in use in a way that excludes this: running, pinned, already mapped, already there.
    7 Busy,
    /// No page table covers the address: install one with `table` first.
    8 NoTable,
    /// Something of a fixed size is full: handles, environments, extents, mappings of one frame, or the chain.
    9 Full,
    /// The activation, page or transfer is not there: create, map or begin it first. Or the machine has no such device.
    10 Absent,
    /// The revocation was not asked for, or its deadline has not passed: `ask` first, then wait.
    11 TooEarly,
    /// Part of the work is done and more is left: call again.
    12 Again,
    /// There is no kernel beneath: the code runs on the host.
    13 NoKernel,
    /// The activation that was entered did not return: it faulted, or its environment ended.
    14 Broken,
}

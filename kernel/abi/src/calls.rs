//! The call table: every number, name, argument and meaning once.
//!
//! `svc #immediate(n)` makes call n. Arguments go in `x0..x7`. The reply is in `x0` (0, or an [`Error`](crate::Error)
//! number) and `x1..x4` (values, then 0; as they were where the call has none). All other registers come back as they were.
//! The protected control transfers have rules of their own. Any other `svc` is reflected to the caller's own fault handler.
//!
//! Hand [`call_table!`](crate::call_table) the name of a macro, and it is invoked with the whole table.

/// Bit of an `svc`'s immediate: it is a call of this table, by its number in bits 0..8. Without it, it is the caller's own.
pub const CALLS: u16 = 1 << 8;
/// Bit of the immediate: by the fast way for [`Call::Null`]. Calls with a fast way are the same without the bit.
pub const FAST_NULL: u16 = 1 << 9;
/// The same for [`Call::PctCall`].
pub const FAST_PCT_CALL: u16 = 1 << 10;
/// The same for [`Call::PctReturn`].
pub const FAST_PCT_RETURN: u16 = 1 << 11;

/// The same for [`Call::YieldTo`].
pub const FAST_YIELD_TO: u16 = 1 << 12;
/// The same for [`Call::Yield`].
pub const FAST_YIELD: u16 = 1 << 13;
/// The same for [`Call::Bind`], [`Call::Protect`] and [`Call::TraceMark`], which change nothing of who runs.
pub const FAST_STAY: u16 = 1 << 14;

/// The immediate with which `svc` makes a call, by its fast way if it has one.
pub const fn immediate(number: u16) -> u16 {
    let fast = match number {
        1 => FAST_NULL,
        2 => FAST_YIELD,
        3 => FAST_YIELD_TO,
        14 | 35 | 54 => FAST_STAY,
        61 => FAST_PCT_CALL,
        63 => FAST_PCT_RETURN,
        _ => 0,
    };
    CALLS | number | fast
}

/// The call's number in an immediate; `None` if it stands for no call. The lowest bit that asks for a fast way says which
/// call it is, whatever the number is; so nothing else has to be looked at in that way.
pub const fn number(immediate: u16) -> Option<u16> {
    const BY_ITSELF: [(u16, u16); 5] =
        [(FAST_NULL, 1), (FAST_PCT_CALL, 61), (FAST_PCT_RETURN, 63), (FAST_YIELD_TO, 3), (FAST_YIELD, 2)];
    if immediate & CALLS == 0 {
        return None;
    }
    let mut at = 0;
    while at < BY_ITSELF.len() {
        if immediate & BY_ITSELF[at].0 != 0 {
            return Some(BY_ITSELF[at].1);
        }
        at += 1;
    }
    if immediate & !FAST_STAY & !0xff == CALLS { Some(immediate & 0xff) } else { None }
}

/// Expands `$callback! { rows }`, each row `number Name name { argument: Type, … } -> values;`.
#[macro_export]
macro_rules! call_table {
    ($callback:path) => {
        $callback! {
            /// Does nothing: what entering and leaving the kernel costs.
            1 Null null {};

            // --- time ---
            /// Gives the CPU back to the parent of the chain, which sees `Yielded`. At the root, gives up the rest of the slice.
            2 Yield yield_now {};
            /// Gives the CPU to `target` until `until` or the slot's end, whichever is first. Values: reason, ran, detail, now.
            3 YieldTo yield_to { target: Target, until: Tick, mode: YieldMode };
            /// Gives the CPU back and asks to be run again at `until`, or as soon as an event is posted. Returns at once if one
            /// already is. Values: the time.
            4 Wait wait { until: Tick };
            /// Continues the context in the page's *enabled* save area and clears the disabled flag, as one step.
            5 Resume resume {};
            /// Loads the caller's FP/SIMD registers and switches them on until it loses the CPU. For handlers of the FP exception.
            6 FpOn fp_on {};

            // --- events ---
            /// Sets `bits` in the target's event word; readies it if it waits, and tells its manager. Needs `NOTIFY`. The three
            /// highest bits are the kernel's and are refused.
            8 Notify notify { target: Target, bits: u64 };

            // --- authority ---
            /// A capability with `rights` to an object that the caller owns. Values: body, mac.
            12 Grant grant { object: ObjectBits, rights: RightsBits };
            /// A capability to the same object with fewer rights. Values: body, mac.
            13 Derive derive { body: u64, mac: u64, rights: RightsBits };
            /// Checks a capability to an environment, an extent or the machine once and binds it to a handle. Values: the handle.
            14 Bind bind { body: u64, mac: u64 };
            /// Frees a handle.
            15 Unbind unbind { handle: Handle };
            /// Makes every capability to a frame, slot or extent that the caller owns stale, and breaks everybody else's mappings of the frame.
            16 Void void { object: ObjectBits };

            // --- gates ---
            /// Binds the right to enter activation `target` (`CALL`) to a gate. Values: the gate.
            17 GateOpen gate_open { target: Target };
            /// Frees a gate.
            18 GateClose gate_close { gate: Gate };

            // --- slots ---
            /// Gives one of the caller's slots to an environment (`GIVE`), to be run by its activation `target`.
            20 SlotGive slot_give { core: Core, slot: SlotIndex, target: Target };
            /// Takes the slot that the capability (`TAKE`) names, to be run by the caller's activation.
            21 SlotTake slot_take { body: u64, mac: u64, activation: ActivationIndex };
            /// Names the activation that runs in one of the caller's slots.
            22 SlotAim slot_aim { core: Core, slot: SlotIndex, activation: ActivationIndex };

            // --- revocation ---
            /// Asks an environment (`REVOKE`) for `count` resources back (`resource`: slots of `core`, or frames) by `deadline`;
            /// `Tick::NEVER` only says please. A new demand replaces the old one of the same kind and core. Zero withdraws it.
            25 Ask ask { target: Target, resource: u64, core: Core, count: u64, deadline: Tick };
            /// Takes a slot by force from an environment that was asked and let the deadline pass, or that is destroyed.
            26 SeizeSlot seize_slot { handle: Handle, core: Core, slot: SlotIndex };
            /// Takes a frame by force, breaking every mapping of it, from an environment that let the deadline pass. Its contents
            /// are copied to the place that the holder has provided, and it is zeroed. The holder's reserve is refused.
            27 SeizeFrame seize_frame { handle: Handle, frame: Frame };

            // --- frames and mappings ---
            /// Gives up to `MAX_BATCH` consecutive frames of the caller's to an environment (`GIVE`). Mappings of anyone but the
            /// receiver are broken.
            30 FrameGive frame_give { first: Frame, count: u64, handle: Handle };
            /// Installs a zeroed frame of the caller's as the page table that is missing for `address` in an environment
            /// (`CONTROL`), to which it then belongs. Values: the level (2 or 3) installed.
            31 Table table { handle: Handle, address: Address, frame: Frame };
            /// Maps up to `MAX_BATCH` consecutive frames of the caller's at `address` in an environment (`CONTROL`); in the caller
            /// itself also, read-only, the frames of its own page tables.
            32 Map map { handle: Handle, address: Address, first: Frame, count: u64, protection: ProtectionBits };
            /// Maps the frame that a capability names at `address` of the caller.
            33 MapShared map_shared { body: u64, mac: u64, address: Address, protection: ProtectionBits };
            /// Removes up to `MAX_BATCH` mappings. Pages that were not mapped are passed over.
            34 Unmap unmap { handle: Handle, address: Address, count: u64 };
            /// Changes the protection of up to `MAX_BATCH` mapped pages.
            35 Protect protect { handle: Handle, address: Address, count: u64, protection: ProtectionBits };

            // --- environments and activations ---
            /// Makes an environment out of `ENV_FRAMES` consecutive frames of the caller's. Values: a handle with all rights, its index.
            40 EnvCreate env_create { first: Frame };
            /// Makes activation `target` of an environment (`CONTROL`) out of a frame of the caller's, which becomes its page.
            41 ActivationCreate activation_create { target: Target, frame: Frame };
            /// Starts a stopped activation (`CONTROL`) at `entry` with stack `stack`, `x0 = argument` and `x18` = its page.
            42 ActivationStart activation_start { target: Target, entry: Address, stack: Address, argument: u64 };
            /// Names the manager (`MANAGE`) of an activation (`CONTROL`): readiness sets bit `client` of the manager's ready set.
            43 SetManager set_manager { target: Target, manager: Target, client: u64 };
            /// Ends an environment (`DESTROY`): nothing of it runs from now on. Reclaim what it owned with `env_reclaim`.
            44 EnvDestroy env_destroy { handle: Handle };
            /// Returns a part of what a destroyed environment (`DESTROY`) owned to the caller. `Again` while there is more.
            45 EnvReclaim env_reclaim { handle: Handle };

            // --- the machine's own state ---
            /// What the machine's firmware says of it (`STATE`): asks it, or fetches what it answered. `Again` until that is there;
            /// `Absent` where there is no such firmware. Values: temperature, throttling, clock, when it was asked.
            46 MachineState machine_state { handle: Handle };

            // --- the machine ---
            /// Writes up to `CONSOLE_CHUNK` bytes, as many as fit without waiting (`CONSOLE`). Values: bytes written.
            50 ConsoleWrite console_write { handle: Handle, length: u64, w0: u64, w1: u64, w2: u64, w3: u64, w4: u64, w5: u64 };
            /// Stops the machine (`POWER`), reporting `code` to whoever started it; 0 is success.
            51 PowerOff power_off { handle: Handle, code: u64 };
            /// Switches recording on (1) or off (0), on every core (`TRACE`).
            52 TraceSwitch trace_switch { handle: Handle, on: u64 };
            /// Maps up to `MAX_BATCH` pages of a core's ring, from page `first` of it on, read-only at `address` (`TRACE`).
            53 TraceMap trace_map { handle: Handle, core: Core, first: u64, count: u64, address: Address };
            /// Makes a mark in the ring of the core that it is made on (`MARK`): the kind (128 to 255) in bits 0..8 of `mark`, the
            /// detail in 32..64. Time, core and environment are the kernel's to say. Nothing while recording is off.
            54 TraceMark trace_mark { handle: Handle, mark: u64, w0: u64, w1: u64, w2: u64, w3: u64, w4: u64, w5: u64 };
            /// Maps up to `MAX_BATCH` pages of the registers of devices that the kernel does not drive, at `address` (`DEVICE`).
            55 DeviceMap device_map { handle: Handle, first: Frame, count: u64, address: Address };

            // --- protected control transfer: the gate is in `x16`, and `x0` to `x15` are the message ---
            /// Enters the activation behind the gate and lends it the CPU, in this slice and later ones, until it returns.
            61 PctCall pct_call {};
            /// Enters the activation behind the gate with the rest of the slice; the caller goes on when it gets the CPU again.
            62 PctSend pct_send {};
            /// Returns to the caller of this activation, or, if it has none, waits for one.
            63 PctReturn pct_return {};

            // --- the disk ---
            /// Names `count` blocks from block `first` of an extent of the caller's as an extent of its own, which belongs to the
            /// environment behind the handle (`GIVE`). Values: the new extent, as an object.
            70 ExtentNarrow extent_narrow { object: ObjectBits, first: u64, count: u64, handle: Handle };
            /// Unnames an extent that the caller owns, or that it named: capabilities to it are stale. Those narrowed from it stay.
            71 ExtentDrop extent_drop { object: ObjectBits };
            /// Begins to move page `page` (`PAGE_BLOCKS` blocks) of the extent behind the handle to memory (0, `READ`) or from it
            /// (1, `WRITE`). The disk moves one page at a time: `Busy` while another is on its way and not overdue.
            72 DiskBegin disk_begin { handle: Handle, page: u64, direction: u64 };
            /// A bounded piece of what was begun, with a frame of the caller's: at most one block is moved. Values: how far it is
            /// (`Progress`), what failed (`DiskFault`).
            73 DiskStep disk_step { handle: Handle, frame: Frame };
        }
    };
}

macro_rules! define_calls {
    ($($(#[$doc:meta])* $number:literal $variant:ident $name:ident { $($argument:ident : $type:ty),* };)*) => {
        use crate::types::*;

        /// A call as its caller made it: the arguments are claims.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // The arguments are explained with the call.
        pub enum Call { $($(#[$doc])* $variant { $($argument: $type),* },)* }

        impl Call {
            /// The call of this number with these registers `x0..x7`.
            #[inline(always)] // Then the call is never put together only to be taken apart.
            pub fn decode(number: u16, registers: &[u64; 8]) -> Option<Self> {
                let mut arguments = registers.iter().copied();
                let mut next = || arguments.next().unwrap_or(0);
                let _ = &mut next;
                match number {
                    $($number => Some(Self::$variant { $($argument: next().into()),* }),)*
                    _ => None,
                }
            }

            /// The call's name.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$variant { .. } => stringify!($name),)* }
            }
        }

        /// Every call's number and name, in order.
        pub const NAMES: &[(u16, &str)] = &[$(($number, stringify!($name)),)*];
    };
}

call_table!(define_calls);

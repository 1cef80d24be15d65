//! Newtypes of what crosses the boundary in a register. All are *claims* until the kernel has checked them.

macro_rules! register_types {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(pub u64);
        impl From<u64> for $name { fn from(register: u64) -> Self { Self(register) } }
        impl From<$name> for u64 { fn from(value: $name) -> u64 { value.0 } }
    )*};
}

register_types! {
    /// A point in time or a span of it, in ticks of the generic timer's virtual counter (`CNTVCT_EL0`).
    Tick,
    /// The number of a physical page frame: physical address / 4096.
    Frame,
    /// A virtual address in an environment.
    Address,
    /// A small number that stands for a bound capability in one environment.
    Handle,
    /// An activation reached through a handle to its environment: handle in bits 0..16, activation index in 16..24.
    Target,
    /// A core number.
    Core,
    /// The position of a slot in a core's slice vector.
    SlotIndex,
    /// The index of an activation within its environment.
    ActivationIndex,
    /// A set of [`Rights`] bits as passed in a register.
    RightsBits,
    /// An object's name in a capability: see [`Object`].
    ObjectBits,
    /// A [`Protection`] as passed in a register.
    ProtectionBits,
    /// A small number that stands for the right to enter an activation.
    Gate,
    /// How `yield_to` is to behave: a bit set of [`YIELD_EVENTS`].
    YieldMode,
}

impl Tick {
    /// The later of two times, `delta` after `self`, without wrapping.
    pub const fn saturating_add(self, delta: Tick) -> Tick {
        Tick(self.0.saturating_add(delta.0))
    }
    /// The span from `earlier` to `self`; zero if `earlier` is later.
    pub const fn since(self, earlier: Tick) -> Tick {
        Tick(self.0.saturating_sub(earlier.0))
    }
    /// A time that never comes.
    pub const NEVER: Tick = Tick(u64::MAX);
}

impl Target {
    /// Activation `activation` of the environment behind `handle`.
    pub const fn new(handle: Handle, activation: ActivationIndex) -> Self {
        Self(handle.0 & 0xffff | (activation.0 & 0xff) << 16)
    }
    /// The handle part.
    pub const fn handle(self) -> Handle {
        Handle(self.0 & 0xffff)
    }
    /// The activation part.
    pub const fn activation(self) -> ActivationIndex {
        ActivationIndex(self.0 >> 16)
    }
}

/// Bit of [`YieldMode`]: return with `Event` as soon as a client becomes ready.
pub const YIELD_EVENTS: u64 = 1;

/// What an object is; the kind field of a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A page frame; the index is its number.
    Frame = 1,
    /// A slot; the index is `core * MAX_SLOTS + position`.
    Slot = 2,
    /// An environment; the index is its number.
    Env = 3,
    /// The machine: console and power.
    Machine = 4,
    /// An extent of the disk; the index is its number. Extent 0 is the whole disk.
    Extent = 5,
}

impl Kind {
    /// The kind that a capability's field stands for.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            1 => Some(Self::Frame),
            2 => Some(Self::Slot),
            3 => Some(Self::Env),
            4 => Some(Self::Machine),
            5 => Some(Self::Extent),
            _ => None,
        }
    }
}

/// An object's kind and index: kind in bits 28..32, index in 0..28.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub index: u32,
}

impl Object {
    /// Indices are below this.
    pub const INDEX_LIMIT: u32 = 1 << 28;
    /// The object as a register value.
    pub const fn to_bits(self) -> ObjectBits {
        ObjectBits((self.kind as u64) << 28 | self.index as u64 & 0xfff_ffff)
    }
    /// The object that a register value names.
    pub const fn from_bits(bits: ObjectBits) -> Option<Self> {
        if bits.0 >> 32 != 0 {
            return None;
        }
        match Kind::from_bits(bits.0 >> 28) {
            Some(kind) => Some(Self { kind, index: (bits.0 & 0xfff_ffff) as u32 }),
            None => None,
        }
    }
}

/// A set of rights. Which of them mean something depends on the object's kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Rights(pub u8);

impl Rights {
    /// Environment: `yield_to` its activations.
    pub const RUN: Rights = Rights(1);
    /// Environment: `notify` it.
    pub const NOTIFY: Rights = Rights(2);
    /// Environment: give it frames and slots.
    pub const GIVE: Rights = Rights(4);
    /// Environment: map into it, create and start its activations, name their manager.
    pub const CONTROL: Rights = Rights(8);
    /// Environment: ask it for resources back, seize them after the deadline.
    pub const REVOKE: Rights = Rights(16);
    /// Environment: destroy it and take back what it owned.
    pub const DESTROY: Rights = Rights(32);
    /// Environment: be its clients' manager.
    pub const MANAGE: Rights = Rights(64);
    /// Environment: enter its activations by protected control transfer.
    pub const CALL: Rights = Rights(128);
    /// Frame: map it readable. Extent: read it.
    pub const READ: Rights = Rights(1);
    /// Frame: map it writable. Extent: write it.
    pub const WRITE: Rights = Rights(2);
    /// Frame: map it executable.
    pub const EXECUTE: Rights = Rights(4);
    /// Slot: take it.
    pub const TAKE: Rights = Rights(1);
    /// Machine: write to the console.
    pub const CONSOLE: Rights = Rights(1);
    /// Machine: switch it off.
    pub const POWER: Rights = Rights(2);
    /// Machine: read what all cores record, switch recording on and off.
    pub const TRACE: Rights = Rights(4);
    /// Machine: make marks in what is recorded.
    pub const MARK: Rights = Rights(8);
    /// Machine: map the registers of devices that the kernel does not drive. A device that reads and writes memory by itself
    /// does so wherever it is told, so who has this right has the whole machine.
    pub const DEVICE: Rights = Rights(16);
    /// Machine: ask its firmware how it is: temperature, throttling, clock.
    pub const STATE: Rights = Rights(64);
    /// Every right.
    pub const ALL: Rights = Rights(0xff);

    /// Whether every right of `needed` is in this set.
    pub const fn covers(self, needed: Rights) -> bool {
        self.0 & needed.0 == needed.0
    }
    /// Both sets together.
    pub const fn with(self, more: Rights) -> Rights {
        Rights(self.0 | more.0)
    }
}

/// What an environment may do with a mapped page. There is no writable and executable page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Protection {
    /// Read only.
    Read = 0,
    /// Read and write.
    ReadWrite = 1,
    /// Read and execute.
    ReadExecute = 2,
}

impl Protection {
    /// The protection that a register value names.
    pub const fn from_bits(bits: ProtectionBits) -> Option<Self> {
        match bits.0 {
            0 => Some(Self::Read),
            1 => Some(Self::ReadWrite),
            2 => Some(Self::ReadExecute),
            _ => None,
        }
    }
}

/// 128 bits that anyone may store and pass on: which object, which rights, and the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Capability {
    /// Object in bits 0..32, rights in 32..40, the object's generation in 40..64.
    pub body: u64,
    /// SipHash-2-4 of the body under the kernel's boot-time key.
    pub mac: u64,
}

/// Why a directed yield came back to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Reason {
    /// The target gave the rest of its time back.
    Yielded = 0,
    /// The target waits: until the time in `detail`, or for an event.
    Waiting = 1,
    /// `until`, or the slot's end, came first.
    Expired = 2,
    /// A client of the caller became ready.
    Event = 3,
    /// The target faulted and cannot go on; `detail` is the syndrome (`ESR_EL1`).
    Faulted = 4,
    /// The target's environment is no more, or the activation does not exist.
    Gone = 5,
    /// The target cannot run now: it is on another chain, or waits still (until the time in `detail`).
    Busy = 6,
}

impl Reason {
    /// The reason that a register value names.
    pub const fn from_register(bits: u64) -> Option<Self> {
        match bits {
            0 => Some(Self::Yielded),
            1 => Some(Self::Waiting),
            2 => Some(Self::Expired),
            3 => Some(Self::Event),
            4 => Some(Self::Faulted),
            5 => Some(Self::Gone),
            6 => Some(Self::Busy),
            _ => None,
        }
    }
}

/// The result of a directed yield.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why control came back.
    pub reason: Reason,
    /// CPU time that the target, and whoever it yielded to in turn, was charged in between, in ticks.
    pub ran: Tick,
    /// `Waiting`, `Busy`: when it wants to run again. `Faulted`: the syndrome. Otherwise 0.
    pub detail: u64,
    /// The caller's clock when control came back, in ticks.
    pub now: Tick,
}

/// Which way a page moves between the disk and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Direction {
    /// From the disk.
    Read = 0,
    /// To the disk.
    Write = 1,
}

impl Direction {
    /// The direction that a register value names.
    pub const fn from_register(bits: u64) -> Option<Self> {
        match bits {
            0 => Some(Self::Read),
            1 => Some(Self::Write),
            _ => None,
        }
    }
}

/// How far a transfer of a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All of it is done; of a write, the disk says that it is there for good.
    Done,
    /// A piece is done: the next step has something to do at once.
    Again,
    /// The disk is not ready for the next piece: step again a little later.
    Wait,
    /// It is over, and was not done.
    Failed(DiskFault),
}

impl Progress {
    /// As the values of a reply.
    pub const fn to_values(self) -> [u64; 2] {
        match self {
            Self::Done => [0, 0],
            Self::Again => [1, 0],
            Self::Wait => [2, 0],
            Self::Failed(fault) => [3, fault as u64],
        }
    }
    /// From the values of a reply.
    pub const fn from_values(values: [u64; 2]) -> Option<Self> {
        match values[0] {
            0 => Some(Self::Done),
            1 => Some(Self::Again),
            2 => Some(Self::Wait),
            3 => match DiskFault::from_register(values[1]) {
                Some(fault) => Some(Self::Failed(fault)),
                None => None,
            },
            _ => None,
        }
    }
}

/// Why a page was not moved, though the disk was asked several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum DiskFault {
    /// The disk does not answer: it was taken out, or is broken.
    NoAnswer = 0,
    /// Checksums were wrong on the way.
    Checksum = 1,
    /// It said that it is busy for longer than it may.
    TooSlow = 2,
    /// It says that it cannot: the block does not exist, or is worn out.
    Refused = 3,
    /// It is protected against writing.
    WriteProtected = 4,
}

impl DiskFault {
    /// The fault that a register value names.
    pub const fn from_register(bits: u64) -> Option<Self> {
        match bits {
            0 => Some(Self::NoAnswer),
            1 => Some(Self::Checksum),
            2 => Some(Self::TooSlow),
            3 => Some(Self::Refused),
            4 => Some(Self::WriteProtected),
            _ => None,
        }
    }
}

/// What a revocation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Resource {
    /// Slots of one core.
    Slots = 0,
    /// Page frames.
    Frames = 1,
}

/// Who entered an activation by protected control transfer: its environment's index in bits 16..32, its activation in
/// 0..16; the environment's generation in 32..56, as in capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub u64);

impl Identity {
    /// The environment's index.
    pub const fn env(self) -> u64 {
        self.0 >> 16 & 0xffff
    }
    /// The activation's index.
    pub const fn activation(self) -> u64 {
        self.0 & 0xffff
    }
}

/// What the machine's firmware says of it, at one moment. What it does not know is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineState {
    /// Thousandths of a degree Celsius.
    pub temperature: Option<u64>,
    /// A set of [`throttled`] bits.
    pub throttled: Option<u64>,
    /// The cores' clock as it was measured, in Hz.
    pub clock: Option<u64>,
    /// When it was asked, in ticks.
    pub asked: Tick,
}

impl MachineState {
    /// In a register, what the firmware does not know.
    const UNKNOWN: u64 = u64::MAX;

    /// The call's values.
    pub fn to_values(self) -> [u64; 4] {
        let [temperature, throttled, clock] =
            [self.temperature, self.throttled, self.clock].map(|known| known.unwrap_or(Self::UNKNOWN));
        [temperature, throttled, clock, self.asked.0]
    }

    /// What a call's values mean.
    pub fn from_values([temperature, throttled, clock, asked]: [u64; 4]) -> Self {
        let known = |value| (value != Self::UNKNOWN).then_some(value);
        Self {
            temperature: known(temperature),
            throttled: known(throttled),
            clock: known(clock),
            asked: Tick(asked),
        }
    }
}

/// Bits of [`MachineState::throttled`], as the Raspberry Pi's firmware has them (raspberrypi.com, `vcgencmd get_throttled`).
/// Shifted up by [`SINCE_START`](throttled::SINCE_START) they mean that it was so at any time since the machine was started.
pub mod throttled {
    /// The supply voltage is too low.
    pub const UNDER_VOLTAGE: u64 = 1;
    /// The cores' clock is capped.
    pub const CAPPED: u64 = 2;
    /// The cores are slowed down.
    pub const THROTTLED: u64 = 4;
    /// The soft temperature limit is reached.
    pub const SOFT_LIMIT: u64 = 8;
    /// By how much the bits of the past are shifted.
    pub const SINCE_START: u32 = 16;
    /// All that there are.
    pub const ALL: u64 = 0xf | 0xf << SINCE_START;
}

/// Event bit: somebody asks for resources back; see the page's `demand`.
pub const EVENT_REVOKE: u64 = 1 << 63;
/// Event bit: something was taken by force; see the repossession vector.
pub const EVENT_REPOSSESSED: u64 = 1 << 62;
/// Event bit: slots or frames were given to this environment.
pub const EVENT_GIVEN: u64 = 1 << 61;

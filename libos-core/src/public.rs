//! A typed view of the public region: what the kernel knows and lets everybody read without a call.
//!
//! Not here: the layout (`tranche_abi::public`), the boot archive (`archive`).

use crate::frames::Run;
use alloc::format;
use alloc::string::String;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use tranche_abi::layout::{MAX_CORES, MAX_ENVS, MAX_SLOTS};
use tranche_abi::public::{PUBLIC_VERSION, Public, env_state};
use tranche_abi::{Core, Frame, SlotIndex, Tick};

/// Who owns a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The environment's index.
    pub env: u64,
    /// The activation that runs in it.
    pub activation: u64,
    /// Grows with every change of owner.
    pub generation: u64,
}

/// An environment's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvState {
    /// No such environment.
    Free,
    /// It runs.
    Alive,
    /// Destroyed, not yet reclaimed.
    Dying,
}

/// Where a core is in its slice vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Passes over the vector since the epoch.
    pub revolution: u64,
    /// The slot.
    pub slot: SlotIndex,
    /// When the slot ends.
    pub end: Tick,
}

/// What a core says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `MIDR_EL1`.
    pub midr: u64,
    /// The exception level at which the firmware handed the core over.
    pub entry_level: u64,
    /// Bytes of the first-level caches for instructions and for data, and of the second-level cache; 0 for one that is not there.
    pub caches: [u64; 3],
}

impl Identity {
    /// Who made the core, which it is, and its revision, in words if it is one that the boards here have.
    pub fn name(&self) -> String {
        let [implementer, variant, part, revision] = [24, 20, 4, 0].map(|shift| self.midr >> shift);
        let (variant, revision) = (variant & 0xf, revision & 0xf);
        match (implementer & 0xff, part & 0xfff) {
            (0x41, 0xd08) => format!("Cortex-A72 r{variant}p{revision}"),
            (0x41, part) => format!("Arm core {part:#x} r{variant}p{revision}"),
            (maker, part) => format!("core {part:#x} of maker {maker:#x} r{variant}p{revision}"),
        }
    }
}

/// The bytes of a cache by its `CCSIDR_EL1`, which has two forms (`ID_AA64MMFR2_EL1.CCIDX`; Arm ARM, D19.2).
fn cache_bytes(register: u64, form: u64) -> u64 {
    if register == 0 {
        return 0;
    }
    let line = 16 << (register & 7);
    let (ways, sets) = match form {
        0 => (register >> 3 & 0x3ff, register >> 13 & 0x7fff),
        _ => (register >> 3 & 0x1f_ffff, register >> 32 & 0xff_ffff),
    };
    line * (ways + 1) * (sets + 1)
}

/// The public region, as it is at the moment of each look.
#[derive(Clone, Copy)]
pub struct View(&'static Public);

/// The machine's public region.
pub fn view() -> View {
    #[cfg(target_os = "none")]
    // SAFETY: The kernel maps the region there, read-only, in every environment for ever; every field is atomic.
    let public = unsafe { &*(tranche_abi::layout::PUBLIC_BASE as *const Public) };
    #[cfg(not(target_os = "none"))]
    let public = {
        static HOST: Public = Public::new();
        &HOST
    };
    View(public)
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $wrap:expr => $type:ty;)*) => {$(
        $(#[$doc])*
        pub fn $name(self) -> $type { $wrap(self.0.$name.load(Acquire)) }
    )*};
}

impl View {
    fields! {
        /// Ticks per second.
        frequency: u64::from => u64;
        /// Cores that run.
        cores: u64::from => u64;
        /// Slots of each core's vector.
        slots: u64::from => u64;
        /// Length of a slot.
        quantum: Tick => Tick;
        /// When slot 0 of every core first began.
        epoch: Tick => Tick;
        /// How long an activation may keep the CPU past the end of its slice.
        grace: Tick => Tick;
        /// Frames that exist.
        frames: u64::from => u64;
        /// The lowest frame.
        first_frame: Frame => Frame;
        /// First of the frames that the first environment was given.
        boot_first_frame: Frame => Frame;
        /// How many it was given.
        boot_frames: u64::from => u64;
        /// Bytes of the boot archive.
        archive_size: u64::from => u64;
        /// 0 unknown, 1 QEMU virt, 2 Raspberry Pi 4.
        board: u64::from => u64;
        /// The interrupt controller's version.
        gic: u64::from => u64;
        /// Whether there is recording.
        tracing: (|on| on != 0) => bool;
        /// First page of the registers of devices that the kernel does not drive.
        device_first: Frame => Frame;
        /// How many pages of them there are.
        device_pages: u64::from => u64;
        /// First of the frames that the display shows.
        display_first: Frame => Frame;
        /// How many there are; 0 without a display.
        display_frames: u64::from => u64;
        /// Pixels of a row of the display.
        display_width: u64::from => u64;
        /// Rows of the display.
        display_height: u64::from => u64;
        /// Bytes from one row to the next.
        display_stride: u64::from => u64;
        /// How a pixel is a word: see `tranche_abi::public::pixel`.
        display_format: u64::from => u64;
        /// Blocks of the disk; 0 without one.
        disk_blocks: u64::from => u64;
    }

    /// The memory that was free when the kernel was done with its own.
    pub fn memory(self) -> impl Iterator<Item = Run> {
        let ranges = self.0.memory.iter();
        let runs = ranges
            .map(|range| Run { first: Frame(range.first.load(Acquire)), count: range.count.load(Acquire) });
        runs.filter(|run| run.count > 0)
    }

    /// What a core says of itself; `None` for one that does not exist.
    pub fn identity(self, core: Core) -> Option<Identity> {
        let shown = self.0.identity.get(core.0 as usize).filter(|_| core.0 < self.cores())?;
        let form = shown.cache_form.load(Acquire);
        Some(Identity {
            midr: shown.midr.load(Acquire),
            entry_level: shown.entry_level.load(Acquire),
            caches: [0, 1, 2].map(|place: usize| cache_bytes(shown.caches[place].load(Acquire), form)),
        })
    }

    /// Length of a revolution.
    pub fn revolution(self) -> Tick {
        Tick(self.quantum().0 * self.slots())
    }

    /// Whether the region has the layout that this program was built for.
    pub fn is_known(self) -> bool {
        self.0.version.load(Acquire) == PUBLIC_VERSION
    }

    /// Who owns a slot; `None` for one that does not exist.
    pub fn owner(self, core: Core, slot: SlotIndex) -> Option<Owner> {
        let exists =
            core.0 < self.cores().min(MAX_CORES as u64) && slot.0 < self.slots().min(MAX_SLOTS as u64);
        exists.then(|| owner_of(self.0.slot[core.0 as usize][slot.0 as usize].load(Acquire)))
    }

    /// The slots of a core that an environment owns.
    pub fn owned_slots(self, core: Core, env: u64) -> impl Iterator<Item = SlotIndex> {
        let slots = (0..self.slots()).map(SlotIndex);
        slots.filter(move |slot| self.owner(core, *slot).is_some_and(|owner| owner.env == env))
    }

    /// An environment's state; one that cannot exist is free.
    pub fn env_state(self, env: u64) -> EnvState {
        match self.0.env_state.get(env as usize).map(|state| state.load(Acquire)) {
            Some(env_state::ALIVE) => EnvState::Alive,
            Some(env_state::DYING) => EnvState::Dying,
            _ => EnvState::Free,
        }
    }

    /// Faults of an environment's activations so far that nobody handled: each ended one.
    pub fn faults(self, env: u64) -> u64 {
        self.0.env_faults.get(env as usize).map_or(0, |count| count.load(Acquire).into())
    }

    /// Slices that an environment kept to the end of the grace time so far.
    pub fn excess(self, env: u64) -> u64 {
        self.0.env_excess.get(env as usize).map_or(0, |count| count.load(Acquire).into())
    }

    /// Where every core is in its vector at `now`; `None` before the epoch.
    pub fn position(self, now: Tick) -> Option<Position> {
        position(now, self.epoch(), self.quantum(), self.slots())
    }

    /// What a core's time went to so far.
    pub fn ledger(self, core: Core) -> Option<LedgerView> {
        (core.0 < self.cores().min(MAX_CORES as u64)).then(|| LedgerView(&self.0.ledger[core.0 as usize]))
    }
}

fn owner_of(word: u64) -> Owner {
    Owner { env: word & 0xffff, activation: word >> 16 & 0xff, generation: word >> 32 & 0xff_ffff }
}

fn position(now: Tick, epoch: Tick, quantum: Tick, slots: u64) -> Option<Position> {
    let elapsed = now.0.checked_sub(epoch.0)?;
    let quanta = elapsed.checked_div(quantum.0)?;
    let revolution = quanta.checked_div(slots)?;
    let end = Tick(epoch.0 + (quanta + 1) * quantum.0);
    Some(Position { revolution, slot: SlotIndex(quanta % slots), end })
}

/// One core's ledger.
#[derive(Clone, Copy)]
pub struct LedgerView(&'static tranche_abi::public::Ledger);

/// A moment of a ledger but the environments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Interrupts and slice switches.
    pub kernel: Tick,
    /// Nobody wanted the CPU.
    pub idle: Tick,
    /// Kept past the end of a slice.
    pub excess: Tick,
    /// Environments that are no more.
    pub gone: Tick,
    /// Up to when time has been charged.
    pub until: Tick,
}

impl LedgerView {
    /// Everything but the environments.
    pub fn totals(self) -> Totals {
        let tick = |field: &AtomicU64| Tick(field.load(Relaxed));
        let ledger = self.0;
        Totals {
            kernel: tick(&ledger.kernel),
            idle: tick(&ledger.idle),
            excess: tick(&ledger.excess),
            gone: tick(&ledger.gone),
            until: tick(&ledger.until),
        }
    }

    /// What an environment was charged on this core.
    pub fn env(self, env: u64) -> Tick {
        Tick(self.0.env.get(env as usize).map_or(0, |charged| charged.load(Relaxed)))
    }

    /// Slots that began on this core with an activation of their owner, this environment, running or waiting.
    pub fn slices(self, env: u64) -> u64 {
        self.0.slices.get(env as usize).map_or(0, |count| count.load(Relaxed))
    }

    /// Every environment that was charged something, with how much.
    pub fn envs(self) -> impl Iterator<Item = (u64, Tick)> {
        (0..MAX_ENVS as u64).map(move |env| (env, self.env(env))).filter(|(_, charged)| charged.0 > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cores_registers_are_read_as_the_manual_has_them() {
        // A Cortex-A72's: 3, 2 and 16 ways; 256, 256 and 1024 sets of 64 bytes.
        let caches = [0x201f_e012, 0x701f_e00a, 0x707f_e07a, 0].map(|register| cache_bytes(register, 0));
        assert_eq!(caches, [48 << 10, 32 << 10, 1 << 20, 0]);
        assert_eq!(cache_bytes(255 << 32 | 3 << 3 | 2, 1), 64 << 10);
        let identity = Identity { midr: 0x410f_d083, ..Identity::default() };
        assert_eq!(identity.name(), "Cortex-A72 r0p3");
        let other = Identity { midr: 0x611f_0221, ..identity };
        assert_eq!(other.name(), "core 0x22 of maker 0x61 r1p1");
    }

    #[test]
    fn a_slot_word_tells_owner_activation_and_generation() {
        let word = 0x3ff | 7 << 16 | 0xab_cdef << 32;
        assert_eq!(owner_of(word), Owner { env: 0x3ff, activation: 7, generation: 0xab_cdef });
    }

    #[test]
    fn the_position_follows_from_the_time_alone() {
        let at = |now| position(Tick(now), Tick(1_000), Tick(10), 4);
        assert_eq!(at(999), None);
        assert_eq!(at(1_000), Some(Position { revolution: 0, slot: SlotIndex(0), end: Tick(1_010) }));
        assert_eq!(at(1_079), Some(Position { revolution: 1, slot: SlotIndex(3), end: Tick(1_080) }));
        assert_eq!(position(Tick(5), Tick(0), Tick(0), 0), None);
    }

    #[test]
    fn on_the_host_there_is_nothing_to_see() {
        assert!(view().is_known());
        assert_eq!(view().owner(Core(0), SlotIndex(0)), None);
        assert_eq!(view().env_state(5), EnvState::Free);
        assert!(view().ledger(Core(0)).is_none());
    }
}

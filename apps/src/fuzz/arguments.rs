//! What calls are made with: values of the kind that each argument is for, values at limits, what earlier calls gave
//! back, one bit of any of these changed, and plain chance.
//!
//! Pure: the time is passed in. Not here: which call is made (`fuzzer`, `sequences`), what its arguments are for (`kinds`).
#![forbid(unsafe_code)]

use super::kinds::Kind;
use super::tally::GIFTS;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::chance::draw;
use libos_core::layout;
use tranche_abi::Capability;
use tranche_abi::layout::*;

/// Values of which one more or less is another case.
const LIMITS: [u64; 26] = [
    0,
    1,
    2,
    7,
    MAX_ACTIVATIONS as u64,
    MAX_BATCH,
    MAX_HANDLES as u64,
    MAX_ENVS as u64,
    512,
    PAGE_SIZE,
    1 << 16,
    1 << 28,
    1 << 31,
    1 << 32,
    layout::IMAGE_BASE,
    layout::HEAP_BASE,
    layout::STACK_BASE,
    ACTIVATION_BASE,
    PUBLIC_BASE,
    USER_END,
    1 << 48,
    1 << 52,
    1 << 63,
    0xffff_ff80_0000_0000,
    0xffff_0000_0000_0000,
    u64::MAX,
];

/// Where mappings of a fuzzer are, or could be.
const PLACES: [u64; 12] = [
    layout::IMAGE_BASE,
    layout::IMAGE_BASE + 16 * PAGE_SIZE,
    layout::START_BASE,
    layout::MAILBOX_BASE,
    layout::HEAP_BASE,
    layout::SCRATCH_BASE,
    super::tally::TALLY_BASE,
    ROOM,
    ROOM + (1 << 30),
    ACTIVATION_BASE,
    PUBLIC_BASE,
    0,
];

/// An address with nothing near it, for a fuzzer's own mappings.
pub const ROOM: u64 = 0x60_0000_0000;
/// Values that are remembered.
const POOL: usize = 32;
/// Capabilities that are remembered; the first are the supervisor's gifts.
const CAPABILITIES: usize = 12;

/// What a fuzzer knows of the world, so that some of its values are right.
#[derive(Clone, Copy, Debug, Default)]
pub struct World {
    /// Cores.
    pub cores: u64,
    /// Slots of each core's vector.
    pub slots: u64,
    /// The lowest frame that exists.
    pub first_frame: u64,
    /// Frames that exist.
    pub frames: u64,
    /// First of its own frames.
    pub own_first: u64,
    /// Its own frames.
    pub own_frames: u64,
    /// Its own index.
    pub env: u64,
    /// The time.
    pub now: u64,
}

/// One activation's chance and memory. All fields are atomic, because a fault may end any step in its middle.
#[derive(Debug)]
pub struct Source {
    chance: AtomicU64,
    pool: [AtomicU64; POOL],
    capabilities: [[AtomicU64; 2]; CAPABILITIES],
    /// Faults since the last call that came back.
    pub faults: AtomicU64,
}

impl Source {
    /// Without chance, until [`Source::seed`].
    pub const fn new() -> Self {
        Self {
            chance: AtomicU64::new(0),
            pool: [const { AtomicU64::new(0) }; POOL],
            capabilities: [const { [const { AtomicU64::new(0) }; 2] }; CAPABILITIES],
            faults: AtomicU64::new(0),
        }
    }

    /// Begins a sequence of draws, with what the supervisor gave.
    pub fn seed(&self, seed: u64, gifts: [Capability; GIFTS]) {
        self.chance.store(seed.max(1), Relaxed);
        self.pool.iter().zip(LIMITS).for_each(|(place, limit)| place.store(limit, Relaxed));
        for (place, gift) in self.capabilities.iter().zip(gifts) {
            place[0].store(gift.body, Relaxed);
            place[1].store(gift.mac, Relaxed);
        }
    }

    /// The next 64 bits of chance.
    pub fn draw(&self) -> u64 {
        // A stray write may have made it 0, from which nothing would follow.
        let mut state = self.chance.load(Relaxed).max(1);
        let drawn = draw(&mut state);
        self.chance.store(state, Relaxed);
        drawn
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&self, limit: u64) -> u64 {
        // The high half is the better one; limits are far below 2^32.
        ((self.draw() >> 32) * limit) >> 32
    }

    /// True once in so many times.
    pub fn once_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Remembers a value that a call gave back.
    pub fn learn(&self, value: u64) {
        self.pool[self.below(POOL as u64) as usize].store(value, Relaxed);
    }

    /// Remembers a capability.
    pub fn learn_capability(&self, capability: Capability) {
        let own = (CAPABILITIES - GIFTS) as u64;
        let [body, mac] = &self.capabilities[GIFTS + self.below(own) as usize];
        body.store(capability.body, Relaxed);
        mac.store(capability.mac, Relaxed);
    }

    /// A capability that was once true.
    pub fn capability(&self) -> Capability {
        let [body, mac] = &self.capabilities[self.below(CAPABILITIES as u64) as usize];
        Capability { body: body.load(Relaxed), mac: mac.load(Relaxed) }
    }

    fn remembered(&self) -> u64 {
        self.pool[self.below(POOL as u64) as usize].load(Relaxed)
    }

    /// Arguments for a call with arguments of these kinds. Registers beyond them are whatever comes.
    pub fn arguments(&self, kinds: &[Kind], world: &World) -> [u64; 8] {
        let capability = self.capability();
        let rest = self.draw();
        core::array::from_fn(|place| match kinds.get(place) {
            None => rest.rotate_left(place as u32 * 8),
            Some(Kind::Body) => self.disturbed(capability.body),
            Some(Kind::Mac) => self.disturbed(capability.mac),
            Some(kind) => self.argument(*kind, world),
        })
    }

    /// One argument: more often than not one that could be right.
    pub fn argument(&self, kind: Kind, world: &World) -> u64 {
        match self.below(16) {
            0..=9 => self.right(kind, world),
            10 => self.disturbed(self.right(kind, world)),
            11 | 12 => self.at_a_limit(),
            13 => self.remembered(),
            14 => self.disturbed(self.remembered()),
            _ => self.random(),
        }
    }

    /// A limit, or one more or less.
    fn at_a_limit(&self) -> u64 {
        let limit = LIMITS[self.below(LIMITS.len() as u64) as usize];
        limit.wrapping_add(self.below(3)).wrapping_sub(1)
    }

    /// The value, now and then with one bit changed.
    fn disturbed(&self, value: u64) -> u64 {
        if self.once_in(4) { value ^ 1 << self.below(64) } else { value }
    }

    /// A number of any length.
    pub fn random(&self) -> u64 {
        let bits = self.draw();
        bits >> (self.draw() & 63)
    }

    /// A value as the argument is meant.
    pub fn right(&self, kind: Kind, world: &World) -> u64 {
        match kind {
            Kind::Handle => self.handle(),
            Kind::Target => self.handle() | self.below(world.cores + 1) << 16,
            Kind::Frame => self.frame(world),
            Kind::Address => self.address(),
            Kind::Tick => self.time(world),
            Kind::Core => self.below(world.cores.max(1)),
            Kind::Slot => self.below(world.slots.max(1)),
            Kind::Activation => self.below(MAX_ACTIVATIONS as u64),
            Kind::Object => self.object(world),
            Kind::Body => self.capability().body,
            Kind::Mac => self.capability().mac,
            Kind::Bits => self.draw() & self.draw() & 0xff,
            Kind::Small => self.below(6),
            Kind::Any => self.any(world),
        }
    }

    /// Itself, its creator, and the lowest of those that it bound.
    pub fn handle(&self) -> u64 {
        self.below(10).saturating_sub(2)
    }

    /// A frame of its own most of the time, else somebody's.
    pub fn frame(&self, world: &World) -> u64 {
        if self.once_in(4) {
            world.first_frame.wrapping_add(self.below(world.frames.clamp(1, 1 << 31)))
        } else {
            world.own_first + self.below(world.own_frames + 1)
        }
    }

    /// An address near something, page-aligned most of the time.
    pub fn address(&self) -> u64 {
        let stack = layout::stack_top(self.below(MAX_ACTIVATIONS as u64)) - 4 * PAGE_SIZE;
        let base = PLACES.get(self.below(PLACES.len() as u64 + 1) as usize).copied().unwrap_or(stack);
        let address = base.wrapping_add(self.below(24) * PAGE_SIZE);
        if self.once_in(8) { address.wrapping_add(self.below(PAGE_SIZE)) } else { address }
    }

    /// A time that has just passed or will soon come; seldom never.
    fn time(&self, world: &World) -> u64 {
        match self.below(32) {
            0 => u64::MAX,
            1 | 2 => self.random(),
            _ => world.now.wrapping_add(self.below(20_000)).wrapping_sub(1_000),
        }
    }

    fn object(&self, world: &World) -> u64 {
        let (kind, index) = match self.below(8) {
            0..=2 => (1, self.frame(world)),
            3 | 4 => (2, self.below(world.cores.max(1)) * MAX_SLOTS as u64 + self.below(world.slots.max(1))),
            5 => (3, world.env),
            6 => (3, self.below(64)),
            _ if self.once_in(2) => (5, self.below(8)),
            _ => (4, 0),
        };
        kind << 28 | index & 0xfff_ffff
    }

    /// A value of any kind.
    fn any(&self, world: &World) -> u64 {
        const KINDS: [Kind; 12] = [
            Kind::Handle,
            Kind::Target,
            Kind::Frame,
            Kind::Address,
            Kind::Tick,
            Kind::Core,
            Kind::Slot,
            Kind::Object,
            Kind::Body,
            Kind::Mac,
            Kind::Bits,
            Kind::Small,
        ];
        self.right(KINDS[self.below(KINDS.len() as u64) as usize], world)
    }
}

impl Default for Source {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn world() -> World {
        World {
            cores: 4,
            slots: 100,
            first_frame: 5,
            frames: 900,
            own_first: 100,
            own_frames: 8,
            env: 3,
            now: 1 << 20,
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_arguments_and_another_does_not() {
        let drawn = |seed| {
            let source = Source::new();
            source.seed(seed, [Capability::default(); GIFTS]);
            let all = (0..100).map(|_| source.arguments(&[Kind::Handle, Kind::Any, Kind::Body], &world()));
            all.collect::<Vec<_>>()
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn right_values_are_mostly_such_as_the_kernel_accepts() {
        let source = Source::new();
        source.seed(1, [Capability { body: 77, mac: 99 }; GIFTS]);
        let count =
            |kind, good: fn(u64) -> bool| (0..1000).filter(|_| good(source.right(kind, &world()))).count();
        assert!(count(Kind::Frame, |frame| (100..108).contains(&frame)) > 500);
        assert!(count(Kind::Address, |address| address % PAGE_SIZE == 0) > 800);
        assert!(count(Kind::Tick, |time| time.abs_diff(1 << 20) <= 20_000) > 800);
        assert_eq!(count(Kind::Core, |core| core < 4), 1000);
        assert!(count(Kind::Body, |body| body == 77) > 200);
        let frames: Vec<u64> = (0..1000).map(|_| source.frame(&world())).collect();
        assert!(frames.iter().any(|frame| !(100..109).contains(frame)));
    }

    #[test]
    fn a_chance_that_was_overwritten_with_nothing_goes_on() {
        let source = Source::new();
        assert_ne!(source.draw(), source.draw());
    }
}

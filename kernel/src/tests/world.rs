//! A booted kernel on the fake machine: calls as whoever runs, time that passes, children. All invariants hold after each event.
//!
//! Not here: what must hold ([`super::invariants`]). The first environment's activation `i` runs on core `i` at first, and
//! owns every slot.
#![forbid(unsafe_code)]

use super::fake::{CORES, DISK_BLOCKS, Fake};
use super::invariants::{By, Checker};
use crate::activation::{self, stored_frame};
use crate::block::BlockAddress;
use crate::boot::{Boot, Display};
use crate::environment::{Env, EnvId};
use crate::fast::{Current, Fast};
use crate::frames::FrameEntry;
use crate::kernel::Kernel;
use crate::machine::{Cause, CpuId, Event, Machine, Resume};
use core::sync::atomic::Ordering::Relaxed;
use std::boxed::Box;
use std::collections::{HashMap, VecDeque};
use std::vec;
use std::vec::Vec;
use tranche_abi::layout::{ACTIVATION_BASE, ENV_FRAMES};
use tranche_abi::page::{ActivationPage, Registers};
use tranche_abi::public::{Public, pixel};
use tranche_abi::trace::Ring;
use tranche_abi::{
    ActivationIndex, Address, Call, Capability, Error, Frame, Handle, Kind, Object, Outcome, Protection,
    Reason, Rights, Target, Tick, calls,
};

/// Length of a slot.
pub const QUANTUM: u64 = 1000;
/// How long an activation may keep the CPU past the end of its slice.
pub const GRACE: u64 = 50;
/// Slots of each core.
pub const SLOTS: u64 = 10;
/// The lowest frame, which is reserved for the public table.
pub const FIRST_FRAME: u64 = 1000;
/// Frames, reserved ones included.
pub const FRAMES: usize = 400;
/// A frame in the middle that is reserved.
pub const RESERVED: Frame = Frame(1300);
/// Frames in which the kernel's rings are: not in the frame table, as on a machine they might be.
pub const FIRST_RING: u64 = 5000;
/// Frames that the display shows.
pub const SHOWN: core::ops::Range<u64> = 1390..1394;
/// Pages of devices.
pub const DEVICES: core::ops::Range<u64> = 7000..7004;
/// FP/SIMD was used while it is off.
pub const FP_USE: Cause = Cause::Fault { esr: 0x07 << 26 | 1 << 25, far: 0 };
/// What the fake machine says of where nothing is.
const NOWHERE: u64 = 0;
/// Where programs map their frames.
pub const DATA: u64 = 0x40_0000;

/// A kernel, a machine, and the registers of whoever runs on each core.
pub struct World {
    pub kernel: &'static Kernel,
    pub fake: Fake,
    pub registers: [Registers; CORES],
    pub resume: [Resume; CORES],
    pub checker: Checker,
    /// Whether the fast ways of switching are used where they can be.
    pub quick: bool,
    /// How often one of them was.
    pub switched: u64,
    /// Events so far.
    pub events: u64,
    recent: VecDeque<Recent>,
    /// What each activation last left in its FP/SIMD registers; nothing for one that was in a transfer since.
    pub(super) fp: HashMap<(u16, u32, u8), Option<u64>>,
    next_frame: u64,
}

/// An event as it is shown when a test fails.
#[derive(Debug)]
#[allow(dead_code)] // read by `Debug`
struct Recent {
    number: u64,
    now: u64,
    core: usize,
    who: Option<(u16, u8)>,
    cause: Cause,
    call: Option<Call>,
}

/// Registers that no call and no upcall with a context changes: each activation keeps its own mark there.
pub const MARKED: core::ops::Range<usize> = 19..29;

/// A child as its creator knows it.
#[derive(Clone, Copy, Debug)]
pub struct Child {
    pub handle: Handle,
    pub index: u16,
}

impl Child {
    /// Activation 0 of it, or another.
    pub fn target(self, activation: u64) -> u64 {
        Target::new(self.handle, ActivationIndex(activation)).0
    }
}

/// The immediate that makes a call, by its name.
pub fn immediate(name: &str) -> u16 {
    calls::immediate(
        calls::NAMES.iter().find(|(_, known)| *known == name).expect("the call is in the table").0,
    )
}

/// An object as a register value.
pub fn object(kind: Kind, index: u64) -> u64 {
    Object { kind, index: index as u32 }.to_bits().0
}

impl World {
    /// Everything booted and the first slot begun: activation `i` of the first environment runs on core `i`.
    pub fn boot() -> Self {
        let kernel: &Kernel = Box::leak(Box::new(Kernel::new(Box::leak(Box::new(Public::new())))));
        let fake = Fake::new(FIRST_FRAME, FRAMES);
        fake.core(0).zero(Frame(FIRST_FRAME));
        let end = FIRST_FRAME + FRAMES as u64;
        let free = [FIRST_FRAME + 1..RESERVED.0, RESERVED.0 + 1..SHOWN.start, SHOWN.end..end];
        let boot = Boot {
            cores: CORES,
            slots: SLOTS,
            quantum: Tick(QUANTUM),
            grace: Tick(GRACE),
            frequency: 1_000_000,
            board: 0,
            gic: 2,
            mac_key: [1, 2],
            archive_size: 0,
            public_table: Frame(FIRST_FRAME),
            first_frame: Frame(FIRST_FRAME),
            frames: Box::leak(vec![FrameEntry::RESERVED; FRAMES].into_boxed_slice()),
            rings: Vec::from_iter((0..CORES).map(|_| Ring::new())).leak(),
            first_ring: Frame(FIRST_RING),
            devices: DEVICES,
            display: Display { frames: SHOWN, width: 64, height: 64, stride: 256, format: pixel::BLUE_FIRST },
            disk_blocks: DISK_BLOCKS,
            free: &free,
        };
        kernel.begin(&fake.core(0), boot);
        kernel.first_page(&fake.core(0), Address(DATA), Protection::ReadExecute);
        kernel.first_start(&fake.core(0), Address(DATA), Address(0));
        kernel.open(&fake.core(0));
        let next_frame = kernel.public.boot_first_frame.load(Relaxed);
        let mut world = Self {
            kernel,
            checker: Checker::new(&fake),
            quick: false,
            switched: 0,
            fake,
            registers: [Registers::ZERO; CORES],
            resume: [Resume::Idle; CORES],
            events: 0,
            recent: VecDeque::new(),
            fp: HashMap::new(),
            next_frame,
        };
        world.checker.begin(kernel, &world.fake);
        world.start_cores();
        world
    }

    fn start_cores(&mut self) {
        for core in 0..CORES {
            let machine = self.fake.core(core);
            self.resume[core] = self.kernel.first_event(&machine, CpuId(core));
            self.follow(core);
        }
        self.advance(QUANTUM);
        for core in 1..CORES as u64 {
            self.ok(0, "activation_start", &[core << 16, DATA, 0, 0]);
        }
        self.advance(QUANTUM);
        (0..CORES).for_each(|core| assert_eq!(self.who(core), Some((0, core as u8))));
    }

    /// One event on a core, after which every invariant holds.
    pub fn event(&mut self, core: usize, cause: Cause) {
        let call = if let Cause::Call(immediate) = cause { self.decode(core, immediate) } else { None };
        let (number, now, who, body) = (self.events, self.now(), self.who(core), self.body(core));
        if self.recent.len() == 20 {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { number, now, core, who, cause, call });
        self.events += 1;
        if cause == Cause::Timer {
            self.fake.timers[core].set(Tick::NEVER);
        }
        if matches!(call, Some(Call::PctCall {} | Call::PctSend {} | Call::PctReturn {})) {
            self.prepare_transfer(core);
        }
        self.trap(core, cause);
        self.checker.check(self.kernel, &self.fake, core, body.map(|(env, _)| By { env, call }));
        self.check_resume(core);
    }

    fn decode(&self, core: usize, immediate: u16) -> Option<Call> {
        let arguments = core::array::from_fn(|i| self.registers[core].x[i]);
        calls::number(immediate).and_then(|number| Call::decode(number, &arguments))
    }

    /// What `arch` does with a trap: the registers go to the page of whoever ran, and come from that of whoever runs.
    pub fn trap(&mut self, core: usize, cause: Cause) {
        let current = self.fake.current[core].get();
        if let Some((env, activation)) = self.body(core).filter(|_| !self.is_lost(core)) {
            activation::set(&self.page(env, activation).registers, &self.registers[core]);
        }
        self.resume[core] = match self.switch_fast(core, cause, current) {
            Some(next) => Resume::User { current: next, fp: false },
            None => self.kernel.handle(&self.fake.core(core), CpuId(core), Event { cause, current }),
        };
        self.follow(core);
        if self.is_lost(core) {
            self.registers[core] = Registers::ZERO;
        } else if let Some((env, activation)) = self.body(core) {
            let area = &self.page(env, activation).registers;
            self.registers[core] = Registers {
                x: core::array::from_fn(|i| area.x[i].load(Relaxed)),
                sp: area.sp.load(Relaxed),
                pc: area.pc.load(Relaxed),
                pstate: area.pstate.load(Relaxed) & 0xf << 28, // as `arch` does
            };
        }
    }

    /// What the fast ways of switching do; `None` if they leave it to `handle`, or are not to be used.
    fn switch_fast(&mut self, core: usize, cause: Cause, current: BlockAddress) -> Option<BlockAddress> {
        if !self.quick || current == BlockAddress::NONE {
            return None;
        }
        let (kernel, machine) = (self.kernel, self.fake.core(core));
        let mut time = kernel.cores[core].lock();
        let (env, activation) = kernel.block_at(current);
        let current = Current { address: current, block: kernel.block(env, activation) };
        let arguments = core::array::from_fn(|i| self.registers[core].x[i]);
        let is_call = |name| matches!(cause, Cause::Call(number) if number == immediate(name));
        let mut next = None;
        for more in [false, true] {
            let fast = Fast { kernel, machine: &machine, core: &mut time };
            next = next.or(match more {
                false if cause == Cause::Timer => fast.timer(current),
                false if is_call("yield_to") => fast.yield_to(current, arguments),
                false if is_call("yield_now") => fast.yield_now(current),
                true if cause == Cause::Timer && next.is_none() => fast.timer_and_more(current),
                true if is_call("yield_to") && next.is_none() => fast.yield_to_and_more(current),
                true if is_call("yield_now") && next.is_none() => fast.yield_now_and_more(current),
                _ => None,
            });
        }
        self.switched += u64::from(next.is_some());
        next
    }

    /// The core executes what the kernel said.
    fn follow(&mut self, core: usize) {
        match self.resume[core] {
            Resume::User { current, .. } => self.go_to(core, current),
            Resume::Idle => {
                self.fake.current[core].set(BlockAddress::NONE);
                self.fake.lost[core].set(false);
            }
        }
    }

    /// The core executes the program of this block, in the address space and on the page that the block names.
    pub(super) fn go_to(&mut self, core: usize, current: BlockAddress) {
        let (env, activation) = self.kernel.block_at(current);
        self.fake.current[core].set(current);
        self.fake.lost[core].set(self.kernel.block(env, activation).page.load(Relaxed) == NOWHERE);
    }

    /// Whether a core was sent to an environment that is no more, so that its next instruction faults.
    pub fn is_lost(&self, core: usize) -> bool {
        self.fake.lost[core].get()
    }

    /// Who runs on a core, be it in another's place.
    pub fn body(&self, core: usize) -> Option<(u16, u8)> {
        let current = self.fake.current[core].get();
        (current != BlockAddress::NONE).then(|| self.kernel.block_at(current))
    }

    /// Whoever continues does so in its own space, with its own registers.
    fn check_resume(&mut self, core: usize) {
        assert_eq!(self.who(core).is_some(), self.resume[core] != Resume::Idle);
        let Resume::User { fp, current } = self.resume[core] else { return };
        if self.is_lost(core) {
            return;
        }
        let (env, activation) = self.kernel.block_at(current);
        let block = self.kernel.block(env, activation);
        if self.kernel.is_alive(self.id(env)) {
            assert_eq!(block.space.load(Relaxed), self.kernel.space(&self.fake.core(core), env).bits());
            let page = core::ptr::from_ref(self.page(env, activation)).addr() as u64;
            assert_eq!(block.page.load(Relaxed), page);
        }
        let key = (env, self.id(env).generation, activation);
        if let Some(mark) = self.fp.get(&key).copied().unwrap_or(Some(0))
            && fp
        {
            assert_eq!(*self.fake.fp[core].borrow(), [mark; 66], "another's FP/SIMD registers");
        }
        let registers = &mut self.registers[core];
        assert_eq!(registers.pstate & !(0xf << 28), 0, "only the flags are the application's");
        let mark = 1 << 63 | (key.1 as u64) << 32 | (env as u64) << 16 | activation as u64;
        if registers.x[MARKED] == [0; MARKED.end - MARKED.start] {
            registers.x[MARKED].fill(mark); // a fresh start or a run upcall: the program loads its own
        }
        assert_eq!(registers.x[MARKED], [mark; MARKED.end - MARKED.start], "another's registers");
    }

    /// Whoever runs on a core finds its FP/SIMD registers as it left them, and changes them.
    pub fn use_fp(&mut self, core: usize, value: u64) {
        if !matches!(self.resume[core], Resume::User { fp: true, .. }) {
            // A handler would be told that they are off, and would call this.
            self.event(core, Cause::Call(immediate("fp_on")));
        }
        // Something else may have been due.
        if let (Resume::User { fp: true, .. }, Some((env, activation))) = (self.resume[core], self.body(core))
        {
            *self.fake.fp[core].borrow_mut() = [value; 66];
            self.fp.insert((env, self.id(env).generation, activation), Some(value));
        }
    }

    /// A call by whoever runs on a core. What `x0..x4` are afterwards means something only if the same activation runs.
    pub fn call(&mut self, core: usize, name: &str, arguments: &[u64]) -> [u64; 5] {
        self.registers[core].x[..8].fill(0);
        self.registers[core].x[..arguments.len()].copy_from_slice(arguments);
        self.event(core, Cause::Call(immediate(name)));
        self.reply(core)
    }

    /// `x0..x4` of whoever runs on a core.
    pub fn reply(&self, core: usize) -> [u64; 5] {
        core::array::from_fn(|i| self.registers[core].x[i])
    }

    /// A call that is not refused; its values.
    #[track_caller]
    pub fn ok(&mut self, core: usize, name: &str, arguments: &[u64]) -> [u64; 4] {
        let [error, values @ ..] = self.call(core, name, arguments);
        assert_eq!(Error::from_register(error), None, "{name}{arguments:x?}");
        values
    }

    /// A call that is refused, for this reason.
    #[track_caller]
    pub fn refused(&mut self, core: usize, name: &str, arguments: &[u64], error: Error) {
        let [x0, ..] = self.call(core, name, arguments);
        assert_eq!(Error::from_register(x0), Some(error), "{name}{arguments:x?}");
    }

    /// The outcome of the `yield_to` that came back on a core.
    pub fn outcome(&self, core: usize) -> Outcome {
        let [error, reason, ran, detail, now] = self.reply(core);
        assert_eq!(error, 0);
        let reason = Reason::from_register(reason).expect("the kernel names a reason");
        Outcome { reason, ran: Tick(ran), detail, now: Tick(now) }
    }

    /// Time goes on, without anybody noticing: an interrupt is late.
    pub fn pass(&mut self, ticks: u64) {
        self.fake.now.set(self.fake.now.get() + ticks);
    }

    /// Time goes on; timers fire and kicks arrive as they are due.
    pub fn advance(&mut self, ticks: u64) {
        let end = self.now() + ticks;
        self.deliver();
        while let Some(core) = self.next_timer(end) {
            self.fake.now.set(self.fake.timers[core].get().0.max(self.now()));
            self.event(core, Cause::Timer);
            self.deliver();
        }
        self.fake.now.set(end);
    }

    /// The core whose timer fires first, up to a time.
    pub fn next_timer(&self, end: u64) -> Option<usize> {
        let first = (0..CORES).min_by_key(|core| self.fake.timers[*core].get())?;
        (self.fake.timers[first].get().0 <= end).then_some(first)
    }

    /// Pending kicks arrive.
    pub fn deliver(&mut self) {
        while let Some(core) = (0..CORES).find(|core| self.fake.kicks[*core].get()) {
            self.fake.kicks[core].set(false);
            self.event(core, Cause::Kick);
        }
    }

    /// The clock.
    pub fn now(&self) -> u64 {
        self.fake.now.get()
    }

    /// Time until `ticks` after the present slot of core 0 began.
    pub fn advance_to(&mut self, ticks: u64) {
        let into = (self.now() - self.kernel.public.epoch.load(Relaxed)) % QUANTUM;
        self.advance(if ticks >= into { ticks - into } else { QUANTUM + ticks - into });
    }

    /// The position of the slot that begins next.
    pub fn next_slot(&self) -> u64 {
        ((self.now() - self.kernel.public.epoch.load(Relaxed)) / QUANTUM + 1) % SLOTS
    }

    /// Which environment and activation runs on a core.
    pub fn who(&self, core: usize) -> Option<(u16, u8)> {
        let core = self.kernel.cores[core].lock();
        core.running().map(|link| (link.env().index, link.activation()))
    }

    /// The present environment of an index.
    pub fn id(&self, index: u16) -> EnvId {
        self.kernel.env_id(index).expect("the environment is there")
    }

    /// An environment's state.
    pub fn env(&self, index: u16) -> &Env {
        self.fake.env(stored_frame(&self.kernel.envs[index as usize].frame))
    }

    /// An activation's page.
    pub fn page(&self, env: u16, activation: u8) -> &ActivationPage {
        self.fake.page(stored_frame(&self.env(env).activations[activation as usize].page))
    }

    /// An activation's program has seen all its events and ready clients.
    pub fn clear_events(&self, env: u16, activation: u8) {
        let page = self.page(env, activation);
        page.events.store(0, Relaxed);
        page.ready.iter().for_each(|word| word.store(0, Relaxed));
    }

    /// Frames of the first environment that nothing used yet.
    pub fn frames(&mut self, count: u64) -> u64 {
        let first = self.next_frame;
        self.next_frame += count;
        let end =
            self.kernel.public.boot_first_frame.load(Relaxed) + self.kernel.public.boot_frames.load(Relaxed);
        assert!(self.next_frame <= end, "the test needs more frames");
        first
    }

    /// A child of whoever runs on `core`, with a table for its activation pages, activation 0 started and managed by the
    /// caller's activation `manager` as client number `client`.
    pub fn spawn(&mut self, core: usize, manager: u64, client: u64) -> Child {
        let child = self.spawn_empty(core);
        self.add_activation(core, child, 0);
        self.ok(core, "set_manager", &[child.target(0), manager << 16, client]);
        child
    }

    /// A child without activations.
    pub fn spawn_empty(&mut self, core: usize) -> Child {
        let first = self.frames(ENV_FRAMES + 2);
        self.spawn_from(core, first)
    }

    /// The same out of five consecutive frames.
    pub fn spawn_from(&mut self, core: usize, first: u64) -> Child {
        let [handle, index, ..] = self.ok(core, "env_create", &[first]);
        for table in 0..2 {
            self.ok(core, "table", &[handle, ACTIVATION_BASE, first + ENV_FRAMES + table]);
        }
        Child { handle: Handle(handle), index: index as u16 }
    }

    /// Creates and starts an activation of a child.
    pub fn add_activation(&mut self, core: usize, child: Child, activation: u64) {
        let page = self.frames(1);
        self.ok(core, "activation_create", &[child.target(activation), page]);
        self.ok(core, "activation_start", &[child.target(activation), DATA, 0, 0]);
    }

    /// Tables for the addresses from `DATA` in the environment behind a handle.
    pub fn add_tables(&mut self, core: usize, handle: u64) {
        let frames = self.frames(2);
        self.ok(core, "table", &[handle, DATA, frames]);
        self.ok(core, "table", &[handle, DATA, frames + 1]);
    }

    /// A capability to what whoever runs on a core owns.
    pub fn grant(&mut self, core: usize, kind: Kind, index: u64, rights: Rights) -> Capability {
        let [body, mac, ..] = self.ok(core, "grant", &[object(kind, index), rights.0 as u64]);
        Capability { body, mac }
    }

    /// Whoever runs on `core` yields to an activation until `until`; it runs now.
    #[track_caller]
    pub fn enter(&mut self, core: usize, target: u64, until: u64, mode: u64) {
        let before = self.who(core);
        self.call(core, "yield_to", &[target, until, mode]);
        assert_ne!(self.who(core), before, "{:?}", self.reply(core));
    }

    /// Whoever runs on a core gets a handle to one of the first environment's children, by a capability.
    #[track_caller]
    pub fn lend(&mut self, core: usize, capability: Capability) -> Handle {
        Handle(self.ok(core, "bind", &[capability.body, capability.mac])[0])
    }

    /// Gives slots of a core to a child's activation.
    pub fn give_slots(&mut self, core: usize, of: u64, slots: impl IntoIterator<Item = u64>, child: u64) {
        for slot in slots {
            self.ok(core, "slot_give", &[of, slot, child]);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.recent.iter().for_each(|recent| std::eprintln!("{recent:x?}"));
        }
    }
}

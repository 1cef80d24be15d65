//! A machine for tests: frames, one timer and one set of FP/SIMD registers per core, and a TLB that keeps all it may.
//!
//! Not here: when things happen ([`super::world`]). A frame keeps its bytes when it changes hands, so that a kernel that
//! forgets to clear one shows it; a number that is no frame's panics, so that a dangling one shows too.

use crate::block::BlockAddress;
use crate::disk::Request;
use crate::environment::Env;
use crate::handles::Handles;
use crate::machine::{Answer, CpuId, Machine};
use crate::paging::Table;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::vec::Vec;
use tranche_abi::layout::{PAGE_BLOCKS, PAGE_SIZE};
use tranche_abi::page::{ActivationPage, FpArea};
use tranche_abi::{Direction, DiskFault, Frame, MachineState, Progress, Tick};

/// Cores of the fake machine.
pub const CORES: usize = 4;

/// A frame's bytes.
#[repr(C, align(4096))]
struct Memory([AtomicU64; 512]);

/// A core's FP/SIMD registers: `v0` to `v31` in halves, `FPCR`, `FPSR`.
pub type Fp = [u64; 66];

/// One thing that a TLB may remember: a table or a page of an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cached {
    /// The address space.
    pub asid: u16,
    /// 1 to 3: the table of that level; 4: a page.
    pub level: u8,
    /// The first address that it translates.
    pub address: u64,
    /// The page's descriptor, or the table's frame.
    pub value: u64,
}

/// Everything but the processors.
pub struct Fake {
    first: u64,
    memory: Vec<Memory>,
    /// Whether a frame was cleared, or looked at as a table, since this was last reset.
    pub touched: Vec<Cell<bool>>,
    /// The clock.
    pub now: Cell<u64>,
    /// What each core's timer is set to.
    pub timers: [Cell<Tick>; CORES],
    /// Cores that were kicked and did not see it yet.
    pub kicks: [Cell<bool>; CORES],
    /// Each core's FP/SIMD registers.
    pub fp: [RefCell<Fp>; CORES],
    /// Whose program each core executes: what the kernel said, or what a fast path has changed since.
    pub current: [Cell<BlockAddress>; CORES],
    /// Whether that program is no more: the core is in an address space in which nothing is.
    pub lost: [Cell<bool>; CORES],
    /// What was written to the console.
    pub console: RefCell<Vec<u8>>,
    /// What the firmware answers next.
    pub state: Cell<Answer>,
    /// The code with which the machine was switched off.
    pub power: Cell<Option<u64>>,
    /// The disk.
    pub disk: RefCell<FakeDisk>,
    /// What TLBs remember.
    pub cached: RefCell<Vec<Cached>>,
}

impl Fake {
    /// A machine with `count` frames from `first`, full of rubbish.
    pub fn new(first: u64, count: usize) -> Self {
        let rubbish = |_| Memory([const { AtomicU64::new(0xdead_beef_dead_beef) }; 512]);
        Self {
            first,
            memory: (0..count).map(rubbish).collect(),
            touched: (0..count).map(|_| Cell::new(true)).collect(),
            now: Cell::new(0),
            timers: [const { Cell::new(Tick::NEVER) }; CORES],
            kicks: [const { Cell::new(false) }; CORES],
            fp: [const { RefCell::new([0; 66]) }; CORES],
            current: [const { Cell::new(BlockAddress::NONE) }; CORES],
            lost: [const { Cell::new(false) }; CORES],
            console: RefCell::default(),
            state: Cell::new(Answer::State(MachineState::default())),
            power: Cell::new(None),
            disk: RefCell::new(FakeDisk::new()),
            cached: RefCell::default(),
        }
    }

    /// The machine as a core sees it.
    pub fn core(&self, cpu: usize) -> FakeCore<'_> {
        FakeCore { fake: self, cpu }
    }

    /// The place of a frame among all frames.
    pub fn position(&self, frame: Frame) -> usize {
        (frame.0 - self.first) as usize
    }

    /// A frame as an activation's page.
    pub fn page(&self, frame: Frame) -> &ActivationPage {
        self.view(frame)
    }

    /// A frame as an environment's state.
    pub fn env(&self, frame: Frame) -> &Env {
        self.view(frame)
    }

    /// A frame's memory.
    pub fn memory(&self, frame: Frame) -> &[AtomicU64; 512] {
        &self.memory[self.position(frame)].0
    }

    /// A frame as a handle table.
    pub fn handles(&self, frame: Frame) -> &Handles {
        self.view(frame)
    }

    fn view<T>(&self, frame: Frame) -> &T {
        const { assert!(size_of::<T>() <= size_of::<Memory>() && align_of::<T>() <= align_of::<Memory>()) };
        let memory = &self.memory[self.position(frame)];
        // SAFETY: `T` is one of the four types below, all made of atomic integers, which any bits are valid for and which
        // may be shared; it fits into the frame, checked above, and lives as long as `self.memory`.
        unsafe { &*core::ptr::from_ref(memory).cast::<T>() }
    }
}

/// A disk whose blocks begin as their own numbers, and that is not ready now and then.
pub struct FakeDisk {
    /// Its blocks.
    pub blocks: Vec<[u32; BLOCK_WORDS]>,
    /// What it was told to move, and how many blocks of that are moved.
    pub moving: Option<(Request, usize)>,
    /// Looks before it is ready for the next block.
    pub slow: u32,
    /// What it fails with at the end of the next page.
    pub fault: Option<DiskFault>,
    looks: u32,
}

/// Words of a block.
pub const BLOCK_WORDS: usize = 128;
/// Blocks of the fake disk.
pub const DISK_BLOCKS: u64 = 100;

impl FakeDisk {
    fn new() -> Self {
        let blocks = (0..DISK_BLOCKS as u32).map(|number| [number; BLOCK_WORDS]).collect();
        Self { blocks, moving: None, slow: 0, fault: None, looks: 0 }
    }

    fn step(&mut self, page: &[AtomicU64; 512]) -> Progress {
        let Some((request, moved)) = &mut self.moving else { panic!("a step of nothing") };
        self.looks += 1;
        if self.looks <= self.slow {
            return Progress::Wait;
        }
        self.looks = 0;
        if *moved == PAGE_BLOCKS as usize {
            self.moving = None;
            return self.fault.take().map_or(Progress::Done, Progress::Failed);
        }
        let block = &mut self.blocks[request.block as usize + *moved];
        let memory = &page[*moved * BLOCK_WORDS / 2..][..BLOCK_WORDS / 2];
        for (words, place) in block.chunks_exact_mut(2).zip(memory) {
            match request.direction {
                Direction::Read => place.store(words[0] as u64 | (words[1] as u64) << 32, Relaxed),
                Direction::Write => {
                    words.copy_from_slice(&[0, 32].map(|at| (place.load(Relaxed) >> at) as u32))
                }
            }
        }
        *moved += 1;
        Progress::Again
    }
}

/// One core's view of the machine.
pub struct FakeCore<'a> {
    fake: &'a Fake,
    cpu: usize,
}

impl Machine for FakeCore<'_> {
    fn now(&self) -> Tick {
        Tick(self.fake.now.get())
    }

    fn set_timer(&self, at: Tick) {
        assert!(at > self.now(), "a timer is set into the future");
        self.fake.timers[self.cpu].set(at);
    }

    fn kick(&self, cpu: CpuId) {
        self.fake.kicks[cpu.0].set(true);
    }

    fn frame_at(&self, address: u64) -> Frame {
        let begin = self.fake.memory.as_ptr().addr() as u64;
        Frame(self.fake.first + (address - begin) / PAGE_SIZE)
    }

    fn page(&self, frame: Frame) -> &ActivationPage {
        self.fake.view(frame)
    }

    fn env(&self, frame: Frame) -> &Env {
        self.fake.view(frame)
    }

    fn handles(&self, frame: Frame) -> &Handles {
        self.fake.view(frame)
    }

    fn table(&self, frame: Frame) -> &Table {
        self.fake.touched[self.fake.position(frame)].set(true);
        self.fake.view(frame)
    }

    fn nowhere(&self) -> [u64; 2] {
        [0; 2]
    }

    fn zero(&self, frame: Frame) {
        self.fake.touched[self.fake.position(frame)].set(true);
        let memory = &self.fake.memory[self.fake.position(frame)];
        memory.0.iter().for_each(|word| word.store(0, Relaxed));
    }

    fn copy(&self, from: Frame, to: Frame) {
        let [from, to] = [from, to].map(|frame| &self.fake.memory[self.fake.position(frame)]);
        to.0.iter().zip(&from.0).for_each(|(to, from)| to.store(from.load(Relaxed), Relaxed));
    }

    fn forget_pages(&self, asid: u16, address: u64, count: u64) {
        let pages = address..address + count * PAGE_SIZE;
        let is_one = |c: &Cached| c.asid == asid && c.level == 4 && pages.contains(&c.address);
        self.fake.cached.borrow_mut().retain(|cached| !is_one(cached));
    }

    fn forget_space(&self, asid: u16) {
        self.fake.cached.borrow_mut().retain(|cached| cached.asid != asid);
    }

    fn sync_code(&self, frame: Frame) {
        let _exists = &self.fake.memory[self.fake.position(frame)];
    }

    fn save_fp(&self, area: &FpArea) {
        let registers = self.fake.fp[self.cpu].borrow();
        fp_places(area).zip(registers.iter()).for_each(|(place, value)| place.store(*value, Relaxed));
    }

    fn load_fp(&self, area: &FpArea) {
        let mut registers = self.fake.fp[self.cpu].borrow_mut();
        fp_places(area).zip(registers.iter_mut()).for_each(|(place, value)| *value = place.load(Relaxed));
    }

    fn disk_begin(&self, request: Request) {
        self.fake.disk.borrow_mut().moving = Some((request, 0));
    }

    fn disk_step(&self, frame: Frame) -> Progress {
        self.fake.disk.borrow_mut().step(&self.fake.memory[self.fake.position(frame)].0)
    }

    fn console(&self, bytes: &[u8]) -> usize {
        self.fake.console.borrow_mut().extend(bytes);
        bytes.len()
    }

    fn state(&self) -> Answer {
        self.fake.state.get()
    }

    fn power_off(&self, code: u64) {
        self.fake.power.set(Some(code));
    }

    fn log(&self, line: fmt::Arguments<'_>) {
        std::println!("{line}");
    }
}

fn fp_places(area: &FpArea) -> impl Iterator<Item = &AtomicU64> {
    area.v.iter().chain([&area.fpcr, &area.fpsr])
}

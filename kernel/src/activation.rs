//! Activations: their states, where their contexts are kept, upcalls and faults.
//!
//! Not here: which one runs ([`crate::slice`]). A state is one atomic word, changed by compare-and-swap, so that an
//! activation is on at most one chain whatever the other cores do; it carries the environment's generation, so that a
//! claim through an old handle fails even if the index lives again.
#![forbid(unsafe_code)]

use crate::calls::Done;
use crate::environment::{Activation, EnvId};
use crate::kernel::{Entry, Kernel};
use crate::machine::Machine;
use crate::slice::Link;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use tranche_abi::layout::{ACTIVATION_BASE, MAX_ACTIVATIONS, PAGE_SIZE};
use tranche_abi::page::{ActivationPage, Registers, SaveArea};
use tranche_abi::{ActivationIndex, Error, Frame, Outcome, Reason, Tick};

/// What an activation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// It does not exist.
    Absent = 0,
    /// It exists and has no context to run.
    Stopped,
    /// It can run, and is on no chain.
    Ready,
    /// It waits for a time or an event. With a core: it is the root of that core's slice, which sleeps.
    Waiting,
    /// It is on the chain of a core.
    Running,
    /// It faulted and nobody handled that.
    Faulted,
}

/// An activation's state word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What it is doing.
    pub tag: Tag,
    /// On which core; [`State::NO_CORE`] where that means nothing.
    pub core: u8,
    /// Its environment's generation.
    pub generation: u32,
}

impl State {
    /// No core.
    pub const NO_CORE: u8 = 0xff;

    fn to_bits(self) -> u64 {
        self.tag as u64 | (self.core as u64) << 8 | (self.generation as u64) << 16
    }

    fn from_bits(bits: u64) -> Self {
        let tag = match bits as u8 {
            1 => Tag::Stopped,
            2 => Tag::Ready,
            3 => Tag::Waiting,
            4 => Tag::Running,
            5 => Tag::Faulted,
            _ => Tag::Absent,
        };
        Self { tag, core: (bits >> 8) as u8, generation: (bits >> 16) as u32 }
    }
}

/// Where an activation's context is, and what is to be told to it when it continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Saved {
    /// In the disabled area: continue exactly.
    Exact = 0,
    /// In the enabled area: enter the run upcall if there is one.
    Enabled = 1,
    /// In the disabled area, as the caller of `yield_to`: `x4` becomes the time.
    YieldTo = 2,
    /// In the disabled area, as the caller of `wait`: `x1` becomes the time.
    Wait = 3,
}

impl Saved {
    fn from_bits(bits: u32) -> Self {
        match bits {
            1 => Self::Enabled,
            2 => Self::YieldTo,
            3 => Self::Wait,
            _ => Self::Exact,
        }
    }
}

/// Who is told of an activation's readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manager {
    /// The manager's environment.
    pub env: EnvId,
    /// Its activation.
    pub activation: u8,
    /// The client's number in the manager's ready set.
    pub client: u8,
}

impl Manager {
    /// As 64 bits, never 0.
    pub fn to_bits(self) -> u64 {
        self.env.index as u64
            | (self.activation as u64) << 16
            | (self.client as u64) << 24
            | (self.env.generation as u64) << 32
            | 1 << 63
    }

    /// From 64 bits; `None` for 0.
    pub fn from_bits(bits: u64) -> Option<Self> {
        let env = EnvId { index: bits as u16, generation: (bits >> 32) as u32 & 0xff_ffff };
        (bits != 0).then_some(Self { env, activation: (bits >> 16) as u8, client: (bits >> 24) as u8 })
    }
}

/// State words of all activations of all environments.
pub type States = [[AtomicU64; MAX_ACTIVATIONS]; tranche_abi::layout::MAX_ENVS];

impl Kernel {
    /// The state of an activation.
    pub fn state(&self, env: u16, activation: u8) -> State {
        State::from_bits(self.states[env as usize][activation as usize].load(SeqCst))
    }

    /// Changes a state if it still is `from`.
    pub fn change(&self, env: u16, activation: u8, from: State, to: State) -> bool {
        let word = &self.states[env as usize][activation as usize];
        word.compare_exchange(from.to_bits(), to.to_bits(), SeqCst, SeqCst).is_ok()
    }

    /// The manager that these bits name, if it is alive.
    pub fn manager(&self, bits: u64) -> Option<Manager> {
        Manager::from_bits(bits).filter(|manager| self.is_alive(manager.env))
    }

    /// Sets a state that nobody else may change meanwhile.
    pub fn set_state(&self, env: u16, activation: u8, to: State) {
        self.states[env as usize][activation as usize].store(to.to_bits(), SeqCst);
    }
}

/// Why an activation could not be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclaimed {
    /// It does not exist, has no context, or its environment is going.
    Gone,
    /// It is on a chain.
    Busy,
    /// It waits until this time.
    Waiting(Tick),
    /// It faulted, with this syndrome.
    Faulted(u64),
}

/// The address of an activation's page in its environment.
pub const fn page_address(activation: u8) -> u64 {
    ACTIVATION_BASE + activation as u64 * PAGE_SIZE
}

/// Whether an upcall may be made: not inside a handler or critical section, nor where the application itself resumes
/// its enabled area.
pub fn is_enabled(page: &ActivationPage, registers: &Registers) -> bool {
    let begin = page.upcalls.critical_begin.load(Relaxed);
    let end = page.upcalls.critical_end.load(Relaxed);
    page.disabled.load(Relaxed) == 0 && !(begin..end).contains(&registers.pc)
}

/// Saves registers into an area of the page.
pub fn save(area: &SaveArea, registers: &Registers) {
    area.x.iter().zip(registers.x).for_each(|(place, x)| place.store(x, Relaxed));
    area.sp.store(registers.sp, Relaxed);
    area.pc.store(registers.pc, Relaxed);
    area.pstate.store(registers.pstate, Relaxed);
}

/// Loads registers from an area; of the state, only the condition flags are the application's.
pub fn load(area: &SaveArea, registers: &mut Registers) {
    registers.x.iter_mut().zip(&area.x).for_each(|(x, place)| *x = place.load(Relaxed));
    registers.sp = area.sp.load(Relaxed);
    registers.pc = area.pc.load(Relaxed);
    registers.pstate = area.pstate.load(Relaxed) & CONDITION_FLAGS;
}

/// N, Z, C and V in `SPSR_EL1`.
const CONDITION_FLAGS: u64 = 0xf << 28;

/// What an upcall's `x0` says.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Upcall {
    Run = 0,
    SliceEnd = 1,
    Fault = 2,
}

impl<M: Machine> Entry<'_, M> {
    /// The page of a link's activation.
    pub fn page(&self, link: &Link) -> &ActivationPage {
        self.machine.page(link.page)
    }

    /// The kernel's part of a link's activation.
    pub fn activation(&self, link: &Link) -> &Activation {
        &self.kernel.env(self.machine, link.env.index).activations[link.activation as usize]
    }

    /// Claims an activation for this core's chain.
    pub fn claim(&self, env: EnvId, index: u8) -> Result<Link, Unclaimed> {
        let state = self.kernel.state(env.index, index);
        if state.generation != env.generation || index as usize >= MAX_ACTIVATIONS {
            return Err(Unclaimed::Gone);
        }
        match state.tag {
            Tag::Absent | Tag::Stopped => return Err(Unclaimed::Gone),
            Tag::Running => return Err(Unclaimed::Busy),
            Tag::Ready | Tag::Waiting | Tag::Faulted => {}
        }
        let running = State { tag: Tag::Running, core: self.cpu.0 as u8, ..state };
        if !self.kernel.change(env.index, index, state, running) {
            return Err(Unclaimed::Busy);
        }
        // From here on the environment cannot be freed. What follows may still find that it must not run.
        let activation = &self.kernel.env(self.machine, env.index).activations[index as usize];
        let page = Frame(activation.page.load(Relaxed) as u64);
        let wake_at = Tick(activation.wake_at.load(Relaxed));
        let refusal = if !self.kernel.is_alive(env) {
            Some(Unclaimed::Gone)
        } else if state.tag == Tag::Faulted {
            Some(Unclaimed::Faulted(activation.syndrome.load(Relaxed)))
        } else if state.tag == Tag::Waiting && self.now < wake_at && !has_events(self.machine.page(page)) {
            Some(Unclaimed::Waiting(wake_at))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.kernel.set_state(env.index, index, state);
            // An event posted while the claim was held readied nobody: look again.
            let missed = matches!(refusal, Unclaimed::Waiting(_)) && has_events(self.machine.page(page));
            return if missed { self.claim(env, index) } else { Err(refusal) };
        }
        Ok(Link { env, activation: index, page, until: Tick::NEVER, charged_before: 0, events: false })
    }

    /// Saves the registers of an interrupted activation where it will look for them.
    pub fn save_interrupted(&self, link: &Link) {
        let page = self.page(link);
        let enabled = is_enabled(page, self.registers);
        let (area, saved) = match enabled {
            true => (&page.enabled_area, Saved::Enabled),
            false => (&page.disabled_area, Saved::Exact),
        };
        save(area, self.registers);
        self.activation(link).saved.store(saved as u32, Relaxed);
    }

    /// Saves the registers of an activation that made a call which ends later.
    pub fn save_caller(&self, link: &Link, saved: Saved) {
        save(&self.page(link).disabled_area, self.registers);
        self.activation(link).saved.store(saved as u32, Relaxed);
    }

    /// Writes the outcome of a directed yield into its caller's saved registers.
    pub fn tell_outcome(&self, link: &Link, outcome: Outcome) {
        let x = &self.page(link).disabled_area.x;
        let values = [0, outcome.reason as u64, outcome.ran.0, outcome.detail, outcome.now.0];
        x.iter().zip(values).for_each(|(place, value)| place.store(value, Relaxed));
    }

    /// Makes the registers those of an activation that gets the CPU now.
    pub fn load_registers(&mut self, link: &Link) {
        let page = self.machine.page(link.page);
        match Saved::from_bits(self.activation(link).saved.load(Relaxed)) {
            Saved::Exact => load(&page.disabled_area, self.registers),
            Saved::YieldTo => {
                load(&page.disabled_area, self.registers);
                self.registers.x[4] = self.now.0;
            }
            Saved::Wait => {
                load(&page.disabled_area, self.registers);
                self.registers.x[1] = self.now.0;
            }
            Saved::Enabled if page.upcalls.run.load(Relaxed) != 0 => {
                *self.registers = Registers::ZERO;
                self.enter(link, &page.upcalls.run, Upcall::Run, [0, 0]);
            }
            Saved::Enabled => load(&page.enabled_area, self.registers),
        }
    }

    /// Continues at an upcall entry. The application was enabled; it is disabled now.
    fn enter(&mut self, link: &Link, entry: &AtomicU64, upcall: Upcall, arguments: [u64; 2]) {
        let page = self.machine.page(link.page);
        page.disabled.store(1, Relaxed);
        self.registers.x[..3].copy_from_slice(&[upcall as u64, arguments[0], arguments[1]]);
        self.registers.x[18] = page_address(link.activation);
        self.registers.sp = page.upcalls.stack.load(Relaxed);
        self.registers.pc = entry.load(Relaxed);
        self.registers.pstate = 0;
    }

    /// Tells a running activation that its slice ended, if it wants to know. False if it does not.
    pub fn notice_slice_end(&mut self, link: &Link) -> bool {
        let page = self.machine.page(link.page);
        if page.in_critical.load(Relaxed) != 0 {
            page.slice_ended.store(1, Relaxed);
            return true;
        }
        if !is_enabled(page, self.registers) || page.upcalls.slice_end.load(Relaxed) == 0 {
            return false;
        }
        save(&page.enabled_area, self.registers);
        self.enter(link, &page.upcalls.slice_end, Upcall::SliceEnd, [0, 0]);
        true
    }

    /// A fault or a reflected call of the running activation: its own upcall if it can take one, otherwise its end.
    pub fn fault(&mut self, esr: u64, far: u64) {
        let Some(&link) = self.running() else { return };
        let page = self.machine.page(link.page);
        increment(&page.faults);
        self.kernel.public.env_faults[link.env.index as usize].fetch_add(1, Relaxed);
        if is_enabled(page, self.registers) && page.upcalls.fault.load(Relaxed) != 0 {
            save(&page.enabled_area, self.registers);
            self.enter(&link, &page.upcalls.fault, Upcall::Fault, [esr, far]);
            return;
        }
        self.save_interrupted(&link);
        self.activation(&link).syndrome.store(esr, Relaxed);
        self.leave(Tag::Faulted, Reason::Faulted, esr);
        let own = self.kernel.ownership.lock();
        // Since it left the chain, another core may have destroyed and reclaimed it.
        if self.kernel.env_id(link.env.index) == Some(link.env) {
            self.tell_manager(&own, link.env.index, link.activation);
        }
    }

    /// `resume`: the enabled area becomes the context, and upcalls are possible again.
    pub fn resume(&mut self) -> Result<Done, Error> {
        let Some(&link) = self.running() else { return Ok(Done::Elsewhere) };
        let page = self.machine.page(link.page);
        load(&page.enabled_area, self.registers);
        page.disabled.store(0, Relaxed);
        Ok(Done::Elsewhere)
    }

    /// FP/SIMD is used for the first time since the activation got the CPU: load its registers.
    pub fn fp_use(&mut self) {
        let Some(link) = self.running() else { return };
        self.machine.load_fp(&self.machine.page(link.page).fp);
        self.core.fp_live = true;
    }
}

/// Whether something happened that a waiting activation waits for.
pub fn has_events(page: &ActivationPage) -> bool {
    page.events.load(SeqCst) != 0 || page.ready.iter().any(|word| word.load(SeqCst) != 0)
}

/// An activation index that a caller named.
pub fn checked_activation(index: ActivationIndex) -> Result<u8, Error> {
    if index.0 < MAX_ACTIVATIONS as u64 { Ok(index.0 as u8) } else { Err(Error::BadArgument) }
}

/// Adds one to a counter in an application's page.
pub fn increment(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
}

/// The frame in a 32-bit field; frames of up to 16 TiB.
pub fn stored_frame(field: &AtomicU32) -> Frame {
    Frame(field.load(Relaxed) as u64)
}

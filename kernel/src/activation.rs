//! Activations: their states, where their contexts are kept, upcalls and faults.
//!
//! Not here: which one runs ([`crate::slice`]), and entering one from another ([`crate::transfer`]). An interrupted
//! activation's registers are in its page from the first instruction of the kernel on, so that a switch copies none of
//! them. A state is one atomic word, changed by compare-and-swap, so that an
//! activation is on at most one chain whatever the other cores do; it carries the environment's generation, so that a
//! claim through an old handle fails even if the index lives again.
#![forbid(unsafe_code)]

use crate::block::{Body, Word, identity};
use crate::calls::{Done, nothing};
use crate::environment::{Activation, EnvId};
use crate::kernel::{Entry, Kernel};
use crate::machine::Machine;
use crate::slice::Link;
use crate::word::claim;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use tranche_abi::layout::{ACTIVATION_BASE, MAX_ACTIVATIONS, PAGE_SIZE};
use tranche_abi::page::{ActivationPage, Registers, SaveArea};
use tranche_abi::trace::kind;
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
    /// It waits for a call, and has no context of its own meanwhile.
    Idle,
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

    /// As a word.
    pub fn to_bits(self) -> u64 {
        self.tag as u64 | (self.core as u64) << 8 | (self.generation as u64) << 16
    }

    /// From a word that holds no address.
    pub fn from_bits(bits: u64) -> Self {
        let tag = match bits as u8 {
            1 => Tag::Stopped,
            2 => Tag::Ready,
            3 => Tag::Waiting,
            4 => Tag::Running,
            5 => Tag::Faulted,
            6 => Tag::Idle,
            _ => Tag::Absent,
        };
        Self { tag, core: (bits >> 8) as u8, generation: (bits >> 16) as u32 }
    }
}

/// Where an activation's context is, and what is to be told to it when it continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Saved {
    /// In the page's registers: continue exactly.
    Exact = 0,
    /// In the enabled area: enter the run upcall.
    Enabled = 1,
    /// In the page's registers, as the caller of `yield_to`: `x4` becomes the time.
    YieldTo = 2,
    /// In the page's registers, as the caller of `wait`: `x1` becomes the time.
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

impl Kernel {
    /// What an activation's state word holds.
    pub fn word(&self, env: u16, activation: u8) -> Word {
        Word::from_bits(self.block(env, activation).state.load(SeqCst))
    }

    /// The state of an activation; `None` while it serves a call.
    pub fn state(&self, env: u16, activation: u8) -> Option<State> {
        match self.word(env, activation) {
            Word::State(state) => Some(state),
            Word::Serving { .. } => None,
        }
    }

    /// Changes a state if it still is `from`.
    pub fn change(&self, env: u16, activation: u8, from: State, to: State) -> bool {
        let word = &self.block(env, activation).state;
        word.compare_exchange(from.to_bits(), to.to_bits(), SeqCst, SeqCst).is_ok()
    }

    /// The manager that these bits name, if it is alive.
    pub fn manager(&self, bits: u64) -> Option<Manager> {
        Manager::from_bits(bits).filter(|manager| self.is_alive(manager.env))
    }

    /// Sets a state that nobody else may change meanwhile.
    pub fn set_state(&self, env: u16, activation: u8, to: State) {
        self.block(env, activation).state.store(to.to_bits(), SeqCst);
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
    /// It waits for a call.
    Idle,
    /// It faulted, with this syndrome.
    Faulted(u64),
}

/// The address of an activation's page in its environment.
pub const fn page_address(activation: u8) -> u64 {
    ACTIVATION_BASE + activation as u64 * PAGE_SIZE
}

/// Whether a slice upcall may be made: not inside one, nor where the application itself changes contexts.
pub fn is_enabled(page: &ActivationPage) -> bool {
    let begin = page.upcalls.critical_begin.load(Relaxed);
    let end = page.upcalls.critical_end.load(Relaxed);
    page.disabled.load(Relaxed) == 0 && !(begin..end).contains(&page.registers.pc.load(Relaxed))
}

/// Copies registers from one area to another. Of the state, only the condition flags are the application's.
pub fn copy(from: &SaveArea, to: &SaveArea) {
    to.x.iter().zip(&from.x).for_each(|(to, from)| to.store(from.load(Relaxed), Relaxed));
    to.sp.store(from.sp.load(Relaxed), Relaxed);
    to.pc.store(from.pc.load(Relaxed), Relaxed);
    to.pstate.store(from.pstate.load(Relaxed) & CONDITION_FLAGS, Relaxed);
}

/// Sets all registers.
pub fn set(area: &SaveArea, registers: &Registers) {
    area.x.iter().zip(registers.x).for_each(|(place, x)| place.store(x, Relaxed));
    area.sp.store(registers.sp, Relaxed);
    area.pc.store(registers.pc, Relaxed);
    area.pstate.store(registers.pstate, Relaxed);
}

/// N, Z, C and V in `SPSR_EL1`.
const CONDITION_FLAGS: u64 = 0xf << 28;

/// What a slice upcall's `x0` says.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Upcall {
    Run = 0,
    SliceEnd = 1,
}

/// The exception class of a syndrome (Arm ARM D17.2.37, `ESR_EL1`).
const fn class(esr: u64) -> u64 {
    esr >> 26 & 0x3f
}

/// FP/SIMD was used while it is off.
const FP_OFF: u64 = 0x07;

impl<M: Machine> Entry<'_, M> {
    /// The page of an activation that runs, or would.
    pub fn page(&self, body: &Body) -> &ActivationPage {
        self.machine.page(body.page)
    }

    /// The page of whoever runs on this core and made the present call.
    pub fn my_page(&self) -> &ActivationPage {
        self.machine.page(self.core.caller().body.page)
    }

    /// The kernel's part of an activation.
    pub fn activation(&self, env: EnvId, index: u8) -> &Activation {
        &self.kernel.env(self.machine, env.index).activations[index as usize]
    }

    /// Claims an activation for this core's chain.
    pub fn claim(&self, env: EnvId, index: u8) -> Result<Link, Unclaimed> {
        if index as usize >= MAX_ACTIVATIONS {
            return Err(Unclaimed::Gone);
        }
        let Some(state) = self.kernel.state(env.index, index) else { return Err(Unclaimed::Busy) };
        if state.generation != env.generation {
            return Err(Unclaimed::Gone);
        }
        match state.tag {
            Tag::Absent | Tag::Stopped => return Err(Unclaimed::Gone),
            Tag::Running => return Err(Unclaimed::Busy),
            Tag::Idle => return Err(Unclaimed::Idle),
            Tag::Ready | Tag::Waiting | Tag::Faulted => {}
        }
        let running = State { tag: Tag::Running, core: self.cpu.0 as u8, ..state };
        let mut page = Frame(0);
        let words = (state.to_bits(), running.to_bits());
        let claimed = claim(&self.kernel.block(env.index, index).state, words, || {
            // From here on the environment cannot be freed.
            page = stored_frame(&self.activation(env, index).page);
            self.may_run(env, index, state.tag)
        });
        match claimed {
            None => Err(Unclaimed::Busy),
            // An event posted while the claim was held readied nobody: look again.
            Some(Err(Unclaimed::Waiting(_))) if has_events(self.machine.page(page)) => self.claim(env, index),
            Some(Err(refusal)) => Err(refusal),
            Some(Ok(())) => {
                let block = self.kernel.block_address(env.index, index);
                let own = Body { block, who: identity(env, index), page };
                Ok(Link::new(own, self.resumed_body(own)))
            }
        }
    }

    /// Whether an activation that was just claimed, and had the state `was`, may run now.
    #[inline(always)]
    fn may_run(&self, env: EnvId, index: u8, was: Tag) -> Result<(), Unclaimed> {
        let activation = self.activation(env, index);
        let page = self.machine.page(stored_frame(&activation.page));
        let wake_at = Tick(activation.wake_at.load(Relaxed));
        if !self.kernel.is_alive(env) {
            Err(Unclaimed::Gone)
        } else if was == Tag::Faulted {
            Err(Unclaimed::Faulted(activation.syndrome.load(Relaxed)))
        } else if was == Tag::Waiting && self.now < wake_at && !has_events(page) {
            Err(Unclaimed::Waiting(wake_at))
        } else {
            Ok(())
        }
    }

    /// Notes where an interrupted activation will find its registers: for one that takes slice upcalls, apart.
    pub fn save_interrupted(&self, body: &Body) {
        let page = self.page(body);
        let saved = if page.upcalls.run.load(Relaxed) != 0 && is_enabled(page) {
            copy(&page.registers, &page.enabled_area);
            Saved::Enabled
        } else {
            Saved::Exact
        };
        self.save(body, saved);
    }

    /// Notes how an activation is to continue.
    pub fn save(&self, body: &Body, saved: Saved) {
        self.kernel.block(body.env().index, body.activation()).saved.store(saved as u32, Relaxed);
    }

    /// Writes the outcome of a directed yield into its caller's registers.
    pub fn tell_outcome(&self, body: &Body, outcome: Outcome) {
        let x = &self.page(body).registers.x;
        let values = [0, outcome.reason as u64, outcome.ran.0, outcome.detail, outcome.now.0];
        x.iter().zip(values).for_each(|(place, value)| place.store(value, Relaxed));
    }

    /// Makes the registers of an activation that gets the CPU now what it is to continue with.
    pub fn prepare_registers(&self, body: &Body) {
        let page = self.page(body);
        let saved = self.kernel.block(body.env().index, body.activation()).saved.load(Relaxed);
        let saved = Saved::from_bits(saved);
        match saved {
            Saved::Exact => {}
            Saved::YieldTo => page.registers.x[4].store(self.now.0, Relaxed),
            Saved::Wait => page.registers.x[1].store(self.now.0, Relaxed),
            Saved::Enabled if page.upcalls.run.load(Relaxed) != 0 => {
                set(&page.registers, &Registers::ZERO);
                enter_slice_upcall(page, body, &page.upcalls.run, Upcall::Run);
            }
            Saved::Enabled => copy(&page.enabled_area, &page.registers),
        }
    }

    /// Tells a running activation that its slice ended, if it wants to know. False if it does not.
    pub fn notice_slice_end(&self, body: &Body) -> bool {
        let page = self.page(body);
        if page.in_critical.load(Relaxed) != 0 {
            page.slice_ended.store(1, Relaxed);
            return true;
        }
        if page.upcalls.slice_end.load(Relaxed) == 0 || !is_enabled(page) {
            return false;
        }
        copy(&page.registers, &page.enabled_area);
        enter_slice_upcall(page, body, &page.upcalls.slice_end, Upcall::SliceEnd);
        true
    }

    /// A fault or a reflected call of whoever runs: its own handler if it can take one, otherwise its end.
    pub fn fault(&mut self, esr: u64, far: u64) {
        let Some(link) = self.running() else { return };
        let (own, body) = (link.own(), link.body);
        if !self.kernel.is_alive(body.env()) {
            self.core.attend = true; // it was sent to where nothing is any more
            return;
        }
        let page = self.machine.page(body.page);
        let activation = u32::from(body.activation());
        if page.fault.entry.load(Relaxed) != 0 {
            self.record((kind::FAULT, body.env().index, activation | kind::FAULT_HANDLED, &[esr, far]));
            return deliver_fault(page, esr, far);
        }
        if class(esr) == FP_OFF {
            return self.load_fp();
        }
        self.record((kind::FAULT, body.env().index, activation, &[esr, far]));
        self.kernel.public.env_faults[body.env().index as usize].fetch_add(1, Relaxed);
        self.save(&body, Saved::Exact);
        self.activation(body.env(), body.activation()).syndrome.store(esr, Relaxed);
        if own == body.block {
            self.leave(Tag::Faulted, Reason::Faulted, esr);
        } else {
            self.break_off(Tag::Faulted);
        }
        let ownership = self.kernel.ownership.lock();
        // Since it left the chain, another core may have destroyed and reclaimed it.
        if self.kernel.env_id(body.env().index) == Some(body.env()) {
            self.tell_manager(&ownership, body.env().index, body.activation());
        }
    }

    /// `resume`: the enabled area becomes the context, and slice upcalls are possible again.
    pub fn resume(&mut self) -> Result<Done, Error> {
        let page = self.my_page();
        copy(&page.enabled_area, &page.registers);
        page.disabled.store(0, Relaxed);
        Ok(Done::Elsewhere)
    }

    /// `fp_on`.
    pub fn fp_on(&mut self) -> Result<Done, Error> {
        if !self.core.fp_live {
            self.load_fp();
        }
        nothing()
    }

    fn load_fp(&mut self) {
        self.machine.load_fp(&self.my_page().fp);
        self.core.fp_live = true;
    }
}

/// Enters the fault handler: `x0` = the syndrome, `x1` = the address, `x18` = the page; what these three were is in the
/// page. The slow twin of the fast path in `arch`.
fn deliver_fault(page: &ActivationPage, esr: u64, far: u64) {
    let (registers, fault) = (&page.registers, &page.fault);
    let entry = fault.entry.swap(0, Relaxed);
    let moves = [
        (&registers.x[0], &fault.x[0], esr),
        (&registers.x[1], &fault.x[1], far),
        (&registers.x[18], &fault.x18, page.address.load(Relaxed)),
        (&registers.pc, &fault.pc, entry),
    ];
    for (register, kept, value) in moves {
        kept.store(register.load(Relaxed), Relaxed);
        register.store(value, Relaxed);
    }
    fault.pstate.store(registers.pstate.load(Relaxed), Relaxed);
}

/// Continues at a slice upcall's entry. The application was enabled; it is disabled now.
fn enter_slice_upcall(page: &ActivationPage, body: &Body, entry: &AtomicU64, upcall: Upcall) {
    page.disabled.store(1, Relaxed);
    let registers = &page.registers;
    registers.x[0].store(upcall as u64, Relaxed);
    registers.x[1].store(0, Relaxed);
    registers.x[2].store(0, Relaxed);
    registers.x[18].store(page_address(body.activation()), Relaxed);
    registers.sp.store(page.upcalls.stack.load(Relaxed), Relaxed);
    registers.pc.store(entry.load(Relaxed), Relaxed);
    registers.pstate.store(0, Relaxed);
}

/// Whether something happened that a waiting activation waits for.
pub fn has_events(page: &ActivationPage) -> bool {
    page.events.load(SeqCst) != 0 || has_ready(page)
}

/// Whether a manager has clients that became ready.
pub fn has_ready(page: &ActivationPage) -> bool {
    page.ready.iter().any(|word| word.load(SeqCst) != 0)
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

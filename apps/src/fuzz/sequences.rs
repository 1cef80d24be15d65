//! Sequences of calls that get further than single ones: children with code of chance, capabilities from grant to void,
//! mappings from table to unmap, gifts among fuzzers, and force against children.
//!
//! Not here: single calls (`fuzzer`). Every step's arguments are right most of the time and disturbed now and then; no
//! answer is believed, because another activation of the same environment may just have undone what this one did.

use super::arguments::ROOM;
use super::fuzzer::{Fuzzer, row};
use super::kinds::Kind;
use super::stubs;
use tranche_abi::calls::{NAMES, immediate};
use tranche_abi::layout::{ACTIVATION_BASE, ENV_FRAMES, PAGE_SIZE};

/// Words of code that a child runs.
const CODE_WORDS: u64 = 48;
/// Where a child's code is.
const CODE: u64 = 0x10_0000;

/// Makes one of them.
pub fn any(fuzzer: &Fuzzer) {
    match fuzzer.source.below(16) {
        0..=4 => mapping(fuzzer),
        5..=7 => authority(fuzzer),
        8..=10 => gifts(fuzzer),
        11 => siblings(fuzzer),
        12 => pauses(fuzzer),
        _ => child(fuzzer),
    }
}

impl Fuzzer {
    /// The value, or seldom another of its kind.
    fn or(&self, value: u64, kind: Kind) -> u64 {
        if self.source.once_in(24) { self.source.right(kind, &self.world) } else { value }
    }

    /// One of its own frames, at least as it began.
    fn own_frame(&self) -> u64 {
        self.world.own_first + self.source.below(self.world.own_frames.max(1))
    }

    /// An address of this activation's own, where there is room for mappings.
    fn room(&self) -> u64 {
        ROOM + self.activation * (1 << 24) + self.source.below(4) * PAGE_SIZE
    }

    /// Maps a frame, with the tables that are missing.
    fn map(&self, env: u64, address: u64, frame: u64, protection: u64) -> bool {
        let arguments = [env, address, frame, 1, self.or(protection, Kind::Small)];
        for _ in 0..3 {
            if self.try_call(const { row("map") }, &arguments).is_some() {
                return true;
            }
            self.try_call(const { row("table") }, &[env, address, self.own_frame()]);
        }
        false
    }
}

/// From a frame to a mapping, and back.
fn mapping(fuzzer: &Fuzzer) {
    let (frame, address) = (fuzzer.own_frame(), fuzzer.room());
    if !fuzzer.map(0, address, frame, 1) {
        return;
    }
    stubs::store(address + fuzzer.source.below(512) * 8, fuzzer.source.draw());
    fuzzer.try_call(const { row("protect") }, &[0, address, 1, fuzzer.source.below(3)]);
    let object = 1 << 28 | frame;
    if let Some([body, mac, ..]) = fuzzer.try_call(const { row("grant") }, &[object, 7]) {
        let shared = [body, mac, address + PAGE_SIZE, fuzzer.source.below(3)];
        fuzzer.try_call(const { row("map_shared") }, &shared);
        fuzzer.try_call(const { row("void") }, &[fuzzer.or(object, Kind::Object)]);
        fuzzer.try_call(const { row("map_shared") }, &shared);
    }
    let count = 1 + fuzzer.source.below(4);
    fuzzer.try_call(const { row("unmap") }, &[0, fuzzer.or(address, Kind::Address), count]);
}

/// From an object to a capability to a handle, and back.
fn authority(fuzzer: &Fuzzer) {
    let object = fuzzer.source.right(Kind::Object, &fuzzer.world);
    let granted = fuzzer.try_call(const { row("grant") }, &[object, fuzzer.source.draw() & 0xff]);
    let given = fuzzer.source.capability();
    let [body, mac, ..] = granted.unwrap_or([given.body, given.mac, 0, 0]);
    let derived = fuzzer.try_call(const { row("derive") }, &[body, mac, fuzzer.source.draw() & 0x7f]);
    let [body, mac, ..] = derived.unwrap_or([body, mac, 0, 0]);
    fuzzer.source.learn_capability(tranche_abi::Capability { body, mac });
    fuzzer.try_call(const { row("slot_take") }, &[body, mac, fuzzer.activation]);
    let Some([handle, ..]) = fuzzer.try_call(const { row("bind") }, &[body, mac]) else { return };
    let target = handle | fuzzer.source.below(fuzzer.world.cores) << 16;
    fuzzer.try_call(const { row("notify") }, &[target, fuzzer.source.draw() >> 3]);
    fuzzer.try_call(const { row("yield_to") }, &[target, soon(fuzzer), fuzzer.source.below(2)]);
    // Some handles are kept, until there is no room for more.
    if !fuzzer.source.once_in(8) {
        fuzzer.try_call(const { row("unbind") }, &[handle]);
    }
}

fn soon(fuzzer: &Fuzzer) -> u64 {
    fuzzer.world.now + fuzzer.source.below(6_000)
}

/// Gives frames and slots to whoever there is.
fn gifts(fuzzer: &Fuzzer) {
    let to = fuzzer.source.handle();
    let count = 1 + fuzzer.source.below(2);
    if fuzzer.source.once_in(6) {
        fuzzer.try_call(const { row("frame_give") }, &[fuzzer.own_frame(), count, to]);
    }
    let core = fuzzer.source.below(fuzzer.world.cores);
    let target = to | fuzzer.source.below(fuzzer.world.cores) << 16;
    for slot in 0..fuzzer.world.slots {
        let owner = libos_core::public::view().owner(tranche_abi::Core(core), tranche_abi::SlotIndex(slot));
        if owner.is_some_and(|owner| owner.env == fuzzer.world.env) {
            let object = 2 << 28 | (core * tranche_abi::layout::MAX_SLOTS as u64 + slot);
            fuzzer.try_call(const { row("grant") }, &[object, 1]);
            fuzzer.try_call(const { row("slot_aim") }, &[core, slot, fuzzer.source.below(5)]);
            let give = [core, slot, fuzzer.or(target, Kind::Target)];
            fuzzer.try_call(const { row("slot_give") }, &give);
        }
    }
}

/// Its own other activations: runs them, readies them, starts them, manages them.
fn siblings(fuzzer: &Fuzzer) {
    let target = fuzzer.source.below(fuzzer.world.cores + 1) << 16;
    fuzzer
        .try_call(const { row("set_manager") }, &[target, fuzzer.activation << 16, fuzzer.source.below(300)]);
    let entry = stubs::again(target >> 16);
    fuzzer.try_call(const { row("activation_start") }, &[target, entry, fuzzer.stack_top(), 0]);
    fuzzer.try_call(const { row("yield_to") }, &[target, soon(fuzzer), fuzzer.source.below(2)]);
    fuzzer.try_call(const { row("notify") }, &[target, 1 << fuzzer.source.below(64)]);
    let slot_owner = fuzzer.source.handle() | fuzzer.source.below(fuzzer.world.cores) << 16;
    fuzzer.try_call(const { row("set_manager") }, &[target, slot_owner, fuzzer.source.below(300)]);
}

/// Gives the CPU back in every manner.
fn pauses(fuzzer: &Fuzzer) {
    libos_core::page::take_events();
    libos_core::page::take_ready();
    fuzzer.try_call(const { row("wait") }, &[fuzzer.or(soon(fuzzer), Kind::Tick)]);
    if fuzzer.source.once_in(4) {
        fuzzer.try_call(const { row("yield_now") }, &[]);
    }
}

/// A child from its frames to its end: tables, page, code, a run, a slot, demands and force, destruction.
fn child(fuzzer: &Fuzzer) {
    let first = fuzzer.own_frame();
    let Some([handle, ..]) = fuzzer.try_call(const { row("env_create") }, &[first]) else { return };
    let frame = |offset: u64| fuzzer.or(first + ENV_FRAMES + offset, Kind::Frame);
    let page = ACTIVATION_BASE;
    fuzzer.try_call(const { row("table") }, &[handle, page, frame(0)]);
    fuzzer.try_call(const { row("table") }, &[handle, page, frame(1)]);
    fuzzer.try_call(const { row("activation_create") }, &[handle, frame(2)]);
    let code = frame(3);
    let address = fuzzer.room();
    if fuzzer.map(0, address, code, 1) {
        write_code(fuzzer, address);
        fuzzer.try_call(const { row("unmap") }, &[0, address, 1]);
    }
    fuzzer.map(handle, CODE, code, 2);
    fuzzer.map(handle, CODE + PAGE_SIZE, frame(6), 1);
    let start = [handle, fuzzer.or(CODE, Kind::Address), CODE + 2 * PAGE_SIZE, fuzzer.source.draw()];
    fuzzer.try_call(const { row("activation_start") }, &start);
    for _ in 0..=fuzzer.source.below(4) {
        fuzzer.try_call(const { row("yield_to") }, &[handle, soon(fuzzer), fuzzer.source.below(2)]);
    }
    press(fuzzer, handle, code);
    // Some children are left to whoever reclaims their parent.
    if !fuzzer.source.once_in(6) {
        end(fuzzer, handle);
    }
}

/// Gives a child a frame, asks for it and takes it.
fn press(fuzzer: &Fuzzer, handle: u64, frame: u64) {
    fuzzer.try_call(const { row("frame_give") }, &[frame, 1, handle]);
    let core = fuzzer.source.below(fuzzer.world.cores);
    for resource in [0, 1] {
        let deadline = fuzzer.or(fuzzer.world.now, Kind::Tick);
        fuzzer
            .try_call(const { row("ask") }, &[handle, resource, core, 1 + fuzzer.source.below(3), deadline]);
    }
    fuzzer.try_call(const { row("seize_frame") }, &[handle, fuzzer.or(frame, Kind::Frame)]);
    fuzzer.try_call(const { row("seize_slot") }, &[handle, core, fuzzer.source.below(fuzzer.world.slots)]);
}

fn end(fuzzer: &Fuzzer, handle: u64) {
    fuzzer.try_call(const { row("env_destroy") }, &[handle]);
    for _ in 0..6 {
        if fuzzer.try_call(const { row("env_reclaim") }, &[handle]).is_some() {
            break;
        }
    }
}

/// Writes a program of chance: calls, small numbers into registers, other words, and back to its beginning.
fn write_code(fuzzer: &Fuzzer, address: u64) {
    for pair in 0..CODE_WORDS / 2 {
        let word = |place| u64::from(code_word(fuzzer, place));
        stubs::store(address + pair * 8, word(2 * pair) | word(2 * pair + 1) << 32);
    }
}

/// The code's word at a place. Encodings: Arm ARM C6.2.
fn code_word(fuzzer: &Fuzzer, place: u64) -> u32 {
    let source = fuzzer.source;
    if place == CODE_WORDS - 1 {
        return branch_back(place as u32);
    }
    match source.below(8) {
        0..=2 => {
            let number = NAMES[source.below(NAMES.len() as u64) as usize].0;
            0xd400_0001 | u32::from(immediate(number)) << 5 // svc
        }
        3..=6 => {
            let (register, value) = (source.below(8) as u32, source.below(16) as u32);
            0xd280_0000 | value << 5 | register // movz
        }
        _ => source.draw() as u32,
    }
}

/// `b` to a place that is so many words before it.
const fn branch_back(words: u32) -> u32 {
    0x1400_0000 | (0x0400_0000 - words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodings as an assembler gives them.
    #[test]
    fn a_branch_back_has_a_negative_offset() {
        assert_eq!(branch_back(1), 0x17ff_ffff);
        assert_eq!(branch_back(47), 0x17ff_ffd1);
    }
}

//! Directed yields: to an activation that yields back, one that waits, and from one client to the next by a scheduler.
#![forbid(unsafe_code)]

use super::counter::{self, Shot, Stamp};
use super::peer::{Peer, Role};
use super::{Bench, Path, accepted, refused, settle, start};
use alloc::string::String;
use alloc::vec::Vec;
use libos_core::{calls, page};
use tranche_abi::{Reason, Tick};

/// Turns that are measured.
const TURNS: usize = 101;

/// Measures them.
pub fn measure(bench: &mut Bench) -> Result<(), String> {
    bench.with_peer(Role::Bounce, |bench, peer| {
        let turns = bounces(peer, |_| Ok(()))?;
        bench.record("yield_to", &there(bench, &turns), Path::Same)?;
        bench.record("yield_to_round", &there_and_back(bench, &turns), Path::Same)
    })?;
    bench.with_peer(Role::Sleep, |bench, peer| {
        let turns = bounces(peer, wake)?;
        bench.record("wait", &back(bench, &turns), Path::Same)
    })?;
    preemption(bench)
}

/// A turn that a peer was given: how long until it ran, and from its leaving until its creator ran again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turn {
    there: Stamp,
    back: Stamp,
}

/// The ways there.
pub fn there(bench: &Bench, turns: &[Turn]) -> Vec<Stamp> {
    turns.iter().map(|turn| turn.there.without(bench.overhead)).collect()
}

fn back(bench: &Bench, turns: &[Turn]) -> Vec<Stamp> {
    turns.iter().map(|turn| turn.back.without(bench.overhead)).collect()
}

fn there_and_back(bench: &Bench, turns: &[Turn]) -> Vec<Stamp> {
    there(bench, turns).into_iter().zip(back(bench, turns)).map(|(there, back)| there.plus(back)).collect()
}

/// Gives a peer turns that it gives back at once. `prepare` comes before each. The turn before a measured one switches our
/// FP/SIMD registers off, so that the kernel has none to save.
pub fn bounces(peer: &Peer, prepare: impl Fn(&Peer) -> Result<(), String>) -> Result<Vec<Turn>, String> {
    start(peer)?;
    let give = || accepted(counter::call::<3>([peer.target().0, Tick::NEVER.0, 0, 0, 0, 0, 0, 0]));
    let mut turns: Vec<Turn> = Vec::with_capacity(TURNS + 1);
    let mut last = Shot::default();
    for number in 0..TURNS + 1 {
        settle();
        drift(number);
        prepare(peer)?;
        give()?;
        // The peer tells of its leaving when it is entered again.
        let back = last.end.since(peer.shared.leave());
        prepare(peer)?;
        let shot = give()?;
        if let Some(turn) = turns.last_mut() {
            turn.back = back;
        }
        turns.push(Turn { there: peer.shared.entry().since(shot.begin), back: Stamp::default() });
        last = shot;
    }
    turns.pop();
    Ok(turns)
}

/// Lets time pass, each time more, so that repetitions are not in step with anything else.
pub fn drift(number: usize) {
    (0..number * 7).for_each(|_| core::hint::spin_loop());
}

/// Wakes a peer that sleeps.
fn wake(peer: &Peer) -> Result<(), String> {
    calls::notify(peer.target(), 1).map_err(refused("notify"))?;
    page::take_ready();
    Ok(())
}

/// Two clients that never stop take turns, each until its time is up: from the client that is interrupted through its
/// scheduler, of which only the call is counted, to the next client.
fn preemption(bench: &mut Bench) -> Result<(), String> {
    let one = bench.peer(Role::Run, 0)?;
    let other = match bench.peer(Role::Run, 1) {
        Ok(other) => other,
        Err(error) => return bench.end(one).and(Err(error)),
    };
    let paths = preempted_paths([&one, &other]);
    bench.end(one)?;
    bench.end(other)?;
    // Each way has a stamp at one end only, of which half the instructions are counted.
    let overhead = bench.overhead;
    let paths: Vec<Stamp> = paths?.iter().map(|path| path.without(overhead)).collect();
    bench.record("preempt", &paths, Path::Same)
}

/// Turns of each client.
const PREEMPTIONS: usize = 90;

fn preempted_paths(clients: [&Peer; 2]) -> Result<Vec<Stamp>, String> {
    for client in clients {
        // Starts up, and is in its loop from then on.
        (0..3).try_for_each(|_| turn(client, 40_000).map(drop))?;
    }
    let before = clients.map(|client| client.shared.gaps());
    // Turns of changing length, so that they end everywhere in the loop.
    let shots: Result<Vec<Shot>, String> =
        (0..2 * PREEMPTIONS).map(|number| turn(clients[number % 2], 2_000 + number as u64 % 17)).collect();
    let shots = shots?;
    let gaps: [Vec<_>; 2] = [0, 1].map(|place| {
        let shared = clients[place].shared;
        (before[place]..shared.gaps()).map(|number| shared.gap(number)).collect()
    });
    let mut paths = Vec::new();
    for (number, pair) in shots.windows(2).enumerate() {
        let (this, next) = (pair[0], pair[1]);
        let left = gaps[number % 2].iter().find(|gap| gap.0.is_between(this.begin, this.end));
        let entered = gaps[(number + 1) % 2].iter().find(|gap| gap.1.is_between(next.begin, next.end));
        if let (Some((left, _)), Some((_, entered))) = (left, entered) {
            let out = this.end.since(*left);
            // Interrupted between reading one counter and the other, it has cycles of after the gap.
            paths.extend((out.cycles < 1 << 40).then(|| out.plus(entered.since(next.begin))));
        }
    }
    Ok(paths)
}

/// One turn of `ticks`, at the end of which the client is interrupted.
fn turn(client: &Peer, ticks: u64) -> Result<Shot, String> {
    settle();
    let until = page::now().saturating_add(Tick(ticks));
    let shot = accepted(counter::call::<3>([client.target().0, until.0, 0, 0, 0, 0, 0, 0]))?;
    if shot.reply[1] == Reason::Expired as u64 {
        Ok(shot)
    } else {
        Err(alloc::format!("a client came back with reason {}", shot.reply[1]))
    }
}

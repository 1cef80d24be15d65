//! Communication at application level between two environments that share a page: pipes and a shared counter, each a word
//! there and a word back, with directed yields.
//!
//! Not here: anything of the kernel's but those yields. A pipe is a circular buffer that one side writes and the other reads;
//! who finds it full or empty yields to the other side (the 1995 table's `pipe`, `pipe'` and `shm`).
#![forbid(unsafe_code)]

use super::counter;
use super::peer::{Peer, Role, Shared};
use super::{Bench, start};
use alloc::string::String;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Release};
use libos_core::calls::{self, Events};
use tranche_abi::{Target, Tick};

/// Words of a circular buffer.
const RING: u64 = 8;
/// Where in the shared page the pipe to the peer is; the pipe back follows, then the counter.
const PIPES: usize = 16;
/// Words of a pipe: its two positions and the buffer.
const PIPE: usize = 2 + RING as usize;
/// Where the shared counter is.
const COUNTER: usize = PIPES + 2 * PIPE;

/// Measures them.
pub fn measure(bench: &mut Bench) -> Result<(), String> {
    bench.with_peer(Role::Pipe, |bench, peer| ping_pong(bench, peer, "pipe", exchange))?;
    bench.with_peer(Role::PipeInlined, |bench, peer| {
        ping_pong(bench, peer, "pipe_inlined", exchange_inlined)
    })?;
    bench.with_peer(Role::Shared, |bench, peer| ping_pong(bench, peer, "shm", exchange_shared))
}

/// Measures an exchange of a word, there and back.
fn ping_pong(
    bench: &mut Bench,
    peer: &Peer,
    operation: &str,
    exchange: impl Fn(Shared, Target, u64) -> u64,
) -> Result<(), String> {
    // Until it yields because nothing came.
    start(peer)?;
    let mut word = 0;
    bench.series(operation, |_| {
        // The exchange before switches our FP/SIMD registers off, so that the kernel has none to save.
        exchange(peer.shared, peer.target(), word + 2);
        word += 4;
        let begin = counter::before();
        let answer = exchange(peer.shared, peer.target(), word);
        let cost = counter::after().since(begin);
        if answer == word + 1 { Ok(cost) } else { Err(alloc::format!("{answer} came back for {word}")) }
    })
}

/// One direction of a pipe.
#[derive(Clone, Copy)]
struct Pipe {
    written: &'static AtomicU64,
    read: &'static AtomicU64,
    ring: &'static [AtomicU64],
}

impl Pipe {
    /// The pipe to the peer (0) or back (1).
    fn of(shared: Shared, direction: usize) -> Self {
        let words = &shared.0[PIPES + direction * PIPE..][..PIPE];
        Self { written: &words[0], read: &words[1], ring: &words[2..] }
    }

    #[inline(always)]
    fn put(&self, word: u64, mut turn: impl FnMut()) {
        let written = self.written.load(Acquire);
        while written - self.read.load(Acquire) == RING {
            turn();
        }
        self.ring[(written % RING) as usize].store(word, Release);
        self.written.store(written + 1, Release);
    }

    #[inline(always)]
    fn take(&self, mut turn: impl FnMut()) -> u64 {
        let read = self.read.load(Acquire);
        while self.written.load(Acquire) == read {
            turn();
        }
        let word = self.ring[(read % RING) as usize].load(Acquire);
        self.read.store(read + 1, Release);
        word
    }
}

/// Gives the peer the CPU; the creator's side of a turn.
#[inline(always)]
fn to_peer(peer: Target) {
    // The peer lives as long as its creator measures.
    let _ = calls::yield_to(peer, Tick::NEVER, Events::Ignore);
}

/// Gives the creator the CPU; the peer's side of a turn.
#[inline(always)]
fn to_creator() {
    // Not refused to a running activation.
    let _ = calls::yield_now();
}

#[inline(never)]
fn write(pipe: &Pipe, word: u64, peer: Option<Target>) {
    pipe.put(word, || peer.map_or_else(to_creator, to_peer));
}

#[inline(never)]
fn read(pipe: &Pipe, peer: Option<Target>) -> u64 {
    pipe.take(|| peer.map_or_else(to_creator, to_peer))
}

#[inline(never)]
fn exchange(shared: Shared, peer: Target, word: u64) -> u64 {
    write(&Pipe::of(shared, 0), word, Some(peer));
    read(&Pipe::of(shared, 1), Some(peer))
}

#[inline(never)]
fn exchange_inlined(shared: Shared, peer: Target, word: u64) -> u64 {
    Pipe::of(shared, 0).put(word, || to_peer(peer));
    Pipe::of(shared, 1).take(|| to_peer(peer))
}

#[inline(never)]
fn exchange_shared(shared: Shared, peer: Target, word: u64) -> u64 {
    let counter = &shared.0[COUNTER];
    counter.store(word, Release);
    while counter.load(Acquire) == word {
        to_peer(peer);
    }
    counter.load(Acquire)
}

/// The peer of `pipe`: sends back each word, plus one.
pub fn serve_pipe(shared: Shared) {
    let (to, back) = (Pipe::of(shared, 0), Pipe::of(shared, 1));
    loop {
        let word = read(&to, None);
        write(&back, word + 1, None);
    }
}

/// The peer of `pipe'`.
pub fn serve_pipe_inlined(shared: Shared) {
    let (to, back) = (Pipe::of(shared, 0), Pipe::of(shared, 1));
    loop {
        let word = to.take(to_creator);
        back.put(word + 1, to_creator);
    }
}

/// The peer of `shm`: answers an even count, but 0, with the next odd one.
pub fn serve_shared(shared: Shared) {
    let counter = &shared.0[COUNTER];
    loop {
        let count = counter.load(Acquire);
        if count == 0 || count % 2 == 1 {
            to_creator();
        } else {
            counter.store(count + 1, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Shared {
        Shared(std::boxed::Box::leak(std::boxed::Box::new([const { AtomicU64::new(0) }; 512])))
    }

    #[test]
    fn words_come_out_of_a_pipe_in_order_and_a_full_one_yields() {
        let (pipe, mut turns, mut read) = (Pipe::of(page(), 1), 0, 0);
        for word in 0..100 {
            pipe.put(word, || {
                turns += 1;
                assert_eq!(pipe.take(|| unreachable!()), read);
                read += 1;
            });
        }
        assert_eq!(turns, 100 - RING);
        while read < 100 {
            assert_eq!(pipe.take(|| unreachable!()), read);
            read += 1;
        }
    }
}

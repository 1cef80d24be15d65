//! What must be true of chains and calls after every event: who runs where, and in whose place.
//!
//! Not here: everything else that must ([`super::invariants`]).
#![forbid(unsafe_code)]

use super::fake::CORES;
use super::invariants::Now;
use crate::activation::{State, Tag, stored_frame};
use crate::block::{BlockAddress, Word};
use crate::slice::Phase;
use core::sync::atomic::Ordering::Relaxed;
use std::vec::Vec;
use tranche_abi::layout::MAX_ACTIVATIONS;

impl Now<'_> {
    /// An activation runs on one chain at most, and every link is one that runs there.
    pub fn chains(&self) {
        let (mut links, mut serving) = (0, Vec::new());
        for cpu in 0..CORES {
            let core = self.kernel.cores[cpu].lock();
            if core.phase == Phase::Asleep {
                assert!(core.links().count() <= 1 && !core.fp_live);
                continue;
            }
            assert!(core.running().is_some());
            let seen = !self.fake.kicks[cpu].get();
            let last = core.links().count() - 1;
            for (depth, link) in core.links().enumerate() {
                links += 1;
                let running = State { tag: Tag::Running, core: cpu as u8, generation: link.env().generation };
                assert_eq!(self.kernel.state(link.env().index, link.activation()), Some(running), "{link:?}");
                // A fast path may have changed who runs since the kernel looked.
                let body = if depth == last { self.fake.current[cpu].get() } else { link.body.block };
                serving.extend(self.serving(body, link.own()));
                let lost = depth == last && self.fake.lost[cpu].get();
                assert!(
                    !seen || self.kernel.is_alive(link.env()) && (lost || self.lives(body)),
                    "the dead run"
                );
                assert_eq!(self.kernel.env_id(link.env().index), Some(link.env()));
                let activations = &self.kernel.env(&self.machine, link.env().index).activations;
                assert_eq!(stored_frame(&activations[link.activation() as usize].page), link.own.page);
            }
        }
        let all = |&index: &u16| (0..MAX_ACTIVATIONS as u8).map(move |activation| (index, activation));
        let states = self
            .present
            .iter()
            .flat_map(all)
            .filter_map(|(env, activation)| Some((env, activation, self.kernel.state(env, activation)?)));
        let mut running = 0;
        for (env, activation, state) in states {
            running += usize::from(state.tag == Tag::Running);
            let body = BlockAddress(self.kernel.block(env, activation).body.load(Relaxed));
            if body != BlockAddress::NONE {
                assert_ne!(
                    state.tag,
                    Tag::Running,
                    "it knows by whose registers it goes on only while it does not"
                );
                serving.extend(self.serving(body, self.kernel.block_address(env, activation)));
            }
            if state.tag == Tag::Waiting && state.core != State::NO_CORE {
                let core = self.kernel.cores[state.core as usize].lock();
                let root = core.links().next().map(|root| (root.env().index, root.activation()));
                assert_eq!(
                    (core.phase, root),
                    (Phase::Asleep, Some((env, activation))),
                    "who sleeps for it?"
                );
            }
        }
        assert_eq!(running, links, "an activation runs on no chain");
        self.places(serving);
    }

    /// Whoever serves a call is in the place of exactly one activation. All those that are were found.
    fn places(&self, mut serving: Vec<(u16, u8)>) {
        let found = serving.len();
        serving.sort_unstable();
        serving.dedup();
        assert_eq!(serving.len(), found, "it is in the place of two");
        let all = |&index: &u16| (0..MAX_ACTIVATIONS as u8).map(move |activation| (index, activation));
        for (env, activation) in self.present.iter().flat_map(all) {
            let serves = matches!(self.kernel.word(env, activation), Word::Serving { .. });
            let is_found = serving.binary_search(&(env, activation)).is_ok();
            let alive = self.kernel.is_alive(self.kernel.env_id(env).expect("it is present"));
            assert!(!serves || is_found || !alive, "{env}.{activation} serves nobody who could run");
        }
    }

    /// Whether a block is a living environment's.
    fn lives(&self, block: BlockAddress) -> bool {
        let (env, _) = self.kernel.block_at(block);
        self.kernel.env_id(env).is_some_and(|id| self.kernel.is_alive(id))
    }

    /// Whoever runs in another's place serves a call of that one, or of one who does: all of these.
    fn serving(&self, mut body: BlockAddress, own: BlockAddress) -> Vec<(u16, u8)> {
        let mut all = Vec::new();
        while body != own {
            let (env, activation) = self.kernel.block_at(body);
            let Word::Serving { caller, .. } = self.kernel.word(env, activation) else {
                panic!("{env}.{activation} runs in another's place and serves nobody")
            };
            all.push((env, activation));
            body = caller;
        }
        all
    }
}

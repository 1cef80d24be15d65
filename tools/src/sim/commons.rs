//! What activations on several cores have in common under a global policy: the policy, its clients, and the news that one has for the
//! others. It is in the hands of the core that takes a step, and is handed from one to the other, so that every core's code is
//! the same whether it shares or not.
//!
//! Cores that share are not independent of each other: [`in_order`] lets them go on in the order of time. Not here: what a core does
//! (`core`), nor turns (`together`).

use super::activation::Activation;
use super::core::{Core, Progress};

/// The activations that share a policy, by their place on every core; none in most runs.
#[derive(Clone, Debug, Default)]
pub struct Commons {
    all: Vec<Common>,
    /// The core that has it all now.
    keeper: usize,
}

#[derive(Clone, Debug)]
struct Common {
    place: usize,
    /// The core of each of the policy's steps.
    step_cores: Vec<u32>,
}

impl Commons {
    /// Those of these cores.
    pub fn new(cores: &[Core]) -> Self {
        let activations = cores.first().map_or(&[][..], |core| &core.activations[..]);
        let shared = activations.iter().enumerate().filter(|(_, activation)| activation.shares);
        let all = shared.map(|(place, _)| Common { place, step_cores: Vec::new() });
        Self { all: all.collect(), keeper: 0 }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A core is about to take a step.
    pub fn hand_to<'a>(&mut self, number: usize, cores: &'a mut [Core]) -> &'a mut Core {
        if self.keeper != number {
            for Common { place, .. } in &self.all {
                if let Ok([from, to]) = cores.get_disjoint_mut([self.keeper, number]) {
                    hand_over(&mut from.activations[*place], &mut to.activations[*place]);
                }
            }
            self.keeper = number;
        }
        &mut cores[number]
    }

    /// Each core does something.
    pub fn each(&mut self, cores: &mut [Core], mut action: impl FnMut(&mut Core)) {
        (0..cores.len()).for_each(|number| action(self.hand_to(number, cores)));
    }

    /// The core that has it all has taken a step: whether it has news for others, which they are told now.
    pub fn tell(&mut self, cores: &mut [Core]) -> bool {
        let mut told = false;
        for Common { place, step_cores } in &mut self.all {
            let now = cores[self.keeper].now;
            let activation = &mut cores[self.keeper].activations[*place];
            step_cores.resize(activation.scheduler.observer.0.len(), self.keeper as u32);
            if std::mem::take(&mut activation.has_news) {
                told = true;
                for (_, core) in cores.iter_mut().enumerate().filter(|(number, _)| *number != self.keeper) {
                    let told = &mut core.activations[*place].told;
                    *told = Some(told.map_or(now, |before| before.min(now)));
                }
            }
        }
        told
    }

    /// The core of each step of the policy at a place; none of one that is not shared.
    pub fn step_cores(&self, place: usize) -> &[u32] {
        self.all.iter().find(|common| common.place == place).map_or(&[], |common| &common.step_cores)
    }
}

fn hand_over(from: &mut Activation, to: &mut Activation) {
    std::mem::swap(&mut from.scheduler, &mut to.scheduler);
    std::mem::swap(&mut from.clients, &mut to.clients);
    std::mem::swap(&mut from.contest, &mut to.contest);
    std::mem::swap(&mut from.refused, &mut to.refused);
}

/// Lets cores go on that execute all at once: whoever does something next does it, and no core is ahead of that.
pub fn in_order(commons: &mut Commons, cores: &mut [Core], end: u64) -> Progress {
    loop {
        let mut next: Option<(u64, usize)> = None;
        for number in 0..cores.len() {
            let at = commons.hand_to(number, cores).acts_at();
            next = next.filter(|(first, _)| *first <= at).or(Some((at, number)));
        }
        let Some((at, number)) = next.filter(|(at, _)| *at < end) else {
            return pass_to(commons, cores, end).unwrap_or(Progress::Reached);
        };
        let stop = commons.hand_to(number, cores).advance_once(at);
        commons.tell(cores);
        if let Some(stop) = stop {
            return pass_to(commons, cores, at).unwrap_or(stop);
        }
    }
}

/// All cores come to a time before which none does anything: what stops them, if one is stuck.
fn pass_to(commons: &mut Commons, cores: &mut [Core], time: u64) -> Option<Progress> {
    for number in 0..cores.len() {
        while cores[number].now < time {
            if let Some(Progress::Stuck) = commons.hand_to(number, cores).advance_once(time) {
                return Some(Progress::Stuck);
            }
            commons.tell(cores);
        }
    }
    None
}

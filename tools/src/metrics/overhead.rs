//! Where the time of a scheduler's slots went: to its clients, to itself, to nobody, or to the kernel; and what a
//! decision costs.
//!
//! A recording tells the scheduler's own CPU time (its policy, the dispatch loop, and its upcalls' handlers, which are not
//! told apart) and its clients'. What is left of its slots, and is not idle, is the kernel's: entering and leaving it,
//! switching, and beginning the slots.

use crate::recording::{Recording, Scheduler, Source};
use libos_core::sched::steps::Step;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What one scheduler's decisions came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overhead {
    /// CPU time of its clients.
    pub clients_us: f64,
    /// Decisions that picked a client.
    pub decisions: u64,
    /// Turns that were given to another client than the last one.
    pub switches: u64,
    /// Where the time of its slots went; `None` of Linux, which has neither slots nor an account for its scheduler.
    #[serde(flatten)]
    pub split: Option<Split>,
}

/// The split of one scheduler's slots.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// Slots that began.
    pub slices: u64,
    /// Their time.
    pub slices_us: f64,
    /// CPU time of its own: policy, dispatch loop, upcalls.
    pub own_us: f64,
    /// Time in which nobody was ready.
    pub idle_us: f64,
    /// The rest: the kernel's.
    pub kernel_us: f64,
    /// CPU time of its own for each decision, in nanoseconds; `None` without decisions.
    pub own_per_decision_ns: Option<f64>,
    /// The same and the kernel's.
    pub all_per_decision_ns: Option<f64>,
    /// Own and kernel's time of all that was not idle; `None` of nothing.
    pub overhead_ratio: Option<f64>,
}

/// What the decisions came to of the recording's scheduler of this index.
pub fn measure(recording: &Recording, sharing: &[usize]) -> Overhead {
    let scheduler = &recording.schedulers[sharing[0]];
    let turns = || recording.turns.iter().filter(|turn| scheduler.clients.contains(&turn.client));
    let clients: u64 = turns().map(|turn| turn.ran).sum();
    let decisions = scheduler.steps.iter().filter(|step| matches!(step, Step::Decided { .. })).count() as u64;
    let order: Vec<usize> = turns().map(|turn| turn.client).collect();
    let has_slots = !matches!(recording.source, Source::Linux(_));
    Overhead {
        clients_us: recording.us(clients),
        decisions,
        switches: order.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64,
        split: has_slots.then(|| split(recording, sharing, [clients, decisions])),
    }
}

fn split(recording: &Recording, sharing: &[usize], [clients, decisions]: [u64; 2]) -> Split {
    let first = &recording.schedulers[sharing[0]];
    let (mut count, mut total, mut idle, mut own) = (0, 0, 0, 0);
    for index in sharing {
        let scheduler = &recording.schedulers[*index];
        let slices: Vec<(u64, u64)> = recording
            .slices
            .iter()
            .filter(|slice| slice.owner == Some(*index) && slice.begin < recording.end)
            .map(|slice| (slice.begin, slice.end.min(recording.end)))
            .collect();
        count += slices.len() as u64;
        total += slices.iter().map(|(begin, end)| end - begin).sum::<u64>();
        idle += idle_in(&steps_on(first, scheduler.core), &slices, recording.end);
        own += scheduler.own;
    }
    let kernel = total.saturating_sub(clients + own + idle);
    let per_decision = |ticks: u64| (decisions > 0).then(|| recording.us(ticks) * 1000.0 / decisions as f64);
    let busy = total.saturating_sub(idle);
    Split {
        slices: count,
        slices_us: recording.us(total),
        own_us: recording.us(own),
        idle_us: recording.us(idle),
        kernel_us: recording.us(kernel),
        own_per_decision_ns: per_decision(own),
        all_per_decision_ns: per_decision(own + kernel),
        overhead_ratio: (busy > 0).then(|| (own + kernel) as f64 / busy as f64),
    }
}

/// Turns of a client on another core than its last one.
pub fn migrations(recording: &Recording, client: usize) -> u64 {
    let cores: Vec<u32> = recording.turns_of(client).map(|turn| turn.core).collect();
    cores.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64
}

/// The steps of a policy that were taken on a core: all of them, if it is its alone.
fn steps_on(scheduler: &Scheduler, core: u32) -> Cow<'_, [Step]> {
    let Scheduler { steps, step_cores, .. } = scheduler;
    if step_cores.is_empty() {
        return Cow::Borrowed(steps);
    }
    let here = steps.iter().zip(step_cores).filter(|(_, on)| **on == core);
    Cow::Owned(here.map(|(step, _)| *step).collect())
}

/// Time of the slots between being told that nobody is ready and the next step.
fn idle_in(steps: &[Step], slices: &[(u64, u64)], end: u64) -> u64 {
    let mut sum = 0;
    for (place, step) in steps.iter().enumerate() {
        let Step::Idle { now, .. } = *step else { continue };
        let until = steps.get(place + 1).map_or(end, |next| next.now().0);
        // Slots are in the order of time and do not overlap.
        let first = slices.partition_point(|slice| slice.1 <= now.0);
        let inside = slices[first..].iter().take_while(|slice| slice.0 < until);
        sum += inside.map(|slice| slice.1.min(until).saturating_sub(slice.0.max(now.0))).sum::<u64>();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::recording::LinuxPolicy;

    #[test]
    fn a_slots_time_is_split_without_rest() {
        // `periodic`: jobs every 20 run from 2 to 7 after their release; then nobody is ready until 1 after the next.
        let recording = fixture::periodic();
        let overhead = measure(&recording, &[0]);
        let split = overhead.split.unwrap();
        let sum = overhead.clients_us + split.own_us + split.idle_us + split.kernel_us;
        assert_eq!(sum, split.slices_us);
        assert_eq!(
            (split.slices_us, overhead.clients_us, split.own_us, split.idle_us),
            (100.0, 20.0, 6.0, 64.0)
        );
        assert_eq!(split.kernel_us, 10.0);
        assert_eq!(overhead.decisions, 5);
        assert_eq!(split.own_per_decision_ns, Some(1200.0));
        assert_eq!(split.all_per_decision_ns, Some(3200.0));
    }

    #[test]
    fn linux_has_no_slots_to_split_and_is_kept_without() {
        let source = Source::Linux(LinuxPolicy::Eevdf);
        let overhead = measure(&Recording { source, ..fixture::periodic() }, &[0]);
        assert_eq!((overhead.clients_us, overhead.decisions, overhead.split), (20.0, 5, None));
        let kept: Overhead = serde_json::from_str(&serde_json::to_string(&overhead).unwrap()).unwrap();
        assert_eq!(kept, overhead);
    }

    #[test]
    fn switches_are_changes_of_the_client() {
        let recording = fixture::turns(&[1, 1], &[0, 0, 1, 1, 0]);
        assert_eq!(measure(&recording, &[0]).switches, 2);
    }

    #[test]
    fn migrations_are_changes_of_the_core() {
        let mut recording = fixture::turns(&[1], &[0, 0, 0, 0]);
        assert_eq!(migrations(&recording, 0), 0);
        recording.turns[2].core = 1;
        assert_eq!(migrations(&recording, 0), 2);
    }
}

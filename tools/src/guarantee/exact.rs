//! Which tasks of a list can be guaranteed on a pattern of slots, decided in another way than the policies do: by looking at every
//! deadline, and every instant at which a higher priority is released. Slow, and short enough to be read.
//!
//! Not here: the policies' own admission (`libos-rt`).

use libos_core::scenario::Policy;

/// A task, in ticks; what its turns cost is in its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// CPU time of a job.
    pub budget: u64,
    /// Between releases.
    pub period: u64,
    /// From a release to the deadline.
    pub deadline: u64,
}

/// What slots supply.
#[derive(Clone, Debug)]
pub struct Slots {
    /// Which of a revolution are there.
    pub owned: Vec<bool>,
    /// Length of each.
    pub quantum: u64,
    /// What the beginning of each takes away.
    pub overhead: u64,
    /// What somebody else's slot before it may take away besides.
    pub grace: u64,
}

impl Slots {
    fn revolution(&self) -> u64 {
        self.owned.len() as u64 * self.quantum
    }

    /// What the beginning of a slot takes away, at most.
    fn lost(&self, slot: usize) -> u64 {
        let before = (slot + self.owned.len() - 1) % self.owned.len();
        if self.owned[before] { self.overhead } else { self.overhead + self.grace }
    }

    fn capacity(&self) -> u64 {
        self.within(self.revolution())
    }

    /// CPU time from the beginning of a revolution until a time in it.
    fn within(&self, time: u64) -> u64 {
        let in_slot = |slot: usize| {
            let passed = time.saturating_sub(slot as u64 * self.quantum).min(self.quantum);
            if self.owned[slot] { passed.saturating_sub(self.lost(slot)) } else { 0 }
        };
        (0..self.owned.len()).map(in_slot).sum()
    }

    /// CPU time from the beginning of a revolution until `time`.
    fn until(&self, time: u64) -> u64 {
        let (whole, rest) = (time / self.revolution(), time % self.revolution());
        whole * self.capacity() + self.within(rest)
    }

    /// The least CPU time in any window of a length. A worst one begins as a slot ends.
    pub fn least_in(&self, window: u64) -> u64 {
        let begins = (0..=self.owned.len() as u64).map(|slot| slot * self.quantum);
        begins.map(|begin| self.until(begin + window) - self.until(begin)).min().unwrap_or(0)
    }
}

/// Which of these tasks, that come one after the other, can be taken on if everybody taken on before stays.
pub fn accepted(policy: Policy, tasks: &[Task], slots: &Slots) -> Vec<bool> {
    let mut on = Vec::new();
    let fits = |task: &Task| {
        on.push(*task);
        let fits = match policy {
            Policy::RateMonotonic => priorities(&on, slots, |task| task.period),
            Policy::DeadlineMonotonic => priorities(&on, slots, |task| task.deadline),
            // A server demands what a task does whose deadline is its period.
            _ => earliest_deadline(&on, slots),
        };
        if !fits {
            on.pop();
        }
        fits
    };
    tasks.iter().map(fits).collect()
}

/// Baruah, Rosier and Howell (1990): in every window no more is due than there is. Beyond the length where the long-run rates have caught
/// up with all that came early, no window can fail.
fn earliest_deadline(tasks: &[Task], slots: &Slots) -> bool {
    let part = |task: &Task| task.budget as f64 / task.period as f64;
    let (rate, demanded) =
        (slots.capacity() as f64 / slots.revolution() as f64, tasks.iter().map(part).sum::<f64>());
    if demanded >= rate {
        return false;
    }
    let early: f64 = tasks.iter().map(|task| part(task) * (task.period - task.deadline) as f64).sum();
    let last = ((early + slots.capacity() as f64) / (rate - demanded)).ceil() as u64 + 1;
    let due = |window: u64| {
        let of = |task: &Task| {
            window.checked_sub(task.deadline).map_or(0, |rest| rest / task.period + 1) * task.budget
        };
        tasks.iter().map(of).sum::<u64>()
    };
    let mut deadlines = tasks.iter().flat_map(|task| (task.deadline..=last).step_by(task.period as usize));
    deadlines.all(|window| due(window) <= slots.least_in(window))
}

/// Lehoczky, Sha and Ding (1989): a task is done by its deadline if at some release of a higher priority, or at the deadline, there was
/// enough for all that had been released.
fn priorities(tasks: &[Task], slots: &Slots, number: fn(&Task) -> u64) -> bool {
    (0..tasks.len()).all(|index| {
        let task = tasks[index];
        let higher = || {
            let others =
                tasks.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other);
            others.filter(|other| number(other) <= number(&task))
        };
        let enough = |time: u64| {
            let others: u64 = higher().map(|other| time.div_ceil(other.period) * other.budget).sum();
            task.budget + others <= slots.least_in(time)
        };
        let releases =
            higher().flat_map(|other| (other.period..=task.deadline).step_by(other.period as usize));
        releases.chain([task.deadline]).any(enough)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn implicit(tasks: &[(u64, u64)]) -> Vec<Task> {
        tasks
            .iter()
            .map(|(budget, period)| Task { budget: *budget, period: *period, deadline: *period })
            .collect()
    }

    fn core() -> Slots {
        Slots { owned: vec![true], quantum: 1000, overhead: 0, grace: 5 }
    }

    #[test]
    fn textbook_sets_are_accepted_as_published() {
        let second = implicit(&[(1, 4), (2, 6), (3, 8)]);
        assert_eq!(accepted(Policy::Edf, &second, &core()), [true; 3]);
        assert_eq!(accepted(Policy::RateMonotonic, &second, &core()), [true, true, false]);
        let first = implicit(&[(1, 4), (1, 5), (3, 9), (3, 18)]);
        assert_eq!(accepted(Policy::RateMonotonic, &first, &core()), [true; 4]);
    }

    #[test]
    fn every_other_slot_is_waited_for() {
        let half = Slots { owned: vec![true, false], quantum: 10, overhead: 1, grace: 0 };
        assert_eq!([10, 11, 12, 20, 22].map(|window| half.least_in(window)), [0, 0, 1, 9, 9]);
        let late = Slots { grace: 2, ..half.clone() };
        assert_eq!([12, 13, 14].map(|window| late.least_in(window)), [0, 0, 1]);
        let task = |deadline| [Task { budget: 3, period: 40, deadline }];
        assert_eq!(accepted(Policy::Edf, &task(14), &half), [true]);
        assert_eq!(accepted(Policy::Edf, &task(13), &half), [false]);
        assert_eq!(accepted(Policy::DeadlineMonotonic, &task(13), &half), [false]);
    }
}

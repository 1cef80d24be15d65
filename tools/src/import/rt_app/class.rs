//! Linux's classes of scheduling and their priorities, and which policy and tickets stand for them. Not here: the file.

use super::super::Task;
use libos_core::scenario::Policy;

/// How Linux schedules a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// `SCHED_OTHER`.
    Fair,
    /// `SCHED_IDLE`.
    Idle,
    /// `SCHED_FIFO`.
    Fifo,
    /// `SCHED_RR`.
    RoundRobin,
    /// `SCHED_DEADLINE`.
    Deadline,
}

/// Their words.
pub const CLASSES: [(&str, Class); 5] = [
    ("SCHED_OTHER", Class::Fair),
    ("SCHED_IDLE", Class::Idle),
    ("SCHED_FIFO", Class::Fifo),
    ("SCHED_RR", Class::RoundRobin),
    ("SCHED_DEADLINE", Class::Deadline),
];

/// A thread.
#[derive(Debug)]
pub struct Thread {
    /// Its class.
    pub class: Class,
    /// Its priority there.
    pub priority: f64,
    /// What it is here.
    pub task: Task,
}

/// Tickets for a priority, or what it must be. Linux's weight of a nice value is 1.25 times less for each step
/// (`kernel/sched/core.c`, sched_prio_to_weight).
pub fn tickets(class: Class, priority: f64) -> Result<u32, &'static str> {
    match class {
        Class::Fair if (-20.0..=19.0).contains(&priority) => {
            Ok((1024.0 / 1.25f64.powf(priority)).round() as u32)
        }
        Class::Fair => Err("must be from -20 to 19 under SCHED_OTHER"),
        Class::Idle => Ok(3),
        Class::Deadline => Ok(1),
        Class::Fifo | Class::RoundRobin if (1.0..=99.0).contains(&priority) => Ok(1),
        Class::Fifo | Class::RoundRobin => Err("must be from 1 to 99 under SCHED_FIFO and SCHED_RR"),
    }
}

/// The policy that stands for the threads' classes and priorities.
///
/// # Errors
/// If there is none.
pub fn policy(threads: &[Thread]) -> Result<Policy, String> {
    let is = |classes: &[Class]| threads.iter().all(|thread| classes.contains(&thread.class));
    let same = threads.windows(2).all(|pair| pair[0].priority == pair[1].priority);
    // Who has no deadline comes after all that have one, there and here.
    let rest = threads.iter().filter(|thread| thread.class != Class::Deadline);
    let behind = rest.clone().all(|thread| thread.class <= Class::Idle && thread.task.jobs.is_none());
    match () {
        () if is(&[Class::Fair, Class::Idle]) => Ok(Policy::Stride),
        () if rest.count() < threads.len() && behind => Ok(Policy::Edf),
        () if is(&[Class::Fifo]) && same => Ok(Policy::Fifo),
        () if is(&[Class::RoundRobin]) && same => Ok(Policy::RoundRobin),
        () if is(&[Class::Fifo]) && by_period(threads) => Ok(Policy::RateMonotonic),
        () => Err("no one policy stands for these classes and priorities: only SCHED_OTHER; SCHED_DEADLINE, beside \
            others that never wait; SCHED_FIFO of one priority, or the higher the shorter the period; SCHED_RR of one priority. Say \
            which policy, with --policy"
            .into()),
    }
}

/// Whether a higher priority is a shorter period, and the same the same.
fn by_period(threads: &[Thread]) -> bool {
    let key = |thread: &Thread| Some((thread.priority, thread.task.jobs?.period));
    let Some(keys) = threads.iter().map(key).collect::<Option<Vec<_>>>() else { return false };
    let fits = |one: &(f64, u32), other: &(f64, u32)| other.0.total_cmp(&one.0) == one.1.cmp(&other.1);
    keys.iter().all(|one| keys.iter().all(|other| fits(one, other)))
}

/// One of so many threads of a kind.
pub fn instance(thread: &Thread, number: u32, of: u32) -> Thread {
    let name = if of > 1 { format!("{}-{number}", thread.task.name) } else { thread.task.name.clone() };
    Thread { task: Task { name, ..thread.task.clone() }, ..*thread }
}

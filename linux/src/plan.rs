//! What `linux-sched` is to do: a scenario's clients as processes, as the host has worked it out; in a file of the machine's
//! first file system, as words of eight bytes, little-endian.
//!
//! When jobs come and what they need is drawn on the host, by the same code as for every other machine; here is the
//! outcome: each job comes some time after the release or the end of the one before. All times are in nanoseconds.
//! Not here: how a scenario becomes this (`tools/src/compare/linux`).
#![forbid(unsafe_code)]

/// The file's path, seen from the first process.
pub const FILE: &core::ffi::CStr = c"/plan";
/// What it begins with; grows with every change of these types.
const MAGIC: u64 = 0x6578_6f2d_706c_0001;

/// The whole run: what comes before its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Length of the run.
    pub duration: u64,
    /// Cores of the machine.
    pub cores: u64,
    /// Room for each core's trace, in KiB.
    pub trace_kib: u64,
    /// Clients that follow.
    pub clients: u64,
    /// Jobs of all of them together.
    pub jobs: u64,
}

/// A client: what comes before its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The core that it stays on.
    pub core: u64,
    /// Its `cpu.weight`, from 1 to 10000.
    pub weight: u64,
    /// How Linux is to schedule it.
    pub class: Class,
    /// Jobs that follow; 0: it computes without end.
    pub jobs: u64,
}

/// How Linux schedules a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `SCHED_OTHER`: by its weight.
    Fair,
    /// `SCHED_FIFO`.
    Fifo {
        /// From 1 to 99, which is the highest.
        priority: u64,
    },
    /// `SCHED_DEADLINE`.
    Deadline {
        /// CPU time in each period.
        runtime: u64,
        /// Relative deadline.
        deadline: u64,
        /// The period.
        period: u64,
    },
}

/// A job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// What its release is reckoned from.
    pub after: After,
    /// Time from there to the release.
    pub gap: u64,
    /// CPU time that it uses.
    pub demand: u64,
}

/// What a release is reckoned from; of a first job, the beginning of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The release of the job before.
    Release,
    /// The end of the job before.
    Completion,
}

impl Plan {
    /// Gives its words, in order.
    pub fn encode(&self, put: &mut impl FnMut(u64)) {
        [MAGIC, self.duration, self.cores, self.trace_kib, self.clients, self.jobs].into_iter().for_each(put);
    }

    /// Takes its words; `None` if they are none.
    pub fn decode(words: &mut impl Iterator<Item = u64>) -> Option<Self> {
        let magic = words.next()?;
        let mut next = || words.next();
        let (duration, cores, trace_kib, clients, jobs) = (next()?, next()?, next()?, next()?, next()?);
        (magic == MAGIC).then_some(Self { duration, cores, trace_kib, clients, jobs })
    }
}

impl Client {
    /// Gives its words, in order.
    pub fn encode(&self, put: &mut impl FnMut(u64)) {
        let class = match self.class {
            Class::Fair => [0, 0, 0, 0],
            Class::Fifo { priority } => [1, priority, 0, 0],
            Class::Deadline { runtime, deadline, period } => [2, runtime, deadline, period],
        };
        let head = [self.core, self.weight];
        head.into_iter().chain(class).chain([self.jobs]).for_each(put);
    }

    /// Takes its words; `None` if they are none.
    pub fn decode(words: &mut impl Iterator<Item = u64>) -> Option<Self> {
        let mut next = || words.next();
        let (core, weight) = (next()?, next()?);
        let class = match [next()?, next()?, next()?, next()?] {
            [0, ..] => Class::Fair,
            [1, priority, ..] => Class::Fifo { priority },
            [2, runtime, deadline, period] => Class::Deadline { runtime, deadline, period },
            _ => return None,
        };
        Some(Self { core, weight, class, jobs: next()? })
    }
}

impl Job {
    /// Gives its words, in order.
    pub fn encode(&self, put: &mut impl FnMut(u64)) {
        [u64::from(self.after == After::Completion), self.gap, self.demand].into_iter().for_each(put);
    }

    /// Takes its words; `None` if they are none.
    pub fn decode(words: &mut impl Iterator<Item = u64>) -> Option<Self> {
        let after = match words.next()? {
            0 => After::Release,
            1 => After::Completion,
            _ => return None,
        };
        Some(Self { after, gap: words.next()?, demand: words.next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        let plan = Plan { duration: 1, cores: 2, trace_kib: 3, clients: 4, jobs: 5 };
        let deadline = Class::Deadline { runtime: 1, deadline: 2, period: 3 };
        let classes = [Class::Fair, Class::Fifo { priority: 9 }, deadline];
        let clients = classes.map(|class| Client { core: 1, weight: 50, class, jobs: 1 });
        let jobs = [After::Release, After::Completion].map(|after| Job { after, gap: 7, demand: 8 });
        let mut words = Vec::new();
        let mut put = |word| words.push(word);
        plan.encode(&mut put);
        clients.iter().for_each(|client| client.encode(&mut put));
        jobs.iter().for_each(|job| job.encode(&mut put));
        let mut words = words.into_iter();
        assert_eq!(Plan::decode(&mut words), Some(plan));
        assert_eq!(clients.map(|_| Client::decode(&mut words)), clients.map(Some));
        assert_eq!(jobs.map(|_| Job::decode(&mut words)), jobs.map(Some));
        assert_eq!(Job::decode(&mut words), None);
    }

    #[test]
    fn words_of_another_version_are_no_plan() {
        assert_eq!(Plan::decode(&mut [MAGIC + 1, 1, 1, 1, 1, 1].into_iter()), None);
        assert_eq!(Client::decode(&mut [0, 1, 3, 0, 0, 0, 0].into_iter()), None);
        assert_eq!(Job::decode(&mut [2, 0, 0].into_iter()), None);
    }
}

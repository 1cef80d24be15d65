//! The jobs of a client: when each is released, when it is due, and how much CPU time it needs. The guest's workloads and
//! the simulator take them from here, so that both see the same arrivals and demands.
//!
//! Chance has a seed, and draws are in a fixed order (the time to a release, then the job's demand), none of which
//! depends on when jobs are done: under every policy a client has the same bursts, thinks as long and works as much.
//! Gaps and thinking times are exponential, as those of independent users are: −ln U times the mean, U uniform (the
//! inverse transform; Knuth, TAOCP volume 2, 3.4.1 D). Demands are uniform from the least to the most. All of it is in integers:
//! no program here uses floating point for it, so no two machines differ.
//!
//! Not here: doing the jobs, nor what a scheduler makes of them. A client that is done with a job waits until the next
//! release; if that is past, it yields, so that its scheduler learns of every job's end.
#![forbid(unsafe_code)]

use crate::chance;
use crate::scenario::{self, Client, Policy, Release, Reserve, Trace};
use crate::sched::{Demand, Tick};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What jobs a client has. All times in ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// When they are released.
    pub arrivals: Arrivals,
    /// Time from release to deadline; `None`: there is no hurry.
    pub deadline: Option<u64>,
    /// CPU time that a job uses, at least.
    pub work_min: u64,
    /// CPU time that a job uses, at most.
    pub work_max: u64,
}

/// When jobs are released: [`scenario::Arrivals`] in ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arrivals {
    /// One every period.
    Periodic {
        /// Time between releases.
        period: u64,
        /// The first release, after the beginning.
        offset: u64,
    },
    /// Several at once, then none for a time.
    Bursty {
        /// Jobs that are released together.
        burst: u32,
        /// Time between bursts, in the mean.
        gap: u64,
    },
    /// The next is released some time after the last one is done.
    Interactive {
        /// That time, in the mean.
        think: u64,
    },
    /// As they were recorded.
    Trace {
        /// Each job's release, after the beginning, in the order of time, and the CPU time that it uses, if that is known.
        releases: Vec<(u64, Option<u64>)>,
        /// After which time the list begins again; `None`: no job comes after the last.
        repeat: Option<u64>,
    },
}

/// A job. All times in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number, from 0.
    pub number: u64,
    /// When it is released, absolute.
    pub released: Tick,
    /// When it is to be done, absolute; `None`: there is no hurry.
    pub due: Option<Tick>,
    /// CPU time that it uses.
    pub demand: Tick,
}

/// By how much the CPU time of a synthetic job may differ from what it declared, in microseconds, or by 1 %.
pub const DEMAND_TOLERANCE_US: u32 = 5;

/// Whether a job that declared `demand` and used `used` is off by more than 1 % and more than `tolerance`, which is
/// [`DEMAND_TOLERANCE_US`] in ticks.
pub const fn is_wrong_demand(used: u64, demand: u64, tolerance: u64) -> bool {
    let off = used.abs_diff(demand);
    off > tolerance && off > demand / 100
}

/// Microseconds as ticks of a clock of so many per second.
pub fn ticks(microseconds: u32, frequency: u64) -> u64 {
    u64::from(microseconds) * frequency / 1_000_000
}

/// The seed of a client's chance: out of the run's, the client's name in the scenario (without the core that the copies of a
/// replicated client have in theirs) and its core. The name of the libOS is not in it, so clients of the same name have
/// the same jobs under two policies that are compared side by side.
pub fn seed(run: u64, client: &str, core: u32) -> u64 {
    // FNV-1a (Fowler, Noll and Vo), so that every byte counts.
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    chance::seed(&[run, client.bytes().fold(0xcbf2_9ce4_8422_2325, fold), core.into()])
}

impl Spec {
    /// A scenario's jobs on a clock of so many ticks per second; `traces` are the scenario's.
    pub fn new(jobs: &scenario::Jobs, traces: &[Trace], frequency: u64) -> Self {
        let ticks = |microseconds| ticks(microseconds, frequency);
        let arrivals = match jobs.arrivals {
            scenario::Arrivals::Periodic { period_us, offset_us } => {
                Arrivals::Periodic { period: ticks(period_us), offset: ticks(offset_us) }
            }
            scenario::Arrivals::Bursty { burst, gap_us } => Arrivals::Bursty { burst, gap: ticks(gap_us) },
            scenario::Arrivals::Interactive { think_us } => Arrivals::Interactive { think: ticks(think_us) },
            scenario::Arrivals::Trace { list, repeat_us } => {
                let releases = traces.get(usize::from(list)).map_or(&[][..], |trace| &trace.releases);
                let release = |release: &Release| (ticks(release.at_us), release.work_us.map(ticks));
                let releases = releases.iter().map(release).collect();
                Arrivals::Trace { releases, repeat: repeat_us.map(ticks) }
            }
        };
        let (work_min, work_max) = (ticks(jobs.work_min_us), ticks(jobs.work_us));
        Self { arrivals, deadline: jobs.deadline_us.map(ticks), work_min, work_max }
    }
}

/// What a client asks of a scheduler of this policy, if its jobs begin at `begin` on a clock of so many ticks per second. One
/// without deadlines asks a policy for deadlines for a share too, and gets what the others leave.
pub fn demand(client: &Client, policy: Policy, begin: Tick, frequency: u64) -> Demand {
    let share = Demand::Share { tickets: client.tickets };
    let reserve = client.schedules.as_ref().and_then(|nested| nested.reserve);
    if let Some(Reserve { budget_us, period_us }) = reserve.filter(|_| policy.is_for_deadlines()) {
        let [budget, period] = [budget_us, period_us].map(|us| Tick(ticks(us, frequency)));
        // It has work from its beginning on: it makes its clients.
        return Demand::Periodic { first_release: Tick(0), budget, period, deadline: period };
    }
    let Some(jobs) = client.jobs.filter(|_| policy.is_for_deadlines()) else { return share };
    let Some(deadline_us) = jobs.deadline_us else { return share };
    let ticks = |microseconds| Tick(ticks(microseconds, frequency));
    let offset = match jobs.arrivals {
        scenario::Arrivals::Periodic { offset_us, .. } => ticks(offset_us),
        scenario::Arrivals::Bursty { .. }
        | scenario::Arrivals::Interactive { .. }
        | scenario::Arrivals::Trace { .. } => Tick(0),
    };
    Demand::Periodic {
        first_release: begin.saturating_add(offset),
        budget: ticks(jobs.budget_us),
        period: ticks(jobs.least_period_us()),
        deadline: ticks(deadline_us),
    }
}

/// When a client joins its policy, of a run that started at `epoch` on a clock of so many ticks per second; `None`: as soon as it
/// is made.
pub fn joins(client: &Client, epoch: Tick, frequency: u64) -> Option<Tick> {
    (client.joins_ms > 0).then(|| after(client.joins_ms, epoch, frequency))
}

/// When the jobs of a client that joins late begin, or 0 of one that does not: with the first revolution, of so many ticks, that begins
/// at least one after it joins. By then its scheduler has looked, and no job is released before the policy knows its client.
pub fn not_before(client: &Client, (epoch, revolution): (Tick, Tick), frequency: u64) -> Tick {
    let Some(joins) = joins(client, epoch, frequency) else { return Tick(0) };
    let revolution = revolution.0.max(1);
    let revolutions = joins.since(epoch).0.div_ceil(revolution) + 1;
    epoch.saturating_add(Tick(revolutions * revolution))
}

/// When it leaves that policy; `None`: not before its libOS.
pub fn leaves(client: &Client, epoch: Tick, frequency: u64) -> Option<Tick> {
    client.leaves_ms.map(|leaves_ms| after(leaves_ms, epoch, frequency))
}

fn after(milliseconds: u32, epoch: Tick, frequency: u64) -> Tick {
    epoch.saturating_add(Tick(u64::from(milliseconds) * frequency / 1000))
}

/// The jobs of one client, one after the other.
#[derive(Clone, Debug)]
pub struct JobSource {
    spec: Arc<Spec>,
    begin: Tick,
    chance: u64,
    number: u64,
    /// The last release.
    released: Tick,
}

impl JobSource {
    /// The jobs from `begin` on, absolute; `seed` is the client's.
    pub fn new(spec: Spec, begin: Tick, seed: u64) -> Self {
        Self { spec: Arc::new(spec), begin, chance: seed.max(1), number: 0, released: begin }
    }

    /// Whether the release of the job of this number is drawn, rather than given.
    pub fn draws(&self, number: u64) -> bool {
        match &self.spec.arrivals {
            Arrivals::Periodic { .. } | Arrivals::Trace { .. } => false,
            Arrivals::Bursty { burst, .. } => number.is_multiple_of((*burst).max(1).into()),
            Arrivals::Interactive { .. } => true,
        }
    }

    /// The next job; if there are no more, one that is never released. `completed` is when the one before was done; before the first
    /// it is not looked at.
    pub fn next(&mut self, completed: Tick) -> Job {
        let (number, draws) = (self.number, self.draws(self.number));
        let Self { spec, begin, chance, released, .. } = self;
        let after = |time: Tick, gap: u64| time.saturating_add(Tick(gap));
        let mut known = None;
        *released = match &spec.arrivals {
            Arrivals::Periodic { offset, .. } if number == 0 => after(*released, *offset),
            Arrivals::Periodic { period, .. } => after(*released, *period),
            Arrivals::Bursty { gap, .. } if draws => after(*released, exponential(chance, *gap)),
            Arrivals::Bursty { .. } => *released,
            Arrivals::Interactive { think } => {
                let seen = if number == 0 { *released } else { completed };
                after(seen, exponential(chance, *think))
            }
            Arrivals::Trace { releases, repeat } => {
                let (at, work) = listed(releases, *repeat, number);
                known = work;
                after(*begin, at)
            }
        };
        let released = *released;
        let due = spec.deadline.map(|deadline| after(released, deadline));
        let demand = Tick(known.unwrap_or_else(|| uniform(chance, spec.work_min, spec.work_max)));
        self.number += 1;
        Job { number, released, due, demand }
    }
}

/// The release of the job of this number in a list that may begin again, after the beginning, and what it uses, if that is known; after
/// the last it is never.
fn listed(releases: &[(u64, Option<u64>)], repeat: Option<u64>, number: u64) -> (u64, Option<u64>) {
    let count = releases.len().max(1) as u64;
    let (round, place) = (number / count, number % count);
    match (releases.get(place as usize), repeat) {
        (Some(first_time), _) if round == 0 => *first_time,
        (Some((at, work)), Some(repeat)) => (round.saturating_mul(repeat).saturating_add(*at), *work),
        _ => (Tick::NEVER.0, None),
    }
}

/// A number from `least` to `most`, each as likely but for less than one in 2³² of these spans. Nothing is drawn where there
/// is no choice.
fn uniform(state: &mut u64, least: u64, most: u64) -> u64 {
    if least >= most {
        return most;
    }
    let span = u128::from(most - least) + 1;
    least + ((u128::from(chance::draw(state)) * span) >> 64) as u64
}

/// An exponentially distributed number of this mean, rounded down; at most 37 times the mean.
fn exponential(state: &mut u64, mean: u64) -> u64 {
    let drawn = (chance::draw(state) >> 11) + 1;
    ((u128::from(minus_ln(drawn)) * u128::from(mean)) >> 32) as u64
}

/// −ln (x / 2⁵³) in 2⁻³², for x from 1 to 2⁵³.
fn minus_ln(x: u64) -> u64 {
    const LN_2: u128 = 0xb172_17f8; // In 2⁻³².
    let minus_log2 = (53 << 32) - log2(x);
    ((u128::from(minus_log2) * LN_2) >> 32) as u64
}

/// The logarithm to the base 2 of x, not 0, in 2⁻³², bit by bit: squaring x doubles its logarithm (Knuth, TAOCP volume 1,
/// 1.2.2, exercise 28).
fn log2(x: u64) -> u64 {
    let whole = x.ilog2();
    let mut normal = u128::from(x) << (63 - whole); // From 1 to 2, in 2⁻⁶³.
    let mut result = u64::from(whole);
    for _ in 0..32 {
        normal = (normal * normal) >> 63;
        let bit = (normal >> 64) as u64;
        normal >>= bit;
        result = result << 1 | bit;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(arrivals: Arrivals) -> Spec {
        Spec { arrivals, deadline: Some(50), work_min: 10, work_max: 20 }
    }

    fn jobs(spec: Spec, seed: u64, count: usize) -> Vec<Job> {
        let mut source = JobSource::new(spec, Tick(1000), seed);
        let mut completed = Tick(0);
        let mut next = || {
            let job = source.next(completed);
            completed = job.released.saturating_add(Tick(7));
            job
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn periodic_jobs_are_released_a_period_apart_and_due_in_their_time() {
        let jobs = jobs(spec(Arrivals::Periodic { period: 100, offset: 30 }), 1, 3);
        assert_eq!(jobs.iter().map(|job| job.released.0).collect::<Vec<_>>(), [1030, 1130, 1230]);
        assert_eq!(jobs[2].due, Some(Tick(1280)));
        assert_eq!(jobs.iter().map(|job| job.number).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn the_jobs_of_a_burst_are_released_together_and_bursts_apart() {
        let jobs = jobs(spec(Arrivals::Bursty { burst: 3, gap: 1000 }), 1, 300);
        for burst in jobs.chunks(3) {
            assert!(burst.iter().all(|job| job.released == burst[0].released));
        }
        assert!(jobs.chunks(3).map(|burst| burst[0].released).is_sorted());
        assert!((60_000..140_000).contains(&jobs[299].released.0), "a hundred gaps of 1000 in the mean");
    }

    #[test]
    fn an_interactive_job_is_released_after_the_one_before_was_done() {
        let jobs = jobs(spec(Arrivals::Interactive { think: 500 }), 1, 100);
        assert!(jobs.windows(2).all(|pair| pair[1].released.0 >= pair[0].released.0 + 7));
    }

    #[test]
    fn the_jobs_of_who_joins_late_begin_with_a_revolution_at_least_one_after_that() {
        let begins = |joins_ms| {
            let client = Client { joins_ms, ..Client::default() };
            not_before(&client, (Tick(7), Tick(100)), 1000).0
        };
        assert_eq!([begins(0), begins(1), begins(100), begins(101)], [0, 207, 207, 307]);
    }

    #[test]
    fn recorded_jobs_come_when_they_did_and_again_only_if_the_list_is_repeated() {
        let releases = alloc::vec![(5, Some(7)), (5, None), (90, Some(1))];
        let once = jobs(spec(Arrivals::Trace { releases: releases.clone(), repeat: None }), 1, 5);
        assert_eq!(once.iter().map(|job| job.released.0).collect::<Vec<_>>()[..3], [1005, 1005, 1090]);
        assert!(once[3..].iter().all(|job| job.released == Tick::NEVER && job.due == Some(Tick::NEVER)));
        assert_eq!((once[0].demand.0, once[2].demand.0, once[0].due), (7, 1, Some(Tick(1055))));
        assert!((10..=20).contains(&once[1].demand.0));
        let again = jobs(spec(Arrivals::Trace { releases, repeat: Some(100) }), 1, 7);
        assert_eq!([3, 4, 5, 6].map(|number| again[number].released.0), [1105, 1105, 1190, 1205]);
        let nothing = jobs(spec(Arrivals::Trace { releases: Vec::new(), repeat: Some(1) }), 1, 1);
        assert_eq!(nothing[0].released, Tick::NEVER);
    }

    #[test]
    fn thinking_times_and_demands_do_not_depend_on_when_jobs_are_done() {
        let spec = spec(Arrivals::Interactive { think: 500 });
        let (mut early, mut late) =
            (JobSource::new(spec.clone(), Tick(0), 9), JobSource::new(spec, Tick(0), 9));
        assert_eq!(early.next(Tick(0)), late.next(Tick(0)));
        for _ in 0..100 {
            let (one, other) = (early.next(Tick(0)), late.next(Tick(77_000)));
            assert_eq!((one.released.0 + 77_000, one.demand), (other.released.0, other.demand));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_jobs_and_another_name_or_core_others() {
        let spec = spec(Arrivals::Bursty { burst: 1, gap: 1000 });
        let of = |client, core| jobs(spec.clone(), seed(1, client, core), 10);
        assert_eq!(of("a", 0), of("a", 0));
        assert!(of("a", 0) != of("b", 0) && of("a", 0) != of("a", 1));
        assert!(seed(1, "a", 0) != seed(2, "a", 0));
    }

    #[test]
    fn demands_are_uniform_from_the_least_to_the_most() {
        let jobs = jobs(spec(Arrivals::Periodic { period: 1, offset: 0 }), 1, 11_000);
        for demand in 10..=20 {
            let count = jobs.iter().filter(|job| job.demand.0 == demand).count();
            assert!((880..=1120).contains(&count), "{demand}: {count}, 1000 with a sigma of 30");
        }
    }

    #[test]
    fn logarithms_are_exact_to_a_billionth() {
        for (x, expected) in [(1 << 53, 0.0), (1 << 52, core::f64::consts::LN_2), (1, 36.736_800_569_677_1)] {
            assert!((minus_ln(x) as f64 / 2f64.powi(32) - expected).abs() < 1e-8, "{x}");
        }
        let third = minus_ln((1 << 53) / 3) as f64 / 2f64.powi(32);
        assert!((third - 3f64.ln()).abs() < 1e-8, "{third}");
    }

    #[test]
    fn gaps_are_exponential() {
        let mut state = chance::seed(&[1]);
        let gaps: Vec<u64> = (0..100_000).map(|_| exponential(&mut state, 1_000_000)).collect();
        let mean = gaps.iter().sum::<u64>() / 100_000;
        assert!((990_000..1_010_000).contains(&mean), "{mean}, sigma 3162");
        for (means, expected) in [(1, 36_788), (2, 13_534), (3, 4_979)] {
            let above = gaps.iter().filter(|gap| **gap > means * 1_000_000).count();
            assert!(above.abs_diff(expected) < 460, "{above} above {means} means, {expected} expected");
        }
    }
}

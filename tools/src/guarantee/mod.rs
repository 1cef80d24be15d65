//! `./just guarantee`: whether what is promised is kept, and no less is promised than can be. Thousands of random sets of tasks ask for
//! guarantees on random patterns of slots, in the simulator, and some of them on the kernel.
//!
//! * [`draw`]: the sets. [`exact`]: who should have been taken on.
//!
//! Of each run it is asked: were just those taken on that the exact test takes on; did they miss no deadline; and did none take longer
//! than the analysis bounds.

pub mod draw;
pub mod exact;

use crate::guests::{self, Built, Images, Order};
use crate::metrics::{bounds, jobs};
use crate::recording::Recording;
use crate::run::{Stop, interrupted};
use crate::scenario::{self, Changes};
use crate::sim::{self, costs::Costs};
use crate::{Failure, hash, verdict};
use apps::scheduler::deadlines::{SLOT_OVERHEAD_US, TURN_COST_US};
use libos_core::jobs::ticks;
use libos_core::scenario::{LibOs, Scenario};
use libos_core::sched::steps::Step;
use libos_rt::deadlines::TURNS_PER_JOB;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

/// The libOS that the sets ask.
const LIBOS: &str = "tasks";
/// Simulations at a time.
const TOGETHER: usize = 2;

/// What one set came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// Its seed.
    pub seed: u64,
    /// Tasks that asked.
    pub asked: usize,
    /// That were taken on.
    pub taken_on: usize,
    /// Jobs of those.
    pub jobs: u64,
    /// What is wrong.
    pub wrong: Vec<String>,
}

/// All sets of one kind of run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Sets.
    pub sets: u64,
    /// Tasks that asked.
    pub asked: usize,
    /// That were taken on.
    pub taken_on: usize,
    /// Jobs of those.
    pub jobs: u64,
    /// The sets with which something is wrong.
    pub wrong: Vec<Judged>,
}

impl Sum {
    fn add(&mut self, judged: Judged) {
        self.sets += 1;
        self.asked += judged.asked;
        self.taken_on += judged.taken_on;
        self.jobs += judged.jobs;
        if !judged.wrong.is_empty() {
            self.wrong.push(judged);
        }
    }

    fn said(&self, on: &str) -> String {
        let Self { sets, asked, taken_on, jobs, wrong } = self;
        let mut text = format!(
            "{on}: {sets} sets, {taken_on} of {asked} tasks taken on, {jobs} jobs; {} sets with something wrong",
            wrong.len()
        );
        for judged in wrong {
            judged.wrong.iter().for_each(|line| text += &format!("\n  set {}: {line}", judged.seed));
        }
        text
    }
}

/// What is to be tried, on the command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    built: Built,
    /// Folder for the results, and for the scenarios and recordings of the kernel's runs
    #[arg(long, default_value = "out/guarantee")]
    out: PathBuf,
    /// Sets in the simulator
    #[arg(long, default_value_t = 10_000)]
    sets: u64,
    /// Sets on the kernel
    #[arg(long, default_value_t = 50)]
    on_kernel: u64,
    /// The first set's seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The command `guarantee`: whether all was right.
///
/// # Errors
/// If a run could not be made.
pub fn command(arguments: Arguments) -> Result<bool, Stop> {
    let Arguments { built, out, sets, on_kernel, seed } = arguments;
    let images = built.into_folder(out);
    let simulated = simulated(seed, sets)?;
    println!("{}", simulated.said("simulator"));
    let ran = on_the_kernel(&images, seed, on_kernel)?;
    println!("{}", ran.said("kernel"));
    let kernel = hash::of_files(&[&images.built.kernel])?;
    guests::save_results(&images.out, &Document { kernel, simulator: &simulated, on_kernel: &ran })?;
    Ok(simulated.wrong.is_empty() && ran.wrong.is_empty())
}

/// The results' file.
#[derive(Serialize)]
struct Document<'a> {
    /// Of the kernel's ELF file.
    kernel: String,
    simulator: &'a Sum,
    on_kernel: &'a Sum,
}

/// The first so many sets that can be had: not those of which a scenario's check says beforehand that they need more than there is.
fn drawn(first: u64, sets: u64) -> impl Iterator<Item = (u64, Scenario)> {
    let parsed = |seed| Some((seed, scenario::parse(&draw::scenario(seed), None, None).ok()?));
    (first..).filter_map(parsed).take(sets as usize)
}

/// Sets in the simulator, on several cores of the host; the same whatever their number is.
fn simulated(first: u64, sets: u64) -> Result<Sum, Stop> {
    let (costs, results) = (Costs::table()?, Mutex::new(Vec::new()));
    let next = Mutex::new(drawn(first, sets));
    let work = || -> Result<(), Stop> {
        loop {
            let one = next.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
            let Some((seed, scenario)) = one else { return Ok(()) };
            if interrupted() {
                return Err(Stop::Interrupted);
            }
            let run = sim::simulate(&scenario, &costs)?;
            let judged = judge(seed, &scenario, &run.recording)?;
            results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(judged);
        }
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..TOGETHER).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|one| {
            one.join().unwrap_or_else(|_| Err(Failure("a simulation panicked".into()).into()))
        })
    })?;
    let mut all = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    all.sort_by_key(|judged| judged.seed);
    let mut sum = Sum::default();
    all.into_iter().for_each(|judged| sum.add(judged));
    Ok(sum)
}

/// Sets on the kernel in QEMU.
fn on_the_kernel(images: &Images, first: u64, sets: u64) -> Result<Sum, Stop> {
    let (mut seeds, mut orders) = (Vec::new(), Vec::new());
    for (seed, _) in drawn(first, sets) {
        let scenario = guests::save_scenario(&images.out, &format!("set-{seed}"), &draw::scenario(seed))?;
        orders.push(Order { scenario, changes: Changes::default() });
        seeds.push(seed);
    }
    let mut sum = Sum::default();
    for (seed, made) in seeds.into_iter().zip(guests::all(images, &orders, Ok)?) {
        sum.add(judge(seed, &made.scenario, &made.recording)?);
    }
    Ok(sum)
}

/// What is to be said of a run.
fn judge(seed: u64, scenario: &Scenario, recording: &Recording) -> Result<Judged, Failure> {
    let missing = || Failure(format!("set {seed}: the recording has no scheduler of {LIBOS:?}"));
    let index = recording.schedulers.iter().position(|one| one.libos == LIBOS).ok_or_else(missing)?;
    let libos = scenario.libos.iter().find(|libos| libos.name == LIBOS).ok_or_else(missing)?;
    let scheduler = &recording.schedulers[index];
    let joined = |number: usize| {
        scheduler
            .steps
            .iter()
            .any(|step| matches!(step, Step::Join { client, .. } if usize::from(client.0) == number))
    };
    let taken_on: Vec<bool> = (0..scheduler.clients.len()).map(joined).collect();
    let expected =
        exact::accepted(libos.policy, &tasks(libos, recording), &slots(scenario, recording, index));
    let mut judged = Judged { seed, asked: taken_on.len(), ..Judged::default() };
    if taken_on != expected {
        judged
            .wrong
            .push(format!("{} took on {taken_on:?}, and the exact test {expected:?}", libos.policy.word()));
    }
    for (number, client) in scheduler.clients.iter().enumerate().filter(|(number, _)| taken_on[*number]) {
        judged.taken_on += 1;
        let Some(of) = jobs::measure(recording, &[*client]) else {
            judged.wrong.push(format!("t{} was taken on, and no job of its came", number + 1));
            continue;
        };
        if !verdict::has_guarantee(libos, &libos.clients[number]) {
            continue;
        }
        judged.jobs += of.judged;
        if of.misses > 0 {
            judged.wrong.push(format!("t{} missed {} deadlines of {}", number + 1, of.misses, of.judged));
        }
    }
    for bound in bounds::check(recording, index).into_iter().filter(|bound| !bound.holds) {
        judged.wrong.push(format!(
            "{} of {}: {} us, at most {} by analysis",
            bound.quantity, bound.client, bound.measured, bound.most
        ));
    }
    Ok(judged)
}

/// What the clients ask for, with what their turns cost.
fn tasks(libos: &LibOs, recording: &Recording) -> Vec<exact::Task> {
    let ticks = |microseconds| ticks(microseconds, recording.frequency);
    let cost = TURNS_PER_JOB * ticks(TURN_COST_US as u32);
    let task = |jobs: libos_core::scenario::Jobs| exact::Task {
        budget: ticks(jobs.budget_us) + cost,
        period: ticks(jobs.least_period_us()),
        deadline: ticks(jobs.deadline_us.unwrap_or(0)),
    };
    libos.clients.iter().filter_map(|client| client.jobs).map(task).collect()
}

/// The slots of a scheduler in the last whole revolution. They are given once, and stay.
fn slots(scenario: &Scenario, recording: &Recording, index: usize) -> exact::Slots {
    let count = recording.slots.max(1);
    let place = |begin: u64| begin.saturating_sub(recording.epoch) / recording.quantum;
    let last = place(recording.end) / count;
    let mut owned = vec![false; count as usize];
    for slice in recording.slices.iter().filter(|slice| slice.owner == Some(index)) {
        let place = place(slice.begin);
        if place / count + 1 == last {
            owned[(place % count) as usize] = true;
        }
    }
    let of = |microseconds| ticks(microseconds, recording.frequency);
    let (overhead, grace) = (of(SLOT_OVERHEAD_US as u32), of(scenario.grace_us));
    exact::Slots { owned, quantum: recording.quantum, overhead, grace }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_is_kept_and_no_less_is_promised_than_can_be() {
        let sum = simulated(1, 150).map_err(|_| "no run").unwrap();
        assert!(sum.wrong.is_empty(), "{}", sum.said("simulator"));
        // Neither everybody is taken on nor nobody.
        assert!(
            sum.sets == 150 && sum.taken_on * 10 > sum.asked * 4 && sum.taken_on < sum.asked,
            "{}",
            sum.said("")
        );
        assert!(sum.jobs > 1000);
    }

    #[test]
    fn who_misses_or_is_taken_on_wrongly_is_named() {
        let costs = Costs::table().unwrap();
        let (seed, scenario) = drawn(1, 1).next().unwrap();
        let mut recording = sim::simulate(&scenario, &costs).unwrap().recording;
        let index = recording.schedulers.iter().position(|one| one.libos == LIBOS).unwrap();
        let first = recording.schedulers[index].clients[0];
        for job in recording.jobs.iter_mut().filter(|job| job.client == first) {
            job.completed = job.due.map(|due| due + 1);
        }
        let said = judge(seed, &scenario, &recording).unwrap().wrong.join("; ");
        assert!(said.contains("t1 missed"), "{said}");
        recording.schedulers[index].steps.retain(|step| !matches!(step, Step::Join { .. }));
        let said = judge(seed, &scenario, &recording).unwrap().wrong.join("; ");
        assert!(said.contains("the exact test"), "{said}");
    }
}

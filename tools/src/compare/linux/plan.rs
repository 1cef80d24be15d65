//! A scenario's clients as processes of Linux: which weight, class and priority each gets, and its jobs, drawn here by the code
//! that draws them for our own machine. Not here: the words that they are written in (`linux_guest::plan`).
//!
//! Linux shares whole cores, and has no slots that several libOSes could own; so it runs scenarios of one libOS that is there
//! all the time. Every program is one that computes: what it computes is nothing to a scheduler.

use crate::recording::LinuxPolicy;
use libos_core::jobs::{self, JobSource, Spec};
use libos_core::scenario::{Arrivals, Client, LibOs, Policy, Scenario};
use libos_core::sched::Tick;
use linux_guest::plan::{After, Class, Job, Plan};

/// Most jobs of one client: 24 bytes each, twice, in a machine of 512 MiB.
const MOST_JOBS: usize = 1 << 18;
/// The range of `cpu.weight` (Linux, `Documentation/admin-guide/cgroup-v2.rst`).
const WEIGHTS: (u64, u64) = (1, 10_000);
/// Linux multiplies a weight by 1024/100 and rounds: multiples of this are exact.
const EXACT: u64 = 25;
/// Periods that `SCHED_DEADLINE` takes, in microseconds, and the least budget (Linux, `kernel/sched/deadline.c`).
const PERIODS_US: (u32, u32) = (100, 1 << 22);
const LEAST_BUDGET_US: u32 = 2;
/// Priorities of `SCHED_FIFO`.
const PRIORITIES: u64 = 99;
/// Room for a core's trace: so many bytes for each millisecond of the run hold 16 switches, and Linux hardly makes one.
const TRACE_BYTES_PER_MS: u64 = 1024;
/// And for all cores together no more than this, in KiB.
const MOST_TRACE_KIB: u64 = 128 << 10;
const NANOSECONDS: u64 = 1_000_000_000;

/// What Linux is to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The plan's file.
    pub bytes: Vec<u8>,
    /// The jobs of each client environment, in the order of [`crate::recording::Client::all`].
    pub jobs: Vec<Vec<Job>>,
}

/// Why Linux cannot run a scenario under a policy, in words; empty if it can.
pub fn refusals(scenario: &Scenario, policy: LinuxPolicy) -> Vec<String> {
    let mut all = Vec::new();
    let [libos] = &scenario.libos[..] else {
        let names: Vec<_> = scenario.libos.iter().map(|libos| &libos.name[..]).collect();
        return vec![format!(
            "Linux has no slots to share among {} libOSes ({})",
            names.len(),
            names.join(", ")
        )];
    };
    let name = &libos.name;
    if libos.policy == Policy::None {
        all.push(format!("{name} is the program {}, which runs on our kernel only", libos.program));
    }
    if libos.policy.is_global() && scenario.cores > 1 {
        all.push(format!(
            "{name}: under {} clients run on any core, and on Linux each is kept on one",
            libos.policy.word()
        ));
    }
    if libos.arrives_ms > 0 || libos.leaves_ms.is_some() {
        all.push(format!("{name} is not there all the time: on Linux nobody arrives or leaves"));
    }
    all.extend(
        scenario
            .hostile
            .iter()
            .map(|hostile| format!("{} breaks rules that Linux does not have", hostile.name)),
    );
    all.extend(libos.clients.iter().flat_map(|client| of_client(client, policy)));
    let together = libos.clients.iter().filter(|client| client.locking.is_some() || client.server.is_some());
    all.extend(
        together.map(|client| format!("{}: locks and servers are run on our kernel only", client.name)),
    );
    if policy == LinuxPolicy::Fifo && periods(libos).len() as u64 >= PRIORITIES {
        all.push(format!("SCHED_FIFO has {PRIORITIES} priorities, and {name} has more periods"));
    }
    if !libos.currencies.is_empty() {
        all.push(format!("{name} has currencies, and Linux does not"));
    }
    if !libos.is_steady() {
        all.push(format!(
            "{name}: clients that join late, leave early or change their tickets do not on Linux"
        ));
    }
    all.extend(unfaithful(libos));
    all
}

fn of_client(client: &Client, policy: LinuxPolicy) -> Vec<String> {
    let Some(jobs) = client.jobs.filter(|jobs| policy == LinuxPolicy::Deadline && jobs.deadline_us.is_some())
    else {
        return Vec::new();
    };
    let (least, most) = PERIODS_US;
    let mut all = Vec::new();
    if !(least..=most).contains(&jobs.least_period_us()) {
        let period = jobs.least_period_us();
        all.push(format!(
            "{}: SCHED_DEADLINE takes periods of {least} to {most} us (got {period})",
            client.name
        ));
    }
    if jobs.budget_us < LEAST_BUDGET_US {
        let budget = jobs.budget_us;
        all.push(format!(
            "{}: SCHED_DEADLINE takes budgets from {LEAST_BUDGET_US} us on (got {budget})",
            client.name
        ));
    }
    all
}

/// Clients whose tickets cannot be a weight to one part in a hundred.
fn unfaithful(libos: &LibOs) -> Vec<String> {
    let most = most_tickets(libos);
    let is_off = |client: &&Client| {
        let exact = u128::from(client.tickets) * u128::from(weight(most, most));
        let got = u128::from(weight(client.tickets.into(), most)) * u128::from(most);
        got.abs_diff(exact) * 100 > exact
    };
    let say = |client: &Client| {
        let (name, tickets) = (&client.name, client.tickets);
        format!(
            "{name}: weights of cgroups go from 1 to 10000, so {tickets} tickets beside {most} are not to be had"
        )
    };
    libos.clients.iter().filter(is_off).map(say).collect()
}

fn most_tickets(libos: &LibOs) -> u64 {
    libos.clients.iter().map(|client| client.tickets.into()).max().unwrap_or(1)
}

/// Tickets as a weight, where somebody has `most`: as many times as there is room for, so that Linux's rounding matters least.
fn weight(tickets: u64, most: u64) -> u64 {
    let (least, room) = WEIGHTS;
    match room / most {
        0 => (tickets * room + most / 2) / most,
        times @ 1..EXACT => tickets * times,
        times => tickets * (times - times % EXACT),
    }
    .max(least)
}

/// The periods of those with deadlines, the longest first.
fn periods(libos: &LibOs) -> Vec<u32> {
    let with_deadlines =
        libos.clients.iter().filter_map(|client| client.jobs).filter(|jobs| jobs.deadline_us.is_some());
    let mut all: Vec<u32> = with_deadlines.map(|jobs| jobs.least_period_us()).collect();
    all.sort_unstable_by(|one, other| other.cmp(one));
    all.dedup();
    all
}

/// How Linux schedules a client. Under `SCHED_FIFO` those without deadlines have the least priority, under `SCHED_DEADLINE`
/// they are ordinary processes.
fn class(client: &Client, policy: LinuxPolicy, periods: &[u32]) -> Class {
    let hurried = client.jobs.filter(|jobs| jobs.deadline_us.is_some());
    let nanoseconds = |us: u32| u64::from(us) * 1000;
    match (policy, hurried) {
        (LinuxPolicy::Eevdf, _) | (LinuxPolicy::Deadline, None) => Class::Fair,
        (LinuxPolicy::Fifo, None) => Class::Fifo { priority: 1 },
        (LinuxPolicy::Fifo, Some(jobs)) => {
            let rank = periods.iter().position(|period| *period == jobs.least_period_us()).unwrap_or(0);
            Class::Fifo { priority: rank as u64 + 2 }
        }
        (LinuxPolicy::Deadline, Some(jobs)) => Class::Deadline {
            runtime: nanoseconds(jobs.budget_us),
            deadline: nanoseconds(jobs.deadline_us.unwrap_or(jobs.least_period_us())),
            period: nanoseconds(jobs.least_period_us()),
        },
    }
}

/// What Linux is to run, on a machine whose counter ticks so often in a second.
///
/// # Errors
/// Why it cannot, in words.
pub fn plan(scenario: &Scenario, policy: LinuxPolicy, frequency: u64) -> Result<Planned, String> {
    let refused = refusals(scenario, policy);
    let [libos] = &scenario.libos[..] else { return Err(refused.join("; ")) };
    if !refused.is_empty() {
        return Err(refused.join("; "));
    }
    let (periods, most) = (periods(libos), most_tickets(libos));
    let duration = u64::from(scenario.duration_ms) * 1_000_000;
    let mut clients = Vec::new();
    for client in &libos.clients {
        for (core, _) in client.copies(scenario.cores) {
            let seed = jobs::seed(scenario.seed, &client.name, core);
            let jobs = drawn((scenario, client), seed, [duration, frequency])?;
            let (weight, class) = (weight(client.tickets.into(), most), class(client, policy, &periods));
            let jobs_count = jobs.len() as u64;
            clients.push((
                linux_guest::plan::Client { core: core.into(), weight, class, jobs: jobs_count },
                jobs,
            ));
        }
    }
    let room = (u64::from(scenario.duration_ms) * TRACE_BYTES_PER_MS / 1024).max(1024);
    let head = Plan {
        duration,
        cores: scenario.cores.into(),
        trace_kib: room.min(MOST_TRACE_KIB / u64::from(scenario.cores.max(1))),
        clients: clients.len() as u64,
        jobs: clients.iter().map(|(client, _)| client.jobs).sum(),
    };
    let mut bytes = Vec::new();
    let mut put = |word: u64| bytes.extend(word.to_le_bytes());
    head.encode(&mut put);
    for (client, jobs) in &clients {
        client.encode(&mut put);
        jobs.iter().for_each(|job| job.encode(&mut put));
    }
    Ok(Planned { bytes, jobs: clients.into_iter().map(|(_, jobs)| jobs).collect() })
}

/// All jobs that may be released in a run. An interactive client's next job is released some time after the last one was done,
/// which is no earlier than if it had had the CPU at once.
fn drawn(
    (scenario, client): (&Scenario, &Client),
    seed: u64,
    [duration, frequency]: [u64; 2],
) -> Result<Vec<Job>, String> {
    let Some(jobs) = client.jobs else { return Ok(Vec::new()) };
    let nanoseconds = |ticks: u64| {
        u64::try_from(u128::from(ticks) * u128::from(NANOSECONDS) / u128::from(frequency)).unwrap_or(u64::MAX)
    };
    let waits = matches!(jobs.arrivals, Arrivals::Interactive { .. });
    let mut source = JobSource::new(Spec::new(&jobs, &scenario.traces, frequency), Tick(0), seed);
    let (mut all, mut before, mut earliest) = (Vec::new(), 0, 0);
    loop {
        let job = source.next(Tick(0));
        let gap = if waits { job.released.0 } else { job.released.0 - before };
        before = job.released.0;
        earliest = nanoseconds(gap).saturating_add(earliest);
        if earliest >= duration {
            return Ok(all);
        }
        if all.len() == MOST_JOBS {
            return Err(format!(
                "{}: more than {MOST_JOBS} jobs in a run are too many for Linux's machine",
                client.name
            ));
        }
        let after = if waits && job.number > 0 { After::Completion } else { After::Release };
        all.push(Job { after, gap: nanoseconds(gap), demand: nanoseconds(job.demand.0) });
        earliest += if waits { nanoseconds(job.demand.0) } else { 0 };
    }
}

#[cfg(test)]
mod tests;

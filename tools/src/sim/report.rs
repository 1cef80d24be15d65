//! A simulated run as the guest would report it, so that its figures have the same form as a kernel's run: `results.json`.
//!
//! Not here: how figures are computed from reports (`results`).

use super::Run;
use super::activation::Activation;
use super::costs::Overhead;
use super::policy::{Any, Terms};
use crate::metrics::guarantees::gaps;
use crate::outcome::Outcome;
use crate::recording::{Job, Recording, Scheduler};
use apps::scheduler::deadlines::{bound, standing};
use libos_core::jobs;
use libos_core::report::{self, Client, Figures, Jobs, Ledger, LibOs, Start, Succession};
use libos_core::scenario;
use libos_core::sched::dispatch::{Observer, Turn};
use libos_core::sched::measure::Responses;
use libos_core::sched::steps::Step;
use libos_core::sched::watch::ShareWatch;
use libos_core::sched::{ClientId, Demand, Policy, TurnEnd};
use libos_rt::guarantee::Guarantees;
use std::collections::BTreeMap;
use tranche_abi::{Outcome as Ended, Reason, Tick};

/// The board's number of a machine that is none.
const NO_BOARD: u64 = 0;

/// Everything that the guest would have said.
pub fn outcome(run: &Run) -> Outcome {
    let recording = &run.recording;
    let mut outcome = Outcome { start: Some(start(recording)), ..Outcome::default() };
    for party in &run.broker.parties {
        outcome.slots.push(party.account.clone());
        outcome.libos.push(libos(recording, party.arrived, party.left, &party.account.owner));
    }
    let cores = run.cores.len();
    // A recording's schedulers are in the order of libOSes, each on all cores; after them, those that took over.
    let began = &recording.schedulers[..run.broker.parties.len() * cores];
    for (place, scheduler) in began.iter().enumerate() {
        let activation = &run.cores[place % cores].activations[place / cores];
        outcome.clients.extend(clients(recording, scheduler, activation));
        outcome.successions.extend(succession(scheduler, activation));
    }
    outcome.ledger = (0..run.cores.len()).map(|core| ledger(run, core)).collect();
    outcome
}

/// Its other policy took over.
fn succession(scheduler: &Scheduler, activation: &Activation) -> Option<Succession> {
    let heir = activation.heir.as_ref()?;
    let taken = heir.taken?;
    Some(Succession {
        libos: scheduler.libos.clone(),
        core: scheduler.core.into(),
        from: scheduler.policy,
        to: heir.name,
        clients: scheduler.clients.len() as u64,
        began: taken.began,
        done: taken.done,
    })
}

fn start(recording: &Recording) -> Start {
    Start {
        version: report::VERSION,
        board: NO_BOARD,
        gic: 0,
        cores: recording.cores.into(),
        frequency: recording.frequency,
        quantum: recording.quantum,
        slots: recording.slots,
        epoch: recording.epoch,
        scenario: recording.scenario.clone(),
        seed: recording.seed,
        state: None,
    }
}

fn libos(recording: &Recording, arrived: u64, left: Option<u64>, name: &str) -> LibOs {
    let of = recording.schedulers.iter().filter(|scheduler| scheduler.libos == name);
    let mut sum = LibOs {
        name: name.into(),
        policy: scenario::Policy::None,
        arrived,
        left: left.unwrap_or(recording.end),
        decisions: 0,
        clients_ran: 0,
        own: 0,
    };
    for scheduler in of {
        if sum.policy == scenario::Policy::None {
            sum.policy = scheduler.policy;
        }
        sum.own += scheduler.own;
        for step in &scheduler.steps {
            match step {
                Step::Decided { .. } => sum.decisions += 1,
                Step::Charged { ran, .. } => sum.clients_ran += ran.0,
                _ => {}
            }
        }
    }
    sum
}

/// What a scheduler's clients were charged.
#[derive(Clone, Copy, Debug, Default)]
struct Charged {
    turns: u64,
    ran: u64,
}

/// A scheduler's clients. Shares are measured by the watch that measures them on the kernel, told the same steps.
fn clients(recording: &Recording, scheduler: &Scheduler, activation: &Activation) -> Vec<Client> {
    let same = |one: &&Scheduler| one.libos == scheduler.libos && one.core == scheduler.core;
    let parts: Vec<_> = recording.schedulers.iter().filter(same).collect();
    let mut charged = BTreeMap::new();
    let watches: Vec<_> = parts.iter().map(|part| measured((recording, part), &mut charged)).collect();
    let (turns_total, ran_total) =
        charged.values().fold((0, 0), |(turns, ran), one| (turns + one.turns, ran + one.ran));
    let tickets = |index: &usize| u64::from(recording.clients[*index].tickets);
    let tickets_total = scheduler.clients.iter().map(tickets).sum();
    let client = |(id, index): (usize, &usize)| {
        let id = ClientId(id as u16);
        let Charged { turns, ran } = charged.get(&id).copied().unwrap_or_default();
        let jobs = own_account(recording, *index, |_| true);
        let pairwise = watches[0].pairwise.worst_of(id).ceiling().0;
        let demand = match scheduler.policy {
            // The rule was not the same all the time.
            _ if parts.len() > 1 => Figures::Unpromised,
            policy if policy.is_for_shares() => Figures::Share {
                tickets: tickets(index),
                tickets_total,
                turns_total,
                ran_total,
                pairwise_error_millionths: Some(pairwise * 1_000_000 / recording.quantum.max(1)),
            },
            _ => periodic(recording, (scheduler, id), activation),
        };
        let has_jobs = recording.jobs.iter().any(|job| job.client == *index);
        Client {
            libos: scheduler.libos.clone(),
            name: recording.clients[*index].name.clone(),
            core: recording.clients[*index].core.map(u64::from),
            ran,
            turns,
            work_units: 0,
            checks_passed: 0,
            checks_failed: 0,
            demand,
            jobs: has_jobs.then_some(jobs),
        }
    };
    scheduler.clients.iter().enumerate().map(client).collect()
}

/// The jobs of a client while it had a guarantee, if it ever had one.
fn periodic(
    recording: &Recording,
    (scheduler, id): (&Scheduler, ClientId),
    activation: &Activation,
) -> Figures {
    let number = usize::from(id.0);
    let (index, roll) = (scheduler.clients[number], &activation.warden.roll);
    let of = &recording.clients[index];
    // Whoever has no deadline is promised nothing of its responses, whoever else comes or goes.
    let Some(deadline) = of.deadline else { return Figures::Unpromised };
    let period = of.period.unwrap_or(0);
    let [first_release, budget, due] = [0, 0, deadline].map(Tick);
    let demand = Demand::Periodic { first_release, budget, period: Tick(period), deadline: due };
    let analysed = activation.scheduler.policy.response_bound(id);
    let Some(bound) = bound(roll, (id, demand), analysed) else { return Figures::Unpromised };
    let gaps = gaps(&scheduler.steps, id);
    let kept = own_account(recording, index, |job| gaps.iter().all(|gap| !gap.concerns(job)));
    Figures::Periodic {
        budget: 0,
        period,
        deadline,
        jobs: kept.jobs,
        misses: kept.misses,
        max_response: kept.max_response,
        response_bound: bound.0,
        standing: standing(roll, id, activation.clients[number].dropped()),
    }
}

/// Tells the steps again, to the policy and to those who watch it; what clients are charged is added.
fn measured(
    (recording, scheduler): (&Recording, &Scheduler),
    charged: &mut BTreeMap<ClientId, Charged>,
) -> ShareWatch {
    let mut watch = ShareWatch::default();
    let terms = Terms::again(recording, scheduler, Overhead::default());
    let Some(mut policy) = Any::new(scheduler.policy, terms) else { return watch };
    for step in &scheduler.steps {
        match *step {
            Step::Join { client, demand, now } => {
                // It was taken on when this was recorded.
                let _ = policy.join(client, demand, now);
                let tickets = recording.clients[scheduler.clients[usize::from(client.0)]].tickets;
                watch.join(client, tickets);
            }
            Step::Leave { client, now } => {
                policy.leave(client, now);
                watch.leave(client);
            }
            Step::Woken { client, now } => policy.wake(client, now),
            Step::Tickets { client, tickets, now } => {
                policy.set_tickets(client, tickets, now);
                watch.inflated(&policy, client, tickets, now);
            }
            Step::Lent { loan, now } => {
                watch.lent(&policy, loan, now);
                policy.lend(loan.from, loan.to, now);
            }
            Step::Decided { now, decision } => {
                policy.pick(now);
                watch.decided(&policy, decision, now);
            }
            Step::Idle { now, .. } => _ = policy.pick(now),
            Step::Charged { client, ran, end, now } => {
                let reason = match end {
                    TurnEnd::Waiting(_) => Reason::Waiting,
                    TurnEnd::Gone => Reason::Gone,
                    TurnEnd::Yielded => Reason::Yielded,
                    TurnEnd::Ready => Reason::Expired,
                };
                let outcome = Ended { reason, ran, detail: 0, now };
                watch.charged(&policy, &Turn { client, outcome, end });
                policy.charge(client, ran, end, now);
                let charged = charged.entry(client).or_default();
                (charged.turns, charged.ran) = (charged.turns + 1, charged.ran + ran.0);
            }
        }
    }
    watch
}

/// What a client would say of some of its jobs.
fn own_account(recording: &Recording, index: usize, is_meant: impl Fn(&Job) -> bool) -> Jobs {
    let mut responses = Responses::default();
    let (mut late, mut wrong_demands) = (0, 0);
    let tolerance = jobs::ticks(jobs::DEMAND_TOLERANCE_US, recording.frequency);
    for job in recording.jobs.iter().filter(|job| job.client == index && is_meant(job)) {
        // Without a deadline it is due so late that lateness, a signed number, is never above 0.
        let due = job.due.unwrap_or(i64::MAX as u64);
        match job.completed {
            Some(done) => {
                responses.record(Tick(job.released), Tick(due), Tick(done));
                wrong_demands += u64::from(jobs::is_wrong_demand(job.used, job.demand, tolerance));
            }
            None => late += u64::from(due < recording.horizon(job)),
        }
    }
    Jobs {
        deadline: recording.clients[index].deadline,
        jobs: responses.jobs,
        misses: responses.misses + late,
        max_response: responses.max_response.0,
        wrong_demands,
    }
}

/// A core's ledger: its buckets add up to the time.
fn ledger(run: &Run, core: usize) -> Ledger {
    let recording = &run.recording;
    let there = &run.cores[core];
    let own = recording.schedulers.iter().filter(|scheduler| scheduler.core as usize == core);
    let own = own.map(|scheduler| (scheduler.libos.clone(), scheduler.own));
    let mut clients: BTreeMap<usize, u64> = BTreeMap::new();
    for turn in recording.turns.iter().filter(|turn| turn.core as usize == core) {
        *clients.entry(turn.client).or_default() += turn.ran;
    }
    let name = |index: usize| format!("{}/{}", recording.clients[index].libos, recording.clients[index].name);
    let clients = clients.into_iter().map(|(index, ran)| (name(index), ran));
    let broker = std::iter::once(("broker".to_string(), there.ledger.broker));
    Ledger {
        core: core as u64,
        kernel: there.ledger.kernel,
        idle: there.ledger.idle,
        excess: 0,
        gone: 0,
        environments: broker.chain(own).chain(clients).collect(),
        elapsed: recording.end,
    }
}

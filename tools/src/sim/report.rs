//! A simulated run as the guest would report it, so that its figures have the same form as a kernel's run: `results.json`.
//!
//! Not here: how figures are computed from reports (`results`).

use super::Run;
use super::activation::Activation;
use super::costs::Overhead;
use super::policy::{Any, Terms};
use crate::outcome::Outcome;
use crate::recording::{Recording, Scheduler};
use libos_core::jobs;
use libos_core::report::{self, Client, Figures, Jobs, Ledger, LibOs, Start};
use libos_core::scenario;
use libos_core::sched::dispatch::{Observer, Turn};
use libos_core::sched::measure::Responses;
use libos_core::sched::steps::Step;
use libos_core::sched::watch::ShareWatch;
use libos_core::sched::{ClientId, Policy, TurnEnd};
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
    for (place, scheduler) in recording.schedulers.iter().enumerate() {
        // A recording's schedulers are in the order of libOSes, each on all cores.
        let activation = &run.cores[place % cores].activations[place / cores];
        outcome.clients.extend(clients(recording, scheduler, activation));
    }
    outcome.ledger = (0..run.cores.len()).map(|core| ledger(run, core)).collect();
    outcome
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
        sum.policy = scheduler.policy;
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
    let (watch, charged) = measured(recording, scheduler);
    let (turns_total, ran_total) =
        charged.values().fold((0, 0), |(turns, ran), one| (turns + one.turns, ran + one.ran));
    let tickets = |index: &usize| u64::from(recording.clients[*index].tickets);
    let tickets_total = scheduler.clients.iter().map(tickets).sum();
    let client = |(id, index): (usize, &usize)| {
        let id = ClientId(id as u16);
        let Charged { turns, ran } = charged.get(&id).copied().unwrap_or_default();
        let jobs = own_account(recording, *index);
        let pairwise = watch.pairwise.worst_of(id).ceiling().0;
        let demand = match scheduler.policy {
            policy if policy.is_for_shares() => Figures::Share {
                tickets: tickets(index),
                tickets_total,
                turns_total,
                ran_total,
                pairwise_error_millionths: Some(pairwise * 1_000_000 / recording.quantum.max(1)),
            },
            _ => activation.response_bound(id).map_or(Figures::Unpromised, |bound| Figures::Periodic {
                budget: 0,
                period: recording.clients[*index].period.unwrap_or(0),
                deadline: jobs.deadline.unwrap_or(0),
                jobs: jobs.jobs,
                misses: jobs.misses,
                max_response: jobs.max_response,
                response_bound: bound.0,
            }),
        };
        let has_jobs = recording.jobs.iter().any(|job| job.client == *index);
        Client {
            libos: scheduler.libos.clone(),
            name: recording.clients[*index].name.clone(),
            core: scheduler.core.into(),
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

/// Tells the steps again, to the policy and to those who watch it.
fn measured(recording: &Recording, scheduler: &Scheduler) -> (ShareWatch, BTreeMap<ClientId, Charged>) {
    let mut watch = ShareWatch::default();
    let mut charged: BTreeMap<ClientId, Charged> = BTreeMap::new();
    let terms = Terms::of(recording, scheduler, Overhead::default());
    let Some(mut policy) = Any::new(scheduler.policy, terms) else { return (watch, charged) };
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
    (watch, charged)
}

/// What a client would say of its jobs.
fn own_account(recording: &Recording, index: usize) -> Jobs {
    let mut responses = Responses::default();
    let (mut late, mut wrong_demands) = (0, 0);
    let tolerance = jobs::ticks(jobs::DEMAND_TOLERANCE_US, recording.frequency);
    for job in recording.jobs.iter().filter(|job| job.client == index) {
        let due = job.due.unwrap_or(u64::MAX);
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

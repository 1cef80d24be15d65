//! The simulator against what is known: textbook answers, conservation of time, its own recordings.

mod answers;
mod changes;
mod criticality;
mod laws;
mod random;
mod swap;

use super::costs::Costs;
use super::{Run, simulate};
use crate::recording::Recording;
use libos_core::scenario::{
    Admission, Arrivals, Broker, Client, Jobs, LibOs, Mode, Placement, Policy, Scenario,
};

/// Ticks per second in tests: a tick is a microsecond.
pub const MEGAHERTZ: u64 = 1_000_000;

/// A libOS that schedules its clients on all slots of its cores.
pub fn libos(policy: Policy, clients: Vec<Client>) -> LibOs {
    LibOs {
        name: "one".into(),
        program: "one".into(),
        policy,
        frames: 1,
        income: 100,
        want: 10,
        clients,
        ..LibOs::default()
    }
}

/// A client on a core that computes without end.
pub fn endless(name: &str, tickets: u32, core: u32) -> Client {
    let placement = Placement::Core(core);
    Client { name: name.into(), program: "spin".into(), tickets, placement, frames: 1, ..Client::default() }
}

/// A client on a core with a job in every period, due at the end of it. In milliseconds.
pub fn periodic(name: &str, (work_ms, period_ms): (u32, u32), core: u32) -> Client {
    let jobs = Jobs {
        arrivals: Arrivals::Periodic { period_us: period_ms * 1000, offset_us: 0 },
        budget_us: work_ms * 1000,
        deadline_us: Some(period_ms * 1000),
        work_min_us: work_ms * 1000,
        work_us: work_ms * 1000,
    };
    Client { jobs: Some(jobs), ..endless(name, 1, core) }
}

/// A run of libOSes that share ten slots of a millisecond on each core, of which the broker keeps none.
pub fn scenario(cores: u32, duration_ms: u32, libos: Vec<LibOs>) -> Scenario {
    Scenario {
        name: "test".into(),
        duration_ms,
        cores,
        quantum_us: 1000,
        slots: 10,
        grace_us: 50,
        seed: 1,
        trace: false,
        broker: Broker { mode: Mode::Static, slots: 0, patience_ms: 20 },
        libos,
        hostile: Vec::new(),
        traces: Vec::new(),
    }
}

/// The run if nothing costs anything.
pub fn ideal(scenario: &Scenario) -> Run {
    simulate(scenario, &Costs::nothing(MEGAHERTZ)).unwrap()
}

/// What happened to three tasks of two thirds on two cores that share EDZL, of whose slots the broker has one in ten.
pub fn global() -> Recording {
    let clients =
        ["a", "b", "c"].map(|name| Client { placement: Placement::Anywhere, ..periodic(name, (2, 3), 0) });
    let libos = LibOs { want: 9, ..libos(Policy::Edzl, clients.into()) };
    let mut scenario = scenario(2, 300, vec![libos]);
    scenario.broker.slots = 1;
    ideal(&scenario).recording
}

#[test]
fn what_is_not_simulated_is_named() {
    let mut party = libos(Policy::None, Vec::new());
    party.name = "threads".into();
    let refused = simulate(&scenario(1, 100, vec![party]), &Costs::nothing(MEGAHERTZ)).unwrap_err();
    assert!(refused.0.contains("libOS threads"), "{refused}");
}

#[test]
fn a_client_whose_libos_has_left_has_no_jobs_that_come_later() {
    let tasks = vec![periodic("short", (1, 10), 0), periodic("starved", (9, 20), 0)];
    let fifo = LibOs { admission: Admission::Off, want: 9, ..libos(Policy::Fifo, tasks) };
    let leaving = LibOs { leaves_ms: Some(300), ..fifo };
    let recording = ideal(&scenario(1, 1000, vec![leaving])).recording;
    let until = recording.clients[0].until;
    assert!((300_000..recording.end - 500_000).contains(&until), "{until} of {}", recording.end);
    assert!(recording.jobs.len() > 20 && recording.jobs.iter().all(|job| job.released < until));
}

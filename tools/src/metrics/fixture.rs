//! Small recordings, worked out by hand, for tests. Ticks are microseconds.

use crate::recording::{Client, Job, Recording, Scheduler, Slice, Source, Turn};
use libos_core::scenario::{Admission, Policy};
use libos_core::sched::steps::Step;
use libos_core::sched::{ClientId, Decision, Demand, Tick, TurnEnd};

/// Length of a quantum, in ticks.
pub const QUANTUM: u64 = 1000;

fn empty() -> Recording {
    Recording {
        source: Source::Simulator,
        scenario: "fixture".into(),
        seed: 1,
        cores: 1,
        frequency: 1_000_000,
        quantum: QUANTUM,
        slots: 4,
        epoch: 0,
        end: 0,
        clients: Vec::new(),
        schedulers: Vec::new(),
        slices: Vec::new(),
        turns: Vec::new(),
        jobs: Vec::new(),
        lost: 0,
        cost: None,
    }
}

/// A client `a`, `b`, … with tickets.
fn client(number: usize, tickets: u32) -> Client {
    let name = char::from(b'a' + number as u8).to_string();
    Client {
        libos: "one".into(),
        name,
        core: Some(0),
        tickets,
        deadline: None,
        period: None,
        until: u64::MAX,
    }
}

/// Clients that compute without end get these turns, of a quantum each, one after the other and without any cost.
pub fn turns(tickets: &[u32], order: &[usize]) -> Recording {
    let mut recording = empty();
    recording.end = order.len() as u64 * QUANTUM;
    let ids = || (0..tickets.len()).map(|number| ClientId(number as u16));
    let mut steps: Vec<Step> = ids()
        .zip(tickets)
        .map(|(client, tickets)| Step::Join {
            client,
            demand: Demand::Share { tickets: *tickets },
            now: Tick(0),
        })
        .collect();
    for (number, who) in order.iter().enumerate() {
        let (begin, end) = (number as u64 * QUANTUM, (number as u64 + 1) * QUANTUM);
        let client = ClientId(*who as u16);
        steps.push(Step::Decided { now: Tick(begin), decision: Decision { client, until: Tick(end) } });
        steps.push(Step::Charged { client, ran: Tick(QUANTUM), end: TurnEnd::Ready, now: Tick(end) });
        recording.turns.push(Turn { client: *who, core: 0, begin, end, ran: QUANTUM });
        recording.slices.push(Slice { core: 0, begin, end, owner: Some(0) });
    }
    recording.clients =
        tickets.iter().enumerate().map(|(number, tickets)| client(number, *tickets)).collect();
    recording.schedulers.push(Scheduler {
        libos: "one".into(),
        core: 0,
        policy: Policy::Stride,
        admission: Admission::Off,
        clients: (0..tickets.len()).collect(),
        currencies: Default::default(),
        steps,
        step_cores: Vec::new(),
        own: 0,
    });
    recording
}

/// Two clients of one ticket each, in turn.
pub fn alternating(quanta: usize) -> Recording {
    turns(&[1, 1], &(0..quanta).map(|turn| turn % 2).collect::<Vec<_>>())
}

/// A job of client 0 that needs 4 ticks.
pub fn job(number: u64, released: u64, due: Option<u64>, completed: Option<u64>) -> Job {
    Job { client: 0, number, released, due, completed, demand: 4, used: 4 }
}

/// One client under EDF, alone on a core for 100 ticks: every 20 ticks a job of 4, decided on 1 after its release, begun
/// after 2, done after 6, charged after 7; nobody is ready from 8 on.
pub fn periodic() -> Recording {
    let mut recording = empty();
    (recording.quantum, recording.slots, recording.end) = (100, 1, 100);
    recording.clients = vec![Client { deadline: Some(20), period: Some(20), ..client(0, 1) }];
    recording.slices = vec![Slice { core: 0, begin: 0, end: 100, owner: Some(0) }];
    let id = ClientId(0);
    let demand =
        Demand::Periodic { first_release: Tick(0), budget: Tick(5), period: Tick(20), deadline: Tick(20) };
    let mut steps = vec![Step::Join { client: id, demand, now: Tick(0) }];
    for (number, release) in (0..100).step_by(20).enumerate() {
        let after = |ticks: u64| Tick(release + ticks);
        steps.push(Step::Decided { now: after(1), decision: Decision { client: id, until: after(10) } });
        let end = TurnEnd::Waiting(after(20));
        steps.push(Step::Charged { client: id, ran: Tick(4), end, now: after(7) });
        steps.push(Step::Idle { now: after(8), until: after(20) });
        recording.turns.push(Turn { client: 0, core: 0, begin: release + 2, end: release + 6, ran: 4 });
        recording.jobs.push(job(number as u64, release, Some(release + 20), Some(release + 6)));
    }
    recording.schedulers.push(Scheduler {
        libos: "one".into(),
        core: 0,
        policy: Policy::Edf,
        admission: Admission::Off,
        clients: vec![0],
        currencies: Default::default(),
        steps,
        step_cores: Vec::new(),
        own: 6,
    });
    recording
}

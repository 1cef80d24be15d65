//! A run without a fault, for tests: its scenario, machine and reports.

use super::ONE_QUANTUM;
use crate::qemu::{Board, Clock, Machine};
use libos_core::report::{
    Client, Figures, Fuzz, FuzzAccount, FuzzCall, Hostile, Ledger, LibOs, Record, Slots, Standing, Start,
};
use libos_core::scenario::{Policy, Scenario};

const MACHINE: &str = r#"
name = "test"
duration_ms = 1000
cores = 2
slots = 10
seed = 7
trace = false
[broker]
slots = 1
"#;

/// A libOS that shares out its time; its name and policy are put in.
const SHARING: &str = r#"
[[libos]]
name = "NAME"
policy = "POLICY"
income = 10
want = 4
[[libos.clients]]
name = "a"
program = "sha256"
tickets = 3
replicate = true
[[libos.clients]]
name = "b"
program = "sha256"
tickets = 1
replicate = true
"#;

const OTHERS: &str = r#"
[[libos]]
name = "deadlines"
policy = "edf"
want = 2
minimum = 2
[[libos.clients]]
name = "t"
program = "control"
budget_us = 1000
period_us = 10000
replicate = true
[[libos]]
name = "calls"
program = "fuzz"
policy = "none"
want = 1
minimum = 1
calls = 50
[[hostile]]
name = "bad"
behaviour = ["loop", "forged-capabilities"]
slots = 2
asked_ms = [200, 400]
"#;

const FREQUENCY: u64 = 62_500_000;
const MS: u64 = FREQUENCY / 1000;
/// When the run's first slice began.
const EPOCH: u64 = 12_345;

pub(crate) fn scenario() -> Scenario {
    let sharing = |name, policy| SHARING.replace("NAME", name).replace("POLICY", policy);
    let text = [MACHINE, &sharing("shares", "stride"), &sharing("lots", "lottery"), OTHERS].concat();
    crate::scenario::parse(&text, None, None).unwrap()
}

pub(crate) fn machine() -> Machine {
    Machine { board: Board::Virt, cores: 2, gic: 3, clock: Clock::Instructions }
}

fn share(libos: &str, name: &str, core: u64, (tickets, tickets_total): (u64, u64), turns: u64) -> Client {
    let demand = Figures::Share {
        tickets,
        tickets_total,
        turns_total: 400,
        ran_total: 400 * MS,
        pairwise_error_millionths: Some(ONE_QUANTUM),
    };
    client(libos, name, core, turns, demand)
}

fn client(libos: &str, name: &str, core: u64, turns: u64, demand: Figures) -> Client {
    let (libos, name) = (libos.into(), format!("{name}/{core}"));
    Client {
        libos,
        name,
        core: Some(core),
        ran: turns * MS,
        turns,
        work_units: 5,
        checks_passed: 5,
        checks_failed: 0,
        demand,
        jobs: None,
    }
}

pub(crate) fn records() -> Vec<Record> {
    let mut all = vec![Record::Start(start())];
    all.push(Record::Progress { revolution: 100, of: 100, now: 1000 * MS });
    for (name, policy) in [("shares", Policy::Stride), ("lots", Policy::Lottery), ("deadlines", Policy::Edf)]
    {
        all.push(Record::LibOs(libos(name, policy)));
        let owner = name.into();
        all.push(Record::Slots(Slots { owner, revolutions: 100, owned: 405, won: 8, ..Slots::default() }));
    }
    all.push(Record::LibOs(libos("calls", Policy::None)));
    all.push(Record::Fuzz(fuzz()));
    for core in 0..2 {
        all.extend(clients(core).map(Record::Client));
        all.push(Record::Ledger(ledger(core)));
    }
    all.push(Record::Hostile(hostile()));
    all.push(Record::End { passed: true, code: 0, state: None });
    all
}

fn start() -> Start {
    Start {
        version: 1,
        board: 1,
        gic: 3,
        cores: 2,
        frequency: FREQUENCY,
        quantum: MS,
        slots: 10,
        epoch: EPOCH,
        scenario: "test".into(),
        seed: 7,
        state: None,
    }
}

fn fuzz() -> Fuzz {
    let account = FuzzAccount { frames: 9, environments: 4, handles: 200, slots: 2 };
    let row = |name: &str, made, accepted| FuzzCall { name: name.into(), made, accepted };
    Fuzz {
        name: "calls".into(),
        calls: vec![row("null", 40, 40), row("bind", 5, 1), row("unknown", 5, 0)],
        refused: vec![("Forged".into(), 4)],
        reflected: 5,
        environments: 3,
        before: account,
        after: account,
        ..Fuzz::default()
    }
}

fn libos(name: &str, policy: Policy) -> LibOs {
    LibOs {
        name: name.into(),
        policy,
        arrived: EPOCH,
        left: EPOCH + 1000 * MS,
        decisions: 800,
        clients_ran: 800 * MS,
        own: MS,
    }
}

fn clients(core: u64) -> [Client; 5] {
    let periodic = Figures::Periodic {
        budget: MS,
        period: 10 * MS,
        deadline: 10 * MS,
        jobs: 100,
        misses: 0,
        max_response: 5 * MS,
        response_bound: 5 * MS,
        standing: Standing { is_guaranteed: true, ..Standing::default() },
    };
    [
        // With two clients, each may be off by one quantum.
        share("shares", "a", core, (3, 4), 301),
        share("shares", "b", core, (1, 4), 99),
        // 300 and 100 expected, sigma over both cores √(800·¾·¼) = 12.2.
        share("lots", "a", core, (3, 4), 312),
        share("lots", "b", core, (1, 4), 88),
        client("deadlines", "t", core, 150, periodic),
    ]
}

fn ledger(core: u64) -> Ledger {
    let environments = vec![("shares".into(), 500 * MS + 1), ("bad".into(), 499 * MS)];
    Ledger { core, elapsed: 1000 * MS, kernel: MS - 3, idle: 1, gone: 1, environments, ..Ledger::default() }
}

fn hostile() -> Hostile {
    Hostile {
        name: "bad".into(),
        asked: 4,
        repossessions: 4,
        forged: 9,
        forged_refused: 9,
        ..Hostile::default()
    }
}

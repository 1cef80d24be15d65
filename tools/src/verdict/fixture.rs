//! A run without a fault, for tests: its scenario, machine and reports.

use super::ONE_QUANTUM;
use crate::qemu::{Board, Clock, Machine};
use libos_core::report::{Client, Figures, Hostile, Ledger, LibOs, Record, Slots, Start};
use libos_core::scenario::{Policy, Scenario};

const SCENARIO: &str = r#"
name = "test"
duration_ms = 1000
cores = 2
slots = 10
seed = 7
[broker]
slots = 1
[[libos]]
name = "shares"
policy = "stride"
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
[[libos]]
name = "lots"
policy = "lottery"
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
[[hostile]]
name = "bad"
behaviour = ["loop", "forged-capabilities"]
slots = 2
asked_ms = [200, 400]
"#;

const FREQUENCY: u64 = 62_500_000;
const MS: u64 = FREQUENCY / 1000;

pub(crate) fn scenario() -> Scenario {
    crate::scenario::parse(SCENARIO, None, None).unwrap()
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
        pairwise_error_millionths: ONE_QUANTUM,
    };
    client(libos, name, core, turns, demand)
}

fn client(libos: &str, name: &str, core: u64, turns: u64, demand: Figures) -> Client {
    let (libos, name) = (libos.into(), format!("{name}/{core}"));
    Client {
        libos,
        name,
        core,
        ran: turns * MS,
        turns,
        work_units: 5,
        checks_passed: 5,
        checks_failed: 0,
        demand,
    }
}

pub(crate) fn records() -> Vec<Record> {
    let mut all = vec![Record::Start(Start {
        version: 1,
        board: 1,
        gic: 3,
        cores: 2,
        frequency: FREQUENCY,
        quantum: MS,
        slots: 10,
        epoch: 12_345,
        scenario: "test".into(),
        seed: 7,
    })];
    all.push(Record::Progress { revolution: 100, of: 100, now: 1000 * MS });
    for (name, policy) in [("shares", Policy::Stride), ("lots", Policy::Lottery), ("deadlines", Policy::Edf)]
    {
        let (arrived, left) = (12_345, 12_345 + 1000 * MS);
        let ran = 800 * MS;
        all.push(Record::LibOs(LibOs {
            name: name.into(),
            policy,
            arrived,
            left,
            decisions: 800,
            clients_ran: ran,
            own: MS,
        }));
        let owner = name.into();
        all.push(Record::Slots(Slots { owner, revolutions: 100, owned: 405, won: 8, ..Slots::default() }));
    }
    for core in 0..2 {
        // With two clients, each may be off by one quantum.
        all.push(Record::Client(share("shares", "a", core, (3, 4), 301)));
        all.push(Record::Client(share("shares", "b", core, (1, 4), 99)));
        // 300 and 100 expected, sigma over both cores √(800·¾·¼) = 12.2.
        all.push(Record::Client(share("lots", "a", core, (3, 4), 312)));
        all.push(Record::Client(share("lots", "b", core, (1, 4), 88)));
        let figures = Figures::Periodic {
            budget: MS,
            period: 10 * MS,
            deadline: 10 * MS,
            jobs: 100,
            misses: 0,
            max_response: 5 * MS,
            response_bound: 5 * MS,
        };
        all.push(Record::Client(client("deadlines", "t", core, 150, figures)));
        let environments = vec![("shares".into(), 500 * MS + 1), ("bad".into(), 499 * MS)];
        let ledger = Ledger { core, kernel: MS - 3, idle: 1, gone: 1, environments, ..Ledger::default() };
        all.push(Record::Ledger(Ledger { elapsed: 1000 * MS, ..ledger }));
    }
    let hostile = Hostile {
        name: "bad".into(),
        asked: 4,
        repossessions: 4,
        forged: 9,
        forged_refused: 9,
        ..Hostile::default()
    };
    all.push(Record::Hostile(hostile));
    all.push(Record::End { passed: true, code: 0 });
    all
}

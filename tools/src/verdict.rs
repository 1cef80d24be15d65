//! What a run must have been: one line for each expectation, with what was seen. A run passes if all hold. Not here: what
//! was heard (`outcome`), nor how it is printed (`tables`).

use crate::outcome::{Outcome, ledger_sum};
use crate::parts;
use crate::qemu::Machine;
use crate::results::us;
use libos_core::report::{Client, Figures, Hostile, Start};
use libos_core::scenario::{self, Behaviour, Mode, Policy, Scenario};
use serde::Serialize;
use std::collections::BTreeMap;

mod clients;
pub mod failing;
#[cfg(test)]
pub(crate) mod fixture;
mod fuzz;
mod machine;
mod succession;
#[cfg(test)]
pub(crate) mod tests;
pub mod trace;

pub use clients::has_guarantee;

/// One expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// Whether that is as expected.
    pub passed: bool,
}

/// How many standard deviations a lottery's wins may be off their mean. A run's draws are the same each time, but other ones after
/// every change of a program that takes part; `./just test` makes some twenty such counts. Of a lottery that is right, one
/// at least would lie outside of two sigma in six of ten such tests, outside of three in one of twenty.
const SIGMAS: u32 = 3;

/// A pairwise error of one quantum, in its unit on the line.
const ONE_QUANTUM: u64 = 1_000_000;

/// Every expectation of a run of this scenario on this machine.
pub fn judge(scenario: &Scenario, machine: &Machine, outcome: &Outcome) -> Vec<Verdict> {
    let mut lines = Lines { scenario, machine, outcome, all: Vec::new() };
    lines.stream();
    lines.end();
    let Some(start) = &outcome.start else { return lines.all };
    lines.machine(start);
    lines.held_back(start);
    lines.present();
    lines.self_tests();
    let fails = |inside: &str| {
        let outer = scenario.libos.iter().filter(|libos| libos.fails.is_some() && libos.name != inside);
        outer.into_iter().any(|libos| is_inside(inside, &libos.name))
    };
    for scenario::Scheduler { libos, core } in
        scenario.schedulers().iter().filter(|one| !fails(&one.libos.name))
    {
        if libos.fails.is_some() {
            lines.failing(libos);
            lines.heir(libos, start);
            continue;
        }
        lines.promises(libos, start);
        lines.swap(libos, start);
        if libos.policy == Policy::None {
            lines.fuzz(libos);
            continue;
        }
        lines.work(libos);
        lines.demands(libos);
        if core.is_none() {
            lines.slots(libos);
        }
    }
    lines.hostile();
    lines.ledger(start);
    lines.all
}

/// Every expectation of a simulated run: what is expected of policies, jobs, slots and ledgers on a machine. Nobody there
/// reports, works or breaks rules.
pub fn judge_simulation(scenario: &Scenario, machine: &Machine, outcome: &Outcome) -> Vec<Verdict> {
    let mut lines = Lines { scenario, machine, outcome, all: Vec::new() };
    let Some(start) = &outcome.start else { return lines.all };
    lines.present();
    for libos in &scenario.libos {
        lines.promises(libos, start);
        lines.swap(libos, start);
        lines.demands(libos);
        lines.slots(libos);
    }
    lines.ledger(start);
    lines.all
}

struct Lines<'a> {
    scenario: &'a Scenario,
    machine: &'a Machine,
    outcome: &'a Outcome,
    all: Vec<Verdict>,
}

impl Lines<'_> {
    fn line(&mut self, expected: impl Into<String>, seen: impl Into<String>, passed: bool) {
        self.all.push(Verdict { expected: expected.into(), seen: seen.into(), passed });
    }

    /// What a libOS's policy promises its clients.
    fn promises(&mut self, libos: &scenario::LibOs, start: &Start) {
        let jobs = libos.clients.iter().any(|client| client.jobs.is_some());
        match libos.policy {
            // Each of its policies promised something for as long as it was there.
            _ if libos.swap.is_some() => {}
            Policy::Stride => {
                self.pairwise(&libos.name);
                if !jobs && libos.is_steady() {
                    self.proportion(&libos.name, start);
                }
            }
            Policy::HierarchicalStride if !jobs && libos.is_steady() => self.proportion(&libos.name, start),
            // Whoever waits, or comes and goes, takes part in some draws only, and who waits is compensated.
            Policy::Lottery if !jobs && libos.is_steady() => self.lottery(libos),
            _ if clients::has_guarantees(libos) => self.deadlines(libos, start),
            // Nobody is promised anything.
            _ => {}
        }
    }

    fn stream(&mut self) {
        let Outcome { frames, lost, damaged, .. } = self.outcome;
        let missing: Vec<_> =
            lost.iter().map(|(from, to)| format!("{from} to {}", to.wrapping_sub(1))).collect();
        let seen = match missing.is_empty() {
            true => format!("{frames} reports, {damaged} damaged, none missing"),
            false => format!("{frames} reports, {damaged} damaged, missing {}", missing.join(", ")),
        };
        let passed = *frames > 0 && *damaged == 0 && lost.is_empty();
        self.line("every report arrives whole", seen, passed);
    }

    fn end(&mut self) {
        let Outcome { end, status, panics, .. } = self.outcome;
        self.line("the kernel does not panic", format!("{panics} panics"), *panics == 0);
        let said = match end {
            Some((true, code)) => format!("it says passed with code {code}"),
            Some((false, code)) => format!("it says failed with code {code}"),
            None => "it says nothing of an end".into(),
        };
        let did = match status {
            Some(status) => format!("the machine ends with {status}"),
            None => "the machine had to be ended".into(),
        };
        let passed = *end == Some((true, 0)) && *status == Some(0);
        self.line("the guest ends by itself and is content", format!("{said}, {did}"), passed);
    }

    fn machine(&mut self, start: &Start) {
        let Scenario { seed, slots, quantum_us, .. } = self.scenario;
        let wanted =
            (self.machine.board.number(), u64::from(self.machine.gic), u64::from(self.machine.cores));
        let expected = format!(
            "{} with GICv{}, {} cores, {slots} slots of {quantum_us} us, seed {seed}",
            self.machine.board.name(),
            wanted.1,
            wanted.2
        );
        let quantum = us(start.quantum, start.frequency);
        let seen = format!(
            "board {} with GICv{}, {} cores, {} slots of {quantum} us, seed {}",
            start.board, start.gic, start.cores, start.slots, start.seed
        );
        let same_run = start.seed == *seed && start.scenario == self.scenario.name;
        let same_time = start.slots == u64::from(*slots) && quantum == u64::from(*quantum_us);
        self.line(expected, seen, wanted == (start.board, start.gic, start.cores) && same_run && same_time);
    }

    /// Everybody in the scenario has reported, once.
    fn present(&mut self) {
        let mut wanted = Vec::new();
        // Of who fails on purpose nobody expects a report.
        let schedulers = self.scenario.schedulers();
        let reporting = schedulers.iter().map(|one| &one.libos).filter(|libos| {
            let silent = |top: &scenario::LibOs| top.fails.is_some() && top.heir.is_none();
            !self.scenario.libos.iter().any(|top| silent(top) && is_inside(&libos.name, &top.name))
        });
        for libos in reporting {
            let count = self.outcome.libos.iter().filter(|heard| heard.name == libos.name).count();
            wanted.push((libos.name.clone(), count));
            for (core, name) in libos.clients.iter().flat_map(|client| client.copies(self.scenario.cores)) {
                let place = |client: &Client| client.core.unwrap_or(0) == u64::from(core);
                let here = |client: &&Client| client.name == name && place(client);
                wanted.push((
                    format!("{}.{name}", libos.name),
                    self.outcome.clients_of(&libos.name).filter(here).count(),
                ));
            }
        }
        for hostile in &self.scenario.hostile {
            let count = self.outcome.hostile.iter().filter(|heard| heard.name == hostile.name).count();
            wanted.push((hostile.name.clone(), count));
        }
        let wrong: Vec<_> = wanted
            .iter()
            .filter(|(_, count)| *count != 1)
            .map(|(name, count)| format!("{name} {count} times"))
            .collect();
        let seen = if wrong.is_empty() { format!("all {}", wanted.len()) } else { wrong.join(", ") };
        self.line("each libOS, client and hostile environment reports once", seen, wrong.is_empty());
    }

    fn self_tests(&mut self) {
        let checks = &self.outcome.checks;
        let tests = |libos: &scenario::LibOs| libos.policy == Policy::None && libos.calls == 0;
        let expected = self.scenario.libos.iter().any(tests);
        if checks.is_empty() && !expected {
            return;
        }
        let failed: Vec<_> =
            checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect();
        let seen = match failed.is_empty() {
            true => format!("{} of {}", checks.len(), checks.len()),
            false => format!("failed: {}", failed.join("; ")),
        };
        self.line(
            "every self-test passes, and there are some",
            seen,
            failed.is_empty() && !checks.is_empty(),
        );
    }

    fn pairwise(&mut self, libos: &str) {
        let (mut errors, mut unknown) = (Vec::new(), Vec::new());
        for client in self.outcome.clients_of(libos) {
            match client.demand {
                Figures::Share { pairwise_error_millionths: Some(error), .. } => errors.push(error),
                Figures::Share { .. } => unknown.push(client.name.as_str()),
                Figures::Periodic { .. } | Figures::Unpromised => {}
            }
        }
        let seen = match errors.iter().max() {
            _ if !unknown.is_empty() => format!("not measured of {}", unknown.join(", ")),
            Some(worst) => format!("at most {}.{:06}", worst / ONE_QUANTUM, worst % ONE_QUANTUM),
            None => "no client".into(),
        };
        let passed =
            unknown.is_empty() && !errors.is_empty() && errors.iter().all(|&error| error <= ONE_QUANTUM);
        self.line(format!("{libos}: pairwise error at most 1 quantum at every switch"), seen, passed);
    }

    /// What the host works out itself from the clients' CPU time in the end. If no pair of `n` clients is off by more than
    /// a quantum, a client with `t` of `T` tickets is off by at most `1 + (n - 2) t / T` quanta from its share of the sum.
    fn proportion(&mut self, libos: &str, start: &Start) {
        let mut wrong = Vec::new();
        let present = self.outcome.clients_of(libos).next().is_some();
        for core in 0..start.cores {
            let clients: Vec<_> =
                self.outcome.clients_of(libos).filter(|client| client.core == Some(core)).collect();
            let ran: i128 = clients.iter().map(|client| i128::from(client.ran)).sum();
            for client in &clients {
                let Figures::Share { tickets, tickets_total, .. } = client.demand else { continue };
                let (tickets, all) = (i128::from(tickets), i128::from(tickets_total));
                let error = (i128::from(client.ran) * all - ran * tickets).abs();
                if error > i128::from(start.quantum) * (all + (clients.len() as i128 - 2) * tickets) {
                    let share = i128::from(client.ran) * 1000 / ran.max(1);
                    wrong.push(format!("{} got {}.{} %", client.name, share / 10, share % 10));
                }
            }
        }
        let seen = match present {
            true if wrong.is_empty() => "all do".into(),
            true => wrong.join(", "),
            false => "no client".into(),
        };
        let expected = format!("{libos}: in the end all have CPU time in proportion to their tickets");
        self.line(expected, seen, present && wrong.is_empty());
    }

    /// The copies of a client on all cores are judged together: drawn by the same odds, they are one long lottery.
    fn lottery(&mut self, libos: &scenario::LibOs) {
        let mut together: BTreeMap<String, Draws> = BTreeMap::new();
        for client in self.outcome.clients_of(&libos.name) {
            if let Figures::Share { turns_total, .. } = client.demand {
                let cores = (self.scenario.cores, client.core.unwrap_or(0) as u32);
                let part = parts::part(libos, cores, &client.name).unwrap_or((0, 1));
                let name = client.name.split('/').next().unwrap_or_default();
                together.entry(name.into()).or_default().add(client.turns, turns_total, part);
            }
        }
        let libos = &libos.name;
        if together.is_empty() {
            self.line(format!("{libos}: draws within {SIGMAS} sigma"), "no client", false);
        }
        for (name, draws) in together {
            let most = f64::from(SIGMAS) * draws.variance.sqrt();
            let seen = format!("{} of {}, expected {:.1} ± {most:.1}", draws.won, draws.of, draws.mean);
            let passed = draws.of > 0 && (draws.won as f64 - draws.mean).abs() <= most;
            self.line(format!("{libos}.{name}: draws won within {SIGMAS} sigma of its odds"), seen, passed);
        }
    }

    fn slots(&mut self, libos: &scenario::LibOs) {
        let slots = self.outcome.slots_of(&libos.name).cloned().unwrap_or_default();
        let certain = match self.scenario.broker.mode {
            Mode::Market => libos.minimum,
            Mode::Static | Mode::None => libos.want,
        };
        let wanted = u64::from(certain) * u64::from(self.scenario.cores);
        let expected =
            format!("{}: at least {wanted} slots in each revolution, and it gets every one", libos.name);
        let (whole, rest) = match slots.revolutions {
            0 => (0, 0),
            revolutions => (slots.owned / revolutions, slots.owned * 10 / revolutions % 10),
        };
        let seen = format!("{whole}.{rest} in {} revolutions, {} missed", slots.revolutions, slots.missed);
        let passed = slots.revolutions > 0 && slots.owned >= wanted * slots.revolutions && slots.missed == 0;
        self.line(expected, seen, passed);
    }

    fn hostile(&mut self) {
        let (scenario, outcome) = (self.scenario, self.outcome);
        for wanted in &scenario.hostile {
            let Some(hostile) = outcome.hostile.iter().find(|hostile| hostile.name == wanted.name) else {
                continue;
            };
            let name = &wanted.name;
            let idle: Vec<_> =
                wanted.behaviour.iter().filter(|behaviour| !did(hostile, **behaviour)).collect();
            let seen = if idle.is_empty() { "it does".into() } else { format!("nothing of {idle:?}") };
            self.line(format!("{name}: it does its worst"), seen, idle.is_empty());

            self.asked_back(wanted, hostile);
            if hostile.forged > 0 {
                let seen = format!("{} of {}", hostile.forged_refused, hostile.forged);
                let refused = hostile.forged == hostile.forged_refused;
                self.line(format!("{name}: every forged capability is refused"), seen, refused);
            }
        }
    }

    fn asked_back(&mut self, wanted: &scenario::Hostile, hostile: &Hostile) {
        let times = wanted.asked_ms.len() as u64;
        let slots = times * u64::from(wanted.asked_slots) * u64::from(self.scenario.cores);
        if slots == 0 {
            return;
        }
        let name = &wanted.name;
        let given_back = self.outcome.slots_of(name).map_or(0, |slots| slots.given_back);
        let fate = if hostile.destroyed { ", destroyed" } else { "" };
        let seen = format!("{given_back} given back, {} taken{fate}", hostile.repossessions);
        let all = hostile.asked >= slots && given_back + hostile.repossessions >= slots;
        let expected = format!("{name}: all {slots} slots asked back are given, taken, or it is destroyed");
        self.line(expected, seen, hostile.destroyed || all);
    }

    fn ledger(&mut self, start: &Start) {
        let mut cores: Vec<u64> = self.outcome.ledger.iter().map(|ledger| ledger.core).collect();
        cores.sort_unstable();
        let all = cores == (0..u64::from(self.machine.cores)).collect::<Vec<_>>();
        let wrong: Vec<_> = (self.outcome.ledger.iter())
            .filter(|ledger| ledger_sum(ledger) != Some(ledger.elapsed))
            .map(|ledger| {
                format!("core {}: {:?} of {} ticks", ledger.core, ledger_sum(ledger), ledger.elapsed)
            })
            .collect();
        let seen = match (all, wrong.is_empty()) {
            (false, _) => format!("ledgers of cores {cores:?}"),
            (true, true) => format!("exact on {} cores", cores.len()),
            (true, false) => wrong.join(", "),
        };
        self.line("each core's ledger adds up to the elapsed time", seen, all && wrong.is_empty());
        if self.scenario.libos.iter().any(|libos| libos.policy != Policy::None) {
            let elapsed = self.outcome.ledger.iter().map(|ledger| us(ledger.elapsed, start.frequency)).min();
            let (elapsed, wanted) = (elapsed.unwrap_or(0) / 1000, u64::from(self.scenario.duration_ms));
            let seen = format!("{elapsed} ms on every core");
            self.line(format!("the run lasts {wanted} ms"), seen, elapsed >= wanted);
        }
    }
}

/// Whether a scheduler is this libOS, or one of those that are its clients.
fn is_inside(name: &str, libos: &str) -> bool {
    name.strip_prefix(libos).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether there is a trace of this behaviour. Of looping and ignoring there is none but what others suffer.
fn did(hostile: &Hostile, behaviour: Behaviour) -> bool {
    match behaviour {
        Behaviour::Loop | Behaviour::IgnoreRevocation => true,
        Behaviour::BadPointers | Behaviour::HandlerFaults => hostile.faults > 0,
        Behaviour::UnknownCalls => hostile.unknown_calls > 0,
        Behaviour::ForgedCapabilities => hostile.forged > 0,
        Behaviour::GraceAbuse => hostile.excess_slices > 0,
    }
}

/// Independent draws, each with its own odds.
#[derive(Debug, Default)]
struct Draws {
    won: u64,
    of: u64,
    mean: f64,
    variance: f64,
}

impl Draws {
    fn add(&mut self, won: u64, of: u64, (part, whole): (u64, u64)) {
        let odds = part as f64 / whole.max(1) as f64;
        self.won += won;
        self.of += of;
        self.mean += of as f64 * odds;
        self.variance += of as f64 * odds * (1.0 - odds);
    }
}

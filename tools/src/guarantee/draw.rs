//! A set of tasks of chance on slots of chance, as a scenario. Not here: what is to come of it.

use crate::taskset::{self, Kind, Task};
use libos_core::chance;
use libos_core::scenario::{Policy, Promise};
use std::fmt::Write;

/// Those that guarantee deadlines.
const POLICIES: [Policy; 5] =
    [Policy::Edf, Policy::RateMonotonic, Policy::DeadlineMonotonic, Policy::Cbs, Policy::CbsHard];
const QUANTA_US: [u32; 3] = [500, 1000, 2000];
/// The broker's slots; one is the tracer's.
const KEPT: u32 = 2;
/// Most of a core that one task has.
const MOST_EACH: f64 = 0.8;
/// Revolutions until jobs begin at least, and time for programs to start.
const REVOLUTIONS: u32 = 10;
const START_MS: u32 = 700;
/// How long jobs come, in longest periods.
const PERIODS: u32 = 4;

/// A number below a limit.
fn below(state: &mut u64, limit: u32) -> u32 {
    (chance::draw(state) % u64::from(limit.max(1))) as u32
}

/// The scenario of a seed, as a file.
pub fn scenario(seed: u64) -> String {
    let state = &mut chance::seed(&[seed]);
    let policy = POLICIES[below(state, POLICIES.len() as u32) as usize];
    let (quantum_us, slots) = (QUANTA_US[below(state, 3) as usize], 8 + below(state, 43));
    // Others come first and take slots of theirs, so that what is left is spread unevenly.
    let mut left = slots - KEPT;
    let others: Vec<u32> =
        (0..below(state, 3)).map(|_| take(&mut left, state)).filter(|want| *want > 0).collect();
    let want = left - below(state, left / 3 + 1);
    let shortest_us = quantum_us * slots / 3;
    let kind = Kind {
        count: 1 + below(state, 6) as usize,
        utilisation: f64::from(want) / f64::from(slots) * f64::from(20 + below(state, 80)) / 100.0,
        most_each: MOST_EACH,
        periods_us: (shortest_us, 12 * shortest_us),
    };
    let tasks = taskset::draw(&kind, state).unwrap_or_default();
    let longest_ms = tasks.iter().map(|task| task.period_us).max().unwrap_or(0) / 1000;
    let duration_ms = START_MS + (REVOLUTIONS * quantum_us * slots) / 1000 + PERIODS * longest_ms;
    let mut text = format!(
        "# Tasks of chance on slots of chance, of ./just guarantee.\n\nname = \"set-{seed}\"\nduration_ms = {duration_ms}\n\
         cores = 1\nquantum_us = {quantum_us}\nslots = {slots}\nseed = {}\n\n[broker]\nmode = \"static\"\nslots = {KEPT}\n",
        seed + 1
    );
    for (number, want) in (1..).zip(others) {
        let _ = write!(
            text,
            "\n[[libos]]\nname = \"other-{number}\"\npolicy = \"stride\"\nwant = {want}\n\n[[libos.clients]]\nname = \"busy\"\n\
             program = \"spin\"\ntickets = 1\nframes = 128\n"
        );
    }
    let word = policy.word();
    let _ = write!(
        text,
        "\n[[libos]]\nname = \"tasks\"\npolicy = \"{word}\"\nadmission = \"required\"\nwant = {want}\n"
    );
    for (number, task) in tasks.iter().enumerate() {
        text += &match policy.promise() {
            Promise::Bandwidth => server(number, task, state),
            _ => client(number, task, state),
        };
    }
    text
}

/// Some of the slots that are left.
fn take(left: &mut u32, state: &mut u64) -> u32 {
    let taken = below(state, *left / 3 + 1);
    *left -= taken;
    taken
}

/// A server, one in three of whose jobs come as they like, more than there is time for: those are promised no more than their budgets, which
/// the others must not feel.
fn server(number: usize, task: &Task, state: &mut u64) -> String {
    let Task { work_us, period_us } = *task;
    let budget_us = (work_us + 50).min(period_us);
    let arrivals = match below(state, 3) {
        0 => format!("arrivals = \"bursty\"\nburst = {}\ngap_us = {period_us}\n", 1 + below(state, 4)),
        _ => format!("period_us = {period_us}\noffset_us = {}\n", below(state, period_us)),
    };
    format!(
        "\n[[libos.clients]]\nname = \"t{}\"\nprogram = \"spin\"\ntickets = 1\nframes = 128\n{arrivals}budget_us = {budget_us}\n\
         work_us = {work_us}\ndeadline_us = {period_us}\n",
        number + 1
    )
}

/// A task with its deadline somewhere between its budget and its period, and its first release somewhere in that.
fn client(number: usize, task: &Task, state: &mut u64) -> String {
    let Task { work_us, period_us } = *task;
    let budget_us = (work_us + 50).min(period_us);
    let deadline_us = period_us - below(state, (period_us - budget_us) / 2 + 1);
    let offset_us = below(state, period_us);
    format!(
        "\n[[libos.clients]]\nname = \"t{}\"\nprogram = \"spin\"\ntickets = 1\nframes = 128\nperiod_us = {period_us}\n\
         offset_us = {offset_us}\nbudget_us = {budget_us}\nwork_us = {work_us}\ndeadline_us = {deadline_us}\n",
        number + 1
    )
}

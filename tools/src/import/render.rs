//! A task set as a scenario's text: where it came from, what is otherwise, and then the tasks, each on a core. Not here: reading.

use super::{Jobs, Mistakes, Set, Task};
use crate::taskset;
use libos_core::scenario::Policy;
use std::collections::BTreeSet;
use std::path::Path;

/// Longest name in a scenario.
const LONGEST: usize = 32;

/// The whole text.
pub fn scenario(file: &Path, what: &str, set: &Set) -> Result<String, Mistakes> {
    let placed = placed(set)?;
    let mut approximated = set.approximated.clone();
    approximated.extend(placed.notes);
    approximated.push("the clients have 48 of each core's 50 slots, and the broker the others".into());
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let from = file.file_name().unwrap_or_default().to_string_lossy();
    let mut text = format!("# {what} {from}, by ./just import.\n");
    text += &comment("Otherwise than there:", &approximated);
    text += &comment("Without meaning for a scheduler, and left out:", &set.ignored);
    let admission = if set.policy.is_for_deadlines() { "admission = \"off\"\n" } else { "" };
    text += &format!(
        "\nname = \"{}\"\nduration_ms = {}\ncores = {}\nslots = 50\n\n[broker]\nmode = \"static\"\nslots = 2\n\n\
         [[libos]]\nname = \"tasks\"\npolicy = \"{}\"\n{admission}want = 48\n",
        plain(&stem),
        set.duration_ms,
        set.cores,
        set.policy.word()
    );
    for ((task, name), core) in set.tasks.iter().zip(&placed.names).zip(&placed.cores) {
        text += &client(task, name, (!runs_anywhere(set)).then_some(*core));
    }
    Ok(text)
}

/// Notes as a scenario's comment. What a file says may hold anything, but no line of its own.
fn comment(title: &str, notes: &[String]) -> String {
    if notes.is_empty() {
        return String::new();
    }
    let line = |note: &String| format!("# - {}\n", note.replace(char::is_control, " "));
    format!("# {title}\n{}", notes.iter().map(line).collect::<String>())
}

/// Whether the policy's cores share all clients.
fn runs_anywhere(set: &Set) -> bool {
    set.policy.is_global() && set.cores > 1
}

fn client(task: &Task, name: &str, core: Option<u32>) -> String {
    let core = core.map_or(String::new(), |core| format!("core = {core}\n"));
    let mut text = format!(
        "\n[[libos.clients]]\nname = \"{name}\"\nprogram = \"spin\"\n{core}tickets = {}\n",
        task.tickets
    );
    if let Some(Jobs { work, budget, period, deadline, offset }) = task.jobs {
        let budget = budget.unwrap_or_else(|| taskset::budget_us(work, deadline.min(period)));
        text += &format!("period_us = {period}\nbudget_us = {budget}\nwork_us = {work}\n");
        if deadline != period {
            text += &format!("deadline_us = {deadline}\n");
        }
        if offset > 0 {
            text += &format!("offset_us = {offset}\n");
        }
    }
    text
}

/// What tasks are called here, and where they live.
struct Placed {
    names: Vec<String>,
    cores: Vec<u32>,
    notes: Vec<String>,
}

/// Each task is on one core: on the one that its file names, else on that with the least to do so far, greatest first.
fn placed(set: &Set) -> Result<Placed, Mistakes> {
    let mut load = vec![0.0_f64; set.cores as usize];
    let mut cores = vec![0; set.tasks.len()];
    let mut order: Vec<usize> = (0..set.tasks.len()).collect();
    // Who has no choice comes first; then the greatest.
    let choice = |task: &Task| task.cores.as_ref().map_or(set.cores as usize, Vec::len);
    order.sort_by(|a, b| {
        let (one, other) = (&set.tasks[*a], &set.tasks[*b]);
        let choices = (choice(one) > 1).cmp(&(choice(other) > 1));
        choices.then(utilisation(other).total_cmp(&utilisation(one)))
    });
    let (mut mistakes, mut chosen) = (Vec::new(), Vec::new());
    for index in order {
        let task = &set.tasks[index];
        let allowed: Vec<u32> = match &task.cores {
            Some(cores) => cores.iter().copied().filter(|core| *core < set.cores).collect(),
            None => (0..set.cores).collect(),
        };
        let least = allowed.iter().min_by(|a, b| load[**a as usize].total_cmp(&load[**b as usize]));
        let Some(core) = least.copied() else {
            mistakes.push(format!("{}: none of its cores is below {}, the cores here", task.name, set.cores));
            continue;
        };
        if runs_anywhere(set) && allowed.len() < set.cores as usize {
            let word = set.policy.word();
            mistakes.push(format!(
                "{}: it may run on some cores only; under {word} every task runs on all",
                task.name
            ));
        }
        load[core as usize] += utilisation(task);
        cores[index] = core;
        if allowed.len() > 1 && !runs_anywhere(set) {
            chosen.push(index);
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let names = names(&set.tasks);
    let mut notes = Vec::new();
    if !chosen.is_empty() {
        chosen.sort_unstable();
        let on = |index: usize| format!("{} on {}", names[index], cores[index]);
        let all: Vec<_> = chosen.into_iter().map(on).collect();
        notes.push(format!(
            "a client lives on one core; those that may run on several are where there was the least to do: {}",
            all.join(", ")
        ));
    }
    let renamed = set.tasks.iter().zip(&names).filter(|(task, name)| task.name != **name);
    let renamed: Vec<_> = renamed.map(|(task, name)| format!("{:?} is {name}", task.name)).collect();
    if !renamed.is_empty() {
        notes.push(format!("names have other characters: {}", renamed.join(", ")));
    }
    Ok(Placed { names, cores, notes })
}

fn utilisation(task: &Task) -> f64 {
    task.jobs.map_or(1.0, |jobs| f64::from(jobs.work) / f64::from(jobs.period.max(1)))
}

/// Names of a scenario's characters, no two the same.
fn names(tasks: &[Task]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let name = |task: &Task| {
        let wanted = plain(&task.name);
        let others = (2..).map(|number| {
            let tail = format!("-{number}");
            format!("{}{tail}", &wanted[..wanted.len().min(LONGEST - tail.len())])
        });
        let free = std::iter::once(wanted.clone()).chain(others).find(|name| !taken.contains(name));
        let name = free.unwrap_or(wanted.clone());
        taken.insert(name.clone());
        name
    };
    tasks.iter().map(name).collect()
}

/// A name in a scenario's characters.
fn plain(name: &str) -> String {
    let character = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(character).take(LONGEST).collect();
    if name.is_empty() { "unnamed".into() } else { name }
}

/// The policy that was wished for, or that the file stands for.
pub(super) fn policy(wished: Option<Policy>, own: Result<Policy, String>) -> Result<Policy, String> {
    wished.map_or(own, Ok)
}

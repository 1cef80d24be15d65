//! `./just grade mine stride`: whether a policy is what it is meant to be. It has to keep the laws of every policy
//! (`libos_core::sched::laws`), and the published results of the policy that it is graded as have to come out with it in that one's
//! place.
//!
//! Not here: the experiments, and how they are made (the module above).

use super::{Experiment, On, Outcome, Shown, experiments, make};
use crate::Failure;
use crate::guests::Built;
use crate::run::Stop;
use crate::scenario;
use crate::sim::costs::Overhead;
use crate::sim::policy::{Any, Terms};
use libos_core::scenario::{Admission, Policy};
use libos_core::sched::laws::{self, Broken, QUANTUM};
use libos_core::sched::{Demand, Tick};
use std::path::{Path, PathBuf};

/// The table of policies.
const TABLE: &str = "libos-core/src/scenario/policy.rs";
/// Where policies of one's own are.
const FOLDER: &str = "policies";
/// Storms that a policy is exposed to, and steps of each.
const STORMS: (u64, usize) = (400, 400);

/// What is to be graded, on the command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    built: Built,
    /// The policy
    #[arg(value_parser = scenario::policy_of)]
    policy: Policy,
    /// The known policy that it is to be like
    #[arg(value_parser = scenario::policy_of)]
    as_policy: Policy,
    /// Folder for the results, in one with the policy's name
    #[arg(long, default_value = "out/grade")]
    out: PathBuf,
    /// Only on one of the two
    #[arg(long, value_enum)]
    on: Option<On>,
}

/// The command `grade`: whether it passed.
///
/// # Errors
/// If there is nothing to grade it by, its row in the table of policies says something else, or a run could not be made.
pub fn command(arguments: Arguments) -> Result<bool, Stop> {
    let Arguments { policy, as_policy, .. } = arguments;
    let exam = exam(policy, as_policy)?;
    let (word, like) = (policy.word(), as_policy.word());
    if let Some(lines) = lines(&Path::new(FOLDER).join(word).join("src/lib.rs")) {
        println!("{word}: {lines} lines of code");
    }
    let kept = keeps_the_laws(policy);
    match &kept {
        Ok(()) => println!("ok   the laws of every policy hold in {} storms of {} steps", STORMS.0, STORMS.1),
        Err(broken) => println!("FAIL a law of every policy is broken: {broken}"),
    }
    let all: Vec<&Experiment> = exam.iter().collect();
    let images = arguments.built.into_folder(arguments.out.join(word));
    let outcomes = make(&all, &images, arguments.on)?;
    let mut right = 0;
    for one in &all {
        let mine: Vec<Outcome> =
            outcomes.iter().filter(|outcome| outcome.name == one.name).cloned().collect();
        right += usize::from(mine.iter().all(Outcome::holds));
        println!("{}", Shown(&mine));
    }
    let passed = kept.is_ok() && right == all.len();
    let grade = if passed { "passed" } else { "not yet" };
    println!(
        "grade: {word} as {like}: {grade}: {right} of {} experiments, laws {}",
        all.len(),
        if kept.is_ok() { "kept" } else { "broken" }
    );
    Ok(passed)
}

/// The experiments with one policy, made with another in its place. Those of guarantees are left out: only the project's own policies
/// admit clients.
fn exam(policy: Policy, as_policy: Policy) -> Result<Vec<Experiment>, Failure> {
    let (word, like) = (policy.word(), as_policy.word());
    if policy.is_for_deadlines() != as_policy.is_for_deadlines() {
        let (why, promise) = match as_policy.is_for_deadlines() {
            true => ("clients tell their deadlines only to a policy that says it goes by them", "Effort"),
            false => (
                "to a policy that says it goes by deadlines they do not tell tickets alone",
                "Shares, Turns or Nothing",
            ),
        };
        return Err(Failure(format!(
            "{word} cannot be graded as {like}: {why}. The row of {word} in {TABLE} has to end with {promise}"
        )));
    }
    if policy.can_guarantee() && Path::new(FOLDER).join(word).exists() {
        return Err(Failure(format!(
            "{word} guarantees no deadline, for it refuses nobody: its row in {TABLE} has to end with Effort"
        )));
    }
    let known = experiments().into_iter();
    let known =
        known.filter(|one| one.setting.policy == as_policy && one.setting.admission == Admission::Off);
    let mut exam: Vec<Experiment> = known.collect();
    if exam.is_empty() {
        return Err(Failure(format!(
            "there are no experiments with {like} to grade {word} by: ./just conformance --list shows them"
        )));
    }
    exam.iter_mut().for_each(|one| one.setting.policy = policy);
    Ok(exam)
}

/// Tries a policy as the simulator makes it.
fn keeps_the_laws(policy: Policy) -> Result<(), Broken> {
    let (quantum, frequency, overhead) = (QUANTUM.0, 1_000_000, Overhead::default());
    let terms = Terms {
        quantum,
        frequency,
        seed: 1,
        core: 0,
        overhead,
        admission: Admission::Off,
        currencies: Default::default(),
    };
    let demand = |number: u64| match policy.is_for_deadlines() {
        false => Demand::Share { tickets: 1 + (number % 200) as u32 },
        true => {
            let (budget, more) = (1 + number % 3000, number / 3000 % 20_000);
            let [budget, period] = [budget, budget + more].map(Tick);
            Demand::Periodic { first_release: Tick(0), budget, period, deadline: period }
        }
    };
    let Some(any) = Any::new(policy, terms) else { return Ok(()) };
    laws::check(|| any.clone(), STORMS, demand)
}

/// Lines of a file that are neither empty nor a comment; `None` if it cannot be read.
fn lines(file: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(file).ok()?;
    let lines = text.lines().map(str::trim);
    Some(lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{simulated, written};
    use crate::sim::costs::Costs;

    fn graded(policy: Policy, as_policy: Policy) -> bool {
        let name = format!("tranche-grade-{}-{}-{}", std::process::id(), policy.word(), as_policy.word());
        let (out, costs) = (std::env::temp_dir().join(name), Costs::table().unwrap());
        let exam = exam(policy, as_policy).unwrap();
        let holds =
            exam.iter().all(|one| simulated(one, &written(one, &out).unwrap(), &costs).unwrap().holds());
        std::fs::remove_dir_all(&out).unwrap();
        holds && keeps_the_laws(policy).is_ok()
    }

    #[test]
    fn the_policies_of_the_tutorial_pass_as_themselves_and_not_as_the_next_one() {
        let steps = [Policy::Fifo, Policy::RoundRobin, Policy::Lottery, Policy::Stride];
        for policy in steps {
            assert!(graded(policy, policy), "{policy:?}");
        }
        for pair in steps.windows(2) {
            assert!(!graded(pair[0], pair[1]), "{pair:?}");
        }
        assert!(graded(Policy::Cbs, Policy::Cbs));
        assert!(!graded(Policy::CbsHard, Policy::Cbs));
    }

    #[test]
    fn a_row_that_says_something_else_is_named() {
        let said = exam(Policy::Stride, Policy::Edf).map(|_| ()).unwrap_err().0;
        assert!(said.contains("Effort") && said.contains("libos-core/src/scenario/policy.rs"), "{said}");
        assert!(exam(Policy::Edf, Policy::Stride).is_err());
    }

    #[test]
    fn lines_of_code_are_counted_without_comments() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "//! Doc.\n\nfn a() {\n    // Why.\n    b();\n}\n").unwrap();
        assert_eq!((lines(file.path()), lines(Path::new("no-such-file"))), (Some(3), None));
    }
}

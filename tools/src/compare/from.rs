//! Runs that were made elsewhere and at another time, on a real board above all, side by side: `compare --from`.
//!
//! Who is compared is then the machine: each kind of board, with what makes time pass on it, is a column; runs of the same
//! scenario under the same policies are a workload, and their seeds are paired. Not here: how a run's files are read
//! (`trace::load`), and what is computed (`report`).

use super::cell::{Cell, Contender, Kept};
use super::engine::Done;
use crate::Failure;
use crate::recording::{Recording, Source};
use crate::results::Origin;
use crate::run::RESULTS;
use crate::trace::load;
use std::path::{Path, PathBuf};

/// The run in each folder.
///
/// # Errors
/// Every folder without a run that can be compared, and every two of the same run.
pub fn runs(folders: &[PathBuf]) -> Result<Vec<Done>, Failure> {
    let runs: Vec<_> = folders.iter().map(|folder| run(folder)).collect();
    let mut mistakes: Vec<String> =
        runs.iter().filter_map(|run| Some(run.as_ref().err()?.0.clone())).collect();
    let runs: Vec<Done> = runs.into_iter().flatten().collect();
    if mistakes.is_empty() {
        let twin = |place: usize| runs[..place].iter().position(|other| other.cell == runs[place].cell);
        let say = |place: usize| {
            let (one, other) = (folders[twin(place)?].display(), folders[place].display());
            Some(format!(
                "{other}: the same machine, scenario, policies and seed as {one}: give one of them, or another --seed"
            ))
        };
        mistakes.extend((0..runs.len()).filter_map(say));
    }
    if mistakes.is_empty() { Ok(runs) } else { Err(Failure(mistakes.join("\n"))) }
}

/// Every machine that runs were made on, in the order of the runs.
pub fn contenders(runs: &[Done]) -> Vec<Contender> {
    let mut all = Vec::new();
    for run in runs {
        if !all.contains(&run.cell.policy) {
            all.push(run.cell.policy);
        }
    }
    all
}

fn run(folder: &Path) -> Result<Done, Failure> {
    let recording = load::open(folder)?;
    if recording.source != Source::Kernel {
        return Err(Failure(format!(
            "{}: a simulation, and --from is for runs of the kernel: ./just compare simulates by itself",
            folder.display()
        )));
    }
    let origin = Origin::read(&folder.join(RESULTS))?;
    let kept = Kept::of(&recording).map_err(|why| Failure(format!("{}: {why}", folder.display())))?;
    let workload = PathBuf::from(workload(&recording));
    let cell = Cell {
        workload,
        policy: Contender::Made(origin),
        seed: recording.seed,
        cores: Some(recording.cores),
    };
    Ok(Done { cell, source: Source::Kernel, kept: Ok(kept) })
}

/// The scenario's name and the policies of its libOSes. Without a point, which would end a file's name.
fn workload(recording: &Recording) -> String {
    let mut policies: Vec<&str> = Vec::new();
    for scheduler in &recording.schedulers {
        let word = scheduler.policy.word();
        if !policies.contains(&word) {
            policies.push(word);
        }
    }
    format!("{} ({})", recording.scenario.replace('.', "_"), policies.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::FILE;
    use crate::trace::load::tests::folder;
    use std::fs;

    /// A folder with the same run, of which its results say something else.
    fn changed(from: &Path, what: &str, to: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::copy(from.join(FILE), folder.path().join(FILE)).unwrap();
        let results = fs::read_to_string(from.join(RESULTS)).unwrap();
        assert!(results.contains(what));
        fs::write(folder.path().join(RESULTS), results.replace(what, to)).unwrap();
        folder
    }

    #[test]
    fn the_same_run_on_two_machines_is_two_columns_of_one_workload() {
        let (virt, _) = folder();
        let pi = changed(virt.path(), "\"board\": \"virt\"", "\"board\": \"rpi4\"");
        let pi = changed(pi.path(), "\"clock\": \"instructions\"", "\"clock\": \"board\"");
        let runs = runs(&[virt.path().into(), pi.path().into()]).unwrap();
        let words: Vec<_> = contenders(&runs).into_iter().map(Contender::word).collect();
        assert_eq!(words, ["QEMU virt", "Raspberry Pi 4"]);
        assert_eq!(runs[0].cell.workload, runs[1].cell.workload);
        assert!(runs.iter().all(|run| run.kept.is_ok()));
    }

    #[test]
    fn what_cannot_be_compared_is_refused_by_name() {
        let (virt, _) = folder();
        let twins = [virt.path().into(), virt.path().into()];
        assert!(runs(&twins).unwrap_err().0.contains("the same machine, scenario, policies and seed"));
        let foreign = changed(virt.path(), "\"board\": \"virt\"", "\"board\": \"none\"");
        let failure = runs(&[foreign.path().into(), "no/such/folder".into()]).unwrap_err().0;
        assert!(
            failure.contains("not the results of a run on a machine") && failure.contains("no/such/folder"),
            "{failure}"
        );
    }
}

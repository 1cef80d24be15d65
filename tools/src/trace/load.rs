//! The recording of a run from the files that it left: the trace, and `results.json` beside it, which says who took part.
//!
//! Nothing is guessed: a trace with a hole, files of two runs or of another version are refused. Not here: files that the
//! simulator left (`recording`).

use super::cast::Cast;
use super::{FILE, Trace, story};
use crate::Failure;
use crate::recording::Recording;
use crate::results::VERSION;
use crate::run::RESULTS;
use libos_core::report::held_back_by;
use libos_core::trace::frame::MAGIC;
use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// What to do about files that cannot be used.
const AGAIN: &str = "run the scenario once more, with ./just run-qemu or ./just run-pi";

/// Of `results.json`, what a trace is read with.
#[derive(Deserialize)]
struct Recorded {
    kernel_records: u64,
    marks: u64,
    cast: Cast,
}

/// The recording in a file or a folder: one that a simulation or a run has left.
///
/// # Errors
/// If there is none, or it cannot be believed: in words, with the file's name.
pub fn open(path: &Path) -> Result<Recording, Failure> {
    let file = if path.is_dir() { in_folder(path)? } else { path.to_path_buf() };
    let bytes = fs::read(&file).map_err(Failure::with(file.display()))?;
    let named = |Failure(why)| Failure(format!("{}: {why}", file.display()));
    if !bytes.starts_with(&MAGIC.to_le_bytes()) && file.file_name().is_none_or(|name| name != FILE) {
        return Recording::from_bytes(&bytes).map_err(named);
    }
    let results = file.with_file_name(RESULTS);
    let recorded = recorded(&results)?;
    recording(&recorded, &Trace::decode([&bytes[..]]), &results).map_err(named)
}

/// The recording's file in a run's folder.
fn in_folder(folder: &Path) -> Result<PathBuf, Failure> {
    let names = [FILE, crate::simulation::RECORDING];
    let found = names.iter().map(|name| folder.join(name)).find(|file| file.is_file());
    found.ok_or_else(|| {
        Failure(format!(
            "{}: there is neither {} nor {} in it: nothing was recorded; {AGAIN}",
            folder.display(),
            names[0],
            names[1]
        ))
    })
}

/// What a run's results say of its recording.
fn recorded(file: &Path) -> Result<Recorded, Failure> {
    let failed = |why: String| Failure(format!("{}: {why}; {AGAIN}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| {
        failed(format!("{error}; a trace is read with the results that its run left beside it"))
    })?;
    let mut value: Value =
        serde_json::from_str(&text).map_err(|error| failed(format!("these are no results: {error}")))?;
    match value["version"].as_u64() {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            return Err(failed(format!("these have version {version}, and this tool reads {VERSION}")));
        }
        None => return Err(failed("these are no results: they have no version".into())),
    }
    match value["machine"]["throttled"].as_u64() {
        None | Some(0) => {}
        Some(bits) => {
            return Err(Failure(format!(
                "{}: the machine was held back ({}), so the run's times are not comparable; give it better power or cooling, \
                 and {AGAIN}",
                file.display(),
                held_back_by(bits)
            )));
        }
    }
    match value["trace"].take() {
        Value::Null => Err(failed("this run recorded nothing".into())),
        trace => Recorded::deserialize(trace).map_err(|error| failed(format!("trace: {error}"))),
    }
}

/// The recording, if the trace is whole and of the run that left the results.
fn recording(recorded: &Recorded, trace: &Trace, results: &Path) -> Result<Recording, Failure> {
    let complaints = trace.complaints(recorded.cast.cores);
    if !complaints.is_empty() {
        return Err(Failure(format!("a trace with holes tells no run: {}; {AGAIN}", complaints.join("; "))));
    }
    let (here, expected) = (trace.records().count() as u64, recorded.kernel_records + recorded.marks);
    if here != expected {
        return Err(Failure(format!(
            "it has {here} records, and {} tells of {expected}: they are not of one run; {AGAIN}",
            results.display()
        )));
    }
    Ok(story::recording(&recorded.cast, trace))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::qemu::{Board, Clock, Machine};
    use crate::recording::Source;
    use crate::replay::replay;
    use crate::results::Results;
    use crate::trace::story::tests::recorded as run;
    use crate::trace::tests::bytes;
    use crate::trace::{Recorded, Stream};
    use libos_core::scenario::Policy;
    use libos_core::trace::Raw;

    fn frame(stream: &Stream) -> Vec<u8> {
        let raw = |(_, record): &(u64, tranche_abi::trace::Record)| -> Raw {
            let [a, b, c, d, e, f] = record.words;
            [record.time, record.head, a, b, c, d, e, f]
        };
        bytes(stream.core, 0, &stream.records.iter().map(raw).collect::<Vec<_>>(), true)
    }

    /// A folder as a run of the kernel's leaves it, and the recording that was made then; what it cost is in the results only.
    pub(crate) fn folder() -> (tempfile::TempDir, Recording) {
        let (scenario, outcome, trace) = run();
        let folder = tempfile::tempdir().unwrap();
        let frames: Vec<u8> = trace.cores.iter().flat_map(frame).collect();
        fs::write(folder.path().join(FILE), frames).unwrap();
        let recorded = Recorded::new(&scenario, &outcome, &trace).unwrap();
        let machine = Machine { board: Board::Virt, cores: 2, gic: 2, clock: Clock::Instructions };
        let results = Results::new(&scenario, &machine, &outcome, Vec::new()).unwrap();
        let results = results.with_trace(Some(&recorded)).to_json();
        fs::write(folder.path().join(RESULTS), results).unwrap();
        (folder, Recording { cost: None, ..recorded.recording })
    }

    fn said(path: &Path) -> String {
        open(path).unwrap_err().0
    }

    #[test]
    fn a_boards_run_is_read_from_its_folder_or_its_trace_as_it_was_recorded_and_told_to_another_policy() {
        let (folder, recorded) = folder();
        assert_eq!(open(folder.path()), Ok(recorded.clone()));
        assert_eq!(open(&folder.path().join(FILE)), Ok(recorded.clone()));
        assert_eq!(recorded.source, Source::Kernel);
        let text = replay(&recorded, Policy::Fifo).unwrap().to_string();
        assert!(text.contains("one.a") && text.contains("under fifo"), "{text}");
    }

    #[test]
    fn a_simulations_recording_is_read_from_its_folder_or_its_file() {
        let (other, recorded) = folder();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(crate::simulation::RECORDING);
        recorded.save(&file).unwrap();
        assert_eq!((open(folder.path()), open(&file)), (Ok(recorded.clone()), Ok(recorded)));
        drop(other);
    }

    #[test]
    fn what_is_missing_is_named() {
        let (folder, _) = folder();
        fs::remove_file(folder.path().join(RESULTS)).unwrap();
        let why = said(folder.path());
        assert!(why.contains("results.json") && why.contains("run the scenario once more"), "{why}");
        fs::remove_file(folder.path().join(FILE)).unwrap();
        assert!(said(folder.path()).contains("there is neither trace.bin nor recording"));
        assert!(said(&folder.path().join("no")).contains("No such file"));
    }

    #[test]
    fn results_of_another_version_or_without_a_trace_are_refused() {
        let (folder, _) = folder();
        let file = folder.path().join(RESULTS);
        let good = fs::read_to_string(&file).unwrap();
        let with = |from: &str, to: &str| {
            assert!(good.contains(from));
            fs::write(&file, good.replacen(from, to, 1)).unwrap();
            said(folder.path())
        };
        let version = format!("\"version\": {VERSION}");
        assert!(with(&version, "\"version\": 3").contains("these have version 3, and this tool reads"));
        assert!(with("\"cast\"", "\"caste\"").contains("missing field `cast`"));
        fs::write(&file, format!("{{{version}, \"trace\": null}}")).unwrap();
        assert!(said(folder.path()).contains("this run recorded nothing"));
        fs::write(&file, "{").unwrap();
        assert!(said(folder.path()).contains("these are no results"));
    }

    #[test]
    fn a_run_on_a_machine_that_was_held_back_is_refused_and_one_that_was_not_is_read() {
        let (folder, recorded) = folder();
        let file = folder.path().join(RESULTS);
        let good = fs::read_to_string(&file).unwrap();
        let with = |throttled: &str| {
            let machine = format!("\"machine\": {{\"throttled\": {throttled}}}");
            assert!(good.contains("\"machine\": null"));
            fs::write(&file, good.replacen("\"machine\": null", &machine, 1)).unwrap();
        };
        with("327680");
        let why = said(folder.path());
        assert!(why.contains("the machine was held back (under-voltage, throttled)"), "{why}");
        for throttled in ["0", "null"] {
            with(throttled);
            assert_eq!(open(folder.path()), Ok(recorded.clone()));
        }
    }

    #[test]
    fn a_trace_with_a_hole_or_of_another_run_is_refused() {
        let (folder, _) = folder();
        let file = folder.path().join(FILE);
        let good = fs::read(&file).unwrap();
        fs::write(&file, &good[..good.len() - 64]).unwrap();
        let why = said(folder.path());
        assert!(
            why.contains("a trace with holes tells no run") && why.contains("core 1: no frame came"),
            "{why}"
        );
        let other = [bytes(0, 0, &[], true), bytes(1, 0, &[], true)].concat();
        fs::write(&file, other).unwrap();
        assert!(said(folder.path()).contains("they are not of one run"));
    }
}

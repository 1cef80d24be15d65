//! A trace for Perfetto is decoded with Perfetto's own schema, by its Python package, which `./just setup python` puts into
//! `.tools`. Where that is not, the test says so and passes. Not here: the encoding's details.

use std::path::Path;
use std::process::Command;
use tranche_tools::recording::{Client, Job, Recording, Scheduler, Slice, Source, Turn};
use tranche_tools::trace::export::perfetto;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn client(name: &str) -> Client {
    let libos = "one".into();
    let (deadline, period) = (Some(500), Some(1000));
    Client { libos, name: name.into(), core: Some(0), tickets: 1, deadline, period, until: u64::MAX }
}

/// Two slots, a turn in the first, and a job; at a tick of 1 us.
fn recording() -> Recording {
    let scheduler = Scheduler {
        libos: "one".into(),
        core: 0,
        policy: libos_core::scenario::Policy::Edf,
        admission: libos_core::scenario::Admission::Off,
        clients: vec![0, 1],
        currencies: Default::default(),
        steps: Vec::new(),
        step_cores: Vec::new(),
        own: 0,
    };
    let completed = Some(1450);
    Recording {
        source: Source::Kernel,
        scenario: "small".into(),
        seed: 1,
        cores: 1,
        frequency: 1_000_000,
        quantum: 1000,
        slots: 10,
        epoch: 1000,
        end: 3000,
        clients: vec![client("a"), client("b")],
        schedulers: vec![scheduler],
        slices: vec![
            Slice { core: 0, begin: 1000, end: 2000, owner: Some(0) },
            Slice { core: 0, begin: 2002, end: 3000, owner: None },
        ],
        turns: vec![Turn { client: 1, core: 0, begin: 1010, end: 1500, ran: 480 }],
        jobs: vec![Job {
            client: 1,
            number: 0,
            released: 1000,
            due: Some(1400),
            completed,
            demand: 400,
            used: 410,
        }],
        lost: 0,
        cost: None,
    }
}

const DECODED: &str = "track|core 0|of|nothing
track|slots|of|core 0
track|turns|of|core 0
track|one|of|nothing
track|a on core 0|of|one
track|b on core 0|of|one
TYPE_SLICE_BEGIN|0|slots|one
TYPE_INSTANT|0|b on core 0|job 0 released
TYPE_SLICE_BEGIN|10000|turns|one/b|1
TYPE_SLICE_BEGIN|10000|b on core 0|runs on core 0|-1
TYPE_INSTANT|450000|b on core 0|job 0 late
TYPE_SLICE_END|500000|turns|
TYPE_SLICE_END|500000|b on core 0|
TYPE_SLICE_END|1000000|slots|
TYPE_SLICE_BEGIN|1002000|slots|others
TYPE_SLICE_END|2000000|slots|
";

#[test]
fn what_was_encoded_is_what_perfettos_own_schema_decodes() {
    let python = Path::new(ROOT).join(".tools/python/bin/python");
    if !python.is_file() {
        println!("skipped: {} is not there; ./just setup python puts it there", python.display());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace");
    std::fs::write(&file, perfetto::encode(&recording())).unwrap();
    let output =
        Command::new(python).arg(Path::new(ROOT).join("tools/python/read-perfetto.py")).arg(&file).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), DECODED);
}

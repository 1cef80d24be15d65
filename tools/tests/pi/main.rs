//! A Raspberry Pi 4 from its card to results, in QEMU's raspi4b: boots what is on a card, pulls its power, listens on bad lines.
//!
//! `./just test-qemu` runs this, and says by TRANCHE_KERNEL and TRANCHE_APPS where the images are. Not here: what needs no
//! guest, which is tested beside the code.

use libos_core::card::format;
use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;
use tranche_tools::collect::{self, Collected};
use tranche_tools::display::Display;
use tranche_tools::qemu::{Board, Clock, Guest, Machine, Pace};
use tranche_tools::run::{self, Debugger, Exports, Plan, Ran};
use tranche_tools::scenario::Changes;
use tranche_tools::screen::Screen;
use tranche_tools::{archive, sd};

mod cards;
mod line;
mod power;

const MACHINE: Machine = Machine { board: Board::Rpi4, cores: 4, gic: 2, clock: Clock::Instructions };
/// How long a guest may take, by the host's clock.
const PATIENCE: Duration = Duration::from_secs(180);
/// Where a partition of a card's image begins, as mtools writes it.
const OFFSET: &str = "@@1M";

fn variable(name: &str) -> PathBuf {
    let value =
        std::env::var_os(name).unwrap_or_else(|| panic!("{name} is to be set: type ./just test-qemu"));
    value.into()
}

/// The set-up puts the firmware and the device tree into the project's folder, by names that are relative to it.
fn go_to_project() {
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
}

fn order() -> sd::Order {
    go_to_project();
    sd::Order {
        scenario: "scenarios/card.toml".into(),
        changes: Changes::default(),
        kernel: variable("TRANCHE_KERNEL"),
        apps: variable("TRANCHE_APPS"),
        command_line: String::new(),
        screen: Screen::None,
    }
}

/// A card that nobody has used, made once.
fn fresh() -> &'static [u8] {
    static CARD: OnceLock<Vec<u8>> = OnceLock::new();
    CARD.get_or_init(|| made(&order()))
}

fn made(order: &sd::Order) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::read(sd::make(order, folder.path()).unwrap()).unwrap()
}

/// Where on the card its results file lies.
fn results_file(card: &[u8]) -> Range<usize> {
    let is_header = |at: &usize| card[*at..].starts_with(&format::MAGIC);
    let begin = (0..card.len()).step_by(512).find(is_header).expect("a results file on the card");
    begin..begin + sd::RESULTS_SIZE
}

/// A copy of the card in a folder of its own.
fn card_in(folder: &TempDir) -> PathBuf {
    copy(fresh(), folder)
}

fn copy(card: &[u8], folder: &TempDir) -> PathBuf {
    let path = folder.path().join(sd::IMAGE);
    sd::write_sparse(&path, card).unwrap();
    path
}

/// Runs what is on a card; what it leaves behind is in `out`.
fn boot(card: &Path, out: &Path) -> Ran {
    go_to_project();
    let plan = Plan {
        machine: MACHINE,
        scenario: PathBuf::new(),
        changes: Changes::default(),
        kernel: variable("TRANCHE_KERNEL"),
        apps: variable("TRANCHE_APPS"),
        card: Some(card.into()),
        out: out.into(),
        patience: PATIENCE,
        debugger: Debugger::Absent,
        exports: Exports::None,
        screen: Screen::None,
    };
    run::run_recorded(&plan, &mut Display::Silent).unwrap()
}

fn collector(out: &Path) -> collect::Order {
    collect::Order {
        scenario: None,
        kernel: None,
        clock: Clock::Instructions,
        out: out.into(),
        exports: Exports::None,
    }
}

/// Whether a file in two folders has the same bytes, and any.
fn same(one: &Path, other: &Path, name: &str) -> bool {
    let bytes = [one, other].map(|folder| fs::read(folder.join(name)).unwrap());
    !bytes[0].is_empty() && bytes[0] == bytes[1]
}

/// What fsck.fat says against a card's file system; nothing where there is no fsck.fat.
fn fsck(card: &[u8], folder: &Path) {
    let partition = folder.join("partition");
    fs::write(&partition, &card[sd::disk::partition(card).unwrap()]).unwrap();
    let output = |program| Command::new(program).arg("-n").arg(&partition).output();
    match output("fsck.fat").or_else(|_| output("/usr/sbin/fsck.fat")) {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => println!("no fsck.fat here: not checked by it"),
    }
}

#[test]
fn a_card_is_the_same_every_time_and_others_can_read_it() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let images =
        folders.each_ref().map(|folder| fs::read(sd::make(&order(), folder.path()).unwrap()).unwrap());
    assert!(images[0] == images[1], "two images of the same are not the same");
    fsck(&images[0], folders[0].path());
    let Ok(listed) = Command::new("mdir")
        .args(["-b", "-i"])
        .arg(folders[0].path().join(sd::IMAGE.to_string() + OFFSET))
        .arg("::")
        .output()
    else {
        return println!("no mdir here: not listed by it");
    };
    let listed = String::from_utf8_lossy(&listed.stdout);
    let names =
        fs::read_dir(folders[0].path().join(sd::FOLDER)).unwrap().map(|entry| entry.unwrap().file_name());
    for name in names {
        let name = name.into_string().unwrap();
        assert!(listed.lines().any(|line| line == format!("::/{name}")), "{name} is not in\n{listed}");
    }
}

#[test]
fn a_run_from_the_card_leaves_the_same_on_the_card_as_on_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let card = card_in(&folder);
    let (line, file) = (folder.path().join("line"), folder.path().join("file"));
    let ran = boot(&card, &line);
    let failed: Vec<_> = ran.results.verdict.iter().filter(|line| !line.passed).collect();
    assert!(ran.results.passed, "{failed:?}");
    let Collected { losses, .. } = collect::card::collect(&collector(&file), &card).unwrap();
    assert_eq!(losses, Vec::<String>::new());
    for name in ["results.json", "trace.bin"] {
        assert!(same(&line, &file, name), "{name} on the card is another than on the line");
    }
    let used = fs::read(&card).unwrap();
    assert_untouched(&used, fresh());
    fsck(&used, folder.path());
    // Once more on the same card: the next run's number, the same results.
    boot(&card, &line);
    collect::card::collect(&collector(&file), &card).unwrap();
    assert!(same(&line, &file, "results.json"));
    let file = results_file(fresh());
    assert_eq!(format::read(&fs::read(&card).unwrap()[file]).unwrap().run, 2);
}

/// Nothing on a card has changed but its results file.
fn assert_untouched(used: &[u8], fresh: &[u8]) {
    let file = results_file(fresh);
    assert!(used[..file.start] == fresh[..file.start], "something before the results file was written");
    assert!(used[file.end..] == fresh[file.end..], "something behind the results file was written");
}

/// A guest that boots from this card, with its files in the folder.
fn start(card: &Path, folder: &Path) -> Guest {
    go_to_project();
    let image = fs::read(card).unwrap();
    let boot = sd::Boot::read(&image).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let (kernel, archive) = (file("kernel", &boot.kernel), file("archive", &boot.archive));
    let tree = file("tree", &boot.tree);
    let scenario = archive::scenario(&boot.archive).unwrap();
    let mut arguments: Vec<OsString> =
        MACHINE.arguments((&kernel, &archive), Pace::of(&scenario), Screen::None);
    arguments.extend(MACHINE.with_card(card, &tree, &boot.command_line));
    Guest::start(&arguments).unwrap()
}

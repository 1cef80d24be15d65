//! Cards that are not as they should be: the run goes on, says why nothing or not all is kept, and writes nowhere else.

use super::{boot, fresh, made, order};
use libos_core::card::{self, format};
use std::fs;
use tranche_tools::sd;
use tranche_tools::sd::disk::{self, File};

/// What a card needs to boot.
const BOOT: [&str; 4] = ["kernel8.img", "archive.tar", "bcm2711-rpi-4-b.dtb", "cmdline.txt"];

/// A card that boots as a fresh one does, with this for its results file.
fn with(results: Option<Vec<u8>>) -> Vec<u8> {
    of(fresh(), results)
}

fn of(fresh: &[u8], results: Option<Vec<u8>>) -> Vec<u8> {
    let file = |(name, bytes): (&str, Vec<u8>)| File { name: name.into(), bytes };
    let results = results.map(|bytes| (card::FILE, bytes));
    let others = BOOT.into_iter().zip(disk::read(fresh, BOOT).unwrap());
    disk::build(&results.into_iter().chain(others).map(file).collect::<Vec<_>>(), fresh.len()).unwrap()
}

/// Runs what is on a card. What the broker says of it, and the card afterwards.
fn run(card: &[u8]) -> (String, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(sd::IMAGE);
    sd::write_sparse(&path, card).unwrap();
    let out = folder.path().join("out");
    let ran = boot(&path, &out);
    assert!(ran.results.passed, "a card changes nothing of a run's results");
    let said = fs::read_to_string(out.join("console.log")).unwrap();
    let of_card = said.lines().filter(|line| line.contains("card:"));
    (of_card.collect::<Vec<_>>().join("\n"), fs::read(&path).unwrap())
}

#[test]
fn a_card_without_a_results_file_is_left_alone() {
    let card = with(None);
    let (said, used) = run(&card);
    assert!(said.contains("nothing goes onto the card: it has no file RESULTS.TRN"), "{said}");
    assert!(used == card);
}

#[test]
fn a_file_that_was_not_made_for_results_is_left_alone() {
    let card = with(Some(vec![b'x'; 1 << 20]));
    let (said, used) = run(&card);
    assert!(said.contains("nothing goes onto the card: this is no results file"), "{said}");
    assert!(used == card);
}

#[test]
fn a_file_that_is_too_small_for_all_is_said_to_be_and_stays_incomplete() {
    let small = 8 * format::PAGE;
    let (said, used) = run(&with(Some(format::blank(small))));
    assert!(said.contains("did not get onto the card: there is more than the 4064 bytes"), "{said}");
    assert!(said.contains("run 1 is incomplete on the card"), "{said}");
    let [file] = disk::read(&used, [card::FILE]).unwrap();
    assert_eq!(format::read(&file).unwrap().state, format::State::Begun);
    let mut blank = used;
    let begin = blank.windows(small).position(|window| window == file).unwrap();
    blank[begin..begin + small].copy_from_slice(&format::blank(small));
    assert!(blank == with(Some(format::blank(small))), "something beside the file was written");
}

#[test]
fn the_hardware_self_test_fails_on_a_card_that_takes_no_results_and_only_in_that() {
    let card = made(&sd::Order { scenario: "scenarios/hardware.toml".into(), ..order() });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(sd::IMAGE);
    sd::write_sparse(&path, &of(&card, None)).unwrap();
    let results = boot(&path, &folder.path().join("out")).results;
    let failed: Vec<_> =
        results.verdict.iter().filter(|line| !line.passed).map(|line| &line.seen[..]).collect();
    assert_eq!(failed, ["it says failed with code 1, the machine ends with 1", "failed: SD card"]);
}

use super::fake::{Fake, State, Trouble};
use super::host::Host;
use super::identify::{Absent, Card, Detects, Slot, UNKNOWN_BASE_CLOCK};
use super::transfer::Disk;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::boxed::Box;
use std::vec::Vec;
use tranche_abi::{Direction, DiskFault, Progress};
use tranche_kernel::disk::{Driver, Request, Words};

const SLOT: Slot = Slot { base_clock: None, detects: Detects::Cards };

fn identified(fake: &mut Fake) -> Result<(Host<&mut Fake>, Card), Absent> {
    let mut host = Host::new(fake);
    let card = host.identify(SLOT)?;
    Ok((host, card))
}

fn page(word: u32) -> Box<Words> {
    Box::new([const { AtomicU32::new(0) }; 1024].map(|_| AtomicU32::new(word)))
}

fn blocks_in(page: &Words) -> Vec<u32> {
    page.iter().step_by(128).map(|word| word.load(Relaxed)).collect()
}

/// Moves a page; how that ended, and the steps that said something else: go on, wait.
fn run(disk: &mut impl Driver, block: u64, direction: Direction, page: &Words) -> (Progress, [u32; 2]) {
    disk.begin(Request { block, direction });
    let mut steps = [0; 2];
    for _ in 0..5_000_000 {
        match disk.step(page) {
            Progress::Again => steps[0] += 1,
            Progress::Wait => steps[1] += 1,
            over => return (over, steps),
        }
    }
    panic!("it never ends")
}

#[test]
fn a_card_of_high_capacity_is_identified_at_a_slow_clock_and_used_at_a_fast_one() {
    let mut fake = Fake::new(4096);
    let (_, card) = identified(&mut fake).unwrap();
    assert_eq!(card, Card { address: 0x1234_0000, blocks: 4096, high_capacity: true, writable: true });
    assert_eq!((fake.clock(), fake.width()), (25_000_000, 2));
    assert_eq!(fake.state, State::Transfer);
    let asked = [0, 8, 55, 41, 55, 41, 55, 41, 2, 3, 9, 7, 55, 6, 16];
    assert_eq!(fake.commands, asked);
}

#[test]
fn a_card_of_standard_capacity_of_either_version_counts_in_bytes() {
    for version_2 in [false, true] {
        let mut fake = Fake::new(2048);
        (fake.high_capacity, fake.version_2) = (false, version_2);
        let (host, card) = identified(&mut fake).unwrap();
        assert_eq!((card.blocks, card.high_capacity), (2048, false));
        let (mut disk, page) = (Disk::new(host, card), page(0));
        assert_eq!(run(&mut disk, 100, Direction::Read, &page).0, Progress::Done);
        assert_eq!(blocks_in(&page), Vec::from_iter(100..108));
    }
}

#[test]
fn an_unknown_base_clock_is_taken_for_the_fastest_so_that_no_card_is_overclocked() {
    let mut fake = Fake::new(2048);
    let slot = Slot { base_clock: Some(UNKNOWN_BASE_CLOCK), detects: Detects::Nothing };
    Host::new(&mut fake).identify(slot).unwrap();
    assert_eq!(fake.clock(), 25_000_000 / 4, "the base is a quarter of what it was taken for");
}

#[test]
fn an_empty_slot_is_no_card_whether_the_controller_sees_that_or_not() {
    let mut fake = Fake::new(0);
    assert_eq!(identified(&mut fake).err(), Some(Absent::NoCard));
    assert_eq!(fake.commands, [], "nobody was asked");
    let slot = Slot { base_clock: None, detects: Detects::Nothing };
    assert_eq!(Host::new(&mut fake).identify(slot), Err(Absent::NoCard));
}

#[test]
fn a_card_that_never_gets_ready_or_is_mute_is_given_up() {
    let mut fake = Fake::new(2048);
    fake.unready = u32::MAX;
    assert_eq!(identified(&mut fake).err(), Some(Absent::Unusable));
    let mut fake = Fake::new(2048);
    fake.trouble.silent = 100;
    assert_eq!(identified(&mut fake).err(), Some(Absent::NoCard));
}

#[test]
fn single_disturbances_of_identification_are_got_over() {
    let mut fake = Fake::new(2048);
    fake.trouble = Trouble { damaged: 1, ..Trouble::default() };
    assert!(identified(&mut fake).is_ok());
}

#[test]
fn a_page_is_read_and_written_where_it_belongs() {
    let mut fake = Fake::new(2048);
    let (host, card) = identified(&mut fake).unwrap();
    let (mut disk, read, write) = (Disk::new(host, card), page(0), page(0xaaaa));
    assert_eq!(run(&mut disk, 80, Direction::Read, &read), (Progress::Done, [14, 0]));
    assert_eq!(blocks_in(&read), Vec::from_iter(80..88));
    assert_eq!(run(&mut disk, 88, Direction::Write, &write), (Progress::Done, [14, 0]));
    assert_eq!(run(&mut disk, 2040, Direction::Read, &read).0, Progress::Done);
    for (number, block) in fake.blocks.iter().enumerate() {
        let written = (88..96).contains(&number);
        assert_eq!(*block, [if written { 0xaaaa } else { number as u32 }; 128], "block {number}");
    }
    assert_eq!(fake.state, State::Transfer);
}

#[test]
fn a_card_that_is_slow_is_waited_for_step_by_step() {
    let mut fake = Fake::new(2048);
    let (_, card) = identified(&mut fake).unwrap();
    fake.trouble = Trouble { slow: 5, busy: 7, ..Trouble::default() };
    let mut disk = Disk::new(Host::new(&mut fake), card);
    let (over, [_, waits]) = run(&mut disk, 0, Direction::Write, &page(1));
    assert_eq!(over, Progress::Done);
    // Two of the answers that said "busy" were to the commands before that question.
    assert_eq!(waits, 9 * 5 + 7 - 2);
}

/// How a page ends when this goes wrong, and the card afterwards.
fn with(trouble: Trouble, direction: Direction) -> (Progress, Fake) {
    let mut fake = Fake::new(2048);
    let (_, card) = identified(&mut fake).unwrap();
    fake.trouble = trouble;
    fake.commands.clear();
    let over = run(&mut Disk::new(Host::new(&mut fake), card), 16, direction, &page(7)).0;
    (over, fake)
}

#[test]
fn what_goes_wrong_once_is_tried_again() {
    for direction in [Direction::Read, Direction::Write] {
        let troubles = [
            Trouble { silent: 1, ..Trouble::default() },
            Trouble { damaged: 1, ..Trouble::default() },
            Trouble { data_damaged: 2, ..Trouble::default() },
            Trouble { refuses: 1 << 23, ..Trouble::default() },
        ];
        for trouble in troubles {
            let (over, fake) = with(trouble.clone(), direction);
            assert_eq!((over, fake.state), (Progress::Done, State::Transfer), "{trouble:?}");
            assert!(fake.commands.contains(&12));
        }
    }
}

#[test]
fn what_goes_wrong_again_and_again_is_given_up_with_the_reason() {
    let silent = Trouble { silent: u32::MAX, ..Trouble::default() };
    let damaged = Trouble { data_damaged: u32::MAX, ..Trouble::default() };
    let slow = Trouble { slow: u32::MAX, ..Trouble::default() };
    let busy = Trouble { busy: u32::MAX, ..Trouble::default() };
    for (trouble, fault) in
        [(silent, DiskFault::NoAnswer), (damaged, DiskFault::Checksum), (slow, DiskFault::TooSlow)]
    {
        for direction in [Direction::Read, Direction::Write] {
            assert_eq!(with(trouble.clone(), direction).0, Progress::Failed(fault), "{trouble:?}");
        }
    }
    assert_eq!(with(busy, Direction::Write).0, Progress::Failed(DiskFault::TooSlow));
}

#[test]
fn a_card_that_fails_serves_the_next_page() {
    let mut fake = Fake::new(2048);
    let (_, card) = identified(&mut fake).unwrap();
    fake.trouble.data_damaged = 3;
    let mut disk = Disk::new(Host::new(&mut fake), card);
    let page = page(0);
    assert_eq!(run(&mut disk, 0, Direction::Read, &page).0, Progress::Failed(DiskFault::Checksum));
    assert_eq!(run(&mut disk, 8, Direction::Read, &page).0, Progress::Done);
    assert_eq!(blocks_in(&page), Vec::from_iter(8..16));
}

#[test]
fn a_page_that_is_broken_off_at_any_step_leaves_the_card_ready_for_the_next() {
    for direction in [Direction::Read, Direction::Write] {
        for steps in 0..17 {
            let mut fake = Fake::new(2048);
            let (host, card) = identified(&mut fake).unwrap();
            let (mut disk, garbage, read) = (Disk::new(host, card), page(9), page(0));
            disk.begin(Request { block: 0, direction });
            (0..steps).for_each(|_| _ = disk.step(&garbage));
            assert_eq!(run(&mut disk, 64, Direction::Read, &read).0, Progress::Done, "after {steps} steps");
            assert_eq!(blocks_in(&read), Vec::from_iter(64..72));
        }
    }
}

#[test]
fn a_protected_card_is_read_and_not_written() {
    let protect: [fn(&mut Fake); 2] = [|fake| fake.lock_switch(), |fake| fake.protected = true];
    for protect in protect {
        let mut fake = Fake::new(2048);
        protect(&mut fake);
        let (host, card) = identified(&mut fake).unwrap();
        let (mut disk, page) = (Disk::new(host, card), page(0));
        assert_eq!(run(&mut disk, 0, Direction::Write, &page).0, Progress::Failed(DiskFault::WriteProtected));
        assert_eq!(run(&mut disk, 8, Direction::Read, &page).0, Progress::Done);
        assert_eq!(fake.blocks[0], [0; 128]);
    }
    let violation = Trouble { refuses: 1 << 26, ..Trouble::default() };
    assert_eq!(with(violation, Direction::Write).0, Progress::Failed(DiskFault::WriteProtected));
}

#[test]
fn a_block_that_the_card_does_not_have_is_refused() {
    let mut fake = Fake::new(2048);
    let (host, card) = identified(&mut fake).unwrap();
    let mut disk = Disk::new(host, card);
    let over = run(&mut disk, 2048, Direction::Read, &page(0)).0;
    assert_eq!(over, Progress::Failed(DiskFault::Refused));
}

//! The power goes while a run writes its results: at any page, and at any moment before.

use super::{PATIENCE, assert_untouched, collector, copy, made, order, results_file, start};
use libos_core::card::format::{self, PAGE, State};
use libos_core::chance;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tranche_tools::collect;
use tranche_tools::qemu::{Guest, Said};
use tranche_tools::sd;

/// Times that the power is pulled.
const CUTS: u64 = 50;
/// How long a run lasts here, so that fifty are soon over; it says less and writes fewer pages then.
const DURATION: [&str; 2] = ["duration_ms = 400", "duration_ms = 100"];
/// After the page at which the power goes, it stays for up to this long.
const AFTER_PAGE: Duration = Duration::from_millis(4);
/// The same after the run has begun.
const AFTER_BEGIN: Duration = Duration::from_millis(400);

/// A card with a short run, on which nothing was written.
fn fresh() -> &'static [u8] {
    static CARD: OnceLock<Vec<u8>> = OnceLock::new();
    CARD.get_or_init(|| {
        let order = order();
        let folder = tempfile::tempdir().unwrap();
        let scenario = folder.path().join("short.toml");
        let text = fs::read_to_string(&order.scenario).unwrap();
        assert!(text.contains(DURATION[0]));
        fs::write(&scenario, text.replace(DURATION[0], DURATION[1])).unwrap();
        made(&sd::Order { scenario, ..order })
    })
}

/// The pages of the results file, from the third on, that a whole run writes.
fn written() -> Vec<u64> {
    let folder = tempfile::tempdir().unwrap();
    let card = copy(fresh(), &folder);
    let guest = start(&card, folder.path());
    while !matches!(guest.listen(PATIENCE), Said::Closed) {}
    let used = fs::read(&card).unwrap();
    let pages = used[results_file(fresh())].chunks(PAGE).enumerate().skip(2);
    let written = pages.filter(|(_, page)| page.iter().any(|byte| *byte != 0));
    written.map(|(number, _)| number as u64).collect()
}

/// When the power goes.
#[derive(Clone, Copy, Debug)]
struct Moment {
    /// So long after this page of the results file was written; one of the first two says that a run has begun.
    page: u64,
    after: Duration,
}

#[test]
fn whenever_the_power_goes_the_card_stays_sound_and_the_results_are_whole_or_say_that_they_are_not() {
    let written = written();
    let mut state = chance::seed(&[1]);
    let mut below = |limit: u64| chance::draw(&mut state) % limit;
    let moments: Vec<Moment> = (0..CUTS)
        .map(|cut| {
            let (page, most) = match cut % 4 {
                0 => (1, AFTER_BEGIN),
                _ => (written[below(written.len() as u64) as usize], AFTER_PAGE),
            };
            Moment { page, after: Duration::from_micros(below(most.as_micros() as u64)) }
        })
        .collect();
    let states: Vec<State> = std::thread::scope(|scope| {
        let halves = moments.chunks(moments.len().div_ceil(2));
        let halves: Vec<_> =
            halves.map(|half| scope.spawn(|| half.iter().map(|at| cut(*at)).collect::<Vec<_>>())).collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    let begun = states.iter().filter(|state| **state == State::Begun).count();
    println!("the power went {CUTS} times: {begun} runs had begun and not ended");
    assert!(begun >= CUTS as usize / 2, "hardly any cut came before the end: {states:?}");
}

/// Ends a guest at a moment; how far its results were.
fn cut(at: Moment) -> State {
    let folder = tempfile::tempdir().unwrap();
    let card = copy(fresh(), &folder);
    let guest = start(&card, folder.path());
    await_page(&guest, &File::open(&card).unwrap(), at.page);
    std::thread::sleep(at.after);
    drop(guest); // which kills it
    let used = fs::read(&card).unwrap();
    assert_untouched(&used, fresh()); // So the file system is as it was made, which fsck.fat has found to be sound.
    let contents = format::read(&used[results_file(fresh())]).unwrap();
    let collected = collect::card::collect(&collector(&folder.path().join("out")), &card);
    match contents.state {
        State::Complete => {
            assert!(contents.is_whole(), "{:?}", contents.damage);
            assert!(collected.unwrap().losses.is_empty());
        }
        State::Begun => match collected {
            Ok(collected) => assert!(!collected.losses.is_empty() && !collected.ran.results.passed),
            Err(failure) => assert!(failure.0.contains("lost: "), "{}", failure.0),
        },
        State::Blank => assert!(collected.err().unwrap().0.contains("no run has written into it")),
    }
    contents.state
}

/// Waits until a page of the results file is another than it was made, or the guest has ended.
fn await_page(guest: &Guest, card: &File, page: u64) {
    let place = results_file(fresh()).start + page as usize * PAGE;
    let (begin, mut now) = (Instant::now(), vec![0; PAGE]);
    while !matches!(guest.listen(Duration::from_micros(200)), Said::Closed) {
        card.read_exact_at(&mut now, place as u64).unwrap();
        if now != fresh()[place..place + PAGE] {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "page {page} was not written in time");
    }
}

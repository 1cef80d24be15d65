//! A scenario for tests, and a whole picture of it, looked at where the layout says that something is.
#![forbid(unsafe_code)]

use super::canvas::{Area, Canvas, Form};
use super::palette::{self, Order};
use super::panel::{Jobs, Panel};
use super::shares::Part;
use super::{draw, layout::Row};
use super::{lanes, layout_of, slots};
use alloc::vec;
use alloc::vec::Vec;
use embedded_graphics::pixelcolor::Rgb888;
use libos_core::scenario::*;

const FORM: Form = Form { width: 1280, stride: 1280, order: Order::BlueFirst };

fn client(name: &str, tickets: u32, placement: Placement) -> Client {
    Client { name: name.into(), program: "spin".into(), tickets, placement, frames: 10, ..Client::default() }
}

fn libos(name: &str, policy: Policy, clients: Vec<Client>) -> LibOs {
    LibOs {
        name: name.into(),
        program: "stride".into(),
        policy,
        admission: Admission::Off,
        frames: 100,
        want: 4,
        minimum: 4,
        clients,
        ..LibOs::default()
    }
}

/// Two cores: `shares` with a on both and b on core 0, `tasks` with t on core 1, `bad`.
pub(crate) fn scenario() -> Scenario {
    let hostile = Hostile {
        name: "bad".into(),
        program: "hostile".into(),
        behaviour: vec![Behaviour::Loop],
        frames: 9,
        slots: 1,
        asked_ms: Vec::new(),
        asked_slots: 0,
    };
    let shares = vec![client("a", 2, Placement::EveryCore), client("b", 1, Placement::Core(0))];
    Scenario {
        name: "test".into(),
        duration_ms: 2000,
        cores: 2,
        quantum_us: 1000,
        slots: 10,
        grace_us: 50,
        seed: 1,
        trace: true,
        broker: Broker { mode: Mode::Static, slots: 2, patience_ms: 20 },
        libos: vec![
            libos("shares", Policy::Stride, shares),
            libos("tasks", Policy::Edf, vec![client("t", 1, Placement::Core(1))]),
        ],
        hostile: vec![hostile],
        traces: Vec::new(),
    }
}

/// How many pixels of an area have a colour.
fn count(words: &mut [u32], area: Area, colour: Rgb888) -> usize {
    let mut canvas = Canvas::new(words, 0, FORM);
    let word = canvas.word(colour);
    let rows = area.y..area.bottom();
    rows.map(|y| (area.x..area.right()).filter(|x| canvas.at(*x, y) == Some(word)).count()).sum()
}

#[test]
fn a_picture_shows_each_figure_where_the_layout_has_it() {
    let scenario = scenario();
    let layout = layout_of(&scenario, (1280, 720)).unwrap();
    let mut words = vec![1; 1280 * 720];
    let mut canvas = Canvas::new(&mut words, 0, FORM);
    draw::everything(&mut canvas, &layout, &scenario, draw::Machine { board: 1, recorded: true });
    let mut panel = Panel::new(&layout, &scenario, FORM);
    panel.time(&mut canvas, 500, 2000);
    let part = Part { got: 300, of: 2000, slots: 8, clients: vec![100, 100], should: vec![3, 1] };
    panel.part(&mut canvas, 0, &part, (Jobs { done: 70, late: 3 }, 40));
    panel.part(&mut canvas, 1, &Part::default(), (Jobs::default(), 40));

    let whole = |area: Area| area.width * area.height;
    assert_eq!(count(&mut words, layout.progress(), palette::INK), whole(layout.progress()) / 4);
    let row = layout.row(0);
    let [first, second] = [0, 1].map(|number| palette::client(palette::LIBOS[0], number));
    assert_eq!(count(&mut words, row.swatch, first), whole(row.swatch));
    // 15 % of all time, on a bar that is 50 %; its slots are 40 %.
    let got = Row::columns(row.bar.width, 15, 50);
    assert_eq!(count(&mut words, row.bar, first), got * row.bar.height);
    let line = Area { x: row.bar.x + row.bar.width * 4 / 5 - 3, width: 3, ..row.bar };
    assert_eq!(count(&mut words, line, palette::MARK), whole(line));
    for (area, part) in [(row.got, 2), (row.should, 4)] {
        assert_eq!(count(&mut words, area, second), area.width / part * area.height);
    }
    let number = |(right, y): (usize, usize)| Area::new(right - 70, y, 70, 22);
    assert!(count(&mut words, number(row.late), palette::BAD) > 50, "late jobs stand out");
    assert!(count(&mut words, number(row.percent), palette::INK) > 50);
    assert_eq!(count(&mut words, number(layout.row(1).late), palette::INK), 0);
    for core in 0..2 {
        assert_eq!(count(&mut words, layout.lane(core), palette::EMPTY), whole(layout.lane(core)));
    }
    assert_eq!(words.iter().filter(|word| **word == 1).count(), 0, "all of the screen was drawn");
}

#[test]
fn a_figure_that_shrinks_leaves_nothing_behind() {
    let scenario = scenario();
    let layout = layout_of(&scenario, (1280, 720)).unwrap();
    let picture = |parts: &[Part]| {
        let mut words = vec![0; 1280 * 720];
        let mut canvas = Canvas::new(&mut words, 0, FORM);
        draw::everything(&mut canvas, &layout, &scenario, draw::Machine { board: 2, recorded: false });
        let mut panel = Panel::new(&layout, &scenario, FORM);
        parts.iter().for_each(|part| panel.part(&mut canvas, 0, part, (Jobs::default(), 40)));
        words
    };
    let small = Part { got: 100, of: 2000, slots: 2, clients: vec![50, 1], should: vec![2, 1] };
    let large = Part { got: 1900, of: 2000, slots: 9, clients: vec![2, 60], should: vec![1, 9] };
    assert_eq!(picture(&[large, small.clone()]), picture(&[small]));
}

#[test]
fn the_display_gets_no_slot_at_the_time_of_the_brokers_own_nor_the_tracers_and_every_lane_is_drawn_once() {
    let mut scenario = Scenario { slots: 100, cores: 4, ..scenario() };
    let all = |scenario: &Scenario| slots(scenario).map(|slot| slot.0).collect::<Vec<_>>();
    let drawn = |scenario: &Scenario| (0..4).map(|core| lanes(scenario, core)).collect::<Vec<_>>();
    for (kept, trace, of) in [(4, true, vec![25, 50]), (3, true, vec![33]), (2, false, vec![50])] {
        (scenario.broker.slots, scenario.trace) = (kept, trace);
        assert_eq!((all(&scenario), drawn(&scenario)), (of, vec![0..1, 1..2, 2..3, 3..4]));
    }
    for (kept, trace) in [(2, true), (1, false)] {
        (scenario.broker.slots, scenario.trace) = (kept, trace);
        assert_eq!((all(&scenario), drawn(&scenario)), (vec![], vec![0..4, 0..0, 0..0, 0..0]));
    }
}

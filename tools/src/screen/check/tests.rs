//! A picture as it should be, drawn here by the display's own parts, and what each fault in it is said to be.

use super::*;
use crate::results::Client;
use crate::verdict;
use apps::display::board::{Board, Who};
use apps::display::canvas::{Canvas, Form};
use apps::display::cast::Cast;
use apps::display::draw;
use apps::display::lane::{Lane, Scale};
use apps::display::palette::Order;
use apps::display::panel::{Jobs, Panel};
use apps::display::shares::Part;
use embedded_graphics::pixelcolor::RgbColor;
use tranche_abi::trace::{Record, kind};

const SIZE: (usize, usize) = (1280, 720);
const FORM: Form = Form { width: SIZE.0, stride: SIZE.0, order: Order::BlueFirst };

fn scenario() -> Scenario {
    let text = "name = \"good\"\nduration_ms = 1000\ncores = 1\nslots = 10\n[broker]\nmode = \"static\"\nslots = 2\n\
        [[libos]]\nname = \"a\"\npolicy = \"stride\"\nwant = 8\n\
        [[libos.clients]]\nname = \"x\"\nprogram = \"spin\"\ntickets = 3\n\
        [[libos.clients]]\nname = \"y\"\nprogram = \"spin\"\ntickets = 1\n";
    crate::scenario::parse(text, None, None).unwrap()
}

/// Results in which the libOS used all of its slots, with some late jobs.
fn results() -> Results {
    let (other, machine) = (verdict::fixture::scenario(), verdict::fixture::machine());
    let results = Results::new(&other, &machine, &verdict::tests::good(), Vec::new()).unwrap();
    let client = |name: &str| Client {
        name: name.into(),
        jobs: 5,
        misses: 1,
        deadline_us: Some(1.0),
        ..Client::default()
    };
    let libos = LibOs {
        name: "a".into(),
        clients_ran_us: 780_000,
        own_us: 20_000,
        clients: vec![client("x"), client("y")],
        ..results.libos[0].clone()
    };
    Results { libos: vec![libos], ..results }
}

fn good(scenario: &Scenario) -> Picture {
    let layout = layout_of(scenario, SIZE).unwrap();
    let mut words = vec![0; SIZE.0 * SIZE.1];
    let mut canvas = Canvas::new(&mut words, 0, FORM);
    draw::everything(&mut canvas, &layout, scenario, draw::Machine { board: 1, recorded: true });
    let mut panel = Panel::new(&layout, scenario, FORM);
    panel.time(&mut canvas, 1000, 1000);
    let part = Part { got: 800, of: 1000, slots: 8, clients: vec![585, 195], should: vec![3, 1] };
    panel.part(&mut canvas, 0, &part, (Jobs { done: 10, late: 2 }, 80));
    let (board, mut cast) = (Board::new(), Cast::new(scenario, FORM.order));
    board.introduce(1, Who::Client { party: 0, client: 0, core: 0 });
    cast.update(&board);
    let mut lane = Lane::new((layout.lane(0), layout.marks(0)), Scale { zero: 0, column: 5 }, 10, &cast);
    for slot in 0..700 {
        let head = Record::head(kind::SLICE, 0, u16::from(slot % 10 > 1), 0);
        lane.record(&[10 * slot, head, slot, 10 * slot + 10, 0, 0, 0, 0], &cast);
    }
    lane.show(&mut canvas);
    let colour = |word: &u32| Rgb888::new((word >> 16) as u8, (word >> 8) as u8, *word as u8);
    Picture { width: SIZE.0, pixels: words.iter().map(colour).collect() }
}

/// What is wrong with a picture in which an area has this colour.
fn with(area: Area, colour: Rgb888) -> Vec<String> {
    let scenario = scenario();
    let mut picture = good(&scenario);
    for y in area.y..area.bottom() {
        picture.pixels[y * SIZE.0 + area.x..y * SIZE.0 + area.right()].fill(colour);
    }
    problems(&picture, &scenario, &results())
}

#[test]
fn a_picture_that_is_right_has_no_problems() {
    assert_eq!(with(Area::default(), palette::PAPER), [""; 0]);
}

#[test]
fn each_thing_that_is_not_where_it_should_be_is_named() {
    let layout = layout_of(&scenario(), SIZE).unwrap();
    let (row, lane, progress) = (layout.row(0), layout.lane(0), layout.progress());
    let faults = [
        (Area { x: progress.right() - 1, width: 1, ..progress }, palette::EMPTY, "columns of progress"),
        (lane, palette::EMPTY, "core 0: pixels of a"),
        (Area { width: 5, height: 5, ..lane }, Rgb888::new(1, 2, 3), "core 0: pixels of known colours"),
        (row.swatch, palette::PAPER, "a: pixels of its swatch"),
        (row.bar, palette::EMPTY, "a: columns of its CPU time"),
        (row.bar, palette::LIBOS[0], "a: pixels of the line where its slots end"),
        (row.should, palette::LIBOS[0], "a.x: columns of its share"),
        (row.got, palette::EMPTY, "a.y: columns of its share"),
        (Area::new(row.late.0 - 96, row.late.1, 96, 22), palette::PAPER, "a: pixels of a bad number"),
        (Area::new(0, SIZE.1 - 1, 9, 1), palette::INK, "pixels of the ground"),
    ];
    for (area, colour, said) in faults {
        let problems = with(area, colour);
        assert!(problems.iter().any(|problem| problem.starts_with(said)), "{said}: {problems:?}");
    }
}

#[test]
fn a_screen_without_a_picture_is_said_to_be_one() {
    let scenario = scenario();
    let black = Picture { width: 640, pixels: vec![Rgb888::BLACK; 640 * 480] };
    assert!(problems(&black, &scenario, &results())[0].contains("640 x 480"));
}

#[test]
fn a_png_file_is_read_to_the_pixel_and_what_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.png");
    let mut encoder = png::Encoder::new(File::create(&file).unwrap(), 2, 1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[1, 2, 3, 4, 5, 6]).unwrap();
    let pixels = vec![Rgb888::new(1, 2, 3), Rgb888::new(4, 5, 6)];
    assert_eq!(Picture::read(&file), Ok(Picture { width: 2, pixels }));
    std::fs::write(&file, "P6 2 1 255").unwrap();
    assert!(Picture::read(&file).unwrap_err().0.contains("p.png"));
}

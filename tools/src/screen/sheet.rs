//! Whether a picture shows the page of the hardware self-test, all of whose checks passed. Not here: what is on it
//! (`apps::hardware`), nor how the picture came about (`super`).

use super::check::Picture;
use apps::display::canvas::Area;
use apps::display::palette::{GOOD, INK, MUTED, PAPER};
use apps::hardware::{names, sheet};

/// Pixels of the shortest text.
const TEXT: usize = 30;

/// Everything that it does not show as it should, in words.
pub fn problems(picture: &Picture) -> Vec<String> {
    let sheet = sheet((picture.width, picture.height()));
    let mut problems = Vec::new();
    let mut expect = |what: String, seen: usize, least: usize| {
        if seen < least {
            problems.push(format!("{what}: {seen} pixels, expected {least} at least"));
        }
    };
    for (row, name) in names().into_iter().enumerate() {
        let mark = sheet.mark(row);
        let named = Area { x: mark.right(), width: sheet.verdict(row).x - mark.right(), ..sheet.row(row) };
        let places = [
            ("mark", mark, GOOD, mark.width * mark.height),
            ("name", named, INK, TEXT),
            ("verdict", sheet.verdict(row), GOOD, TEXT),
            ("findings", sheet.detail(row), MUTED, TEXT),
        ];
        for (what, area, colour, least) in places {
            expect(format!("{name}: its {what}"), picture.count(area, &[colour]), least);
        }
    }
    let bar = sheet.footer();
    expect("the last line's bar".into(), picture.count(bar, &[GOOD]), bar.width * bar.height / 2);
    expect("the last line".into(), picture.count(bar, &[PAPER]), TEXT);
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use apps::display::canvas::{Canvas, Form};
    use apps::display::palette::Order;
    use embedded_graphics::pixelcolor::{Rgb888, RgbColor};

    const SIZE: (usize, usize) = (1280, 720);

    fn picture(found: impl Fn(usize) -> Result<String, String>) -> Picture {
        let mut words = vec![0; SIZE.0 * SIZE.1];
        let form = Form { width: SIZE.0, stride: SIZE.0, order: Order::RedFirst };
        let mut canvas = Canvas::new(&mut words, 0, form);
        let (sheet, names) = (sheet(SIZE), names());
        sheet.open(&mut canvas, 1, &names);
        let all: Vec<_> = (0..names.len()).map(found).collect();
        all.iter().enumerate().for_each(|(row, found)| sheet.show(&mut canvas, row, found));
        sheet.end(&mut canvas, (all.iter().filter(|found| found.is_err()).count(), names.len()));
        let colour = |word: u32| Rgb888::new(word as u8, (word >> 8) as u8, (word >> 16) as u8);
        Picture { width: SIZE.0, pixels: words.into_iter().map(colour).collect() }
    }

    #[test]
    fn a_page_on_which_all_passed_is_right() {
        assert_eq!(problems(&picture(|_| Ok("as it should be".into()))), [""; 0]);
    }

    #[test]
    fn a_failed_row_an_empty_one_and_an_empty_screen_are_told_apart() {
        let failed = picture(|row| if row == 3 { Err("it is not".into()) } else { Ok("it is".into()) });
        let said = problems(&failed).join("\n");
        assert!(
            said.contains("caches: its mark: 0 pixels") && said.contains("the last line's bar"),
            "{said}"
        );
        assert!(!said.contains("timer"), "{said}");
        let said = problems(&picture(|row| Ok(if row == 0 { "" } else { "it is" }.into()))).join("\n");
        assert_eq!(said, "cores: its findings: 0 pixels, expected 30 at least");
        let black = Picture { width: SIZE.0, pixels: vec![Rgb888::BLACK; SIZE.0 * SIZE.1] };
        assert_eq!(problems(&black).len(), 4 * names().len() + 2);
    }
}

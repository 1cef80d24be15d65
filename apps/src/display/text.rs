//! Text that changes: glyphs drawn once, by `embedded-graphics`, and copied from then on; of a text only what has changed.
//!
//! Not here: text that stays ([`super::draw`]).
#![forbid(unsafe_code)]

use super::canvas::{Canvas, Doubled, Form};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use embedded_graphics::Drawable;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::Point;
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::text::{Baseline, Text};

/// What a text that changes is made of.
const GLYPHS: &str = " 0123456789.%/";
/// Characters of such a text at most.
const LONGEST: usize = 20;

/// How large glyphs are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// As the font has them.
    Once,
    /// Twice as wide and high.
    Double,
}

/// Draws a text that stays.
pub fn write(target: &mut Canvas<'_>, (x, y): (usize, usize), text: &str, style: Style<'_>) {
    let place = |scale: usize| Point::new((x / scale) as i32, (y / scale) as i32);
    match style.size {
        Size::Once => draw(target, place(1), text, style),
        Size::Double => draw(&mut Doubled(target), place(2), text, style),
    }
}

fn draw<T: DrawTarget<Color = Rgb888>>(target: &mut T, place: Point, text: &str, style: Style<'_>) {
    let characters = MonoTextStyle::new(style.font, style.ink);
    // Our targets cannot fail.
    let _ = Text::with_baseline(text, place, characters, Baseline::Top).draw(target);
}

/// How a text looks.
#[derive(Clone, Copy)]
pub struct Style<'a> {
    /// The font.
    pub font: &'a MonoFont<'a>,
    /// Its colour.
    pub ink: Rgb888,
    /// How large.
    pub size: Size,
}

impl Style<'_> {
    /// A glyph's width, with the space behind it, and height on the screen.
    pub fn glyph(&self) -> (usize, usize) {
        let scale = if self.size == Size::Double { 2 } else { 1 };
        let MonoFont { character_size, character_spacing, .. } = *self.font;
        let width = character_size.width + character_spacing;
        (width as usize * scale, character_size.height as usize * scale)
    }
}

/// Glyphs that were drawn once.
pub struct Glyphs {
    width: usize,
    height: usize,
    words: Vec<u32>,
}

impl Glyphs {
    /// Draws them, on this paper.
    pub fn new(style: Style<'_>, paper: Rgb888, form: Form) -> Self {
        let (width, height) = style.glyph();
        let mut words = vec![0; width * height * GLYPHS.len()];
        for (place, glyph) in words.chunks_exact_mut(width * height).zip(GLYPHS.chars()) {
            let mut canvas = Canvas::new(place, 0, Form { width, stride: width, ..form });
            place_paper(&mut canvas, (width, height), paper);
            write(&mut canvas, (0, 0), glyph.encode_utf8(&mut [0; 4]), style);
        }
        Self { width, height, words }
    }

    fn of(&self, character: u8) -> &[u32] {
        let number = GLYPHS.bytes().position(|known| known == character).unwrap_or(0);
        let size = self.width * self.height;
        &self.words[number * size..(number + 1) * size]
    }
}

fn place_paper(canvas: &mut Canvas<'_>, (width, height): (usize, usize), paper: Rgb888) {
    let word = canvas.word(paper);
    canvas.fill(super::canvas::Area::new(0, 0, width, height), word);
}

/// A text that changes, at one place, ending there.
pub struct Field {
    right: usize,
    y: usize,
    shown: [u8; LONGEST],
    style: usize,
}

impl Field {
    /// An empty text that ends at `right`.
    pub fn new((right, y): (usize, usize)) -> Self {
        Self { right, y, shown: [b' '; LONGEST], style: 0 }
    }

    /// Shows a text, in one of these styles of the same size. What is longer than a field is not shown.
    pub fn show(
        &mut self,
        canvas: &mut Canvas<'_>,
        styles: &[Glyphs],
        style: usize,
        text: fmt::Arguments<'_>,
    ) {
        let Some(glyphs) = styles.get(style) else { return };
        let mut wanted = Line { bytes: [b' '; LONGEST], used: 0 };
        if wanted.write_fmt(text).is_err() {
            return;
        }
        wanted.bytes.rotate_right(LONGEST - wanted.used);
        let other_style = core::mem::replace(&mut self.style, style) != style;
        for (place, (shown, new)) in self.shown.iter_mut().zip(wanted.bytes).enumerate() {
            let changed = core::mem::replace(shown, new) != new || other_style && new != b' ';
            let x = self.right.checked_sub((LONGEST - place) * glyphs.width);
            let (true, Some(x)) = (changed, x) else { continue };
            for (row, words) in glyphs.of(new).chunks_exact(glyphs.width).enumerate() {
                canvas.put(x, self.y + row..self.y + row + 1, words);
            }
        }
    }
}

/// A short text in the making.
struct Line {
    bytes: [u8; LONGEST],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.bytes.get_mut(self.used..self.used + text.len()).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::palette::Order;
    use embedded_graphics::pixelcolor::RgbColor;
    use profont::PROFONT_12_POINT;

    const FORM: Form = Form { width: 200, stride: 200, order: Order::BlueFirst };

    fn style(ink: Rgb888, size: Size) -> Style<'static> {
        Style { font: &PROFONT_12_POINT, ink, size }
    }

    #[test]
    fn a_text_that_changed_looks_like_one_that_was_written_so() {
        for size in [Size::Once, Size::Double] {
            let style = style(Rgb888::WHITE, size);
            let (width, height) = style.glyph();
            let glyphs = [Glyphs::new(style, Rgb888::BLACK, FORM)];
            let (mut changed, mut written) = (vec![0; 200 * 40], vec![0; 200 * 40]);
            let mut canvas = Canvas::new(&mut changed, 0, FORM);
            let mut field = Field::new((190, 2));
            field.show(&mut canvas, &glyphs, 0, format_args!("{}.{:02} %", 98, 7));
            field.show(&mut canvas, &glyphs, 0, format_args!("{}", 105));
            write(&mut Canvas::new(&mut written, 0, FORM), (190 - 3 * width, 2), "105", style);
            assert!(written.iter().any(|word| *word != 0) && 2 + height < 40);
            let wrong: Vec<_> = (0..written.len()).filter(|at| changed[*at] != written[*at]).collect();
            assert_eq!(wrong, [0; 0], "{width} x {height}");
        }
    }

    #[test]
    fn another_style_is_drawn_even_where_the_text_is_the_same() {
        let of = |ink| Glyphs::new(style(ink, Size::Once), Rgb888::BLACK, FORM);
        let glyphs = [of(Rgb888::WHITE), of(Rgb888::RED)];
        let mut words = vec![0; 200 * 20];
        let mut canvas = Canvas::new(&mut words, 0, FORM);
        let mut field = Field::new((100, 0));
        field.show(&mut canvas, &glyphs, 0, format_args!("7"));
        field.show(&mut canvas, &glyphs, 1, format_args!("7"));
        assert!(words.contains(&0xff_0000) && !words.contains(&0xff_ffff));
    }

    #[test]
    fn what_has_no_room_is_not_shown() {
        let glyphs = [Glyphs::new(style(Rgb888::WHITE, Size::Once), Rgb888::BLACK, FORM)];
        let mut words = vec![0; 200 * 20];
        let mut canvas = Canvas::new(&mut words, 0, FORM);
        Field::new((199, 0)).show(&mut canvas, &glyphs, 0, format_args!("{:>30}", 1));
        Field::new((5, 0)).show(&mut canvas, &glyphs, 0, format_args!("1"));
        assert!(words.iter().all(|word| *word == 0));
    }
}

//! Some rows of the screen, to draw on: what `embedded-graphics` draws to, with fast ways for rectangles and finished rows.
//!
//! Not here: where the rows come from ([`super::device`]). Coordinates are the screen's; what lies outside of the rows is not drawn.
#![forbid(unsafe_code)]

use super::palette::Order;
use core::convert::Infallible;
use core::ops::Range;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::PointsIter;
use embedded_graphics::primitives::Rectangle;

/// A rectangle of the screen, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// Its left edge.
    pub x: usize,
    /// Its upper edge.
    pub y: usize,
    /// Its width.
    pub width: usize,
    /// Its height.
    pub height: usize,
}

impl Area {
    /// A rectangle.
    pub const fn new(x: usize, y: usize, width: usize, height: usize) -> Self {
        Self { x, y, width, height }
    }

    /// The x after its last column.
    pub const fn right(&self) -> usize {
        self.x + self.width
    }

    /// The y after its last row.
    pub const fn bottom(&self) -> usize {
        self.y + self.height
    }
}

/// How pixels lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Pixels of a row.
    pub width: usize,
    /// Words from one row to the next.
    pub stride: usize,
    /// How a pixel is a word.
    pub order: Order,
}

/// Rows to draw on.
pub struct Canvas<'a> {
    words: &'a mut [u32],
    rows: Range<usize>,
    form: Form,
}

impl<'a> Canvas<'a> {
    /// The rows from `first` on that these words are.
    pub fn new(words: &'a mut [u32], first: usize, form: Form) -> Self {
        let count = words.len() / form.stride;
        Self { words, rows: first..first + count, form }
    }

    /// A colour's word.
    pub fn word(&self, colour: Rgb888) -> u32 {
        self.form.order.word(colour)
    }

    /// The columns `x..x + width` of a row, as far as it has them; none of a row that is not here.
    fn row(&mut self, x: usize, y: usize, width: usize) -> &mut [u32] {
        let end = (x + width).min(self.form.width);
        if !self.rows.contains(&y) || x >= end {
            return &mut [];
        }
        let begin = (y - self.rows.start) * self.form.stride;
        &mut self.words[begin + x..begin + end]
    }

    /// Fills a rectangle with a word.
    pub fn fill(&mut self, area: Area, word: u32) {
        for y in area.y..area.bottom() {
            self.row(area.x, y, area.width).fill(word);
        }
    }

    /// Puts words at `x` of each of the rows `rows`.
    pub fn put(&mut self, x: usize, rows: Range<usize>, words: &[u32]) {
        for y in rows {
            let row = self.row(x, y, words.len());
            row.copy_from_slice(&words[..row.len()]);
        }
    }

    /// The word of a pixel; `None` if it is not here.
    pub fn at(&mut self, x: usize, y: usize) -> Option<u32> {
        self.row(x, y, 1).first().copied()
    }
}

impl OriginDimensions for Canvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.form.width as u32, self.rows.end as u32)
    }
}

impl DrawTarget for Canvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(Point { x, y }, colour) in pixels {
            let word = self.word(colour);
            if let (Ok(x), Ok(y)) = (x.try_into(), y.try_into()) {
                self.row(x, y, 1).fill(word);
            }
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, colour: Rgb888) -> Result<(), Infallible> {
        let word = self.word(colour);
        let Size { width, height } = area.size;
        if let (Ok(x), Ok(y)) = (area.top_left.x.try_into(), area.top_left.y.try_into()) {
            self.fill(Area::new(x, y, width as usize, height as usize), word);
        }
        Ok(())
    }
}

/// The same, with every pixel twice as wide and twice as high.
pub struct Doubled<'a, 'b>(pub &'a mut Canvas<'b>);

impl OriginDimensions for Doubled<'_, '_> {
    fn size(&self) -> Size {
        self.0.size() / 2
    }
}

impl DrawTarget for Doubled<'_, '_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let four = |Pixel(at, colour): Pixel<Rgb888>| {
            Rectangle::new(at * 2, Size::new(2, 2)).points().map(move |point| Pixel(point, colour))
        };
        self.0.draw_iter(pixels.into_iter().flat_map(four))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_graphics::pixelcolor::RgbColor;
    use std::vec;

    const FORM: Form = Form { width: 4, stride: 5, order: Order::BlueFirst };

    #[test]
    fn what_lies_outside_of_the_rows_or_of_the_screen_is_not_drawn() {
        let mut words = vec![7; 10];
        let mut canvas = Canvas::new(&mut words, 10, FORM);
        canvas.fill(Area::new(2, 9, 9, 2), 1);
        canvas.put(3, 11..20, &[2, 3]);
        assert_eq!((canvas.at(2, 10), canvas.at(4, 10), canvas.at(0, 12)), (Some(1), None, None));
        assert_eq!(words, [7, 7, 1, 1, 7, 7, 7, 7, 2, 7]);
    }

    #[test]
    fn a_pixel_is_drawn_in_its_place_once_or_twice_as_large() {
        let mut words = vec![0; 20];
        let mut canvas = Canvas::new(&mut words, 0, FORM);
        let points = [Point::new(3, 0), Point::new(-1, 1), Point::new(1, -1), Point::new(9, 9)];
        canvas.draw_iter(points.map(|point| Pixel(point, Rgb888::BLUE))).unwrap();
        Doubled(&mut canvas).draw_iter([Pixel(Point::new(1, 1), Rgb888::GREEN)]).unwrap();
        let (blue, green) = (0xff, 0xff00);
        assert_eq!(words[..5], [0, 0, 0, blue, 0]);
        assert_eq!(words[10..], [0, 0, green, green, 0, 0, 0, green, green, 0]);
    }
}

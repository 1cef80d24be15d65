//! Colours: the dark ones of the comparison's pages (`tools/src/compare/page/draw.js`), which people who see colours otherwise can
//! tell apart (after Okabe and Ito, 2008), on a dark ground.
//!
//! Not here: who gets which ([`super::cast`]).
#![forbid(unsafe_code)]

use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use tranche_abi::public::pixel;

const fn hex(rgb: u32) -> Rgb888 {
    Rgb888::new((rgb >> 16) as u8, (rgb >> 8) as u8, rgb as u8)
}

/// Behind everything.
pub const PAPER: Rgb888 = hex(0x14171b);
/// Behind lanes and bars: nobody's time.
pub const EMPTY: Rgb888 = hex(0x22282f);
/// Text.
pub const INK: Rgb888 = hex(0xe8eaed);
/// Text that matters less, and lines.
pub const MUTED: Rgb888 = hex(0x9aa4af);
/// What is to be seen first: late jobs, excess time, where a share should end.
pub const MARK: Rgb888 = hex(0xffffff);
/// The broker's own slots, and those that it lends to tracer and display.
pub const SYSTEM: Rgb888 = hex(0x4a545f);
/// The hostile environments.
pub const HOSTILE: Rgb888 = hex(0xc8cdd2);
/// What is as it should be.
pub const GOOD: Rgb888 = hex(0x2fcf9b);
/// A number that should be zero, and what is not as it should be.
pub const BAD: Rgb888 = hex(0xff9a5c);
/// LibOSes, in the scenario's order; then again from the first.
pub const LIBOS: [Rgb888; 7] =
    [hex(0x56a9e0), hex(0xff8b3d), hex(0x2fcf9b), hex(0xe39ac4), hex(0xf0b429), hex(0xa99bff), hex(0xc79a6b)];

/// How bright the clients of one libOS are, in percent, one after another; then again from the first.
const SHADES: [u32; 3] = [100, 76, 58];
/// How bright a libOS's own time is: that of its scheduler.
const OWN: u32 = 34;

/// A client's shade of its libOS's colour.
pub fn client(libos: Rgb888, number: usize) -> Rgb888 {
    dimmed(libos, SHADES[number % SHADES.len()])
}

/// The shade of a libOS's own time.
pub fn own(libos: Rgb888) -> Rgb888 {
    dimmed(libos, OWN)
}

/// A colour with so many percent of its light.
fn dimmed(colour: Rgb888, percent: u32) -> Rgb888 {
    let part = |value: u8| (u32::from(value) * percent / 100) as u8;
    Rgb888::new(part(colour.r()), part(colour.g()), part(colour.b()))
}

/// How a pixel is a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Blue in the lowest bits.
    BlueFirst,
    /// Red in the lowest bits.
    RedFirst,
}

impl Order {
    /// The order of a display's format; `None` for one that is not known here.
    pub fn of(format: u64) -> Option<Self> {
        match format {
            pixel::BLUE_FIRST => Some(Self::BlueFirst),
            pixel::RED_FIRST => Some(Self::RedFirst),
            _ => None,
        }
    }

    /// A colour's word.
    pub fn word(self, colour: Rgb888) -> u32 {
        let [r, g, b] = [colour.r(), colour.g(), colour.b()].map(u32::from);
        match self {
            Self::BlueFirst => r << 16 | g << 8 | b,
            Self::RedFirst => b << 16 | g << 8 | r,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_same_colour_is_another_word_in_the_other_order() {
        let colour = Rgb888::new(1, 2, 3);
        assert_eq!(Order::of(pixel::BLUE_FIRST).map(|order| order.word(colour)), Some(0x010203));
        assert_eq!(Order::of(pixel::RED_FIRST).map(|order| order.word(colour)), Some(0x030201));
        assert_eq!(Order::of(pixel::NONE), None);
    }

    /// What somebody who does not see red, or green, makes of a colour: lightness and the one hue that is left, roughly.
    fn without_red_or_green(colour: Rgb888) -> [i32; 2] {
        let [r, g, b] = [colour.r(), colour.g(), colour.b()].map(i32::from);
        [(3 * r + 6 * g + b) / 10, b - (r + 2 * g) / 3]
    }

    #[test]
    fn all_colours_differ_for_people_who_do_not_tell_red_from_green() {
        let all: Vec<Rgb888> = LIBOS.into_iter().take(5).chain([HOSTILE, SYSTEM, EMPTY, MARK]).collect();
        for (place, one) in all.iter().enumerate() {
            for other in &all[place + 1..] {
                let [a, b] = [*one, *other].map(without_red_or_green);
                let distance = (a[0] - b[0]).abs() + (a[1] - b[1]).abs();
                assert!(distance >= 24, "{one:?} and {other:?}: {distance}");
            }
        }
    }
}

//! The serial line of a Raspberry Pi 4: which pins it is on, and how its rate is made. Numbers only; who writes them into
//! registers is `main.rs`.
//!
//! The firmware gives the PL011 to the Bluetooth chip and the header's pins to the "mini UART", whose rate follows the
//! clock of the video core. Its overlay `disable-bt` would change that; Debian's package of the firmware has no overlays, so
//! the kernel does what the overlay does.

/// The frequency of the PL011's clock, as `config.txt` asks for (`init_uart_clock`).
pub const CLOCK_HZ: u32 = 48_000_000;
/// Bits per second, unless the command line says `uart=…`.
pub const DEFAULT_RATE: u32 = 115_200;
/// The word of the command line that names another rate.
const RATE: &str = "uart=";

/// Function select registers of ten pins each, three bits a pin (BCM2711 ARM Peripherals, 5.2).
pub const FUNCTION_SELECT_1: u64 = 0x04;
/// The one of pins 30 to 39.
pub const FUNCTION_SELECT_3: u64 = 0x0c;
const BITS_PER_PIN: u32 = 3;
const FUNCTION: u32 = 0b111;
/// A pin that drives nothing.
const INPUT: u32 = 0b000;
/// Pins 14 and 15 are the PL011's (5.3, table of alternative functions).
const ALTERNATIVE_0: u32 = 0b100;

/// The rate that a command line asks for; `None` if it is no rate that the clock can make.
pub fn rate(arguments: &str) -> Option<u32> {
    let word = arguments.split_whitespace().find_map(|word| word.strip_prefix(RATE));
    let rate = word.map_or(Some(DEFAULT_RATE), |word| word.parse().ok())?;
    divisors(CLOCK_HZ, rate).map(|_| rate)
}

/// The PL011's integer and fractional divisor for a rate (PL011 Technical Reference Manual, 3.3.6): the clock over 16 times
/// the rate, in 64ths. `None` if they are out of range.
pub fn divisors(clock: u32, rate: u32) -> Option<(u32, u32)> {
    let clock = u64::from(clock);
    let in_64ths = (clock * 4 + u64::from(rate) / 2).checked_div(rate.into())?;
    let (whole, fraction) = (in_64ths / 64, in_64ths % 64);
    ((1..=0xffff).contains(&whole)).then_some((whole as u32, fraction as u32))
}

/// What [`FUNCTION_SELECT_1`] is to be, from what it is: the PL011 on pins 14 and 15.
pub fn on_header(select_1: u32) -> u32 {
    with(with(select_1, 14, ALTERNATIVE_0), 15, ALTERNATIVE_0)
}

/// What [`FUNCTION_SELECT_3`] is to be: the PL011 no longer on pins 32 and 33, where the Bluetooth chip is.
pub fn off_bluetooth(select_3: u32) -> u32 {
    with(with(select_3, 32, INPUT), 33, INPUT)
}

fn with(select: u32, pin: u32, function: u32) -> u32 {
    let shift = pin % 10 * BITS_PER_PIN;
    select & !(FUNCTION << shift) | function << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors_are_the_manuals() {
        // The manual's example: 4 MHz and 230 400 give 1 and 5.
        assert_eq!(divisors(4_000_000, 230_400), Some((1, 5)));
        assert_eq!(divisors(CLOCK_HZ, 115_200), Some((26, 3)));
        assert_eq!(divisors(CLOCK_HZ, 3_000_000), Some((1, 0)));
    }

    #[test]
    fn a_rate_that_the_clock_cannot_make_is_none() {
        for arguments in ["uart=0", "uart=4000000", "uart=12", "uart=fast", "uart="] {
            assert_eq!(rate(arguments), None, "{arguments}");
        }
        assert_eq!(rate("exit=semihosting"), Some(115_200));
        assert_eq!(rate("idle=spin uart=921600"), Some(921_600));
    }

    #[test]
    fn only_the_lines_own_pins_change() {
        // Pins 14 and 15 from the mini UART (alternative 5, 0b010) to the PL011; the others stay.
        assert_eq!(on_header(0o7722_7777), 0o7744_7777);
        assert_eq!(off_bluetooth(0o7777_7777), 0o7777_0077);
    }
}

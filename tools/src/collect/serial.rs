//! A board's serial line: everything that comes on it, from now until the run's last report.

use super::{Collected, Order};
use crate::Failure;
use crate::conclude::SUCCESS;
use crate::display::Display;
use crate::run::interrupted;
use serial2::SerialPort;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::{Duration, Instant};

/// Rates that the board's line can have, in bits per second: 48 MHz over 16 at most, and what terminals can say at least.
pub const RATES: std::ops::RangeInclusive<i64> = 1_200..=3_000_000;
/// How often the display and Ctrl-C are looked after.
const PULSE: Duration = Duration::from_millis(100);
/// Bytes that are taken at a time.
const PIECE: usize = 16 << 10;

/// How one listens.
#[derive(Clone, Copy, Debug)]
pub struct Ear {
    /// Bits per second.
    pub rate: u32,
    /// Once something was heard, silence of this length is the end.
    pub silence: Duration,
}

/// Listens to a device until the run's last report, a long silence, or Ctrl-C; what came until then is what there is.
///
/// # Errors
/// If the device cannot be opened or read, with its name and what to try; and what is wrong with what came.
pub fn collect(order: &Order, device: &Path, ear: Ear, display: &mut Display) -> Result<Collected, Failure> {
    let mut port = SerialPort::open(device, ear.rate)
        .map_err(|error| Failure(format!("{}: {error}{}", device.display(), advice(&error))))?;
    port.set_read_timeout(PULSE).map_err(Failure::with(device.display()))?;
    println!(
        "Listening to {} at {} bits/s; start the board now. Ctrl-C ends it.",
        device.display(),
        ear.rate
    );
    listen(order, &mut port, ear, display)
        .map_err(|Failure(why)| Failure(format!("{}: {why}", device.display())))
}

fn listen(
    order: &Order,
    line: &mut impl Read,
    ear: Ear,
    display: &mut Display,
) -> Result<Collected, Failure> {
    let mut console = order.console()?;
    let (mut lines, mut last) = (Vec::new(), None);
    let mut piece = vec![0; PIECE];
    while !interrupted() && console.outcome().end.is_none() {
        match line.read(&mut piece) {
            // Whoever was at the other end is gone.
            Ok(0) => break,
            Ok(count) => {
                let new = console.hear(&piece[..count]);
                new.iter().for_each(|line| display.line(line));
                lines.extend(new);
                last = Some(Instant::now());
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted
                ) => {}
            Err(_) if last.is_some() => break,
            Err(error) => return Err(Failure(error.to_string())),
        }
        if last.is_some_and(|last| last.elapsed() > ear.silence) {
            break;
        }
        display.progress(console.outcome().progress);
    }
    display.end();
    lines.extend(console.close());
    let mut outcome = console.into_outcome();
    // A board that said its last word cannot say how it ended after that.
    outcome.status = outcome.end.map(|_| SUCCESS);
    order.conclude(outcome, &lines, &[])
}

fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => {
            ": is the cable plugged in? On Linux such devices are /dev/ttyUSB0 or /dev/ttyACM0, on macOS /dev/tty.usb…"
        }
        ErrorKind::PermissionDenied => {
            ": on Debian, `sudo adduser $USER dialout` and a new login give the right to use it"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_named_with_what_to_look_for() {
        let order = Order::for_tests();
        let ear = Ear { rate: 115_200, silence: Duration::from_secs(1) };
        let failure =
            collect(&order, Path::new("/dev/no-such-device"), ear, &mut Display::Silent).err().unwrap();
        assert!(
            failure.0.starts_with("/dev/no-such-device: ") && failure.0.contains("cable"),
            "{}",
            failure.0
        );
    }
}

//! A workload that inflates its own tickets: a Monte-Carlo integration, the estimate of which has an error that its tickets follow
//! (Waldspurger & Weihl, *Lottery Scheduling*, OSDI 1994, §3.2 and §5.2). Who began late has a large error and many tickets, so it
//! catches up, and the less an estimate can still gain, the less time it takes.
//!
//! The integral is that of a quarter of the unit circle, π/4: of n points of chance in the square, h are inside. The square of the
//! estimate's relative error is (1 − p) / (p n), with p ≈ h / n. All of it is in integers.
#![forbid(unsafe_code)]

use crate::work;
use core::f64::consts::FRAC_PI_4;
use core::sync::atomic::Ordering::Relaxed;
use libos_core::scenario;
use libos_core::start::StartInfo;
use libos_core::{chance, output, page};

/// Points of a unit of work.
const POINTS: u64 = 256;
/// Most tickets.
const MOST_TICKETS: u64 = scenario::MOST_TICKETS as u64;
/// Tickets for a square of the relative error of one: [`MOST_TICKETS`] as long as there are fewer than 64 units, or about a
/// millisecond in QEMU.
const SCALE: u64 = 64 * POINTS * MOST_TICKETS * 1000 / 273;
/// CPU time of a unit, in nanoseconds, on one core of QEMU's: what the simulator reckons with. In what proportion clients that began at
/// different times have CPU time does not depend on it.
const UNIT_NS: u64 = 17_000;
/// π/4 in 2⁻³².
const QUARTER: i128 = (FRAC_PI_4 * 4_294_967_296.0) as i128;

/// The estimate so far.
#[derive(Clone, Copy, Debug, Default)]
struct Estimate {
    points: u64,
    inside: u64,
    state: u64,
}

/// Works as its start page says. Each program draws points of its own.
pub fn main(info: StartInfo) {
    let mut estimate = Estimate { state: chance::seed(&[page::env()]), ..Estimate::default() };
    let stats = output::stats();
    work::run(&info, move || {
        let right = estimate.unit();
        stats.tickets.store(tickets(estimate.points, estimate.inside), Relaxed);
        right
    });
}

/// The tickets that a client has in the mean after so much CPU time of its work, by a clock of so many ticks per second.
pub fn tickets_after(cpu_time: u64, frequency: u64) -> u32 {
    let units = (u128::from(cpu_time) * 1_000_000_000 / u128::from(frequency.max(1) * UNIT_NS)).max(1) as u64;
    let points = units * POINTS;
    let inside = (i128::from(points) * QUARTER) >> 32;
    tickets(points, inside as u64) as u32
}

/// In proportion to (n − h) / (h n), the square of the relative error.
fn tickets(points: u64, inside: u64) -> u64 {
    let product = u128::from(inside) * u128::from(points);
    let tickets = (u128::from(SCALE) * u128::from(points - inside)).checked_div(product);
    tickets.map_or(MOST_TICKETS, |tickets| (tickets as u64).clamp(1, MOST_TICKETS))
}

impl Estimate {
    /// More points: whether the estimate is as close as it must be.
    fn unit(&mut self) -> bool {
        for _ in 0..POINTS {
            let point = chance::draw(&mut self.state);
            let (x, y) = (point >> 32, point & 0xffff_ffff);
            // In a square with sides of 2³²; what does not fit is outside.
            self.inside += u64::from((x * x).checked_add(y * y).is_some());
        }
        self.points += POINTS;
        self.is_close()
    }

    /// Whether the points inside are within six standard deviations, √(n p (1 − p)), of n π/4: squared.
    fn is_close(&self) -> bool {
        let off = (i128::from(self.inside) << 32) - i128::from(self.points) * QUARTER;
        // A unit more, for what is rounded.
        let off = (off.abs() >> 32).saturating_sub(1);
        let variance = (i128::from(self.points) * QUARTER * ((1 << 32) - QUARTER)) >> 64;
        off * off <= 36 * variance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_comes_close_and_stays_so_and_a_wrong_one_does_not() {
        let mut estimate = Estimate { state: chance::seed(&[1]), ..Estimate::default() };
        assert!((0..2000).all(|_| estimate.unit()));
        let off = (estimate.inside as f64 / estimate.points as f64 - FRAC_PI_4).abs();
        assert!(off < 0.002, "{off}");
        let wrong = Estimate { inside: estimate.inside + estimate.points / 200, ..estimate };
        assert!(!wrong.is_close());
    }

    #[test]
    fn tickets_are_in_proportion_to_the_square_of_the_relative_error() {
        let mut estimate = Estimate { state: chance::seed(&[2]), ..Estimate::default() };
        estimate.unit();
        assert_eq!(tickets(estimate.points, estimate.inside), MOST_TICKETS);
        let of = |units: u64| tickets(units * POINTS, (units * POINTS) * 785 / 1000) as f64;
        assert!((of(100) / of(400) - 4.0).abs() < 0.01 && (of(1000) / of(2000) - 2.0).abs() < 0.01);
        assert_eq!((tickets(POINTS, 0), tickets(POINTS, POINTS)), (MOST_TICKETS, 1));
    }

    #[test]
    fn the_simulators_client_has_the_tickets_that_the_program_has_in_the_mean() {
        let mut estimate = Estimate { state: chance::seed(&[3]), ..Estimate::default() };
        let units = 20_000;
        (0..units).for_each(|_| _ = estimate.unit());
        let (real, mean) =
            (tickets(estimate.points, estimate.inside), tickets_after(units * UNIT_NS, 1_000_000_000));
        assert!(real.abs_diff(mean.into()) * 100 <= real, "{real} {mean}");
        assert_eq!(tickets_after(0, 1_000_000), 1_000_000);
    }
}

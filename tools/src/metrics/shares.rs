//! How far clients are from their shares, and how fair the whole is.

use super::competition::{Event, walk};
use crate::recording::{Recording, Scheduler};
use libos_core::sched::measure::{Fraction, PairwiseError, ShareError};
use libos_core::sched::{ClientId, Tick};
use serde::{Deserialize, Serialize};

/// How well one scheduler kept shares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// The largest error of any pair at any switch, in quanta, rounded up to thousandths.
    pub pairwise_quanta: f64,
    /// The largest distance of any client from its part of the total, in quanta, rounded up to thousandths.
    pub absolute_quanta: f64,
    /// The largest such distance within any one revolution, in quanta; `None` if the clients never competed unchanged
    /// for a whole one.
    pub window_quanta: Option<f64>,
    /// Jain's index of what clients got of what was theirs; 1 is fair.
    pub jain: f64,
    /// What was each client's part while it competed, in the policy's numbering.
    pub entitled_us: Vec<f64>,
}

/// The exact errors of one scheduler, from its steps.
#[derive(Clone, Debug, Default)]
pub struct Errors {
    /// Of pairs.
    pub pairwise: PairwiseError,
    /// Of the total.
    pub absolute: ShareError,
}

impl Errors {
    /// Takes note of an event.
    pub fn note(&mut self, event: Event, tickets: &impl Fn(ClientId) -> u32) {
        match event {
            Event::Begins(client, held) => {
                let tickets = held.of(tickets(client));
                self.pairwise.begin(client, tickets);
                self.absolute.begin(client, tickets);
            }
            Event::Charged(client, ran) => {
                self.pairwise.charge(client, ran);
                self.absolute.charge(client, ran);
            }
            Event::Ends(client) => {
                self.pairwise.end(client);
                self.absolute.end(client);
            }
            Event::Picked(..) => {}
        }
    }
}

/// How well a scheduler kept shares. `None` if no two clients ever competed at once, or what a ticket is worth depended on who did.
pub fn measure(recording: &Recording, scheduler: &Scheduler) -> Option<Shares> {
    if !scheduler.currencies.is_empty() {
        return None;
    }
    let tickets = |client| recording.tickets(scheduler, client);
    let (mut errors, mut together, mut most) = (Errors::default(), 0usize, 0);
    let mut windows = Windows::new(recording, scheduler.clients.len());
    walk(&scheduler.steps, |now, event| {
        errors.note(event, &tickets);
        windows.note(now, event, &tickets);
        match event {
            Event::Begins(..) => together += 1,
            Event::Ends(_) => together -= 1,
            _ => {}
        }
        most = most.max(together);
    });
    if most < 2 {
        return None;
    }
    let clients = || (0..scheduler.clients.len()).map(|index| ClientId(index as u16));
    let quanta = |error: Fraction| error.milliquanta(Tick(recording.quantum)) as f64 / 1000.0;
    let absolute = clients().map(|client| errors.absolute.worst_of(client)).max()?;
    let parts: Vec<_> =
        clients().map(|client| (errors.absolute.ran(client).0, errors.absolute.entitled(client).0)).collect();
    Some(Shares {
        pairwise_quanta: quanta(errors.pairwise.worst()),
        absolute_quanta: quanta(absolute),
        window_quanta: windows.worst.map(quanta),
        jain: jain(&parts),
        entitled_us: parts.iter().map(|part| recording.us(part.1)).collect(),
    })
}

/// Jain's index (Jain, Chiu and Hawe, DEC-TR-301, 1984): (Σx)² / (n Σx²), x being what a client got of what was its own.
/// Clients that were entitled to nothing do not count; 1 of nobody.
pub fn jain(parts: &[(u64, u64)]) -> f64 {
    let ratios: Vec<f64> =
        parts.iter().filter(|part| part.1 > 0).map(|(got, part)| *got as f64 / *part as f64).collect();
    let (sum, squares) = ratios.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    if squares == 0.0 { 1.0 } else { sum * sum / (ratios.len() as f64 * squares) }
}

/// Errors within single revolutions: each counts a charge in the revolution in which it is made.
struct Windows {
    epoch: u64,
    revolution: u64,
    /// Which revolution is looked at.
    current: Option<u64>,
    /// Whether the same clients have competed since its begin.
    whole: bool,
    ran: Vec<u64>,
    /// 0 for those that do not compete.
    tickets: Vec<u32>,
    worst: Option<Fraction>,
}

impl Windows {
    fn new(recording: &Recording, clients: usize) -> Self {
        Self {
            epoch: recording.epoch,
            revolution: (recording.quantum * recording.slots).max(1),
            current: None,
            whole: false,
            ran: vec![0; clients],
            tickets: vec![0; clients],
            worst: None,
        }
    }

    fn note(&mut self, now: Tick, event: Event, tickets: &impl Fn(ClientId) -> u32) {
        // A turn that ends with its revolution belongs to it.
        let until = now.0.saturating_sub(u64::from(matches!(event, Event::Charged(..))));
        let revolution = until.saturating_sub(self.epoch) / self.revolution;
        let revolution = revolution.max(self.current.unwrap_or(0));
        if self.current != Some(revolution) {
            self.close();
            // Of a revolution that passed without an event nothing is known to have been unfair.
            (self.current, self.whole) = (Some(revolution), true);
            self.ran.fill(0);
        }
        match event {
            Event::Begins(client, held) => {
                (self.tickets[usize::from(client.0)], self.whole) = (held.of(tickets(client)), false)
            }
            Event::Ends(client) => (self.tickets[usize::from(client.0)], self.whole) = (0, false),
            Event::Charged(client, ran) => self.ran[usize::from(client.0)] += ran.0,
            Event::Picked(..) => {}
        }
    }

    fn close(&mut self) {
        let all: u64 = self.tickets.iter().map(|tickets| u64::from(*tickets)).sum();
        if !self.whole || self.tickets.iter().filter(|tickets| **tickets > 0).count() < 2 {
            return;
        }
        let total: u128 = self.ran.iter().map(|ran| u128::from(*ran)).sum();
        for (ran, tickets) in self.ran.iter().zip(&self.tickets).filter(|(_, tickets)| **tickets > 0) {
            let distance = (u128::from(*ran) * u128::from(all)).abs_diff(total * u128::from(*tickets));
            self.worst = self.worst.max(Some(Fraction::new(distance, all)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn two_equal_clients_in_turn_are_half_a_quantum_off_at_most() {
        // After A's quantum: A has 1 of 1 and should have 1/2. After B's: both are even.
        let recording = fixture::alternating(10);
        let shares = measure(&recording, &recording.schedulers[0]).unwrap();
        assert_eq!((shares.pairwise_quanta, shares.absolute_quanta), (0.5, 0.5));
        assert_eq!(shares.jain, 1.0);
        assert_eq!(shares.entitled_us, [5000.0, 5000.0]);
    }

    #[test]
    fn a_revolution_in_which_one_client_got_everything_is_half_of_it_off() {
        // Revolutions are 4 quanta; the turns are A A A A B B B B …: in each, one has 4 quanta and should have 2.
        let order: Vec<usize> = (0..24).map(|turn| turn / 4 % 2).collect();
        let recording = fixture::turns(&[1, 1], &order);
        let shares = measure(&recording, &recording.schedulers[0]).unwrap();
        assert_eq!(shares.window_quanta, Some(2.0));
        assert_eq!(shares.pairwise_quanta, 2.0);
        assert_eq!(shares.jain, 1.0);
    }

    #[test]
    fn tickets_of_two_to_one_give_one_half_of_what_another_gets() {
        // Exact 2:1 in the order A B A: after A 1 − 2/3 = 1/3, after A B 1 − 4/3 = −1/3, after A B A even.
        let recording = fixture::turns(&[2, 1], &[0, 1, 0, 0, 1, 0]);
        let shares = measure(&recording, &recording.schedulers[0]).unwrap();
        assert_eq!(shares.pairwise_quanta, 0.334);
        assert_eq!(shares.jain, 1.0);
    }

    #[test]
    fn a_client_alone_has_no_share_error() {
        let recording = fixture::turns(&[1], &[0, 0]);
        assert_eq!(measure(&recording, &recording.schedulers[0]), None);
    }

    #[test]
    fn jains_index_of_one_who_has_all_is_one_over_all() {
        assert_eq!(jain(&[(4, 1), (0, 1), (0, 1), (0, 1)]), 0.25);
        assert_eq!(jain(&[(1, 2), (5, 10)]), 1.0);
        // x = 1/2 and 3/2: (2)² / (2 · 2.5) = 0.8.
        assert_eq!(jain(&[(1, 2), (3, 2)]), 0.8);
        assert_eq!(jain(&[(0, 0)]), 1.0);
    }
}

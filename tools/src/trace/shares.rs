//! The errors of shares in a recorded run: the guest measures none there, for looking at all clients at every switch costs it more
//! than deciding. Its scheduler's steps say the same to the tick.
//!
//! Not here: what the errors are (`libos_core::sched::measure`) and who competes when (`metrics::competition`).

use crate::metrics::competition::walk;
use crate::metrics::shares::Errors;
use crate::outcome::Outcome;
use crate::recording::{Recording, Scheduler};
use libos_core::report::Figures;
use libos_core::sched::ClientId;

/// The errors of one scheduler.
pub fn errors(recording: &Recording, scheduler: &Scheduler) -> Errors {
    let tickets = |client| recording.tickets(scheduler, client);
    let mut errors = Errors::default();
    walk(&scheduler.steps, |_, event| errors.note(event, &tickets));
    errors
}

/// Adds the pairwise errors that clients did not report.
pub fn add(outcome: &mut Outcome, recording: &Recording) {
    // With currencies, what a ticket is worth depends on who competes: there is no such error.
    for scheduler in recording.schedulers.iter().filter(|scheduler| scheduler.currencies.is_empty()) {
        let errors = errors(recording, scheduler);
        for (id, index) in (0..).map(ClientId).zip(&scheduler.clients) {
            let named = &recording.clients[*index];
            let reported = outcome
                .clients
                .iter_mut()
                .filter(|client| client.libos == named.libos && client.name == named.name)
                .filter(|client| client.core == Some(scheduler.core.into()));
            for client in reported {
                if let Figures::Share { pairwise_error_millionths: error @ None, .. } = &mut client.demand {
                    let worst = errors.pairwise.worst_of(id).ceiling().0;
                    *error = Some(worst * 1_000_000 / recording.quantum.max(1));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::costs::Costs;
    use crate::sim::tests::{MEGAHERTZ, endless, libos, periodic, scenario};
    use crate::sim::{self, simulate};
    use libos_core::scenario::Policy;

    fn reported(outcome: &Outcome) -> Vec<Option<u64>> {
        let error = |client: &libos_core::report::Client| match client.demand {
            Figures::Share { pairwise_error_millionths, .. } => pairwise_error_millionths,
            Figures::Periodic { .. } | Figures::Unpromised => None,
        };
        outcome.clients.iter().map(error).collect()
    }

    #[test]
    fn the_record_says_what_the_observer_of_the_dispatch_loop_measures() {
        for policy in [Policy::Stride, Policy::Lottery] {
            let clients = || {
                vec![
                    endless("a", 3, 0),
                    endless("b", 2, 0),
                    periodic("c", (2, 7), 0),
                    endless("d", 1, 1),
                    periodic("e", (1, 3), 1),
                ]
            };
            let run =
                simulate(&scenario(2, 1000, vec![libos(policy, clients())]), &Costs::nothing(MEGAHERTZ))
                    .unwrap();
            let mut outcome = sim::report::outcome(&run);
            let measured = reported(&outcome);
            for client in &mut outcome.clients {
                if let Figures::Share { pairwise_error_millionths, .. } = &mut client.demand {
                    *pairwise_error_millionths = None;
                }
            }
            add(&mut outcome, &run.recording);
            assert!(measured.iter().any(|error| error.is_some_and(|error| error > 0)), "{measured:?}");
            assert_eq!(reported(&outcome), measured, "{policy:?}");
        }
    }
}

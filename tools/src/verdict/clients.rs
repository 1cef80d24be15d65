//! What the clients of a libOS must have done: the deadlines that were guaranteed, work with right results, and jobs that
//! used what they declared. Not here: shares (`super`).

use super::Lines;
use crate::results::us;
use libos_core::report::{Client, Figures, Start};
use libos_core::scenario::{self, Admission, Arrivals, Promise};

impl Lines<'_> {
    pub(super) fn deadlines(&mut self, libos: &scenario::LibOs, start: &Start) {
        let (mut jobs, mut misses, mut late, mut idle) = (0, 0, Vec::new(), Vec::new());
        let name = &libos.name;
        let guaranteed =
            |client: &&Client| declared(libos, client).is_some_and(|one| has_guarantee(libos, one));
        for client in self.outcome.clients_of(name).filter(guaranteed) {
            let Figures::Periodic { jobs: done, misses: missed, max_response, response_bound, .. } =
                client.demand
            else {
                idle.push(client.name.clone());
                continue;
            };
            jobs += done;
            misses += missed;
            if done == 0 {
                idle.push(client.name.clone());
            }
            if max_response > response_bound {
                let (response, bound) =
                    (us(max_response, start.frequency), us(response_bound, start.frequency));
                late.push(format!("{} took {response} us of {bound}", client.name));
            }
        }
        let finished = jobs > 0 && idle.is_empty();
        let seen = match finished {
            true => format!("{jobs} jobs, {misses} misses"),
            false => format!("{jobs} jobs, {misses} misses, none by {}", idle.join(", ")),
        };
        self.line(format!("{name}: no deadline is missed"), seen, finished && misses == 0);
        let seen = if late.is_empty() { "all within".into() } else { late.join(", ") };
        self.line(
            format!("{name}: every response is within its analysed bound"),
            seen,
            finished && late.is_empty(),
        );
    }

    pub(super) fn work(&mut self, libos: &scenario::LibOs) {
        let (mut passed, mut failed, mut without) = (0, 0, Vec::new());
        for client in self.outcome.clients_of(&libos.name) {
            passed += client.checks_passed;
            failed += client.checks_failed;
            if client.work_units == 0 && is_promised_time(libos, client) {
                without.push(client.name.as_str());
            }
        }
        let seen = match without.is_empty() {
            true => format!("{passed} right, {failed} wrong"),
            false => format!("{passed} right, {failed} wrong, no work by {}", without.join(", ")),
        };
        let good = passed > 0 && failed == 0 && without.is_empty();
        self.line(format!("{}: every client works and every result is right", libos.name), seen, good);
    }

    /// Synthetic jobs that did not use what they declared are not those that the scenario is about.
    pub(super) fn demands(&mut self, libos: &scenario::LibOs) {
        let (mut jobs, mut wrong) = (0, 0);
        let clients = self.outcome.clients_of(&libos.name);
        for own in clients.filter(|client| is_synthetic(libos, client)).filter_map(|client| client.jobs) {
            jobs += own.jobs;
            wrong += own.wrong_demands;
        }
        if jobs > 0 {
            let expected = format!("{}: every synthetic job uses the CPU time that it declares", libos.name);
            self.line(expected, format!("{jobs} jobs, {wrong} wrong"), wrong == 0);
        }
    }
}

/// Whether a libOS guarantees some of its clients that their jobs are done in time.
pub(super) fn has_guarantees(libos: &scenario::LibOs) -> bool {
    libos.clients.iter().any(|client| has_guarantee(libos, client))
}

/// Whether a libOS guarantees a client that its jobs are done in time. A server does so only if they come a period apart.
pub fn has_guarantee(libos: &scenario::LibOs, client: &scenario::Client) -> bool {
    let Some(jobs) = client.jobs.filter(|jobs| jobs.deadline_us.is_some()) else { return false };
    let is_periodic = matches!(jobs.arrivals, Arrivals::Periodic { .. });
    libos.admission == Admission::Required
        && match libos.policy.promise() {
            Promise::Deadlines => true,
            Promise::Bandwidth => is_periodic,
            _ => false,
        }
}

/// What the scenario says of a client environment that reported.
fn declared<'a>(libos: &'a scenario::LibOs, client: &Client) -> Option<&'a scenario::Client> {
    let name = client.name.split('/').next().unwrap_or_default();
    libos.clients.iter().find(|declared| declared.name == name)
}

/// Whether a client uses CPU time and does nothing else.
fn is_synthetic(libos: &scenario::LibOs, client: &Client) -> bool {
    declared(libos, client).is_some_and(crate::scenario::is_synthetic)
}

/// Whether a libOS promises CPU time to a client: by a share of the whole, by turns, or for its deadlines.
fn is_promised_time(libos: &scenario::LibOs, client: &Client) -> bool {
    let deadline = declared(libos, client).and_then(|declared| declared.jobs?.deadline_us);
    match libos.policy.promise() {
        Promise::Shares | Promise::Turns => true,
        Promise::Deadlines | Promise::Bandwidth => {
            libos.admission == Admission::Required && deadline.is_some()
        }
        Promise::Effort | Promise::Nothing => false,
    }
}

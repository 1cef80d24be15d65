//! What the clients of a libOS must have done: the deadlines that were guaranteed, work with right results, and jobs that
//! used what they declared. Not here: shares (`super`).

use super::Lines;
use crate::results::us;
use libos_core::report::{Client, Figures, Standing, Start};
use libos_core::scenario::{self, Admission, Arrivals, Promise};

/// How clients' guarantees fared.
#[derive(Default)]
struct Kept {
    /// Of the most critical, those that never lost it.
    throughout: u64,
    /// And those that did.
    lost: u64,
    /// Of the others, those that lost it.
    shed: u64,
    /// And of those, the ones that have it again.
    back: u64,
}

impl Kept {
    fn add(&mut self, standing: &Standing, most: u64) {
        let never = standing.shed == 0 && standing.is_guaranteed;
        match standing.criticality == most {
            true if never => self.throughout += 1,
            true => self.lost += 1,
            false => {
                self.shed += u64::from(standing.shed > 0);
                self.back += u64::from(standing.shed > 0 && standing.is_guaranteed);
            }
        }
    }
}

impl Lines<'_> {
    pub(super) fn deadlines(&mut self, libos: &scenario::LibOs, start: &Start) {
        let (mut jobs, mut misses, mut late, mut idle) = (0, 0, Vec::new(), Vec::new());
        let name = &libos.name;
        let guaranteed =
            |client: &&Client| declared(libos, client).is_some_and(|one| has_guarantee(libos, one));
        let most = libos.clients.iter().map(|client| u64::from(client.criticality)).max().unwrap_or(0);
        let mut kept = Kept::default();
        for client in self.outcome.clients_of(name).filter(guaranteed) {
            let Figures::Periodic {
                jobs: done, misses: missed, max_response, response_bound, standing, ..
            } = client.demand
            else {
                idle.push(client.name.clone());
                continue;
            };
            jobs += done;
            misses += missed;
            kept.add(&standing, most);
            if done == 0 && standing.criticality == most {
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
        if libos.clients.iter().any(|client| u64::from(client.criticality) < most) {
            self.kept(name, &kept);
        }
    }

    fn kept(&mut self, name: &str, kept: &Kept) {
        let Kept { throughout, lost, shed, back } = kept;
        let seen =
            format!("{throughout} throughout, {lost} not; of the others {shed} were shed, {back} came back");
        let expected = format!("{name}: the most critical clients keep their guarantee");
        self.line(expected, seen, *throughout > 0 && *lost == 0);
    }

    pub(super) fn work(&mut self, libos: &scenario::LibOs) {
        let (mut passed, mut failed, mut without) = (0, 0, Vec::new());
        for client in self.outcome.clients_of(&libos.name) {
            passed += client.checks_passed;
            failed += client.checks_failed;
            // A scheduler's work is that of its clients.
            let schedules = declared(libos, client).is_some_and(|declared| declared.schedules.is_some());
            if client.work_units == 0
                && !schedules
                && is_promised_time(libos, client)
                && !awaits_slots(client)
            {
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

/// Whether a client was never admitted because others are more critical, and there were not slots enough for all.
fn awaits_slots(client: &Client) -> bool {
    matches!(
        client.demand,
        Figures::Periodic { standing: Standing { is_guaranteed: false, shed: 0, .. }, .. }
    )
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

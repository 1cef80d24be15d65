//! A scheduler that changes its policy under running clients: a *hot swap*.
//!
//! Between two turns nobody runs, so nothing that a policy knows is on its way. The new policy is made, every client joins it with
//! what it asks for, and it takes the old one's place; nobody is asked, stopped or restarted. That a client waits the new policy
//! learns when it picks it: such a turn ends at once, with the time at which the wait is over. Not here: when (the broker says so,
//! by an event).
#![forbid(unsafe_code)]

use super::crew::{self, Crew};
use super::serve;
use super::tally::Tally;
use super::{every, serve_all, terms};
use crate::assignment::Assignment;
use alloc::boxed::Box;
use alloc::vec::Vec;
use libos_core::public::view;
use libos_core::report::{Figures, Record, Succession};
use libos_core::sched::steps::Step;
use libos_core::sched::{Policy, Tick};
use libos_core::start::StartInfo;
use libos_core::trace::{self, Service};
use libos_core::{jobs, output, page, say};

/// The whole of a scheduler program that begins with one policy and goes on with another. What a policy promises is measured
/// of each by itself, from what was recorded; of both together nothing is promised.
pub fn main(info: StartInfo) {
    let Some((assignment, mut crew)) = crew::begin(&info) else { return };
    let Some(policy) = every::policy(assignment.libos.policy, terms(&assignment, &crew)) else {
        say!("policy {} schedules no clients", assignment.libos.policy.word());
        return;
    };
    let swap = |crew: &Crew, policy: &mut Box<dyn Policy>| swap(&assignment, crew, policy);
    let scheduler = serve_all(&assignment, &mut crew, (policy, Tally::default()), swap);
    serve::report(&assignment, &crew, &scheduler.observer.1, |_| Figures::Unpromised);
}

/// Puts another policy in the place of the present one.
fn swap(assignment: &Assignment, crew: &Crew, policy: &mut Box<dyn Policy>) {
    let libos = &assignment.libos;
    let began = page::now();
    let Some(to) = libos.swap.map(|swap| swap.to) else { return };
    let Some(mut next) = every::policy(to, terms(assignment, crew)) else { return };
    let joined = take_over(assignment, crew, &mut next, (to, began));
    *policy = next;
    let done = page::now();
    trace::service(Service::Swapped { policy: to });
    joined.iter().for_each(|step| trace::step(*step));
    output::report(&Record::Succession(Succession {
        libos: libos.name.clone(),
        core: crew.core,
        from: libos.policy,
        to,
        clients: joined.len() as u64,
        began: began.0,
        done: done.0,
    }));
}

/// Lets every client join a policy that takes over at `now`.
fn take_over(
    assignment: &Assignment,
    crew: &Crew,
    next: &mut impl Policy,
    (to, now): (libos_core::scenario::Policy, Tick),
) -> Vec<Step> {
    let mut joined = Vec::with_capacity(crew.members.len());
    for member in &crew.members {
        let client = &assignment.libos.clients[member.client];
        let demand = jobs::demand(client, to, crew.begin, view().frequency()).resumed(now);
        match next.join(member.id, demand, now) {
            Ok(()) => joined.push(Step::Join { client: member.id, demand, now }),
            Err(refusal) => say!("client {} cannot join: {refusal:?}", member.name),
        }
    }
    joined
}

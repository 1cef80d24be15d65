//! Clients of chance that also wait for one another and give themselves tickets: what holds whoever lends to whom, beside a model that
//! reckons everybody's tickets anew each time.
#![forbid(unsafe_code)]

use libos_core::chance;
use libos_core::sched::dispatch::{Observer, Turn};
use libos_core::sched::watch::ShareWatch;
use libos_core::sched::{ClientId, Demand, Policy, Tick, TurnEnd};
use libos_stride::hierarchical::HierarchicalStride;
use libos_stride::lottery::Lottery;
use libos_stride::stride::Stride;
use std::collections::BTreeMap;
use tranche_abi::{Outcome, Reason};

const QUANTUM: Tick = Tick(1000);
const CLIENTS: u64 = 10;
const STORMS: u64 = 300;
const STEPS: usize = 800;

/// A policy that says with how many tickets a client competes.
trait Transfers: Policy {
    fn tickets_of(&self, client: ClientId) -> u64;
}

impl Transfers for Stride {
    fn tickets_of(&self, client: ClientId) -> u64 {
        self.tickets(client)
    }
}

impl Transfers for HierarchicalStride {
    fn tickets_of(&self, client: ClientId) -> u64 {
        self.tickets(client)
    }
}

impl Transfers for Lottery {
    fn tickets_of(&self, client: ClientId) -> u64 {
        self.tickets(client)
    }
}

/// A client as the model has it.
#[derive(Clone, Copy)]
struct Model {
    tickets: u64,
    /// 0: it is ready.
    waits_until: u64,
    lends_to: Option<ClientId>,
}

struct Storm<P> {
    policy: P,
    model: BTreeMap<ClientId, Model>,
    watch: ShareWatch,
    watched: BTreeMap<ClientId, u64>,
    now: u64,
    /// Loans that were made, to see that there were any.
    loans: u64,
    /// Clients' changes of their own tickets.
    inflations: u64,
}

impl<P: Transfers> Storm<P> {
    fn new(policy: P) -> Self {
        let (model, watched) = (BTreeMap::new(), BTreeMap::new());
        Self { policy, model, watch: ShareWatch::default(), watched, now: 1, loans: 0, inflations: 0 }
    }

    /// Its own tickets and those of everybody who lends to it.
    fn funds(&self, client: ClientId) -> u64 {
        let lenders = self.model.iter().filter(|(_, model)| model.lends_to == Some(client));
        self.model[&client].tickets + lenders.map(|(lender, _)| self.funds(*lender)).sum::<u64>()
    }

    fn lends_to(&self, from: ClientId, to: ClientId) -> bool {
        let next = self.model.get(&from).and_then(|model| model.lends_to);
        from == to || next.is_some_and(|next| self.lends_to(next, to))
    }

    fn forget(&mut self, client: ClientId) {
        self.model.remove(&client);
        for model in self.model.values_mut().filter(|model| model.lends_to == Some(client)) {
            model.lends_to = None;
        }
        self.watch.leave(client);
        self.watched.remove(&client);
    }

    fn ready(&mut self, client: ClientId) {
        if let Some(model) = self.model.get_mut(&client) {
            (model.waits_until, model.lends_to) = (0, None);
        }
    }

    fn lend(&mut self, from: ClientId, to: ClientId) {
        self.policy.lend(from, to, Tick(self.now));
        let may_lend = |model: &Model| model.waits_until > 0 && model.lends_to.is_none();
        let is_possible = self.model.get(&from).is_some_and(may_lend) && self.model.contains_key(&to);
        if is_possible && !self.lends_to(to, from) {
            self.model.entry(from).and_modify(|model| model.lends_to = Some(to));
            self.loans += 1;
        }
    }

    fn turn(&mut self, state: &mut u64) {
        let mut below = |limit: u64| chance::draw(state) % limit;
        let decision = self.policy.pick(Tick(self.now));
        let over = |model: &Model| model.waits_until <= self.now;
        let over: Vec<_> = self.model.iter().filter(|(_, m)| over(m)).map(|(client, _)| *client).collect();
        over.iter().for_each(|client| self.ready(*client));
        self.check();
        let Some(decision) = decision else {
            assert!(over.is_empty(), "{over:?} are ready, and nobody was picked");
            return self.now += 700;
        };
        let client = decision.client;
        assert!(over.contains(&client), "{client:?} was picked and waits");
        self.watch.decided(&self.policy, decision, Tick(self.now));
        let ran = if below(3) > 0 { QUANTUM.0 } else { below(QUANTUM.0 + 1) };
        self.now += ran;
        let end = match below(10) {
            0..5 => TurnEnd::Ready,
            5 => TurnEnd::Yielded,
            6 => TurnEnd::Waiting(Tick::NEVER),
            7 | 8 => TurnEnd::Waiting(Tick(self.now + 1 + below(20_000))),
            _ if below(5) == 0 => TurnEnd::Gone,
            _ => TurnEnd::Ready,
        };
        let outcome = Outcome { reason: Reason::Expired, ran: Tick(ran), detail: 0, now: Tick(self.now) };
        self.watch.charged(&self.policy, &Turn { client, outcome, end });
        self.policy.charge(client, Tick(ran), end, Tick(self.now));
        match end {
            TurnEnd::Waiting(until) => {
                self.model.entry(client).and_modify(|model| model.waits_until = until.0);
                if below(3) > 0 {
                    self.lend(client, ClientId(below(CLIENTS + 1) as u16));
                }
            }
            TurnEnd::Gone => self.forget(client),
            TurnEnd::Ready | TurnEnd::Yielded => {}
        }
    }

    /// A client gives itself so many tickets, whether it lends, is lent to, waits, is ready or is not here.
    fn inflate(&mut self, client: ClientId, tickets: u64) {
        self.policy.set_tickets(client, tickets as u32, Tick(self.now));
        if let Some(model) = self.model.get_mut(&client) {
            model.tickets = tickets;
            self.inflations += 1;
        }
    }

    fn step(&mut self, state: &mut u64) {
        let mut below = |limit: u64| chance::draw(state) % limit;
        let (client, other) = (ClientId(below(CLIENTS) as u16), ClientId(below(CLIENTS + 2) as u16));
        match below(20) {
            0 | 1 if !self.model.contains_key(&client) => {
                let tickets = 1 + below(200);
                let demand = Demand::Share { tickets: tickets as u32 };
                self.policy.join(client, demand, Tick(self.now)).unwrap();
                self.model.insert(client, Model { tickets, waits_until: 0, lends_to: None });
            }
            2 if below(4) == 0 => {
                self.policy.leave(client, Tick(self.now));
                self.forget(client);
            }
            3 | 4 => {
                self.policy.wake(client, Tick(self.now));
                self.ready(client);
            }
            // Of whoever is ready, of strangers, of itself, in a circle: it makes no difference.
            5 => self.lend(client, other),
            6 => self.inflate(client, 1 + below(400)),
            _ => self.turn(state),
        }
        self.check();
    }

    /// Everybody has the tickets of the model, all of them are there, and shares are measured by them.
    fn check(&mut self) {
        let funds: BTreeMap<_, _> = self.model.keys().map(|client| (*client, self.funds(*client))).collect();
        let free = funds.iter().filter(|(client, _)| self.model[client].lends_to.is_none());
        let all: u64 = self.model.values().map(|model| model.tickets).sum();
        assert_eq!(free.map(|(_, funds)| funds).sum::<u64>(), all);
        for (client, funds) in funds {
            assert_eq!(self.policy.tickets_of(client), funds, "{client:?}");
            if self.watched.insert(client, funds) != Some(funds) {
                self.watch.leave(client);
                self.watch.join(client, funds as u32);
            }
        }
    }
}

fn storm<P: Transfers>(policy: P, seed: u64) -> Storm<P> {
    let (mut storm, mut state) = (Storm::new(policy), chance::seed(&[seed, 77]));
    (0..STEPS).for_each(|_| storm.step(&mut state));
    storm
}

#[test]
fn tickets_are_lent_by_who_waits_until_it_is_ready_and_never_lost() {
    let (mut loans, mut inflations) = (0, 0);
    let mut count = |storm: (u64, u64)| (loans, inflations) = (loans + storm.0, inflations + storm.1);
    for seed in 0..STORMS {
        let lottery = storm(Lottery::new(QUANTUM, 1 + seed as u32), seed);
        count((lottery.loans, lottery.inflations));
        let tree = storm(HierarchicalStride::new(QUANTUM), seed);
        count((tree.loans, tree.inflations));
    }
    assert!(loans > 2 * STORMS * 40 && inflations > 2 * STORMS * 10, "{loans} {inflations}");
}

#[test]
fn under_stride_two_clients_are_within_a_quantum_of_their_parts_by_the_tickets_that_they_have_with_loans() {
    for seed in 0..STORMS {
        let worst = storm(Stride::new(QUANTUM), seed).watch.pairwise.worst().ceiling().0;
        assert!(worst <= QUANTUM.0 + 1, "storm {seed}: {worst}");
    }
}

/// A holder with one ticket, for whom one with eight waits, beside one that computes with three: 9 : 3 while it waits, and 1 : 3 : 8
/// again after.
#[test]
fn who_is_waited_for_runs_with_the_tickets_of_both() {
    let [holder, computes, waits] = [0, 1, 2].map(ClientId);
    let mut stride = Stride::new(QUANTUM);
    for (client, tickets) in [(holder, 1), (computes, 3), (waits, 8)] {
        stride.join(client, Demand::Share { tickets }, Tick(0)).unwrap();
    }
    let mut now = 0;
    let mut turns = |stride: &mut Stride, count| {
        let mut turns = [0u64; 3];
        for _ in 0..count {
            let client = stride.pick(Tick(now)).unwrap().client;
            now += QUANTUM.0;
            turns[usize::from(client.0)] += 1;
            let is_first = client == waits && now < 12 * QUANTUM.0;
            let end = if is_first { TurnEnd::Waiting(Tick::NEVER) } else { TurnEnd::Ready };
            stride.charge(client, QUANTUM, end, Tick(now));
            if is_first {
                stride.lend(waits, holder, Tick(now));
            }
        }
        turns
    };
    assert_eq!(turns(&mut stride, 1), [0, 0, 1]);
    let while_it_waits = turns(&mut stride, 120);
    assert!(while_it_waits[0].abs_diff(90) <= 1 && while_it_waits[2] == 0, "{while_it_waits:?}");
    stride.wake(waits, Tick(121 * QUANTUM.0));
    let after = turns(&mut stride, 120);
    assert!(
        after.iter().zip([10, 30, 80]).all(|(turns, part)| u64::abs_diff(*turns, part) <= 1),
        "{after:?}"
    );
}

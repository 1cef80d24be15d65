//! What every policy has to keep to, whatever its clients do; and clients of chance that try it. For tests and grading: host only.
//!
//! The laws are those of a policy that lets everybody run who is ready ([`check`]). One that stops clients, because a budget is used
//! up, keeps only some of them. Not here: who ought to be chosen.
#![forbid(unsafe_code)]

use super::dispatch::{Observer, Turn};
use super::watch::ShareWatch;
use super::{ClientId, Demand, Policy, Tick, TurnEnd};
use crate::chance;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use tranche_abi::{Outcome, Reason};

/// Length of a quantum, in the ticks of this test.
pub const QUANTUM: Tick = Tick(1000);
/// Different clients.
const CLIENTS: u64 = 12;
/// A client that never was.
const STRANGER: ClientId = ClientId(999);
/// How long nothing happens where nobody is ready.
const PAUSE: u64 = 700;

/// What happens to a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client comes.
    Join(ClientId, Demand),
    /// A client is to go.
    Leave(ClientId),
    /// A client became ready before its time.
    Wake(ClientId),
    /// A client has so many tickets from now on.
    Tickets(ClientId, u32),
    /// The CPU is free: a turn of so many ticks that ends thus, and whether the client is woken in it.
    Turn(Tick, TurnEnd, Option<Woken>),
    /// The CPUs of two cores that share the policy are free.
    TwoTurns,
}

/// The client that runs became ready before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Woken;

/// A law that a policy broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which, and how.
    pub law: String,
    /// What happened until then: the first step that broke a law is the last.
    pub steps: Vec<Step>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 12;
        write!(f, "{}, after {} steps; the last of them:", self.law, self.steps.len())?;
        let last = self.steps.len().saturating_sub(SHOWN);
        self.steps[last..].iter().try_for_each(|step| write!(f, "\n  {step:?}"))
    }
}

/// Tries so many storms of so many steps, each on a policy of its own.
///
/// # Errors
/// The first law that breaks.
pub fn check<P: Policy>(
    mut policy: impl FnMut() -> P,
    (storms, steps): (u64, usize),
    mut demand: impl FnMut(u64) -> Demand,
) -> Result<(), Broken> {
    (0..storms).try_for_each(|seed| storm(policy(), seed, steps, &mut demand).map(|_| ()))
}

/// A storm of steps of chance; `demand` makes what a client asks for from a number of chance, and its first release is then the
/// time when it comes. How shares were kept in it.
///
/// # Errors
/// The law that breaks.
pub fn storm<P: Policy>(
    policy: P,
    seed: u64,
    steps: usize,
    mut demand: impl FnMut(u64) -> Demand,
) -> Result<ShareWatch, Broken> {
    let mut state = chance::seed(&[seed]);
    let mut storm = Storm { policy, model: BTreeMap::new(), watch: ShareWatch::default(), now: 1 };
    let mut done = Vec::new();
    for _ in 0..steps {
        let step = draw(&mut state, storm.now, &mut demand);
        done.push(step);
        if let Err(law) = storm.take(step) {
            return Err(Broken { law, steps: done });
        }
    }
    Ok(storm.watch)
}

/// A step of chance.
fn draw(state: &mut u64, now: u64, demand: &mut impl FnMut(u64) -> Demand) -> Step {
    let mut below = |limit: u64| chance::draw(state) % limit;
    let client = ClientId(below(CLIENTS) as u16);
    match below(28) {
        0 | 1 => Step::Join(client, released(demand(below(1 << 32)), Tick(now))),
        2 => Step::Leave(client),
        3 | 4 => Step::Wake(client),
        5 | 6 => Step::TwoTurns,
        7 => Step::Tickets(client, 1 + below(200) as u32),
        _ => {
            let ran = if below(3) > 0 { QUANTUM.0 } else { below(QUANTUM.0 + 1) };
            let woken = (below(8) == 0).then_some(Woken);
            let end = match below(17) {
                0..10 => TurnEnd::Ready,
                10 | 11 => TurnEnd::Yielded,
                12..15 => TurnEnd::Waiting(Tick(now + ran + 1 + below(20_000))),
                15 => TurnEnd::Waiting(Tick::NEVER),
                _ => TurnEnd::Gone,
            };
            Step::Turn(Tick(ran), end, woken)
        }
    }
}

fn released(demand: Demand, now: Tick) -> Demand {
    match demand {
        Demand::Periodic { budget, period, deadline, .. } => {
            Demand::Periodic { first_release: now, budget, period, deadline }
        }
        share @ Demand::Share { .. } => share,
    }
}

struct Storm<P> {
    policy: P,
    /// Until when each client waits; 0 for ready.
    model: BTreeMap<ClientId, u64>,
    watch: ShareWatch,
    now: u64,
}

impl<P: Policy> Storm<P> {
    fn take(&mut self, step: Step) -> Result<(), String> {
        let now = Tick(self.now);
        match step {
            Step::Join(client, demand) => return self.join(client, demand),
            Step::Leave(client) => {
                self.policy.leave(client, now);
                self.model.remove(&client);
                self.watch.leave(client);
            }
            Step::Wake(client) => {
                self.policy.wake(client, now);
                self.model.entry(client).and_modify(|until| *until = 0);
            }
            Step::Tickets(client, tickets) => {
                self.policy.set_tickets(client, tickets, now);
                self.watch.set_tickets(client, tickets);
            }
            Step::Turn(ran, end, woken) => return self.turn(ran, end, woken),
            Step::TwoTurns => return self.two_turns(),
        }
        Ok(())
    }

    fn join(&mut self, client: ClientId, demand: Demand) -> Result<(), String> {
        let (joined, is_here) =
            (self.policy.join(client, demand, Tick(self.now)), self.model.contains_key(&client));
        match (&joined, is_here) {
            (Ok(()), false) => {
                let until = match demand {
                    Demand::Share { tickets } => {
                        self.watch.join(client, tickets);
                        0
                    }
                    Demand::Periodic { first_release, .. } => first_release.0,
                };
                self.model.insert(client, until);
                Ok(())
            }
            (Err(_), true) => Ok(()),
            (Err(why), false) => Err(format!("{client:?} asked for {demand:?} and was refused: {why:?}")),
            (Ok(()), true) => Err(format!("{client:?} was taken on though it was here already")),
        }
    }

    /// A decision, and that it is a lawful one; `None` if nobody is ready. `others` run already.
    fn pick(&mut self, others: &BTreeSet<ClientId>) -> Result<Option<super::Decision>, String> {
        let (now, model) = (Tick(self.now), &mut self.model);
        let Some(decision) = self.policy.pick(now) else {
            let lost = model.iter().find(|(client, until)| **until <= now.0 && !others.contains(client));
            return lost
                .map_or(Ok(None), |(client, _)| Err(format!("{client:?} was ready and nobody was picked")));
        };
        let client = decision.client;
        match model.get(&client) {
            _ if others.contains(&client) => return Err(format!("{client:?} was picked while it ran")),
            None => return Err(format!("{client:?} was picked, and is not here")),
            Some(until) if *until > now.0 => {
                return Err(format!("{client:?} was picked at {}, and waits until {until}", now.0));
            }
            Some(_) => {}
        }
        if decision.until <= now {
            return Err(format!("{client:?} was picked at {} until {}: no time", now.0, decision.until.0));
        }
        if !self.policy.contends(client) {
            return Err(format!("{client:?} was picked and does not contend"));
        }
        model.values_mut().filter(|until| **until <= now.0).for_each(|until| *until = 0);
        Ok(Some(decision))
    }

    fn turn(&mut self, ran: Tick, end: TurnEnd, woken: Option<Woken>) -> Result<(), String> {
        self.check_next_event()?;
        self.policy.charge(STRANGER, ran, TurnEnd::Ready, Tick(self.now));
        let Some(decision) = self.pick(&BTreeSet::new())? else {
            self.now += PAUSE;
            return Ok(());
        };
        self.watch.decided(&self.policy, decision, Tick(self.now));
        self.now += ran.0;
        if woken.is_some() {
            self.policy.wake(decision.client, Tick(self.now));
        }
        self.charge(decision.client, ran, end);
        match end {
            TurnEnd::Waiting(until) if woken.is_none() => _ = self.model.insert(decision.client, until.0),
            TurnEnd::Gone => _ = self.model.remove(&decision.client),
            TurnEnd::Ready | TurnEnd::Yielded | TurnEnd::Waiting(_) => {}
        }
        Ok(())
    }

    /// The next wait that ends by itself; of one that is over already the policy may have taken note or not.
    fn check_next_event(&self) -> Result<(), String> {
        let (now, said) = (Tick(self.now), self.policy.next_event());
        let waits = self.model.values().copied().filter(|until| *until > 0).map(Tick);
        let (over, to_come): (Vec<Tick>, Vec<Tick>) = waits.partition(|until| *until <= now);
        let next = to_come.into_iter().min().unwrap_or(Tick::NEVER);
        match said == next || (said <= now && !over.is_empty()) {
            true => Ok(()),
            false => {
                Err(format!("at {now:?} next_event is {said:?}, and the first wait is over at {next:?}"))
            }
        }
    }

    fn charge(&mut self, client: ClientId, ran: Tick, end: TurnEnd) {
        let outcome = Outcome { reason: Reason::Expired, ran, detail: 0, now: Tick(self.now) };
        self.watch.charged(&self.policy, &Turn { client, outcome, end });
        self.policy.charge(client, ran, end, Tick(self.now));
    }

    /// Two clients run at the same time, for no time. Then both are ready, as before.
    fn two_turns(&mut self) -> Result<(), String> {
        let mut running = BTreeSet::new();
        for _ in 0..2 {
            if let Some(decision) = self.pick(&running)? {
                self.watch.decided(&self.policy, decision, Tick(self.now));
                running.insert(decision.client);
            }
        }
        running.into_iter().for_each(|client| self.charge(client, Tick(0), TurnEnd::Ready));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Line;
    use super::*;
    use crate::sched::{Decision, Refusal};

    fn share(number: u64) -> Demand {
        Demand::Share { tickets: 1 + (number % 200) as u32 }
    }

    #[test]
    fn round_robin_and_first_come_keep_the_laws() {
        assert_eq!(check(|| Line::round_robin(QUANTUM), (100, 300), share), Ok(()));
        assert_eq!(check(Line::first_come, (100, 300), share), Ok(()));
    }

    /// Round robin with a fault.
    struct Wrong<F>(Line, F);

    /// Where a fault is.
    trait Fault {
        /// News of a client is not heard.
        const IS_DEAF: bool = false;
        /// A client that comes again is taken on again.
        const FORGETS: bool = false;
        /// Nobody is ever picked.
        const IS_IDLE: bool = false;
        /// Decisions last for no time.
        const HAS_NO_TIME: bool = false;
    }

    impl<F: Fault> Policy for Wrong<F> {
        fn join(&mut self, client: ClientId, demand: Demand, now: Tick) -> Result<(), Refusal> {
            let joined = self.0.join(client, demand, now);
            if F::FORGETS { Ok(()) } else { joined }
        }
        fn leave(&mut self, client: ClientId, now: Tick) {
            self.0.leave(client, now);
        }
        fn pick(&mut self, now: Tick) -> Option<Decision> {
            let decision = self.0.pick(now).filter(|_| !F::IS_IDLE)?;
            Some(if F::HAS_NO_TIME { Decision { until: now, ..decision } } else { decision })
        }
        fn charge(&mut self, client: ClientId, ran: Tick, end: TurnEnd, now: Tick) {
            self.0.charge(client, ran, end, now);
        }
        fn wake(&mut self, client: ClientId, now: Tick) {
            if !F::IS_DEAF {
                self.0.wake(client, now);
            }
        }
        fn next_event(&self) -> Tick {
            self.0.next_event()
        }
        fn contends(&self, client: ClientId) -> bool {
            self.0.contends(client)
        }
    }

    fn law_broken_by<F: Fault>(fault: fn() -> F) -> String {
        check(|| Wrong(Line::round_robin(QUANTUM), fault()), (20, 300), share).unwrap_err().law
    }

    #[test]
    fn each_fault_breaks_a_law_that_says_what_it_is() {
        struct Deaf;
        impl Fault for Deaf {
            const IS_DEAF: bool = true;
        }
        struct Forgets;
        impl Fault for Forgets {
            const FORGETS: bool = true;
        }
        struct Idle;
        impl Fault for Idle {
            const IS_IDLE: bool = true;
        }
        struct Instant;
        impl Fault for Instant {
            const HAS_NO_TIME: bool = true;
        }
        assert!(
            law_broken_by(|| Deaf).contains("next_event")
                || law_broken_by(|| Deaf).contains("nobody was picked")
        );
        assert!(law_broken_by(|| Forgets).contains("was here already"));
        assert!(law_broken_by(|| Idle).contains("was ready and nobody was picked"));
        assert!(law_broken_by(|| Instant).contains("no time"));
    }

    #[test]
    fn what_broke_is_said_with_what_led_to_it() {
        let broken = Broken { law: "it broke".into(), steps: alloc::vec![Step::Wake(ClientId(3)); 30] };
        let text = format!("{broken}");
        assert!(text.starts_with("it broke, after 30 steps; the last of them:\n  Wake(ClientId(3))"));
        assert_eq!(text.lines().count(), 13);
    }
}

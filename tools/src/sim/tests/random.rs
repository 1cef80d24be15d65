//! Machines of chance, and that what was recorded of them is decided again.

use super::{MEGAHERTZ, endless, libos, periodic, scenario};
use crate::recording::Recording;
use crate::sim::activation::{Activation, Change, Doing, Next};
use crate::sim::client::{Client, JobEnd, Work};
use crate::sim::core::{Core, Progress};
use crate::sim::costs::Costs;
use crate::sim::policy::{Any, Terms};
use crate::sim::slots::{BROKER, Begun, Slots};
use crate::sim::{named, simulate};
use libos_core::chance;
use libos_core::jobs::{Arrivals, JobSource, Spec};
use libos_core::scenario::{Admission, Broker, Mode, Placement, Policy, Scenario};
use libos_core::sched::steps::{Step, replay};
use libos_core::sched::{ClientId, Demand, Tick, TurnEnd};

/// A source of numbers.
pub struct Dice(u64);

impl Dice {
    /// One whose numbers depend on a seed.
    pub fn new(seed: u64) -> Self {
        Self(chance::seed(&[seed]))
    }

    /// A number below a limit.
    pub fn below(&mut self, limit: u64) -> u64 {
        chance::draw(&mut self.0) % limit
    }
}

/// Costs in the simulator's own proportions, where a tick is a microsecond.
pub fn costly() -> Costs {
    let table = Costs::table().unwrap();
    Costs { frequency_hz: 62 * MEGAHERTZ, ..table }
}

/// The policies that schedule clients.
fn policies() -> Vec<Policy> {
    Policy::ALL.into()
}

/// A scenario of chance: four cores, libOSes of all policies that bid for slots, arrive and leave.
pub fn shared_machine(seed: u64) -> Scenario {
    let mut dice = Dice::new(seed);
    let policies = policies();
    let mut all = Vec::new();
    for number in 0..2 + dice.below(3) {
        let policy = policies[dice.below(policies.len() as u64) as usize];
        let clients = (0..1 + dice.below(6)).map(|n| {
            let core = dice.below(4) as u32;
            let name = format!("c{n}");
            match policy.is_for_deadlines() || dice.below(2) == 0 {
                true => periodic(&name, (1 + dice.below(2) as u32, 40 + dice.below(60) as u32), core),
                false => endless(&name, 1 + dice.below(9) as u32, core),
            }
        });
        let mut party = libos(policy, clients.collect());
        party.name = format!("l{number}");
        if policy.is_global() {
            party.clients.iter_mut().for_each(|client| client.placement = Placement::Anywhere);
        }
        party.admission = Admission::Off;
        (party.income, party.minimum, party.want) = (dice.below(300) as u32, dice.below(3) as u32, 8);
        if number > 0 && dice.below(2) == 0 {
            party.arrives_ms = dice.below(300) as u32;
            party.leaves_ms = Some(party.arrives_ms + 200);
        }
        all.push(party);
    }
    let broker = Broker { mode: Mode::Market, slots: 1, patience_ms: 20 };
    Scenario { slots: 20, seed, broker, ..scenario(4, 800, all) }
}

/// A core of chance: slots that come and go, clients of one scheduler that join, block, and leave.
fn core(number: u32, policy: Policy, dice: &mut Dice, costs: &Costs) -> (Core, Terms) {
    let (frequency, overhead, admission) = (MEGAHERTZ, costs.overhead, Admission::Off);
    let terms = Terms {
        quantum: 1000,
        frequency,
        seed: 1,
        core: number,
        overhead,
        admission,
        currencies: Default::default(),
    };
    let mut slots = Vec::new();
    for place in 0..400 {
        let owner = if dice.below(4) > 0 { 1 } else { BROKER };
        slots.push(Begun { begin: place * 1000, end: (place + 1) * 1000, owner });
    }
    let turning = costs.turning(policy);
    let mut activation = Activation::new(named(policy, terms.clone()).unwrap(), turning, 1);
    let mut changes = Vec::new();
    for id in 0..1 + dice.below(9) {
        let client = ClientId(id as u16);
        let period = 2000 + dice.below(30_000);
        let work = 1 + dice.below(period / 12);
        let arrivals = match dice.below(3) {
            0 => Arrivals::Periodic { period, offset: dice.below(period) },
            1 => Arrivals::Bursty { burst: 1 + dice.below(4) as u32, gap: period },
            _ => Arrivals::Interactive { think: period },
        };
        let spec = Spec { arrivals, deadline: Some(period), work_min: 1 + work / 2, work_max: work };
        let joins = dice.below(100_000);
        let job_end =
            JobEnd { done: dice.below(3), noted: dice.below(3), draw: dice.below(2), ..JobEnd::default() };
        let endless = !policy.is_for_deadlines() && dice.below(3) == 0;
        let source = JobSource::new(spec, Tick(joins), dice.below(1 << 40));
        let work_of = if endless { Work::Endless } else { Work::Jobs(source) };
        activation.clients.push(Client::new(id as usize, work_of, dice.below(50), job_end));
        let demand = match policy.is_for_deadlines() {
            true => Demand::Periodic {
                first_release: Tick(joins),
                budget: Tick(work),
                period: Tick(period),
                deadline: Tick(period),
            },
            false => Demand::Share { tickets: 1 + dice.below(20) as u32 },
        };
        changes.push((joins, Change::Join(client, demand)));
        if dice.below(2) == 0 {
            changes.push((joins + dice.below(250_000), Change::Leave(client)));
        }
    }
    changes.sort_by_key(|(at, _)| *at);
    activation.changes = changes.into();
    activation.doing = Doing::Own(0, Next::Look);
    let mut kernel = costs.kernel;
    kernel.slot_switch = dice.below(20);
    (Core::new(number, Slots::Recorded(slots.into()), vec![activation], kernel), terms)
}

/// How many decisions of these steps are made again; panics at the first that is not.
fn decided_again(policy: Policy, terms: Terms, steps: &[Step], what: &str) -> u64 {
    let mut again: Any = named(policy, terms).unwrap();
    match replay(&mut again, steps.iter().copied()) {
        Ok(decisions) => decisions,
        Err(divergence) => {
            let before = &steps[divergence.step.saturating_sub(5)..divergence.step];
            panic!("{what}: {divergence:#?} after {before:#?}")
        }
    }
}

/// What happened to the clients of a machine.
#[derive(Clone, Copy, Debug, Default)]
struct Events {
    decisions: u64,
    joined: usize,
    left: usize,
    blocked: usize,
    idle: usize,
    /// Turns that were cut off by the end of a slot after which the next was somebody else's.
    lost: usize,
}

impl Events {
    /// Counts what happened on a core. Slots are a thousand ticks long.
    fn add(&mut self, core: &Core) {
        let steps = &core.activations[0].scheduler.observer.0;
        let count = |is: fn(&&Step) -> bool| steps.iter().filter(is).count();
        self.joined += count(|step| matches!(step, Step::Join { .. }));
        self.left += count(|step| matches!(step, Step::Leave { .. }));
        self.idle += count(|step| matches!(step, Step::Idle { .. }));
        self.blocked += count(|step| matches!(step, Step::Charged { end: TurnEnd::Waiting(_), .. }));
        let others =
            |begin: u64| core.log.slices.iter().any(|slice| slice.begin == begin && slice.owner.is_none());
        let cut_off = core.log.turns.iter().filter(|turn| turn.end % 1000 == 0 && others(turn.end));
        self.lost += cut_off.count();
    }

    /// Everything that happens to clients did, on this machine.
    fn has_everything(&self) -> bool {
        self.joined > 1 && self.left > 0 && self.blocked > 0 && self.idle > 0 && self.lost > 0
    }
}

#[test]
fn what_two_hundred_machines_of_chance_recorded_is_decided_again() {
    let costs = Costs { frequency_hz: MEGAHERTZ, ..Costs::table().unwrap() };
    let small = Costs { policy: Default::default(), ..costs };
    let policies = policies();
    let (mut decisions, mut eventful) = (0, 0);
    for seed in 0..200 {
        let mut dice = Dice::new(seed);
        let policy = policies[seed as usize % policies.len()];
        let mut events = Events::default();
        for number in 0..4 {
            let (mut core, terms) = core(number, policy, &mut dice, &small);
            assert_eq!(core.advance(400_000), Progress::Reached, "seed {seed}");
            let what = format!("{policy:?}, seed {seed}, core {number}");
            let steps = &core.activations[0].scheduler.observer.0;
            events.decisions += decided_again(policy, terms, steps, &what);
            events.add(&core);
        }
        assert!(events.decisions > 100 && events.joined >= 4, "seed {seed}, {policy:?}: {events:?}");
        decisions += events.decisions;
        eventful += usize::from(events.has_everything());
    }
    // Under FIFO whoever computes without end keeps the core from all others, so that some of its machines see less.
    assert!(
        decisions > 100_000 && eventful > 150,
        "{decisions} decisions, {eventful} machines saw everything"
    );
}

#[test]
fn what_whole_scenarios_of_chance_recorded_is_decided_again() {
    for seed in 0..20 {
        let scenario = shared_machine(seed);
        let costs = costly();
        let recording: Recording = simulate(&scenario, &costs).unwrap().recording;
        for scheduler in &recording.schedulers {
            let terms = Terms::again(&recording, scheduler, costs.overhead);
            decided_again(scheduler.policy, terms, &scheduler.steps, &scheduler.libos);
        }
        assert!(recording.schedulers.iter().any(|scheduler| !scheduler.steps.is_empty()));
    }
}

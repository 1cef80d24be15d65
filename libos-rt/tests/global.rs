//! Global policies on several fake processors that share them: textbook answers, and that at every instant just those jobs run that
//! rank first, on whole cores exactly, on slots but for cores that have none.
#![forbid(unsafe_code)]

use libos_core::chance;
use libos_core::sched::dispatch::{ReadySet, Scheduler};
use libos_core::sched::{ClientId, Decision, Demand, Policy, Tick, TurnEnd};
use libos_rt::deadlines::Order;
use libos_rt::edf::EarliestDeadline;
use libos_rt::global::Global;
use libos_rt::rate_monotonic::ShortestPeriod;
use tranche_abi::{Outcome, Reason};

/// A task whose jobs come every period, due at its end, and use all of their budget, or more.
#[derive(Clone, Copy, Debug)]
struct Task {
    budget: u64,
    uses: u64,
    period: u64,
}

const fn task(budget: u64, period: u64) -> Task {
    Task { budget, uses: budget, period }
}

/// A task's jobs.
#[derive(Clone, Copy, Debug)]
struct Client {
    task: Task,
    /// Its present job, from 0.
    number: u64,
    left: u64,
}

impl Client {
    fn released(&self) -> u64 {
        self.number * self.task.period
    }

    fn due(&self) -> u64 {
        self.released() + self.task.period
    }
}

/// What a core does.
#[derive(Clone, Copy, Debug)]
enum Core {
    Runs { decision: Decision, ran: u64 },
    Waits { until: u64 },
}

/// Which jobs should run: the lower, the sooner.
type Key = fn(&Client, u64) -> (u64, u64);

fn by_deadline(client: &Client, _now: u64) -> (u64, u64) {
    (client.due(), client.released())
}

fn by_period(client: &Client, _now: u64) -> (u64, u64) {
    (client.task.period, 0)
}

fn by_laxity_and_deadline(client: &Client, now: u64) -> (u64, u64) {
    let key = by_deadline(client, now);
    if now + client.left >= client.due() { (0, 0) } else { key }
}

/// Cores that share a policy. Core `c` has every slot but those whose number is `c` modulo `missing`, or all of them.
struct Machine<O: Order> {
    scheduler: Scheduler<Global<O>, ()>,
    cores: Vec<Core>,
    roused: Vec<bool>,
    clients: Vec<Client>,
    missing: Option<u64>,
    misses: Vec<(usize, u64)>,
    /// The longest response of each.
    worst: Vec<u64>,
    key: Key,
    /// Whether it is looked at who runs: not where some are stopped.
    is_checked: bool,
    turns: u64,
}

/// Length of a slot.
const SLOT: u64 = 7;

impl<O: Order> Machine<O> {
    fn new(policy: Global<O>, (cores, key): (usize, Key), tasks: &[Task]) -> Self {
        let mut policy = policy;
        for (id, task) in tasks.iter().enumerate() {
            let (budget, period) = (Tick(task.budget), Tick(task.period));
            let demand = Demand::Periodic { first_release: Tick(0), budget, period, deadline: period };
            policy.join(ClientId(id as u16), demand, Tick(0)).unwrap();
        }
        Self {
            scheduler: Scheduler { policy, observer: () },
            cores: vec![Core::Waits { until: 0 }; cores],
            roused: vec![false; cores],
            clients: tasks.iter().map(|task| Client { task: *task, number: 0, left: task.uses }).collect(),
            missing: None,
            misses: Vec::new(),
            worst: vec![0; tasks.len()],
            key,
            is_checked: true,
            turns: 0,
        }
    }

    fn has_slot(&self, core: usize, now: u64) -> bool {
        self.missing.is_none_or(|missing| now / SLOT % missing != core as u64 % missing)
    }

    fn left(&self, decision: Decision) -> u64 {
        self.clients[usize::from(decision.client.0)].left
    }

    /// Tick by tick, so that nothing is overlooked.
    fn run(&mut self, end: u64) {
        for now in 0..end {
            let mut settled = false;
            for _ in 0..1000 {
                settled = !(0..self.cores.len()).any(|core| self.acts(core, now));
                if settled {
                    break;
                }
            }
            assert!(settled, "the cores rouse each other for ever at {now}");
            if self.is_checked {
                self.check(now);
            }
            for core in 0..self.cores.len() {
                if let (true, Core::Runs { decision, ran }) =
                    (self.has_slot(core, now), &mut self.cores[core])
                {
                    *ran += 1;
                    self.clients[usize::from(decision.client.0)].left -= 1;
                }
            }
        }
    }

    /// Whether a core has something to do now, which it then does.
    fn acts(&mut self, core: usize, now: u64) -> bool {
        if !self.has_slot(core, now) {
            return false;
        }
        let lost_its_slot = now.is_multiple_of(SLOT) && self.missing.is_some();
        match self.cores[core] {
            Core::Runs { decision, ran } if self.left(decision) == 0 => {
                self.job_ends(core, (decision, ran), now)
            }
            Core::Runs { decision, ran }
                if decision.until.0 <= now || self.roused[core] || (lost_its_slot && ran > 0) =>
            {
                let outcome = Outcome { reason: Reason::Expired, ran: Tick(ran), detail: 0, now: Tick(now) };
                self.scheduler.charge(decision, outcome);
            }
            Core::Waits { until } if until <= now || self.roused[core] => {}
            _ => return false,
        }
        self.decide(core, now);
        true
    }

    fn decide(&mut self, core: usize, now: u64) {
        self.roused[core] = false;
        self.turns += 1;
        self.cores[core] = match self.scheduler.decide(ReadySet::default(), Tick(now)) {
            Ok(decision) => {
                let twice = self.cores.iter().enumerate().any(|(other, doing)| {
                    other != core && matches!(doing, Core::Runs { decision: other, .. } if other.client == decision.client)
                });
                assert!(!twice, "{decision:?} runs on two cores at {now}");
                Core::Runs { decision, ran: 0 }
            }
            Err(until) => Core::Waits { until: until.0 },
        };
        if self.scheduler.policy.take_news() {
            self.rouse(core);
        }
    }

    fn rouse(&mut self, core: usize) {
        (0..self.cores.len()).filter(|other| *other != core).for_each(|other| self.roused[other] = true);
    }

    fn job_ends(&mut self, core: usize, (decision, ran): (Decision, u64), now: u64) {
        let index = usize::from(decision.client.0);
        let client = &mut self.clients[index];
        self.worst[index] = self.worst[index].max(now - client.released());
        if now > client.due() {
            self.misses.push((index, client.due()));
        }
        *client = Client { number: client.number + 1, left: client.task.uses, ..*client };
        let next = client.released();
        let reason = if next > now { Reason::Waiting } else { Reason::Yielded };
        let outcome = Outcome { reason, ran: Tick(ran), detail: next, now: Tick(now) };
        if matches!(self.scheduler.charge(decision, outcome), TurnEnd::Waiting(_)) {
            self.rouse(core);
        }
    }

    /// Of those that could run, the first ones do; on a core without a slot whoever ran there last is not to be had.
    fn check(&self, now: u64) {
        let on = |has_slot: bool| {
            let cores = (0..self.cores.len()).filter(move |core| self.has_slot(*core, now) == has_slot);
            cores.filter_map(|core| match self.cores[core] {
                Core::Runs { decision, .. } => Some(usize::from(decision.client.0)),
                Core::Waits { .. } => None,
            })
        };
        let (held, mut running) = (on(false).collect::<Vec<_>>(), on(true).collect::<Vec<_>>());
        let mut ready: Vec<_> = (0..self.clients.len())
            .filter(|index| self.clients[*index].released() <= now && !held.contains(index))
            .collect();
        let key = |index: &usize| (self.key)(&self.clients[*index], now);
        ready.sort_by_key(|index| key(index));
        ready.truncate((0..self.cores.len()).filter(|core| self.has_slot(*core, now)).count());
        running.sort_by_key(|index| key(index));
        let keys = |all: &[usize]| all.iter().map(key).collect::<Vec<_>>();
        assert_eq!(keys(&running), keys(&ready), "at {now}: {running:?} run, {ready:?} should");
    }
}

const DHALL: [Task; 5] = [task(10, 10), task(1, 9), task(1, 9), task(1, 9), task(1, 9)];
const THREE: [Task; 3] = [task(2, 3), task(2, 3), task(2, 3)];

fn edf() -> Global<EarliestDeadline> {
    Global::new(Tick(0), Tick(5))
}

fn edzl() -> Global<EarliestDeadline> {
    Global::until_zero_laxity(Tick(0), Tick(5))
}

fn after<O: Order>(policy: Global<O>, (cores, key): (usize, Key), tasks: &[Task], end: u64) -> Machine<O> {
    let mut machine = Machine::new(policy, (cores, key), tasks);
    machine.run(end + 1);
    machine
}

#[test]
fn dhalls_long_task_misses_under_global_edf_and_not_under_edzl() {
    let machine = after(edf(), (4, by_deadline), &DHALL, 90);
    assert!(machine.misses.iter().all(|(task, _)| *task == 0), "{:?}", machine.misses);
    // Eight that end within the hyperperiod; the ninth is due at 90 and not done then.
    assert_eq!((machine.misses.len(), machine.misses[0], machine.worst[0]), (8, (0, 10), 11));
    assert!(after(edzl(), (4, by_laxity_and_deadline), &DHALL, 900).misses.is_empty());
}

#[test]
fn three_tasks_of_two_thirds_on_two_cores_miss_at_three_under_global_edf_and_never_under_edzl() {
    let machine = after(edf(), (2, by_deadline), &THREE, 30);
    assert_eq!(machine.misses.first(), Some(&(2, 3)));
    assert!(after(edzl(), (2, by_laxity_and_deadline), &THREE, 300).misses.is_empty());
}

#[test]
fn one_core_is_edf_as_ever() {
    let tasks = [task(1, 4), task(2, 6), task(3, 8)];
    let machine = after(edf(), (1, by_deadline), &tasks, 240);
    assert_eq!((machine.misses.len(), &machine.worst[..]), (0, &[3, 4, 6][..]));
}

/// A set of chance, none of whose tasks has a utilisation above so many twelfths.
fn set(seed: u64, tasks: u64, twelfths: u64) -> Vec<Task> {
    let mut state = chance::seed(&[seed]);
    let mut draw = |limit: u64| chance::draw(&mut state) % limit;
    (0..tasks)
        .map(|_| {
            let period = 2 + draw(23);
            task((1 + draw((period * twelfths / 12).clamp(1, period))).min(period), period)
        })
        .collect()
}

/// In millionths, rounded up: never too small.
fn utilisation(task: &Task) -> u64 {
    (task.budget * 1_000_000).div_ceil(task.period)
}

/// Goossens, Funk and Baruah: whether global EDF is sure to meet all deadlines on whole cores.
fn gfb(tasks: &[Task], cores: u64) -> bool {
    let most = tasks.iter().map(utilisation).max().unwrap_or(0);
    tasks.iter().map(utilisation).sum::<u64>() + (cores - 1) * most <= cores * 1_000_000
}

#[test]
fn sets_within_the_bound_of_goossens_funk_and_baruah_never_miss() {
    let mut within = 0;
    for seed in 0..1500 {
        let cores = 2 + seed % 3;
        let tasks = set(seed, cores + 1 + seed % 5, 4);
        if gfb(&tasks, cores) {
            within += 1;
            let machine = after(edf(), (cores as usize, by_deadline), &tasks, 400);
            assert!(machine.misses.is_empty(), "{tasks:?} on {cores}: {:?}", machine.misses);
        }
    }
    assert!(within > 300, "{within}");
}

#[test]
fn edzl_meets_every_deadline_that_global_edf_meets_and_some_more() {
    let (mut both, mut edzl_only) = (0, 0);
    for seed in 0..1200 {
        let cores = 2 + seed as usize % 2;
        let tasks = set(seed, cores as u64 + 1 + seed % 3, 9);
        let by_edf = after(edf(), (cores, by_deadline), &tasks, 300).misses.is_empty();
        // Whoever is late has more urgent jobs than there are cores: which of them run then is not said.
        let demand: u64 = tasks.iter().map(utilisation).sum();
        if demand > cores as u64 * 1_000_000 {
            continue;
        }
        let by_edzl = edzl_misses(&tasks, cores, 300) == 0;
        assert!(by_edzl || !by_edf, "{tasks:?} on {cores}");
        both += u32::from(by_edf);
        edzl_only += u32::from(by_edzl && !by_edf);
    }
    assert!(both > 200 && edzl_only > 20, "{both} {edzl_only}");
}

/// Misses under EDZL, without a look at who runs.
fn edzl_misses(tasks: &[Task], cores: usize, end: u64) -> usize {
    after(edzl(), (cores, |_, _| (0, 0)), tasks, end).misses.len()
}

#[test]
fn the_first_jobs_run_at_every_instant_whatever_the_load() {
    for seed in 0..300 {
        let cores = 1 + seed as usize % 4;
        let tasks = set(seed, cores as u64 + 3, 8);
        after(edf(), (cores, by_deadline), &tasks, 200);
        after(Global::<ShortestPeriod>::new(Tick(0), Tick(5)), (cores, by_period), &tasks, 200);
        if edzl_misses(&tasks, cores, 200) == 0 {
            after(edzl(), (cores, by_laxity_and_deadline), &tasks, 200);
        }
    }
}

#[test]
fn on_slots_they_do_but_for_those_that_a_core_without_a_slot_holds() {
    for seed in 0..200 {
        let cores = 2 + seed as usize % 3;
        let tasks = set(seed, cores as u64 + 2, 6);
        let slots = |mut machine: Machine<EarliestDeadline>| {
            machine.missing = Some(5);
            machine.run(300);
            machine.turns
        };
        slots(Machine::new(edf(), (cores, by_deadline), &tasks));
        // A core of which a slot is away keeps its job: the others are told of it once, and go on.
        let turns = slots(Machine::new(edzl(), (cores, |_, _| (0, 0)), &tasks));
        assert!(turns < 300 * 20, "{turns} turns");
    }
}

#[test]
fn who_uses_more_than_its_budget_is_stopped_and_harms_nobody_else() {
    let mut tasks = vec![task(3, 10), task(3, 10), task(3, 9), task(2, 7)];
    assert!(gfb(&tasks, 2));
    tasks[1].uses = 8;
    for policy in [edf(), edzl()] {
        let mut machine = Machine::new(policy, (2, |_, _| (0, 0)), &tasks);
        machine.is_checked = false;
        machine.run(500);
        assert!(!machine.misses.is_empty() && machine.misses.iter().all(|(task, _)| *task == 1));
    }
}

#[test]
fn who_has_no_deadline_runs_on_the_cores_that_are_left_one_quantum_each() {
    let mut machine = Machine::new(edf(), (2, |_, _| (0, 0)), &[task(4, 10)]);
    for id in [1, 2] {
        machine.scheduler.policy.join(ClientId(id), Demand::Share { tickets: 1 }, Tick(0)).unwrap();
        let endless = Task { budget: 1, uses: u64::MAX, period: 1 };
        machine.clients.push(Client { task: endless, number: 0, left: u64::MAX });
        machine.worst.push(0);
    }
    machine.run(1000);
    assert!(machine.misses.is_empty());
    let got = [1, 2].map(|id: usize| u64::MAX - machine.clients[id].left);
    assert!(got[0] + got[1] >= 1590 && got[0].abs_diff(got[1]) <= 10, "{got:?}");
}

#[test]
fn other_cores_are_told_once_of_what_they_could_not_know() {
    let mut policy = edf();
    for (id, (budget, period)) in [(3, 10), (9, 40), (5, 50)].into_iter().enumerate() {
        let (budget, period) = (Tick(budget), Tick(period));
        let demand = Demand::Periodic { first_release: Tick(0), budget, period, deadline: period };
        policy.join(ClientId(id as u16), demand, Tick(0)).unwrap();
    }
    let picked = [policy.pick(Tick(0)), policy.pick(Tick(0))].map(|decision| decision.map(|d| d.client.0));
    assert_eq!((picked, policy.take_news()), ([Some(0), Some(1)], false));
    // The first one's budget is used up: it goes on at 10, which whoever runs the second one did not know at 0.
    policy.charge(ClientId(0), Tick(3), TurnEnd::Ready, Tick(3));
    assert_eq!(policy.pick(Tick(3)).map(|decision| (decision.client.0, decision.until.0)), Some((2, 8)));
    assert_eq!((policy.take_news(), policy.take_news()), (true, false));
}

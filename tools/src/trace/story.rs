//! Records, and who took part, into a [`Recording`]: who took part, and what happened.
//!
//! Not here: frames (`super`), nor anything that is computed from a recording. Environments are known by index in records; an
//! index lives again after its environment's end, so a name is looked up with the time.

use super::cast::{Cast, Member, Part};
use super::{Trace, pending};
use crate::metrics::guarantees::gaps;
use crate::recording::{Client, Job, Recording, Scheduler, Slice, Source, Turn};
use libos_core::sched::ClientId;
use libos_core::sched::steps::{Mark, Step};
use libos_core::trace::{self, Service};
use std::collections::BTreeMap;
use tranche_abi::trace::{FIRST_MARK, Record, kind};

/// The recording of a run.
pub fn recording(cast: &Cast, trace: &Trace) -> Recording {
    let recording = Recording {
        source: Source::Kernel,
        scenario: cast.scenario.clone(),
        seed: cast.seed,
        cores: cast.cores,
        frequency: cast.frequency,
        quantum: cast.quantum,
        slots: cast.slots,
        epoch: cast.epoch,
        end: trace.records().map(|record| record.time).max().unwrap_or(cast.epoch),
        clients: cast.clients.iter().map(|member| member.client.clone()).collect(),
        schedulers: Vec::new(),
        slices: Vec::new(),
        turns: Vec::new(),
        jobs: Vec::new(),
        lost: trace.lost(),
        cost: None,
    };
    let schedulers = schedulers(cast);
    let services = (0..schedulers.len()).map(|last| Known { last, ..Known::default() }).collect();
    let mut story = Story { services, schedulers, numbered: BTreeMap::new(), recording };
    let lives = Lives::new(&cast.environments, trace);
    trace.records().for_each(|record| story.add(record, &lives));
    story.end(cast)
}

/// One for each scheduling libOS on each core. A client's number in the policy is its place among those of its core.
fn schedulers(cast: &Cast) -> Vec<Scheduler> {
    let scheduler = |part: &Part| {
        // Those that run on any core are the first core's.
        let is_here = |member: &Member| {
            member.client.libos == part.libos && member.client.core.unwrap_or(0) == part.core
        };
        Scheduler {
            libos: part.libos.clone(),
            core: part.core,
            policy: part.policy,
            admission: part.admission,
            clients: (0..cast.clients.len()).filter(|&index| is_here(&cast.clients[index])).collect(),
            currencies: part.currencies.clone(),
            steps: Vec::new(),
            step_cores: Vec::new(),
            own: part.own,
        }
    };
    cast.schedulers.iter().map(scheduler).collect()
}

/// Names of environments over time.
struct Lives {
    /// By index: from when, and the name.
    by_index: BTreeMap<u16, Vec<(u64, String)>>,
}

impl Lives {
    /// `named` has the names in the order of the births of each index.
    fn new(named: &[(u64, String)], trace: &Trace) -> Self {
        let births = trace.records().filter(|record| record.kind() == kind::LIFE && record.detail() == 0);
        let mut births: Vec<_> = births.map(|record| (record.time, record.env())).collect();
        births.sort_unstable();
        let mut by_index: BTreeMap<u16, Vec<(u64, String)>> = BTreeMap::new();
        for (time, index) in births {
            let lives = by_index.entry(index).or_default();
            let mut names = named.iter().filter(|(named, _)| *named == u64::from(index));
            let name = names.nth(lives.len()).map_or_else(String::new, |(_, name)| name.clone());
            lives.push((time, name));
        }
        Self { by_index }
    }

    /// An environment's name at a time: `libos`, or `libos/client`.
    fn name(&self, index: u16, time: u64) -> Option<&str> {
        let lives = self.by_index.get(&index)?;
        let (_, name) = lives.iter().rev().find(|(begin, _)| *begin <= time)?;
        Some(name)
    }
}

struct Story {
    recording: Recording,
    /// Each as it began; then, in the order of their swaps, those that took over.
    schedulers: Vec<Scheduler>,
    /// By scheduler, as it began.
    services: Vec<Known>,
    /// The steps of policies that cores share, by their numbers, with their cores; by the first of the schedulers.
    numbered: BTreeMap<usize, BTreeMap<u64, (u32, Step)>>,
}

/// What a scheduler said of its service.
#[derive(Clone, Copy, Default)]
struct Known {
    /// When its clients' jobs begin.
    jobs_begin: Option<u64>,
    /// When it was over.
    over: Option<u64>,
    /// Where its present policy is among the schedulers.
    last: usize,
}

impl Story {
    fn add(&mut self, record: &Record, lives: &Lives) {
        let core = u32::from(record.core());
        let time = record.time;
        let owner = lives.name(record.env(), time);
        match record.kind() {
            kind::SLICE => {
                let owner = owner.and_then(|name| self.scheduler(name, core));
                self.recording.slices.push(Slice { core, begin: time, end: record.words[1], owner });
            }
            kind::YIELD => {
                let [target, begin, _, ran, ..] = record.words;
                let client = lives.name(target as u16, time).and_then(|name| self.client(name));
                if let Some(client) = client.filter(|_| begin < time) {
                    self.recording.turns.push(Turn { client, core, begin, end: time, ran });
                }
            }
            FIRST_MARK.. => {
                let mark = Mark { kind: record.kind(), detail: record.detail(), words: record.words };
                if let Some(place) = owner.and_then(|name| self.scheduler(name, core)) {
                    self.step(place, &mark);
                    self.serve(place, (time, Service::from_mark(&mark)));
                } else if let Some(client) = owner.and_then(|name| self.client(name)) {
                    self.recording.jobs.extend(trace::Job::from_mark(&mark).map(|job| done(client, job)));
                }
            }
            _ => {}
        }
    }

    /// What becomes of a scheduler's service.
    fn serve(&mut self, place: usize, (time, news): (u64, Option<Service>)) {
        let known = &mut self.services[place];
        match news {
            Some(Service::Jobs { begin }) => known.jobs_begin = Some(begin),
            Some(Service::Over) => known.over = Some(time),
            Some(Service::Swapped { policy }) => {
                known.last = self.schedulers.len();
                let before = &self.schedulers[place];
                self.schedulers.push(Scheduler { policy, steps: Vec::new(), own: 0, ..before.clone() });
            }
            Some(Service::Fails | Service::Mended) | None => {}
        }
    }

    /// A scheduler's mark, if it is of a step.
    fn step(&mut self, place: usize, mark: &Mark) {
        let Some(step) = Step::from_mark(mark) else { return };
        let here = &mut self.schedulers[self.services[place].last];
        let Some(number) = mark.number() else { return here.steps.push(step) };
        let core = here.core;
        let first = self.schedulers.iter().position(|known| known.libos == self.schedulers[place].libos);
        self.numbered.entry(first.unwrap_or(place)).or_default().insert(number, (core, step));
    }

    fn scheduler(&self, libos: &str, core: u32) -> Option<usize> {
        self.schedulers.iter().position(|known| known.libos == libos && known.core == core)
    }

    fn client(&self, name: &str) -> Option<usize> {
        let is_called = |client: &Client| {
            let rest = name.strip_prefix(&client.libos).and_then(|rest| rest.strip_prefix('/'));
            rest == Some(&client.name)
        };
        self.recording.clients.iter().position(is_called)
    }

    /// Everything in the order of time, and the jobs that never ended.
    fn end(self, cast: &Cast) -> Recording {
        let Self { mut recording, schedulers, services, numbered } = self;
        recording.schedulers = schedulers;
        for (first, steps) in numbered {
            let scheduler = &mut recording.schedulers[first];
            (scheduler.step_cores, scheduler.steps) = steps.into_values().unzip();
        }
        let mut begins = BTreeMap::new();
        // Who took over from another has the same clients.
        for (index, service) in services.iter().enumerate() {
            // A client is served until nobody does any more.
            let sharing = recording.sharing(index).into_iter();
            let over = sharing.map(|index| services[index].over.unwrap_or(recording.end)).max();
            let over = over.unwrap_or(recording.end);
            let scheduler = &recording.schedulers[index];
            for (number, client) in (0..).map(ClientId).zip(&scheduler.clients) {
                // Whoever is shed has no jobs from then on.
                let gap = gaps(&scheduler.steps, number).into_iter().find(|gap| gap.back.is_none());
                recording.clients[*client].until = gap.map_or(over, |gap| gap.shed.min(over));
                begins.extend(service.jobs_begin.map(|begin| (*client, begin)));
            }
        }
        recording.slices.sort_by_key(|slice| slice.begin);
        recording.turns.sort_by_key(|turn| turn.begin);
        recording.jobs.sort_by_key(|job| job.completed);
        let mut pending = pending::jobs(&recording, cast, &begins);
        recording.jobs.append(&mut pending);
        recording
    }
}

fn done(client: usize, job: trace::Job) -> Job {
    let trace::Job { number, released, due, demand, used, completed } = job;
    Job { client, number, released, due, completed: Some(completed), demand, used }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::outcome::Outcome;
    use crate::trace::Stream;
    use libos_core::scenario::{Policy, Scenario};
    use libos_core::sched::{ClientId, Decision, Demand, Tick, TurnEnd};

    const SCENARIO: &str = r#"
name = "small"
duration_ms = 100
cores = 2
slots = 10
[[libos]]
name = "one"
policy = "edf"
want = 4
minimum = 4
[[libos.clients]]
name = "a"
program = "spin"
budget_us = 100
period_us = 1000
deadline_us = 500
core = 0
[[libos.clients]]
name = "b"
program = "spin"
budget_us = 100
period_us = 1000
core = 1
"#;
    /// Environments: the libOS, then its clients.
    const LIBOS: u16 = 2;
    const A: u16 = 3;

    fn record(time: u64, (kind, core, env, detail): (u8, u8, u16, u32), words: &[u64]) -> Record {
        let word = |i| words.get(i).copied().unwrap_or(0);
        Record { time, head: Record::head(kind, core, env, detail), words: core::array::from_fn(word) }
    }

    fn step(time: u64, step: Step) -> Record {
        let mark = step.mark();
        record(time, (mark.kind, 0, LIBOS, mark.detail), &mark.words)
    }

    /// A mark two ticks after the job's completion.
    fn job(completed: u64, number: u64, (released, due, used): (u64, u64, u64)) -> Record {
        let time = completed + 2;
        let mark = trace::Job { number, released, due: Some(due), demand: 90, used, completed }.mark();
        record(time, (mark.kind, 0, A, mark.detail), &mark.words)
    }

    fn service(time: u64, service: Service) -> Record {
        let mark = service.mark();
        record(time, (mark.kind, 0, LIBOS, mark.detail), &mark.words)
    }

    fn decided() -> Step {
        Step::Decided { now: Tick(1100), decision: Decision { client: ClientId(0), until: Tick(1500) } }
    }

    fn charged() -> Step {
        let end = TurnEnd::Waiting(Tick(2000));
        Step::Charged { client: ClientId(0), ran: Tick(95), end, now: Tick(1400) }
    }

    /// A libOS with a client on each of two cores, of which one had a turn and two jobs.
    pub(crate) fn recorded() -> (Scenario, Outcome, Trace) {
        let start = libos_core::report::Start {
            frequency: 1_000_000,
            quantum: 1000,
            slots: 10,
            epoch: 500,
            ..Default::default()
        };
        let named = [(LIBOS, "one"), (A, "one/a"), (4, "one/b"), (A, "other")];
        let envs = named.map(|(index, name)| (u64::from(index), name.to_string())).into();
        let core_0 = [
            record(600, (kind::LIFE, 0, LIBOS, 0), &[]),
            record(610, (kind::LIFE, 0, A, 0), &[]),
            record(1000, (kind::SLICE, 0, LIBOS, 0), &[0, 2000]),
            service(700, Service::Jobs { begin: 1000 }),
            step(1110, decided()),
            job(1400, 0, (1000, 1500, 90)),
            record(1404, (kind::YIELD, 0, LIBOS, 1), &[A.into(), 1120, 1500, 95, 2000]),
            step(1410, charged()),
            record(2000, (kind::SLICE, 0, 0, 0), &[1, 3000]),
            job(2600, 1, (2000, 2500, 95)),
            // A third was begun, and a fourth came before nobody was served any more.
            record(3250, (kind::YIELD, 0, LIBOS, 0), &[A.into(), 3220, 3500, 30, 0]),
            service(4500, Service::Over),
            // The index lives again, as somebody who is in no list of clients.
            record(5000, (kind::LIFE, 0, A, 1), &[]),
            record(5100, (kind::LIFE, 0, A, 0), &[]),
            job(5200, 2, (3000, 3500, 1)),
        ];
        let core_1 = [record(650, (kind::LIFE, 1, 4, 0), &[])];
        let stream = |core, records: &[Record]| Stream {
            core,
            records: (0..).zip(records.iter().copied()).collect(),
            ended: true,
            ..Stream::default()
        };
        let trace = Trace { cores: vec![stream(0, &core_0), stream(1, &core_1)] };
        let scenario = crate::scenario::parse(SCENARIO, None, None).unwrap();
        (scenario, Outcome { start: Some(start), envs, ..Outcome::default() }, trace)
    }

    /// A small recording, for tests of what is made of one.
    pub(crate) fn small() -> Recording {
        let (scenario, outcome, trace) = recorded();
        recording(&Cast::of(&scenario, &outcome).unwrap(), &trace)
    }

    #[test]
    fn records_become_slots_turns_jobs_and_steps_of_those_whose_they_are() {
        let recording = small();
        let names: Vec<_> = recording.clients.iter().map(|client| (&client.name[..], client.core)).collect();
        assert_eq!(names, [("a", Some(0)), ("b", Some(1))]);
        assert_eq!(recording.schedulers[0].steps, [decided(), charged()]);
        assert_eq!(
            (recording.schedulers[0].clients.clone(), recording.schedulers[1].clients.clone()),
            (vec![0], vec![1])
        );
        let owners: Vec<_> =
            recording.slices.iter().map(|slice| (slice.begin, slice.end, slice.owner)).collect();
        assert_eq!(owners, [(1000, 2000, Some(0)), (2000, 3000, None)]);
        assert_eq!(recording.turns[0], Turn { client: 0, core: 0, begin: 1120, end: 1404, ran: 95 });
        let jobs = recording.jobs.iter().filter(|job| job.completed.is_some());
        let jobs: Vec<_> = jobs.map(|job| (job.client, job.number, job.completed)).collect();
        assert_eq!(jobs, [(0, 0, Some(1400)), (0, 1, Some(2600))]);
        assert_eq!((recording.clients[0].deadline, recording.clients[0].period), (Some(500), Some(1000)));
    }

    #[test]
    fn steps_after_a_swap_are_those_of_the_policy_that_took_over() {
        let (scenario, outcome, mut trace) = recorded();
        let swapped = service(4600, Service::Swapped { policy: Policy::Lottery });
        let join = Step::Join { client: ClientId(0), demand: Demand::Share { tickets: 2 }, now: Tick(4600) };
        trace.cores[0].records.extend([(20, swapped), (21, step(4601, join))]);
        let recording = recording(&Cast::of(&scenario, &outcome).unwrap(), &trace);
        let [first, other_core, heir] = &recording.schedulers[..] else { panic!() };
        assert_eq!((first.steps.len(), other_core.core, heir.policy), (2, 1, Policy::Lottery));
        assert_eq!((&heir.steps[..], &heir.clients), (&[join][..], &first.clients));
        assert_eq!((recording.clients[0].until, recording.swapped()), (4500, Some(heir)));
    }

    #[test]
    fn jobs_that_were_released_and_never_done_are_there_as_far_as_they_came() {
        let recording = small();
        let pending = recording.jobs.iter().filter(|job| job.completed.is_none());
        let pending: Vec<_> = pending.map(|job| (job.client, job.number, job.released, job.used)).collect();
        assert_eq!(pending, [(0, 2, 3000, 30), (0, 3, 4000, 0)]);
        assert_eq!(recording.jobs[2].due, Some(3500));
        assert_eq!(recording.clients[0].until, 4500);
        // Nobody said when the jobs of the other core's client begin.
        assert!(recording.jobs.iter().all(|job| job.client == 0));
    }

    #[test]
    fn where_a_jobs_mark_is_missing_nobody_can_say_which_others_came() {
        let (scenario, outcome, mut trace) = recorded();
        trace.cores[0].records.retain(|(_, record)| record.time != 1402);
        let recording = recording(&Cast::of(&scenario, &outcome).unwrap(), &trace);
        assert!(recording.jobs.iter().all(|job| job.completed.is_some()));
    }

    #[test]
    fn steps_of_a_policy_that_cores_share_are_told_by_their_numbers_whatever_ring_they_are_in() {
        let scenario =
            SCENARIO.replace("\"edf\"", "\"global-edf\"").replace("core = 0\n", "").replace("core = 1\n", "");
        let scenario = crate::scenario::parse(&scenario, None, None).unwrap();
        let (_, outcome, mut trace) = recorded();
        let numbered = |time, core, (number, step): (u64, Step)| {
            let mark = step.mark().numbered(number);
            record(time, (mark.kind, core, LIBOS, mark.detail), &mark.words)
        };
        let idle = Step::Idle { now: Tick(1000), until: Tick(1100) };
        // The first core's marks are the later ones, by the clock.
        let (first, second) = ((0, idle), (1, decided()));
        let [core_0, core_1] = [numbered(1115, 0, (2, charged())), numbered(1110, 1, second)];
        trace.cores[0].records.retain(|(_, record)| !matches!(record.time, 1110 | 1410));
        trace.cores[0].records.push((99, numbered(1120, 0, first)));
        trace.cores[0].records.push((100, core_0));
        trace.cores[1].records.push((99, core_1));
        trace.cores[1].records.push((100, {
            let mark = Service::Over.mark();
            record(4700, (mark.kind, 1, LIBOS, mark.detail), &mark.words)
        }));
        let recording = recording(&Cast::of(&scenario, &outcome).unwrap(), &trace);
        let [one, other] = &recording.schedulers[..] else { panic!("two cores") };
        assert_eq!(
            (&one.steps[..], &one.step_cores[..]),
            (&[idle, decided(), charged()][..], &[0, 1, 0][..])
        );
        assert_eq!((&one.clients[..], other.clients.len(), other.steps.len()), (&[0, 1][..], 0, 0));
        assert_eq!((recording.sharing(0), recording.sharing(1)), (vec![0, 1], vec![]));
        // Both are served until the last core serves nobody.
        assert_eq!(
            recording.clients.iter().map(|one| (one.core, one.until)).collect::<Vec<_>>(),
            [(None, 4700); 2]
        );
    }
}

//! JSON files of rt-app (its `doc/tutorial.txt`): threads that run, and sleep or wait for a timer, in a loop. Refused are threads
//! that wait for one another, whose phases differ, that end, or that change how they are scheduled; and classes of scheduling side by
//! side that no one policy stands for.

use super::json::Json;
use super::render::policy;
use super::{Jobs, Mistakes, Set, Task, Wishes, whole_us};
use libos_core::scenario::Policy;
use std::collections::BTreeSet;

/// Keys of the global object that have no meaning here.
const GLOBAL: [&str; 12] = [
    "calibration",
    "pi_enabled",
    "lock_pages",
    "logdir",
    "log_basename",
    "log_size",
    "ftrace",
    "gnuplot",
    "io_device",
    "mem_buffer_size",
    "cumulative_slack",
    "frag",
];
/// Keys of threads and phases that have none.
const ANYWHERE: [&str; 4] = ["util_min", "util_max", "membind_nodes", "numa_nodes_membind"];
/// Properties that a phase may have in place of its thread.
const PROPERTIES: [&str; 6] = ["policy", "priority", "dl-runtime", "dl-period", "dl-deadline", "cpus"];
/// Longest time that a scenario takes, in microseconds.
const LONGEST_US: f64 = 3.6e9;

type Entries = [(String, Json)];

/// How Linux schedules a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Fair,
    Idle,
    Fifo,
    RoundRobin,
    Deadline,
}

const CLASSES: [(&str, Class); 5] = [
    ("SCHED_OTHER", Class::Fair),
    ("SCHED_IDLE", Class::Idle),
    ("SCHED_FIFO", Class::Fifo),
    ("SCHED_RR", Class::RoundRobin),
    ("SCHED_DEADLINE", Class::Deadline),
];

/// What a thread does in each round.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Pattern {
    run: f64,
    wait: Wait,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Wait {
    #[default]
    Never,
    /// For so long after the run, or before it.
    Sleep(f64),
    /// Until so long after the last time.
    Timer(f64),
}

#[derive(Debug)]
struct Thread {
    class: Class,
    priority: f64,
    task: Task,
}

#[derive(Default)]
struct Reader {
    mistakes: Mistakes,
    approximated: BTreeSet<String>,
    ignored: BTreeSet<String>,
    default: Option<Class>,
    /// Microseconds that the run lasts.
    end: f64,
}

/// The task set of a file's text.
pub fn read(text: &str, wishes: &Wishes) -> Result<Set, Mistakes> {
    let Json::Object(entries) = Json::read(text).map_err(|error| vec![error])? else {
        return Err(vec!["the file must be an object with \"tasks\"".into()]);
    };
    let mut reader = Reader::default();
    let set = reader.whole(&entries, wishes);
    match set {
        Some(set) if reader.mistakes.is_empty() => Ok(set),
        _ => Err(reader.mistakes),
    }
}

impl Reader {
    fn whole(&mut self, entries: &Entries, wishes: &Wishes) -> Option<Set> {
        let (mut duration, mut tasks) = (None, None);
        // First the global object: it says what threads are without a policy of their own.
        if let Some((_, global)) = entries.iter().find(|(key, _)| key == "global") {
            duration = self.global(global);
        }
        let duration_ms = wishes.duration_ms.or_else(|| whole_us(duration? * 1000.0));
        self.end = f64::from(duration_ms.unwrap_or(0)) * 1000.0;
        for (key, value) in entries {
            match (&key[..], value) {
                ("global", _) => {}
                ("resources", _) => self.ignore("resources"),
                ("tasks", Json::Object(threads)) if tasks.is_none() => tasks = Some(threads),
                ("tasks", _) => self.mistake("tasks", "must be one object, with a thread for each key"),
                _ => self.mistake(key, "is no part of a workload: take it away"),
            }
        }
        if duration_ms.is_none_or(|ms| ms == 0) {
            self.mistake(
                "global.duration",
                "the workload has no end: say how long it runs, with --duration-ms",
            );
        }
        let Some(tasks) = tasks else {
            self.mistake("tasks", "is missing");
            return None;
        };
        let threads: Vec<_> = tasks.iter().flat_map(|(name, thread)| self.thread(name, thread)).collect();
        if threads.is_empty() && self.mistakes.is_empty() {
            self.mistake("tasks", "there are no threads in it");
        }
        let named = threads.iter().filter_map(|thread| thread.task.cores.as_ref()?.iter().max());
        let cores = wishes.cores.unwrap_or(named.max().map_or(1, |most| most.saturating_add(1)));
        let policy = self.policy(&threads, wishes.policy);
        self.approximated.insert("run is so many us of CPU time, whatever the speed of the machine".into());
        let [approximated, ignored] =
            [&self.approximated, &self.ignored].map(|notes| notes.iter().cloned().collect());
        let tasks = threads.into_iter().map(|thread| thread.task).collect();
        Some(Set { duration_ms: duration_ms?, cores, policy: policy?, tasks, approximated, ignored })
    }

    fn mistake(&mut self, path: &str, what: impl std::fmt::Display) {
        self.mistakes.push(format!("{path}: {what}"));
    }

    fn ignore(&mut self, key: &str) {
        self.ignored.insert(key.into());
    }

    /// Seconds that the workload lasts, if it ends.
    fn global(&mut self, global: &Json) -> Option<f64> {
        let Json::Object(entries) = global else {
            self.mistake("global", "must be an object");
            return None;
        };
        let mut duration = None;
        for (key, value) in entries {
            let path = format!("global.{key}");
            match &key[..] {
                "duration" => duration = self.number(&path, value).filter(|seconds| *seconds > 0.0),
                "default_policy" => self.default = self.class(&path, value),
                key if GLOBAL.contains(&key) => self.ignore(&path),
                _ => self.mistake(&path, "is not known"),
            }
        }
        duration
    }

    fn number(&mut self, path: &str, value: &Json) -> Option<f64> {
        match value {
            Json::Number(number) => Some(*number),
            _ => {
                self.mistake(path, "must be a number");
                None
            }
        }
    }

    /// Microseconds.
    fn us(&mut self, path: &str, value: &Json) -> Option<f64> {
        let number = self.number(path, value)?;
        let possible = (0.0..=LONGEST_US).contains(&number);
        if !possible {
            self.mistake(path, format!("must be from 0 to {LONGEST_US} us (got {number})"));
        }
        possible.then_some(number)
    }

    fn class(&mut self, path: &str, value: &Json) -> Option<Class> {
        let known = CLASSES.iter().find(|(word, _)| *value == Json::Text((*word).into()));
        if known.is_none() {
            self.mistake(path, format!("is one of {}", CLASSES.map(|(word, _)| word).join(", ")));
        }
        known.map(|(_, class)| *class)
    }

    /// The threads of an entry; there may be several of the same kind.
    fn thread(&mut self, name: &str, value: &Json) -> Vec<Thread> {
        let path = format!("tasks.{name}");
        let Json::Object(entries) = value else {
            self.mistake(&path, "must be an object");
            return Vec::new();
        };
        let before = self.mistakes.len();
        let (mut instances, mut delay, mut phases) = (1.0, 0.0, Vec::new());
        let (mut own, mut events): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
        for (key, value) in entries {
            let at = format!("{path}.{key}");
            match (&key[..], value) {
                ("instance", _) => instances = self.number(&at, value).unwrap_or(1.0),
                ("delay", _) => delay = self.us(&at, value).unwrap_or(0.0),
                ("loop", _) => self.endless(&at, value, entries),
                ("phases", Json::Object(all)) => phases.clone_from(all),
                ("phases", _) => self.mistake(&at, "must be an object"),
                (key, _) if PROPERTIES.contains(&key) => own.push((key.to_string(), value.clone())),
                _ => events.push((key.clone(), value.clone())),
            }
        }
        if phases.is_empty() {
            phases.push((String::new(), Json::Object(events)));
        } else if let Some((key, _)) = events.first() {
            self.mistake(&format!("{path}.{key}"), "must be in a phase, where there are phases");
        }
        let kinds: Vec<_> =
            phases.iter().filter_map(|(phase, value)| self.phase((&path, phase), value, &own)).collect();
        let Some(((pattern, own), others)) =
            kinds.split_first().map(|(first, others)| (first.clone(), others))
        else {
            return Vec::new();
        };
        if others.iter().any(|(other, properties)| *other != pattern || *properties != own) {
            let what = "its phases differ, and a client does the same all the time: make a file of each, or a mean of all";
            self.mistake(&format!("{path}.phases"), what);
        }
        let thread = self.scheduled((name, &path), &own, (pattern, delay));
        if instances == 0.0 {
            self.ignored.insert(format!("{path}: of it there is no instance"));
        } else if !(1.0..=256.0).contains(&instances) {
            self.mistake(&format!("{path}.instance"), "must be from 0 to 256");
        }
        let Some(thread) = thread.filter(|_| self.mistakes.len() == before) else { return Vec::new() };
        (0..instances as u32).map(|number| instance(&thread, number, instances)).collect()
    }

    /// Complains of threads that end before the workload does.
    fn endless(&mut self, path: &str, value: &Json, entries: &Entries) {
        let loops = self.number(path, value).unwrap_or(-1.0);
        let lasts = round(entries).is_some_and(|us| us * loops >= self.end);
        if loops >= 0.0 && !lasts {
            self.mistake(path, format!("a client does not end after {loops} rounds: say -1"));
        }
    }

    /// What a phase does, and the properties that hold in it.
    fn phase(
        &mut self,
        (thread, name): (&str, &str),
        value: &Json,
        own: &Entries,
    ) -> Option<(Pattern, Vec<(String, Json)>)> {
        let path = if name.is_empty() { thread.to_string() } else { format!("{thread}.phases.{name}") };
        let Json::Object(entries) = value else {
            self.mistake(&path, "must be an object");
            return None;
        };
        let (mut pattern, mut properties) = (Pattern::default(), own.to_vec());
        for (key, value) in entries {
            let at = format!("{path}.{key}");
            let event = key.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
            match event {
                _ if PROPERTIES.contains(&&key[..]) => {
                    properties.retain(|(other, _)| other != key);
                    properties.push((key.clone(), value.clone()));
                }
                _ if ANYWHERE.contains(&&key[..]) => self.ignore(&at),
                // Rounds of a phase among phases that are all the same say nothing.
                "loop" if *value == Json::Number(0.0) => {
                    self.mistake(&at, "a phase of no rounds: take it away")
                }
                "loop" => {}
                "run" | "runtime" => pattern.run += self.us(&at, value).unwrap_or(0.0),
                "sleep" | "timer" if pattern.wait != Wait::Never => {
                    self.mistake(&at, "a client waits once in a round: make one of it");
                }
                "sleep" => pattern.wait = Wait::Sleep(self.us(&at, value).unwrap_or(0.0)),
                "timer" => pattern.wait = Wait::Timer(self.timer(&at, value).unwrap_or(1.0)),
                _ => self
                    .mistake(&at, "cannot be expressed: clients run and wait for time, not for one another"),
            }
        }
        properties.sort_by(|one, other| one.0.cmp(&other.0));
        Some((pattern, properties))
    }

    /// A timer's period.
    fn timer(&mut self, path: &str, value: &Json) -> Option<f64> {
        let Json::Object(entries) = value else {
            self.mistake(path, "must be an object with \"ref\" and \"period\"");
            return None;
        };
        let find = |key: &str| entries.iter().find(|(other, _)| other == key).map(|(_, value)| value);
        if let Some((key, _)) = entries.iter().find(|(key, _)| !["ref", "period", "mode"].contains(&&key[..]))
        {
            self.mistake(&format!("{path}.{key}"), "is not known");
        }
        if find("mode") != Some(&Json::Text("absolute".into())) {
            let what = "after a job that lasts longer than its period, a relative timer begins anew there; here releases stay where they were";
            self.approximated.insert(what.into());
        }
        match find("period") {
            Some(period) => self.us(&format!("{path}.period"), period),
            None => {
                self.mistake(path, "needs a period");
                None
            }
        }
    }

    fn scheduled(
        &mut self,
        (name, path): (&str, &str),
        own: &Entries,
        (pattern, delay): (Pattern, f64),
    ) -> Option<Thread> {
        let find = |key: &str| own.iter().find(|(other, _)| other == key).map(|(_, value)| value);
        let class = match find("policy") {
            Some(value) => self.class(&format!("{path}.policy"), value)?,
            None => self.default.unwrap_or(Class::Fair),
        };
        let usual = if matches!(class, Class::Fifo | Class::RoundRobin) { 10.0 } else { 0.0 };
        let priority = match find("priority") {
            Some(value) => self.number(&format!("{path}.priority"), value)?,
            None => usual,
        };
        let mut times = [None; 3];
        for (time, key) in times.iter_mut().zip(["dl-runtime", "dl-deadline", "dl-period"]) {
            if let Some(value) = find(key) {
                *time = Some(self.us(&format!("{path}.{key}"), value)?);
            }
        }
        if class != Class::Deadline && times.iter().any(Option::is_some) {
            self.ignored.insert(format!("{path}.dl-…, for it is not under SCHED_DEADLINE"));
            times = [None; 3];
        }
        let cores = match find("cpus") {
            Some(value) => Some(self.cpus(&format!("{path}.cpus"), value)?),
            None => None,
        };
        let jobs = self.jobs(path, (pattern, delay), times)?;
        let tickets = self.tickets(path, class, priority)?;
        Some(Thread { class, priority, task: Task { name: name.into(), cores, tickets, jobs } })
    }

    /// The jobs of a pattern; inside, none if it computes without end.
    #[expect(clippy::option_option, reason = "outside: whether it can be expressed")]
    fn jobs(
        &mut self,
        path: &str,
        (Pattern { run, wait }, delay): (Pattern, f64),
        [runtime, deadline, dl_period]: [Option<f64>; 3],
    ) -> Option<Option<Jobs>> {
        let period = match wait {
            Wait::Timer(period) => period,
            Wait::Sleep(time) => {
                let what = "run and sleep are a period of both together; there a job that is late moves those that follow";
                self.approximated.insert(what.into());
                run + time
            }
            Wait::Never if delay > 0.0 || runtime.is_some() => {
                let what = "a client without sleep or timer computes from the beginning without end: it has no delay and no dl-runtime";
                self.mistake(path, what);
                return None;
            }
            Wait::Never => return Some(None),
        };
        if run < 1.0 || run > period {
            self.mistake(
                path,
                format!("it must run for 1 us at least, and up to its period (got {run} of {period} us)"),
            );
            return None;
        }
        let dl_period = dl_period.or(runtime).filter(|time| *time > 0.0);
        let differs = dl_period.is_some_and(|dl_period| dl_period != period);
        if differs || runtime.is_some_and(|runtime| runtime < run) {
            let what = format!(
                "a scenario has one period for each client, and budgets that suffice: make dl-period {period}, and dl-runtime at least {run}"
            );
            self.mistake(path, what);
            return None;
        }
        let deadline = deadline.filter(|time| *time > 0.0).unwrap_or(period);
        if deadline > period || deadline < runtime.unwrap_or(run) {
            self.mistake(
                path,
                format!("dl-deadline must be from the runtime to the period (got {deadline} us)"),
            );
            return None;
        }
        let [work, period, deadline, offset] = [run, period, deadline, delay].map(whole_us);
        let budget = runtime.and_then(whole_us);
        Some(Some(Jobs { work: work?, budget, period: period?, deadline: deadline?, offset: offset? }))
    }

    fn cpus(&mut self, path: &str, value: &Json) -> Option<Vec<u32>> {
        let core = |value: &Json| match value {
            Json::Number(core) if (0.0..8.0).contains(core) && core.fract() == 0.0 => Some(*core as u32),
            _ => None,
        };
        let cores: Option<Vec<u32>> = match value {
            Json::List(all) if !all.is_empty() => all.iter().map(core).collect(),
            _ => None,
        };
        if cores.is_none() {
            self.mistake(path, "must be a list of cores, from 0 to 7");
        }
        cores
    }

    /// Linux's weight of a nice value: 1.25 times less for each step (`kernel/sched/core.c`, sched_prio_to_weight).
    fn tickets(&mut self, path: &str, class: Class, priority: f64) -> Option<u32> {
        let path = format!("{path}.priority");
        match class {
            Class::Fair if (-20.0..=19.0).contains(&priority) => {
                if priority != 0.0 {
                    self.approximated.insert("tickets are 1024 / 1.25^priority, for Linux's weights".into());
                }
                Some((1024.0 / 1.25f64.powf(priority)).round() as u32)
            }
            Class::Idle => Some(3),
            Class::Fifo | Class::RoundRobin if (1.0..=99.0).contains(&priority) => Some(1),
            Class::Deadline => Some(1),
            Class::Fair => {
                self.mistake(&path, "must be from -20 to 19 under SCHED_OTHER");
                None
            }
            Class::Fifo | Class::RoundRobin => {
                self.mistake(&path, "must be from 1 to 99 under SCHED_FIFO and SCHED_RR");
                None
            }
        }
    }

    /// The policy that stands for the threads' classes.
    fn policy(&mut self, threads: &[Thread], wished: Option<Policy>) -> Option<Policy> {
        if let Some(policy) = wished {
            self.approximated.insert(format!("the policy is {} by --policy", policy.word()));
        }
        policy(wished, own(threads)).map_err(|why| self.mistake("tasks", why)).ok()
    }
}

fn own(threads: &[Thread]) -> Result<Policy, String> {
    let is = |classes: &[Class]| threads.iter().all(|thread| classes.contains(&thread.class));
    let same = threads.windows(2).all(|pair| pair[0].priority == pair[1].priority);
    // Who has no deadline comes after all that have one, there and here.
    let rest = threads.iter().filter(|thread| thread.class != Class::Deadline);
    let behind = rest.clone().all(|thread| thread.class <= Class::Idle && thread.task.jobs.is_none());
    match () {
        () if is(&[Class::Fair, Class::Idle]) => Ok(Policy::Stride),
        () if rest.count() < threads.len() && behind => Ok(Policy::Edf),
        () if is(&[Class::Fifo]) && same => Ok(Policy::Fifo),
        () if is(&[Class::RoundRobin]) && same => Ok(Policy::RoundRobin),
        () if is(&[Class::Fifo]) && by_period(threads) => Ok(Policy::RateMonotonic),
        () => Err("no one policy stands for these classes and priorities: only SCHED_OTHER; SCHED_DEADLINE, beside \
            others that never wait; SCHED_FIFO of one priority, or the higher the shorter the period; SCHED_RR of one priority. Say \
            which policy, with --policy"
            .into()),
    }
}

/// Whether a higher priority is a shorter period, and the same the same.
fn by_period(threads: &[Thread]) -> bool {
    let key = |thread: &Thread| Some((thread.priority, thread.task.jobs?.period));
    let Some(keys) = threads.iter().map(key).collect::<Option<Vec<_>>>() else { return false };
    let fits = |one: &(f64, u32), other: &(f64, u32)| other.0.total_cmp(&one.0) == one.1.cmp(&other.1);
    keys.iter().all(|one| keys.iter().all(|other| fits(one, other)))
}

/// The time of a round of a thread without phases, if it has a timer.
fn round(entries: &Entries) -> Option<f64> {
    let timer = entries.iter().find(|(key, _)| key.starts_with("timer"));
    let Json::Object(timer) = &timer?.1 else { return None };
    match timer.iter().find(|(key, _)| key == "period")?.1 {
        Json::Number(period) => Some(period),
        _ => None,
    }
}

fn instance(thread: &Thread, number: u32, of: f64) -> Thread {
    let name = if of > 1.0 { format!("{}-{number}", thread.task.name) } else { thread.task.name.clone() };
    Thread { task: Task { name, ..thread.task.clone() }, ..*thread }
}

//! JSON files of rt-app (its `doc/tutorial.txt`): threads that run, and sleep or wait for a timer, in a loop. Refused are threads
//! that wait for one another, whose phases differ, that end, or that change how they are scheduled; and classes of scheduling side by
//! side that no one policy stands for.

mod class;
mod properties;

use super::json::Json;
use super::render::policy;
use super::{Mistakes, Set, Wishes, whole_us};
use class::{CLASSES, Class, Thread};
use libos_core::scenario::Policy;
use std::collections::BTreeSet;

/// Keys of the global object that have no meaning here.
const GLOBAL: [&str; 11] = [
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
];
/// Keys of threads and phases that have none.
const ANYWHERE: [&str; 3] = ["util_min", "util_max", "membind_nodes"];
/// Properties that a phase may have in place of its thread.
const PROPERTIES: [&str; 6] = ["policy", "priority", "dl-runtime", "dl-period", "dl-deadline", "cpus"];
/// What threads do, as far as a client can.
const EVENTS: [&str; 4] = ["run", "runtime", "sleep", "timer"];
/// Longest time that a scenario takes, in microseconds.
const LONGEST_US: f64 = 3.6e9;

type Entries = [(String, Json)];

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

/// A thread's entries.
#[derive(Default)]
struct Parts {
    /// How many there are of it.
    instances: f64,
    /// Microseconds before it begins.
    delay: f64,
    /// What holds in every phase that does not say otherwise.
    own: Vec<(String, Json)>,
    phases: Vec<(String, Json)>,
}

#[derive(Default)]
struct Reader {
    mistakes: Mistakes,
    approximated: BTreeSet<String>,
    ignored: BTreeSet<String>,
    default: Option<Class>,
    /// How many microseconds the run lasts.
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
        self.once("", entries);
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
                ("tasks", Json::Object(threads)) => tasks = Some(threads),
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
        self.once("tasks.", tasks);
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

    /// Complains of keys that stand twice, of which only events may: a later one would take an earlier one's place.
    fn once(&mut self, path: &str, entries: &Entries) {
        for (place, (key, _)) in entries.iter().enumerate() {
            if !EVENTS.contains(&event(key)) && entries[..place].iter().any(|(other, _)| other == key) {
                self.mistake(&format!("{path}{key}"), "stands twice");
            }
        }
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
        self.once("global.", entries);
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
        let parts = self.parts(&path, entries);
        let phases = parts.phases.iter();
        let kinds: Vec<_> =
            phases.filter_map(|(name, value)| self.phase((&path, name), value, &parts.own)).collect();
        let Some(((pattern, own), others)) = kinds.split_first() else { return Vec::new() };
        if others.iter().any(|(other, properties)| other != pattern || properties != own) {
            let what = "its phases differ, and a client does the same all the time: make a file of each, or a mean of all";
            self.mistake(&format!("{path}.phases"), what);
        }
        let thread = self.scheduled((name, &path), own, (*pattern, parts.delay));
        if parts.instances == 0.0 {
            self.ignored.insert(format!("{path}: of it there is no instance"));
        } else if !(1.0..=256.0).contains(&parts.instances) {
            self.mistake(&format!("{path}.instance"), "must be from 0 to 256");
        }
        let Some(thread) = thread.filter(|_| self.mistakes.len() == before) else { return Vec::new() };
        let number = parts.instances as u32;
        (0..number).map(|which| class::instance(&thread, which, number)).collect()
    }

    /// A thread's entries, each where it belongs.
    fn parts(&mut self, path: &str, entries: &Entries) -> Parts {
        self.once(&format!("{path}."), entries);
        let mut parts = Parts { instances: 1.0, ..Parts::default() };
        let mut events = Vec::new();
        for (key, value) in entries {
            let at = format!("{path}.{key}");
            match (&key[..], value) {
                ("instance", _) => parts.instances = self.number(&at, value).unwrap_or(1.0),
                ("delay", _) => parts.delay = self.us(&at, value).unwrap_or(0.0),
                ("loop", _) => self.endless(&at, value, entries),
                ("phases", Json::Object(all)) => parts.phases.clone_from(all),
                ("phases", _) => self.mistake(&at, "must be an object"),
                (key, _) if PROPERTIES.contains(&key) => parts.own.push((key.to_string(), value.clone())),
                _ => events.push((key.clone(), value.clone())),
            }
        }
        if parts.phases.is_empty() {
            parts.phases.push((String::new(), Json::Object(events)));
        } else if let Some((key, _)) = events.first() {
            self.mistake(&format!("{path}.{key}"), "must be in a phase, where there are phases");
        }
        self.once(&format!("{path}.phases."), &parts.phases);
        parts
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
        if !name.is_empty() {
            self.once(&format!("{path}."), entries);
        }
        let (mut pattern, mut properties) = (Pattern::default(), own.to_vec());
        for (key, value) in entries {
            let at = format!("{path}.{key}");
            match event(key) {
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
                _ => self.mistake(
                    &at,
                    "cannot be expressed: clients wait for time, or for a lock at the beginning of a job",
                ),
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

    /// The policy that stands for the threads' classes.
    fn policy(&mut self, threads: &[Thread], wished: Option<Policy>) -> Option<Policy> {
        if let Some(policy) = wished {
            self.approximated.insert(format!("the policy is {} by --policy", policy.word()));
        }
        policy(wished, class::policy(threads)).map_err(|why| self.mistake("tasks", why)).ok()
    }
}

/// An event's name without the number that makes its key another.
fn event(key: &str) -> &str {
    key.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_')
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

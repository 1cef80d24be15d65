//! How a thread is scheduled and what it does, as a client with jobs; or why no client does that. Not here: the file's form.

use super::super::{Jobs, Task, whole_us};
use super::class::{self, Class, Thread};
use super::{Entries, Json, Pattern, Reader, Wait};

impl Reader {
    /// A thread that does this, after a delay, with these properties.
    pub(super) fn scheduled(
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
        let tickets = class::tickets(class, priority);
        let tickets = tickets.map_err(|why| self.mistake(&format!("{path}.priority"), why)).ok()?;
        if class == Class::Fair && priority != 0.0 {
            self.approximated.insert("tickets are 1024 / 1.25^priority, for Linux's weights".into());
        }
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
}

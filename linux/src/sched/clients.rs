//! The plan, and a process for each client in it.

use crate::files::{self, Text};
use crate::{shared, work};
use core::slice::Iter;
use linux_guest::calls::{self, For, Process};
use linux_guest::plan::{Class, Client, FILE, Plan};
use linux_guest::region::{Frames, PAGE, Region, Sharing};
use linux_guest::report;
use linux_raw_sys::general as linux;

/// Words of a client's record before its jobs: its process, jobs begun.
pub const HEAD: usize = 2;
/// Words of a job's record: its release, its end or 0, its CPU time.
pub const JOB: usize = 3;

/// The plan's clients, still as words.
pub struct Clients {
    plan: Plan,
    words: &'static [u64],
}

/// A client, where its record is, and its jobs' words.
#[derive(Clone, Copy)]
pub struct Planned {
    /// Its number.
    pub number: usize,
    /// What it is.
    pub client: Client,
    /// Its record's first word.
    pub record: usize,
    /// Its jobs, as words.
    pub jobs: &'static [u64],
}

impl Clients {
    /// Reads the plan's file.
    pub fn read() -> Self {
        let file = files::open(FILE, For::Reading);
        let bytes = calls::length(file);
        let region = Region::place(1, bytes.div_ceil(PAGE).max(1));
        region.map(Sharing::Private, Frames::AtOnce).must();
        // SAFETY: The region is mapped for ever, and so far there is no other reference into it.
        let contents = unsafe { core::slice::from_raw_parts_mut(region.start() as *mut u8, bytes) };
        if calls::read(file, contents) != Ok(bytes) {
            report::wrong("the plan could not be read");
        }
        // SAFETY: As above; the bytes are not used any more, and a page is aligned for words.
        let words =
            unsafe { core::slice::from_raw_parts(region.start() as *const u64, bytes / size_of::<u64>()) };
        let mut words = words.iter();
        match Plan::decode(&mut words.by_ref().copied()) {
            Some(plan) => Self { plan, words: words.as_slice() },
            None => report::wrong("the plan is of another version: build the program and the tool together"),
        }
    }

    /// What comes before the clients.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Words of all records.
    pub fn records(&self) -> usize {
        self.plan.clients as usize * HEAD + self.plan.jobs as usize * JOB
    }

    /// Every client.
    pub fn all(&self) -> impl Iterator<Item = Planned> {
        let (mut words, mut record) = (self.words.iter(), 0);
        (0..self.plan.clients as usize).map(move |number| {
            let planned = planned(number, record, &mut words);
            record += HEAD + planned.client.jobs as usize * JOB;
            planned
        })
    }

    /// Makes a process for each and waits until all are set up.
    pub fn start(&self) {
        for planned in self.all() {
            let group = Text::new(format_args!("/cgroup/{}", planned.number));
            calls::make_directory(group.path());
            let weight = Text::new(format_args!("/cgroup/{}/cpu.weight", planned.number));
            files::set(weight.path(), format_args!("{}", planned.client.weight));
            match calls::fork() {
                None => run(planned, self.plan.duration),
                Some(process) => shared::record(planned.record)
                    .store(process.0 as u64, core::sync::atomic::Ordering::Relaxed),
            }
        }
        shared::wait_for(self.plan.clients);
    }

    /// Waits until all have ended.
    pub fn join(&self) {
        for planned in self.all() {
            let process = shared::record(planned.record).load(core::sync::atomic::Ordering::Relaxed);
            calls::wait4(Process(process as usize)).must();
        }
    }
}

fn planned(number: usize, record: usize, words: &mut Iter<'static, u64>) -> Planned {
    let Some(client) = Client::decode(&mut words.by_ref().copied()) else {
        report::wrong("the plan is cut short");
    };
    let Some((jobs, rest)) = words.as_slice().split_at_checked(client.jobs as usize * JOB) else {
        report::wrong("the plan is cut short");
    };
    *words = rest.iter();
    Planned { number, client, record, jobs }
}

/// What the process of a client does from its beginning to its end.
fn run(planned: Planned, duration: u64) -> ! {
    let group = Text::new(format_args!("/cgroup/{}/cgroup.procs", planned.number));
    files::set(group.path(), format_args!("0"));
    calls::no_timer_slack();
    calls::stay_on(planned.client.core);
    match planned.client.class {
        Class::Fair => {}
        Class::Fifo { priority } => calls::set_scheduling(linux::SCHED_FIFO, priority, [0; 3]),
        Class::Deadline { runtime, deadline, period } => {
            calls::set_scheduling(linux::SCHED_DEADLINE, 0, [runtime, deadline, period]);
        }
    }
    let meter = work::Meter::calibrated();
    let begin = shared::wait_for_start();
    calls::sleep_until(begin);
    work::work(&planned, &meter, [begin, begin + duration]);
    // Whoever has nothing left to do does not disturb the others by its end.
    calls::sleep_until(begin + duration);
    calls::exit()
}

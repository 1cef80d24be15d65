//! An experiment's scenario: what is the same in all of them is said once here.

use crate::scenario::{ADMISSIONS, DONATIONS, SPACINGS};
use libos_core::scenario::{Admission, Donation, Policy, Spacing};
use std::fmt;

/// Clients that are named one by one in words.
const NAMED: usize = 6;

/// One libOS on every core, and its clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its policy.
    pub policy: Policy,
    /// Cores.
    pub cores: u32,
    /// Length of a slot.
    pub quantum_us: u32,
    /// Slots of each core in a revolution.
    pub slots: u32,
    /// Slots that the broker keeps: evenly spread, the first among them. The libOS has the others.
    pub kept: u32,
    /// Slots that the libOS has; `None`: all that the broker does not keep.
    pub want: Option<u32>,
    /// Where they are.
    pub spacing: Spacing,
    /// How long it runs.
    pub duration_ms: u32,
    /// Whether deadlines are guaranteed.
    pub admission: Admission,
    /// Whether who waits for another lends it what it is scheduled by.
    pub donation: Donation,
    /// Seed of all chance.
    pub seed: u64,
    /// Currencies, each funded by so many tickets of the base.
    pub currencies: Vec<(&'static str, u32)>,
    /// Whom it schedules.
    pub clients: Vec<Client>,
    /// How critical they are, by place; those beyond its end: not at all.
    pub criticalities: Vec<u8>,
    /// Who takes slots from it for a while; `None`: nobody.
    pub rival: Option<Rival>,
}

/// Its name.
pub const RIVAL: &str = "rival";

/// A libOS that comes, outbids the one that is measured, and goes. Times in milliseconds after the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rival {
    /// Slots that it wants.
    pub want: u32,
    /// Slots that it cannot take.
    pub leaves: u32,
    /// When it comes.
    pub arrives_ms: u32,
    /// When it goes.
    pub leaves_ms: u32,
}

/// A client.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Its tickets.
    pub tickets: u32,
    /// Their currency; `None`: the base.
    pub currency: Option<&'static str>,
    /// When it joins; 0: as soon as it is made.
    pub joins_ms: u32,
    /// Its core, unless its policy is one that all cores share.
    pub core: u32,
    /// What it does.
    pub work: Work,
    /// What it has together with others for that.
    pub together: Together,
}

/// What clients have together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Together {
    /// Nothing.
    Nothing,
    /// A lock, for the first part of each job.
    Lock {
        /// CPU time of that.
        held_us: u32,
    },
    /// A server that does their work.
    Server,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Work {
    /// It computes without end.
    Endless,
    /// A Monte-Carlo integration that gives itself tickets by its error.
    MonteCarlo,
    /// A job each period.
    Periodic {
        /// What a job uses.
        work_us: u32,
        /// What it may use.
        budget_us: u32,
        /// From a release to the next.
        period_us: u32,
        /// From a release to the deadline.
        deadline_us: u32,
        /// The first release.
        offset_us: u32,
    },
    /// Always more jobs than it can do; after each it gives its turn away.
    Backlog {
        /// What a job uses.
        work_us: u32,
        /// From a release to the deadline, if there is one.
        deadline_us: Option<u32>,
    },
    /// A job some time after the one before is done.
    Interactive {
        /// What a job uses.
        work_us: u32,
        /// That time, in the mean.
        think_us: u32,
    },
}

impl Client {
    /// Computes without end.
    pub fn endless(name: &str, tickets: u32) -> Self {
        let (name, work, together) = (name.into(), Work::Endless, Together::Nothing);
        Self { name, tickets, currency: None, joins_ms: 0, core: 0, work, together }
    }

    /// A job each period, due when the next is released, that uses `work` and may use as much as there is room for.
    pub fn periodic(name: &str, work_us: u32, period_us: u32) -> Self {
        let budget_us = (work_us + work_us / 20 + 100).min(period_us);
        let work = Work::Periodic { work_us, budget_us, period_us, deadline_us: period_us, offset_us: 0 };
        Self { work, ..Self::endless(name, 1) }
    }
}

impl Setting {
    /// One core, nearly all of it the libOS's, in slots of a millisecond.
    pub fn core(policy: Policy, duration_ms: u32, clients: Vec<Client>) -> Self {
        let (admission, seed) = (Admission::Off, 1);
        Self {
            policy,
            cores: 1,
            quantum_us: 1000,
            slots: 100,
            kept: 2,
            want: None,
            spacing: Spacing::Equidistant,
            duration_ms,
            admission,
            donation: Donation::Possible,
            seed,
            currencies: Vec::new(),
            clients,
            criticalities: Vec::new(),
            rival: None,
        }
    }

    /// On one core that has every other slot, of this length; clients must be admitted.
    pub fn every_other_slot(policy: Policy, quantum_us: u32, duration_ms: u32, clients: Vec<Client>) -> Self {
        let admission = Admission::Required;
        Self { quantum_us, slots: 4, admission, ..Self::core(policy, duration_ms, clients) }
    }

    /// Slots of a core that the libOS has.
    fn owned(&self) -> u32 {
        self.want.unwrap_or(self.slots - self.kept)
    }

    /// The same as a scenario's file.
    pub fn scenario(&self, name: &str, source: &str) -> String {
        let admission =
            ADMISSIONS.iter().find(|(_, known)| *known == self.admission).map_or("", |(word, _)| word);
        let policy = self.policy.word();
        let want = self.owned();
        let spacing = SPACINGS.iter().find(|(_, known)| *known == self.spacing).map_or("", |(word, _)| word);
        let Self { cores, quantum_us, slots, kept, duration_ms, seed, .. } = self;
        let mode = if self.rival.is_some() { "market" } else { "static" };
        let minimum = self.rival.map_or(want, |rival| rival.leaves);
        let mut text = format!(
            "# {source}\n\nname = \"{name}\"\nduration_ms = {duration_ms}\ncores = {cores}\nquantum_us = {quantum_us}\n\
             slots = {slots}\nseed = {seed}\n\n[broker]\nmode = \"{mode}\"\nslots = {kept}\npatience_ms = 200\n\n\
             [[libos]]\nname = \"all\"\npolicy = \"{policy}\"\nadmission = \"{admission}\"\nincome = 1\nwant = {want}\nminimum = {minimum}\nspacing = \"{spacing}\"\n{}",
            DONATIONS
                .iter()
                .find(|(_, known)| *known == self.donation)
                .map_or(String::new(), |(word, _)| format!("donation = \"{word}\"\n"))
        );
        for (name, tickets) in &self.currencies {
            text += &format!("\n[[libos.currencies]]\nname = \"{name}\"\ntickets = {tickets}\n");
        }
        for (place, client) in self.clients.iter().enumerate() {
            let Client { name, tickets, currency, joins_ms, core, work, together } = client;
            let program = if *work == Work::MonteCarlo { "monte-carlo" } else { "spin" };
            text += &format!(
                "\n[[libos.clients]]\nname = \"{name}\"\nprogram = \"{program}\"\ntickets = {tickets}\nframes = 128\njoins_ms = {joins_ms}\n"
            );
            text += &currency.map(|name| format!("currency = \"{name}\"\n")).unwrap_or_default();
            if !self.policy.is_global() {
                text += &format!("core = {core}\n");
            }
            let criticality = self.criticalities.get(place).filter(|level| **level > 0);
            text += &criticality.map_or_else(String::new, |level| format!("criticality = {level}\n"));
            text += &match work {
                Work::Endless => String::new(),
                Work::MonteCarlo => "inflation = \"own\"\n".into(),
                Work::Periodic { work_us, budget_us, period_us, deadline_us, offset_us } => format!(
                    "period_us = {period_us}\noffset_us = {offset_us}\nbudget_us = {budget_us}\nwork_us = {work_us}\n\
                     deadline_us = {deadline_us}\n"
                ),
                Work::Interactive { work_us, think_us } => format!(
                    "arrivals = \"interactive\"\nthink_us = {think_us}\nbudget_us = {work_us}\nwork_us = {work_us}\n"
                ),
                Work::Backlog { work_us, deadline_us } => {
                    let deadline = deadline_us.map(|time| format!("deadline_us = {time}\n"));
                    format!(
                        "arrivals = \"bursty\"\nburst = 100\ngap_us = 10000\nbudget_us = {work_us}\nwork_us = {work_us}\n{}",
                        deadline.unwrap_or_default()
                    )
                }
            };
            text += &match together {
                Together::Nothing => String::new(),
                Together::Lock { held_us } => format!("lock = \"lock\"\nheld_us = {held_us}\n"),
                Together::Server => "server = \"server\"\n".into(),
            };
        }
        if let Some(Rival { want, arrives_ms, leaves_ms, .. }) = self.rival {
            text += &format!(
                "\n[[libos]]\nname = \"{RIVAL}\"\npolicy = \"stride\"\nincome = 10000\nwant = {want}\narrives_ms = {arrives_ms}\n\
                 leaves_ms = {leaves_ms}\n\n[[libos.clients]]\nname = \"busy\"\nprogram = \"spin\"\nframes = 128\n"
            );
        }
        text
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, quantum_us, slots, duration_ms, seed, .. } = self;
        write!(
            f,
            "{}, {cores} core(s), {} of {slots} slots of {quantum_us} us",
            self.policy.word(),
            self.owned()
        )?;
        if self.spacing == Spacing::Contiguous {
            write!(f, ", one after the other")?;
        }
        if self.donation == Donation::Off {
            write!(f, ", nothing is lent")?;
        }
        write!(f, ", {duration_ms} ms, seed {seed}:")?;
        for (name, tickets) in &self.currencies {
            write!(f, " currency {name} of {tickets} ticket(s);")?;
        }
        for (place, Client { name, tickets, currency, joins_ms, core, work, together }) in
            self.clients.iter().take(NAMED).enumerate()
        {
            write!(f, "{}{name}", if place == 0 { " " } else { "; " })?;
            match work {
                Work::Endless => write!(f, " {tickets} ticket(s)")?,
                Work::MonteCarlo => write!(f, " a Monte-Carlo integration")?,
                Work::Periodic { work_us, budget_us, period_us, deadline_us, .. } => {
                    write!(
                        f,
                        " {work_us} us every {period_us} us, budget {budget_us} us, due within {deadline_us} us"
                    )?;
                }
                Work::Interactive { work_us, think_us } => {
                    write!(f, " {tickets} ticket(s), {work_us} us after {think_us} us in the mean")?;
                }
                Work::Backlog { work_us, deadline_us } => {
                    write!(f, " {tickets} ticket(s), jobs of {work_us} us without end")?;
                    if let Some(deadline_us) = deadline_us {
                        write!(f, ", due within {deadline_us} us")?;
                    }
                }
            }
            if let Some(currency) = currency {
                write!(f, " of {currency}")?;
            }
            if *joins_ms > 0 {
                write!(f, " from {joins_ms} ms on")?;
            }
            match together {
                Together::Nothing => {}
                Together::Lock { held_us } => write!(f, ", the first {held_us} us of each under the lock")?,
                Together::Server => write!(f, ", by the server")?,
            }
            if self.cores > 1 && !self.policy.is_global() {
                write!(f, ", core {core}")?;
            }
        }
        if let more @ 1.. = self.clients.len().saturating_sub(NAMED) {
            write!(f, "; and {more} more like the last")?;
        }
        let Some(Rival { leaves, arrives_ms, leaves_ms, .. }) = self.rival else { return Ok(()) };
        write!(
            f,
            "; criticality {:?}; all but {leaves} slots taken from {arrives_ms} to {leaves_ms} ms",
            self.criticalities
        )
    }
}

//! An experiment's scenario: what is the same in all of them is said once here.

use crate::scenario::{ADMISSIONS, SPACINGS};
use libos_core::scenario::{Admission, Policy, Spacing};
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
    /// Seed of all chance.
    pub seed: u64,
    /// Currencies, each funded by so many tickets of the base.
    pub currencies: Vec<(&'static str, u32)>,
    /// Whom it schedules.
    pub clients: Vec<Client>,
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
    /// Its core.
    pub core: u32,
    /// What it does.
    pub work: Work,
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
}

impl Client {
    /// Computes without end.
    pub fn endless(name: &str, tickets: u32) -> Self {
        Self { name: name.into(), tickets, currency: None, joins_ms: 0, core: 0, work: Work::Endless }
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
            seed,
            currencies: Vec::new(),
            clients,
        }
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
        let mut text = format!(
            "# {source}\n\nname = \"{name}\"\nduration_ms = {duration_ms}\ncores = {cores}\nquantum_us = {quantum_us}\n\
             slots = {slots}\nseed = {seed}\n\n[broker]\nmode = \"static\"\nslots = {kept}\n\n\
             [[libos]]\nname = \"all\"\npolicy = \"{policy}\"\nadmission = \"{admission}\"\nwant = {want}\nminimum = {want}\nspacing = \"{spacing}\"\n"
        );
        for (name, tickets) in &self.currencies {
            text += &format!("\n[[libos.currencies]]\nname = \"{name}\"\ntickets = {tickets}\n");
        }
        for Client { name, tickets, currency, joins_ms, core, work } in &self.clients {
            let program = if *work == Work::MonteCarlo { "monte-carlo" } else { "spin" };
            text += &format!(
                "\n[[libos.clients]]\nname = \"{name}\"\nprogram = \"{program}\"\ntickets = {tickets}\ncore = {core}\nframes = 128\njoins_ms = {joins_ms}\n"
            );
            text += &currency.map(|name| format!("currency = \"{name}\"\n")).unwrap_or_default();
            text += &match work {
                Work::Endless => String::new(),
                Work::MonteCarlo => "inflation = \"own\"\n".into(),
                Work::Periodic { work_us, budget_us, period_us, deadline_us, offset_us } => format!(
                    "period_us = {period_us}\noffset_us = {offset_us}\nbudget_us = {budget_us}\nwork_us = {work_us}\n\
                     deadline_us = {deadline_us}\n"
                ),
                Work::Backlog { work_us, deadline_us } => {
                    let deadline = deadline_us.map(|time| format!("deadline_us = {time}\n"));
                    format!(
                        "arrivals = \"bursty\"\nburst = 100\ngap_us = 10000\nbudget_us = {work_us}\nwork_us = {work_us}\n{}",
                        deadline.unwrap_or_default()
                    )
                }
            };
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
        write!(f, ", {duration_ms} ms, seed {seed}:")?;
        for (name, tickets) in &self.currencies {
            write!(f, " currency {name} of {tickets} ticket(s);")?;
        }
        for (place, Client { name, tickets, currency, joins_ms, core, work }) in
            self.clients.iter().take(NAMED).enumerate()
        {
            write!(f, "{}{name}", if place == 0 { " " } else { "; " })?;
            match work {
                Work::Endless => write!(f, " {tickets} ticket(s)")?,
                Work::MonteCarlo => write!(f, " a Monte-Carlo integration")?,
                Work::Periodic { work_us, period_us, deadline_us, .. } => {
                    write!(f, " {work_us} us every {period_us} us, due within {deadline_us} us")?;
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
            if self.cores > 1 {
                write!(f, ", core {core}")?;
            }
        }
        match self.clients.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more like the last"),
        }
    }
}

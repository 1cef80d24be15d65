//! Who is guaranteed its deadlines as slots come and go, where not everybody can be: the most critical first.
//!
//! Vestal (RTSS 2007) gives tasks a *criticality*, and when there is less for all than was thought those of low criticality are dropped, so that
//! those of high criticality keep their deadlines (for the variants see Burns and Davis, ACM Computing Surveys 50(6), 2017). There the demand
//! grows; here it is the supply that shrinks. Who is *shed* is not served, and its jobs are dropped, until it is admitted again.
//!
//! Who is guaranteed follows from the supply alone: each in turn, the most critical first and of the same criticality who asked first, is
//! taken on if all before who were taken on and it itself are schedulable. So of one criticality the last that came is shed first; nobody is shed while
//! somebody less critical is kept in whose place it could be; and when the slots are back, the set is what it was.
//!
//! Pure. Not here: which slots there are, nor what becomes of a client's jobs.
#![forbid(unsafe_code)]

use crate::guarantee::Guarantees;
use alloc::vec::Vec;
use core::cmp::Reverse;
use libos_core::sched::{ClientId, Demand, Refusal, Tick};

/// The higher, the longer it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Criticality(pub u8);

/// Somebody who asks for a guarantee, or for a share of what others leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applicant {
    /// Who.
    pub client: ClientId,
    /// What it asks for.
    pub demand: Demand,
    /// How critical it is.
    pub criticality: Criticality,
}

/// What became of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has joined the policy.
    Admitted {
        /// Who.
        client: ClientId,
        /// With this demand: what it asked for, from the first release on that is still to come.
        demand: Demand,
        /// Jobs released before this time are to be dropped; `None` if there are none.
        resumes_at: Option<Tick>,
    },
    /// It has left the policy.
    Shed {
        /// Who.
        client: ClientId,
    },
    /// It is not admitted: for ever, unless for want of slots.
    Refused {
        /// Who.
        client: ClientId,
        /// Why.
        refusal: Refusal,
    },
}

/// How a client's guarantee fared so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// How critical it is.
    pub criticality: Criticality,
    /// Whether it has joined now; of one that has gone for good, whether it had then.
    pub is_admitted: bool,
    /// Whether it ever has.
    pub was_admitted: bool,
    /// How often it was shed.
    pub shed: u64,
    /// When it was last.
    pub shed_at: Option<Tick>,
    /// When it last came back.
    pub back_at: Option<Tick>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    applicant: Applicant,
    /// Its demand is one that nobody could meet.
    is_hopeless: bool,
    account: Account,
}

/// Everybody who asked.
#[derive(Clone, Debug)]
pub struct Roll {
    /// The most critical first, of the same criticality in the order in which they asked.
    places: Vec<Place>,
    /// How those fared who have gone for good.
    gone: Vec<(ClientId, Account)>,
    /// Nobody was asked yet.
    is_new: bool,
    /// Somebody is to be admitted when those who left delay nobody any more.
    is_unsettled: bool,
    /// Somebody was shed or admitted after the beginning.
    has_changed: bool,
}

impl Place {
    fn new(applicant: Applicant) -> Self {
        let account = Account { criticality: applicant.criticality, ..Account::default() };
        Self { applicant, is_hopeless: false, account }
    }

    fn is_periodic(&self) -> bool {
        matches!(self.applicant.demand, Demand::Periodic { .. })
    }
}

impl Roll {
    /// Nobody of these has joined.
    pub fn new(applicants: impl IntoIterator<Item = Applicant>) -> Self {
        let mut places: Vec<Place> = applicants.into_iter().map(Place::new).collect();
        places.sort_by_key(|place| Reverse(place.applicant.criticality));
        Self { places, gone: Vec::new(), is_new: true, is_unsettled: false, has_changed: false }
    }

    /// Somebody asks later than the others. What becomes of that [`Roll::redo`] says.
    pub fn add(&mut self, applicant: Applicant) {
        let is_before = |place: &Place| place.applicant.criticality >= applicant.criticality;
        let at = self.places.partition_point(is_before);
        self.places.insert(at, Place::new(applicant));
    }

    /// A client has left the policy for good. Whom there is room for now [`Roll::redo`] says.
    pub fn withdraw(&mut self, client: ClientId) {
        if let Some(at) = self.places.iter().position(|place| place.applicant.client == client) {
            let Place { account, .. } = self.places.remove(at);
            self.gone.push((client, account));
            self.has_changed = true;
        }
    }

    /// Whether of those with deadlines some are more critical than others.
    pub fn has_levels(&self) -> bool {
        let mut periodic = self.places.iter().filter(|place| place.is_periodic());
        let first = periodic.next().map(|place| place.applicant.criticality);
        periodic.next_back().is_some_and(|place| Some(place.applicant.criticality) < first)
    }

    /// Whether somebody is admitted who is less critical than another: when slots go, it can be shed.
    pub fn can_shed(&self) -> bool {
        let mut admitted =
            self.places.iter().filter(|place| place.is_periodic() && place.account.is_admitted);
        let first = admitted.next().map(|place| place.applicant.criticality);
        admitted.next_back().is_some_and(|place| Some(place.applicant.criticality) < first)
    }

    /// Whether those who were admitted at the beginning have stayed, and nobody else has come: and will, for nobody is less critical.
    pub fn is_steady(&self) -> bool {
        !self.has_changed && !self.has_levels()
    }

    /// Whether to call [`Roll::redo`] again though no slot has come or gone.
    pub fn is_unsettled(&self) -> bool {
        self.is_unsettled
    }

    /// How a client's guarantee fared; `None` if it did not ask.
    pub fn account(&self, client: ClientId) -> Option<Account> {
        let here = self.places.iter().map(|place| (place.applicant.client, place.account));
        here.chain(self.gone.iter().copied()).find(|(known, _)| *known == client).map(|(_, account)| account)
    }

    /// Sees to it that just those have joined who are guaranteed from the policy's present supply. Between turns only.
    pub fn redo<P: Guarantees>(&mut self, policy: &mut P, now: Tick) -> Vec<Change> {
        let is_first = core::mem::replace(&mut self.is_new, false);
        // At first the policy itself takes on who fits, one after the other.
        let guaranteed =
            if is_first { alloc::vec![true; self.places.len()] } else { self.guaranteed(policy) };
        let mut changes = Vec::new();
        for (place, _) in self.places.iter_mut().zip(&guaranteed).filter(|(_, guaranteed)| !**guaranteed) {
            if core::mem::replace(&mut place.account.is_admitted, false) {
                let client = place.applicant.client;
                policy.leave(client, now);
                place.account = Account { shed: place.account.shed + 1, shed_at: Some(now), ..place.account };
                changes.push(Change::Shed { client });
            }
        }
        let missing = |(place, guaranteed): &(&mut Place, bool)| *guaranteed && !place.account.is_admitted;
        let joining: Vec<_> = self.places.iter_mut().zip(guaranteed).filter(missing).collect();
        self.is_unsettled = !joining.is_empty() && policy.has_departed();
        if !self.is_unsettled {
            changes.extend(joining.into_iter().map(|(place, _)| place.join(policy, now)));
        }
        self.has_changed |= !is_first && !changes.is_empty();
        changes
    }

    /// Who is to be guaranteed, by place.
    fn guaranteed(&self, policy: &impl Guarantees) -> Vec<bool> {
        let admitted: Vec<bool> =
            self.places.iter().map(|place| !place.is_periodic() || place.account.is_admitted).collect();
        let is_all = self.places.iter().zip(&admitted).all(|(place, on)| *on || place.is_hopeless);
        let mut taken = Vec::new();
        if is_all {
            let demands = self.places.iter().zip(&admitted).filter(|(place, on)| **on && place.is_periodic());
            taken.extend(demands.map(|(place, _)| place.applicant.demand));
            if policy.carries(&taken) {
                return admitted;
            }
            taken.clear();
        }
        let is_carried = |place: &Place| {
            if !place.is_periodic() || place.is_hopeless {
                return !place.is_hopeless;
            }
            taken.push(place.applicant.demand);
            let is_carried = policy.carries(&taken);
            if !is_carried {
                taken.pop();
            }
            is_carried
        };
        self.places.iter().map(is_carried).collect()
    }
}

impl Place {
    /// It joins, if the policy takes it on.
    fn join(&mut self, policy: &mut impl Guarantees, now: Tick) -> Change {
        let client = self.applicant.client;
        let demand = from_now_on(self.applicant.demand, now);
        if let Err(refusal) = policy.join(client, demand, now) {
            self.is_hopeless = refusal != Refusal::NotSchedulable;
            return Change::Refused { client, refusal };
        }
        let resumes_at = match demand {
            // The job that it was shed in, or waited for, is still before it: the time of the first release is that one's.
            Demand::Periodic { first_release, period, .. } if self.account.was_admitted => {
                Some(first_release.saturating_add(period))
            }
            Demand::Periodic { first_release, .. } if demand != self.applicant.demand => Some(first_release),
            _ => None,
        };
        if self.account.was_admitted {
            self.account.back_at = Some(now);
        }
        (self.account.was_admitted, self.account.is_admitted) = (true, true);
        Change::Admitted { client, demand, resumes_at }
    }
}

/// The same demand without the releases that are past.
fn from_now_on(demand: Demand, now: Tick) -> Demand {
    match demand {
        Demand::Periodic { first_release, budget, period, deadline } => {
            let missed = now.since(first_release).0.div_ceil(period.0.max(1));
            let first_release = first_release.saturating_add(Tick(missed.saturating_mul(period.0)));
            Demand::Periodic { first_release, budget, period, deadline }
        }
        Demand::Share { .. } => demand,
    }
}

#[cfg(test)]
mod tests;

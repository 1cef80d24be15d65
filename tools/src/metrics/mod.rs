//! What a recording says of its schedulers and clients, in the units that people read. `docs/compare.md` defines each
//! figure. Pure functions: exact integers until the last division.
//!
//! * [`competition`]: who competes when, out of a scheduler's steps. [`shares`]: how far clients are from their shares.
//! * [`jobs`]: response, lateness, misses. [`latency`]: how long the ready wait. [`overhead`]: where slots' time went.
//! * [`bounds`]: what theory allows beside what was measured. [`order`]: quantiles.
//! * [`plots`]: the curves of a run, thinned out for a page.
//!
//! Not here: several runs and their statistics (`compare`).

pub mod bounds;
pub mod competition;
#[cfg(test)]
pub mod fixture;
pub mod guarantees;
pub mod jobs;
pub mod latency;
pub mod order;
pub mod overhead;
pub mod plots;
pub mod shares;

use crate::recording::{Recording, Scheduler, Source};
use libos_core::jobs::{DEMAND_TOLERANCE_US, is_wrong_demand, ticks};
use serde::{Deserialize, Serialize};

/// The figures of one scheduler: a libOS on one core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The libOS.
    pub libos: String,
    /// The core; `None` of all cores together, where they share a policy.
    pub core: Option<u32>,
    /// Its policy's word.
    pub policy: String,
    /// How well shares were kept; `None` if no two clients ever competed.
    pub shares: Option<shares::Shares>,
    /// The jobs of all its clients; `None` if they have none.
    pub jobs: Option<jobs::Jobs>,
    /// Wake-up latencies of all its clients; `None` if nobody ever waited.
    pub latency: Option<order::Distribution>,
    /// Where the time of its slots went.
    pub overhead: overhead::Overhead,
    /// CPU time that the periodic clients demand of what the slots supply, 1 being all of it; `None` without such.
    pub utilisation: Option<f64>,
    /// What theory says, and whether it held.
    pub bounds: Vec<bounds::Bound>,
    /// Its clients.
    pub clients: Vec<ClientMetrics>,
}

/// The figures of one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientMetrics {
    /// Its name.
    pub name: String,
    /// Its tickets.
    pub tickets: u32,
    /// CPU time that it was charged.
    pub ran_us: f64,
    /// CPU time that was its share while it competed; `None` if no two clients ever competed.
    pub entitled_us: Option<f64>,
    /// Turns that it was given.
    pub turns: u64,
    /// Turns on another core than its last one.
    pub migrations: u64,
    /// Its jobs.
    pub jobs: Option<jobs::Jobs>,
    /// Its wake-up latencies.
    pub latency: Option<order::Distribution>,
}

/// The figures of every scheduler of a run, in the recording's order.
pub fn measure(recording: &Recording) -> Vec<Metrics> {
    let all = 0..recording.schedulers.len();
    let sharing = all.map(|scheduler| (scheduler, recording.sharing(scheduler)));
    let first = sharing.filter(|(_, sharing)| !sharing.is_empty());
    first.map(|(scheduler, sharing)| one(recording, scheduler, &sharing)).collect()
}

/// A scheduler's figures, or those of all that share the policy of the first of them.
fn one(recording: &Recording, index: usize, sharing: &[usize]) -> Metrics {
    let scheduler = &recording.schedulers[index];
    let core = (sharing.len() == 1).then_some(scheduler.core);
    // A share is of a core's time.
    let shares = core.and_then(|_| shares::measure(recording, scheduler));
    let clients = scheduler.clients.iter().enumerate().map(|(number, client)| ClientMetrics {
        name: recording.clients[*client].name.clone(),
        tickets: recording.clients[*client].tickets,
        ran_us: recording.us(recording.turns_of(*client).map(|turn| turn.ran).sum()),
        entitled_us: shares.as_ref().and_then(|shares| shares.entitled_us.get(number).copied()),
        turns: recording.turns_of(*client).count() as u64,
        migrations: overhead::migrations(recording, *client),
        jobs: jobs::measure(recording, &[*client]),
        latency: latency::measure(recording, scheduler, Some(number)),
    });
    Metrics {
        libos: scheduler.libos.clone(),
        core,
        policy: policy_of(recording, scheduler).into(),
        jobs: jobs::measure(recording, &scheduler.clients),
        latency: latency::measure(recording, scheduler, None),
        overhead: overhead::measure(recording, sharing),
        utilisation: bounds::utilisation(recording, sharing),
        bounds: bounds::check(recording, index),
        clients: clients.collect(),
        shares,
    }
}

/// The word of a scheduler's policy.
impl Metrics {
    /// Whose they are: libOS and core.
    pub fn scheduler(&self) -> String {
        format!("{}/{}", self.libos, self.core_in_words())
    }

    /// The core, or that it is any.
    pub fn core_in_words(&self) -> String {
        self.core.map_or("any".into(), |core| core.to_string())
    }
}

fn policy_of(recording: &Recording, scheduler: &Scheduler) -> &'static str {
    match recording.source {
        Source::Linux(policy) => policy.word(),
        Source::Kernel | Source::Simulator => scheduler.policy.word(),
    }
}

/// By how much a job on Linux may be off instead of [`DEMAND_TOLERANCE_US`]: an interrupt that comes in its last microseconds
/// is in Linux's account of it, and what the interrupt sets off. The longest that was seen took 134 us.
const INTERRUPTED_US: u32 = 250;

/// Why no figures may be made of a run: records are missing, a policy did not have all of it, or a synthetic job did not use what it
/// declared.
pub fn unfit(recording: &Recording) -> Option<String> {
    if recording.lost > 0 {
        return Some(format!("{} records of the trace are lost", recording.lost));
    }
    if let Some(scheduler) = recording.swapped() {
        return Some(format!(
            "libOS {} changed its policy under way: a policy's figures are of a whole run",
            scheduler.libos
        ));
    }
    let done = || recording.jobs.iter().filter(|job| job.completed.is_some() && job.demand > 0);
    let wrong = |what: String, used: u64, declared: u64, tolerance_us: u32| {
        let tolerance = ticks(tolerance_us, recording.frequency);
        let (used_us, declared_us) = (recording.us(used), recording.us(declared));
        is_wrong_demand(used, declared, tolerance)
            .then(|| format!("{what} used {used_us:.3} us and had declared {declared_us:.3} us"))
    };
    let single = |tolerance_us| {
        done().find_map(|job| {
            let name = &recording.clients[job.client].name;
            wrong(format!("job {} of {name}", job.number), job.used, job.demand, tolerance_us)
        })
    };
    // Who was interrupted makes up for it with its next job: together they are as exact as anywhere.
    let together = |client: usize| {
        let mine = || done().filter(|job| job.client == client);
        let (used, declared) = (mine().map(|job| job.used).sum(), mine().map(|job| job.demand).sum());
        wrong(format!("all jobs of {}", recording.clients[client].name), used, declared, INTERRUPTED_US)
    };
    match recording.source {
        Source::Kernel | Source::Simulator => single(DEMAND_TOLERANCE_US),
        Source::Linux(_) => {
            single(INTERRUPTED_US).or_else(|| (0..recording.clients.len()).find_map(together))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::LinuxPolicy;

    #[test]
    fn a_run_of_two_clients_has_figures_of_both() {
        let metrics = measure(&fixture::alternating(10));
        assert_eq!(metrics.len(), 1);
        assert_eq!(metrics[0].policy, "stride");
        let ran: Vec<_> = metrics[0].clients.iter().map(|client| client.ran_us).collect();
        assert_eq!(ran, [5000.0, 5000.0]);
        assert_eq!(metrics[0].clients[0].entitled_us, Some(5000.0));
    }

    #[test]
    fn a_job_that_used_more_than_it_declared_makes_the_run_unfit() {
        let mut recording = fixture::periodic();
        assert_eq!(unfit(&recording), None);
        // Five microseconds are tolerated; here that is five ticks.
        recording.jobs[0].used += 5;
        assert_eq!(unfit(&recording), None);
        recording.jobs[0].used += 1;
        let why = unfit(&recording).unwrap();
        assert!(why.contains("job 0 of a"), "{why}");
    }

    #[test]
    fn on_linux_a_job_may_be_interrupted_at_its_end_but_not_every_one() {
        let mut recording = Recording { source: Source::Linux(LinuxPolicy::Fifo), ..fixture::periodic() };
        recording.jobs.iter_mut().for_each(|job| (job.demand, job.used) = (5000, 5000));
        recording.jobs[0].used += 250;
        assert_eq!(unfit(&recording), None);
        recording.jobs[0].used += 1;
        assert!(unfit(&recording).unwrap().contains("job 0 of a"));
        // Each is within what an interrupt may take; five of them are not.
        recording.jobs.iter_mut().for_each(|job| job.used = 5100);
        assert!(unfit(&recording).unwrap().contains("all jobs of a used 25500"));
    }

    #[test]
    fn cores_that_share_a_policy_have_figures_together() {
        let recording = crate::sim::tests::global();
        let [metrics] = &measure(&recording)[..] else { panic!("one row") };
        assert_eq!((metrics.scheduler().as_str(), metrics.shares.as_ref()), ("one/any", None));
        let split = metrics.overhead.split.unwrap();
        let slices = recording.slices.iter().filter(|slice| slice.owner.is_some_and(|owner| owner < 2));
        assert_eq!(split.slices, slices.count() as u64);
        let sum = metrics.overhead.clients_us + split.own_us + split.idle_us + split.kernel_us;
        assert!((sum - split.slices_us).abs() < 1.0 && split.idle_us > 0.0, "{sum} of {split:?}");
        // Where nothing costs anything, it is the clients' or nobody's.
        assert!(split.kernel_us < 1.0, "{split:?}");
        let ran: f64 = metrics.clients.iter().map(|client| client.ran_us).sum();
        assert!((ran - metrics.overhead.clients_us).abs() < 1.0);
        assert!(metrics.clients.iter().any(|client| client.migrations > 10));
        let utilisation = metrics.utilisation.unwrap();
        // Two of 1.8 cores, and what turns and slots cost at most.
        assert!((2.0 / 1.8..1.3).contains(&utilisation), "{utilisation}");
    }

    #[test]
    fn a_recording_with_holes_makes_the_run_unfit() {
        let recording = Recording { lost: 3, ..fixture::periodic() };
        assert_eq!(unfit(&recording).as_deref(), Some("3 records of the trace are lost"));
    }
}

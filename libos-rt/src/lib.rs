//! Deadline policies: jobs that are done in time, guaranteed from the slots that the libOS really owns.
//!
//! * [`edf`]: earliest deadline first. [`rate_monotonic`], [`deadline_monotonic`]: fixed priorities, by period, by deadline.
//! * [`global`]: the same orders over several cores that share one policy, and EDF until zero laxity.
//! * [`cbs`]: constant-bandwidth servers.
//! * [`deadlines`]: what those for jobs are made of: jobs, enforced budgets, a background. [`calendar`]: the releases to come.
//!   [`inheritance`]: ranks that are lent to whoever is waited for.
//! * [`supply`]: how much CPU time a slot pattern gives in any window, at least.
//! * [`admission`]: whether a set of tasks fits into a supply.
//! * [`response`], [`priorities`]: how long a job of an admitted set takes at most, under EDF and under fixed priorities.
//! * [`guarantee`]: what all of these can be told and asked.
//! * [`roll`]: who is guaranteed as slots come and go: the most critical first.
//! * [`watch`]: measures responses while the policy runs.

#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod admission;
pub mod calendar;
pub mod cbs;
pub mod deadline_monotonic;
pub mod deadlines;
pub mod edf;
pub mod global;
pub mod guarantee;
pub mod inheritance;
pub mod priorities;
pub mod rate_monotonic;
pub mod response;
pub mod roll;
pub mod supply;
pub mod watch;

//! Deadline policies: jobs that are done in time, guaranteed from the slots that the libOS really owns.
//!
//! * [`edf`]: the policy: earliest deadline first, with enforced budgets.
//! * [`supply`]: how much CPU time a slot pattern gives in any window, at least.
//! * [`admission`]: whether a set of tasks fits into a supply.
//! * [`response`]: how long a job of an admitted set takes at most.
//! * [`watch`]: measures responses while the policy runs.
//!
//! Not here: fixed priorities, constant-bandwidth servers, several cores that share one policy (partition them).

#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod admission;
pub mod edf;
pub mod response;
pub mod supply;
pub mod watch;

//! Proportional-share policies: every client gets CPU time in proportion to its tickets.
//!
//! * [`stride`]: deterministic; the pairwise error never exceeds one quantum.
//! * [`hierarchical`]: the same at every node of a [`tree`], so that the error against the total is O(log n).
//! * [`lottery`]: randomised; correct in the mean, with the spread of a binomial distribution.
//! * [`inverse`]: the same the other way round: who loses a page.
//! * [`currency`]: in what clients of a lottery hold their tickets, and what those are worth.
//! * [`stakes`]: who holds the ticket that was drawn.
//! * [`watch`]: counts who wins a lottery.
//!
//! Not here: the account of tickets and their transfers ([`libos_core::sched::funds`]); and whatever is not a decision (see
//! [`libos_core::sched`] for the loop that runs these and for measurement).

#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod currency;
pub mod hierarchical;
pub mod inverse;
pub mod lottery;
pub mod stakes;
pub mod stride;
pub mod tree;
pub mod watch;

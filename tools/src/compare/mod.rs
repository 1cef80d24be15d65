//! Many policies on many workloads with many seeds: runs them side by side, measures, and says what differs.
//!
//! * [`cell`]: one run, and what is kept of it. [`engine`]: all runs, with progress and a cache. [`kernel`], [`simulated`],
//!   [`linux`]: who makes them; [`from`]: runs that were made before. [`command`]: all of it in order.
//! * [`sweep`]: all of it as a workflow, for a cluster.
//! * [`measures`]: the figures that are compared. [`statistics`]: how sure one can be. [`report`]: all of it together, as
//!   `results.json`. [`costs`]: what is no run's, the cost of deciding and of
//!   recording. [`csv`]: the same as tables. [`page`]: the same as a page with plots.
//!
//! Not here: how a run becomes a recording (a [`cell::Runner`] does that), nor how a figure is computed (`metrics`).

pub mod cell;
pub mod command;
pub mod costs;
pub mod csv;
pub mod engine;
pub mod from;
pub mod kernel;
pub mod linux;
pub mod measures;
pub mod page;
pub mod report;
pub mod simulated;
pub mod statistics;
pub mod sweep;

#[cfg(test)]
mod tests;

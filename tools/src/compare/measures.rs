//! The figures that policies are compared by: one number for each scheduler (a libOS on one core) of each run.

use crate::metrics::Metrics;
use serde::Serialize;

/// A figure of a scheduler.
pub struct Measure {
    /// Its word in files.
    pub id: &'static str,
    /// Its name.
    pub title: &'static str,
    /// Its unit; empty of a pure number.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Where it is.
    pub of: fn(&Metrics) -> Option<f64>,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Less.
    Lower,
    /// More.
    Higher,
    /// Neither: it describes.
    Neither,
}

use Better::{Higher, Lower, Neither};

/// All of them, in the order in which they are shown.
pub const MEASURES: [Measure; 15] = [
    measure("pairwise", "Share error, any pair", ("quanta", Lower), |m| {
        Some(m.shares.as_ref()?.pairwise_quanta)
    }),
    measure("absolute", "Share error, of the total", ("quanta", Lower), |m| {
        Some(m.shares.as_ref()?.absolute_quanta)
    }),
    measure("window", "Share error in a revolution", ("quanta", Lower), |m| m.shares.as_ref()?.window_quanta),
    measure("jain", "Jain's fairness index", ("", Higher), |m| Some(m.shares.as_ref()?.jain)),
    measure("miss-ratio", "Deadline misses", ("of jobs", Lower), |m| m.jobs?.miss_ratio),
    measure("tardiness", "Mean tardiness", ("us", Lower), |m| m.jobs?.mean_tardiness_us),
    measure("max-tardiness", "Greatest tardiness", ("us", Lower), |m| m.jobs?.max_tardiness_us),
    measure("response", "Mean response", ("us", Lower), |m| Some(m.jobs?.response?.mean_us)),
    measure("response-p99", "Response, p99", ("us", Lower), |m| Some(m.jobs?.response?.p99_us)),
    measure("latency-p50", "Wake-up latency, p50", ("us", Lower), |m| Some(m.latency?.p50_us)),
    measure("latency-p99", "Wake-up latency, p99", ("us", Lower), |m| Some(m.latency?.p99_us)),
    measure("latency-max", "Wake-up latency, greatest", ("us", Lower), |m| Some(m.latency?.max_us)),
    measure("switches", "Switches between clients", ("", Neither), |m| Some(m.overhead.switches as f64)),
    measure("overhead", "Scheduler's and kernel's part", ("of busy time", Lower), |m| {
        m.overhead.split?.overhead_ratio
    }),
    measure("decision", "Cost of a decision", ("ns", Lower), |m| m.overhead.split?.own_per_decision_ns),
];

const fn measure(
    id: &'static str,
    title: &'static str,
    (unit, better): (&'static str, Better),
    of: fn(&Metrics) -> Option<f64>,
) -> Measure {
    Measure { id, title, unit, better, of }
}

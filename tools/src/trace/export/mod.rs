//! A recorded run in other people's forms: for Perfetto's viewer, for tools that read LITMUS^RT's job statistics, and plain.
//!
//! Not here: when they are written (`run`).

pub mod csv;
pub mod perfetto;
mod protobuf;

/// The file for Perfetto (ui.perfetto.dev opens it).
pub const PERFETTO: &str = "trace.perfetto-trace";
/// The jobs, with LITMUS^RT's columns.
pub const JOBS: &str = "jobs.csv";
/// Every record.
pub const RECORDS: &str = "records.csv";

/// Ticks since `epoch` in nanoseconds, rounded down; 0 for what was before.
fn nanoseconds(time: u64, epoch: u64, frequency: u64) -> u64 {
    let ticks = u128::from(time.saturating_sub(epoch));
    (ticks * 1_000_000_000).checked_div(frequency.into()).unwrap_or(0) as u64
}

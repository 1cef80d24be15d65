//! `./just costs`: measures on the kernel in QEMU what the simulator reckons with, and writes the table.
//!
//! * [`samples`]: what a recorded run tells of turns. [`once`]: and of what comes up once in a while. [`mod@fit`]: how figures
//!   follow from that.
//!
//! Here: the runs, and the table as a file. Not here: the table's meaning (`sim::costs`). What is predicted afterwards are other
//! scenarios than those from which costs are taken.

pub mod fit;
pub mod once;
pub mod samples;

use crate::Failure;
use crate::guests::{self, Images, Made, Order};
use crate::run::Stop;
use crate::scenario::Changes;
use fit::{fit, median};
use libos_core::scenario::Policy;
use once::Once;
use samples::{Sample, Samples, What};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::sim::costs::Way;

/// Scenarios from which costs are taken.
pub const SCENARIOS: &str = "scenarios/calibrate";
/// The same of what it takes that another policy takes over.
pub const SWAPS: &str = "scenarios/calibrate/swap";
/// The table.
pub const TABLE: &str = "tools/src/sim/costs.toml";

/// The ways back to a scheduler, by their names in the table, and which other is taken for one that never came up.
const WAYS: [(&str, Way, Way); 7] = [
    ("slot", Way::Slot, Way::Regained),
    ("regained", Way::Regained, Way::Slot),
    ("expired", Way::Expired, Way::Yielded),
    ("waiting", Way::Waiting, Way::Yielded),
    ("yielded", Way::Yielded, Way::Waiting),
    ("woken", Way::Woken, Way::Late),
    ("late", Way::Late, Way::Woken),
];

/// Fewer samples than this say nothing of how a figure grows.
const ENOUGH: usize = 30;
/// And fewer than this nothing at all.
const LEAST: usize = 5;

/// Everything that was measured.
#[derive(Default)]
struct Measured {
    frequency: u64,
    runs: usize,
    policies: BTreeMap<&'static str, Samples>,
    once: Once,
}

/// What is booted, on the command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    images: Images,
}

/// The command `costs`.
///
/// # Errors
/// If a run cannot be made, or the runs do not tell everything.
pub fn command(arguments: Arguments) -> Result<bool, Stop> {
    print!("{}", calibrate(&arguments.images, Path::new(TABLE))?);
    println!("written to {TABLE}");
    Ok(true)
}

/// Measures, and writes the table: how it looks.
pub fn calibrate(images: &Images, table: &Path) -> Result<String, Stop> {
    let measured = Mutex::new(Measured::default());
    guests::all(images, &orders()?, |made| {
        println!(
            "{}: {} decisions",
            made.order.name(),
            made.results.libos.iter().map(|one| one.decisions).sum::<u64>()
        );
        measured.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).add(&made);
        Ok(())
    })?;
    let text = measured.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).table()?;
    std::fs::write(table, &text).map_err(Failure::with(table.display()))?;
    Ok(text)
}

/// Every calibrating scenario under every policy, on one core; those of swaps under their own.
fn orders() -> Result<Vec<Order>, Failure> {
    let files: Vec<PathBuf> = guests::scenarios(Path::new(SCENARIOS))?;
    let order = |scenario: &PathBuf, policy| Order {
        scenario: scenario.clone(),
        changes: Changes { policy: Some(policy), cores: Some(1), ..Changes::default() },
    };
    let of_swap = |scenario| Order { scenario, changes: Changes::default() };
    let swaps = guests::scenarios(Path::new(SWAPS))?.into_iter().map(of_swap);
    Ok(files
        .iter()
        .flat_map(|file| Policy::ALL.into_iter().map(move |policy| order(file, policy)))
        .chain(swaps)
        .collect())
}

impl Measured {
    fn add(&mut self, made: &Made) {
        self.frequency = made.recording.frequency;
        self.runs += 1;
        if made.recording.swapped().is_some() {
            return self.once.swaps(made);
        }
        for scheduler in &made.recording.schedulers {
            let samples = samples::of(&made.recording, scheduler);
            self.once.add(made, scheduler, &samples);
            let all = self.policies.entry(scheduler.policy.word()).or_default();
            samples.into_iter().for_each(|(what, samples)| all.entry(what).or_default().extend(samples));
        }
    }

    /// The table as a file.
    fn table(self) -> Result<String, Failure> {
        let mut text = format!(
            "# What the kernel and the libOSes cost, in ticks of QEMU's virt board with one core under -icount, where a tick is four\n\
             # instructions. Made by ./just costs from {} runs of {SCENARIOS}; docs/simulator.md says what each row is and how it\n\
             # follows from them. Not to be changed by hand.\n\nfrequency_hz = {}\n",
            self.runs, self.frequency
        );
        self.kernel_rows(&mut text);
        self.libos_rows(&mut text)?;
        for (policy, samples) in &self.policies {
            turning(&mut text, policy, samples, self.policies.values())?;
        }
        Ok(text)
    }

    fn kernel_rows(&self, text: &mut String) {
        let once = &self.once;
        let _ = writeln!(text, "\n[kernel]");
        let (rows, values): (Vec<_>, Vec<_>) = once.kernel.iter().cloned().unzip();
        let found = fit(&rows, &values);
        let how = format!("kernel's time of {} runs over what happened in them", found.samples);
        for (name, value) in ["slot_switch", "slot_asleep", "expiry", "wake"].iter().zip(&found.of) {
            line(text, name, format!("{}", value.max(0.0).round()), &how);
        }
    }

    fn libos_rows(&self, text: &mut String) -> Result<(), Failure> {
        let once = &self.once;
        let _ = writeln!(text, "\n[libos]");
        let pair = |of: &[(Vec<f64>, f64)]| {
            let (rows, values): (Vec<_>, Vec<_>) = of.iter().cloned().unzip();
            let found = fit(&rows, &values).of;
            [0, 1].map(|place| format!("{}", found.get(place).copied().unwrap_or(0.0).max(0.0).round()))
        };
        let [broker_start, broker_work] = pair(&once.broker);
        let [start, make_client] = pair(&once.start);
        line(text, "broker_start", broker_start, "broker's time over revolutions");
        line(text, "broker_make", make_client.clone(), "as make_client: the same program part makes both");
        line(text, "broker_work", broker_work, "broker's time over revolutions");
        line(text, "start", start, "own time before the first client joins, over the number of clients");
        line(
            text,
            "make_client",
            make_client,
            "own time before the first client joins, over the number of clients",
        );
        let [swap, swap_client] = pair(&once.swap);
        let how = format!("{} swaps, over the number of clients", once.swap.len());
        line(text, "swap", swap, &how);
        line(text, "swap_client", swap_client, &how);
        let [job_noted, draw] = pair(&once.job_noted);
        middle(text, "client_start", &once.client_start)?;
        middle(text, "job_end", &once.job_end)?;
        let how = format!("from the mark of a job's end, {} samples", once.job_noted.len());
        line(text, "job_noted", job_noted, &how);
        line(text, "draw", draw, &format!("{how}, over whether the next release is drawn"));
        Ok(())
    }
}

/// A policy's rows. What never came up under it is taken from all policies together, or else from a way that is like it.
fn turning<'a>(
    text: &mut String,
    policy: &str,
    samples: &Samples,
    all: impl Iterator<Item = &'a Samples> + Clone,
) -> Result<(), Failure> {
    let _ = writeln!(text, "\n[policy.{policy}]");
    for (name, way, like) in WAYS {
        let own = |way| samples.get(&What::Back(way)).filter(|samples| samples.len() >= LEAST).cloned();
        let everybodys = |way| {
            let some: Vec<Sample> =
                all.clone().filter_map(|of| of.get(&What::Back(way))).flatten().copied().collect();
            (!some.is_empty()).then_some(some)
        };
        // How long it takes to go on after a wait does not depend on the policy, as nothing has happened that it is told.
        let waits = matches!(way, Way::Woken | Way::Late);
        let (found, whose) = if waits { (everybodys(way), "all policies") } else { (own(way), "its own") };
        let Some(samples) = found.or_else(|| own(like)).or_else(|| everybodys(way)) else {
            return Err(Failure(format!("{policy}: no run has {name}: nothing is known of what it costs")));
        };
        let (of, how) = grown(&samples);
        line(text, name, four(&of), &format!("{how}, {whose}"));
    }
    let Some(decided) = samples.get(&What::Decide) else {
        return Err(Failure(format!("{policy}: no run has a decision")));
    };
    // What joining costs is seen once in a run, which would be left out among so many others.
    let (first, later): (Vec<&Sample>, Vec<&Sample>) = decided.iter().partition(|one| one.joined > 0.0);
    let rows: Vec<Vec<f64>> =
        later.iter().map(|one| vec![1.0, one.competing, one.waiting, one.place, one.admitted]).collect();
    let found = fit(&rows, &later.iter().map(|one| one.ticks).collect::<Vec<_>>());
    let rest = |one: &&Sample| {
        (one.ticks - found.of[0] - found.of[1] * one.competing - found.of[3] * one.place) / one.joined
    };
    let join = first.iter().map(rest).sum::<f64>() / first.len().max(1) as f64;
    let how = format!("{} samples, {} left out, sigma {:.1}", found.samples, found.left_out, found.sigma);
    line(text, "decide", four(&found.of), &how);
    line(text, "admit", format!("{:.1}", found.of[4].max(0.0)), &how);
    line(text, "join", format!("{:.1}", join.max(0.0)), &format!("mean of {} samples", first.len()));
    Ok(())
}

/// A figure with how it grows by the number of clients that compete, and in words how that was found.
fn grown(samples: &[Sample]) -> (Vec<f64>, String) {
    let values: Vec<f64> = samples.iter().map(|one| one.ticks).collect();
    if samples.len() < ENOUGH {
        let middle = median(values.iter().map(|value| *value as u64).collect()).unwrap_or(0);
        return (vec![middle as f64, 0.0, 0.0, 0.0], format!("middle of {} samples", samples.len()));
    }
    let rows: Vec<Vec<f64>> =
        samples.iter().map(|one| vec![1.0, one.competing, one.waiting, one.place]).collect();
    let found = fit(&rows, &values);
    let how = format!("{} samples, {} left out, sigma {:.1}", found.samples, found.left_out, found.sigma);
    (found.of, how)
}

/// A row that is the middle of what was measured.
fn middle(text: &mut String, name: &str, values: &[u64]) -> Result<(), Failure> {
    let Some(value) = median(values.to_vec()) else {
        return Err(Failure(format!("{name}: no run tells of it")));
    };
    let (least, most) = (values.iter().min(), values.iter().max());
    let how =
        format!("middle of {} samples, from {} to {}", values.len(), least.unwrap_or(&0), most.unwrap_or(&0));
    line(text, name, value.to_string(), &how);
    Ok(())
}

/// A figure that grows with the number of clients, as the table has it.
fn four(of: &[f64]) -> String {
    format!("[{:.1}, {:.1}, {:.1}, {:.1}]", of[0], of[1], of[2], of[3])
}

fn line(text: &mut String, name: &str, value: String, how: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{:<44}# {how}", format!("{name} = {value}"));
}

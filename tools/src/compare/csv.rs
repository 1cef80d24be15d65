//! A comparison as comma-separated tables: one row for each scheduler of each run, and one for each job with the columns of
//! LITMUS^RT's `st-job-stats`. No field holds a comma: names have letters, digits, dots, slashes and hyphens only.

use super::measures::MEASURES;
use super::report::{Report, Run};

/// Every scheduler of every run with every measure; empty where it has none.
pub fn schedulers(report: &Report) -> String {
    let mut text = String::from("workload,policy,seed,source,libos,core");
    MEASURES.iter().for_each(|measure| text += &format!(",{}", measure.id));
    text += "\n";
    for run in &report.runs {
        for metrics in &run.kept.metrics {
            let Run { workload, policy, seed, source, .. } = run;
            text +=
                &format!("{workload},{policy},{seed},{source},{},{}", metrics.libos, metrics.core_in_words());
            for measure in &MEASURES {
                text += &(measure.of)(metrics).map_or(",".into(), |value| format!(",{value}"));
            }
            text += "\n";
        }
    }
    text
}

/// Every job of every run. Times in microseconds; `Forced?` is always 0, because no job is ended by force here; ACET is the
/// CPU time that the job used.
pub fn jobs(report: &Report) -> String {
    let mut text = String::from(
        "workload,policy,seed,source,Task,Job,Release,Response,DL Miss?,Lateness,Tardiness,Forced?,ACET\n",
    );
    for run in &report.runs {
        for job in &run.kept.jobs {
            let optional = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.3}"));
            let lateness = job.completed_us.zip(job.due_us).map(|(completed, due)| completed - due);
            let missed = match (job.completed_us, job.due_us) {
                (_, None) => "",
                (None, Some(due)) if due > run.kept.elapsed_us => "",
                (Some(completed), Some(due)) if completed <= due => "0",
                (_, Some(_)) => "1",
            };
            let Run { workload, policy, seed, source, .. } = run;
            text += &format!(
                "{workload},{policy},{seed},{source},{},{},{:.3},{},{missed},{},{},0,{:.3}\n",
                job.client,
                job.number,
                job.released_us,
                optional(job.completed_us.map(|completed| completed - job.released_us)),
                optional(lateness),
                optional(lateness.map(|late| late.max(0.0))),
                job.used_us,
            );
        }
    }
    text
}

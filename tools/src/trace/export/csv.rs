//! Tables as text: each job with the columns of LITMUS^RT's `st-job-stats`, and every record as numbers.
//!
//! Not here: any figure that is not in a recording.

use super::nanoseconds;
use crate::recording::{Job, Recording};
use crate::trace::Trace;
use std::fmt::Write;

/// Every job that was done, in the order of clients and numbers; times in nanoseconds. `Task` counts the clients from 1. A job
/// is never forced: nobody ends it but itself. `ACET` is the CPU time that it used.
pub fn jobs(recording: &Recording) -> String {
    let mut text = String::new();
    for (index, client) in recording.clients.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "# task {} is {}/{} {}", index + 1, client.libos, client.name, client.place());
    }
    text += "# Task, Job, Period, Response, DL Miss?, Lateness, Tardiness, Forced?, ACET\n";
    let mut jobs: Vec<&Job> = recording.jobs.iter().collect();
    jobs.sort_by_key(|job| (job.client, job.number));
    for job in jobs {
        if let Some(completed) = job.completed {
            row(&mut text, recording, job, completed);
        }
    }
    text
}

fn row(text: &mut String, recording: &Recording, job: &Job, completed: u64) {
    let span = |begin: u64, end: u64| nanoseconds(end, begin, recording.frequency);
    let period = recording.clients[job.client].period.unwrap_or(0);
    let response = span(job.released, completed);
    // Without a deadline nothing is late.
    let due = job.due.unwrap_or(completed);
    let (late, early) = (span(due, completed), span(completed, due));
    let lateness = late as i64 - early as i64;
    let miss = u8::from(completed > due);
    let (task, number) = (job.client + 1, job.number + 1);
    let (period, used) = (span(0, period), span(0, job.used));
    let _ = writeln!(text, "{task}, {number}, {period}, {response}, {miss}, {lateness}, {late}, 0, {used}");
}

/// Every record of every core, as it was written.
pub fn records(trace: &Trace) -> String {
    let mut text = String::from("core,number,time,kind,env,detail,w0,w1,w2,w3,w4,w5\n");
    for stream in &trace.cores {
        for (number, record) in &stream.records {
            let (core, time, words) = (record.core(), record.time, record.words.map(|word| word.to_string()));
            let (kind, env, detail) = (record.kind(), record.env(), record.detail());
            let _ = writeln!(text, "{core},{number},{time},{kind},{env},{detail},{}", words.join(","));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Stream;
    use crate::trace::story::tests::small;
    use tranche_abi::trace::Record;

    #[test]
    fn a_job_has_litmus_columns_in_nanoseconds() {
        let text = jobs(&small());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "# task 1 is one/a on core 0");
        assert_eq!(lines[1], "# task 2 is one/b on core 1");
        assert_eq!(lines[2], "# Task, Job, Period, Response, DL Miss?, Lateness, Tardiness, Forced?, ACET");
        // At a tick of 1 us: released at 1000, due at 1500, done at 1400 and at 2600 of 2500.
        assert_eq!(lines[3], "1, 1, 1000000, 400000, 0, -100000, 0, 0, 90000");
        assert_eq!(lines[4], "1, 2, 1000000, 600000, 1, 100000, 100000, 0, 95000");
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn a_record_is_a_line_of_numbers() {
        let record = Record { time: 7, head: Record::head(2, 1, 9, 3), words: [1, 2, 3, 4, 5, u64::MAX] };
        let trace =
            Trace { cores: vec![Stream { core: 1, records: vec![(4, record)], ..Stream::default() }] };
        assert_eq!(records(&trace).lines().nth(1), Some("1,4,7,2,9,3,1,2,3,4,5,18446744073709551615"));
    }
}

//! Tests of what a client uses of its time, and when its jobs end.

use super::*;
use libos_core::jobs::Spec;
use libos_core::scenario::{Arrivals, Jobs};

/// A client with jobs of 2000 ticks, of a microsecond each, which may be off by 20, at the first of them.
fn client() -> Client {
    let arrivals = Arrivals::Periodic { period_us: 10_000, offset_us: 0 };
    let (work_min_us, work_us) = (2000, 2000);
    let jobs = Jobs { arrivals, budget_us: 2000, deadline_us: Some(10_000), work_min_us, work_us };
    let source = JobSource::new(Spec::new(&jobs, &[], 1_000_000), Tick(100), 1);
    let job_end = JobEnd { noted: 10, tolerance: 5, ..JobEnd::default() };
    let mut client = Client::new(0, Work::Jobs(source), 0, job_end);
    assert!(client.act(0, &mut Locks::default(), &mut |_| ()).is_some_and(|parting| parting.until == 100));
    client
}

/// The client acts until it gives the CPU up, and has used what it needs for that.
fn end_job(client: &mut Client) {
    let mut done = 0;
    while client.act(0, &mut Locks::default(), &mut |_| done += 1).is_none() {
        client.run(client.left());
    }
    assert_eq!(done, 1);
}

#[test]
fn a_job_that_saw_too_late_that_it_was_done_is_made_up_for_by_the_next() {
    let mut client = client();
    client.run(1995);
    client.stand_still(12);
    assert_eq!(client.left(), 0);
    end_job(&mut client);
    // Noting the end of the job is part of the next.
    assert_eq!(client.left(), 2000 - 10 - 7);
}

#[test]
fn time_that_passes_while_a_client_notes_its_jobs_end_is_its_next_jobs() {
    let mut client = client();
    client.run(2000);
    assert!(
        client.act(0, &mut Locks::default(), &mut |_| ()).is_none()
            && client.act(0, &mut Locks::default(), &mut |_| ()).is_none()
    );
    client.stand_still(30);
    assert_eq!(client.left(), 10);
    client.run(10);
    assert!(client.act(0, &mut Locks::default(), &mut |_| ()).is_some());
    assert_eq!(client.left(), 2000 - 10 - 30);
}

#[test]
fn whoever_was_not_served_drops_the_jobs_that_came_meanwhile() {
    let mut client = client();
    client.resume_at(35_000);
    client.run(2000);
    let mut done = Vec::new();
    let parting = loop {
        match client.act(32_000, &mut Locks::default(), &mut |job| done.push(job.released)) {
            Some(parting) => break parting,
            None => client.run(client.left()),
        }
    };
    // Its first was under way; those of 10 100 to 30 100 are dropped.
    assert_eq!((done, parting.until, client.dropped()), (vec![100], 40_100, 3));
}

#[test]
fn who_sees_its_account_in_long_steps_ends_a_job_by_the_last_one_that_is_not_too_late() {
    let mut client = client();
    client.stand_still(32);
    client.run(1968);
    end_job(&mut client);
    // A step of 32, of which the memory has lost an eighth: by 8 more than it may be wrong.
    assert_eq!(client.left(), 2000 - 10 - 8);
}

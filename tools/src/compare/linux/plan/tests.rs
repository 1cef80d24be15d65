use super::*;
use crate::scenario::parse;

/// A libOS with one client of each kind, on two cores.
const ALL_KINDS: &str = r#"
name = "kinds"
duration_ms = 1000
cores = 2
seed = 5
[[libos]]
name = "one"
policy = "stride"
income = 1
want = 4
[[libos.clients]]
name = "endless"
program = "sha256"
tickets = 3
replicate = true
[[libos.clients]]
name = "slow"
program = "spin"
tickets = 1
period_us = 100000
budget_us = 10000
[[libos.clients]]
name = "fast"
program = "spin"
tickets = 2
period_us = 20000
offset_us = 300
deadline_us = 15000
budget_us = 2000
work_min_us = 1000
core = 1
[[libos.clients]]
name = "server"
program = "spin"
arrivals = "bursty"
burst = 3
gap_us = 40000
budget_us = 2000
[[libos.clients]]
name = "user"
program = "spin"
arrivals = "interactive"
think_us = 30000
budget_us = 2000
deadline_us = 20000
"#;
const OTHER_LIBOS: &str = "[[libos]]\nname = \"two\"\npolicy = \"fifo\"\nincome = 1\nwant = 1\n\
    [[libos.clients]]\nname = \"c\"\nprogram = \"spin\"\n";

fn scenario(text: &str) -> Scenario {
    parse(text, None, None).unwrap()
}

/// The clients of a plan's file, and their jobs.
fn decoded(planned: &Planned) -> (Plan, Vec<(linux_guest::plan::Client, Vec<Job>)>) {
    let words: Vec<u64> =
        planned.bytes.chunks(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect();
    let mut words = words.into_iter();
    let plan = Plan::decode(&mut words).unwrap();
    let client = |_| {
        let client = linux_guest::plan::Client::decode(&mut words).unwrap();
        let jobs = (0..client.jobs).map(|_| Job::decode(&mut words).unwrap()).collect();
        (client, jobs)
    };
    let clients = (0..plan.clients).map(client).collect();
    assert_eq!(words.next(), None);
    (plan, clients)
}

fn planned(policy: LinuxPolicy) -> (Plan, Vec<(linux_guest::plan::Client, Vec<Job>)>) {
    decoded(&plan(&scenario(ALL_KINDS), policy, 62_500_000).unwrap())
}

#[test]
fn the_file_has_every_copy_of_every_client_with_its_jobs() {
    let (plan, clients) = planned(LinuxPolicy::Eevdf);
    assert_eq!((plan.duration, plan.cores, plan.clients), (1_000_000_000, 2, 6));
    assert_eq!(plan.jobs, clients.iter().map(|(client, _)| client.jobs).sum::<u64>());
    let cores: Vec<_> = clients.iter().map(|(client, _)| client.core).collect();
    assert_eq!(cores, [0, 1, 0, 1, 0, 0]);
    assert_eq!((clients[0].0.jobs, clients[2].0.jobs, clients[3].0.jobs), (0, 10, 50));
}

#[test]
fn jobs_come_when_they_come_on_our_own_machine_and_need_as_much() {
    let scenario = scenario(ALL_KINDS);
    let (_, clients) = planned(LinuxPolicy::Eevdf);
    let places = [(1, 2, 0), (2, 3, 1), (3, 4, 0), (4, 5, 0)];
    for (client, place, core) in places {
        let client = &scenario.libos[0].clients[client];
        let spec = Spec::new(&client.jobs.unwrap(), &[], 62_500_000);
        // On another machine the run begins at another time, and a job is done at once.
        let mut source = JobSource::new(spec, Tick(7_000), jobs::seed(5, &client.name, core));
        let (mut released, mut completed) = (7_000 * 16, 0);
        assert!(!clients[place].1.is_empty());
        for job in &clients[place].1 {
            let theirs = source.next(Tick(completed / 16));
            let since = if job.after == After::Release { released } else { completed };
            released = since + job.gap;
            assert_eq!(
                (released, job.demand),
                (theirs.released.0 * 16, theirs.demand.0 * 16),
                "{}",
                client.name
            );
            completed = released + job.demand;
        }
    }
}

#[test]
fn there_are_jobs_until_the_end_of_the_run_however_soon_each_is_done() {
    let (plan, clients) = planned(LinuxPolicy::Eevdf);
    let earliest = |jobs: &[Job]| jobs.iter().map(|job| job.gap + job.demand).sum::<u64>();
    let user = &clients[5].1;
    assert!(earliest(&user[..user.len() - 1]) < plan.duration);
    assert!(user.iter().skip(1).all(|job| job.after == After::Completion));
    let server: u64 = clients[4].1.iter().map(|job| job.gap).sum();
    assert!(server < plan.duration && server > plan.duration / 2, "{server}");
}

#[test]
fn each_of_linuxs_schedulers_gets_what_it_needs() {
    let classes = |policy| planned(policy).1.iter().map(|(client, _)| client.class).collect::<Vec<_>>();
    assert_eq!(classes(LinuxPolicy::Eevdf), [Class::Fair; 6]);
    // Of those with deadlines, fast and user have 20 ms, and slow has 100 ms.
    assert_eq!(classes(LinuxPolicy::Fifo), [1, 1, 2, 3, 1, 3].map(|priority| Class::Fifo { priority }));
    let deadline = |runtime, deadline, period| Class::Deadline { runtime, deadline, period };
    assert_eq!(
        classes(LinuxPolicy::Deadline),
        [
            Class::Fair,
            Class::Fair,
            deadline(10_000_000, 100_000_000, 100_000_000),
            deadline(2_000_000, 15_000_000, 20_000_000),
            Class::Fair,
            deadline(2_000_000, 20_000_000, 20_000_000),
        ]
    );
}

#[test]
fn tickets_become_weights_of_the_same_ratio_that_linux_need_not_round() {
    assert_eq!([1, 2, 6].map(|tickets| weight(tickets, 6)), [1650, 3300, 9900]);
    assert_eq!((weight(1, 1), weight(400, 400)), (10_000, 10_000));
    assert_eq!([60, 588].map(|tickets| weight(tickets, 588)), [1020, 9996]);
    assert_eq!([500_000, 1_000_000].map(|tickets| weight(tickets, 1_000_000)), [5_000, 10_000]);
}

#[test]
fn what_linux_cannot_run_is_refused_by_name() {
    let refused = |text: &str, policy| refusals(&scenario(text), policy).join("; ");
    assert_eq!(refused(ALL_KINDS, LinuxPolicy::Deadline), "");
    let two = format!("{ALL_KINDS}{OTHER_LIBOS}");
    assert_eq!(refused(&two, LinuxPolicy::Eevdf), "Linux has no slots to share among 2 libOSes (one, two)");
    let late = ALL_KINDS.replace("want = 4", "want = 4\narrives_ms = 100");
    assert!(refused(&late, LinuxPolicy::Eevdf).contains("one is not there all the time"));
    let hostile = format!("{ALL_KINDS}[[hostile]]\nname = \"bad\"\nbehaviour = [\"loop\"]\n");
    assert!(refused(&hostile, LinuxPolicy::Fifo).contains("bad breaks rules"));
    let own = "name = \"x\"\nduration_ms = 1000\n[[libos]]\nname = \"t\"\npolicy = \"none\"\nprogram = \"threads\"\nincome = 1\nwant = 1\n";
    assert!(refused(own, LinuxPolicy::Eevdf).contains("t is the program threads"));
    let long = ALL_KINDS.replace("period_us = 100000", "period_us = 5000000");
    assert_eq!(refused(&long, LinuxPolicy::Fifo), "");
    assert!(refused(&long, LinuxPolicy::Deadline).contains("slow: SCHED_DEADLINE takes periods"));
    let steep = ALL_KINDS.replace("tickets = 3", "tickets = 900000");
    assert!(refused(&steep, LinuxPolicy::Eevdf).contains("slow: weights of cgroups"));
    assert!(plan(&scenario(&steep), LinuxPolicy::Eevdf, 62_500_000).is_err());
}

#[test]
fn a_client_with_more_jobs_than_there_is_room_for_is_refused() {
    let busy = ALL_KINDS
        .replace("duration_ms = 1000", "duration_ms = 3600000")
        .replace("period_us = 20000", "period_us = 5000")
        .replace("deadline_us = 15000", "deadline_us = 5000");
    let why = plan(&scenario(&busy), LinuxPolicy::Eevdf, 62_500_000).unwrap_err();
    assert!(why.starts_with("fast: more than"), "{why}");
}

//! Files as people have them, and what becomes of them: each field, each note, each refusal.

use super::*;
use libos_core::scenario::{Arrivals, Placement, Scenario};
use std::fs;

fn written(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, text).unwrap();
    (folder, file)
}

/// The text of it, and what the project's checker makes of that.
fn imported(name: &str, text: &str, wishes: &Wishes) -> (String, Scenario) {
    let (_folder, file) = written(name, text);
    let text = import(&file, wishes).unwrap();
    let scenario = scenario::parse(&text, None, None).unwrap();
    (text, scenario)
}

/// Why it is refused, without the file's name, which each line begins with.
fn refused(name: &str, text: &str) -> Vec<String> {
    let (_folder, file) = written(name, text);
    let why = import(&file, &Wishes::default()).unwrap_err().0;
    let begin = format!("{}: ", file.display());
    why.lines().map(|line| line.strip_prefix(&begin).unwrap_or_else(|| panic!("{why}")).to_string()).collect()
}

fn rt_app(tasks: &str) -> String {
    format!("{{ \"tasks\": {{ {tasks} }}, \"global\": {{ \"duration\": 2 }} }}")
}

const FAIR: &str = r#"{
    /* A video player, and something beside it. */
    "tasks": {
        "Video_Player": { "instance": 2, "loop": -1, "run": 4000, "timer": { "ref": "unique", "period": 20000 }, "cpus": [1] },
        "audio": {
            "priority": -5, "delay": 1500,
            "phases": {
                "one": { "loop": 3, "run0": 500, "run1": 500, "sleep": 9000, "util_min": 100 },
                "two": { "loop": 1, "run": 1000, "sleep": 9000 }
            }
        },
        "hog": { "run": 1000000, "policy": "SCHED_IDLE" }
    },
    "global": { "duration": 3, "default_policy": "SCHED_OTHER", "calibration": "CPU0", "lock_pages": true }
}"#;

#[test]
fn a_workload_of_rt_app_is_clients_with_weights_and_says_what_is_otherwise() {
    let (text, scenario) = imported("My video.json", FAIR, &Wishes::default());
    assert_eq!((&scenario.name[..], scenario.duration_ms, scenario.cores), ("my-video", 3000, 2));
    assert_eq!(scenario.libos[0].policy, Policy::Stride);
    let clients = &scenario.libos[0].clients;
    let names: Vec<_> = clients.iter().map(|client| &client.name[..]).collect();
    assert_eq!(names, ["video-player-0", "video-player-1", "audio", "hog"]);
    assert_eq!((clients[0].placement, clients[0].tickets), (Placement::Core(1), 1024));
    let jobs = clients[0].jobs.unwrap();
    assert_eq!(jobs.arrivals, Arrivals::Periodic { period_us: 20_000, offset_us: 0 });
    assert_eq!((jobs.work_us, jobs.budget_us), (4000, 4500));
    assert_eq!((clients[2].tickets, clients[2].placement), (3125, Placement::Core(1)));
    let audio = clients[2].jobs.unwrap();
    assert_eq!(audio.arrivals, Arrivals::Periodic { period_us: 10_000, offset_us: 1500 });
    assert_eq!((clients[3].tickets, clients[3].jobs, clients[3].placement), (3, None, Placement::Core(0)));
    for note in [
        "# rt-app's workload My video.json, by ./just import.",
        "relative timer begins anew",
        "run and sleep are a period",
        "1024 / 1.25^priority",
        "\"Video_Player-0\" is video-player-0",
        "audio on 1, hog on 0",
        "# - global.calibration",
        "# - tasks.audio.phases.one.util_min",
    ] {
        assert!(text.contains(note), "{note} is not in\n{text}");
    }
}

#[test]
fn deadlines_and_real_time_priorities_choose_the_policy() {
    let deadline = r#""a": { "policy": "SCHED_DEADLINE", "dl-runtime": 3000, "dl-period": 10000, "dl-deadline": 8000,
        "run": 2000, "timer": { "ref": "t", "period": 10000, "mode": "absolute" } }, "b": { "run": 10 }"#;
    let (text, scenario) = imported("d.json", &rt_app(deadline), &Wishes::default());
    assert_eq!(scenario.libos[0].policy, Policy::Edf);
    let jobs = scenario.libos[0].clients[0].jobs.unwrap();
    assert_eq!((jobs.work_us, jobs.budget_us, jobs.deadline_us), (2000, 3000, Some(8000)));
    assert!(!text.contains("relative timer"));
    let fixed = |one: u32, other: u32| {
        let thread = |name: char, priority: u32, period: u32| {
            format!(
                "\"{name}\": {{ \"policy\": \"SCHED_FIFO\", \"priority\": {priority}, \"run\": 100, \"timer\": {{ \"ref\": \"{name}\", \"period\": {period} }} }}"
            )
        };
        rt_app(&[thread('a', one, 5000), thread('b', other, 7000)].join(","))
    };
    let policy = |text: &str| imported("f.json", text, &Wishes::default()).1.libos[0].policy;
    assert_eq!(policy(&fixed(20, 10)), Policy::RateMonotonic);
    assert_eq!(policy(&fixed(10, 10)), Policy::Fifo);
    assert!(refused("f.json", &fixed(10, 20))[0].starts_with("tasks: no one policy stands for these"));
    let wished = Wishes { policy: Some(Policy::Lottery), cores: Some(3), duration_ms: Some(500) };
    let (text, scenario) = imported("f.json", &fixed(10, 20), &wished);
    assert_eq!((scenario.libos[0].policy, scenario.cores, scenario.duration_ms), (Policy::Lottery, 3, 500));
    assert!(text.contains("the policy is lottery by --policy"));
}

#[test]
fn what_rt_app_can_and_a_scenario_cannot_is_refused_by_its_key() {
    let timer = "\"timer\": { \"ref\": \"t\", \"period\": 100 }";
    for (tasks, why) in [
        ("\"a\": { \"run\": 10, \"lock\": \"m\" }", "tasks.a.lock: cannot be expressed"),
        ("\"a\": { \"run\": 10, \"loop\": 5 }", "tasks.a.loop: a client does not end after 5 rounds"),
        ("\"a\": { \"run\": 10, \"sleep\": 5, \"sleep\": 6 }", "tasks.a.sleep: a client waits once"),
        ("\"a\": { \"run\": 10, \"delay\": 5 }", "tasks.a: a client without sleep or timer"),
        (&format!("\"a\": {{ \"run\": 200, {timer} }}"), "tasks.a: it must run for 1 us at least"),
        (&format!("\"a\": {{ {timer} }}"), "tasks.a: it must run for 1 us at least"),
        ("\"a\": { \"run\": 10, \"cpus\": [9] }", "tasks.a.cpus: must be a list of cores"),
        ("\"a\": { \"run\": 10, \"policy\": \"SCHED_BEST\" }", "tasks.a.policy: is one of SCHED_OTHER"),
        ("\"a\": { \"run\": 10, \"priority\": 40 }", "tasks.a.priority: must be from -20 to 19"),
        ("\"a\": { \"run\": \"long\" }", "tasks.a.run: must be a number"),
        ("\"a\": { \"run\": 10, \"taskgroup\": \"g\" }", "tasks.a.taskgroup: cannot be expressed"),
        (
            "\"a\": { \"phases\": { \"x\": { \"run\": 1, \"sleep\": 9 }, \"y\": { \"run\": 2, \"sleep\": 9 } } }",
            "tasks.a.phases: its phases differ",
        ),
        (
            &format!(
                "\"a\": {{ \"policy\": \"SCHED_DEADLINE\", \"dl-runtime\": 5, \"dl-period\": 90, \"run\": 5, {timer} }}"
            ),
            "tasks.a: a scenario has one period for each client",
        ),
        ("\"a\": 5", "tasks.a: must be an object"),
        ("\"a\": { \"run\": 10, \"cpus\": [0], \"cpus\": [1] }", "tasks.a.cpus: stands twice"),
        ("\"a\": { \"run\": 10 }, \"a\": { \"run\": 20 }", "tasks.a: stands twice"),
        ("", "tasks: there are no threads in it"),
    ] {
        let found = refused("a.json", &rt_app(tasks));
        assert!(found[0].starts_with(why), "{tasks}: {found:?}");
    }
    let endless = "{ \"tasks\": { \"a\": { \"run\": 1 } } }";
    assert!(refused("a.json", endless)[0].starts_with("global.duration: the workload has no end"));
    assert!(refused("a.json", "{ \"tasks\": ")[0].contains("line 1"));
    assert!(refused("a.json", "tasks")[0].starts_with("begins neither as JSON"));
    // All at once.
    assert_eq!(
        refused("a.json", &rt_app("\"a\": { \"fork\": \"b\" }, \"b\": { \"barrier\": \"c\" }")).len(),
        2
    );
}

fn simso(sched: &str, tasks: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<simulation duration=\"100000000\" cycles_per_ms=\"1000000\" etm=\"wcet\">\n\
         <sched class=\"{sched}\" overhead=\"0\"/>\n<caches memory_access_time=\"100\"/>\n\
         <processors><processor name=\"CPU 1\" id=\"1\" cl_overhead=\"0\" cs_overhead=\"0\" speed=\"1.0\"/></processors>\n\
         <tasks>\n{tasks}\n</tasks>\n</simulation>\n"
    )
}

fn task(more: &str) -> String {
    format!("<task name=\"TASK T1\" id=\"1\" instructions=\"0\" mix=\"0.5\" base_cpi=\"1.0\" {more}/>")
}

const GOOD: &str =
    "period=\"10.0\" deadline=\"8.0\" WCET=\"2.5\" activationDate=\"1.0\" abort_on_miss=\"no\"";

#[test]
fn a_task_set_of_simso_is_periodic_clients() {
    let (text, scenario) =
        imported("set.xml", &simso("simso.schedulers.RM_mono", &task(GOOD)), &Wishes::default());
    assert_eq!((&scenario.name[..], scenario.duration_ms, scenario.cores), ("set", 100, 1));
    let libos = &scenario.libos[0];
    assert_eq!(libos.policy, Policy::RateMonotonic);
    let jobs = libos.clients[0].jobs.unwrap();
    assert_eq!(jobs.arrivals, Arrivals::Periodic { period_us: 10_000, offset_us: 1000 });
    assert_eq!((jobs.work_us, jobs.deadline_us, libos.clients[0].tickets), (2500, Some(8000), 250));
    for note in ["# SimSo's task set set.xml", "\"TASK T1\" is task-t1", "# - mix of <task>"] {
        assert!(text.contains(note), "{note} is not in\n{text}");
    }
    assert!(!text.contains("abort_on_miss"));
}

#[test]
fn what_simso_can_and_a_scenario_cannot_is_refused_by_its_line() {
    let edf = |more: &str| simso("simso.schedulers.EDF_mono", &task(more));
    for (text, why) in [
        (
            edf(&format!("{GOOD} task_type=\"Sporadic\" list_activation_dates=\"1, 5\"")),
            "line 7: task TASK T1: releases at dates",
        ),
        (edf(&format!("{GOOD} periodic=\"no\"")), "line 7: task TASK T1: releases at dates"),
        (edf(&format!("{GOOD} followed_by=\"2\"")), "line 7: followed_by = \"2\" of <task> cannot"),
        (
            edf("period=\"10\" deadline=\"20\" WCET=\"1\""),
            "line 7: task TASK T1: a scenario has WCET up to deadline",
        ),
        (edf("period=\"10\" deadline=\"10\" WCET=\"much\""), "line 7: WCET = \"much\" is no time"),
        (edf("period=\"10\" deadline=\"10\""), "line 7: a task needs WCET"),
        (edf(GOOD).replace("etm=\"wcet\"", "etm=\"acet\""), "line 2: execution times by chance"),
        (edf(GOOD).replace("speed=\"1.0\"", "speed=\"2.0\""), "line 5: cores have one speed"),
        (
            edf(GOOD).replace("duration=\"100000000\"", "duration=\"long\""),
            "line 2: duration and cycles_per_ms",
        ),
        (
            simso("simso.schedulers.LLF", &task(GOOD)),
            "line 3: no policy stands for the scheduler \"simso.schedulers.LLF\"",
        ),
        (simso("simso.schedulers.EDF", ""), "line 6: there are no tasks"),
        ("<simulation>".into(), "the root node was opened but never closed"),
        ("<other/>".into(), "line 1: the file of a simulation begins with"),
    ] {
        let found = refused("a.xml", &text);
        assert!(found[0].starts_with(why), "{why}: {found:?}");
    }
}

#[test]
fn of_simso_what_is_otherwise_is_said() {
    let two = simso("simso.schedulers.EDF", &task("period=\"10\" deadline=\"10\" WCET=\"1.00005\""))
        .replace("<processors>", "<processors><processor name=\"CPU 2\" id=\"2\"/>")
        .replace("overhead=\"0\"/>", "overhead=\"50\"/>");
    let (text, scenario) = imported("two.xml", &two, &Wishes::default());
    assert_eq!((scenario.cores, scenario.libos[0].policy), (2, Policy::GlobalEdf));
    assert_eq!(scenario.libos[0].clients[0].placement, Placement::Anywhere);
    assert!(!text.contains("lets a task run"), "{text}");
    let wishes = Wishes { policy: Some(Policy::Edf), ..Wishes::default() };
    let (text, scenario) = imported("two.xml", &two, &wishes);
    assert_eq!(scenario.libos[0].clients[0].placement, Placement::Core(0));
    for note in [
        "EDF lets a task run on every processor",
        "overhead = 50 of <sched>",
        "abort_on_miss",
        "WCET = 1.00005 ms is 1000 us",
    ] {
        assert!(text.contains(note), "{note} is not in\n{text}");
    }
}

#[test]
fn what_is_imported_can_be_simulated() {
    for (name, text) in
        [("a.json", FAIR.to_string()), ("a.xml", simso("simso.schedulers.P_EDF", &task(GOOD)))]
    {
        let (_, scenario) = imported(name, &text, &Wishes { duration_ms: Some(1000), ..Wishes::default() });
        let simulated = crate::sim::simulate(&scenario, &crate::sim::costs::Costs::table().unwrap()).unwrap();
        assert!(simulated.recording.jobs.len() > 50, "{name}");
    }
}

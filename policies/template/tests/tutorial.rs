//! The steps of docs/write-a-scheduler.md: each keeps the laws of every policy, decides what the policy of that name in the libraries
//! decides, and is on the page as it is here.

#[path = "tutorial/cbs.rs"]
mod cbs;
#[path = "tutorial/edf.rs"]
mod edf;
#[path = "tutorial/lottery.rs"]
mod lottery;
#[path = "tutorial/round_robin.rs"]
mod round_robin;
#[path = "tutorial/stride.rs"]
mod stride;

use libos_core::sched::laws::{self, QUANTUM};
use libos_core::sched::{ClientId, Demand, Policy, Terms, Tick, TurnEnd};

const TERMS: Terms = Terms { quantum: QUANTUM, seed: 1, core: 0 };
/// Lines of code that a policy may have.
const MOST_LINES: usize = 60;
const PAGE: &str = include_str!("../../../docs/write-a-scheduler.md");
const STEPS: [(&str, &str); 6] = [
    ("first come, first served", include_str!("../src/lib.rs")),
    ("round robin", include_str!("tutorial/round_robin.rs")),
    ("lottery", include_str!("tutorial/lottery.rs")),
    ("stride", include_str!("tutorial/stride.rs")),
    ("EDF", include_str!("tutorial/edf.rs")),
    ("CBS", include_str!("tutorial/cbs.rs")),
];

fn share(number: u64) -> Demand {
    Demand::Share { tickets: 1 + (number % 200) as u32 }
}

fn periodic(number: u64) -> Demand {
    let (budget, more) = (1 + number % 3000, number / 3000 % 20_000);
    let [budget, period] = [budget, budget + more].map(Tick);
    Demand::Periodic { first_release: Tick(0), budget, period, deadline: period }
}

#[track_caller]
fn keeps_the_laws<P: Policy>(policy: impl Fn() -> P, demand: impl Fn(u64) -> Demand) {
    if let Err(broken) = laws::check(policy, (100, 400), demand) {
        panic!("{broken}");
    }
}

#[test]
fn every_step_keeps_the_laws() {
    keeps_the_laws(|| round_robin::policy(TERMS), share);
    keeps_the_laws(|| lottery::policy(TERMS), share);
    keeps_the_laws(|| stride::policy(TERMS), share);
    keeps_the_laws(|| edf::policy(TERMS), periodic);
    keeps_the_laws(|| cbs::policy(TERMS), periodic);
}

/// Whom a policy runs, if nobody waits and every turn is a whole one.
fn order(policy: &mut dyn Policy, demands: &[Demand], turns: u64) -> Vec<u16> {
    for (number, demand) in (0..).zip(demands) {
        policy.join(ClientId(number), *demand, Tick(0)).unwrap();
    }
    let turn = |number: u64| {
        let decision = policy.pick(Tick(number * QUANTUM.0)).unwrap();
        policy.charge(decision.client, QUANTUM, TurnEnd::Ready, Tick((number + 1) * QUANTUM.0));
        decision.client.0
    };
    (0..turns).map(turn).collect()
}

#[test]
fn every_step_runs_whom_it_should() {
    let tickets = |numbers: &[u32]| {
        numbers.iter().map(|tickets| Demand::Share { tickets: *tickets }).collect::<Vec<_>>()
    };
    let due = |deadline| {
        let [budget, deadline] = [1, deadline].map(|quanta| Tick(quanta * QUANTUM.0));
        Demand::Periodic { first_release: Tick(0), budget, period: deadline, deadline }
    };
    let shares = tickets(&[3, 2, 1]);
    assert_eq!(order(&mut round_robin::policy(TERMS), &shares, 5), [0, 1, 2, 0, 1]);
    assert_eq!(order(&mut stride::policy(TERMS), &shares, 12), [0, 1, 0, 0, 1, 2].repeat(2));
    assert_eq!(order(&mut edf::policy(TERMS), &[due(9), due(5)], 3), [1, 1, 1]);
    // Each turn moves a deadline on by its period: 8, 4; 8, 8; 16, 8; 16, 12; 16, 16.
    assert_eq!(order(&mut cbs::policy(TERMS), &[due(8), due(4)], 5), [1, 0, 1, 1, 0]);
    let drawn = order(&mut lottery::policy(TERMS), &shares, 6000);
    let wins = |client| drawn.iter().filter(|winner| **winner == client).count();
    // Binomial, ± 4 sigma.
    assert!((2845..=3155).contains(&wins(0)) && (884..=1116).contains(&wins(2)), "{} {}", wins(0), wins(2));
}

#[test]
fn every_step_has_at_most_sixty_lines() {
    for (step, code) in STEPS {
        let lines = code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        assert!(lines.clone().count() <= MOST_LINES, "{step}: {}", lines.count());
    }
}

/// The page has each step's code from its first `use` on, but for the name that the first has.
#[test]
fn the_page_has_every_step_as_it_is_here() {
    for (step, code) in STEPS {
        let code = &code[code.find("\nuse ").unwrap() + 1..];
        let code = code.replace("Template", "Mine").replace("template", "mine");
        assert!(PAGE.contains(&format!("```rust\n{code}```\n")), "docs/write-a-scheduler.md differs: {step}");
    }
}

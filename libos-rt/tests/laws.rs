//! Soft constant-bandwidth servers never stop a client, so they keep the laws of every policy.
#![forbid(unsafe_code)]

use libos_core::sched::laws::{self, QUANTUM};
use libos_core::sched::{Demand, Tick};
use libos_rt::cbs::{ConstantBandwidth, Kind};

#[test]
fn soft_servers_keep_the_laws_whatever_their_clients_do() {
    let server = |number: u64| {
        let (budget, period) = (1 + number % 3000, 3000 + number / 3000 % 20_000);
        let [first_release, budget, period] = [0, budget, period].map(Tick);
        Demand::Periodic { first_release, budget, period, deadline: period }
    };
    if let Err(broken) = laws::check(|| ConstantBandwidth::new(Kind::Soft, QUANTUM), (400, 600), server) {
        panic!("{broken}");
    }
}

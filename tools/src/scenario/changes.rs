//! What whoever runs a scenario wants otherwise than its file says. Not here: whether the rest still fits (`super::check`).

use super::guarantees::guarantees;
use libos_core::scenario::{Admission, LibOs, Policy, Scenario};

/// What is to be different; by default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The policy of every libOS that schedules clients. Its program follows, if it is the policy's own.
    pub policy: Option<Policy>,
    /// The seed of all chance.
    pub seed: Option<u64>,
    /// Cores of the machine.
    pub cores: Option<u32>,
    /// What deadline policies promise.
    pub admission: Option<Admission>,
    /// How long the run lasts.
    pub duration_ms: Option<u32>,
    /// Slots that the broker keeps at least.
    pub kept: Option<u32>,
}

impl Changes {
    /// Makes them.
    pub fn apply(&self, scenario: &mut Scenario) {
        scenario.cores = self.cores.unwrap_or(scenario.cores);
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        scenario.duration_ms = self.duration_ms.unwrap_or(scenario.duration_ms);
        scenario.broker.slots = scenario.broker.slots.max(self.kept.unwrap_or(0));
        for libos in &mut scenario.libos {
            libos.admission = self.admission.unwrap_or(libos.admission);
        }
        for libos in scenario.libos.iter_mut().filter(|libos| libos.policy != Policy::None) {
            let policy = self.policy.unwrap_or(libos.policy);
            // By one policy, if it is named, from the beginning to the end.
            let swapped = self.policy.is_some() && libos.swap.take().is_some();
            if libos.program == libos.policy.word() || swapped {
                libos.program = policy.word().into();
            }
            libos.policy = policy;
        }
        if self.policy.is_some() || self.admission.is_some() {
            scenario.libos.iter_mut().filter(|libos| !guarantees(libos)).for_each(forget_criticality);
        }
    }
}

/// A file's criticalities mean nothing where no deadlines are to be guaranteed.
fn forget_criticality(libos: &mut LibOs) {
    libos.clients.iter_mut().for_each(|client| client.criticality = 0);
}

/// Those that are compared where nothing else is asked for: of each kind the best known, as a command line has them.
pub const POLICIES: &str = "stride,lottery,edf,rate-monotonic,round-robin,fifo";

/// The policy of a word, for a command line: one that schedules clients.
pub fn policy_of(word: &str) -> Result<Policy, String> {
    let known = Policy::ALL.into_iter().find(|policy| policy.word() == word);
    known.ok_or_else(|| format!("it is one of {}", Policy::ALL.map(Policy::word).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{load_changed, parse};
    use std::path::Path;

    const TWO: &str = r#"
name = "two"
duration_ms = 1000
[broker]
mode = "static"
[[libos]]
name = "a"
policy = "stride"
want = 10
[[libos.clients]]
name = "c"
program = "spin"
[[libos]]
name = "b"
policy = "none"
program = "threads"
want = 10
"#;

    #[test]
    fn the_policys_own_program_follows_and_others_stay() {
        let mut scenario = parse(TWO, None, None).unwrap();
        Changes { policy: Some(Policy::RoundRobin), seed: Some(9), cores: Some(2), ..Changes::default() }
            .apply(&mut scenario);
        assert_eq!((scenario.seed, scenario.cores), (9, 2));
        assert_eq!(
            (&*scenario.libos[0].program, scenario.libos[0].policy),
            ("round-robin", Policy::RoundRobin)
        );
        assert_eq!((&*scenario.libos[1].program, scenario.libos[1].policy), ("threads", Policy::None));
        let mut own =
            parse(&TWO.replace("name = \"a\"", "name = \"a\"\nprogram = \"mine\""), None, None).unwrap();
        Changes { policy: Some(Policy::Fifo), ..Changes::default() }.apply(&mut own);
        assert_eq!((&*own.libos[0].program, own.libos[0].policy), ("mine", Policy::Fifo));
    }

    #[test]
    fn the_broker_keeps_more_slots_for_a_display_and_never_fewer() {
        for (before, kept, after) in [(2, Some(4), 4), (6, Some(4), 6), (2, None, 2)] {
            let mut scenario = parse(TWO, None, None).unwrap();
            scenario.broker.slots = before;
            Changes { kept, ..Changes::default() }.apply(&mut scenario);
            assert_eq!(scenario.broker.slots, after);
        }
    }

    #[test]
    fn words_are_policies_that_schedule() {
        assert_eq!(policy_of("rate-monotonic"), Ok(Policy::RateMonotonic));
        for wrong in ["none", "x"] {
            let all = policy_of(wrong).unwrap_err();
            assert!(
                all.starts_with("it is one of stride, hierarchical-stride, lottery, ")
                    && !all.contains("none"),
                "{all}"
            );
        }
    }

    #[test]
    fn the_scenarios_to_compare_are_good_under_every_policy() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/compare");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            for policy in Policy::ALL {
                // Their clients live on a core, or on every one, which on several is not for a policy that these share.
                let cores = policy.is_global().then_some(1);
                let changes = Changes { policy: Some(policy), cores, ..Changes::default() };
                let scenario = load_changed(&path, &changes, None);
                assert!(scenario.is_ok(), "{}", scenario.unwrap_err());
                count += 1;
            }
        }
        assert!(count >= 4 * 6);
    }
}

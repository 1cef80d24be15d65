//! What must have become of a libOS that fails on purpose: it did it, and got nothing by it. Not here: what others had of it (`blast`).

use super::Lines;
use libos_core::report::Hostile;
use libos_core::scenario::{self, Failure};

impl Lines<'_> {
    pub(super) fn failing(&mut self, libos: &scenario::LibOs) {
        let Some(fails) = libos.fails else { return };
        let expected = format!("{}: it fails as the scenario says: {}", libos.name, fails.how.word());
        let Some(heard) = self.outcome.hostile.iter().find(|one| one.name == libos.name) else {
            self.line(expected, "nothing is known of it", false);
            return;
        };
        let passed = is_evident(fails.how, heard);
        self.line(expected, told(heard), passed);
        let seen = format!("{} of {}", heard.forged_refused, heard.forged);
        let refused = heard.forged == heard.forged_refused;
        self.line(format!("{}: every forged capability is refused", libos.name), seen, refused);
    }
}

/// Whether the kernel's and the broker's own figures show a failure; of one that they have no figure of, the libOS's word for it.
pub fn is_evident(how: Failure, heard: &Hostile) -> bool {
    heard.failures > 0
        && match how {
            Failure::Crash | Failure::CorruptsItsTables => heard.destroyed,
            Failure::NeverYields => heard.excess_slices > 0,
            Failure::Forges => heard.forged > 0,
            Failure::IgnoresRevocation => heard.repossessions > 0,
            Failure::EndlessLoop | Failure::YieldsToTheDead | Failure::FloodsCalls => true,
        }
}

/// What is known of a failure, in words.
fn told(heard: &Hostile) -> String {
    let counts = [
        ("times, calls, yields or words", heard.failures),
        ("faults", heard.faults),
        ("slices kept too long", heard.excess_slices),
        ("forged", heard.forged),
        ("slots taken by force", heard.repossessions),
    ];
    let known = counts.iter().filter(|(_, count)| *count > 0);
    let mut all: Vec<String> = known.map(|(what, count)| format!("{count} {what}")).collect();
    all.extend(heard.destroyed.then(|| "destroyed".into()));
    if all.is_empty() { "nothing of it".into() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_without_its_figure_was_none() {
        let heard = Hostile { failures: 3, ..Hostile::default() };
        assert!(is_evident(Failure::EndlessLoop, &heard));
        for (how, with) in [
            (Failure::Crash, Hostile { destroyed: true, ..heard.clone() }),
            (Failure::CorruptsItsTables, Hostile { destroyed: true, ..heard.clone() }),
            (Failure::NeverYields, Hostile { excess_slices: 1, ..heard.clone() }),
            (Failure::Forges, Hostile { forged: 1, ..heard.clone() }),
            (Failure::IgnoresRevocation, Hostile { repossessions: 1, ..heard.clone() }),
        ] {
            assert!(!is_evident(how, &heard) && is_evident(how, &with), "{how:?}");
            assert!(!is_evident(how, &Hostile { failures: 0, ..with }), "{how:?}");
        }
    }

    #[test]
    fn what_is_known_is_told_and_nothing_else() {
        let heard = Hostile { failures: 2, faults: 2, destroyed: true, ..Hostile::default() };
        assert_eq!(told(&heard), "2 times, calls, yields or words, 2 faults, destroyed");
        assert_eq!(told(&Hostile::default()), "nothing of it");
    }
}

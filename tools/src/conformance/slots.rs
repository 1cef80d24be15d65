//! What owning time slices is for: the same number of slots far apart and one after the other. The experiment that the exokernel's
//! authors describe and did not measure.

use super::measures::{part_of_slots, worst_response};
use super::setting::{Client, Setting};
use super::{Expectation, Experiment};
use libos_core::scenario::{Policy, Spacing};

const EXOKERNEL: &str = "Engler, Kaashoek and O'Toole, Exokernel, SOSP 1995, 5.1.1: equidistant slices for responsiveness, contiguous ones against \
     switches (described, never measured)";
const SLOTS: u32 = 40;
const OWNED: u32 = 10;
const QUANTUM_US: u32 = 1000;
const WORK_US: u32 = 300;
/// Start-up, until jobs begin.
const BEGIN_MS: u32 = 600;

/// All of them.
pub fn experiments() -> Vec<Experiment> {
    vec![
        // The broker's slots are at 0 and 20, so two of the ten are a slot further from those before.
        spaced("slots-equidistant", Spacing::Equidistant, 4.0),
        spaced("slots-contiguous", Spacing::Contiguous, 30.0),
    ]
}

/// A quarter of a core, for a short job that comes at every place of the revolution, and one that computes all the rest of the time.
fn spaced(name: &str, spacing: Spacing, absent: f64) -> Experiment {
    // Half a slot after the same place each time: in 80 jobs every place comes up.
    let period_us = SLOTS * QUANTUM_US + QUANTUM_US / 2;
    let clients = vec![Client::periodic("short", WORK_US, period_us), Client::endless("long", 1)];
    let core = Setting::core(Policy::Edf, 90 * period_us / 1000 + BEGIN_MS, clients);
    let expected = absent + f64::from(WORK_US) / f64::from(QUANTUM_US);
    Experiment {
        name: name.into(),
        source: EXOKERNEL,
        setting: Setting { quantum_us: QUANTUM_US, slots: SLOTS, want: Some(OWNED), spacing, ..core },
        expectations: vec![
            Expectation::within(
                "worst response, slots",
                (expected, (expected - 0.3, expected + 0.3)),
                "the longest time without a slot, and the job; what a slot costs at its beginning comes on top, and releases come every \
                 half a slot",
                |run| worst_response(run, 0, f64::from(QUANTUM_US)),
            ),
            Expectation::within(
                "what clients have of their libOS's slots",
                (1.0, (0.95, 1.0)),
                "what a slot costs at its beginning. It costs about the same after a slot of one's own, for each begins anew here",
                part_of_slots,
            ),
        ],
    }
}

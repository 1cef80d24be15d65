//! `docs/abi.md` and the interface are compared: calls with their arguments, errors, outcomes, limits.
//! Not here: whether what the page says of them is true.
#![forbid(unsafe_code)]

use tranche_abi::calls::NAMES;
use tranche_abi::{Error, Reason, layout};

const PAGE: &str = include_str!("../../../docs/abi.md");

macro_rules! signatures {
    ($($(#[$doc:meta])* $number:literal $variant:ident $name:ident { $($argument:ident : $type:ty),* };)*) => {
        /// Every call's heading.
        fn headings() -> Vec<String> {
            vec![$({
                let arguments: &[&str] = &[$(stringify!($argument)),*];
                format!("### {} `{}({})`", $number, stringify!($name), arguments.join(", "))
            }),*]
        }
    };
}
tranche_abi::call_table!(signatures);

fn has_row(start: &str) -> bool {
    PAGE.lines().any(|line| line.starts_with(start))
}

#[test]
fn the_page_has_a_heading_for_each_call_and_for_no_other() {
    let documented: Vec<&str> =
        PAGE.lines().filter(|line| line.starts_with("### ") && line.contains('(')).collect();
    assert_eq!(documented, headings());
    assert_eq!(documented.len(), NAMES.len());
}

#[test]
fn the_page_has_a_row_for_each_error() {
    let missing = |number: &u64| {
        Error::from_register(*number).is_some_and(|error| !has_row(&format!("| {number} | `{error:?}` |")))
    };
    assert_eq!((0..1000).filter(missing).collect::<Vec<_>>(), []);
    assert_eq!(Error::from_register(1), Some(Error::BadHandle));
}

#[test]
fn the_page_has_a_row_for_each_outcome() {
    let missing = |number: &u64| {
        Reason::from_register(*number).is_some_and(|reason| !has_row(&format!("| {number} | `{reason:?}` |")))
    };
    assert_eq!((0..1000).filter(missing).collect::<Vec<_>>(), []);
    assert_eq!(Reason::from_register(0), Some(Reason::Yielded));
}

#[test]
fn the_page_has_the_limits_as_they_are() {
    let limits = [
        ("MAX_CORES", layout::MAX_CORES as u64),
        ("MAX_SLOTS", layout::MAX_SLOTS as u64),
        ("MAX_ENVS", layout::MAX_ENVS as u64),
        ("MAX_ACTIVATIONS", layout::MAX_ACTIVATIONS as u64),
        ("MAX_HANDLES", layout::MAX_HANDLES as u64),
        ("MAX_GATES", layout::MAX_GATES as u64),
        ("MAX_CHAIN", layout::MAX_CHAIN as u64),
        ("MAX_MAPPINGS", layout::MAX_MAPPINGS as u64),
        ("MAX_BATCH", layout::MAX_BATCH),
        ("ENV_FRAMES", layout::ENV_FRAMES),
        ("MAX_CLIENTS", layout::MAX_CLIENTS as u64),
        ("CONSOLE_CHUNK", layout::CONSOLE_CHUNK as u64),
    ];
    for (name, value) in limits {
        assert!(has_row(&format!("| `{name}` | {value} |")), "{name} = {value}");
    }
    for address in [layout::ACTIVATION_BASE, layout::PUBLIC_BASE, layout::USER_END] {
        let written =
            format!("0x{:x}_{:04x}_{:04x}", address >> 32, address >> 16 & 0xffff, address & 0xffff);
        assert!(PAGE.contains(&written), "{written}");
    }
}

//! A workload: uses CPU time and nothing else; as a periodic program, exactly what it declares.
#![forbid(unsafe_code)]

use crate::work;
use libos_core::start::StartInfo;

/// Works as its start page says. A unit is so short that it adds little to the steps in which an emulator's cores see the time.
pub fn main(info: StartInfo) {
    work::run(&info, is_right);
}

/// Counts to five in a way that the compiler does not see through.
fn is_right() -> bool {
    let count = (0..5u64).fold(0, |count, _| core::hint::black_box(count + 1));
    count == 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_to_five() {
        assert!(is_right());
    }
}

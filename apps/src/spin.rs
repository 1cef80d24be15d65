//! A workload: uses CPU time and nothing else; as a periodic program, exactly what it declares.
#![forbid(unsafe_code)]

use crate::work;
use libos_core::start::StartInfo;

/// Works as its start page says. A unit is so short that a job is off by some microseconds at most, even where four cores
/// share an emulator's speed.
pub fn main(info: StartInfo) {
    work::run(&info, is_right);
}

/// Counts to twenty in a way that the compiler does not see through.
fn is_right() -> bool {
    let count = (0..20u64).fold(0, |count, _| core::hint::black_box(count + 1));
    count == 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_to_twenty() {
        assert!(is_right());
    }
}

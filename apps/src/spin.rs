//! A workload: uses CPU time and nothing else; as a periodic program, exactly what it declares.
#![forbid(unsafe_code)]

use crate::work;
use libos_core::start::StartInfo;

/// Works as its start page says. A unit is some hundred instructions.
pub fn main(info: StartInfo) {
    work::run(&info, is_right);
}

/// Counts to a hundred in a way that the compiler does not see through.
fn is_right() -> bool {
    let count = (0..100u64).fold(0, |count, _| core::hint::black_box(count + 1));
    count == 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_to_a_hundred() {
        assert!(is_right());
    }
}

//! Chance with a seed: the same seed, the same draws.
#![forbid(unsafe_code)]

/// The next 64 bits: xorshift64* (Vigna 2016). The state must not be 0, and never becomes it.
pub fn draw(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// A state for [`draw`] out of several numbers, any of which may be 0: neighbouring ones give states far apart.
pub fn seed(numbers: &[u64]) -> u64 {
    // The finaliser of splitmix64 (Steele, Lea and Flood 2014) over a running sum.
    let mixed = numbers.iter().fold(0u64, |state, number| {
        let mut z = state.wrapping_add(*number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    });
    mixed.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_that_differ_in_one_number_draw_differently_from_the_first_draw_on() {
        let first = |numbers: &[u64]| draw(&mut seed(numbers));
        let draws = [first(&[1, 0, 0]), first(&[1, 0, 1]), first(&[1, 1, 0]), first(&[2, 0, 0]), first(&[])];
        for (place, one) in draws.iter().enumerate() {
            assert!(!draws[..place].contains(one));
        }
    }
}

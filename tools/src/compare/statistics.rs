//! How sure one can be of a mean and of a difference, from few repetitions. `docs/compare.md` explains both.
//!
//! Chance is seeded: the same values give the same answers. Not here: what is compared.

use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Resamples of a bootstrap that is not enumerated, and sign patterns of a test that is not.
pub const DRAWS: u64 = 10_000;
/// Up to so many, all resamples or sign patterns are gone through instead.
const ENUMERABLE: u64 = 50_000;
/// The level at which a difference is called one.
pub const LEVEL: f64 = 0.05;

/// A mean and where 95 % of its bootstrap lies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// How many values.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// The 2.5 % quantile of the resampled means.
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
}

/// The percentile bootstrap of a mean (Efron, 1979): all resamples of up to five values, else [`DRAWS`] of them.
/// `None` of nothing.
pub fn bootstrap(values: &[f64], seed: u64) -> Option<Interval> {
    if values.is_empty() {
        return None;
    }
    let count = values.len();
    let mean_of =
        |picks: &mut dyn FnMut() -> usize| (0..count).map(|_| values[picks()]).sum::<f64>() / count as f64;
    let all = (count as u64).checked_pow(count as u32).filter(|all| *all <= ENUMERABLE);
    let mut chance = Chance(seed);
    let mut means: Vec<f64> = match all {
        Some(all) => (0..all)
            .map(|mut number| {
                mean_of(&mut || {
                    let pick = number % count as u64;
                    number /= count as u64;
                    pick as usize
                })
            })
            .collect(),
        None => (0..DRAWS).map(|_| mean_of(&mut || chance.below(count as u64) as usize)).collect(),
    };
    means.sort_by(f64::total_cmp);
    let rank = |thousandths: usize| means[(means.len() * thousandths).div_ceil(1000).max(1) - 1];
    let mean = values.iter().sum::<f64>() / count as f64;
    Some(Interval { count, mean, low: rank(25), high: rank(975) })
}

/// A test of paired values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Paired {
    /// Pairs.
    pub count: usize,
    /// Mean of the differences.
    pub difference: f64,
    /// How likely a mean at least as far from 0 is if it is chance which of a pair is which.
    pub p: f64,
    /// The least `p` that so many pairs can have.
    pub least_p: f64,
}

/// The sign-flip permutation test (Fisher, 1935), two-sided: all sign patterns of few pairs, else [`DRAWS`] of them.
/// `None` of nothing.
pub fn paired(differences: &[f64], seed: u64) -> Option<Paired> {
    let count = differences.len();
    let sum: f64 = differences.iter().sum();
    // What differs by rounding only is as extreme.
    let scale: f64 = differences.iter().map(|difference| difference.abs()).sum();
    let extreme = |signs: &dyn Fn(usize) -> bool| {
        let flipped: f64 = (0..count).map(|i| if signs(i) { differences[i] } else { -differences[i] }).sum();
        flipped.abs() >= sum.abs() - scale * 1e-12
    };
    let patterns = 1u64.checked_shl(count as u32).filter(|patterns| *patterns <= ENUMERABLE);
    let mut chance = Chance(seed);
    let (p, least_p) = match patterns {
        Some(patterns) => {
            let all = (0..patterns).filter(|pattern| extreme(&|i| (pattern >> i) & 1 == 1)).count();
            (all as f64 / patterns as f64, (2.0 / patterns as f64).min(1.0))
        }
        None => {
            let drawn = (0..DRAWS).filter(|_| {
                let flips: Vec<bool> = (0..count).map(|_| chance.below(2) == 1).collect();
                extreme(&|i| flips[i])
            });
            // The pattern that was seen counts as drawn (Phipson and Smyth, 2010).
            let least = 1.0 / (DRAWS + 1) as f64;
            ((drawn.count() + 1) as f64 * least, least)
        }
    };
    (count > 0).then(|| Paired { count, difference: sum / count as f64, p, least_p })
}

/// Holm's correction (1979): the chance of even one false difference among all is at most the level of each. In the order
/// of the arguments.
pub fn holm(ps: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..ps.len()).collect();
    order.sort_by(|one, other| ps[*one].total_cmp(&ps[*other]));
    let (mut adjusted, mut highest) = (vec![0.0; ps.len()], 0.0f64);
    for (rank, index) in order.into_iter().enumerate() {
        highest = highest.max((ps[index] * (ps.len() - rank) as f64).min(1.0));
        adjusted[index] = highest;
    }
    adjusted
}

/// What can be said of two policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// They differ: corrected p is at most [`LEVEL`].
    Differs,
    /// No significant difference.
    NoSignificantDifference,
    /// So few pairs cannot show any difference after the correction, however great it is.
    TooFewRepetitions,
}

/// The answer, given the corrected p and how many comparisons were made.
pub fn answer(test: &Paired, corrected: f64, comparisons: usize) -> Answer {
    match () {
        () if corrected <= LEVEL => Answer::Differs,
        // Pairs that are all alike show that there is no difference, however few they are.
        () if test.least_p * comparisons as f64 > LEVEL && test.difference != 0.0 => {
            Answer::TooFewRepetitions
        }
        () => Answer::NoSignificantDifference,
    }
}

/// How many pairs a difference needs at least to be shown among so many comparisons; `None` within `within` pairs.
pub fn pairs_needed(comparisons: usize, within: RangeInclusive<u32>) -> Option<u32> {
    within.into_iter().find(|pairs| 2.0 / 2f64.powi(*pairs as i32) * comparisons as f64 <= LEVEL)
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The high half of a product: its bias is below limit / 2⁶⁴.
        ((u128::from(mixed ^ (mixed >> 31)) * u128::from(limit)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_resamples_of_two_values_are_enumerated() {
        // Means of (0,0), (0,2), (2,0), (2,2): 0, 1, 1, 2.
        let interval = bootstrap(&[0.0, 2.0], 1).unwrap();
        assert_eq!((interval.count, interval.mean, interval.low, interval.high), (2, 1.0, 0.0, 2.0));
    }

    #[test]
    fn values_that_are_alike_have_an_interval_of_no_width() {
        let interval = bootstrap(&[3.0; 20], 1).unwrap();
        assert_eq!((interval.low, interval.mean, interval.high), (3.0, 3.0, 3.0));
        assert_eq!(bootstrap(&[], 1), None);
    }

    #[test]
    fn the_interval_of_many_values_is_near_the_normal_one() {
        // 0..100: standard error 28.87 / 10 = 2.887; 1.96 of them are 5.66.
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        let interval = bootstrap(&values, 7).unwrap();
        assert!((interval.low - 43.84).abs() < 0.5 && (interval.high - 55.16).abs() < 0.5, "{interval:?}");
        assert_eq!(bootstrap(&values, 7), Some(interval));
    }

    #[test]
    fn five_pairs_that_agree_have_the_least_p_that_five_can_have() {
        let test = paired(&[1.0, 2.0, 1.5, 3.0, 0.5], 1).unwrap();
        assert_eq!((test.p, test.least_p, test.difference), (0.0625, 0.0625, 1.6));
        assert_eq!(answer(&test, test.p, 1), Answer::TooFewRepetitions);
    }

    #[test]
    fn ten_pairs_that_agree_differ_even_among_fifteen_comparisons() {
        let test = paired(&[1.0; 10], 1).unwrap();
        assert_eq!(test.p, 2.0 / 1024.0);
        assert_eq!(answer(&test, test.p * 15.0, 15), Answer::Differs);
        assert_eq!(pairs_needed(15, 2..=20), Some(10));
    }

    #[test]
    fn differences_around_zero_are_none() {
        let test = paired(&[1.0, -1.0, 2.0, -2.0, 1.0, -1.0, 2.0, -2.0], 1).unwrap();
        assert_eq!((test.p, answer(&test, test.p, 1)), (1.0, Answer::NoSignificantDifference));
        assert_eq!(
            paired(&[0.0; 5], 1).map(|test| answer(&test, 1.0, 15)),
            Some(Answer::NoSignificantDifference)
        );
        assert_eq!(paired(&[], 1), None);
    }

    #[test]
    fn many_pairs_are_tested_by_drawing() {
        let test = paired(&[1.0; 40], 1).unwrap();
        assert_eq!(test.p, test.least_p);
        let mixed: Vec<f64> = (0..40).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!(paired(&mixed, 1).unwrap().p > 0.9);
    }

    #[test]
    fn holm_multiplies_the_least_by_all_and_never_falls() {
        assert_eq!(holm(&[0.04, 0.01, 0.03]), [0.06, 0.03, 0.06]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
    }
}

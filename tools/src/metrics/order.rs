//! Quantiles as exact order statistics: the p-quantile of n values is the ⌈p·n⌉-th smallest (nearest rank), so it is a
//! value that was really seen, and never an interpolation.

use serde::{Deserialize, Serialize};

/// What is reported of a set of values, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// How many values.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// Half of them are at most this.
    pub p50_us: f64,
    /// Nine of ten.
    pub p90_us: f64,
    /// 99 of a hundred; the largest, if there are fewer than a hundred.
    pub p99_us: f64,
    /// 999 of a thousand; the largest, if there are fewer than a thousand.
    pub p999_us: f64,
    /// The largest.
    pub max_us: f64,
}

/// The value at this quantile, in thousandths, of values in ascending order. `None` of nothing.
pub fn quantile(sorted: &[u64], thousandths: u64) -> Option<u64> {
    let rank = (sorted.len() as u64 * thousandths).div_ceil(1000).max(1);
    sorted.get(rank as usize - 1).copied()
}

/// The distribution of values in ticks of a clock of this frequency. `None` of nothing.
pub fn distribution(mut values: Vec<u64>, frequency: u64) -> Option<Distribution> {
    values.sort_unstable();
    let us = |ticks: u64| ticks as f64 * 1e6 / frequency as f64;
    let at = |thousandths| quantile(&values, thousandths).map(us);
    let sum: u128 = values.iter().map(|value| u128::from(*value)).sum();
    Some(Distribution {
        count: values.len() as u64,
        p50_us: at(500)?,
        p90_us: at(900)?,
        p99_us: at(990)?,
        p999_us: at(999)?,
        max_us: at(1000)?,
        mean_us: sum as f64 / values.len() as f64 * 1e6 / frequency as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_value_at_the_nearest_rank() {
        let values: Vec<u64> = (1..=10).collect();
        let at = |thousandths| quantile(&values, thousandths).unwrap();
        assert_eq!(
            [at(0), at(1), at(100), at(101), at(500), at(900), at(901), at(1000)],
            [1, 1, 1, 2, 5, 9, 10, 10]
        );
        assert_eq!(quantile(&[], 500), None);
    }

    #[test]
    fn a_distribution_is_in_microseconds() {
        let found = distribution(vec![40, 10, 30, 20], 2_000_000).unwrap();
        assert_eq!(
            (found.count, found.mean_us, found.p50_us, found.p999_us, found.max_us),
            (4, 12.5, 10.0, 20.0, 20.0)
        );
        assert_eq!(distribution(vec![], 1000), None);
    }
}

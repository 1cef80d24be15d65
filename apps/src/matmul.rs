//! A workload: multiplies two matrices of 150×150 in floating point, and compares with sums that are known.
//!
//! All entries are small integers, so floating point is exact, and so is the comparison.
#![forbid(unsafe_code)]

use crate::work;
use alloc::boxed::Box;
use alloc::vec::Vec;
use libos_core::start::StartInfo;

/// Rows and columns.
const N: usize = 150;
/// Rows of the product that are one unit of work.
const BLOCK: usize = 15;

/// For each block of rows, the sum of the product's entries, each weighted by where it is; computed in integers with
/// another implementation (Python).
const KNOWN: [f64; N / BLOCK] = [
    91240469.0, 91240721.0, 91051253.0, 91044104.0, 91036090.0, 91028428.0, 91078638.0, 91228986.0,
    91296462.0, 91210128.0,
];

type Row = [f64; N];

/// Works as its start page says. A unit is a tenth of a multiplication.
pub fn main(info: StartInfo) {
    let (left, right) = (left(), right());
    let mut blocks = (0..N / BLOCK).cycle();
    work::run(&info, move || {
        let block = blocks.next().unwrap_or(0);
        is_right(&left, &right, block)
    });
}

fn matrix(entry: impl Fn(usize, usize) -> usize) -> Box<[Row]> {
    let row = |i| core::array::from_fn(|j| entry(i, j) as f64);
    Vec::from_iter((0..N).map(row)).into_boxed_slice()
}

fn left() -> Box<[Row]> {
    matrix(|i, j| (i * 3 + j * 7) % 11)
}

fn right() -> Box<[Row]> {
    matrix(|i, j| (i * 5 + j * 2) % 13)
}

/// The weight of an entry of the product.
fn weight(i: usize, j: usize) -> f64 {
    ((i + 2 * j) % 17 + 1) as f64
}

/// Multiplies one block of rows; whether its weighted sum is the known one.
fn is_right(left: &[Row], right: &[Row], block: usize) -> bool {
    let rows = block * BLOCK..(block + 1) * BLOCK;
    let sums = rows.map(|i| {
        let mut product: Row = [0.0; N];
        for (factor, row) in left[i].iter().zip(right) {
            // The inner loop runs along both rows, so that it is done in SIMD registers.
            for (sum, entry) in product.iter_mut().zip(row) {
                *sum += factor * entry;
            }
        }
        product.iter().enumerate().map(|(j, sum)| sum * weight(i, j)).sum::<f64>()
    });
    sums.sum::<f64>() == KNOWN[block]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_the_known_sum() {
        let (left, right) = (left(), right());
        assert!((0..N / BLOCK).all(|block| is_right(&left, &right, block)));
    }

    #[test]
    fn a_wrong_entry_is_noticed() {
        let (left, mut right) = (left(), right());
        right[149][149] += 1.0;
        assert!(!is_right(&left, &right, 0));
    }
}

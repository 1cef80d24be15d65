//! Raw computation: the product of two 150×150 matrices of integers. What is measured is the whole machine meanwhile, slice
//! switches included.

use super::counter;
use super::{Bench, Path, settle};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Rows and columns.
pub const N: usize = 150;
/// The sum of the product's entries, computed in Python from the same formulas.
const KNOWN: u64 = 101258856;

/// Measures one product.
pub fn measure(bench: &mut Bench) -> Result<(), String> {
    let left = matrix(|i, j| (i * 3 + j * 7) % 11);
    let right = matrix(|i, j| (i * 5 + j * 2) % 13);
    let mut product = vec![0; N * N];
    settle();
    let begin = counter::before();
    multiply(&left, &right, &mut product);
    let cost = counter::after().since(begin).without(bench.overhead);
    let sum: u64 = product.iter().map(|entry| u64::from(*entry)).sum();
    if sum != KNOWN {
        return Err(alloc::format!("the product's sum is {sum}, not {KNOWN}"));
    }
    bench.record("matmul", &[cost], Path::Interrupted)
}

fn matrix(entry: impl Fn(usize, usize) -> usize) -> Vec<u32> {
    (0..N * N).map(|place| entry(place / N, place % N) as u32).collect()
}

/// By rows and columns, as a book has it.
#[inline(never)]
pub fn multiply(left: &[u32], right: &[u32], product: &mut [u32]) {
    for i in 0..N {
        for j in 0..N {
            product[i * N + j] = inner(&left[i * N..][..N], &right[j..]);
        }
    }
}

/// A row times a column. In assembly, so that every compiler and every kernel runs the same six instructions a step.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn inner(row: &[u32], column: &[u32]) -> u32 {
    let sum: u32;
    // SAFETY: Reads the N entries of the row, and of the column every N-th up to (N - 1) * N, which the last column has.
    unsafe {
        core::arch::asm!(
            "2:",
            "ldr {a:w}, [{row}], #4",
            "ldr {b:w}, [{column}]",
            "add {column}, {column}, #{stride}",
            "madd {sum:w}, {a:w}, {b:w}, {sum:w}",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            stride = const N * 4,
            a = out(reg) _, b = out(reg) _,
            row = inout(reg) row.as_ptr() => _,
            column = inout(reg) column.as_ptr() => _,
            sum = inout(reg) 0u32 => sum,
            n = inout(reg) N => _,
            options(nostack, readonly),
        )
    };
    sum
}

/// The same for the host's tests.
#[cfg(not(target_arch = "aarch64"))]
fn inner(row: &[u32], column: &[u32]) -> u32 {
    row.iter().zip(column.iter().step_by(N)).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_has_the_known_sum() {
        let left = matrix(|i, j| (i * 3 + j * 7) % 11);
        let right = matrix(|i, j| (i * 5 + j * 2) % 13);
        let mut product = vec![0; N * N];
        multiply(&left, &right, &mut product);
        assert_eq!(product.iter().map(|entry| u64::from(*entry)).sum::<u64>(), KNOWN);
    }
}

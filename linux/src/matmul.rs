//! Raw computation: the product of two 150×150 matrices of integers, in which no kernel has a part but by its interrupts.
//! Not here: who measures it.

/// Rows and columns.
pub const N: usize = 150;

/// A matrix, row by row.
pub type Matrix = [u32; N * N];

/// Gives two factors small numbers that depend on row and column.
pub fn fill(left: &mut Matrix, right: &mut Matrix) {
    for place in 0..N * N {
        let (i, j) = (place / N, place % N);
        left[place] = ((i * 3 + j * 7) % 11) as u32;
        right[place] = ((i * 5 + j * 2) % 13) as u32;
    }
}

/// Multiplies, by rows and columns, as a book has it.
#[inline(never)]
pub fn multiply(left: &Matrix, right: &Matrix, product: &mut Matrix) {
    for i in 0..N {
        for j in 0..N {
            product[i * N + j] = inner(&left[i * N..][..N], &right[j..]);
        }
    }
}

/// The sum of a product's entries.
pub fn sum(product: &Matrix) -> u64 {
    product.iter().map(|entry| u64::from(*entry)).sum()
}

/// The sum of the product's entries for the factors of [`fill`]: for each k, column k's sum on the left times row k's sum
/// on the right.
pub fn known_sum(left: &Matrix, right: &Matrix) -> u64 {
    let column = |k: usize| -> u64 { (0..N).map(|i| u64::from(left[i * N + k])).sum() };
    let row = |k: usize| -> u64 { right[k * N..][..N].iter().map(|entry| u64::from(*entry)).sum() };
    (0..N).map(|k| column(k) * row(k)).sum()
}

/// A row times a column. In assembly, so that it is the same six instructions a step whoever compiles it.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn inner(row: &[u32], column: &[u32]) -> u32 {
    let sum: u32;
    // SAFETY: Reads N entries of the row, and of the column every N-th up to (N - 1) * N, which the last column has.
    unsafe {
        core::arch::asm!(
            "2:",
            "ldr {a:w}, [{row}], #4",
            "ldr {b:w}, [{column}]",
            "add {column}, {column}, #{stride}",
            "madd {sum:w}, {a:w}, {b:w}, {sum:w}",
            "subs {left}, {left}, #1",
            "b.ne 2b",
            stride = const N * 4,
            a = out(reg) _, b = out(reg) _,
            row = inout(reg) row.as_ptr() => _,
            column = inout(reg) column.as_ptr() => _,
            sum = inout(reg) 0u32 => sum,
            left = inout(reg) N => _,
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

    fn factors() -> (Matrix, Matrix) {
        let (mut left, mut right) = ([0; N * N], [0; N * N]);
        fill(&mut left, &mut right);
        (left, right)
    }

    #[test]
    fn the_entries_are_rows_times_columns() {
        let (left, right) = factors();
        let mut product = [0; N * N];
        multiply(&left, &right, &mut product);
        let entry = |i: usize, j: usize| (0..N).map(|k| left[i * N + k] * right[k * N + j]).sum::<u32>();
        for (i, j) in [(0, 0), (0, 149), (149, 0), (77, 31), (149, 149)] {
            assert_eq!(product[i * N + j], entry(i, j));
        }
        assert_eq!(sum(&product), known_sum(&left, &right));
    }

    #[test]
    fn the_sum_for_these_factors_is_the_one_computed_elsewhere() {
        let (left, right) = factors();
        assert_eq!(known_sum(&left, &right), 101258856);
    }
}

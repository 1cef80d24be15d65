//! Costs from samples: least squares, without those samples that something else has disturbed.
//!
//! Not here: what was sampled (`samples`).

/// How often outliers are left out, and by how many standard deviations.
const ROUNDS: usize = 4;
const SIGMAS: f64 = 3.0;
/// A standard deviation below this, in ticks, is no reason to leave anything out.
const LEAST_SIGMA: f64 = 3.0;

/// What a fit found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fit {
    /// The coefficients.
    pub of: Vec<f64>,
    /// Samples, and how many of them were left out.
    pub samples: usize,
    /// See there.
    pub left_out: usize,
    /// The standard deviation of the others from what was found.
    pub sigma: f64,
}

/// The coefficients by which the rows give the values, as nearly as can be. A column that says nothing has 0.
pub fn fit(rows: &[Vec<f64>], values: &[f64]) -> Fit {
    let mut kept: Vec<usize> = (0..rows.len()).collect();
    let mut found = Fit { samples: rows.len(), ..Fit::default() };
    for _ in 0..ROUNDS {
        found.of = solve(rows, values, &kept);
        let off = |row: usize| values[row] - predicted(&rows[row], &found.of);
        let square: f64 = kept.iter().map(|row| off(*row) * off(*row)).sum();
        found.sigma = (square / kept.len().max(1) as f64).sqrt();
        let most = SIGMAS * found.sigma.max(LEAST_SIGMA);
        kept = (0..rows.len()).filter(|row| off(*row).abs() <= most).collect();
    }
    found.left_out = rows.len() - kept.len();
    found
}

fn predicted(row: &[f64], of: &[f64]) -> f64 {
    row.iter().zip(of).map(|(value, factor)| value * factor).sum()
}

/// The normal equations, by Gauss and Jordan.
fn solve(rows: &[Vec<f64>], values: &[f64], kept: &[usize]) -> Vec<f64> {
    let columns = rows.first().map_or(0, Vec::len);
    let sum = |term: &dyn Fn(usize) -> f64| kept.iter().map(|row| term(*row)).sum::<f64>();
    let mut matrix: Vec<Vec<f64>> = (0..columns)
        .map(|i| {
            let mut line: Vec<f64> = (0..columns).map(|j| sum(&|row| rows[row][i] * rows[row][j])).collect();
            line.push(sum(&|row| rows[row][i] * values[row]));
            line
        })
        .collect();
    let scale: Vec<f64> = (0..columns).map(|column| matrix[column][column]).collect();
    let mut used = vec![None; columns];
    for column in 0..columns {
        let free = (0..columns).filter(|row| !used.contains(&Some(*row)));
        let best =
            free.max_by(|one, other| matrix[*one][column].abs().total_cmp(&matrix[*other][column].abs()));
        // What is a combination of earlier columns adds nothing.
        let Some(pivot) = best.filter(|row| matrix[*row][column].abs() > 1e-6 * scale[column].max(1e-6))
        else {
            continue;
        };
        used[column] = Some(pivot);
        let line = matrix[pivot].clone();
        for row in (0..columns).filter(|row| *row != pivot) {
            let factor = matrix[row][column] / line[column];
            matrix[row].iter_mut().zip(&line).for_each(|(value, pivots)| *value -= factor * pivots);
        }
    }
    let value =
        |column: usize| used[column].map_or(0.0, |row: usize| matrix[row][columns] / matrix[row][column]);
    (0..columns).map(value).collect()
}

/// The middle of some values; `None` if there are none.
pub fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_through_noise_and_what_was_disturbed_is_left_out() {
        let rows: Vec<Vec<f64>> = (0..200).map(|n| vec![1.0, f64::from(n % 10)]).collect();
        let noise = |n: usize| if n.is_multiple_of(2) { 1.0 } else { -1.0 };
        let mut values: Vec<f64> = (0..200).map(|n| 100.0 + 7.0 * (n % 10) as f64 + noise(n / 10)).collect();
        values[17] += 5_000.0;
        let found = fit(&rows, &values);
        assert!((found.of[0] - 100.0).abs() < 1.0 && (found.of[1] - 7.0).abs() < 0.2, "{found:?}");
        assert_eq!((found.samples, found.left_out), (200, 1));
    }

    #[test]
    fn a_column_that_never_changes_or_follows_another_has_no_part() {
        let rows: Vec<Vec<f64>> = (0..10).map(|n| vec![1.0, 2.0, f64::from(n)]).collect();
        let values: Vec<f64> = (0..10).map(|n| 4.0 + 3.0 * f64::from(n)).collect();
        let found = fit(&rows, &values);
        assert_eq!(found.of.iter().map(|value| value.round()).collect::<Vec<_>>(), [4.0, 0.0, 3.0]);
        assert_eq!(fit(&[], &[]).of, Vec::<f64>::new());
    }
}

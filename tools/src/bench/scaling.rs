//! Whether what must not depend on how many there are does not. Not here: the measuring (`docs/bench.md` says how it is done
//! and how exact it is).

use super::figures::{Figures, Point};
use super::shapes::Judgement;
use serde::Serialize;

/// What grows along a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Environments alive, with one core.
    Environments,
    /// Cores at work.
    Cores,
}

/// A line that must be flat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The operation.
    pub operation: String,
    /// What grows along it.
    pub axis: Axis,
    /// How many of them, and the instructions.
    pub points: Vec<(u64, u64)>,
    /// Whether no point is further than [`TOLERANCE`] above the lowest. Open where the points are no path's length.
    pub flat: Judgement,
}

/// What a flat line may rise: this part of its lowest point, in hundredths. The counting itself is exact with one core, and
/// to a few instructions of other cores with several.
pub const TOLERANCE: u64 = 5;

/// Whose figure with several cores is the sum of all cores' switches, and of what wakes them, by the number of cores. That is
/// not one path's length, so it is shown and not judged.
const SHARED: &str = "slice_switch";

/// Every operation along both axes, as far as it was measured.
pub fn lines(figures: &Figures) -> Vec<Line> {
    let mut names: Vec<&str> = figures.scaling.iter().map(|point| point.operation.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let mut lines = Vec::new();
    for axis in [Axis::Environments, Axis::Cores] {
        lines.extend(names.iter().filter_map(|name| line(figures, name, axis)));
    }
    lines
}

fn line(figures: &Figures, operation: &str, axis: Axis) -> Option<Line> {
    let all = figures.scaling.iter().filter(|point| point.operation == operation);
    // With several cores there are as many environments as it takes; of one core, the point with the fewest belongs there.
    let fewest = all.clone().filter(|point| point.cores == 1).map(|point| point.environments).min();
    let belongs = |point: &&Point| match axis {
        Axis::Environments => point.cores == 1,
        Axis::Cores => point.cores > 1 || Some(point.environments) == fewest,
    };
    let place = |point: &Point| match axis {
        Axis::Environments => point.environments,
        Axis::Cores => point.cores.into(),
    };
    let mut points: Vec<_> = all.filter(belongs).map(|point| (place(point), point.instructions)).collect();
    points.sort_unstable();
    let flat = match is_flat(&points) {
        _ if axis == Axis::Cores && operation == SHARED => Judgement::Open,
        true => Judgement::Pass,
        false => Judgement::Fail,
    };
    (points.len() > 1).then(|| Line { operation: operation.into(), axis, points, flat })
}

fn is_flat(points: &[(u64, u64)]) -> bool {
    let lowest = points.iter().map(|point| point.1).min().unwrap_or(0);
    points.iter().all(|point| (point.1 - lowest) * 100 <= lowest * TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(operation: &str, environments: u64, cores: u32, instructions: u64) -> Point {
        Point { operation: operation.into(), environments, cores, instructions, samples: 3, least: 3 }
    }

    fn figures(of_many: u64, of_eight: u64) -> Figures {
        let scaling = vec![
            point("pct", 16, 1, 30),
            point("pct", 3, 1, 30),
            point("pct", 1024, 1, of_many),
            point("pct", 10, 8, of_eight),
        ];
        Figures { scaling, ..Figures::default() }
    }

    #[test]
    fn a_path_of_the_same_length_everywhere_is_flat() {
        let lines = lines(&figures(30, 31));
        assert_eq!(lines[0].points, [(3, 30), (16, 30), (1024, 30)]);
        assert_eq!(lines[1].points, [(1, 30), (8, 31)]);
        assert!(lines.iter().all(|line| line.flat == Judgement::Pass));
    }

    #[test]
    fn a_path_that_grows_with_either_is_not() {
        let flat = |figures: Figures| lines(&figures).iter().map(|line| line.flat).collect::<Vec<_>>();
        assert_eq!(flat(figures(33, 30)), [Judgement::Fail, Judgement::Pass]);
        assert_eq!(flat(figures(30, 45)), [Judgement::Pass, Judgement::Fail]);
    }

    #[test]
    fn the_sum_of_all_cores_switches_is_not_judged() {
        let mut figures = figures(30, 90);
        figures.scaling.iter_mut().for_each(|point| point.operation = SHARED.into());
        let flat: Vec<_> = lines(&figures).iter().map(|line| line.flat).collect();
        assert_eq!(flat, [Judgement::Pass, Judgement::Open]);
    }
}

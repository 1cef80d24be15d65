//! The picture: every operation beside Linux's on a logarithmic axis, and the lines that must be flat. Not here: the figures.

use super::report::Report;
use super::rows::Row;
use super::scaling::{Axis, Line};
use super::shapes::Judgement;
use plotters::coord::Shift;
use plotters::coord::combinators::LogCoord;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, RangedCoordf64>>;
type Plane<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, LogCoord<f64>>>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Pixels.
const WIDTH: u32 = 1200;
/// Pixels of a row of the upper part.
const ROW: u32 = 22;
/// Pixels of the upper part besides its rows.
const FRAME: u32 = 160;
/// Pixels for the names of operations.
const LABELS: u32 = 340;
/// Pixels of the lower part.
const LOWER: u32 = 380;
/// What is Tranche's.
const OURS: RGBColor = RGBColor(0, 90, 160);
/// What is Linux's.
const THEIRS: RGBColor = RGBColor(200, 80, 0);
/// Budgets, and what connects.
const BUDGET: RGBColor = RGBColor(90, 90, 90);
/// Colours that people tell apart who see few.
const PALETTE: [RGBColor; 4] = [OURS, THEIRS, RGBColor(0, 140, 90), RGBColor(150, 60, 150)];

/// The picture as SVG, or why it cannot be drawn.
pub fn draw(report: &Report) -> Result<String, String> {
    let mut text = String::new();
    draw_into(report, &mut text).map_err(|error| format!("the picture: {error}"))?;
    Ok(text)
}

fn draw_into(report: &Report, text: &mut String) -> Drawn {
    let upper = FRAME + ROW * report.rows.len() as u32;
    let lower = if report.scaling.is_empty() { 0 } else { LOWER };
    let root = SVGBackend::with_string(text, (WIDTH, upper + lower)).into_drawing_area();
    root.fill(&WHITE)?;
    let (top, bottom) = root.split_vertically(upper);
    operations(report, &top)?;
    if lower > 0 {
        let (left, right) = bottom.split_horizontally(WIDTH / 2);
        scaling(report, Axis::Environments, &left)?;
        scaling(report, Axis::Cores, &right)?;
    }
    Ok(root.present()?)
}

fn operations(report: &Report, area: &Area<'_>) -> Drawn {
    let rows = report.rows.len();
    let mut chart = ChartBuilder::on(area)
        .margin(15)
        .margin_top(70)
        .margin_left(LABELS)
        .margin_right(50)
        .x_label_area_size(45)
        .build_cartesian_2d((1.0..1e8).log_scale(), 0.0..rows as f64 + 1.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .light_line_style(WHITE)
        .x_labels(9)
        .x_label_formatter(&|count| power(*count))
        .x_desc("instructions (logarithmic)")
        .label_style(("sans-serif", 14))
        .draw()?;
    for (number, row) in report.rows.iter().enumerate() {
        draw_row(&mut chart, row, (rows - number) as f64)?;
    }
    legend(report, area)
}

/// A power of ten as people write large numbers.
fn power(count: f64) -> String {
    match count {
        count if count >= 1e6 => format!("{} M", count / 1e6),
        count if count >= 1e3 => format!("{} k", count / 1e3),
        count => count.to_string(),
    }
}

/// A line from ours to Linux's, a point for each, and a stroke for the budget. A cost of 0 is drawn at the left end.
fn draw_row(chart: &mut Chart<'_, '_>, row: &Row, y: f64) -> Drawn {
    let ours = (row.instructions.minimum as f64).max(1.0);
    if let Some(theirs) = row.linux {
        chart.draw_series([PathElement::new([(ours, y), (theirs, y)], BUDGET.mix(0.35))])?;
        chart.draw_series([Circle::new((theirs, y), 5, THEIRS.filled())])?;
    }
    if let Some(budget) = &row.budget {
        let most = (budget.most as f64).max(1.0);
        chart.draw_series([PathElement::new([(most, y - 0.4), (most, y + 0.4)], BUDGET.stroke_width(2))])?;
    }
    chart.draw_series([Circle::new((ours, y), 5, OURS.filled())])?;
    let style = |size: i32, horizontal| {
        ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(horizontal, VPos::Center))
    };
    chart.draw_series([
        EmptyElement::at((1.0, y)) + Text::new(row.title.to_string(), (-12, 0), style(14, HPos::Right))
    ])?;
    let right = row.linux.map_or(ours, |theirs| theirs.max(ours));
    let ratio = row.ratio.map_or(String::new(), |ratio| match ratio {
        ratio if ratio >= 10.0 => format!(", {ratio:.0} times"),
        ratio => format!(", {ratio:.2} times"),
    });
    let label = format!("{}{ratio}", row.instructions.minimum);
    chart.draw_series([EmptyElement::at((right, y)) + Text::new(label, (10, 0), style(12, HPos::Left))])?;
    Ok(())
}

fn legend(report: &Report, area: &Area<'_>) -> Drawn {
    let text =
        |size: i32| ("sans-serif", size).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new("What operations cost: instructions, less is better", (20, 24), text(20)))?;
    let linux = match &report.linux {
        Ok(release) => format!("Linux {release}"),
        Err(_) => "Linux (not measured)".into(),
    };
    for (x, colour, name) in [(20, OURS, "Tranche"), (130, THEIRS, &linux)] {
        area.draw(&Circle::new((x + 6, 52), 5, colour.filled()))?;
        area.draw(&Text::new(name, (x + 18, 52), text(14)))?;
    }
    area.draw(&PathElement::new([(360, 44), (360, 60)], BUDGET.stroke_width(2)))?;
    area.draw(&Text::new("budget", (370, 52), text(14)))?;
    let note = "beside the points: Tranche's figure, and Linux's in multiples of it";
    Ok(area.draw(&Text::new(note, (450, 52), text(14)))?)
}

/// The lines along one axis, each point with its figure.
fn scaling(report: &Report, axis: Axis, area: &Area<'_>) -> Drawn {
    let lines: Vec<&Line> = report.scaling.iter().filter(|line| line.axis == axis).collect();
    let all = lines.iter().flat_map(|line| &line.points);
    let most = all.clone().map(|point| point.0).max().unwrap_or(1) as f64;
    let highest = all.map(|point| point.1).max().unwrap_or(1) as f64;
    let (title, what) = match axis {
        Axis::Environments => ("With more environments, on one core", "environments (logarithmic)"),
        Axis::Cores => ("With more cores at work", "cores (logarithmic)"),
    };
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(20)
        .margin_right(50)
        .x_label_area_size(45)
        .y_label_area_size(70)
        .build_cartesian_2d((0.9..most * 1.3).log_scale(), (1.0..highest * 4.0).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(what)
        .y_desc("instructions (logarithmic)")
        .x_label_formatter(&|count| count.to_string())
        .y_label_formatter(&|count| power(*count))
        .label_style(("sans-serif", 13))
        .draw()?;
    for (line, colour) in lines.into_iter().zip(PALETTE) {
        draw_line(&mut chart, line, (colour, line.operation != "yield_to"))?;
    }
    Ok(())
}

fn draw_line(chart: &mut Plane<'_, '_>, line: &Line, (colour, above): (RGBColor, bool)) -> Drawn {
    // Lines that are close have their figures on either side.
    let (vertical, near, far) = if above { (VPos::Bottom, -7, -22) } else { (VPos::Top, 8, 23) };
    let style =
        |horizontal| ("sans-serif", 13).into_font().color(&colour).pos(Pos::new(horizontal, vertical));
    let points: Vec<(f64, f64)> = line.points.iter().map(|point| (point.0 as f64, point.1 as f64)).collect();
    chart.draw_series([PathElement::new(points.clone(), colour.stroke_width(2))])?;
    for point in &points {
        chart.draw_series([Circle::new(*point, 4, colour.filled())])?;
        let label = Text::new(point.1.to_string(), (0, near), style(HPos::Center));
        chart.draw_series([EmptyElement::at(*point) + label])?;
    }
    if let Some(last) = points.last() {
        // What is no path's length is not to be taken for one.
        let kind = if line.flat == Judgement::Open { " (sum of all cores / cores)" } else { "" };
        let label = Text::new(format!("{}{kind}", line.operation), (0, far), style(HPos::Right));
        chart.draw_series([EmptyElement::at(*last) + label])?;
    }
    Ok(())
}

//! Pictures of what was measured, as PNG files beside the report.

use std::path::Path;
use std::sync::Once;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

/// Pixels of one chart; a picture has them below each other.
const SIZE: (u32, u32) = (900, 420);
const FONT: &str = "sans-serif";

/// A line of a chart: its name, and its points from left to right.
pub(super) type Curve = (String, Vec<(f64, f64)>);

/// One chart.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    pub(super) curves: Vec<Curve>,
}

/// Draws charts below each other into a file.
pub(super) fn draw(file: &Path, charts: &[Chart<'_>]) -> Result<()> {
    static FONT_KNOWN: Once = Once::new();
    FONT_KNOWN.call_once(|| {
        // It fails only for bytes that are no font.
        let _ = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
    });
    let root = BitMapBackend::new(file, (SIZE.0, SIZE.1 * charts.len() as u32)).into_drawing_area();
    let cannot = |why: &dyn std::fmt::Display| anyhow!("cannot draw {}: {why}", file.display());
    root.fill(&WHITE).map_err(|error| cannot(&error))?;
    for (chart, area) in charts.iter().zip(root.split_evenly((charts.len(), 1))) {
        draw_one(chart, &area).map_err(|error| cannot(&error))?;
    }
    root.present().map_err(|error| cannot(&error))
}

fn draw_one(chart: &Chart<'_>, area: &DrawingArea<BitMapBackend<'_>, Shift>) -> Result<()> {
    let points = || chart.curves.iter().flat_map(|(_, points)| points);
    // Room above the highest point; a chart without points is drawn empty.
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0, f64::max).max(1e-9) * 1.05;
    let mut drawn = ChartBuilder::on(area)
        .caption(chart.title, (FONT, 18))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..most(|point| point.0), 0.0..most(|point| point.1))?;
    drawn.configure_mesh().x_desc(chart.x).y_desc(chart.y).label_style((FONT, 13)).light_line_style(WHITE).draw()?;
    for (number, (name, points)) in chart.curves.iter().enumerate() {
        let color = Palette99::pick(number).to_rgba();
        drawn
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    drawn
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 13))
        .draw()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_a_png_of_its_size() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("a.png");
        let curve = ("ours".to_owned(), vec![(1.0, 2.0), (2.0, 5.0)]);
        let chart = |curves| Chart { title: "load", x: "requests per second", y: "ms", curves };
        draw(&file, &[chart(vec![curve]), chart(Vec::new())])?;
        let bytes = std::fs::read(&file)?;
        assert_eq!(bytes.get(..8), Some(b"\x89PNG\r\n\x1a\n".as_slice()));
        // The header chunk: width and height.
        let expected = [SIZE.0.to_be_bytes(), (2 * SIZE.1).to_be_bytes()].concat();
        assert_eq!(bytes.get(16..24), Some(expected.as_slice()));
        Ok(())
    }
}

//! One chart: a line for each heap.
#![forbid(unsafe_code)]

use core::error::Error;
use core::ops::Range;
use std::path::Path;

use plotters::chart::{ChartBuilder, ChartContext, SeriesLabelPosition};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::combinators::IntoLogRange;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement};
use plotters::prelude::{BLACK, Color, LineSeries, Palette, Palette99, SVGBackend, WHITE};

/// Width and height.
const SIZE: (u32, u32) = (900, 520);

/// An axis for values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// What it measures.
    pub(super) name: &'static str,
    /// Where its values are.
    pub(super) scale: Scale,
}

/// Where values are on an axis.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// Every doubling is as long as another.
    Logarithmic,
    /// Every step is as long as another, from 0 on.
    Linear,
    /// The same, from 0 to 1.
    Share,
}

/// The points of a heap.
#[derive(Debug)]
pub(super) struct Line {
    /// The heap.
    pub(super) name: &'static str,
    /// Where it is.
    pub(super) points: Vec<(f64, f64)>,
}

/// What is drawn.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    /// What it shows.
    pub(super) title: &'a str,
    /// What the horizontal axis is.
    pub(super) horizontal: &'a str,
    /// The vertical one.
    pub(super) vertical: Axis,
    /// The names of the places on the horizontal axis, from 0 on. Without any, it is logarithmic.
    pub(super) names: Vec<String>,
    /// The lines.
    pub(super) lines: Vec<Line>,
}

/// What is drawn on.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

impl Chart<'_> {
    /// Draws it into a file.
    pub(super) fn save(&self, file: &Path) -> Result<(), Box<dyn Error>> {
        let area = SVGBackend::new(file, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let up = self.range(|point| point.1);
        match self.vertical.scale {
            Scale::Logarithmic => {
                // A whole decade and more: a logarithmic axis of less has no numbers on it.
                let up = up.start.min(1.0)..up.end.max(12.0);
                self.draw_up(&area, up.log_scale())?;
            }
            Scale::Linear => self.draw_up(&area, 0.0..up.end)?,
            Scale::Share => self.draw_up(&area, 0.0..1.0)?,
        }
        area.present()?;
        Ok(())
    }

    /// Returns what a logarithmic axis has to cover: a bit more than all values.
    fn range(&self, value: impl Fn(&(f64, f64)) -> f64) -> Range<f64> {
        let values = self.lines.iter().flat_map(|line| &line.points).map(value);
        let (least, most) = values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        // Nothing takes no time, but a clock may say so.
        least.max(0.1) * 0.8..most.max(0.2) * 1.25
    }

    /// Draws it with this vertical axis.
    fn draw_up<Y>(&self, area: &Area<'_>, up: Y) -> Result<(), Box<dyn Error>>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        if self.names.is_empty() {
            let across = self.range(|point| point.0);
            return self.draw(area, across.log_scale(), up);
        }
        // From half a place before the first name to as much behind the last, and then room for saying what is whose.
        self.draw(area, -0.5..self.names.len() as f64, up)
    }

    /// Draws axes and lines.
    fn draw<X, Y>(&self, area: &Area<'_>, across: X, up: Y) -> Result<(), Box<dyn Error>>
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 22))
            .margin(12)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(across, up)?;
        let name = |place: &f64| self.name_at(*place);
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(self.horizontal)
            .y_desc(self.vertical.name)
            .x_label_formatter(&name)
            .max_light_lines(2);
        if !self.names.is_empty() {
            mesh.disable_x_mesh().x_labels(2 * self.names.len() + 2);
        }
        mesh.draw()?;
        self.draw_lines(&mut chart)
    }

    /// Draws the lines and says which is whose. Between names there are no lines, only points.
    fn draw_lines<'a, 'b: 'a, X, Y>(
        &self,
        chart: &mut ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>,
    ) -> Result<(), Box<dyn Error>>
    where
        X: Ranged<ValueType = f64>,
        Y: Ranged<ValueType = f64>,
    {
        for (index, line) in self.lines.iter().enumerate() {
            if line.points.is_empty() {
                continue;
            }
            // The third one is yellow, which does not show on white.
            let colour = Palette99::pick(if index < 2 { index } else { index + 1 }).mix(1.0);
            let width = if line.name == "ours" { 3 } else { 1 };
            if self.names.is_empty() {
                let points = line.points.iter().copied();
                chart.draw_series(LineSeries::new(points, colour.stroke_width(width)))?;
            }
            let beside = if self.names.is_empty() {
                0.0
            } else {
                0.05 * (index as f64 - self.lines.len() as f64 / 2.0)
            };
            let dot = |(across, up): &(f64, f64)| {
                Circle::new((across + beside, *up), 2 + width, colour.filled())
            };
            chart
                .draw_series(line.points.iter().map(dot))?
                .label(line.name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(3))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        Ok(())
    }

    /// Returns what stands at a place of the horizontal axis.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number that is not negative"
    )]
    fn name_at(&self, place: f64) -> String {
        if self.names.is_empty() {
            return format!("{place:.0}");
        }
        if place < 0.0 || place.fract() != 0.0 {
            return String::new();
        }
        self.names.get(place as usize).cloned().unwrap_or_default()
    }
}

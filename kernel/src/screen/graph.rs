//! The graph of bytes over time: three areas, one in front of the other, since what is asked for is used, and what is used is
//! held.
//!
//! Time runs to the right and is drawn as it passes, a column a sample. When the columns reach the right end, they are drawn
//! narrower; when they cannot be, the oldest quarter goes.
#![forbid(unsafe_code)]

use embedded_graphics_core::geometry::{Point, Size};
use embedded_graphics_core::pixelcolor::Rgb888;
use embedded_graphics_core::primitives::Rectangle;

use super::history::{History, SAMPLES_PER_SECOND, Sample};
use super::layout::{cut_bottom, cut_left, share};
use super::surface::Surface;
use super::text::{self, Style, Text};
use super::theme;
use crate::bytes::Bytes;

/// Width of a column at first.
const WIDEST_COLUMN: u32 = 4;
/// Pixels for the labels on the left.
const LABELS: u32 = 88;
/// Pixels for the labels below.
const TIMES: u32 = 20;
/// Pixels from one label below to the next.
const TIME_PITCH: u32 = 240;
/// Most lines across, above the lowest.
const MOST_LINES: u32 = 6;
/// Pixels of the mark of a failure.
const MARK: u32 = 6;

/// What the axes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axes {
    /// KiB from a line across to the next.
    step: u32,
    /// How many of them there are above the lowest.
    lines: u32,
    /// Width of a column, in pixels.
    column: u32,
    /// Time of the first column, in intervals.
    first: u64,
}

impl Axes {
    /// Returns axes for values up to `most` KiB, in columns of a width.
    fn new(most: u32, column: u32, first: u64) -> Self {
        let mut step: u32 = 64;
        while step < 1 << 30 && most > step * MOST_LINES {
            step *= 2;
        }
        let lines = most.div_ceil(step).clamp(4, MOST_LINES);
        Self {
            step,
            lines,
            column,
            first,
        }
    }

    /// Returns the KiB of the uppermost line.
    const fn top(self) -> u32 {
        self.step.saturating_mul(self.lines)
    }
}

/// The graph.
#[derive(Debug)]
pub(crate) struct Graph {
    /// Where the columns are.
    plot: Rectangle,
    /// The samples.
    history: History,
    /// What the axes on the surface say.
    axes: Option<Axes>,
    /// How many samples are on the surface.
    drawn: usize,
}

impl Graph {
    /// Returns a graph with its labels in an area; `None` when memory is out.
    pub(crate) fn new(area: Rectangle) -> Option<Self> {
        let plot = cut_left(cut_bottom(area, TIMES), LABELS);
        Some(Self {
            plot,
            history: History::new(plot.size.width as usize)?,
            axes: None,
            drawn: 0,
        })
    }

    /// Adds a sample taken at `time`, in intervals, and draws what changes.
    pub(crate) fn draw(&mut self, surface: &mut Surface<'_>, time: u64, sample: Sample) {
        self.history.push(time, sample);
        let axes = self.wanted_axes();
        if self.axes != Some(axes) {
            self.axes = Some(axes);
            self.drawn = 0;
            self.draw_axes(surface, axes);
        }
        let samples = self.history.samples();
        for number in self.drawn..samples.len() {
            let before = samples[number.saturating_sub(1)];
            self.draw_column(surface, axes, number, before, samples[number]);
        }
        self.drawn = samples.len();
    }

    /// Returns the axes that suit the samples.
    fn wanted_axes(&self) -> Axes {
        let samples = self.history.samples();
        let most = samples.iter().map(|sample| sample.held).max();
        let mut column = WIDEST_COLUMN;
        while column > 1 && samples.len() > (self.plot.size.width / column) as usize {
            column /= 2;
        }
        Axes::new(most.unwrap_or(0), column, self.history.first())
    }

    /// Draws everything but the samples.
    fn draw_axes(&self, surface: &mut Surface<'_>, axes: Axes) {
        let end = self.plot.top_left.x + self.plot.size.width.cast_signed();
        let labels = Rectangle::new(
            self.plot.top_left - Point::new(LABELS.cast_signed(), 8),
            self.plot.size + Size::new(LABELS, TIMES + 8),
        );
        surface.fill(labels, theme::PANEL);
        for line in 0..=axes.lines {
            let y = self.line(axes, line);
            let width = self.plot.size.width;
            surface.fill(
                Rectangle::new(Point::new(self.plot.top_left.x, y), Size::new(width, 1)),
                theme::LINE,
            );
            let bytes = Bytes((axes.step as usize * line as usize) << 10);
            let label = Text::of(format_args!("{bytes}"));
            let at = Point::new(self.plot.top_left.x - 8, y - 8);
            text::draw_to(surface, at, Style::FAINT, label.as_str());
        }
        for number in 0..=self.plot.size.width / TIME_PITCH {
            let x = self.plot.top_left.x + (number * TIME_PITCH).cast_signed();
            let intervals = axes.first + u64::from(number * TIME_PITCH / axes.column);
            let seconds = intervals / SAMPLES_PER_SECOND;
            let label = Text::of(format_args!("{}:{:02}", seconds / 60, seconds % 60));
            let below = Point::new(
                x,
                self.plot.top_left.y + self.plot.size.height.cast_signed(),
            );
            surface.fill(Rectangle::new(below, Size::new(1, 4)), theme::FAINT_TEXT);
            let width = Style::FAINT.width(label.as_str().len()).cast_signed();
            if x + 4 + width <= end {
                text::draw(
                    surface,
                    below + Point::new(4, 3),
                    Style::FAINT,
                    label.as_str(),
                );
            }
        }
    }

    /// Returns where a line across is.
    fn line(&self, axes: Axes, number: u32) -> i32 {
        let height = self.plot.size.height - 1;
        self.plot.top_left.y + (height - number * height / axes.lines).cast_signed()
    }

    /// Returns how many pixels high a value is.
    fn height(&self, axes: Axes, value: u32) -> u32 {
        share(value.into(), axes.top().into(), self.plot.size.height - 1)
    }

    /// Draws the column of a sample.
    fn draw_column(
        &self,
        surface: &mut Surface<'_>,
        axes: Axes,
        number: usize,
        before: Sample,
        sample: Sample,
    ) {
        let left = u32::try_from(number).unwrap_or_default() * axes.column;
        let x = self.plot.top_left.x + left.cast_signed();
        let series = [
            (sample.held, before.held, theme::HELD, 52),
            (sample.used, before.used, theme::USED, 92),
            (sample.asked, before.asked, theme::ASKED, 52),
        ];
        for (value, _, colour, share) in series {
            let area = self.column(x, axes.column, 0, self.height(axes, value));
            surface.fill(area, theme::mix(theme::PANEL, colour, share));
        }
        for (value, value_before, colour, _) in series {
            let (height, height_before) =
                (self.height(axes, value), self.height(axes, value_before));
            surface.fill(self.column(x, axes.column, height, height + 2), colour);
            let (low, high) = (height.min(height_before), height.max(height_before));
            surface.fill(self.column(x, 1, low, high + 2), colour);
        }
        if sample.has_failures {
            surface.fill(self.column(x, axes.column.max(2), 0, MARK), theme::ALARM);
        }
    }

    /// Returns the part of a column between two heights above the lowest line.
    fn column(&self, x: i32, width: u32, from: u32, to: u32) -> Rectangle {
        let bottom = self.plot.top_left.y + self.plot.size.height.cast_signed();
        let top = Point::new(x, bottom - to.cast_signed());
        Rectangle::new(top, Size::new(width, to - from)).intersection(&self.plot)
    }
}

/// What the areas mean: names and colours, for the panel's heading.
pub(crate) const LEGEND: [(&str, Rgb888); 3] = [
    ("held", theme::HELD),
    ("used", theme::USED),
    ("asked for", theme::ASKED),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_suit_every_value() {
        for most in [0, 1, 256, 257, 384, 385, 1 << 20, 123_456_789, u32::MAX / 2] {
            let axes = Axes::new(most, 1, 0);
            assert!(axes.top() >= most, "{most}: {axes:?}");
            assert!((4..=MOST_LINES).contains(&axes.lines), "{axes:?}");
            // No more than what is needed, but for small values.
            assert!(axes.step == 64 || axes.top() <= most + most / 2, "{axes:?}");
        }
        assert_eq!(Axes::new(256, 1, 0).top(), 256);
        assert_eq!(Axes::new(385, 1, 0).top(), 512);
    }
}

//! The size classes as bars, which makes them the legend of the map too: a row a class, as long as the class has chunks in
//! bytes, filled as far as they are taken. Below, what the other colours mean.
#![forbid(unsafe_code)]

use embedded_graphics_core::geometry::{Point, Size};
use embedded_graphics_core::pixelcolor::Rgb888;
use embedded_graphics_core::primitives::Rectangle;
use stack_alloc::{ClassStatistics, Statistics};

use super::layout::{cut_bottom, share};
use super::surface::Surface;
use super::text::{self, Style, Text};
use super::theme;
use super::tile::draw_frame;
use crate::bytes::Bytes;

/// Rows, one a class.
const ROWS: u32 = 36;
/// Classes there are.
pub(crate) const CLASSES: usize = ROWS as usize;
/// Pixels for the labels on the left.
const LABELS: u32 = 72;
/// Pixels between labels and bars: the class's colour, always there.
const SWATCH: u32 = 10;
/// Pixels of a row of the legend.
const LEGEND_ROW: u32 = 20;
/// Rows of the legend.
const LEGEND_ROWS: u32 = 3;

/// What the colours mean that are no class's.
const LEGEND: [(&str, Rgb888); 6] = [
    ("run of pages", theme::RUN),
    ("region", theme::REGION),
    ("block header", theme::HEADER),
    ("heap records", theme::RECORDS),
    ("free page", theme::FREE),
    ("in reserve", theme::RESERVE),
];

/// Lengths of a bar, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bar {
    /// Of the chunks that are taken.
    used: u32,
    /// Of all chunks.
    total: u32,
}

/// The bars.
#[derive(Debug)]
pub(crate) struct Classes {
    /// Where they are, labels and all.
    area: Rectangle,
    /// The bars on the surface.
    bars: [Bar; CLASSES],
}

impl Classes {
    /// Draws what does not change: the labels and the legend.
    pub(crate) fn new(surface: &mut Surface<'_>, area: Rectangle, statistics: &Statistics) -> Self {
        let classes = Self {
            area: cut_bottom(area, LEGEND_ROW * LEGEND_ROWS + 10),
            bars: [Bar::default(); CLASSES],
        };
        let mut free_from = i32::MIN;
        for (number, class) in statistics.classes.iter().take(CLASSES).enumerate() {
            let row = classes.row(number);
            let colour = theme::class(class.chunk_size);
            let swatch = Point::new(row.top_left.x + LABELS.cast_signed(), row.top_left.y);
            surface.fill(
                Rectangle::new(swatch, Size::new(SWATCH - 4, row.size.height)),
                colour,
            );
            // Labels are higher than rows: the powers of two that have room get one.
            let y = row.top_left.y + (row.size.height / 2).cast_signed() - 8;
            if class.chunk_size.is_power_of_two() && y >= free_from {
                let label = Text::of(format_args!("{}", Bytes(class.chunk_size)));
                let end = Point::new(swatch.x - 8, y);
                text::draw_to(surface, end, Style::FAINT, label.as_str());
                free_from = y + 16;
            }
        }
        draw_legend(surface, area);
        classes
    }

    /// Draws the bars that have changed.
    pub(crate) fn draw(&mut self, surface: &mut Surface<'_>, statistics: &Statistics) {
        let most = statistics.classes.iter().map(total).max().unwrap_or(0);
        for (number, class) in statistics.classes.iter().take(CLASSES).enumerate() {
            let row = self.row(number);
            let width = row.size.width - LABELS - SWATCH;
            let bar = Bar {
                used: share(used(class), most, width),
                total: share(total(class), most, width),
            };
            if bar == self.bars[number] {
                continue;
            }
            self.bars[number] = bar;
            let x = row.top_left.x + (LABELS + SWATCH).cast_signed();
            let colour = theme::class(class.chunk_size);
            let mut part = |from: u32, to: u32, colour| {
                let start = Point::new(x + from.cast_signed(), row.top_left.y);
                let size = Size::new(to - from, row.size.height);
                surface.fill(Rectangle::new(start, size), colour);
            };
            part(0, bar.used, colour);
            part(bar.used, bar.total, theme::room(colour));
            part(bar.total, width, theme::PANEL);
        }
    }

    /// Returns where a class's row is: a pixel lower than the distance to the next, if there is room.
    fn row(&self, number: usize) -> Rectangle {
        let number = u32::try_from(number).unwrap_or_default();
        let pitch = (self.area.size.height / ROWS).max(2);
        let gap = u32::from(pitch > 4);
        Rectangle::new(
            self.area.top_left + Size::new(0, number * pitch),
            Size::new(self.area.size.width, pitch - gap),
        )
    }
}

/// Returns the bytes of a class's taken chunks.
const fn used(class: &ClassStatistics) -> u64 {
    (class.chunks_used * class.chunk_size) as u64
}

/// Returns the bytes of all of a class's chunks.
const fn total(class: &ClassStatistics) -> u64 {
    (class.chunks_total * class.chunk_size) as u64
}

/// Draws the legend at the lower end of an area, in two columns.
fn draw_legend(surface: &mut Surface<'_>, area: Rectangle) {
    let top = area.top_left + Size::new(0, area.size.height - LEGEND_ROW * LEGEND_ROWS);
    let mut at = Size::zero();
    for (number, (name, colour)) in LEGEND.into_iter().enumerate() {
        let swatch = Rectangle::new(top + at + Size::new(0, 4), Size::new_equal(11));
        if colour == theme::RESERVE {
            draw_frame(surface, swatch, colour);
        } else {
            surface.fill(swatch, colour);
        }
        text::draw(surface, top + at + Size::new(18, 1), Style::FAINT, name);
        at = if number % 2 == 0 {
            Size::new(area.size.width / 2 + 2, at.height)
        } else {
            Size::new(0, at.height + LEGEND_ROW)
        };
    }
}

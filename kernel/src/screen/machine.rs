//! The machine's memory as one bar, in proportion: what the heap has it for, by class, what others have, and what nobody has.
#![forbid(unsafe_code)]

use embedded_graphics_core::geometry::{Point, Size};
use embedded_graphics_core::pixelcolor::Rgb888;
use embedded_graphics_core::primitives::Rectangle;

use super::classes::CLASSES;
use super::layout::{cut_top, share};
use super::picture::Facts;
use super::surface::Surface;
use super::text::{Line, Style};
use super::theme;
use crate::bytes::Bytes;

/// Pixels of the line above the bar.
const TEXT: u32 = 22;
/// Parts of the bar: the classes, runs, regions, the rest of what is held, what others have, and what is free.
const PARTS: usize = CLASSES + 5;

/// The bar, and a line of text above it.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The text.
    line: Line,
    /// Where the bar is.
    area: Rectangle,
    /// Where the parts on the surface end, in pixels.
    ends: Option<[u32; PARTS]>,
}

impl Machine {
    /// Pixels of text and bar.
    pub(crate) const HEIGHT: u32 = TEXT + 12;

    /// Returns a bar that fills an area, which is [`HEIGHT`](Self::HEIGHT) pixels high.
    pub(crate) fn new(area: Rectangle) -> Self {
        Self {
            line: Line::new(
                area.top_left,
                Style::FAINT,
                Style::FAINT.characters(area.size.width),
            ),
            area: cut_top(area, TEXT),
            ends: None,
        }
    }

    /// Draws what has changed.
    pub(crate) fn draw(&mut self, surface: &mut Surface<'_>, facts: &Facts) {
        let held = Bytes(facts.statistics.bytes_held);
        let (total, free) = (facts.bytes_total, facts.bytes_free);
        self.line.show(
            surface,
            format_args!(
                "{} of memory: {held} held by the heap, {} free",
                Bytes(total),
                Bytes(free)
            ),
        );
        let parts = parts(facts);
        let whole: usize = parts.iter().map(|(bytes, _)| bytes).sum();
        let mut sum = 0;
        let ends = parts.map(|(bytes, _)| {
            sum += bytes;
            share(sum as u64, whole as u64, self.area.size.width)
        });
        if self.ends != Some(ends) {
            self.ends = Some(ends);
            self.draw_bar(surface, ends, parts.map(|(_, colour)| colour));
        }
    }

    /// Draws the bar.
    fn draw_bar(&self, surface: &mut Surface<'_>, ends: [u32; PARTS], colours: [Rgb888; PARTS]) {
        let mut start = 0;
        for (end, colour) in ends.into_iter().zip(colours) {
            let size = Size::new(end - start, self.area.size.height);
            let at = self.area.top_left + Point::new(start.cast_signed(), 0);
            surface.fill(Rectangle::new(at, size), colour);
            start = end;
        }
    }
}

/// Returns the bytes of each part of the machine's memory, and its colour.
fn parts(facts: &Facts) -> [(usize, Rgb888); PARTS] {
    let statistics = &facts.statistics;
    let mut parts = [(0, theme::PANEL); PARTS];
    let [classes @ .., runs, regions, room, others, free] = &mut parts;
    for (part, class) in classes.iter_mut().zip(&statistics.classes) {
        let bytes = class.chunks_used * class.chunk_size;
        *part = (bytes, theme::class(class.chunk_size));
    }
    *runs = (statistics.runs.bytes, theme::RUN);
    *regions = (statistics.regions.bytes, theme::REGION);
    let unused = statistics.bytes_held.saturating_sub(statistics.bytes_used);
    *room = (unused, theme::room(theme::HELD));
    let taken = facts.bytes_total.saturating_sub(facts.bytes_free);
    *others = (taken.saturating_sub(statistics.bytes_held), theme::LINE);
    *free = (facts.bytes_free, theme::FREE);
    parts
}

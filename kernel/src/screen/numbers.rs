//! The heap in numbers: a name and a value a row.
#![forbid(unsafe_code)]

use core::time::Duration;

use embedded_graphics_core::geometry::{Point, Size};
use embedded_graphics_core::primitives::Rectangle;
use stack_alloc::Statistics;

use super::picture::Facts;
use super::surface::Surface;
use super::text::{self, Line, Style};
use super::theme;
use crate::bytes::Bytes;

/// Rows there are, for a division by pixels.
const ROWS: u32 = 9;

/// What the rows are.
const NAMES: [&str; ROWS as usize] = [
    "objects",
    "asked for",
    "used",
    "held",
    "most held",
    "allocations/s",
    "frees/s",
    "failures",
    "fragmented",
];

/// Characters of a value.
const VALUE: usize = 12;

/// Row of the failures.
const FAILURES: usize = 7;

/// Counts of what happened up to a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// When, since the start of the kernel.
    time: Duration,
    /// Allocations.
    allocations: u64,
    /// Frees.
    frees: u64,
}

impl Counts {
    /// Counts up to now.
    fn of(facts: &Facts) -> Self {
        Self {
            time: facts.uptime,
            allocations: facts.statistics.allocations(),
            frees: facts.statistics.frees(),
        }
    }
}

/// The numbers.
#[derive(Debug)]
pub(crate) struct Numbers {
    /// The values.
    lines: [Line; NAMES.len()],
    /// Where a second that is being counted began.
    before: Counts,
    /// Allocations and frees a second, as of the last second that was counted.
    rates: [u64; 2],
}

impl Numbers {
    /// Draws the names.
    pub(crate) fn new(surface: &mut Surface<'_>, area: Rectangle, facts: &Facts) -> Self {
        let pitch = area.size.height / ROWS;
        let end = area.top_left + Size::new(area.size.width, 0);
        let value = Style::TEXT.width(VALUE).cast_signed();
        let mut y = 0;
        let lines = NAMES.map(|name| {
            text::draw(
                surface,
                area.top_left + Point::new(0, y),
                Style::FAINT,
                name,
            );
            let at = end + Point::new(-value, y);
            y += pitch.cast_signed();
            Line::new(at, Style::TEXT, VALUE)
        });
        Self {
            lines,
            before: Counts::of(facts),
            rates: [0; 2],
        }
    }

    /// Draws what has changed.
    pub(crate) fn draw(&mut self, surface: &mut Surface<'_>, facts: &Facts) {
        self.count(Counts::of(facts));
        let statistics = &facts.statistics;
        if statistics.failures > 0 {
            self.lines[FAILURES].set_colour(theme::ALARM);
        }
        let [allocations, frees] = self.rates;
        let [
            objects,
            asked,
            used,
            held,
            peak,
            new,
            gone,
            failures,
            fragmented,
        ] = &mut self.lines;
        show_count(objects, surface, statistics.live());
        show_bytes(asked, surface, statistics.bytes_requested);
        show_bytes(used, surface, statistics.bytes_used);
        show_bytes(held, surface, statistics.bytes_held);
        show_bytes(peak, surface, statistics.bytes_held_peak);
        show_count(new, surface, allocations);
        show_count(gone, surface, frees);
        show_count(failures, surface, statistics.failures);
        show_fragmentation(fragmented, surface, statistics);
    }

    /// Works the rates out, once a second.
    fn count(&mut self, now: Counts) {
        let passed = now.time.saturating_sub(self.before.time);
        if passed < Duration::from_secs(1) {
            return;
        }
        let rate = |now: u64, before: u64| {
            let rate = u128::from(now - before) * 1000 / passed.as_millis();
            u64::try_from(rate).unwrap_or(u64::MAX)
        };
        self.rates = [
            rate(now.allocations, self.before.allocations),
            rate(now.frees, self.before.frees),
        ];
        self.before = now;
    }
}

/// Shows a number.
fn show_count(line: &mut Line, surface: &mut Surface<'_>, number: u64) {
    line.show(surface, format_args!("{number:>VALUE$}"));
}

/// Shows a number of bytes.
fn show_bytes(line: &mut Line, surface: &mut Surface<'_>, bytes: usize) {
    line.show(surface, format_args!("{:VALUE$}", Bytes(bytes)));
}

/// Shows how scattered the free pages are.
fn show_fragmentation(line: &mut Line, surface: &mut Surface<'_>, statistics: &Statistics) {
    const NUMBER: usize = VALUE - 2;
    line.show(
        surface,
        format_args!("{:>NUMBER$} %", statistics.fragmentation()),
    );
}

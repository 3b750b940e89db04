//! The whole picture: panels, and what is in them. Pure: it is drawn on any surface, from facts that it is given.
#![forbid(unsafe_code)]

use core::time::Duration;

use embedded_graphics_core::geometry::{OriginDimensions, Point, Size};
use embedded_graphics_core::primitives::Rectangle;
use stack_alloc::{BLOCK_SIZE, BlockSnapshot, Statistics};

use super::classes::Classes;
use super::graph::{self, Graph};
use super::history::{Sample, intervals};
use super::layout::{Layout, cut_bottom, heading, heading_end, inside};
use super::machine::Machine;
use super::map::Map;
use super::numbers::Numbers;
use super::surface::Surface;
use super::text::{self, Line, Style};
use super::theme;

/// Pixels between the map and the machine's memory.
const GAP: u32 = 8;

/// What the picture shows, besides the blocks.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Time since the start of the kernel.
    pub uptime: Duration,
    /// The heap in numbers.
    pub statistics: Statistics,
    /// Bytes of all usable memory.
    pub bytes_total: usize,
    /// Bytes of it that nobody has.
    pub bytes_free: usize,
}

/// The picture, and what of it is on the surface.
#[derive(Debug)]
pub struct Picture {
    /// The uptime.
    uptime: Line,
    /// The heap map.
    map: Map,
    /// The machine's memory.
    machine: Machine,
    /// The size classes.
    classes: Classes,
    /// The graph.
    graph: Graph,
    /// The numbers.
    numbers: Numbers,
    /// Failures as of the last sample.
    failures: u64,
}

impl Picture {
    /// Draws what does not change, and allocates all that the picture ever needs. `None` where the surface is too small or
    /// memory is out; then nothing is drawn.
    #[must_use]
    pub fn new(surface: &mut Surface<'_>, facts: &Facts) -> Option<Self> {
        let layout = Layout::new(surface.size())?;
        let area = inside(layout.map);
        let tiles = cut_bottom(area, Machine::HEIGHT + GAP);
        let machine = Rectangle::new(
            area.top_left + Size::new(0, area.size.height - Machine::HEIGHT),
            Size::new(area.size.width, Machine::HEIGHT),
        );
        let map = Map::new(tiles, caption_line(layout), facts.bytes_total / BLOCK_SIZE)?;
        let graph = Graph::new(inside(layout.graph))?;
        draw_panels(surface, layout);
        Some(Self {
            uptime: uptime_line(layout),
            map,
            machine: Machine::new(machine),
            classes: Classes::new(surface, inside(layout.classes), &facts.statistics),
            graph,
            numbers: Numbers::new(surface, inside(layout.numbers), facts),
            failures: facts.statistics.failures,
        })
    }

    /// Draws what has changed, and of the map up to `budget` of the next blocks. `next` gives one after the other, and `None`
    /// behind the last of a round. Allocates nothing.
    pub fn draw(
        &mut self,
        surface: &mut Surface<'_>,
        facts: &Facts,
        budget: usize,
        next: &mut dyn FnMut() -> Option<BlockSnapshot>,
    ) {
        let seconds = facts.uptime.as_secs();
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        self.uptime.show(
            surface,
            format_args!("up {hours:3}:{minutes:02}:{:02}", seconds % 60),
        );
        self.map.draw(surface, budget, next);
        self.machine.draw(surface, facts);
        self.classes.draw(surface, &facts.statistics);
        let sample = self.sample(&facts.statistics);
        (self.graph).draw(surface, intervals(facts.uptime), sample);
        self.numbers.draw(surface, facts);
    }

    /// Takes a sample for the graph.
    fn sample(&mut self, statistics: &Statistics) -> Sample {
        let has_failures = statistics.failures > self.failures;
        self.failures = statistics.failures;
        let kib = |bytes: usize| u32::try_from(bytes >> 10).unwrap_or(u32::MAX);
        Sample {
            held: kib(statistics.bytes_held),
            used: kib(statistics.bytes_used),
            asked: kib(statistics.bytes_requested),
            has_failures,
        }
    }
}

/// Returns the line behind the map's heading, as long as there is room.
fn caption_line(layout: Layout) -> Line {
    let (start, end) = (heading(layout.map), heading_end(layout.map));
    let at = start + Size::new(Style::HEADING.width(10), 0);
    let length = Style::FAINT.characters((end.x - at.x).cast_unsigned());
    Line::new(at, Style::FAINT, length)
}

/// Characters of the uptime.
const UPTIME: usize = 12;

/// Returns the line of the uptime, at the right end of the title.
fn uptime_line(layout: Layout) -> Line {
    let style = Style::TEXT.on(theme::BACKGROUND);
    let end = layout.title.top_left.x + layout.title.size.width.cast_signed();
    let x = end - style.width(UPTIME).cast_signed();
    Line::new(Point::new(x, layout.title.top_left.y + 6), style, UPTIME)
}

/// Draws title, panels and headings.
fn draw_panels(surface: &mut Surface<'_>, layout: Layout) {
    let all = Rectangle::new(Point::zero(), surface.size());
    surface.fill(all, theme::BACKGROUND);
    let title = layout.title.top_left;
    text::draw(surface, title, Style::TITLE, "stack_alloc");
    let version = title + Size::new(Style::TITLE.width(12), 6);
    let style = Style::FAINT.on(theme::BACKGROUND);
    text::draw(surface, version, style, env!("CARGO_PKG_VERSION"));
    let subtitle = version + Size::new(style.width(env!("CARGO_PKG_VERSION").len() + 2), 0);
    text::draw(surface, subtitle, style, "a kernel and its heap");
    for (panel, name) in [
        (layout.map, "Heap map"),
        (layout.classes, "Chunks by size"),
        (layout.graph, "Bytes over time"),
        (layout.numbers, "Numbers"),
    ] {
        surface.fill(panel, theme::PANEL);
        text::draw(surface, heading(panel), Style::HEADING, name);
    }
    draw_graph_legend(surface, heading_end(layout.graph));
}

/// Draws what the graph's colours mean, up to `end`.
fn draw_graph_legend(surface: &mut Surface<'_>, end: Point) {
    let mut end = end;
    for (name, colour) in graph::LEGEND.into_iter().rev() {
        text::draw_to(surface, end, Style::FAINT, name);
        end.x -= Style::FAINT.width(name.len()).cast_signed() + 18;
        let swatch = Rectangle::new(end + Point::new(0, 4), Size::new_equal(11));
        surface.fill(swatch, colour);
        end.x -= 20;
    }
}

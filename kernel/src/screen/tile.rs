//! A block as a tile: eight rows of eight cells, a cell a page.
//!
//! ```text
//! ┌──┐ ┌─────┐
//! │  │ │     │    a page of chunks is filled from below as far as its bytes are in use, the rest in a fainter colour;
//! │▒▒│ │▓▓▓▓▓│    the pages of one run, of stacks or of one allocation, are joined
//! └──┘ └─────┘
//! ```
#![forbid(unsafe_code)]

use embedded_graphics_core::geometry::{Point, Size};
use embedded_graphics_core::pixelcolor::Rgb888;
use embedded_graphics_core::primitives::Rectangle;
use stack_alloc::{BlockSnapshot, PAGE_SIZE, PageState};

use super::surface::Surface;
use super::theme;

/// Cells of a tile.
pub(crate) const CELLS: usize = 64;

/// Cells in a row of a tile, and rows of it.
const CELLS_PER_ROW: u32 = 8;

/// Levels that a cell can be filled to; 0 is empty.
const FULL: u8 = 16;

/// Fill level of a page with this many bytes in use: it is full only if all are, and empty only if none are.
const fn level(bytes_used: usize) -> u8 {
    let sixteenths = bytes_used * FULL as usize / PAGE_SIZE;
    match sixteenths {
        0 if bytes_used > 0 => 1,
        #[expect(clippy::cast_possible_truncation, reason = "it is below 16")]
        0..16 => sixteenths as u8,
        _ => FULL,
    }
}

/// What a cell looks like, in two bytes: a screen remembers thousands of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// What it stands for.
    kind: u8,
    /// Bit 7: it is joined to the cell before it. The others: how far it is filled.
    level: u8,
}

impl Cell {
    /// Nothing is drawn.
    pub(crate) const NOTHING: Self = Self { kind: 0, level: 0 };

    /// Kind of a free page.
    const FREE: u8 = 1;
    /// Kind of a header.
    const HEADER: u8 = 2;
    /// Kind of a page of records.
    const RECORDS: u8 = 3;
    /// Kind of a page of a run that is one allocation.
    const RUN: u8 = 4;
    /// Kind of a page of chunks, of the class that begins the ramp; each step of it has its own.
    const CHUNKS: u8 = 5;
    /// Bit of `level`.
    const IS_JOINED: u8 = 0x80;

    /// Returns what a page looks like.
    pub(crate) fn of(page: PageState) -> Self {
        let (kind, is_joined) = match page {
            PageState::Free => (Self::FREE, false),
            PageState::Header => (Self::HEADER, false),
            PageState::Records => (Self::RECORDS, false),
            PageState::Run { is_first, .. } => (Self::RUN, !is_first),
            PageState::Chunks {
                chunk_size,
                is_first,
                ..
            } => {
                let step = u8::try_from(theme::step(chunk_size)).unwrap_or(u8::MAX - Self::CHUNKS);
                (Self::CHUNKS + step, !is_first)
            }
            // Not there, or something that this screen does not know.
            _ => return Self::NOTHING,
        };
        let joined = if is_joined { Self::IS_JOINED } else { 0 };
        Self {
            kind,
            level: level(page.bytes_used()) | joined,
        }
    }

    /// Returns the colour of what is full.
    fn colour(self) -> Rgb888 {
        match self.kind {
            Self::FREE => theme::FREE,
            Self::HEADER => theme::HEADER,
            Self::RECORDS => theme::RECORDS,
            Self::RUN => theme::RUN,
            Self::CHUNKS.. => theme::ramp(usize::from(self.kind - Self::CHUNKS)),
            0 => theme::PANEL,
        }
    }

    /// Returns the colour of what is not.
    fn room(self) -> Rgb888 {
        match self.kind {
            Self::FREE => theme::FREE,
            _ => theme::room(self.colour()),
        }
    }

    /// It continues the run of the cell before it.
    const fn is_joined(self) -> bool {
        self.level & Self::IS_JOINED != 0
    }

    /// Returns how many of `pixels` are full.
    fn filled(self, pixels: u32) -> u32 {
        let level = u32::from(self.level & !Self::IS_JOINED);
        let filled = level * pixels / u32::from(FULL);
        if level > 0 { filled.max(1) } else { 0 }
    }
}

/// How large tiles are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    /// Side of a cell, in pixels.
    pub(crate) cell: u32,
}

impl Scale {
    /// All there are, the largest first.
    pub(crate) const ALL: [Self; 13] = [
        Self { cell: 20 },
        Self { cell: 14 },
        Self { cell: 12 },
        Self { cell: 11 },
        Self { cell: 10 },
        Self { cell: 9 },
        Self { cell: 8 },
        Self { cell: 7 },
        Self { cell: 6 },
        Self { cell: 5 },
        Self { cell: 4 },
        Self { cell: 3 },
        Self { cell: 2 },
    ];

    /// Pixels between cells.
    const fn gap(self) -> u32 {
        match self.cell {
            0..4 => 0,
            4..14 => 1,
            _ => 2,
        }
    }

    /// Pixels from a cell to the next one.
    const fn pitch(self) -> u32 {
        self.cell + self.gap()
    }

    /// Pixels round a tile on each side: for a frame, and to tell it from the next one.
    const fn margin(self) -> u32 {
        let half = self.cell / 2;
        if half < 2 { 2 } else { half }
    }

    /// Side of a tile with its margins, in pixels.
    const fn tile(self) -> u32 {
        CELLS_PER_ROW * self.pitch() - self.gap() + 2 * self.margin()
    }

    /// Returns how many tiles fit into a row of an area.
    pub(crate) const fn columns(self, area: Size) -> usize {
        (area.width / self.tile()) as usize
    }

    /// Returns how many tiles fit into an area.
    pub(crate) const fn capacity(self, area: Size) -> usize {
        self.columns(area) * (area.height / self.tile()) as usize
    }

    /// Returns where tile number `number` of an area is drawn, margins and all.
    pub(crate) fn place(self, area: Rectangle, number: usize) -> Rectangle {
        let columns = self.columns(area.size).max(1);
        let pixels = |tiles: usize| u32::try_from(tiles).unwrap_or_default() * self.tile();
        let corner = Size::new(pixels(number % columns), pixels(number / columns));
        Rectangle::new(area.top_left + corner, Size::new_equal(self.tile()))
    }
}

/// A tile that is on the surface, or should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    /// It has a frame.
    is_reserved: bool,
    /// Its cells.
    cells: [Cell; CELLS],
}

impl Tile {
    /// A tile where nothing is.
    pub(crate) const NOTHING: Self = Self {
        is_reserved: false,
        cells: [Cell::NOTHING; CELLS],
    };

    /// Returns the tile of a block.
    pub(crate) fn of(block: &BlockSnapshot) -> Self {
        Self {
            is_reserved: block.is_reserved,
            cells: block.pages.map(Cell::of),
        }
    }

    /// Draws the tile where `shown` is on the surface: what differs.
    pub(crate) fn draw_over(
        &self,
        shown: &Self,
        surface: &mut Surface<'_>,
        place: Rectangle,
        scale: Scale,
    ) {
        if self.is_reserved != shown.is_reserved {
            let colour = if self.is_reserved {
                theme::RESERVE
            } else {
                theme::PANEL
            };
            draw_frame(surface, place.offset(-1), colour);
        }
        let corner = place.top_left + Size::new_equal(scale.margin());
        let mut place = Size::zero();
        for (cell, shown) in self.cells.iter().zip(&shown.cells) {
            if cell != shown {
                draw_cell(surface, corner + place, *cell, scale, place.width > 0);
            }
            place.width += scale.pitch();
            if place.width == CELLS_PER_ROW * scale.pitch() {
                place = Size::new(0, place.height + scale.pitch());
            }
        }
    }
}

/// Draws a cell with its upper left corner at `at`, and the gap to the cell before it in its row, if there is one.
fn draw_cell(surface: &mut Surface<'_>, at: Point, cell: Cell, scale: Scale, has_neighbour: bool) {
    let gap = if has_neighbour { scale.gap() } else { 0 };
    let start = at - Size::new(gap, 0);
    let joined = if cell.is_joined() { gap } else { 0 };
    let gap_area = Rectangle::new(start, Size::new(gap - joined, scale.cell));
    surface.fill(gap_area, theme::PANEL);

    let filled = cell.filled(scale.cell);
    let (x, width) = (at.x - joined.cast_signed(), scale.cell + joined);
    let room = Size::new(width, scale.cell - filled);
    surface.fill(Rectangle::new(Point::new(x, at.y), room), cell.room());
    let below = Point::new(x, at.y + room.height.cast_signed());
    surface.fill(
        Rectangle::new(below, Size::new(width, filled)),
        cell.colour(),
    );
}

/// Draws the outline of a rectangle, one pixel wide.
pub(crate) fn draw_frame(surface: &mut Surface<'_>, area: Rectangle, colour: Rgb888) {
    let Some(end) = area.bottom_right() else {
        return;
    };
    let (across, down) = (
        Size::new(area.size.width, 1),
        Size::new(1, area.size.height),
    );
    surface.fill(Rectangle::new(area.top_left, across), colour);
    surface.fill(
        Rectangle::new(Point::new(area.top_left.x, end.y), across),
        colour,
    );
    surface.fill(Rectangle::new(area.top_left, down), colour);
    surface.fill(
        Rectangle::new(Point::new(end.x, area.top_left.y), down),
        colour,
    );
}

//! The heap as a picture: what a page of a block looks like. Pure: text and the framebuffer draw the same cells.
//!
//! ```text
//! block 0xffff800000040000: 3 pages of chunks, 5 in runs, 55 free
//! #afh[====.......................................................     what: the heap's own, a class, a run, free
//! █░░░█████                                                            how full
//! ```
#![forbid(unsafe_code)]

use core::fmt::{self, Write};

use stack_alloc::{BlockSnapshot, PAGE_SIZE, PageState, Statistics};

use crate::bytes::Bytes;
use crate::style::Style;

/// The letters of the classes, smallest chunks first.
const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// From empty to full.
const SHADES: [char; 5] = [' ', '░', '▒', '▓', '█'];

/// The looks of classes, each used for every sixth.
const CLASS_STYLES: [Style; 6] = [
    Style::Green,
    Style::Cyan,
    Style::Yellow,
    Style::Blue,
    Style::Magenta,
    Style::Red,
];

/// The size classes of a heap, by number.
#[derive(Clone, Copy, Debug)]
pub struct Classes([usize; LETTERS.len()]);

impl Classes {
    /// Reads the chunk sizes from a heap's numbers.
    #[must_use]
    pub fn of(statistics: &Statistics) -> Self {
        let mut sizes = [0; LETTERS.len()];
        for (size, class) in sizes.iter_mut().zip(&statistics.classes) {
            *size = class.chunk_size;
        }
        Self(sizes)
    }

    /// Returns the number of the class with chunks of `chunk_size` bytes.
    fn number(&self, chunk_size: usize) -> usize {
        let number = self.0.iter().position(|&size| size == chunk_size);
        number.unwrap_or(LETTERS.len() - 1)
    }
}

/// What a page looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// It is not there.
    Absent,
    /// The heap's own.
    Own,
    /// Nobody has it.
    Free,
    /// Chunks of a class.
    Chunks {
        /// The number of the class.
        class: usize,
        /// How full the page is: 0 for empty, 4 for more than three quarters.
        fill: usize,
    },
    /// A page of a run that is one allocation.
    Run {
        /// It is the run's first.
        is_first: bool,
    },
}

impl Cell {
    /// Returns what a page in this state looks like.
    #[must_use]
    pub fn of(state: PageState, classes: &Classes) -> Self {
        match state {
            PageState::Absent => Self::Absent,
            PageState::Header | PageState::Records => Self::Own,
            PageState::Chunks {
                chunk_size,
                bytes_used,
                ..
            } => Self::Chunks {
                class: classes.number(chunk_size),
                fill: (bytes_used * 4).div_ceil(PAGE_SIZE),
            },
            PageState::Run { is_first, .. } => Self::Run { is_first },
            _ => Self::Free,
        }
    }

    /// Returns the character that says what it is.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Absent => ' ',
            Self::Own => '#',
            Self::Free => '.',
            Self::Chunks { class, .. } => char::from(LETTERS[class % LETTERS.len()]),
            Self::Run { is_first: true } => '[',
            Self::Run { is_first: false } => '=',
        }
    }

    /// Returns how full it is, from 0 to 4.
    #[must_use]
    pub const fn fill(self) -> usize {
        match self {
            Self::Absent | Self::Free => 0,
            Self::Chunks { fill, .. } => fill,
            Self::Own | Self::Run { .. } => SHADES.len() - 1,
        }
    }

    /// Returns the character that says how full it is.
    #[must_use]
    pub fn shade(self) -> char {
        SHADES[self.fill().min(SHADES.len() - 1)]
    }

    /// Returns its look.
    #[must_use]
    pub fn style(self) -> Option<Style> {
        match self {
            Self::Absent | Self::Run { .. } => None,
            Self::Own | Self::Free => Some(Style::Dim),
            Self::Chunks { class, .. } => Some(CLASS_STYLES[class % CLASS_STYLES.len()]),
        }
    }
}

/// A block as text. Displays as three lines.
#[derive(Clone, Copy, Debug)]
pub struct BlockPicture<'a> {
    /// The block.
    pub block: &'a BlockSnapshot,
    /// The classes of its heap.
    pub classes: &'a Classes,
}

impl BlockPicture<'_> {
    /// Returns what the pages look like, the lowest first.
    #[must_use]
    pub fn cells(&self) -> [Cell; 64] {
        self.block.pages.map(|state| Cell::of(state, self.classes))
    }
}

impl fmt::Display for BlockPicture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = self.cells();
        let count =
            |is_counted: fn(&Cell) -> bool| cells.iter().filter(|cell| is_counted(cell)).count();
        let chunks = count(|cell| matches!(cell, Cell::Chunks { .. }));
        let runs = count(|cell| matches!(cell, Cell::Run { .. }));
        let free = count(|cell| *cell == Cell::Free);
        let reserve = if self.block.is_reserved {
            "; in reserve"
        } else {
            ""
        };
        let address = self.block.address;
        writeln!(
            f,
            "block {address:#018x}: {chunks} pages of chunks, {runs} in runs, {free} free{reserve}"
        )?;
        write_row(f, &cells, Cell::letter)?;
        write_row(f, &cells, Cell::shade)
    }
}

/// Writes a line with a character for each cell, in its look, without blanks at the end.
fn write_row(
    f: &mut fmt::Formatter<'_>,
    cells: &[Cell],
    character: fn(Cell) -> char,
) -> fmt::Result {
    let last = cells.iter().rposition(|&cell| character(cell) != ' ');
    let cells = &cells[..last.map_or(0, |last| last + 1)];
    for alike in cells.chunk_by(|cell, next| cell.style() == next.style()) {
        let text = Characters(alike, character);
        match alike[0].style() {
            Some(style) => write!(f, "{}", style.paint(text))?,
            None => write!(f, "{text}")?,
        }
    }
    writeln!(f)
}

/// A character for each cell.
struct Characters<'a>(&'a [Cell], fn(Cell) -> char);

impl fmt::Display for Characters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(cells, character) = self;
        cells
            .iter()
            .try_for_each(|&cell| f.write_char(character(cell)))
    }
}

/// The runs of a block, one a line. Displays as lines.
#[derive(Clone, Copy, Debug)]
pub struct BlockDetails<'a>(pub &'a BlockSnapshot);

impl fmt::Display for BlockDetails<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20}{:>5}  holds", "address", "pages")?;
        let pages = &self.0.pages;
        let mut first = 0;
        while let Some(&state) = pages.get(first) {
            let rest = &pages[first + 1..];
            let others = rest
                .iter()
                .take_while(|&&next| continues(state, next))
                .count();
            let address = self.0.address + first * PAGE_SIZE;
            writeln!(f, "{address:#018x}  {:>5}  {}", 1 + others, Held(state))?;
            first += 1 + others;
        }
        Ok(())
    }
}

/// Returns whether a page in state `next` belongs together with the one before it, in state `state`.
fn continues(state: PageState, next: PageState) -> bool {
    match next {
        PageState::Chunks { is_first, .. } | PageState::Run { is_first, .. } => !is_first,
        _ => next == state,
    }
}

/// What a run of pages holds, in words.
struct Held(PageState);

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            PageState::Absent => f.write_str("not there"),
            PageState::Header => f.write_str("the header"),
            PageState::Records => f.write_str("records of regions"),
            PageState::Chunks {
                chunk_size,
                used,
                total,
                ..
            } => write!(f, "chunks of {chunk_size} bytes, {used} of {total} used"),
            PageState::Run { pages, .. } => {
                write!(f, "one allocation of {}", Bytes(pages * PAGE_SIZE))
            }
            _ => f.write_str("free"),
        }
    }
}

/// What the characters mean. Displays as lines; only classes that have stacks are named.
#[derive(Clone, Copy, Debug)]
pub struct Legend<'a>(pub &'a Statistics);

impl fmt::Display for Legend<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Classes in a line.
        const IN_A_LINE: usize = 8;
        f.write_str(
            "Pages: # the heap's own, [== a run of pages, . free; chunks of so many bytes:",
        )?;
        let classes = self.0.classes.iter().enumerate();
        let used = classes.filter(|(_, class)| class.stacks > 0);
        for (column, (number, class)) in used.enumerate() {
            let opening = if column % IN_A_LINE == 0 { "\n" } else { "   " };
            let cell = Cell::Chunks {
                class: number,
                fill: 0,
            };
            write!(f, "{opening}{} {}", cell.letter(), class.chunk_size)?;
        }
        writeln!(
            f,
            "\nBelow: how full the page is, ░ to a quarter, ▒ a half, ▓ three quarters, █ more."
        )
    }
}

#[cfg(test)]
mod tests;

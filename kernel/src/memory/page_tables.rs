//! Page tables: which frame is behind which page. Pure: it sees tables through [`TableMemory`], so the host tests it.
//!
//! The CPU translates an address in four steps; each table has 512 entries and lies in a frame of its own:
//!
//! ```text
//!            level 4          level 3          level 2          level 1
//! CR3 ──►  ┌─────────┐  ┌─►┌─────────┐  ┌─►┌─────────┐  ┌─►┌─────────┐
//!          │ 512 GiB ├──┘  │ 1 GiB   ├──┘  │ 2 MiB   ├──┘  │ 4 KiB   ├──► a frame of data
//!          └─────────┘     └─────────┘     └─────────┘     └─────────┘
//!          count: entries in use in the table that it points to
//! ```
//!
//! Tables come from the frame allocator when a first page needs them, and **go back with the last page**: an entry that points
//! to a table counts, in bits that the CPU ignores, how many entries of that table are in use.
//!
//! Unmapping takes two passes, because the CPU may have copies of entries. The first marks what goes as *not present*, pages
//! and tables that become empty; then the CPU is told to forget; only then, in the second pass, frames go back, found by the
//! addresses that are still written down.
//!
//! Cost: a few steps a page, of the table of level 1 alone; four tables are visited for each 512 pages. A new table costs the
//! clearing of 4 KiB.
#![forbid(unsafe_code)]

use core::ops::Range;

use super::frame::{FRAME_SIZE, Frame};
use super::frame_allocator::{FrameAllocator, FreeError, OutOfFrames};
use super::frame_set::FrameSet;
use super::page::{Page, PageRange};

/// Entries of a table.
pub const ENTRIES: usize = 512;

/// The level of the table that is never ours to free.
const ROOT_LEVEL: u32 = 4;

/// How tables are reached, and how the CPU is told that it must forget.
///
/// [`PageTables`] ask for entries of their own tables alone: those that they made, as long as they have not given them back, and
/// of the level-4 table the entries that lead to their pages. Numbers are below [`ENTRIES`].
pub trait TableMemory {
    /// Returns the entries of these numbers of the table in the frame `table`.
    fn entries(&mut self, table: Frame, numbers: Range<usize>) -> &mut [Entry];

    /// Returns the entry of this number of the table in the frame `table`.
    fn entry(&mut self, table: Frame, number: usize) -> &mut Entry {
        &mut self.entries(table, number..number + 1)[0]
    }

    /// Makes the CPU forget what it knows of `pages` and of the tables above them.
    fn forget(&mut self, pages: PageRange);
}

/// An entry of a page table: points to a table or to a frame of data, or is empty.
///
/// ```text
/// bit 63        61 … 52     51 … 12      11 … 2      1          0
///  no execute   count       frame        not used    writable   present
/// ```
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(u64);

impl Entry {
    /// Points nowhere.
    pub const EMPTY: Self = Self(0);

    /// The CPU follows the entry.
    const PRESENT: u64 = 1;
    /// What is behind it can be written.
    const WRITABLE: u64 = 1 << 1;
    /// What is behind it is not code.
    const NO_EXECUTE: u64 = 1 << 63;
    /// The bits of the frame's address.
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    /// One entry in use, in the count.
    const COUNT_ONE: u64 = 1 << 52;
    /// The bits of the count.
    const COUNT: u64 = 0x3ff << 52;

    /// Returns an entry that points to an empty table.
    const fn to_table(frame: Frame) -> Self {
        Self(frame.start_address() | Self::WRITABLE | Self::PRESENT)
    }

    /// Returns an entry that points to data that can be read and written.
    const fn to_data(frame: Frame) -> Self {
        Self(frame.start_address() | Self::NO_EXECUTE | Self::WRITABLE | Self::PRESENT)
    }

    /// Returns whether the entry points nowhere.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns whether the CPU follows the entry.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Returns the frame that the entry points to.
    #[must_use]
    pub const fn frame(self) -> Frame {
        Frame::from_number((self.0 & Self::ADDRESS) / FRAME_SIZE)
    }

    /// Returns how many entries of the table that it points to are in use.
    const fn count(self) -> u64 {
        (self.0 & Self::COUNT) / Self::COUNT_ONE
    }

    /// Counts entries that come into use.
    const fn add(&mut self, entries: u64) {
        self.0 += entries * Self::COUNT_ONE;
    }

    /// Counts entries that fall out of use.
    const fn subtract(&mut self, entries: u64) {
        self.0 -= entries * Self::COUNT_ONE;
    }

    /// Hides the entry from the CPU; the frame stays written down.
    const fn retire(&mut self) {
        self.0 &= !Self::PRESENT;
    }
}

/// The place of an entry.
#[derive(Clone, Copy)]
struct Place {
    /// The table.
    table: Frame,
    /// The number of the entry.
    index: usize,
}

impl Place {
    /// Returns the entry.
    fn entry<M: TableMemory>(self, memory: &mut M) -> &mut Entry {
        memory.entry(self.table, self.index)
    }
}

/// The tables below a part of one level-4 table.
///
/// # Invariants
/// - An entry of level 4, 3 or 2 that points to a table of ours counts the entries in use there, which are not none but while
///   pages are being unmapped.
/// - `table_frames` is how many tables of ours there are.
#[derive(Debug)]
pub struct PageTables {
    /// The table of level 4.
    root: Frame,
    /// How many tables were made and not given back.
    table_frames: u64,
}

impl PageTables {
    /// Makes page tables for `pages` below `root`, a table of level 4. `None` where entries in it that lead to those pages are in
    /// use.
    pub fn new<M: TableMemory>(root: Frame, pages: PageRange, memory: &mut M) -> Option<Self> {
        let last = Page::containing_address(pages.end.start_address() - 1);
        let numbers = index_in(ROOT_LEVEL, pages.first)..index_in(ROOT_LEVEL, last) + 1;
        let entries = memory.entries(root, numbers);
        entries
            .iter()
            .all(|entry| entry.is_empty())
            .then_some(Self {
                root,
                table_frames: 0,
            })
    }

    /// Returns how many frames the tables take, without the one of level 4.
    #[must_use]
    pub const fn table_frames(&self) -> u64 {
        self.table_frames
    }

    /// Returns how many new tables `pages` pages take at most, where they begin at a multiple of their number (or of the next
    /// power of two), or follow mapped ones.
    #[must_use]
    pub const fn most_tables(pages: u64) -> u64 {
        pages.div_ceil(span(1)) + pages.div_ceil(span(2)) + pages.div_ceil(span(3))
    }

    /// Returns how many pages can be mapped for certain with so many frames, tables included.
    #[must_use]
    pub const fn pages_with(frames: u64) -> u64 {
        // Fewer pages take no more tables.
        frames.saturating_sub(Self::most_tables(frames))
    }

    /// Maps `range`, which is not mapped, to frames of its own: whole blocks first, then whatever there is. Can be read and
    /// written, not executed.
    ///
    /// # Errors
    ///
    /// [`OutOfFrames`], where there are not enough for pages and [tables](Self::most_tables); nothing has changed then.
    pub fn map<M: TableMemory>(
        &mut self,
        range: PageRange,
        frames: &mut FrameAllocator<'_>,
        memory: &mut M,
    ) -> Result<(), OutOfFrames> {
        // Counted before the first step, and nobody else has the allocator: so nothing fails in the middle.
        if range.len() + Self::most_tables(range.len()) > frames.counts().free {
            return Err(OutOfFrames);
        }
        for piece in range.pieces(span(1)) {
            let place = self.make_tables(piece.first, frames, memory)?;
            let table = place.entry(memory).frame();
            fill(memory.entries(table, entries_of(piece)), frames)?;
            place.entry(memory).add(piece.len());
        }
        Ok(())
    }

    /// Returns the place of the entry of level 2 that leads to `page`, and makes the tables that are missing on the way to the
    /// page, that of level 1 too.
    fn make_tables<M: TableMemory>(
        &mut self,
        page: Page,
        frames: &mut FrameAllocator<'_>,
        memory: &mut M,
    ) -> Result<Place, OutOfFrames> {
        let mut above: Option<Place> = None;
        let mut place = Place {
            table: self.root,
            index: index_in(ROOT_LEVEL, page),
        };
        for level in (1..ROOT_LEVEL).rev() {
            if place.entry(memory).is_empty() {
                let table = frames.allocate_frame()?;
                memory.entries(table, 0..ENTRIES).fill(Entry::EMPTY);
                *place.entry(memory) = Entry::to_table(table);
                self.table_frames += 1;
                if let Some(above) = above {
                    above.entry(memory).add(1);
                }
            }
            if level > 1 {
                let table = place.entry(memory).frame();
                above = Some(place);
                place = Place {
                    table,
                    index: index_in(level, page),
                };
            }
        }
        Ok(place)
    }

    /// Unmaps `range`, all of which is mapped, and gives its frames back, and those of tables that become empty.
    ///
    /// # Errors
    ///
    /// The first [`FreeError`] of the frame allocator; then a table was overwritten, or a page was not mapped. The rest is
    /// unmapped all the same.
    pub fn unmap<M: TableMemory>(
        &mut self,
        range: PageRange,
        frames: &mut FrameAllocator<'_>,
        memory: &mut M,
    ) -> Result<(), FreeError> {
        for piece in range.pieces(span(1)) {
            self.retire(piece, memory);
        }
        memory.forget(range);
        let mut result = Ok(());
        for piece in range.pieces(span(1)) {
            let freed = self.reap(piece, piece.end == range.end, frames, memory);
            result = result.and(freed);
        }
        result
    }

    /// Hides the pages of `piece`, which have one table of level 1, from the CPU, and the tables that have no entry in use any
    /// more.
    fn retire<M: TableMemory>(&self, piece: PageRange, memory: &mut M) {
        let places = self.places(piece.first, memory);
        let table = *places[0].entry(memory);
        let mut gone = piece.len();
        // Where the whole table goes, the CPU need not see that its entries do.
        if table.count() > gone {
            let entries = memory.entries(table.frame(), entries_of(piece));
            entries.iter_mut().for_each(Entry::retire);
        }
        for place in places {
            let entry = place.entry(memory);
            // Where a page was not mapped, giving it back will fail: here, under the locks, is no place to panic.
            entry.subtract(gone.min(entry.count()));
            if entry.count() > 0 {
                break;
            }
            entry.retire();
            gone = 1;
        }
    }

    /// Gives back the frames behind the hidden pages of `piece`, and those of hidden tables that have no page left to give
    /// back: that of level 1, and those above if this is the last piece below them.
    fn reap<M: TableMemory>(
        &mut self,
        piece: PageRange,
        is_last: bool,
        frames: &mut FrameAllocator<'_>,
        memory: &mut M,
    ) -> Result<(), FreeError> {
        let places = self.places(piece.first, memory);
        let table = places[0].entry(memory).frame();
        let entries = memory.entries(table, entries_of(piece));
        let mut result = free_frames_of(entries, frames);
        entries.fill(Entry::EMPTY);
        for (place, level) in places.into_iter().zip(1..) {
            let entry = place.entry(memory);
            let is_done = is_last || piece.end.number().is_multiple_of(span(level));
            if entry.is_present() || !is_done {
                break;
            }
            result = result.and(frames.free_frame(entry.frame()));
            *entry = Entry::EMPTY;
            self.table_frames -= 1;
        }
        result
    }

    /// Returns the places of the entries of level 2, 3 and 4 that lead to `page`, whose tables are there.
    fn places<M: TableMemory>(&self, page: Page, memory: &mut M) -> [Place; 3] {
        let place = |level, table| Place {
            table,
            index: index_in(level, page),
        };
        let fourth = place(4, self.root);
        let third = place(3, fourth.entry(memory).frame());
        let second = place(2, third.entry(memory).frame());
        [second, third, fourth]
    }
}

/// Fills empty entries with frames of data.
fn fill(entries: &mut [Entry], frames: &mut FrameAllocator<'_>) -> Result<(), OutOfFrames> {
    let mut rest = entries.iter_mut();
    while rest.len() > 0 {
        // No more frames than entries.
        let set = frames.allocate_some(rest.len() as u64)?;
        set.zip(&mut rest)
            .for_each(|(frame, entry)| *entry = Entry::to_data(frame));
    }
    Ok(())
}

/// Gives back the frames behind entries, those of one block that follow each other in one step.
fn free_frames_of(entries: &[Entry], frames: &mut FrameAllocator<'_>) -> Result<(), FreeError> {
    let (mut result, mut rest) = (Ok(()), entries.iter().map(|entry| entry.frame()));
    loop {
        let set = FrameSet::take_from(&mut rest);
        if set.is_empty() {
            return result;
        }
        result = result.and(frames.free_some(set));
    }
}

/// Returns how many pages a table of `level` leads to.
const fn span(level: u32) -> u64 {
    (ENTRIES as u64).pow(level)
}

/// Returns the number of the entry that leads to `page`, in a table of `level`.
fn index_in(level: u32, page: Page) -> usize {
    let index = page.number() / span(level - 1) % ENTRIES as u64;
    usize::try_from(index).unwrap_or(0)
}

/// Returns the numbers of the entries of a piece in its table of level 1.
fn entries_of(piece: PageRange) -> Range<usize> {
    let first = index_in(1, piece.first);
    first..first + usize::try_from(piece.len()).unwrap_or(0)
}

#[cfg(test)]
mod tests;

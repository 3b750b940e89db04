//! The one table from a `Layout` to the list that serves it.
//!
//! Owns the chunk sizes, how many pages a stack of each takes, and the choice for every size and alignment. Knows no
//! pointers and no state; a choice depends on the layout alone, so allocating and freeing always agree.
//!
//! | request | served by |
//! |---|---|
//! | up to 16 KiB, aligned to at most a page | a chunk of the smallest class that is large enough and a multiple of the alignment |
//! | up to 252 KiB where a block can hold it | a run of pages in a block |
//! | anything larger | a region from the source |
//!
//! Chunk sizes go up in steps of 16 bytes to 128, then four a doubling. Waste inside chunks, taken over all sizes from
//! 1 byte to 16 KiB alike, is below 10 % (the test `chunks_waste_less_than_a_tenth` counts it). Powers of two
//! are all among them, so an alignment never leads further than the next power of two.
#![forbid(unsafe_code)]

use core::alloc::Layout;
use core::num::NonZeroU8;

use crate::units::{CHUNKS_PER_STACK, LONGEST_RUN_PAGES, PAGE_SIZE, PAGES_PER_BLOCK, pages_for};

/// Bytes of the largest chunk: larger requests take whole pages.
pub(crate) const LARGEST_CHUNK: usize = 16 * 1024;

/// Every chunk's size and alignment is a multiple of this.
pub(crate) const SMALLEST_CHUNK: usize = 16;

/// Stacks that one run may hold: four, because 256 chunks of 16 bytes fill a page.
pub(crate) const STACKS_PER_RUN: usize = PAGE_SIZE / SMALLEST_CHUNK / CHUNKS_PER_STACK;

/// The most pages of a stack in a long list. One object keeps all of its stack from other sizes.
const LONGEST_STACK: usize = 15;

/// The most chunks that a stack in a long list gets, if its class does not say more: for the same reason.
const MOST_CHUNKS: usize = 32;

/// Number of size classes.
pub(crate) const CLASSES: usize = 36;

/// Number of lists: one a class, and one for the heap's own records.
pub(crate) const LISTS: usize = CLASSES + 1;

/// One row of the table, eight bytes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeClass {
    /// 2^32 / `chunk_size`, rounded up: division of an offset by multiplication, see [`SizeClass::chunk_at`].
    reciprocal: u32,
    /// Bytes of a chunk.
    chunk_size: u16,
    /// Pages that a stack of this class takes where it can get them.
    pages: u8,
}

/// Chunk sizes in bytes with the pages of a stack, smallest first.
///
/// The pages are the fewest that hold four chunks (one, of those above a page) and lose at most a twentieth to their tail (from
/// a page on, a fourteenth): a class that few objects need should not take much. Lists that grow long get longer stacks.
const ROWS: [(u16, u8); CLASSES] = [
    (16, 1),
    (32, 1),
    (48, 1),
    (64, 1),
    (80, 1),
    (96, 1),
    (112, 1),
    (128, 1),
    (160, 1),
    (192, 1),
    (224, 1),
    (256, 1),
    (320, 2),
    (384, 2),
    (448, 1),
    (512, 1),
    (640, 3),
    (768, 3),
    (896, 2),
    (1024, 1),
    (1280, 5),
    (1536, 3),
    (1792, 4),
    (2048, 2),
    (2560, 5),
    (3072, 3),
    (3584, 7),
    (4096, 4),
    (5120, 4),
    (6144, 3),
    (7168, 7),
    (8192, 2),
    (10240, 5),
    (12288, 3),
    (14336, 7),
    (16384, 4),
];

/// Bytes of a chunk for one of the heap's own records, and the pages of a stack of them. (Loom's atomics are larger.)
const RECORDS_ROW: (u16, u8) = (if cfg!(loom) { 256 } else { 64 }, 1);

/// The table, by [`ClassIndex`].
static TABLE: [SizeClass; LISTS] = {
    let mut table = [SizeClass::new(RECORDS_ROW); LISTS];
    let mut row = 0;
    while row < CLASSES {
        table[row] = SizeClass::new(ROWS[row]);
        row += 1;
    }
    table
};

/// The smallest class for each size up to [`LARGEST_CHUNK`], in steps of [`SMALLEST_CHUNK`]: place `n` is that of `16 * n + 1`
/// to `16 * n + 16` bytes.
static BY_SIZE: [ClassIndex; LARGEST_CHUNK / SMALLEST_CHUNK] = {
    let mut by_size = [ClassIndex::RECORDS; LARGEST_CHUNK / SMALLEST_CHUNK];
    let mut place = 0;
    let mut class = 0;
    while place < by_size.len() {
        if (place + 1) * SMALLEST_CHUNK > ROWS[class].0 as usize {
            class += 1;
        }
        by_size[place] = ClassIndex::of_row(class);
        place += 1;
    }
    by_size
};

/// The number of a list of stacks, which is that of its row in the table: always below [`LISTS`].
///
/// (One more than that number is what is kept: so there is a value to spare, and what is either this or nothing is a byte.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClassIndex(NonZeroU8);

impl ClassIndex {
    /// The list of the heap's own records, which serves no layout: no user gets one of its chunks, or may give one back.
    pub(crate) const RECORDS: Self = Self::of_row(CLASSES);

    /// Returns every class that serves layouts, smallest chunks first.
    pub(crate) fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..CLASSES).map(Self::of_row)
    }

    /// Returns the index of row `row`, below [`LISTS`].
    #[expect(
        clippy::cast_possible_truncation,
        reason = "there are fewer than 256 lists"
    )]
    const fn of_row(row: usize) -> Self {
        Self(NonZeroU8::MIN.saturating_add(row as u8))
    }

    /// Returns the number, for use as an index; below [`LISTS`].
    #[inline]
    pub(crate) const fn get(self) -> usize {
        self.0.get() as usize - 1
    }

    /// Returns the index in a byte, which is not 0.
    #[inline(always)]
    pub(crate) const fn code(self) -> u8 {
        self.0.get()
    }

    /// Returns the index that a byte stands for. `None` for 0.
    #[inline(always)]
    pub(crate) const fn of_code(code: u8) -> Option<Self> {
        match NonZeroU8::new(code) {
            Some(code) => Some(Self(code)),
            None => None,
        }
    }

    /// Returns the row.
    #[inline]
    pub(crate) const fn class(self) -> &'static SizeClass {
        &TABLE[self.get()]
    }
}

impl SizeClass {
    /// Makes a row of a chunk's size in bytes and a stack's pages.
    const fn new((chunk_size, pages): (u16, u8)) -> Self {
        Self {
            reciprocal: u32::MAX / chunk_size as u32 + 1,
            chunk_size,
            pages,
        }
    }

    /// Returns the bytes of a chunk.
    #[inline]
    pub(crate) const fn chunk_size(&self) -> usize {
        self.chunk_size as usize
    }

    /// Returns the pages that a stack takes where it can get them.
    pub(crate) const fn pages(&self) -> usize {
        self.pages as usize
    }

    /// Returns the most pages that a stack may take.
    pub(crate) const fn most_pages(&self) -> usize {
        let of_chunks = MOST_CHUNKS * self.chunk_size() / PAGE_SIZE;
        if of_chunks < LONGEST_STACK {
            of_chunks
        } else {
            LONGEST_STACK
        }
    }

    /// Returns how many chunks a stack of `pages` pages holds.
    pub(crate) const fn chunks_in(&self, pages: usize) -> usize {
        (pages * PAGE_SIZE * self.reciprocal as usize) >> 32
    }

    /// Returns the fewest pages that hold a chunk.
    pub(crate) const fn fewest_pages(&self) -> usize {
        pages_for(self.chunk_size())
    }

    /// Returns the pages of a stack in a small heap: the fewest that lose at most an eighth to their tail.
    pub(crate) const fn short_pages(&self) -> usize {
        let mut pages = self.fewest_pages();
        while pages * PAGE_SIZE % self.chunk_size() * 8 > pages * PAGE_SIZE {
            pages += 1;
        }
        pages
    }

    /// Returns the number of the chunk that begins `offset` bytes behind its stack's base, or `None` where none begins.
    ///
    /// Multiplies instead of dividing: with `r = 2^32 / chunk_size` rounded up, `offset * r` has the quotient in its upper
    /// half, and in its lower half less than `r` exactly when nothing remains (Lemire, Kaser, Kurz: *Faster remainder by
    /// direct computation*, 2019). For every offset inside a block, the test `every_offset_divides_exactly` tries it.
    #[inline(always)]
    pub(crate) const fn chunk_at(&self, offset: usize) -> Option<usize> {
        let product = offset * self.reciprocal as usize;
        if product % (1 << 32) < self.reciprocal as usize {
            Some(product >> 32)
        } else {
            None
        }
    }

    /// Returns the number of the chunk that the byte `offset` bytes behind its stack's base lies in.
    pub(crate) const fn chunk_around(&self, offset: usize) -> usize {
        offset / self.chunk_size()
    }
}

/// Which kind of memory serves a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// A chunk of this class.
    Chunk(ClassIndex),
    /// A run of pages inside a block.
    Run {
        /// Length, 1..=63.
        pages: usize,
        /// Alignment of the first page, in pages.
        align: usize,
    },
    /// A region from the source, sizes in bytes.
    Region {
        /// Size: a positive multiple of the page.
        size: usize,
        /// Alignment: a power of two, at least a page.
        align: usize,
    },
    /// Larger than any address space allows for: refused before any rounding could overflow.
    Refused,
}

/// Returns what serves `layout`. Constant: a table look-up.
#[inline]
pub(crate) const fn placement(layout: Layout) -> Placement {
    match class_of(layout) {
        Some(class) => Placement::Chunk(class),
        None => placement_in_pages(layout.size(), layout.align()),
    }
}

/// Returns the smallest class whose chunks hold `layout`, if there is one.
///
/// What is looked up is the size rounded up to the alignment, a power of two. Between two powers of two, chunk sizes are the
/// multiples of a fourth of the lower one, so the first that is large enough for such a size is a multiple of the alignment
/// too (the test `every_small_layout_gets_the_smallest_chunk_that_fits` tries them all).
#[inline(always)]
pub(crate) const fn class_of(layout: Layout) -> Option<ClassIndex> {
    // The last byte of the rounded size. Nothing at all is as large as anything can be here, and goes the long way.
    let last = layout.size().wrapping_sub(1) | (layout.align() - 1);
    let place = last / SMALLEST_CHUNK;
    if layout.align() <= PAGE_SIZE && place < BY_SIZE.len() {
        Some(BY_SIZE[place])
    } else {
        None
    }
}

/// Returns what serves a request that is not found in the table: of whole pages, or of nothing.
const fn placement_in_pages(size: usize, align: usize) -> Placement {
    if size > isize::MAX as usize - PAGE_SIZE {
        return Placement::Refused;
    }
    if size == 0 && align <= PAGE_SIZE {
        return Placement::Chunk(BY_SIZE[(align - 1) / SMALLEST_CHUNK]);
    }
    let pages = if size == 0 { 1 } else { pages_for(size) };
    let align_pages = pages_for(align);
    // The first aligned page behind the header is page `align_pages`.
    if pages <= LONGEST_RUN_PAGES && align_pages + pages <= PAGES_PER_BLOCK {
        return Placement::Run {
            pages,
            align: align_pages,
        };
    }
    let align = if align < PAGE_SIZE { PAGE_SIZE } else { align };
    Placement::Region {
        size: pages * PAGE_SIZE,
        align,
    }
}

#[cfg(test)]
mod tests;

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

use crate::units::{CHUNKS_PER_STACK, LONGEST_RUN_PAGES, PAGE_SIZE, PAGES_PER_BLOCK, pages_for};

/// Bytes of the largest chunk: larger requests take whole pages.
pub(crate) const LARGEST_CHUNK: usize = 16 * 1024;

/// Every chunk's size and alignment is a multiple of this.
pub(crate) const SMALLEST_CHUNK: usize = 16;

/// Stacks that one run may hold: four, because 256 chunks of 16 bytes fill a page.
pub(crate) const STACKS_PER_RUN: usize = PAGE_SIZE / SMALLEST_CHUNK / CHUNKS_PER_STACK;

/// Number of size classes.
pub(crate) const CLASSES: usize = 36;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeClass {
    /// Bytes of a chunk.
    pub(crate) chunk_size: u32,
    /// 2^32 / `chunk_size`, rounded up: division of an offset by multiplication, see [`SizeClass::chunk_at`].
    reciprocal: u32,
    /// Pages that a stack of this class takes where it can get them.
    pub(crate) pages: u8,
}

/// Chunk sizes in bytes with the pages of a stack, smallest first.
///
/// The pages are chosen so that the tail loses less than a thirtieth, and a stack holds enough chunks for its list not to run
/// dry at once, with seven pages where that serves, which divide a block's 63 without rest.
const ROWS: [(u32, u8); CLASSES] = [
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
    (320, 5),
    (384, 3),
    (448, 1),
    (512, 1),
    (640, 5),
    (768, 3),
    (896, 7),
    (1024, 2),
    (1280, 5),
    (1536, 3),
    (1792, 7),
    (2048, 3),
    (2560, 5),
    (3072, 6),
    (3584, 7),
    (4096, 7),
    (5120, 5),
    (6144, 6),
    (7168, 7),
    (8192, 6),
    (10240, 5),
    (12288, 6),
    (14336, 7),
    (16384, 8),
];

/// The table, by [`ClassIndex`].
const TABLE: [SizeClass; CLASSES] = {
    let mut table = [SizeClass {
        chunk_size: 0,
        reciprocal: 0,
        pages: 0,
    }; CLASSES];
    let mut row = 0;
    while row < CLASSES {
        let (chunk_size, pages) = ROWS[row];
        table[row] = SizeClass {
            chunk_size,
            reciprocal: u32::MAX / chunk_size + 1,
            pages,
        };
        row += 1;
    }
    table
};

/// The smallest class for each size up to [`LARGEST_CHUNK`], in steps of [`SMALLEST_CHUNK`].
static BY_SIZE: [ClassIndex; LARGEST_CHUNK / SMALLEST_CHUNK + 1] = {
    let mut by_size = [ClassIndex(0); LARGEST_CHUNK / SMALLEST_CHUNK + 1];
    let mut step = 0;
    let mut class = 0;
    while step < by_size.len() {
        if step * SMALLEST_CHUNK > ROWS[class as usize].0 as usize {
            class += 1;
        }
        by_size[step] = ClassIndex(class);
        step += 1;
    }
    by_size
};

/// A row of the table, by number: always below [`CLASSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClassIndex(u8);

impl ClassIndex {
    /// The class of the heap's own records, which a region's entry must fit.
    pub(crate) const OF_RECORDS: Self = Self(3);

    /// Returns every class, smallest chunks first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0_u8..).take(CLASSES).map(Self)
    }

    /// Returns the number, for use as an index; below [`CLASSES`].
    pub(crate) const fn get(self) -> usize {
        self.0 as usize
    }

    /// Returns the row.
    pub(crate) const fn class(self) -> &'static SizeClass {
        &TABLE[self.0 as usize]
    }
}

impl SizeClass {
    /// Returns how many chunks a stack of `pages` pages holds.
    pub(crate) const fn chunks_in(&self, pages: usize) -> usize {
        pages * PAGE_SIZE / self.chunk_size as usize
    }

    /// Returns how many stacks of 64 chunks a full run of this class has, the last one perhaps of fewer.
    pub(crate) const fn stacks_per_run(&self) -> usize {
        self.chunks_in(self.pages as usize)
            .div_ceil(CHUNKS_PER_STACK)
    }

    /// Returns the fewest pages that hold a chunk.
    pub(crate) const fn fewest_pages(&self) -> usize {
        pages_for(self.chunk_size as usize)
    }

    /// Returns the pages of a stack in a small heap: the fewest that lose at most an eighth to their tail.
    pub(crate) const fn short_pages(&self) -> usize {
        let mut pages = self.fewest_pages();
        while pages * PAGE_SIZE % self.chunk_size as usize * 8 > pages * PAGE_SIZE {
            pages += 1;
        }
        pages
    }

    /// Returns the number of the chunk that begins `offset` bytes behind its stack's base, or `None` where none begins.
    ///
    /// Multiplies instead of dividing: with `r = 2^32 / chunk_size` rounded up, `offset * r / 2^32` is exact
    /// for every offset inside a block (the test `every_offset_divides_exactly` tries them all).
    pub(crate) const fn chunk_at(&self, offset: usize) -> Option<usize> {
        let chunk = (offset * self.reciprocal as usize) >> 32;
        if chunk * self.chunk_size as usize == offset {
            Some(chunk)
        } else {
            None
        }
    }

    /// Returns the number of the chunk that the byte `offset` bytes behind its stack's base lies in.
    pub(crate) const fn chunk_around(&self, offset: usize) -> usize {
        offset / self.chunk_size as usize
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

/// Returns what serves `layout`. Constant: a table look-up, for alignments above 16 a few steps along the table.
#[inline]
pub(crate) const fn placement(layout: Layout) -> Placement {
    if layout.size() <= LARGEST_CHUNK && layout.align() <= PAGE_SIZE {
        return Placement::Chunk(class_for(layout.size(), layout.align()));
    }
    placement_in_pages(layout.size(), layout.align())
}

/// Returns the smallest class whose chunks hold `size` bytes aligned to `align`; both within the table's reach.
#[inline]
const fn class_for(size: usize, align: usize) -> ClassIndex {
    if align <= SMALLEST_CHUNK {
        return BY_SIZE[size.div_ceil(SMALLEST_CHUNK)];
    }
    let at_least = if size < align { align } else { size };
    let mut class = BY_SIZE[at_least.div_ceil(SMALLEST_CHUNK)];
    // Ends at the next power of two at the latest, which every row of the upper table reaches in four steps.
    while class.class().chunk_size as usize % align != 0 {
        class.0 += 1;
    }
    class
}

/// Returns what serves a request that no chunk does.
const fn placement_in_pages(size: usize, align: usize) -> Placement {
    if size > isize::MAX as usize - PAGE_SIZE {
        return Placement::Refused;
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

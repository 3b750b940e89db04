//! Virtual addresses for memory that is scattered: which pages of the kernel's window are in use. Pure bookkeeping; it
//! neither maps pages nor knows frames.
//!
//! Address space is not scarce (the window may have 31 TiB), so it is laid out for speed: an *arena* for each power of two,
//! each a row of *slots* of that size. Who wants `n` pages gets the lowest free slot of the smallest size that has `n` pages
//! and one more. That is one look into a [`BitTree`]: no search, whatever was taken and given back before.
//!
//! ```text
//! arena 0     ┌──────┬──────┬──────┬─ ─      slots of 64 pages
//! arena 1     ┌─────────────┬────────────┬─ ─           of 128 pages
//! arena k     ┌────────────────────────────────┬─ ─     of 64 · 2^k pages, aligned to as much
//!             │▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓        G│
//!              └──── mapped ────────┘ └ room ┘└ the last page of each slot is never mapped: the guard between neighbours
//! ```
//!
//! - A mapping has unmapped pages on both sides: its own guard, or room, above; the guard of the slot before below.
//! - It is aligned to its slot, so an alignment is had by a larger slot; and it grows in place up to its slot's guard.
//! - It has at most [`LARGEST_MAPPING`] pages: all of them are mapped under locks. Slots that are larger serve alignments.
//! - **Slots do not run out before frames do**: an arena has as many slots as all frames of the machine could fill with
//!   mappings that need that size, and [`SPARE_SLOTS`] more for mappings that once were larger, or have a large alignment.
//!   For very small mappings (below half of arena 0's slots: call stacks) there may be fewer.
//!
//! The books are one bit a slot and a tree above: less than one bit for 8 frames of the machine.
#![forbid(unsafe_code)]

use super::bit_tree::BitTree;
use super::page::Page;

/// Pages of the smallest slot.
pub const SMALLEST_SLOT: u64 = 64;

/// The most pages of a mapping: 16 MiB.
pub const LARGEST_MAPPING: u64 = 4096;

/// Slots that an arena has beyond what all frames could fill.
pub const SPARE_SLOTS: u64 = 3;

/// The most arenas there are.
const ARENAS: usize = 23;

/// The most frames that a window is made for: 512 GiB. With more, it can show so many at a time.
pub const MOST_FRAMES: u64 = 1 << 27;

/// The most pages that a window takes, so many frames or more.
pub const MOST_PAGES: u64 = 2 * MOST_FRAMES * ARENAS as u64 + (SPARE_SLOTS + 1) * 4 * MOST_FRAMES;

/// Slots of one size.
#[derive(Debug)]
struct Arena<'a> {
    /// Where the first slot is.
    first: Page,
    /// Pages of a slot.
    slot_pages: u64,
    /// How many slots there are.
    slots: u64,
    /// The slots that nobody has.
    free: BitTree<'a>,
}

impl Arena<'_> {
    /// Returns how many pages a mapping can have in a slot: all but the guard.
    fn room(&self) -> u64 {
        (self.slot_pages - 1).min(LARGEST_MAPPING)
    }

    /// Returns the number of the slot that has `page`.
    fn slot_of(&self, page: Page) -> Option<usize> {
        let slot = page.number().checked_sub(self.first.number())? / self.slot_pages;
        (slot < self.slots).then(|| index(slot))
    }
}

/// A range of virtual addresses, given out in slots; see the module.
///
/// # Invariants
/// - Arenas follow each other from the largest slots to the smallest, so each begins at a multiple of its slots' size.
#[derive(Debug)]
pub struct Window<'a> {
    /// Arenas by size of slot, the smallest first; `None` where the machine has too few frames to fill a slot.
    arenas: [Option<Arena<'a>>; ARENAS],
    /// Where the window begins.
    first: Page,
    /// The page behind the last one.
    end: Page,
}

/// A page that is not the first one of a slot in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInUse(pub Page);

impl<'a> Window<'a> {
    /// Returns how many words of bookkeeping a window for a machine with `frames` frames needs.
    #[must_use]
    pub fn words_for(frames: u64) -> usize {
        arena_sizes(frames)
            .map(|(_, slots)| BitTree::words_for(index(slots)))
            .sum()
    }

    /// Makes a window from page `first` on for a machine with `frames` frames, nothing in use, with its books in `memory`.
    ///
    /// # Panics
    ///
    /// If `memory` is shorter than [`words_for`](Self::words_for) `frames`, or `first` is not aligned to the largest slot.
    #[must_use]
    pub fn new(first: Page, frames: u64, memory: &'a mut [u64]) -> Self {
        let mut arenas = [const { None }; ARENAS];
        let (mut rest, mut next) = (memory, first);
        let count = arena_sizes(frames).count();
        for number in (0..count).rev() {
            let (slot_pages, slots) = arena_sizes(frames).nth(number).unwrap_or_default();
            assert!(
                next.number().is_multiple_of(slot_pages),
                "a window begins at a multiple of its largest slot"
            );
            let (mut free, others) = BitTree::new(index(slots), rest);
            (0..index(slots)).for_each(|slot| free.set(slot, true));
            arenas[number] = Some(Arena {
                first: next,
                slot_pages,
                slots,
                free,
            });
            (rest, next) = (others, next.plus(slots * slot_pages));
        }
        Self {
            arenas,
            first,
            end: next,
        }
    }

    /// Returns the page behind the window.
    #[must_use]
    pub const fn end(&self) -> Page {
        self.end
    }

    /// Returns whether `page` lies in the window.
    #[must_use]
    pub fn contains(&self, page: Page) -> bool {
        self.first <= page && page < self.end
    }

    /// Gives out a slot with room for `pages` pages; returns its first page, whose number is a multiple of `align_pages`.
    /// `None` where there is none, `pages` is above [`LARGEST_MAPPING`], or `align_pages` is not a power of two.
    pub fn take(&mut self, pages: u64, align_pages: u64) -> Option<Page> {
        if !align_pages.is_power_of_two() || pages > LARGEST_MAPPING {
            return None;
        }
        let least = (pages + 1).max(align_pages);
        let number = index(
            (least.div_ceil(SMALLEST_SLOT))
                .checked_next_power_of_two()?
                .trailing_zeros()
                .into(),
        );
        let arena = self.arenas.get_mut(number)?.as_mut()?;
        let slot = arena.free.next_member(0)?;
        arena.free.set(slot, false);
        Some(arena.first.plus(slot as u64 * arena.slot_pages))
    }

    /// Takes back the slot that begins with `first`.
    ///
    /// # Errors
    ///
    /// [`NotInUse`] where there is no such slot, or nobody has it; nothing has changed then.
    pub fn give_back(&mut self, first: Page) -> Result<(), NotInUse> {
        let (number, slot) = self.find(first).ok_or(NotInUse(first))?;
        let arena = self.arenas[number].as_mut().ok_or(NotInUse(first))?;
        arena.free.set(slot, true);
        Ok(())
    }

    /// Returns how many pages a mapping in the slot that begins with `first` can have; `None` where nobody has such a slot.
    #[must_use]
    pub fn room(&self, first: Page) -> Option<u64> {
        let (number, _) = self.find(first)?;
        self.arenas[number].as_ref().map(Arena::room)
    }

    /// Returns how many pages the largest mapping can have that there is a slot for.
    #[must_use]
    pub fn largest_room(&self) -> u64 {
        let has_free = |arena: &&Arena<'_>| arena.free.next_member(0).is_some();
        let largest = self.arenas.iter().flatten().rfind(has_free);
        largest.map_or(0, Arena::room)
    }

    /// Finds the slot in use that begins with `first`: the arena's number and the slot's.
    fn find(&self, first: Page) -> Option<(usize, usize)> {
        let (number, arena, slot) =
            self.arenas.iter().enumerate().find_map(|(number, arena)| {
                let arena = arena.as_ref()?;
                Some((number, arena, arena.slot_of(first)?))
            })?;
        let begins = first.number() == arena.first.number() + slot as u64 * arena.slot_pages;
        (begins && !arena.free.contains(slot)).then_some((number, slot))
    }
}

/// Iterates over the arenas for a machine with `frames` frames, the smallest slots first: pages of a slot, and how many.
fn arena_sizes(frames: u64) -> impl Iterator<Item = (u64, u64)> {
    let frames = frames.min(MOST_FRAMES);
    (0..ARENAS)
        .map(|number| SMALLEST_SLOT << number)
        // The last one is the first that has room for all frames at once.
        .take_while(move |slot_pages| *slot_pages == SMALLEST_SLOT || slot_pages / 2 <= frames)
        .map(move |slot_pages| (slot_pages, frames / (slot_pages / 2) + 1 + SPARE_SLOTS))
}

/// A number of slots or arenas, to index with.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A mapping of all frames fits the slots of the last arena.
const _: () = assert!(SMALLEST_SLOT << (ARENAS - 1) > MOST_FRAMES);

#[cfg(test)]
mod tests;

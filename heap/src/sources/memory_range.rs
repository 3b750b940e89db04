//! A range of fixed memory, and its books.
//!
//! Owns where things are: this is the one file of the fixed sources that turns numbers of pages into pointers. Knows
//! nothing of other ranges but the link to the next.
//!
//! ```text
//! start, rounded up to a page                                                      end, to the byte
//! ▼                                                                                ▼
//! ┌──────────────────────────────┬────────┬────────┬────────┬─ ─┬────────┬─────────┐
//! │ books: pages taken for good  │  page  │  page  │  page  │   │  page  │ less    │
//! │ ┌───────────┬────────┬── ─┐  │        │        │        │   │        │ than a  │
//! │ │ RangeInfo │ word 0 │ …  │  │        │        │        │   │        │ page    │
//! │ └─64 bytes──┴─8 B────┴── ─┘  │        │        │        │   │        │         │
//! └──────────────────────────────┴────────┴────────┴────────┴─ ─┴────────┴─────────┘
//! ```
//!
//! The books are all that is ever written: nothing in a free page, nothing in one that is handed out, so that no write
//! after a free can lead astray. A word is good for a window of 256 KiB ([`PageMap`]), and for 64 windows there is one word
//! more, whose bits say which of them are free as a whole: so a block is found in a step for each 16 MiB. A page of books is
//! good for 124 MiB. Books are made in whole pages; what is left of the last one is where the range may grow. When that is
//! full, what lies behind becomes a range with books of its own.
//!
//! # Handles
//!
//! [`MemoryRange`] is a pointer with a promise, made in [`MemoryRange::install`]. The fields behind it are `Cell`s: a source
//! of fixed memory is entered by one context at a time.

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;

use crate::bitmap::Bitmap;
use crate::sources::page_map::{PageMap, Part};
use crate::units::{PAGE_SIZE, PAGES_PER_BLOCK, block_base, page_in_block};

/// Bytes of the books before the first word.
const HEADER_SIZE: usize = 64;

/// Windows that one word says of whether they are free as a whole.
const WINDOWS_PER_WORD: usize = 64;

/// Bytes of a word.
const WORD_SIZE: usize = size_of::<Cell<Bitmap>>();

const _: () = assert!(
    size_of::<RangeInfo>() <= HEADER_SIZE,
    "the header stands before the words"
);
const _: () = assert!(
    HEADER_SIZE % align_of::<Cell<Bitmap>>() == 0 && WORD_SIZE == 8,
    "words follow each other from the end of the header on"
);
const _: () = assert!(
    align_of::<RangeInfo>() <= PAGE_SIZE,
    "a page is aligned enough for a header"
);

/// What a range knows of itself. Pages have the numbers of the map: 0 is the first of the window that the range begins in.
#[derive(Debug)]
pub(crate) struct RangeInfo {
    /// The address behind the last byte, of a whole page or not.
    end: Cell<usize>,
    /// The number of the first page behind those that are in use or free.
    pages_end: Cell<usize>,
    /// How many pages are free.
    free: Cell<usize>,
    /// Pages of books.
    books: usize,
    /// The next range of the source.
    pub(crate) next: Cell<Option<MemoryRange>>,
}

/// A range of memory with its books.
///
/// # Invariants
///
/// 1. The pointer is that of an initialised [`RangeInfo`] at the start of a page. It is valid, and carries provenance,
///    for everything up to the range's end.
/// 2. Initialised words follow the header, as many as fit the pages of the books: first those of whole windows, then those
///    of the map. A window's bit is set exactly when all of its pages are free.
/// 3. The pages that the map calls free, and those handed out, lie behind the books and before the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryRange(NonNull<RangeInfo>);

impl MemoryRange {
    /// Writes the books of a range into the first pages of `size` bytes at `start`, all the other pages free. `None`, with
    /// nothing written, when no page would be left.
    ///
    /// Cost: clears the books, a byte for each 32 KiB of the range.
    ///
    /// # Safety
    ///
    /// The memory is valid for reads and writes, `start` has provenance for all of it, and it is used by nobody else
    /// as long as any copy of the handle, or memory handed out by it, is in use.
    pub(crate) unsafe fn install(start: NonNull<u8>, size: usize) -> Option<Self> {
        let skipped = start.addr().get().wrapping_neg() % PAGE_SIZE;
        let pages = size.checked_sub(skipped)? / PAGE_SIZE;
        // SAFETY: `skipped` is at most `size`, by the subtraction.
        let start = unsafe { start.add(skipped) };
        let before = page_in_block(start.addr().get());
        let books = books_for((before + pages).div_ceil(PAGES_PER_BLOCK));
        if pages <= books {
            return None;
        }
        let info = RangeInfo {
            end: Cell::new(start.addr().get() + (size - skipped)),
            pages_end: Cell::new(before + books),
            free: Cell::new(0),
            books,
            next: Cell::new(None),
        };
        // SAFETY: the caller hands over `pages` pages from `start` on, of which `books` are fewer.
        let range = unsafe { Self::write_books(start.cast(), info) };
        range.open_pages();
        Some(range)
    }

    /// Writes a header, and as many empty words behind it as fit.
    ///
    /// # Safety
    ///
    /// As for [`install`](Self::install); `start` is that of a page, and the pages of the books are part of the memory.
    unsafe fn write_books(start: NonNull<RangeInfo>, info: RangeInfo) -> Self {
        let words = words_in(info.books);
        let words = words + words_of_whole(words);
        // SAFETY: the header is in the first page, whose start is aligned enough for it.
        unsafe { start.write(info) };
        // INVARIANT: 1. just initialised, the rest is the caller's promise; 3. no page is free yet, as there is no word.
        let range = Self(start);
        // SAFETY: `words_in` counts the words that lie in the pages of the books, behind the header. A word of zeros is a
        // set of nothing.
        unsafe { range.whole_words().write_bytes(0, words) };
        // INVARIANT: 2. all words are written.
        range
    }

    /// Makes the range `by` bytes longer. Whole pages become free as far as the books have words; behind that, a range of
    /// its own is made and returned as soon as there are pages enough for one.
    ///
    /// # Safety
    ///
    /// The bytes behind the range's [`end`](Self::end) are as [`install`](Self::install) demands of its own, with the
    /// provenance of the pointer that was given there.
    pub(crate) unsafe fn extend(self, by: usize) -> Option<Self> {
        self.end.set(self.end() + by);
        self.open_pages();
        let pages_end = self.map_start() + self.pages_end.get() * PAGE_SIZE;
        // SAFETY: the range's pages end at or before its end.
        let rest = unsafe { self.start().add(pages_end - self.address()) };
        // SAFETY: the caller's promise, now and at earlier times: from the last page to the end, nobody uses the memory.
        // If there are words left, this is less than a page, and not enough for a range.
        let next = unsafe { Self::install(rest, self.end() - pages_end) }?;
        self.end.set(pages_end);
        Some(next)
    }

    /// Makes free what lies between the pages there are and the range's end, as far as there are words.
    fn open_pages(self) {
        let all = (self.end() - self.map_start()) / PAGE_SIZE;
        let pages_end = all.min(words_in(self.books) * PAGES_PER_BLOCK);
        let first = self.pages_end.replace(pages_end);
        // INVARIANT: 3. the pages are whole ones before the end, and come behind all earlier ones and the books.
        let is_new = pages_end == first || self.put(first, pages_end - first);
        debug_assert!(is_new, "pages behind the last one are not free yet");
    }

    /// Returns the first byte.
    pub(crate) const fn start(self) -> NonNull<u8> {
        self.0.cast()
    }

    /// Returns the address of the first byte.
    pub(crate) fn address(self) -> usize {
        self.0.addr().get()
    }

    /// Returns the address behind the last byte.
    pub(crate) fn end(self) -> usize {
        self.end.get()
    }

    /// Returns whether `address` is that of a byte of the range.
    pub(crate) fn contains(self, address: usize) -> bool {
        self.address() <= address && address < self.end()
    }

    /// Returns how many pages there are beside the books.
    pub(crate) fn pages(self) -> usize {
        self.pages_end.get() - self.first_page()
    }

    /// Returns how many of them are free.
    pub(crate) fn free_pages(self) -> usize {
        self.free.get()
    }

    /// Hands out a block, the highest one. Cost: a step for each 16 MiB of the range, at most.
    pub(crate) fn get_block(self) -> Option<NonNull<u8>> {
        let whole = self.whole();
        let word = whole.iter().rposition(|word| !word.get().is_empty())?;
        let window = word * WINDOWS_PER_WORD + whole[word].get().height() - 1;
        self.get(window * PAGES_PER_BLOCK, PAGES_PER_BLOCK)
    }

    /// Hands out `pages` pages aligned to `align` pages. Cost: a walk over the map.
    pub(crate) fn get_run(self, pages: usize, align: usize) -> Option<NonNull<u8>> {
        if self.free_pages() < pages {
            return None;
        }
        self.get(self.map().find_run(pages, align)?, pages)
    }

    /// Finds the best part of at least `least` pages at an address that `is_usable`. Cost: a walk over the map.
    pub(crate) fn find_part(self, least: usize, is_usable: &dyn Fn(usize) -> bool) -> Option<Part> {
        if self.free_pages() < least {
            return None;
        }
        self.map().find_part(least, is_usable)
    }

    /// Returns the length in pages of the longest free run. Cost: a walk over the map.
    pub(crate) fn longest_run(self) -> usize {
        self.map().longest_run()
    }

    /// Hands out the `pages` pages from page `first` on. `None`, with nothing changed, when not all of them are free.
    pub(crate) fn get(self, first: usize, pages: usize) -> Option<NonNull<u8>> {
        if !self.take(first, pages) {
            return None;
        }
        let offset = (first - self.page_before()) * PAGE_SIZE;
        // SAFETY: the page was free, so that it lies in the range, behind its start (invariant 3).
        Some(unsafe { self.start().add(offset) })
    }

    /// Takes back the `pages` pages at `address`. `false`, with nothing changed, when they were not all handed out.
    pub(crate) fn release(self, address: usize, pages: usize) -> bool {
        self.handed_out(address, pages)
            .is_some_and(|first| self.put(first, pages))
    }

    /// Makes the `pages` pages at `address` `new_pages` pages. `false`, with nothing changed, when they were not all handed
    /// out, or those behind them are not free.
    pub(crate) fn resize(self, address: usize, pages: usize, new_pages: usize) -> bool {
        let Some(first) = self.handed_out(address, pages) else {
            return false;
        };
        if new_pages > pages {
            self.take(first + pages, new_pages - pages)
        } else {
            new_pages > 0 && self.put(first + new_pages, pages - new_pages)
        }
    }

    /// Returns the number of the page at `address` if all of the `pages` (at least 1) pages there are handed out.
    fn handed_out(self, address: usize, pages: usize) -> Option<usize> {
        if address % PAGE_SIZE != 0 {
            return None;
        }
        let first = address.checked_sub(self.map_start())? / PAGE_SIZE;
        let end = first.checked_add(pages)?;
        let inside = self.first_page() <= first && end <= self.pages_end.get();
        (inside && self.map().are_taken(first, pages)).then_some(first)
    }

    /// Takes pages that are free. `false`, with nothing changed, when not all of them are.
    fn take(self, first: usize, pages: usize) -> bool {
        let taken = self.map().take(first, pages);
        if taken {
            self.free.set(self.free.get() - pages);
            self.note_whole(first, pages);
        }
        taken
    }

    /// Makes pages free that are taken. `false`, with nothing changed, when not all of them are.
    fn put(self, first: usize, pages: usize) -> bool {
        let put = self.map().put(first, pages);
        if put {
            self.free.set(self.free.get() + pages);
            self.note_whole(first, pages);
        }
        put
    }

    /// Notes which of the windows that have pages of `first..first + pages` are free as a whole.
    fn note_whole(self, first: usize, pages: usize) {
        let (map, whole) = (self.map(), self.whole());
        for window in first / PAGES_PER_BLOCK..(first + pages).div_ceil(PAGES_PER_BLOCK) {
            let word = &whole[window / WINDOWS_PER_WORD];
            let bit = Bitmap::single(window % WINDOWS_PER_WORD);
            word.set(if map.is_whole(window) {
                word.get().with(bit)
            } else {
                word.get().without(bit)
            });
        }
    }

    /// Returns the address of the map's page 0.
    fn map_start(self) -> usize {
        block_base(self.address())
    }

    /// Returns the number of the first page of the range.
    fn page_before(self) -> usize {
        page_in_block(self.address())
    }

    /// Returns the number of the first page behind the books.
    fn first_page(self) -> usize {
        self.page_before() + self.books
    }

    /// Returns the map of the pages there are.
    fn map(&self) -> PageMap<'_> {
        let words = self.pages_end.get().div_ceil(PAGES_PER_BLOCK);
        debug_assert!(words <= words_in(self.books), "every page has its bit");
        // SAFETY: the words are initialised and in the books (invariant 2), and only ever used through shared references,
        // as what changes in them is a cell.
        let words = unsafe { NonNull::slice_from_raw_parts(self.first_word(), words).as_ref() };
        PageMap::new(words, self.map_start() / PAGE_SIZE)
    }

    /// Returns where the words of the map begin.
    fn first_word(self) -> NonNull<Cell<Bitmap>> {
        let before = words_of_whole(words_in(self.books));
        // SAFETY: the words of whole windows are followed by those of the map, in the pages of the books.
        unsafe { self.whole_words().add(before) }
    }

    /// Returns which windows are free as a whole, in words of 64.
    fn whole(&self) -> &[Cell<Bitmap>] {
        let words = words_of_whole(words_in(self.books));
        // SAFETY: the words are initialised and in the books (invariant 2), and only ever used through shared references,
        // as what changes in them is a cell.
        unsafe { NonNull::slice_from_raw_parts(self.whole_words(), words).as_ref() }
    }

    /// Returns where the words of whole windows begin.
    fn whole_words(self) -> NonNull<Cell<Bitmap>> {
        // SAFETY: the header is followed by words in the first page of the books.
        unsafe { self.start().add(HEADER_SIZE) }.cast()
    }
}

/// Returns how many pages the books of so many windows need.
const fn books_for(windows: usize) -> usize {
    (HEADER_SIZE + (windows + words_of_whole(windows)) * WORD_SIZE).div_ceil(PAGE_SIZE)
}

/// Returns how many words of the map, beside those of whole windows, fit so many (at least 1) pages of books.
const fn words_in(books: usize) -> usize {
    let all = (books * PAGE_SIZE - HEADER_SIZE) / WORD_SIZE;
    all - all.div_ceil(WINDOWS_PER_WORD + 1)
}

/// Returns how many words say which of so many windows are free as a whole.
const fn words_of_whole(windows: usize) -> usize {
    windows.div_ceil(WINDOWS_PER_WORD)
}

impl Deref for MemoryRange {
    type Target = RangeInfo;

    fn deref(&self) -> &RangeInfo {
        // SAFETY: initialised and valid (invariant 1); only shared references to it exist, and what changes is a cell.
        unsafe { self.0.as_ref() }
    }
}

impl fmt::Debug for MemoryRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryRange({:#x}..{:#x})", self.address(), self.end())
    }
}

#[cfg(test)]
mod tests;

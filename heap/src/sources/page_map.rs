//! Which pages of a range are free: one bit a page, one word a window of 256 KiB.
//!
//! Pure arithmetic over words that somebody else keeps: pages are numbers here, and nothing points anywhere. Windows are
//! what the address space is divided into at the multiples of a block's size, so a whole block is a full word, and a part
//! of a block is a run inside a word. Pages of the first window that come before the range, those behind its end, and those
//! that hold the words themselves are simply never free.
//!
//! ```text
//! window     0                1                2
//!          ┌────────────────┬────────────────┬────────────────┐
//! words    │ 0000 0001 1111 │ 1111 1111 1111 │ 1110 0111 0000 │    a set bit is a free page; bit 0 is the lowest
//!          └──────────▲─────┴────────────────┴──▲───▲─────────┘
//!            range begins │ a run of many pages │   └ a part
//!                         └─────────────────────┘
//! ```
//!
//! Regions are taken from the low end, first fit, and blocks, which are found elsewhere, from the high one: blocks live long,
//! and would otherwise settle in the holes that regions leave, and keep those from growing together again.
//!
//! Cost: finding is one walk over the words, a word that is full or empty being one comparison and any other about thirty
//! word operations; so it is bounded by the size of the memory, 4,096 words for 1 GiB. Taking and putting back touch
//! the words of their pages alone.
#![forbid(unsafe_code)]

use core::cell::Cell;
use core::iter;
use core::ops::Range;

use crate::bitmap::Bitmap;
use crate::units::{LONGEST_RUN_PAGES, PAGE_SIZE, PAGES_PER_BLOCK};

/// A window with every page free.
const ALL: Bitmap = Bitmap::below(PAGES_PER_BLOCK);

/// The free pages of a range, numbered from the start of the window that the range begins in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageMap<'a> {
    /// A word for each window.
    words: &'a [Cell<Bitmap>],
    /// The number of page 0 among all pages of the address space, a multiple of 64.
    base: usize,
}

/// A run of pages inside a window, with what makes one a better part than another: the greater is the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    /// Length in pages, 1..=63.
    pub(crate) pages: usize,
    /// Whether its neighbours are taken: no longer run is cut by it.
    pub(crate) is_apart: bool,
    /// The first page.
    pub(crate) first: usize,
}

/// A window that is not free as a whole: no run goes through it.
struct Seam {
    /// The free pages that end at its first taken one, from wherever they begin.
    before: Range<usize>,
    /// The number of its first page.
    base: usize,
    /// Its free pages.
    word: Bitmap,
}

impl<'a> PageMap<'a> {
    /// Creates a map over `words`; page 0 is number `base`, a multiple of 64, in the address space.
    pub(crate) const fn new(words: &'a [Cell<Bitmap>], base: usize) -> Self {
        debug_assert!(base % PAGES_PER_BLOCK == 0, "a map begins with a window");
        Self { words, base }
    }

    /// Returns the number of pages that there are bits for.
    const fn len(self) -> usize {
        self.words.len() * PAGES_PER_BLOCK
    }

    /// Finds the lowest multiple of `align` pages in the address space at which `pages` pages are free.
    pub(crate) fn find_run(self, pages: usize, align: usize) -> Option<usize> {
        if pages == 0 {
            return None;
        }
        self.seams().find_map(|seam| {
            self.fit(seam.before.clone(), pages, align)
                .or_else(|| seam.find_inside(pages, align))
        })
    }

    /// Returns whether every page of a window is free; not if there is no such window.
    pub(crate) fn is_whole(self, window: usize) -> bool {
        self.words.get(window).is_some_and(|word| word.get() == ALL)
    }

    /// Finds the best part of at least `least` pages in a window that `is_usable` allows by its address.
    pub(crate) fn find_part(self, least: usize, is_usable: &dyn Fn(usize) -> bool) -> Option<Part> {
        let address = |part: &Part| (self.base + part.first) * PAGE_SIZE;
        (0..self.words.len())
            .filter_map(|window| self.part_of(window))
            .filter(|part| part.pages >= least && is_usable(address(part)))
            .max()
    }

    /// Returns the length of the longest run of free pages.
    pub(crate) fn longest_run(self) -> usize {
        self.seams()
            .map(|seam| seam.before.len().max(seam.word.longest_run()))
            .max()
            .unwrap_or(0)
    }

    /// Takes `pages` pages from `first` on. `false`, with nothing changed, when not all of them are free.
    #[must_use = "they may not have been free"]
    pub(crate) fn take(self, first: usize, pages: usize) -> bool {
        let fits = self.are(first, pages, Bitmap::contains_all);
        if fits {
            self.change(first, pages, Bitmap::without);
        }
        fits
    }

    /// Makes `pages` pages from `first` on free. `false`, with nothing changed, when one of them is already.
    #[must_use = "they may not have been taken"]
    pub(crate) fn put(self, first: usize, pages: usize) -> bool {
        let fits = self.are_taken(first, pages);
        if fits {
            self.change(first, pages, Bitmap::with);
        }
        fits
    }

    /// Returns whether there are `pages` pages (at least 1) from `first` on, and none of them is free.
    pub(crate) fn are_taken(self, first: usize, pages: usize) -> bool {
        self.are(first, pages, |word, mask| word.without(mask) == word)
    }

    /// Returns whether there are so many pages from `first` on, at least one, and `test` holds for each word of theirs.
    fn are(self, first: usize, pages: usize, test: fn(Bitmap, Bitmap) -> bool) -> bool {
        let fit = first
            .checked_add(pages)
            .is_some_and(|end| end <= self.len());
        fit && pages > 0
            && self
                .pieces(first, pages)
                .all(|(word, mask)| test(word.get(), mask))
    }

    /// Puts what `change` makes of it in the place of each word that has pages of `first..first + pages`.
    fn change(self, first: usize, pages: usize, change: fn(Bitmap, Bitmap) -> Bitmap) {
        for (word, mask) in self.pieces(first, pages) {
            word.set(change(word.get(), mask));
        }
    }

    /// Returns the words that have pages of `first..first + pages`, each with those pages.
    fn pieces(
        self,
        first: usize,
        pages: usize,
    ) -> impl Iterator<Item = (&'a Cell<Bitmap>, Bitmap)> {
        let end = first + pages;
        let windows = first / PAGES_PER_BLOCK..end.div_ceil(PAGES_PER_BLOCK);
        let mask = move |window: usize| {
            let base = window * PAGES_PER_BLOCK;
            let start = first.max(base);
            Bitmap::range(start - base, end - start)
        };
        windows.filter_map(move |window| Some((self.words.get(window)?, mask(window))))
    }

    /// Returns the windows that are not free as a whole, and behind the last one as if there were one more, all taken; but not
    /// those that have no free page and none right before them.
    fn seams(self) -> impl Iterator<Item = Seam> + use<'a> {
        let words = self.words.iter().map(Cell::get);
        let mut open = 0;
        words
            .chain(iter::once(Bitmap::EMPTY))
            .enumerate()
            .filter_map(move |(window, word)| {
                let base = window * PAGES_PER_BLOCK;
                if word.is_empty() && open == base {
                    // Nothing ends here and nothing begins: most windows that are taken.
                    open = base + PAGES_PER_BLOCK;
                    return None;
                }
                let taken = ALL.without(word);
                let before = open..base + taken.lowest()?;
                open = base + taken.height();
                Some(Seam { before, base, word })
            })
    }

    /// Finds the lowest multiple of `align` pages in the address space with `pages` pages in `run` behind it.
    fn fit(self, run: Range<usize>, pages: usize, align: usize) -> Option<usize> {
        if run.len() < pages {
            return None;
        }
        let start = (self.base + run.start).checked_next_multiple_of(align)? - self.base;
        (start.checked_add(pages)? <= run.end).then_some(start)
    }

    /// Returns the best part of a window.
    fn part_of(self, window: usize) -> Option<Part> {
        let word = self.words[window].get();
        if word.is_empty() {
            return None;
        }
        let longest = word.longest_run();
        let apart = self.apart(window);
        let is_apart = apart.longest_run() == longest;
        let chosen = if is_apart { apart } else { word };
        Some(Part {
            pages: longest.min(LONGEST_RUN_PAGES),
            is_apart,
            first: window * PAGES_PER_BLOCK + chosen.find_run(longest, 1)?,
        })
    }

    /// Returns the free pages of a window that are in runs of this window alone.
    fn apart(self, window: usize) -> Bitmap {
        let word = self.words[window].get();
        let taken = ALL.without(word);
        let first_taken = taken.lowest().unwrap_or(PAGES_PER_BLOCK);
        let mut apart = word;
        if self.is_free_in(window.checked_sub(1), PAGES_PER_BLOCK - 1) {
            apart = apart.without(Bitmap::below(first_taken));
        }
        if self.is_free_in(window.checked_add(1), 0) {
            apart = apart.without(Bitmap::range(taken.height(), PAGES_PER_BLOCK));
        }
        apart
    }

    /// Returns whether page `page` of a window is free; not if there is no such window.
    fn is_free_in(self, window: Option<usize>, page: usize) -> bool {
        window
            .and_then(|window| self.words.get(window))
            .is_some_and(|word| word.get().contains(page))
    }
}

impl Seam {
    /// Finds a run inside the window.
    ///
    /// What is as long as a window, or aligned to as much, is never inside of one: it begins with a window, and so it is
    /// found as a run that ends in this window or a later one.
    fn find_inside(&self, pages: usize, align: usize) -> Option<usize> {
        if pages >= PAGES_PER_BLOCK || align >= PAGES_PER_BLOCK {
            return None;
        }
        Some(self.base + self.word.find_run(pages, align)?)
    }
}

#[cfg(test)]
mod tests;

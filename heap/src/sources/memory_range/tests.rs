//! Where the books are, and how many pages they take.

use core::alloc::{GlobalAlloc, Layout};
use core::iter;
use core::ptr::NonNull;
use std::alloc::System;
use std::vec::Vec;

use super::{
    HEADER_SIZE, MemoryRange, WINDOWS_PER_WORD, WORD_SIZE, books_for, words_in, words_of_whole,
};
use crate::units::{BLOCK_SIZE, PAGE_SIZE, PAGES_PER_BLOCK};

/// Memory of the host, aligned to a block.
struct Arena {
    /// The first byte.
    start: NonNull<u8>,
    /// What the host was asked for.
    layout: Layout,
}

impl Arena {
    /// Takes `size` bytes, whose contents nobody knows.
    fn new(size: usize) -> Self {
        let layout = Layout::from_size_align(size, BLOCK_SIZE).unwrap();
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { System.alloc(layout) }).unwrap();
        Self { start, layout }
    }

    /// Makes a range of `size` bytes, `offset` bytes into it.
    fn range(&self, offset: usize, size: usize) -> Option<MemoryRange> {
        assert!(offset + size <= self.layout.size());
        // SAFETY: inside, as just checked.
        let start = unsafe { self.start.add(offset) };
        // SAFETY: nobody else uses the memory while a test has the handle.
        unsafe { MemoryRange::install(start, size) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: it came from there with this layout.
        unsafe { System.dealloc(self.start.as_ptr(), self.layout) };
    }
}

#[test]
fn a_page_of_books_is_enough_for_124_mib() {
    assert_eq!(words_in(1) * BLOCK_SIZE, 124 << 20);
    for books in 1..100 {
        assert_eq!(books_for(words_in(books)), books);
        assert_eq!(books_for(words_in(books) + 1), books + 1);
        assert!(words_in(books) * BLOCK_SIZE >= books * (124 << 20));
        let words = words_in(books) + words_of_whole(words_in(books));
        assert!(HEADER_SIZE + words * WORD_SIZE <= books * PAGE_SIZE);
    }
    assert_eq!(books_for(0), 1);
    assert_eq!(books_for(1), 1);
}

#[test]
fn a_range_of_any_offset_and_size_has_the_whole_pages_but_one() {
    let arena = Arena::new(3 * BLOCK_SIZE);
    let offsets = [0, 1, 16, 0x1010, PAGE_SIZE - 1, PAGE_SIZE, BLOCK_SIZE - 1];
    let sizes = [1, 2, 3, 64].map(|pages| pages * PAGE_SIZE);
    for offset in offsets {
        for size in sizes
            .into_iter()
            .flat_map(|size| [size - 1, size, size + 1, size + 4000])
        {
            let start = offset.next_multiple_of(PAGE_SIZE);
            let pages = (offset + size).saturating_sub(start) / PAGE_SIZE;
            let Some(range) = arena.range(offset, size) else {
                assert!(pages < 2, "{pages} pages are enough");
                continue;
            };
            assert_eq!(range.pages(), pages - 1);
            assert_eq!(range.free_pages(), pages - 1);
            assert_eq!(range.end(), arena.start.addr().get() + offset + size);
            assert_eq!(range.address(), arena.start.addr().get() + start);
        }
    }
}

#[test]
fn books_are_never_taken_back() {
    let arena = Arena::new(BLOCK_SIZE);
    let range = arena.range(2 * PAGE_SIZE, 10 * PAGE_SIZE).unwrap();
    assert!(!range.release(range.address(), 1));
    assert!(!range.release(range.address(), 2));
    let all = range.get_run(9, 1).unwrap().addr().get();
    assert_eq!(all, range.address() + PAGE_SIZE);
    for (address, pages) in [
        (all - PAGE_SIZE, 10),
        (all - PAGE_SIZE, 1),
        (all - 2 * PAGE_SIZE, 1),
        (all, 10),
        (all + 9 * PAGE_SIZE, 1),
        (all + 1, 1),
        (all, 0),
        (all, usize::MAX),
        (0, 1),
        (usize::MAX - PAGE_SIZE + 1, 1),
    ] {
        assert!(!range.release(address, pages), "{address:#x} {pages}");
        assert!(!range.resize(address, pages, 1), "{address:#x} {pages}");
        assert_eq!(range.free_pages(), 0);
    }
    assert!(!range.resize(all, 9, 0), "nothing is no length");
    assert_eq!(range.free_pages(), 0);
    assert!(range.release(all, 9));
    assert!(!range.release(all, 9), "a second time");
    assert!(!range.resize(all, 8, 9), "not handed out");
    assert_eq!(range.free_pages(), 9);
    assert_eq!(range.longest_run(), 9);
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of mebibytes")]
fn a_range_grows_as_far_as_its_page_of_books_and_then_gets_another() {
    let capacity = words_in(1) * BLOCK_SIZE;
    let arena = Arena::new(capacity + 4 * BLOCK_SIZE);
    let range = arena.range(0, capacity - PAGE_SIZE).unwrap();
    // SAFETY: the arena goes on there, here and below, and nobody else uses it.
    let extend = |range: MemoryRange, by| unsafe { range.extend(by) };
    assert_eq!(extend(range, PAGE_SIZE), None);
    assert_eq!(range.pages(), capacity / PAGE_SIZE - 1);
    // One page, and less than two, would be books alone: they are kept until there is more.
    assert_eq!(extend(range, PAGE_SIZE), None);
    assert_eq!(extend(range, PAGE_SIZE - 1), None);
    assert_eq!(range.pages(), capacity / PAGE_SIZE - 1);
    assert_eq!(
        range.end(),
        arena.start.addr().get() + capacity + 2 * PAGE_SIZE - 1
    );
    let next = extend(range, 2).unwrap();
    assert_eq!(next.address(), range.end());
    assert_eq!(next.address(), arena.start.addr().get() + capacity);
    assert_eq!(next.end(), next.address() + 2 * PAGE_SIZE + 1);
    assert_eq!((next.pages(), next.free_pages()), (1, 1));
    assert_eq!(range.longest_run(), capacity / PAGE_SIZE - 1);
    assert_eq!(extend(next, 3 * BLOCK_SIZE), None);
    assert_eq!(next.pages(), 3 * 64 + 1);
    assert!(next.get_block().is_some());
}

#[test]
#[cfg_attr(miri, ignore = "hundreds of mebibytes")]
fn a_large_range_has_more_books_and_one_run_over_all_the_rest() {
    const SIZE: usize = 300 << 20;
    let arena = Arena::new(SIZE);
    let range = arena.range(0, SIZE).unwrap();
    let pages = SIZE / PAGE_SIZE - 3;
    assert_eq!(range.pages(), pages);
    assert_eq!(range.longest_run(), pages);
    let all = range.get_run(pages, 1).unwrap();
    assert_eq!(all.addr().get(), range.address() + 3 * PAGE_SIZE);
    assert!(range.release(all.addr().get(), pages));
    assert_eq!(range.free_pages(), pages);
}

#[test]
fn blocks_are_taken_from_the_high_end_wherever_they_were_given_back() {
    // More windows than one word says something of.
    const WINDOWS: usize = if cfg!(miri) { 3 } else { 150 };
    let arena = Arena::new((WINDOWS + 1) * BLOCK_SIZE);
    let range = arena.range(0, arena.layout.size()).expect("large enough");
    let first = range.map_start() / BLOCK_SIZE;
    let get_block = || range.get_block().map(window_of(first));
    let mut taken: Vec<usize> = iter::from_fn(get_block).collect();
    assert!(taken.len() >= WINDOWS - 1, "a window or two are cut");
    assert!(taken.is_sorted_by(|higher, lower| higher > lower));
    let all = taken.clone();
    // Give back in an order that jumps about, and take in turn.
    let mut given_back = Vec::new();
    for number in 0..all.len() {
        let window = all[number * 37 % all.len()];
        if taken.contains(&window) {
            taken.retain(|other| *other != window);
            let address = (first + window) * BLOCK_SIZE;
            assert!(range.release(address, PAGES_PER_BLOCK));
            given_back.push(window);
        }
        if number % 3 == 0 {
            let highest = given_back.iter().copied().max();
            assert_eq!(get_block(), highest);
            given_back.retain(|other| Some(*other) != highest);
            taken.extend(highest);
        }
    }
}

/// Returns what makes a window's number of a block, in a range whose first window is number `first`.
fn window_of(first: usize) -> impl Fn(NonNull<u8>) -> usize {
    move |block| block.addr().get() / BLOCK_SIZE - first
}

/// Asserts that what is said of windows as a whole is true, and the free pages are counted.
#[track_caller]
fn assert_sound(range: MemoryRange) {
    let windows = range.pages_end.get().div_ceil(PAGES_PER_BLOCK);
    let mut free = 0;
    for (number, word) in range.whole().iter().enumerate() {
        for bit in 0..WINDOWS_PER_WORD {
            let window = number * WINDOWS_PER_WORD + bit;
            let is_whole = window < windows && range.map().is_whole(window);
            assert_eq!(word.get().contains(bit), is_whole, "window {window}");
        }
    }
    for page in 0..windows * PAGES_PER_BLOCK {
        let is_free = !range.map().are_taken(page, 1);
        assert!(!is_free || (range.first_page()..range.pages_end.get()).contains(&page));
        free += usize::from(is_free);
    }
    assert_eq!(free, range.free_pages());
}

#[test]
fn windows_are_known_to_be_free_as_a_whole_after_any_history() {
    const WINDOWS: usize = if cfg!(miri) { 3 } else { 70 };
    let steps = if cfg!(miri) { 30 } else { 1000 };
    let arena = Arena::new((WINDOWS + 2) * BLOCK_SIZE);
    let mut random = 7_u64;
    let mut below = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random >> 32).unwrap() % limit
    };
    // It begins and ends in the middle of a window, and grows.
    let range = arena.range(
        5 * PAGE_SIZE,
        20 * BLOCK_SIZE.min(WINDOWS * BLOCK_SIZE / 20),
    );
    let range = range.unwrap();
    let mut out: Vec<(usize, usize)> = Vec::new();
    for _ in 0..steps {
        match below(6) {
            0 | 1 => {
                let pages = [1 + below(10), 1 + below(200), PAGES_PER_BLOCK][below(3)];
                let run = range.get_run(pages, 1 << below(7));
                out.extend(run.map(|run| (run.addr().get(), pages)));
            }
            2 => {
                let block = range.get_block();
                out.extend(block.map(|block| (block.addr().get(), PAGES_PER_BLOCK)));
            }
            3 if !out.is_empty() => {
                let number = below(out.len());
                let (address, pages) = out[number];
                let new_pages = below(150);
                if range.resize(address, pages, new_pages) {
                    out[number].1 = new_pages;
                }
            }
            4 if below(10) == 0 => {
                let by = below(3 * BLOCK_SIZE);
                if range.end() + by <= arena.start.addr().get() + arena.layout.size() {
                    // SAFETY: the arena goes on there, and nobody else uses it.
                    assert_eq!(unsafe { range.extend(by) }, None);
                }
            }
            _ if !out.is_empty() => {
                let (address, pages) = out.swap_remove(below(out.len()));
                assert!(range.release(address, pages));
                assert!(!range.release(address, pages), "a second time");
            }
            _ => {}
        }
        assert_sound(range);
    }
    for (address, pages) in out {
        assert!(range.release(address, pages));
    }
    assert_sound(range);
    assert_eq!(range.free_pages(), range.pages());
}

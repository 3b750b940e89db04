//! Memory that is asked for cleared: it always is, and what the source gave zeroed and nobody used is not cleared again.
//!
//! That clearing is left out shows with a source that says "zeros" and gives [`MARK`]s: what the heap did not clear is
//! still marked.

mod common;

use std::collections::BTreeMap;

use common::arena::{
    Arena, ArenaHeap, Contents, MARK, Rules, WINDOW, assert_arena_empty, assert_arena_sound,
};
use common::{Numbers, Object, layout};
use core::alloc::{GlobalAlloc, Layout};
use stack_alloc::{Allocator, PAGE_SIZE};

/// Creates a heap over `windows` windows of memory with such contents.
fn heap(windows: usize, contents: Contents) -> ArenaHeap {
    let rules = Rules {
        contents,
        ..Rules::ALL
    };
    Allocator::new(Arena::full(windows, rules))
}

/// An object that was asked for cleared.
struct Cleared {
    pointer: *mut u8,
    layout: Layout,
}

impl Cleared {
    /// Asks for one. `None` when there is no memory.
    fn try_new(heap: &ArenaHeap, layout: Layout) -> Option<Self> {
        // SAFETY: the heap takes any layout.
        let pointer = unsafe { heap.alloc_zeroed(layout) };
        (!pointer.is_null()).then_some(Self { pointer, layout })
    }

    /// Asks for one.
    #[track_caller]
    fn new(heap: &ArenaHeap, size: usize) -> Self {
        Self::try_new(heap, layout(size, 8)).expect("there is memory")
    }

    /// Returns the byte that the whole object is full of: 0 if it was cleared, [`MARK`] if it was taken for zero.
    #[track_caller]
    fn byte(&self) -> u8 {
        // SAFETY: the object is live, and was written by the heap or by the source.
        let bytes = unsafe { core::slice::from_raw_parts(self.pointer, self.layout.size()) };
        // Each byte like the one before it: one comparison of memory, where a loop takes seconds for megabytes.
        let alike = bytes[1..] == bytes[..bytes.len() - 1];
        assert!(alike, "{:?} is cleared in part", self.layout);
        bytes[0]
    }

    /// Fills the object with something else than zeros and marks, and gives it back.
    fn free(self, heap: &ArenaHeap) {
        // SAFETY: the object is live and has that many bytes.
        unsafe { self.pointer.write_bytes(0x55, self.layout.size()) };
        common::give_back(heap, self.pointer, self.layout);
    }
}

/// A size of each class, runs, and regions.
fn sizes() -> Vec<usize> {
    let classes = heap(1, Contents::Unknown).statistics().classes;
    let chunks = classes.iter().map(|class| class.chunk_size);
    chunks.chain([20_000, 100_000, 258_048, 300_000]).collect()
}

#[test]
fn fresh_memory_that_the_source_calls_zero_is_not_cleared() {
    for size in sizes() {
        let heap = heap(3, Contents::FalseZeros);
        let objects: Vec<Cleared> = (0..3)
            .map_while(|_| Cleared::try_new(&heap, layout(size, 8)))
            .collect();
        for object in &objects {
            assert_eq!(object.byte(), MARK, "{size} bytes were cleared");
        }
        for object in objects {
            object.free(&heap);
        }
        assert_arena_empty(&heap);
    }
}

#[test]
fn memory_that_was_used_is_cleared() {
    for size in sizes().into_iter().filter(|size| *size <= 258_048) {
        let heap = heap(1, Contents::FalseZeros);
        let first = Cleared::new(&heap, size);
        let place = first.pointer;
        first.free(&heap);
        let second = Cleared::new(&heap, size);
        assert_eq!(second.pointer, place);
        assert_eq!(second.byte(), 0, "{size} bytes were not cleared");
        second.free(&heap);
        // Also when it was not asked for cleared the first time.
        Object::new(&heap, layout(size, 8), 1).free(&heap);
        let third = Cleared::new(&heap, size);
        assert_eq!((third.pointer, third.byte()), (place, 0));
        third.free(&heap);
        assert_arena_empty(&heap);
    }
}

#[test]
fn holes_of_a_stack_are_cleared_and_what_lies_above_is_not() {
    let heap = heap(1, Contents::FalseZeros);
    let mut objects: Vec<Object> = (0..10)
        .map(|_| Object::new(&heap, layout(64, 8), 1))
        .collect();
    for hole in [7, 4, 1] {
        objects.remove(hole).free(&heap);
    }
    let cleared: Vec<Cleared> = (0..6).map(|_| Cleared::new(&heap, 64)).collect();
    let bytes: Vec<u8> = cleared.iter().map(Cleared::byte).collect();
    assert_eq!(bytes, [0, 0, 0, MARK, MARK, MARK]);
    for object in cleared {
        object.free(&heap);
    }
    // The top was used now, and all above it was not.
    let cleared: Vec<Cleared> = (0..8).map(|_| Cleared::new(&heap, 64)).collect();
    let bytes: Vec<u8> = cleared.iter().map(Cleared::byte).collect();
    assert_eq!(bytes, [0, 0, 0, 0, 0, 0, MARK, MARK]);
    for object in cleared {
        object.free(&heap);
    }
    for object in objects {
        object.free(&heap);
    }
    assert_arena_empty(&heap);
}

#[test]
fn a_page_that_was_another_size_is_cleared() {
    let heap = heap(1, Contents::FalseZeros);
    let all: Vec<Object> =
        core::iter::from_fn(|| Object::try_new(&heap, layout(PAGE_SIZE, 8), 1)).collect();
    assert_eq!(all.len(), WINDOW - 1);
    for object in all {
        object.free(&heap);
    }
    for size in sizes().into_iter().filter(|size| *size <= 100_000) {
        let object = Cleared::new(&heap, size);
        assert_eq!(object.byte(), 0, "{size} bytes");
        object.free(&heap);
    }
    assert_arena_empty(&heap);
}

#[test]
fn pages_that_a_run_had_or_grew_into_are_cleared() {
    let heap = heap(1, Contents::FalseZeros);
    let pages = |pages: usize| pages * PAGE_SIZE;
    let mut run = Object::new(&heap, layout(pages(30), 8), 1);
    assert!(run.resize(&heap, pages(10), 2));
    let tail = Cleared::new(&heap, pages(20));
    assert_eq!(tail.pointer.addr(), run.range().end);
    assert_eq!(tail.byte(), 0, "the tail was used");
    tail.free(&heap);
    assert!(run.resize(&heap, pages(40), 3), "ten fresh pages more");
    run.free(&heap);
    let used = Cleared::new(&heap, pages(40));
    assert_eq!(used.byte(), 0);
    let fresh = Cleared::new(&heap, pages(23));
    assert_eq!(fresh.byte(), MARK);
    used.free(&heap);
    fresh.free(&heap);
    // One fresh page among used ones is no reason to clear less.
    assert_arena_empty(&heap);
    let first = Object::new(&heap, layout(pages(30), 8), 1);
    first.free(&heap);
    let both = Cleared::new(&heap, pages(40));
    assert_eq!(both.byte(), 0, "30 pages of it were used");
    both.free(&heap);
    assert_arena_empty(&heap);
}

#[test]
fn blocks_that_come_back_are_as_the_source_says_then() {
    let heap = heap(1, Contents::FalseZeros);
    for size in [48, 5000, 100_000] {
        for (contents, byte) in [
            (Contents::FalseZeros, MARK),
            (Contents::Unknown, 0),
            (Contents::Zeros, 0),
            (Contents::FalseZeros, MARK),
        ] {
            heap.source().set_rules(|rules| rules.contents = contents);
            let object = Cleared::new(&heap, size);
            assert_eq!(object.byte(), byte, "{size} bytes, {contents:?}");
            object.free(&heap);
            assert_arena_empty(&heap);
            assert_eq!(heap.source().bytes_out(), 0, "it went home");
        }
    }
}

#[test]
fn what_the_source_is_silent_about_is_always_cleared() {
    for size in sizes() {
        let heap = heap(3, Contents::Unknown);
        for _ in 0..3 {
            let object = Cleared::new(&heap, size);
            assert_eq!(object.byte(), 0, "{size} bytes");
            object.free(&heap);
        }
        assert_arena_empty(&heap);
    }
}

#[test]
fn a_block_in_reserve_stays_what_it_was() {
    let heap = heap(1, Contents::FalseZeros);
    assert_eq!(heap.set_reserve(1, || true), 1);
    let fresh = Cleared::new(&heap, 100_000);
    assert_eq!(fresh.byte(), MARK, "held back, but never used");
    fresh.free(&heap);
    assert_eq!(heap.statistics().blocks_reserved, 1, "held back again");
    let used = Cleared::new(&heap, 100_000);
    assert_eq!(used.byte(), 0);
    used.free(&heap);
    assert_arena_empty(&heap);
}

/// Which bytes were handed out since their page came from the source: for each page how often it had come, and which of its
/// units of 16 bytes were used since.
struct Used(BTreeMap<usize, (usize, [bool; PAGE_SIZE / 16])>);

impl Used {
    /// Notes that an object is handed out. Returns whether any of it was used before.
    fn note(&mut self, heap: &ArenaHeap, start: *mut u8, size: usize) -> bool {
        let (mut address, end) = (start.addr(), start.addr() + size);
        let mut any = false;
        while address < end {
            let times = heap.source().times_given(address);
            let (came, units) = self
                .0
                .entry(address / PAGE_SIZE)
                .or_insert((times, [false; PAGE_SIZE / 16]));
            if *came != times {
                (*came, *units) = (times, [false; PAGE_SIZE / 16]);
            }
            let page_end = (address / PAGE_SIZE + 1) * PAGE_SIZE;
            let first = address % PAGE_SIZE / 16;
            let last = (end.min(page_end) - 1) % PAGE_SIZE / 16;
            any |= units[first..=last].contains(&true);
            units[first..=last].fill(true);
            address = page_end;
        }
        any
    }
}

/// Random operations. Every cleared object is zero, or marked and never used. Returns how many were each.
fn random_history(heap: &ArenaHeap, numbers: &mut Numbers, steps: usize) -> [usize; 2] {
    let mut used = Used(BTreeMap::new());
    let mut live: Vec<Object> = Vec::new();
    let mut seen = [0, 0];
    for step in 0..steps {
        let fill = u8::try_from(step % 80 + 1).expect("small");
        let log = [9, 15, 18, 19][numbers.below(4)];
        let asked = layout(numbers.size(log), 1 << numbers.below(14));
        match numbers.below(8) {
            0..=2 => {
                let Some(cleared) = Cleared::try_new(heap, asked) else {
                    continue;
                };
                let byte = cleared.byte();
                assert!(byte == 0 || byte == MARK);
                let was_used = used.note(heap, cleared.pointer, asked.size());
                assert!(byte == 0 || !was_used, "{asked:?} is not clear");
                seen[usize::from(byte == MARK)] += 1;
                cleared.free(heap);
            }
            3 | 4 => live.extend(Object::try_new(heap, asked, fill).inspect(|object| {
                used.note(heap, object.pointer(), asked.size());
            })),
            5 => {
                if let Some(mut object) = numbers.pick(&mut live) {
                    object.resize(heap, asked.size(), fill);
                    used.note(heap, object.pointer(), object.layout().size());
                    live.push(object);
                }
            }
            _ => numbers
                .pick(&mut live)
                .into_iter()
                .for_each(|object| object.free(heap)),
        }
        if numbers.below(50) == 0 {
            heap.trim();
            assert_arena_sound(heap);
        }
    }
    for object in live {
        object.free(heap);
    }
    assert_arena_empty(heap);
    seen
}

#[test]
fn cleared_memory_is_clear_after_any_history() {
    let (rounds, steps) = if cfg!(miri) { (1, 60) } else { (40, 600) };
    for seed in 0..rounds {
        for contents in [Contents::Zeros, Contents::Unknown] {
            let heap = heap(12, contents);
            let [_, marked] = random_history(&heap, &mut Numbers::new(seed), steps);
            assert_eq!(marked, 0, "{contents:?}");
        }
    }
}

#[test]
fn clearing_is_left_out_for_fresh_memory_alone_after_any_history() {
    let (rounds, steps) = if cfg!(miri) { (1, 60) } else { (40, 600) };
    for seed in 0..rounds {
        let heap = heap(12, Contents::FalseZeros);
        let [cleared, marked] = random_history(&heap, &mut Numbers::new(seed), steps);
        assert!(cleared > 0 && marked > 0, "{cleared} cleared, {marked} not");
    }
}

//! Two sources as one.

mod common;

use core::cell::{Cell, RefCell};
use core::iter;
use core::ptr::NonNull;

use stack_alloc::{BLOCK_SIZE, Fallback, MemorySource, NoMemory, Owns, PAGE_SIZE};

use common::fixed_memory::FixedMemory;

/// A source that says of itself what it is told to, and writes down what it is asked.
#[derive(Default)]
struct Scripted {
    memory: Cell<Option<NonNull<u8>>>,
    zeroed: bool,
    largest: usize,
    asked: RefCell<Vec<&'static str>>,
}

impl Scripted {
    fn note(&self, call: &'static str) -> Option<NonNull<u8>> {
        self.asked.borrow_mut().push(call);
        self.memory.get()
    }
}

// SAFETY: tests give it memory that is theirs, and do not use what it hands out.
unsafe impl MemorySource for Scripted {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.note("get_block")
    }

    unsafe fn release_block(&self, _block: NonNull<u8>) {
        self.note("release_block");
    }

    fn get_part(&self, least: usize, _: &dyn Fn(usize) -> bool) -> Option<NonNull<[u8]>> {
        let start = self.note("get_part")?;
        Some(NonNull::slice_from_raw_parts(start, least))
    }

    unsafe fn release_part(&self, _part: NonNull<[u8]>) {
        self.note("release_part");
    }

    fn get_region(&self, _size: usize, _align: usize) -> Option<NonNull<u8>> {
        self.note("get_region")
    }

    unsafe fn release_region(&self, _region: NonNull<u8>, _size: usize) {
        self.note("release_region");
    }

    unsafe fn resize_region(&self, _region: NonNull<u8>, _size: usize, _new_size: usize) -> bool {
        self.note("resize_region").is_some()
    }

    fn is_zeroed(&self, _memory: NonNull<u8>) -> bool {
        self.note("is_zeroed");
        self.zeroed
    }

    fn largest_region(&self) -> usize {
        self.largest
    }
}

// SAFETY: its memory is the block that it was given.
unsafe impl Owns for Scripted {
    fn owns(&self, address: usize) -> bool {
        self.memory
            .get()
            .is_some_and(|memory| memory.addr().get() == address)
    }
}

/// Asks a source everything there is to ask about `memory`.
fn ask_all(source: &impl MemorySource, memory: NonNull<u8>) {
    // SAFETY: scripted sources do nothing, here and below.
    unsafe { source.release_block(memory) };
    let part = NonNull::slice_from_raw_parts(memory, PAGE_SIZE);
    // SAFETY: as above.
    unsafe { source.release_part(part) };
    // SAFETY: as above.
    unsafe { source.release_region(memory, PAGE_SIZE) };
    // SAFETY: as above.
    assert!(unsafe { source.resize_region(memory, PAGE_SIZE, 2 * PAGE_SIZE) });
}

#[test]
fn a_fallback_asks_the_second_after_a_no_of_the_first() {
    let arena = FixedMemory::new(BLOCK_SIZE);
    let source = Fallback::new(Scripted::default(), Scripted::default());
    let ask = || {
        let part = source.get_part(PAGE_SIZE, &|_| true).map(NonNull::cast);
        [source.get_block(), part, source.get_region(1, 1)]
    };
    let asked = || (source.first().asked.take(), source.second().asked.take());
    let all = vec!["get_part", "get_block", "get_region"];
    assert_eq!(ask(), [None; 3]);
    assert_eq!(asked(), (all.clone(), all.clone()));
    source.second().memory.set(Some(arena.at(1)));
    assert_eq!(ask(), [Some(arena.at(1)); 3]);
    assert_eq!(asked(), (all.clone(), all.clone()));
    source.first().memory.set(Some(arena.at(0)));
    assert_eq!(ask(), [Some(arena.at(0)); 3]);
    assert_eq!(asked(), (all, vec![]));
}

#[test]
fn a_fallback_gives_back_to_the_owner() {
    let arena = FixedMemory::new(BLOCK_SIZE);
    let memory = |offset| Scripted {
        memory: Cell::new(Some(arena.at(offset))),
        zeroed: offset == 1,
        ..Scripted::default()
    };
    let source = Fallback::new(memory(0), memory(1));
    let all = [
        "release_block",
        "release_part",
        "release_region",
        "resize_region",
        "is_zeroed",
    ];
    ask_all(&source, arena.at(0));
    assert!(!source.is_zeroed(arena.at(0)));
    assert_eq!(source.first().asked.take(), all);
    assert!(source.second().asked.take().is_empty());
    ask_all(&source, arena.at(1));
    assert!(source.is_zeroed(arena.at(1)));
    assert_eq!(source.second().asked.take(), all);
    assert!(source.first().asked.take().is_empty());
    for (offset, owned) in [(0, true), (1, true), (2, false)] {
        assert_eq!(source.owns(arena.address(offset)), owned);
    }
}

#[test]
fn the_largest_region_of_a_fallback_is_that_of_either() {
    let largest = |largest| Scripted {
        largest,
        ..Scripted::default()
    };
    assert_eq!(Fallback::new(largest(1), largest(2)).largest_region(), 2);
    assert_eq!(Fallback::new(largest(4), largest(3)).largest_region(), 4);
}

#[test]
fn fallbacks_nest() {
    let arena = FixedMemory::new(12 * BLOCK_SIZE);
    let source = Fallback::new(
        Fallback::new(NoMemory, arena.region(0, 3 * BLOCK_SIZE)),
        Fallback::new(
            arena.source(4 * BLOCK_SIZE, 3 * BLOCK_SIZE),
            arena.region(8 * BLOCK_SIZE, 3 * BLOCK_SIZE),
        ),
    );
    let blocks: Vec<_> = iter::from_fn(|| source.get_block()).collect();
    let numbers: Vec<_> = blocks
        .iter()
        .map(|block| (block.addr().get() - arena.address(0)) / BLOCK_SIZE)
        .collect();
    assert_eq!(numbers, [2, 1, 6, 5, 10, 9]);
    for block in blocks {
        assert!(source.owns(block.addr().get()));
        // SAFETY: it is out.
        unsafe { source.release_block(block) };
    }
    let inner = source.second();
    assert_eq!(
        source.first().second().free_bytes(),
        inner.first().free_bytes()
    );
    assert_eq!(inner.first().free_bytes(), inner.second().free_bytes());
    assert_eq!(inner.first().free_bytes(), inner.first().total_bytes());
}

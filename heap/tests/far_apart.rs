//! Blocks that are far apart: the directory has as many places as there are blocks in 512 MiB, so that blocks at multiples of
//! that distance share one. They are found, and what is not there is not, in whatever order they come and go.
//!
//! The memory is a reservation that can be neither read nor written but where a block or part is out: a look at what is
//! not the heap's, or not any more, ends the test at once.
#![cfg(not(miri))]

mod common;

use core::alloc::Layout;
use core::ffi::c_int;
use core::ptr::{self, NonNull};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{Numbers, Object, assert_apart, give_back, layout, reallocate, remember, seen};
use stack_alloc::{Allocator, BLOCK_SIZE, MemorySource, MisuseKind, ObjectState, PAGE_SIZE, Place};

/// Blocks so far apart share a place.
const DISTANCE: usize = 512 << 20;

/// Pages in a window of the size of a block.
const WINDOW: usize = BLOCK_SIZE / PAGE_SIZE;

/// The whole of a block for one object: all but its header.
const WHOLE: usize = BLOCK_SIZE - PAGE_SIZE;

/// Which windows a [`FarMemory`] gives, and how.
#[derive(Debug)]
struct State {
    /// Windows to give, by their offset, the next one last.
    left: Vec<usize>,
    /// Address and size of what is out.
    out: BTreeMap<usize, usize>,
    /// Chooses windows, and where in them parts lie; without it, whole windows are given in order.
    chance: Option<Numbers>,
}

/// A source of windows that are far apart.
#[derive(Debug)]
struct FarMemory {
    /// The reservation, from the first multiple of [`DISTANCE`] in it.
    start: NonNull<u8>,
    /// All of it, as it was mapped.
    mapping: (NonNull<u8>, usize),
    state: Mutex<State>,
}

impl FarMemory {
    /// Reserves `distances` times 512 MiB. `windows` are the offsets to give, the last one first.
    fn new(distances: usize, windows: Vec<usize>, chance: Option<Numbers>) -> Self {
        assert!(
            windows
                .iter()
                .all(|window| window + BLOCK_SIZE <= distances * DISTANCE)
        );
        let size = (distances + 1) * DISTANCE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, wherever there is room for it.
        let memory = unsafe { libc::mmap(ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
        assert!(
            memory != libc::MAP_FAILED,
            "no room to reserve {size} bytes"
        );
        let memory = NonNull::new(memory.cast::<u8>()).expect("not null");
        let skipped = memory.addr().get().wrapping_neg() % DISTANCE;
        Self {
            // SAFETY: `skipped` is less than the one distance that was mapped beyond what is needed.
            start: unsafe { memory.add(skipped) },
            mapping: (memory, size),
            state: Mutex::new(State {
                left: windows,
                out: BTreeMap::new(),
                chance,
            }),
        }
    }

    /// Locks the state, even after a test has failed while it was locked.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a pointer to the byte at `offset`, be there memory or not.
    fn at(&self, offset: usize) -> *mut u8 {
        self.start.as_ptr().wrapping_add(offset)
    }

    /// Returns the bytes that are out.
    fn bytes_out(&self) -> usize {
        self.state().out.values().sum()
    }

    /// Returns whether `address` lies in something that is out.
    fn owns(&self, address: usize) -> bool {
        let state = self.state();
        let below = state.out.range(..=address).next_back();
        below.is_some_and(|(start, size)| address - start < *size)
    }

    /// Lets memory be used, or not any more.
    fn protect(&self, address: usize, size: usize, protection: c_int) {
        let memory = self.at(address - self.start.addr().get()).cast();
        // SAFETY: pages of the mapping, which the heap does not use yet, or not any more.
        let result = unsafe { libc::mprotect(memory, size, protection) };
        assert_eq!(result, 0, "the host refuses");
        if protection == libc::PROT_NONE {
            // SAFETY: likewise.
            let result = unsafe { libc::madvise(memory, size, libc::MADV_DONTNEED) };
            assert_eq!(result, 0, "the host refuses");
        }
    }

    /// Hands out `pages` pages from page `first` of the window at `offset` on.
    fn give(&self, state: &mut State, offset: usize, first: usize, pages: usize) -> NonNull<u8> {
        let memory = self.at(offset + first * PAGE_SIZE);
        let size = pages * PAGE_SIZE;
        self.protect(memory.addr(), size, libc::PROT_READ | libc::PROT_WRITE);
        let before = state.out.insert(memory.addr(), size);
        assert_eq!(before, None, "a window is given once");
        NonNull::new(memory).expect("not null")
    }

    /// Takes memory back.
    fn take(&self, memory: NonNull<u8>, size: usize) {
        let address = memory.addr().get();
        let mut state = self.state();
        assert_eq!(state.out.remove(&address), Some(size), "not out");
        self.protect(address, size, libc::PROT_NONE);
        let offset = address - self.start.addr().get();
        state.left.push(offset / BLOCK_SIZE * BLOCK_SIZE);
    }
}

impl Drop for FarMemory {
    fn drop(&mut self) {
        let (memory, size) = self.mapping;
        // SAFETY: this is all of the mapping, and the heap that used it is gone.
        let result = unsafe { libc::munmap(memory.as_ptr().cast(), size) };
        assert_eq!(result, 0);
    }
}

// SAFETY: the memory is the source's own.
unsafe impl Send for FarMemory {}

// SAFETY: what changes is behind a mutex.
unsafe impl Sync for FarMemory {}

// SAFETY: each window is given once until it comes back, as a block or as a part in it, and can be read and written then. Fresh
// pages are zero, and those that come back are dropped and come anew as zeros.
unsafe impl MemorySource for FarMemory {
    fn get_block(&self) -> Option<NonNull<u8>> {
        let mut state = self.state();
        let count = state.left.len();
        if let Some(numbers) = &mut state.chance {
            if count == 0 || numbers.below(4) == 0 {
                return None;
            }
            let last = numbers.below(count);
            state.left.swap(last, count - 1);
        }
        let offset = state.left.pop()?;
        Some(self.give(&mut state, offset, 0, WINDOW))
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        self.take(block, BLOCK_SIZE);
    }

    fn get_part(&self, least: usize, is_usable: &dyn Fn(usize) -> bool) -> Option<NonNull<[u8]>> {
        let mut state = self.state();
        let numbers = state.chance.as_mut()?;
        let least = least / PAGE_SIZE;
        let pages = least + numbers.below(WINDOW - least);
        let first = numbers.below(WINDOW - pages + 1);
        let offset = state.left.pop()?;
        let address = self.at(offset + first * PAGE_SIZE).addr();
        assert!(is_usable(address), "nothing of the window is out");
        let part = self.give(&mut state, offset, first, pages);
        Some(NonNull::slice_from_raw_parts(part, pages * PAGE_SIZE))
    }

    unsafe fn release_part(&self, part: NonNull<[u8]>) {
        self.take(part.cast(), part.len());
    }

    fn is_zeroed(&self, _: NonNull<u8>) -> bool {
        true
    }
}

/// The heap under test.
type FarHeap = Allocator<FarMemory>;

/// Creates a heap over the windows at the offsets `windows`, which come in this order, below `distances` times 512 MiB.
fn heap_in_order(distances: usize, windows: &[usize]) -> FarHeap {
    let last_first = windows.iter().rev().copied().collect();
    let heap = Allocator::new(FarMemory::new(distances, last_first, None));
    heap.set_misuse_handler(remember);
    heap
}

/// Asserts that every invariant of `heap` holds, and that it holds what its source gave.
#[track_caller]
fn assert_sound(heap: &FarHeap) {
    heap.check().expect("the heap is sound");
    assert_eq!(heap.statistics().bytes_held, heap.source().bytes_out());
    assert_eq!(seen(), [], "a right free was called wrong");
}

/// Asserts that a free of `pointer` is called one of `kinds`, by `realloc` too, and changes nothing.
#[track_caller]
fn assert_refused(heap: &FarHeap, pointer: *mut u8, layout: Layout, kinds: &[MisuseKind]) {
    let before = heap.statistics();
    give_back(heap, pointer, layout);
    for size in [layout.size(), 300] {
        assert!(reallocate(heap, pointer, layout, size).is_null());
    }
    let misuses = seen();
    assert_eq!(misuses.len(), 3, "{pointer:?} {layout:?}");
    for misuse in misuses {
        assert_eq!((misuse.address, misuse.layout), (pointer.addr(), layout));
        assert!(kinds.contains(&misuse.kind), "{misuse}");
        assert_eq!(misuse.place, heap.what_is(misuse.address));
    }
    assert_eq!(heap.statistics(), before);
}

/// What a free is called of what the heap does not hold.
const NOT_HELD: [MisuseKind; 2] = [MisuseKind::Foreign, MisuseKind::GoneBack];

/// Returns every order of the numbers below `count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    (1..=count).fold(vec![vec![]], |shorter, len| {
        let insert = |order: &Vec<usize>| {
            let at_each = |place| {
                let mut longer = order.clone();
                longer.insert(place, len - 1);
                longer
            };
            (0..len).map(at_each).collect::<Vec<_>>()
        };
        shorter.iter().flat_map(insert).collect()
    })
}

#[test]
fn blocks_of_one_place_come_and_go_in_every_order() {
    // Three blocks of one place, and beside them one that has its own.
    let windows = [0, DISTANCE, 3 * DISTANCE, 2 * DISTANCE + 5 * BLOCK_SIZE];
    let heap = heap_in_order(4, &[]);
    let whole = layout(WHOLE, 8);
    for coming in orders(windows.len()) {
        for going in orders(windows.len()) {
            heap.source().state().left = coming.iter().rev().map(|nr| windows[*nr]).collect();
            let mut objects: Vec<Option<Object>> = Vec::new();
            for (fill, nr) in (1..).zip(&coming) {
                let object = Object::new(&heap, whole, fill);
                let page = heap.source().at(windows[*nr] + PAGE_SIZE);
                assert_eq!(object.pointer(), page, "one object fills a block");
                objects.push(Some(object));
                heap.check().expect("sound");
            }
            for nr in going {
                let object = objects[nr].take().expect("each goes once");
                let pointer = object.pointer();
                object.free(&heap);
                heap.trim();
                assert_sound(&heap);
                assert!(!heap.source().owns(pointer.addr()), "it went home");
                assert_refused(&heap, pointer, whole, &NOT_HELD);
                for object in objects.iter().flatten() {
                    let place = heap.what_is(object.pointer().addr() + 9);
                    let Place::Object {
                        object: found,
                        offset: 9,
                    } = place
                    else {
                        panic!("{place:?}");
                    };
                    assert_eq!(found.address, object.pointer().addr());
                }
            }
            assert_eq!(heap.source().bytes_out(), 0);
        }
    }
}

#[test]
fn a_place_that_was_shared_serves_one_block_again() {
    let windows = [0, DISTANCE, 2 * DISTANCE];
    let heap = heap_in_order(3, &windows);
    let whole = layout(WHOLE, 8);
    for _ in 0..3 {
        let [first, second, third] = [1, 2, 3].map(|fill| Object::new(&heap, whole, fill));
        first.free(&heap);
        third.free(&heap);
        heap.trim();
        assert_sound(&heap);
        // The one that is left was not found last, and shares its place with none.
        let pointer = second.pointer();
        assert!(heap.what_is(pointer.addr()).object().is_some());
        for other in windows {
            let address = heap.source().at(other + PAGE_SIZE);
            if address != pointer {
                assert_refused(&heap, address, whole, &NOT_HELD);
            }
        }
        let small = Object::try_new(&heap, layout(40, 8), 4).expect("a block more");
        assert_sound(&heap);
        second.free(&heap);
        small.free(&heap);
        heap.trim();
        assert_sound(&heap);
        assert_eq!(heap.source().bytes_out(), 0);
    }
}

#[test]
fn small_objects_in_blocks_that_take_turns_at_a_place_are_told_apart() {
    const BLOCKS: usize = 6;
    let windows: Vec<usize> = (0..BLOCKS).map(|nr| nr * DISTANCE).collect();
    let heap = heap_in_order(BLOCKS, &windows);
    // As many as fill all blocks, of two sizes in turn, so that every block has both.
    let mut objects: Vec<Object> = Vec::new();
    while heap.source().state().out.len() < BLOCKS {
        let size = [500, 1000][objects.len() % 2];
        let fill = u8::try_from(objects.len() % 250).expect("small");
        objects.push(Object::new(&heap, layout(size, 8), fill));
    }
    assert_sound(&heap);
    let mut numbers = Numbers::new(7);
    // One after the other in another block: each look-up finds the place taken by another one.
    while let Some(object) = numbers.pick(&mut objects) {
        let (pointer, was) = (object.pointer(), object.layout());
        object.free(&heap);
        let kinds = [NOT_HELD[0], NOT_HELD[1], MisuseKind::DoubleFree];
        assert_refused(&heap, pointer, was, &kinds);
        if objects.len() % 64 == 0 {
            assert_sound(&heap);
        }
    }
    heap.trim();
    assert_sound(&heap);
    assert_eq!(heap.source().bytes_out(), 0);
}

/// Returns the offsets of the windows that random programs have: three places, each of `distances` blocks, and a few others.
fn crowded_windows(distances: usize) -> Vec<usize> {
    let crowded =
        (0..distances).flat_map(|nr| [0, 1, 77].map(|window| nr * DISTANCE + window * BLOCK_SIZE));
    let alone = [5, 6, 2047].map(|window| DISTANCE + window * BLOCK_SIZE);
    crowded.chain(alone).collect()
}

/// Frees something wrongly that the heap does not hold, or that is live elsewhere.
fn free_wrongly(heap: &FarHeap, live: &[Object], numbers: &mut Numbers) {
    // A page of some window, or the twin of an object: at the same offset of another block with its place.
    let distances = 8;
    let (address, asked) = if live.is_empty() || numbers.below(2) == 0 {
        let windows = crowded_windows(distances);
        let offset = windows[numbers.below(windows.len())] + numbers.below(BLOCK_SIZE) / 16 * 16;
        (heap.source().at(offset), layout(numbers.size(17), 8))
    } else {
        let object = &live[numbers.below(live.len())];
        let offset = object.pointer().addr() - heap.source().start.addr().get();
        let twin = offset % DISTANCE + numbers.below(distances) * DISTANCE;
        (heap.source().at(twin), object.layout())
    };
    if !heap.source().owns(address.addr()) {
        assert_refused(heap, address, asked, &NOT_HELD);
    }
}

/// Random operations, the heap proved after each.
fn random_program(seed: u64, steps: usize) {
    let mut numbers = Numbers::new(seed);
    let memory = FarMemory::new(8, crowded_windows(8), Some(Numbers::new(seed + 1000)));
    let heap = FarHeap::new(memory);
    heap.set_misuse_handler(remember);
    let mut live: Vec<Object> = Vec::new();
    for step in 0..steps {
        let fill = u8::try_from(step % 251).expect("small");
        let log = [6, 11, 13, 16, 17][numbers.below(5)];
        let asked = layout(numbers.size(log).min(WHOLE), 1 << numbers.below(14));
        // It grows for a while, then shrinks.
        let grows = step / 150 % 2 == 0;
        match numbers.below(12) {
            0..=1 => live.extend(Object::try_zeroed(&heap, asked, fill)),
            2..=4 if grows => live.extend(Object::try_new(&heap, asked, fill)),
            5 => {
                if let Some(mut object) = numbers.pick(&mut live) {
                    object.resize(&heap, asked.size(), fill);
                    live.push(object);
                }
            }
            6 => heap.trim(),
            7 => free_wrongly(&heap, &live, &mut numbers),
            8 => {
                if let Some(object) = numbers.pick(&mut live) {
                    let (pointer, was) = (object.pointer(), object.layout());
                    object.free(&heap);
                    assert_sound(&heap);
                    let kinds = [NOT_HELD[0], NOT_HELD[1], MisuseKind::DoubleFree];
                    assert_refused(&heap, pointer, was, &kinds);
                }
            }
            9 => {
                for object in &live {
                    let found = heap.what_is(object.pointer().addr()).object();
                    let found = found.expect("it is live");
                    let is_it = found.address == object.pointer().addr();
                    assert!(is_it && found.state == ObjectState::Live, "{found}");
                }
                assert_eq!(heap.live_objects().count(), live.len());
            }
            _ => numbers
                .pick(&mut live)
                .into_iter()
                .for_each(|object| object.free(&heap)),
        }
        assert_sound(&heap);
        if step % 100 == 0 {
            assert_apart(&live);
        }
    }
    for object in live {
        object.free(&heap);
        assert_sound(&heap);
    }
    heap.trim();
    assert_sound(&heap);
    assert_eq!(heap.source().bytes_out(), 0, "all went home");
}

#[test]
fn random_programs_run_in_blocks_that_share_places() {
    for seed in 0..20 {
        random_program(seed, 1500);
    }
}

#[test]
fn walks_among_changes_see_what_stays_once_where_blocks_share_places() {
    for seed in 0..30 {
        let mut numbers = Numbers::new(seed);
        let memory = FarMemory::new(8, crowded_windows(8), Some(Numbers::new(seed + 1000)));
        let heap = FarHeap::new(memory);
        let mut live: Vec<Object> = Vec::new();
        let grow = |numbers: &mut Numbers, live: &mut Vec<Object>| {
            let asked = layout(numbers.size(17).min(WHOLE), 8);
            live.extend(Object::try_new(&heap, asked, 1));
        };
        let free_one = |numbers: &mut Numbers, live: &mut Vec<Object>| {
            let object = numbers.pick(live);
            object.into_iter().for_each(|object| object.free(&heap));
        };
        for _ in 0..150 {
            grow(&mut numbers, &mut live);
        }
        let stay = live.split_off(live.len() / 2);
        let (mut seen, mut blocks) = (Vec::new(), Vec::new());
        for object in heap.live_objects() {
            seen.push(object.address);
            for _ in 0..numbers.below(3) {
                match numbers.below(3) {
                    0 => grow(&mut numbers, &mut live),
                    1 => heap.trim(),
                    _ => free_one(&mut numbers, &mut live),
                }
            }
        }
        for block in heap.blocks() {
            blocks.push(block.address);
            free_one(&mut numbers, &mut live);
            heap.trim();
        }
        for object in &stay {
            let start = object.range().start;
            let times = |addresses: &[usize], wanted: usize| {
                addresses
                    .iter()
                    .filter(|address| **address == wanted)
                    .count()
            };
            assert_eq!(times(&seen, start), 1, "{object:?}, seed {seed}");
            let block = start / BLOCK_SIZE * BLOCK_SIZE;
            assert_eq!(times(&blocks, block), 1, "{block:#x}, seed {seed}");
        }
        live.into_iter()
            .chain(stay)
            .for_each(|object| object.free(&heap));
    }
}

#[test]
fn more_blocks_of_one_place_than_are_counted_are_found_and_go_home() {
    // A byte counts to 255.
    const BLOCKS: usize = 300;
    let windows: Vec<usize> = (0..BLOCKS).map(|nr| nr * DISTANCE).collect();
    let heap = heap_in_order(BLOCKS, &windows);
    let whole = layout(WHOLE, 8);
    for round in 0..2 {
        let mut objects: Vec<Object> = (0..BLOCKS).map(|_| Object::new(&heap, whole, 1)).collect();
        assert_sound(&heap);
        let mut numbers = Numbers::new(round);
        while let Some(object) = numbers.pick(&mut objects) {
            let pointer = object.pointer();
            object.free(&heap);
            heap.trim();
            assert_refused(&heap, pointer, whole, &NOT_HELD);
            if objects.len() % 20 < 2 {
                assert_sound(&heap);
            }
        }
        assert_eq!(heap.source().bytes_out(), 0);
    }
    // One block alone, at the place that had more than can be counted.
    let object = Object::new(&heap, whole, 1);
    assert_sound(&heap);
    for window in windows.iter().take(5) {
        let page = heap.source().at(window + PAGE_SIZE);
        if page != object.pointer() {
            assert_refused(&heap, page, whole, &NOT_HELD);
        }
    }
    object.free(&heap);
    heap.trim();
    assert_sound(&heap);
    assert_eq!(heap.source().bytes_out(), 0);
}

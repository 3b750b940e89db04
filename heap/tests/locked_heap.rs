//! The drop-in heap over fixed memory, under the names that kernels call.

mod common;

use core::alloc::{GlobalAlloc, Layout};
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::{self, NonNull};
use std::alloc::System;
use std::vec::Vec;

use common::{Numbers, Object, assert_apart, in_time, layout, remember, seen};
use stack_alloc::{AllocError, BLOCK_SIZE, LockedHeap, MisuseKind, PAGE_SIZE, Place};

type Heap = LockedHeap;

/// Memory of the host that a heap gets, and that goes back to the host behind it.
struct Memory {
    start: *mut u8,
    layout: Layout,
}

impl Memory {
    /// Returns `size` bytes that begin `offset` bytes behind a multiple of 256 KiB.
    fn new(size: usize, offset: usize) -> Self {
        let layout = layout(offset + size, BLOCK_SIZE);
        // SAFETY: the layout is not empty.
        let start = unsafe { System.alloc(layout) };
        assert!(!start.is_null());
        Self { start, layout }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it came from `System` with this layout.
        unsafe { System.dealloc(self.start, self.layout) };
    }
}

/// A heap and its memory.
struct Scene {
    heap: Heap,
    memory: Memory,
}

impl Deref for Scene {
    type Target = Heap;

    fn deref(&self) -> &Heap {
        &self.heap
    }
}

/// Returns a heap of `size` bytes that begin `offset` bytes behind a multiple of 256 KiB.
fn heap(size: usize, offset: usize) -> Scene {
    let memory = Memory::new(size, offset);
    let heap = Heap::empty();
    // SAFETY: the memory lives as long as the heap, and nobody else uses it.
    unsafe { heap.lock().init(memory.start.wrapping_add(offset), size) };
    Scene { heap, memory }
}

/// Allocates objects of one layout until there is no more room.
fn fill(heap: &Heap, layout: Layout) -> Vec<Object> {
    let objects: Vec<_> = core::iter::from_fn(|| Object::try_new(heap, layout, 3)).collect();
    heap.check().expect("sound when full");
    assert_apart(&objects);
    objects
}

/// Frees all objects and asserts that the heap is as empty as it was.
#[track_caller]
fn end(heap: &Heap, objects: impl IntoIterator<Item = Object>) {
    for object in objects {
        object.free(heap);
    }
    heap.check().expect("sound at the end");
    heap.trim();
    assert_eq!(heap.lock().used(), 0);
    assert_eq!(heap.statistics().bytes_held, 0);
    heap.with_source(|regions| assert_eq!(regions.free_bytes(), regions.total_bytes()));
}

#[test]
fn an_empty_heap_answers_null_and_has_no_bounds() {
    let heap = Heap::empty();
    // SAFETY: the layout is not empty.
    assert!(unsafe { heap.alloc(layout(8, 8)) }.is_null());
    let mut guard = heap.lock();
    assert_eq!(guard.allocate_first_fit(layout(8, 8)), Err(AllocError));
    assert_eq!((guard.size(), guard.used(), guard.free()), (0, 0, 0));
    assert_eq!(
        (guard.bottom(), guard.top()),
        (ptr::null_mut(), ptr::null_mut())
    );
    // SAFETY: there is nothing to extend, and the heap does not touch what does not belong to it.
    unsafe { guard.extend(PAGE_SIZE) };
    assert_eq!(guard.size(), 0);
    drop(guard);
    assert_eq!(heap.statistics().failures, 2);
}

#[test]
fn every_way_to_give_memory_gives_the_same_heap() {
    let size = 100 * 1024;
    let by_pointer = Memory::new(size, 0);
    let by_address = Memory::new(size, 0);
    let at_once = Memory::new(size, 0);
    let slice: &'static mut [MaybeUninit<u8>] = Box::leak(Box::new_uninit_slice(size + PAGE_SIZE));
    let (first, second, fourth) = (Heap::empty(), Heap::empty(), Heap::empty());
    // SAFETY: the heap has memory of its own, which lives as long.
    unsafe { first.lock().init(by_pointer.start, size) };
    let address = by_address.start.expose_provenance();
    // SAFETY: likewise.
    unsafe { second.lock().init(address, size) };
    // SAFETY: likewise.
    let third: Heap = unsafe { LockedHeap::new(at_once.start, size) };
    fourth.lock().init_from_slice(slice);
    for heap in [&first, &second, &third, &fourth] {
        let guard = heap.lock();
        assert_eq!(guard.used(), 0);
        assert_eq!(guard.free(), guard.size());
        assert!(guard.size() >= size - 2 * PAGE_SIZE && guard.size() <= size);
        assert!(guard.top().addr() - guard.bottom().addr() >= guard.size());
        drop(guard);
        let objects = fill(heap, layout(64, 8));
        assert!(
            objects.len() >= 88 * 1024 / 64,
            "{} objects of 64 bytes",
            objects.len()
        );
        end(heap, objects);
    }
}

#[test]
fn memory_of_any_size_and_place_is_of_use_from_three_pages_on() {
    for pages in [1, 2, 3, 4, 10, 25, 63, 64, 65, 100, 127, 128, 129, 200] {
        for offset in [
            0,
            16,
            PAGE_SIZE,
            5 * PAGE_SIZE + 8,
            60 * PAGE_SIZE,
            BLOCK_SIZE - 8,
        ] {
            let heap = heap(pages * PAGE_SIZE, offset);
            let objects = fill(&heap, layout(16, 8));
            let usable = heap.lock().size() / PAGE_SIZE;
            // A header for each window of 256 KiB that the memory touches, and a page of books.
            let headers = (offset % BLOCK_SIZE + pages * PAGE_SIZE).div_ceil(BLOCK_SIZE);
            let expected = usable.saturating_sub(headers) * (PAGE_SIZE / 16);
            assert!(
                objects.len() >= expected,
                "{} of {expected} in {pages} pages at {offset}",
                objects.len()
            );
            assert!(usable + 3 > pages, "{usable} of {pages} pages");
            end(&heap, objects);
        }
    }
}

#[test]
fn a_heap_of_100_kib_holds_objects_of_many_sizes_at_once() {
    let heap = heap(100 * 1024, 0x4000);
    let mut objects = Vec::new();
    for size in (1..=16)
        .map(|step| step * 64)
        .chain([16, 32, 48, 1280, 1536, 2048, 4096])
    {
        let object = Object::try_new(&*heap, layout(size, 8), 1);
        objects.push(object.unwrap_or_else(|| panic!("no room for {size} bytes")));
    }
    heap.check().expect("sound");
    end(&heap, objects);
}

#[test]
fn what_is_larger_than_a_block_finds_room_too() {
    let heap = heap(8 << 20, 0x1000);
    let mut objects = Vec::new();
    for size in [5 << 20, 1 << 20, 300_000, 100_000, 40] {
        objects.push(Object::try_new(&*heap, layout(size, 8), 1).expect("there is room"));
    }
    assert!(Object::try_new(&*heap, layout(5 << 20, 8), 1).is_none());
    end(&heap, objects);
}

#[test]
fn extending_by_less_than_a_page_adds_up() {
    let (size, step) = (10 * PAGE_SIZE, 1000);
    let memory = Memory::new(BLOCK_SIZE, 0);
    let heap = Heap::empty();
    // SAFETY: the memory is longer than all that the heap ever gets of it.
    unsafe { heap.lock().init(memory.start, size) };
    let mut objects = fill(&heap, layout(PAGE_SIZE, PAGE_SIZE));
    let before = objects.len();
    for number in 1..=100 {
        // SAFETY: as above.
        unsafe { heap.lock().extend(step) };
        let guard = heap.lock();
        assert_eq!(guard.top(), memory.start.wrapping_add(size + number * step));
        assert_eq!(guard.bottom(), memory.start);
        drop(guard);
        objects.extend(fill(&heap, layout(PAGE_SIZE, PAGE_SIZE)));
        // Each page that was completed can be used at once, although the window's header was written long before.
        assert_eq!(objects.len(), before + number * step / PAGE_SIZE);
    }
    assert_apart(&objects);
    end(&heap, objects);
}

#[test]
fn extending_across_windows_makes_large_objects_possible() {
    let memory = Memory::new(4 << 20, 0);
    let heap = Heap::empty();
    // SAFETY: the memory is longer than all that the heap ever gets of it.
    unsafe { heap.lock().init(memory.start, 100 * 1024) };
    let first = Object::new(&*heap, layout(5000, 8), 1);
    assert!(Object::try_new(&*heap, layout(1 << 20, 8), 1).is_none());
    // SAFETY: as above.
    unsafe { heap.lock().extend((2 << 20) + 123) };
    let second = Object::new(&*heap, layout(1 << 20, 8), 2);
    let third = Object::new(&*heap, layout(600_000, 8), 3);
    assert_apart([&first, &second, &third]);
    end(&heap, [first, second, third]);
}

#[test]
fn regions_may_be_anywhere() {
    let pieces: Vec<Memory> = (1..6)
        .map(|number| Memory::new(number * 70_000, number * 8))
        .collect();
    let heap = Heap::empty();
    let mut given = 0;
    for (number, memory) in (1..6).zip(&pieces) {
        let start = memory.start.wrapping_add(number * 8);
        // SAFETY: each piece is the heap's alone and lives longer.
        unsafe { heap.lock().add_region(start, number * 70_000) };
        given += number * 70_000;
        assert!(heap.lock().size() + number * 3 * PAGE_SIZE >= given);
    }
    let objects = fill(&heap, layout(1000, 8));
    assert!(
        objects.len() * 1000 >= given * 8 / 10,
        "{} of {given}",
        objects.len() * 1000
    );
    let lowest = pieces
        .iter()
        .map(|memory| memory.start.addr())
        .min()
        .expect("there are some");
    assert!(heap.lock().bottom().addr() - lowest < 2 * PAGE_SIZE);
    end(&heap, objects);
}

#[test]
fn the_guard_allocates_and_frees() {
    let heap = heap(1 << 20, 0);
    let mut guard = heap.lock();
    let (small, large) = (layout(40, 8), layout(500_000, 8));
    let one = guard.allocate_first_fit(small).expect("there is room");
    let two = guard.allocate_first_fit(large).expect("there is room");
    assert_eq!(guard.used(), 48 + 123 * PAGE_SIZE);
    assert_eq!(guard.free(), guard.size() - guard.used());
    assert!(heap.try_lock().is_none(), "the guard holds the lock");
    // SAFETY: it was allocated here, with this layout.
    unsafe { guard.deallocate(one, small) };
    // SAFETY: likewise.
    unsafe { guard.deallocate(two, large) };
    assert_eq!(guard.used(), 0);
    drop(guard);
    assert!(heap.try_lock().is_some());
    end(&heap, []);
}

#[test]
fn a_wrong_free_by_the_guard_is_reported_when_the_lock_is_free() {
    in_time(|| {
        let heap = heap(1 << 20, 0);
        heap.set_misuse_handler(remember);
        let mut guard = heap.lock();
        let small = layout(40, 8);
        let object = guard.allocate_first_fit(small).expect("there is room");
        let foreign = NonNull::from(&small).cast();
        for wrong_or_right in [object, object, foreign] {
            // SAFETY: the first is right; of the others the heap promises to notice that they are wrong.
            unsafe { guard.deallocate(wrong_or_right, small) };
        }
        assert_eq!(seen(), [], "not while the lock is held");
        drop(guard);
        let seen = seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].kind, MisuseKind::DoubleFree);
        end(&heap, []);
    });
}

#[test]
fn what_the_heap_spends_on_itself_is_its_own() {
    let heap = heap(3 << 20, 0);
    let object = Object::new(&*heap, layout(1 << 20, 8), 1);
    assert_eq!(
        heap.what_is(heap.memory.start.addr()),
        Place::Foreign,
        "the books of the source"
    );
    let place = heap.what_is(object.pointer().addr() + 5);
    assert_eq!(place.object().map(|object| object.size), Some(1 << 20));
    end(&heap, [object]);
}

#[test]
fn random_programs_leave_nothing_behind() {
    for (seed, size, offset) in [
        (1, 100 * 1024, 0),
        (2, 300 * 1024, 0x5008),
        (3, 5 << 20, 0x3f000),
    ] {
        let heap = heap(size, offset);
        let mut numbers = Numbers::new(seed);
        let mut live = Vec::new();
        for step in 0..20_000 {
            if numbers.below(5) < 3 {
                let layout = layout(numbers.size(13), 1 << numbers.below(8));
                live.extend(Object::try_new(
                    &*heap,
                    layout,
                    u8::try_from(step % 251).unwrap(),
                ));
            } else if let Some(object) = numbers.pick(&mut live) {
                object.free(&*heap);
            } else if let Some(mut object) = numbers.pick(&mut live) {
                object.resize(&*heap, numbers.size(15), 9);
                live.push(object);
            }
            if step % 500 == 0 {
                heap.check().expect("sound");
                assert_apart(&live);
            }
        }
        end(&heap, live);
    }
}

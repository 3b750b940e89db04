//! Heaps over fixed memory that is short, or scattered: what is free can be had, and pointers are good for what they say.

mod common;

use common::{allocate, give_back, layout, reallocate};
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use stack_alloc::{Allocator, BLOCK_SIZE, LockedHeap, PAGE_SIZE, Regions};

/// Fixed memory of which `before` pages end a window of 256 KiB and `behind` pages begin the next one, books included.
fn across_a_seam(before: usize, behind: usize) -> Allocator<Regions> {
    let size = (before + behind) * PAGE_SIZE;
    let memory: &'static mut [MaybeUninit<u8>] = Box::leak(Box::new_uninit_slice(3 * BLOCK_SIZE));
    let start = NonNull::from(memory).cast::<u8>();
    let to_seam = start.addr().get().next_multiple_of(BLOCK_SIZE) + BLOCK_SIZE - start.addr().get();
    let regions = Regions::new();
    // SAFETY: less than two blocks behind the start of three.
    let first = unsafe { start.add(to_seam - before * PAGE_SIZE) };
    // SAFETY: the memory is leaked, and nobody else knows of it.
    unsafe { regions.add(first, size) }.expect("large enough");
    Allocator::new(regions)
}

/// Leaves the heap with the last `left` pages as its only part, and that one idle.
fn leave_a_part_at_the_end(heap: &Allocator<Regions>, left: usize) {
    let pages = heap.with_source(Regions::free_bytes) / PAGE_SIZE - left;
    let region = layout(pages * PAGE_SIZE, 8);
    let pointer = allocate(heap, region);
    assert!(!pointer.is_null());
    assert_eq!(heap.statistics().regions.live, 1);
    give_back(heap, pointer, region);
    assert_eq!(heap.statistics().live(), 0);
}

#[test]
fn an_idle_part_that_is_too_short_makes_room_for_a_longer_one() {
    let heap = across_a_seam(11, 40);
    leave_a_part_at_the_end(&heap, 3);
    let pointer = allocate(&heap, layout(12 * 1024, 8));
    assert!(
        !pointer.is_null(),
        "nothing is live, and nearly all is free"
    );
    heap.check().expect("sound");
}

#[test]
fn a_part_is_found_in_another_window_than_that_of_a_part_in_use() {
    let heap = across_a_seam(11, 40);
    leave_a_part_at_the_end(&heap, 3);
    for number in 0..9 {
        let pointer = allocate(&heap, layout(PAGE_SIZE, 8));
        assert!(!pointer.is_null(), "page {number}, though pages are free");
        heap.check().expect("sound");
    }
}

#[test]
fn what_grew_in_place_may_be_used_through_the_pointer_that_came_back() {
    let heap = LockedHeap::<spin::Mutex<()>>::empty();
    heap.lock()
        .init_from_slice(Box::leak(Box::new_uninit_slice(100 * 1024)));
    for (size, new_size) in [(20, 32), (5 * PAGE_SIZE, 7 * PAGE_SIZE)] {
        let pointer = allocate(&*heap, layout(size, 1));
        // SAFETY: the object is live and has that many bytes.
        unsafe { pointer.write_bytes(0, size) };
        // SAFETY: likewise, and all are written.
        let contents = unsafe { core::slice::from_raw_parts_mut(pointer, size) };
        // As from `Vec::into_boxed_slice` and back: the pointer is good for the old size alone.
        let new = reallocate(&*heap, contents.as_mut_ptr(), layout(size, 1), new_size);
        assert_eq!(new, pointer, "in place");
        // SAFETY: the object has so many bytes now.
        let last = unsafe { new.add(new_size - 1) };
        // SAFETY: likewise. Miri looks whether the pointer may be used so.
        unsafe { last.write(1) };
        give_back(&*heap, new, layout(new_size, 1));
    }
}

//! Frees of memory that is no object of the heap's: of others', of the heap's own, and what lies between.

mod common;

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;

use common::wrong_frees::{Scene, assert_refused, kinds};
use common::{Object, assert_empty, assert_sound, give_back, heap, layout, remember, seen};
use stack_alloc::{Allocator, BLOCK_SIZE, MemorySource, MisuseKind, PAGE_SIZE};

#[test]
fn memory_of_others_is_foreign() {
    static STATIC: [u64; 4] = [0; 4];
    let scene = Scene::new();
    let other = Scene::new();
    let mut on_the_call_stack = [0_u8; 64];
    let boxed = Box::new([0_u8; 64]);
    for kind in kinds() {
        for pointer in [
            ptr::from_ref(&STATIC).cast_mut().cast(),
            on_the_call_stack.as_mut_ptr(),
            boxed.as_ptr().cast_mut(),
            ptr::without_provenance_mut(1),
            ptr::without_provenance_mut(usize::MAX),
            ptr::without_provenance_mut(usize::MAX & !(PAGE_SIZE - 1)),
        ] {
            scene.assert_refused(pointer, kind.layout, MisuseKind::Foreign, None);
        }
    }
    for (kind, object) in &other.objects {
        scene.assert_refused(object.pointer(), kind.layout, MisuseKind::Foreign, None);
        // The same address but for the bits that a processor ignores or forbids.
        for bit in [47, 48, 63] {
            let pointer = object.pointer().map_addr(|address| address ^ 1 << bit);
            scene.assert_refused(pointer, kind.layout, MisuseKind::Foreign, None);
        }
    }
    for (kind, object) in &scene.objects {
        for bit in [47, 48, 63] {
            let pointer = object.pointer().map_addr(|address| address ^ 1 << bit);
            scene.assert_refused(pointer, kind.layout, MisuseKind::Foreign, None);
        }
    }
    scene.end();
    other.end();
}

#[test]
fn just_outside_of_a_region_is_foreign() {
    let heap = heap(64 << 20);
    heap.set_misuse_handler(remember);
    let region = layout(1 << 20, 8);
    let object = Object::new(&heap, region, 1);
    let before = object.pointer().wrapping_sub(1);
    let behind = object.pointer().wrapping_add(1 << 20);
    for pointer in [before, behind] {
        // The host may have put the block of the region's record there: whatever it says then, it is not the region.
        give_back(&heap, pointer, region);
        let seen = seen();
        assert_eq!(seen.len(), 1);
        assert!(matches!(
            seen[0].kind,
            MisuseKind::Foreign | MisuseKind::DoubleFree
        ));
        assert_eq!(seen[0].place.object(), None);
    }
    object.free(&heap);
    assert_empty(&heap);
}

#[test]
fn the_headers_of_blocks_are_foreign() {
    let scene = Scene::new();
    for (kind, object) in &scene.objects[..7] {
        let block = object
            .pointer()
            .map_addr(|address| address & !(BLOCK_SIZE - 1));
        for offset in (0..PAGE_SIZE).step_by(16).chain([1, PAGE_SIZE - 1]) {
            scene.assert_refused(
                block.wrapping_add(offset),
                kind.layout,
                MisuseKind::Foreign,
                None,
            );
        }
    }
    scene.end();
}

#[test]
fn the_records_of_regions_are_foreign() {
    let heap = heap(64 << 20);
    heap.set_misuse_handler(remember);
    let region = Object::new(&heap, layout(1 << 20, 8), 1);
    let block = heap
        .source()
        .addresses()
        .into_iter()
        .find(|address| *address != region.pointer().addr())
        .expect("the block of the record");
    // The block holds the record and nothing else: its header and the page of records are nobody's to free.
    let mut foreign_pages = 0;
    for address in (block..block + BLOCK_SIZE).step_by(PAGE_SIZE) {
        give_back(&heap, ptr::without_provenance_mut(address), layout(64, 8));
        let kinds: Vec<_> = seen().iter().map(|misuse| misuse.kind).collect();
        foreign_pages += usize::from(kinds == [MisuseKind::Foreign]);
        assert!(kinds == [MisuseKind::Foreign] || kinds == [MisuseKind::DoubleFree]);
        assert_sound(&heap);
    }
    assert_eq!(foreign_pages, 2);
    for offset in (PAGE_SIZE..2 * PAGE_SIZE).step_by(16) {
        let pointer = ptr::without_provenance_mut(block + offset);
        for size in [16, 64, 3000, PAGE_SIZE, 40_000] {
            assert_refused(&heap, pointer, layout(size, 8), MisuseKind::Foreign, None);
        }
    }
    region.free(&heap);
    assert_empty(&heap);
}

#[test]
fn the_tail_of_a_stack_is_foreign() {
    let heap = heap(64 << 20);
    heap.set_misuse_handler(remember);
    let chunk = layout(48, 8);
    let object = Object::new(&heap, chunk, 1);
    // A page holds 85 chunks of 48 bytes and 16 bytes that belong to nobody.
    let tail = object.pointer().wrapping_add(85 * 48);
    assert_refused(&heap, tail, chunk, MisuseKind::Foreign, None);
    assert_refused(
        &heap,
        tail.wrapping_add(15),
        chunk,
        MisuseKind::Foreign,
        None,
    );
    let never_taken = object.pointer().wrapping_add(84 * 48);
    let place = Some((never_taken.addr(), 48));
    assert_refused(&heap, never_taken, chunk, MisuseKind::DoubleFree, place);
    object.free(&heap);
    assert_empty(&heap);
}

/// A source whose blocks have gaps between them: every second one of an arena.
struct Gaps {
    arena: NonNull<u8>,
    given: AtomicUsize,
}

impl Gaps {
    const ARENA: Layout = match Layout::from_size_align(8 * BLOCK_SIZE, BLOCK_SIZE) {
        Ok(layout) => layout,
        Err(_) => panic!("a valid layout"),
    };

    fn new() -> Self {
        // SAFETY: the layout is not empty.
        let arena = unsafe { System.alloc_zeroed(Self::ARENA) };
        Self {
            arena: NonNull::new(arena).expect("the host has 2 MiB"),
            given: AtomicUsize::new(0),
        }
    }
}

// SAFETY: each block is given once, and never again.
unsafe impl MemorySource for Gaps {
    fn get_block(&self) -> Option<NonNull<u8>> {
        let number = self.given.fetch_add(2, Ordering::Relaxed);
        // SAFETY: the arena has eight blocks.
        (number < 8).then(|| unsafe { self.arena.add(number * BLOCK_SIZE) })
    }

    unsafe fn release_block(&self, _: NonNull<u8>) {}
}

impl Drop for Gaps {
    fn drop(&mut self) {
        // SAFETY: the arena came from `System` with this layout.
        unsafe { System.dealloc(self.arena.as_ptr(), Self::ARENA) };
    }
}

#[test]
fn memory_between_two_blocks_is_foreign() {
    let heap = Allocator::<Gaps>::new(Gaps::new());
    heap.set_misuse_handler(remember);
    let run = layout(200 << 10, 8);
    let objects: Vec<Object> = (1..=4).map(|fill| Object::new(&heap, run, fill)).collect();
    assert!(Object::try_new(&heap, run, 5).is_none());
    let before = heap.statistics();
    for object in &objects {
        for size in [16, 5000, 200 << 10] {
            for offset in [0, PAGE_SIZE, BLOCK_SIZE - PAGE_SIZE] {
                let behind = object
                    .pointer()
                    .map_addr(|address| (address & !(BLOCK_SIZE - 1)) + BLOCK_SIZE + offset);
                give_back(&heap, behind, layout(size, 8));
                let kinds: Vec<_> = seen().iter().map(|misuse| misuse.kind).collect();
                assert_eq!(kinds, [MisuseKind::Foreign]);
            }
        }
    }
    assert_eq!(heap.statistics(), before);
    heap.check().expect("nothing changed");
    for object in objects {
        object.free(&heap);
    }
    assert_eq!(seen(), []);
}

//! Wrong frees: every kind of mistake with every kind of memory is named exactly, and changes nothing.

mod common;

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;

use common::{
    Heap, Object, allocate, assert_empty, assert_sound, give_back, heap, layout, reallocate,
    remember, seen,
};
use stack_alloc::{Allocator, BLOCK_SIZE, MemorySource, Misuse, MisuseKind, PAGE_SIZE, Place};

/// One kind of memory: a layout, and the bytes of what serves it.
#[derive(Clone, Copy, Debug)]
struct Kind {
    layout: Layout,
    served: usize,
}

/// A chunk, a chunk of a stack of several pages, a chunk larger than a page's neighbours, runs, and regions.
fn kinds() -> [Kind; 8] {
    let kind = |size, align, served| Kind {
        layout: layout(size, align),
        served,
    };
    [
        kind(1, 1, 16),
        kind(40, 8, 48),
        kind(100, 128, 128),
        kind(5000, 8, 5120),
        kind(16 << 10, 8, 16 << 10),
        kind(40_000, 8, 40_960),
        kind(30_000, 16 << 10, 32_768),
        kind(1 << 20, 8, 1 << 20),
    ]
}

/// A heap with an object of every kind, each with neighbours of the same kind.
struct Scene {
    heap: Heap,
    objects: Vec<(Kind, Object)>,
    neighbours: Vec<Object>,
}

impl Scene {
    fn new() -> Self {
        let heap = heap(64 << 20);
        heap.set_misuse_handler(remember);
        let mut objects = Vec::new();
        let mut neighbours = Vec::new();
        for (fill, kind) in (1_u8..).zip(kinds()) {
            neighbours.push(Object::new(&heap, kind.layout, 100 + fill));
            objects.push((kind, Object::new(&heap, kind.layout, fill)));
            neighbours.push(Object::new(&heap, kind.layout, 200 + fill));
        }
        Self {
            heap,
            objects,
            neighbours,
        }
    }

    /// Asserts that giving back `pointer` with `layout`, or reallocating it, is reported as `kind` at the object
    /// `(address, size)`, and changes nothing.
    #[track_caller]
    fn assert_refused(
        &self,
        pointer: *mut u8,
        layout: Layout,
        kind: MisuseKind,
        object: Option<(usize, usize)>,
    ) {
        assert_refused(&self.heap, pointer, layout, kind, object);
        for object in self.all() {
            object.assert_intact();
        }
    }

    fn all(&self) -> impl Iterator<Item = &Object> {
        self.objects
            .iter()
            .map(|(_, object)| object)
            .chain(&self.neighbours)
    }

    /// Frees everything, rightly.
    #[track_caller]
    fn end(self) {
        for (_, object) in self.objects {
            object.free(&self.heap);
        }
        for object in self.neighbours {
            object.free(&self.heap);
        }
        assert_eq!(seen(), [], "a right free was called wrong");
        assert_empty(&self.heap);
    }
}

/// See [`Scene::assert_refused`].
#[track_caller]
fn assert_refused(
    heap: &Heap,
    pointer: *mut u8,
    layout: Layout,
    kind: MisuseKind,
    object: Option<(usize, usize)>,
) {
    let expected = [(kind, pointer.addr(), layout, object)];
    let report = |misuse: Misuse| {
        let object = misuse.place.object();
        let extent = object.map(|object| (object.address, object.size));
        assert_eq!(misuse.place, heap.what_is(misuse.address));
        (misuse.kind, misuse.address, misuse.layout, extent)
    };
    let before = heap.statistics();
    give_back(heap, pointer, layout);
    assert!(seen().into_iter().map(report).eq(expected));
    for new_size in [layout.size(), 1, 3000, 50_000, 2 << 20] {
        let moved = reallocate(heap, pointer, layout, new_size);
        assert!(moved.is_null());
        let by_realloc = seen().into_iter().map(report);
        assert!(by_realloc.eq(expected), "by realloc to {new_size}");
    }
    assert_eq!(heap.statistics(), before);
    assert_sound(heap);
}

#[test]
fn right_frees_are_not_reported() {
    Scene::new().end();
}

#[test]
fn addresses_inside_an_object_are_interior() {
    let scene = Scene::new();
    for (kind, object) in &scene.objects {
        let mut offsets = vec![
            1,
            kind.served - 1,
            kind.served / 2,
            object.layout().size() - 1,
        ];
        offsets.extend([8, 16, PAGE_SIZE, PAGE_SIZE - 1, kind.served - 16]);
        for offset in offsets {
            if 0 < offset && offset < kind.served {
                scene.assert_refused(
                    object.pointer().wrapping_add(offset),
                    kind.layout,
                    MisuseKind::Interior,
                    Some((object.pointer().addr(), kind.served)),
                );
            }
        }
    }
    scene.end();
}

#[test]
fn sizes_of_other_objects_are_wrong() {
    let scene = Scene::new();
    for (kind, object) in &scene.objects {
        // A size that only a larger alignment takes to this object is left out: see the next test.
        let sizes = [20, 33, 60, 200, 6000, 20_000, 45_000, 300_000, 1 << 21];
        for size in sizes.into_iter().filter(|size| *size > kind.served) {
            scene.assert_refused(
                object.pointer(),
                layout(size, kind.layout.align()),
                MisuseKind::WrongSize,
                Some((object.pointer().addr(), kind.served)),
            );
        }
    }
    for (served, size) in [
        (48, 16),
        (48, 32),
        (5120, 4096),
        (40_960, 36_864),
        (40_960, 1),
        (1 << 20, 1),
    ] {
        let (_, object) = scene
            .objects
            .iter()
            .find(|(kind, _)| kind.served == served)
            .expect("there is one");
        scene.assert_refused(
            object.pointer(),
            layout(size, 8),
            MisuseKind::WrongSize,
            Some((object.pointer().addr(), served)),
        );
    }
    scene.end();
}

#[test]
fn alignments_of_other_objects_are_wrong() {
    let scene = Scene::new();
    for (kind, object) in &scene.objects {
        let align = if kind.served <= 16 << 10 {
            // One that leads to a larger chunk, or away from chunks.
            kind.served.next_power_of_two() * 2
        } else {
            // The smallest that the address lacks.
            2 << object.pointer().addr().trailing_zeros()
        };
        scene.assert_refused(
            object.pointer(),
            layout(kind.layout.size(), align),
            // Where the alignment was what led to so large a chunk, the size alone does not get it.
            if kind.layout == layout(100, 128) {
                MisuseKind::WrongSize
            } else {
                MisuseKind::WrongAlignment
            },
            Some((object.pointer().addr(), kind.served)),
        );
    }
    // An object made with a large alignment is not freed with a small one, where that would get another chunk.
    let (kind, object) = &scene.objects[2];
    assert_eq!(kind.layout, layout(100, 128));
    scene.assert_refused(
        object.pointer(),
        layout(100, 8),
        MisuseKind::WrongSize,
        Some((object.pointer().addr(), 128)),
    );
    scene.end();
}

#[test]
fn no_object_is_freed_with_the_layout_of_another() {
    let scene = Scene::new();
    for (kind, object) in &scene.objects {
        for other in kinds().iter().filter(|other| other.served != kind.served) {
            let before = scene.heap.statistics();
            give_back(&scene.heap, object.pointer(), other.layout);
            let kinds: Vec<_> = seen().iter().map(|misuse| misuse.kind).collect();
            assert!(
                kinds == [MisuseKind::WrongSize] || kinds == [MisuseKind::WrongAlignment],
                "{kind:?} freed as {other:?}: {kinds:?}"
            );
            assert_eq!(scene.heap.statistics(), before);
        }
    }
    scene.end();
}

#[test]
fn a_second_free_is_a_double_free() {
    let mut scene = Scene::new();
    for (kind, object) in core::mem::take(&mut scene.objects) {
        let pointer = object.pointer();
        object.free(&scene.heap);
        let (found, place) = match kind.served {
            // Its stack is still there, its neighbours live in it.
            ..=16_384 => (MisuseKind::DoubleFree, Some((pointer.addr(), kind.served))),
            // Its pages are free in a block that is still there.
            16_385..=262_144 => (MisuseKind::DoubleFree, None),
            // It went back to the source.
            _ => (MisuseKind::GoneBack, None),
        };
        scene.assert_refused(pointer, kind.layout, found, place);
        // A free object is neither of another size nor of another alignment.
        scene.assert_refused(pointer, layout(1234, 8), found, place);
    }
    scene.end();
}

#[test]
fn a_double_free_is_seen_after_the_whole_stack_went() {
    let heap = heap(64 << 20);
    heap.set_misuse_handler(remember);
    let small = layout(64, 8);
    let kept = Object::new(&heap, layout(40_000, 8), 1);
    let pointers: Vec<_> = (0..192).map(|_| allocate(&heap, small)).collect();
    for pointer in &pointers {
        give_back(&heap, *pointer, small);
    }
    let gone_stacks = pointers
        .iter()
        .filter(|pointer| {
            give_back(&heap, **pointer, small);
            let seen = seen();
            assert_eq!(seen.len(), 1);
            assert_eq!(seen[0].kind, MisuseKind::DoubleFree);
            seen[0].place == Place::FreePage
        })
        .count();
    assert_eq!(gone_stacks, 128, "one empty stack of three is kept");
    kept.free(&heap);
    assert_empty(&heap);
}

#[test]
fn null_is_named() {
    let scene = Scene::new();
    for kind in kinds() {
        scene.assert_refused(ptr::null_mut(), kind.layout, MisuseKind::Null, None);
    }
    scene.end();
    // In a heap without memory too.
    let empty = heap(0);
    empty.set_misuse_handler(remember);
    assert_refused(
        &empty,
        ptr::null_mut(),
        layout(8, 8),
        MisuseKind::Null,
        None,
    );
}

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

#[test]
fn what_went_back_is_told_from_what_is_foreign() {
    let heap = heap(64 << 20);
    heap.set_misuse_handler(remember);
    let mut pointers = Vec::new();
    for kind in kinds() {
        let object = Object::new(&heap, kind.layout, 1);
        pointers.push((object.pointer(), kind.layout));
        object.free(&heap);
    }
    heap.trim();
    for (pointer, layout) in pointers {
        assert_refused(&heap, pointer, layout, MisuseKind::GoneBack, None);
    }
}

#[test]
fn a_run_that_came_as_a_region_is_watched_like_any() {
    let heap = heap(64 << 20);
    heap.set_misuse_handler(remember);
    // Fill the first block but for a page, so that a run has to come as a region when no block is left.
    let filler = Object::new(&heap, layout(62 * PAGE_SIZE, 8), 1);
    heap.source().set_left(100_000);
    let run = layout(40_000, 8);
    let object = Object::new(&heap, run, 2);
    assert_eq!(heap.statistics().regions.live, 1);
    let pointer = object.pointer();
    let place = Some((pointer.addr(), 40_960));
    assert_refused(
        &heap,
        pointer.wrapping_add(8),
        run,
        MisuseKind::Interior,
        place,
    );
    assert_refused(
        &heap,
        pointer,
        layout(50_000, 8),
        MisuseKind::WrongSize,
        place,
    );
    assert_refused(&heap, pointer, layout(500, 8), MisuseKind::WrongSize, place);
    object.free(&heap);
    assert_refused(&heap, pointer, run, MisuseKind::GoneBack, None);
    filler.free(&heap);
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

#[test]
fn another_size_of_the_same_chunk_is_taken_and_breaks_no_count() {
    let heap = heap(64 << 20);
    heap.set_misuse_handler(remember);
    // The heap cannot tell these apart. What it must not do is panic over its own count, under its lock.
    let pointer = allocate(&heap, layout(33, 1));
    give_back(&heap, pointer, layout(48, 1));
    assert_eq!(seen(), []);
    assert_eq!(heap.statistics().live(), 0);
    assert_eq!(heap.statistics().bytes_requested, 0);

    let pointer = allocate(&heap, layout(33, 1));
    let pointer = reallocate(&heap, pointer, layout(48, 1), 40);
    give_back(&heap, pointer, layout(48, 1));
    assert_eq!(heap.statistics().live(), 0);
    assert_eq!(heap.statistics().bytes_requested, 0);
    assert_empty(&heap);
}

#[test]
fn after_a_chunk_is_given_out_again_an_old_free_looks_legal() {
    // The documented limit, so that nobody promises more.
    let heap = heap(64 << 20);
    heap.set_misuse_handler(remember);
    let small = layout(48, 8);
    let first = allocate(&heap, small);
    give_back(&heap, first, small);
    assert_eq!(allocate(&heap, small), first);
    give_back(&heap, first, small);
    assert_eq!(seen(), []);
    assert_empty(&heap);
}

#[test]
fn writes_into_freed_memory_change_nothing_that_is_handed_out() {
    let heap = heap(64 << 20);
    for size in [16, 48, 512, 5000, 16 << 10, 40_000] {
        let layout = layout(size, 8);
        let kept: Vec<Object> = (0..8)
            .map(|fill| Object::new(&heap, layout, fill))
            .collect();
        let freed = allocate(&heap, layout);
        give_back(&heap, freed, layout);
        // SAFETY: the block is still held, by `kept`, and the source's memory is valid as long as the block is out.
        unsafe { freed.write_bytes(0xff, size) };
        heap.check().expect("nothing of the heap's was there");
        let again: Vec<Object> = (0..64)
            .map(|fill| Object::new(&heap, layout, fill))
            .collect();
        common::assert_apart(kept.iter().chain(&again));
        for object in kept.into_iter().chain(again) {
            object.free(&heap);
        }
    }
    assert_empty(&heap);
}

#[test]
fn handlers_of_two_heaps_are_their_own() {
    let (one, other) = (heap(64 << 20), heap(64 << 20));
    one.set_misuse_handler(remember);
    other.set_misuse_handler(|misuse| panic!("not mine: {misuse}"));
    let small = layout(48, 8);
    let object = Object::new(&other, small, 1);
    assert_refused(&one, object.pointer(), small, MisuseKind::Foreign, None);
    object.free(&other);
}

//! Wrong frees: every kind of mistake with every kind of object is named exactly, and changes nothing.
//!
//! What is no object of the heap's at all is in `foreign_frees.rs`.

mod common;

use core::ptr;

use common::wrong_frees::{Scene, assert_refused, kinds};
use common::{Object, allocate, assert_empty, give_back, heap, layout, reallocate, remember, seen};
use stack_alloc::{MisuseKind, PAGE_SIZE, Place};

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

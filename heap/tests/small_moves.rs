//! Small objects that `realloc` moves: the contents come along, whatever the two sizes and wherever the lock is let go, and a
//! wrong pointer is called just what a free calls it, before anything is moved.

mod common;

use core::alloc::Layout;

use common::{
    Heap, Numbers, Object, allocate, assert_apart, assert_empty, assert_sound, give_back, heap,
    layout, reallocate, remember, seen,
};
use stack_alloc::{Misuse, MisuseKind};

/// Sizes on both sides of the bounds of classes, and of the most that is copied under the lock.
const SIZES: [usize; 26] = [
    1, 7, 8, 15, 16, 17, 31, 32, 33, 48, 49, 64, 100, 128, 129, 160, 200, 224, 240, 255, 256, 257,
    300, 512, 1000, 5000,
];

/// Creates a heap that writes wrong frees down.
fn watched_heap() -> Heap {
    let heap = heap(64 << 20);
    heap.set_misuse_handler(remember);
    heap
}

/// Writes to the `len` bytes at `pointer` what belongs there: no two places of a few hundred bytes are alike.
fn write(pointer: *mut u8, len: usize, seed: usize) {
    for place in 0..len {
        let byte = pointer.wrapping_add(place);
        // SAFETY: the caller's object has so many bytes.
        unsafe { byte.write(pattern(place, seed)) };
    }
}

/// Returns the byte that belongs at `place`.
fn pattern(place: usize, seed: usize) -> u8 {
    u8::try_from((place * 7 + place / 251 * 3 + seed * 31) % 251).expect("small")
}

/// Asserts that the first `len` bytes at `pointer` are what was written.
#[track_caller]
fn assert_kept(pointer: *mut u8, len: usize, seed: usize) {
    for place in 0..len {
        let byte = pointer.wrapping_add(place);
        // SAFETY: the caller's object has so many bytes, and they were written.
        let byte = unsafe { byte.read() };
        assert_eq!(byte, pattern(place, seed), "byte {place} of {len}");
    }
}

#[test]
fn contents_come_along_between_any_two_sizes() {
    for align in [1, 8, 32, 256] {
        let heap = watched_heap();
        for (seed, (old, new)) in SIZES
            .iter()
            .flat_map(|old| SIZES.map(|new| (*old, new)))
            .enumerate()
        {
            // Neighbours of both sizes, before and behind, that must not change.
            let beside =
                |fill| [old, new].map(|size| Object::new(&heap, layout(size, align), fill));
            let before = beside(1);
            let pointer = allocate(&heap, layout(old, align));
            let behind = beside(2);
            write(pointer, old, seed);
            let counts = heap.statistics();
            let moved = reallocate(&heap, pointer, layout(old, align), new);
            assert!(!moved.is_null() && moved.addr() % align == 0);
            assert_kept(moved, old.min(new), seed);
            write(moved, new, seed + 1);
            for object in before.iter().chain(&behind) {
                object.assert_intact();
            }
            let now = heap.statistics();
            assert_eq!(now.live(), counts.live());
            assert_eq!(now.bytes_requested, counts.bytes_requested - old + new);
            assert_eq!(
                now.allocations() - counts.allocations(),
                now.frees() - counts.frees()
            );
            if moved != pointer {
                // What it left behind is free, and known to be.
                give_back(&heap, pointer, layout(old, align));
                let kinds: Vec<MisuseKind> = seen().iter().map(|misuse| misuse.kind).collect();
                assert_eq!(kinds, [MisuseKind::DoubleFree]);
            }
            give_back(&heap, moved, layout(new, align));
            for object in before.into_iter().chain(behind) {
                object.free(&heap);
            }
        }
        assert_eq!(seen(), []);
        assert_empty(&heap);
    }
}

#[test]
fn a_stack_that_loses_its_last_object_to_another_size_goes_home() {
    for (old, new) in [
        (16, 200),
        (200, 16),
        (64, 300),
        (300, 64),
        (128, 256),
        (256, 128),
    ] {
        let heap = watched_heap();
        let mut object = Object::new(&heap, layout(old, 8), 1);
        let keeper = Object::new(&heap, layout(new, 8), 2);
        for (round, size) in [new, old, new, old, new].into_iter().enumerate() {
            let fill = u8::try_from(round + 3).expect("small");
            assert!(object.resize(&heap, size, fill));
            assert_sound(&heap);
        }
        let classes = heap.statistics().classes;
        let old_class = classes.iter().find(|class| class.chunk_size >= old);
        assert_eq!(old_class.map(|class| class.chunks_used), Some(0));
        object.free(&heap);
        keeper.free(&heap);
        assert_empty(&heap);
    }
}

#[test]
fn many_objects_grow_and_shrink_by_turns() {
    let heap = watched_heap();
    let mut numbers = Numbers::new(11);
    let mut objects: Vec<Object> = (0..300)
        .map(|_| Object::new(&heap, layout(numbers.size(8), 8), 9))
        .collect();
    for round in 0..if cfg!(miri) { 100 } else { 20_000 } {
        let number = numbers.below(objects.len());
        let fill = u8::try_from(round % 251).expect("small");
        let size = numbers.size(9);
        assert!(objects[number].resize(&heap, size, fill));
        if round % 500 == 0 {
            assert_sound(&heap);
            assert_apart(&objects);
        }
    }
    let requested: usize = objects.iter().map(|object| object.layout().size()).sum();
    assert_eq!(heap.statistics().bytes_requested, requested);
    for object in objects {
        object.free(&heap);
    }
    assert_eq!(seen(), []);
    assert_empty(&heap);
}

/// Returns what a wrong free of `pointer` is called.
#[track_caller]
fn refused_free(heap: &Heap, pointer: *mut u8, layout: Layout) -> Misuse {
    give_back(heap, pointer, layout);
    let [misuse] = seen()[..] else {
        panic!("a free of {pointer:?} as {layout:?} is not refused");
    };
    misuse
}

/// Asserts that `realloc` of a wrong pointer, to any size, is called just what a free is, and changes nothing.
#[track_caller]
fn assert_refused_alike(heap: &Heap, pointer: *mut u8, layout: Layout) {
    let misuse = refused_free(heap, pointer, layout);
    let before = heap.statistics();
    for new_size in SIZES.into_iter().chain([layout.size(), 20_000, 300_000]) {
        let moved = reallocate(heap, pointer, layout, new_size);
        assert!(moved.is_null(), "{layout:?} to {new_size}: {misuse}");
        assert_eq!(seen(), [misuse], "{layout:?} to {new_size}");
        assert_eq!(heap.statistics(), before, "{layout:?} to {new_size}");
    }
}

#[test]
fn wrong_pointers_are_called_what_a_free_calls_them() {
    let heap = watched_heap();
    // Every size has a chunk at hand, so that whatever the size is, there is a place to move to.
    let at_hand: Vec<Object> = SIZES
        .map(|size| Object::new(&heap, layout(size, 8), 1))
        .into();
    for size in SIZES {
        let asked = layout(size, 8);
        let [object, freed] = [2, 3].map(|fill| Object::new(&heap, asked, fill));
        let pointer = object.pointer();
        // Free, with others of its stack taken.
        let gone = freed.pointer();
        freed.free(&heap);
        assert_refused_alike(&heap, gone, asked);
        // Inside an object, and before it.
        for offset in [1, 8, 16, 24, 64] {
            assert_refused_alike(&heap, pointer.wrapping_add(offset + size / 16 * 16), asked);
            if offset < size {
                assert_refused_alike(&heap, pointer.wrapping_add(offset), asked);
            }
        }
        // Of another size, or alignment.
        for other in [1, 16, 32, 48, 64, 80, 256, 320, 1024, 4096, 20_000, 300_000] {
            let classes = [size, other].map(|size| {
                let object = Object::new(&heap, layout(size, 8), 4);
                let place = heap.what_is(object.pointer().addr()).object();
                object.free(&heap);
                place.map(|object| object.size)
            });
            if classes[0] != classes[1] {
                assert_refused_alike(&heap, pointer, layout(other, 8));
            }
        }
        assert_refused_alike(&heap, pointer, layout(size, 8192));
        object.assert_intact();
        object.free(&heap);
        assert_sound(&heap);
    }
    let mut on_call_stack = [0_u8; 64];
    for wrong in [core::ptr::null_mut(), on_call_stack.as_mut_ptr()] {
        for size in SIZES {
            assert_refused_alike(&heap, wrong, layout(size, 8));
        }
    }
    for object in at_hand {
        object.free(&heap);
    }
    assert_empty(&heap);
}

#[test]
fn the_only_object_of_a_stack_that_is_free_is_not_moved() {
    let heap = watched_heap();
    let keepers: Vec<Object> = SIZES
        .map(|size| Object::new(&heap, layout(size, 8), 1))
        .into();
    for size in [72, 352, 700, 1100] {
        let asked = layout(size, 8);
        let object = Object::new(&heap, asked, 1);
        let pointer = object.pointer();
        object.free(&heap);
        // Its stack is kept as the spare; then its page is free; then its block is gone.
        assert_refused_alike(&heap, pointer, asked);
        heap.trim();
        assert_refused_alike(&heap, pointer, asked);
    }
    for object in keepers {
        object.free(&heap);
    }
    heap.trim();
    assert_empty(&heap);
}

#[test]
fn a_wrong_pointer_is_reported_whatever_the_new_size() {
    let heap = watched_heap();
    let asked = layout(40, 8);
    let keeper = Object::new(&heap, asked, 1);
    let object = Object::new(&heap, asked, 2);
    let pointer = object.pointer();
    object.free(&heap);
    let misuse = refused_free(&heap, pointer, asked);
    for new_size in [isize::MAX as usize, usize::MAX - 7, usize::MAX] {
        assert!(reallocate(&heap, pointer, asked, new_size).is_null());
        assert_eq!(seen(), [misuse], "to {new_size:#x}");
    }
    keeper.free(&heap);
    assert_empty(&heap);
}

//! The heap without a lock, several heaps side by side, and sources that are not to be shared.

mod common;

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::NonNull;
use std::thread;

use common::{CountingSource, Numbers, Object, assert_empty, heap, layout, remember, seen};
use stack_alloc::{
    AllocError, Allocator, BLOCK_SIZE, Heap, MemorySource, MisuseKind, NoMemory, PAGE_SIZE,
};

/// An object of an unlocked heap.
type Live = (NonNull<u8>, Layout);

/// Returns an unlocked heap whose source gives at most `limit` bytes at a time.
fn unlocked(limit: usize) -> Heap<CountingSource> {
    Heap::new(CountingSource::new(limit))
}

/// Frees `object`, rightly.
#[track_caller]
fn free(heap: &mut Heap<CountingSource>, (pointer, layout): Live) {
    // SAFETY: the object is live with this layout, and nobody uses it any more.
    let freed = unsafe { heap.deallocate(pointer, layout) };
    freed.expect("a right free");
}

#[test]
fn with_and_without_a_lock_the_same_stream_leads_to_the_same_numbers() {
    for limit in [1 << 20, 64 << 20] {
        let (mut bare, locked) = (unlocked(limit), heap(limit));
        let mut numbers = Numbers::new(17);
        let mut live: Vec<(Live, Object)> = Vec::new();
        for step in 0..20_000 {
            if numbers.below(5) < 3 {
                let layout = layout(numbers.size(16), 1 << numbers.below(13));
                let (ours, theirs) = (bare.allocate(layout), Object::try_new(&locked, layout, 1));
                assert_eq!(ours.is_ok(), theirs.is_some());
                live.extend(ours.ok().map(|pointer| (pointer, layout)).zip(theirs));
            } else if let Some((ours, theirs)) = numbers.pick(&mut live) {
                free(&mut bare, ours);
                theirs.free(&locked);
            }
            if step % 1000 == 0 {
                assert_eq!(bare.statistics(), locked.statistics());
                bare.check().expect("sound");
            }
        }
        let mut walked: Vec<_> = bare.live_objects().map(|object| object.address).collect();
        let mut expected: Vec<_> = live
            .iter()
            .map(|((pointer, _), _)| pointer.addr().get())
            .collect();
        walked.sort_unstable();
        expected.sort_unstable();
        assert_eq!(walked, expected);
        for (ours, theirs) in live {
            free(&mut bare, ours);
            theirs.free(&locked);
        }
        assert_empty(&locked);
        bare.trim();
        assert_eq!(bare.source().pieces_out(), 0);
    }
}

#[test]
fn a_wrong_free_is_an_error_and_changes_nothing() {
    let mut heap = unlocked(1 << 20);
    let small = layout(40, 8);
    let object = heap.allocate(small).expect("there is memory");
    let before = heap.statistics();
    for (pointer, layout, kind) in [
        (object, layout(400, 8), MisuseKind::WrongSize),
        (NonNull::from(&small).cast(), small, MisuseKind::Foreign),
    ] {
        // SAFETY: none: the heap promises to notice.
        let misuse = unsafe { heap.deallocate(pointer, layout) }.expect_err("it is wrong");
        assert_eq!(
            (misuse.kind, misuse.place),
            (kind, heap.what_is(pointer.addr().get()))
        );
        // SAFETY: likewise.
        let misuse = unsafe { heap.resize(pointer, layout, 50) }.expect_err("it is wrong");
        assert_eq!(misuse.kind, kind);
    }
    assert_eq!(heap.statistics(), before);
    free(&mut heap, (object, small));
}

#[test]
fn an_object_is_resized_where_it_stands_or_not_at_all() {
    let mut heap = unlocked(4 << 20);
    let (before, after) = (layout(5 * PAGE_SIZE, 8), layout(9 * PAGE_SIZE, 8));
    let object = heap.allocate(before).expect("there is memory");
    // SAFETY: the object is live with this layout.
    let grown = unsafe { heap.resize(object, before, after.size()) };
    assert_eq!(grown, Ok(Some(object)));
    // SAFETY: the object is live with the new layout.
    let moved = unsafe { heap.resize(object, after, 40) };
    assert_eq!(moved, Ok(None), "another kind of memory serves so little");
    free(&mut heap, (object, after));
    heap.trim();
    assert_eq!(heap.source().pieces_out(), 0);
}

#[test]
fn the_reserve_is_for_those_who_say_that_it_is_urgent() {
    let mut heap = unlocked(2 * BLOCK_SIZE);
    assert_eq!(heap.set_reserve(1), 1);
    let page = layout(20 * PAGE_SIZE, 8);
    let mut live: Vec<Live> = Vec::new();
    while let Ok(object) = heap.allocate(page) {
        live.push((object, page));
    }
    assert_eq!(heap.statistics().failures, 1);
    let urgent = heap
        .allocate_urgently(page)
        .expect("that is what it is for");
    live.push((urgent, page));
    for object in live {
        free(&mut heap, object);
    }
    assert_eq!(heap.statistics().blocks_reserved, 1, "filled up again");
    assert_eq!(heap.set_reserve(0), 0);
    heap.trim();
    assert_eq!(heap.source().pieces_out(), 0);
}

/// A source that gives a misaligned block.
struct Crooked;

// SAFETY: it is none: breaking the promise is what it is for.
unsafe impl MemorySource for Crooked {
    fn get_block(&self) -> Option<NonNull<u8>> {
        Some(NonNull::<u64>::dangling().cast())
    }

    unsafe fn release_block(&self, _: NonNull<u8>) {}
}

#[test]
fn a_fault_of_the_source_waits_to_be_asked_for() {
    let mut heap = Heap::new(Crooked);
    assert_eq!(heap.take_source_misuse(), None);
    assert_eq!(heap.allocate(layout(8, 8)), Err(AllocError));
    let misuse = heap.take_source_misuse().expect("there was one");
    assert_eq!(misuse.kind, MisuseKind::SourceMisaligned);
    assert_eq!(heap.take_source_misuse(), None, "told once");
    assert_eq!(Heap::new(NoMemory).allocate(layout(8, 8)), Err(AllocError));
}

/// A source that is not to be shared: it counts in a `Cell`.
struct Counts {
    inner: CountingSource,
    blocks: Cell<usize>,
}

// SAFETY: what `CountingSource` promises.
unsafe impl MemorySource for Counts {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.blocks.set(self.blocks.get() + 1);
        self.inner.get_block()
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        self.blocks.set(self.blocks.get() - 1);
        // SAFETY: the caller's promise.
        unsafe { self.inner.release_block(block) };
    }
}

#[test]
fn a_source_that_is_not_to_be_shared_serves_threads_through_the_lock() {
    let heap: Allocator<Counts> = Allocator::new(Counts {
        inner: CountingSource::new(64 << 20),
        blocks: Cell::new(0),
    });
    thread::scope(|scope| {
        for seed in 0..4 {
            let heap = &heap;
            scope.spawn(move || {
                let mut numbers = Numbers::new(seed);
                for _ in 0..50 {
                    let sizes: Vec<_> = (0..50).map(|_| numbers.size(14)).collect();
                    let objects: Vec<_> = sizes
                        .iter()
                        .map(|size| Object::new(heap, layout(*size, 8), 1))
                        .collect();
                    heap.trim();
                    for object in objects {
                        object.free(heap);
                    }
                }
            });
        }
    });
    heap.check().expect("sound");
    assert_eq!(
        heap.with_source(|source| source.blocks.get()),
        heap.statistics().blocks
    );
    heap.trim();
    assert_eq!(heap.with_source(|source| source.blocks.get()), 0);
}

#[test]
fn heaps_side_by_side_do_not_know_each_other() {
    let heaps: Vec<_> = (0..5).map(|_| heap(8 << 20)).collect();
    for heap in &heaps {
        heap.set_misuse_handler(remember);
    }
    let objects: Vec<_> = heaps
        .iter()
        .map(|heap| Object::new(heap, layout(100, 8), 1))
        .collect();
    for (mine, object) in objects.iter().enumerate() {
        for (other, heap) in heaps.iter().enumerate() {
            let is_known = heap.what_is(object.pointer().addr()).object().is_some();
            assert_eq!(is_known, mine == other);
        }
    }
    for (heap, object) in heaps.iter().zip(objects) {
        object.free(heap);
        assert_empty(heap);
    }
    assert_eq!(seen(), []);
}

//! What the heap's tests share: memory sources that count and can say no, and objects that know their contents.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod arena;
pub(crate) mod chosen_cpu;
pub(crate) mod counting_source;
pub(crate) mod fixed_memory;
pub(crate) mod heap_under_test;
pub(crate) mod program;
pub(crate) mod wrong_frees;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::RefCell;
use core::ops::Range;
use core::time::Duration;
use std::sync::mpsc;
use std::thread;

use stack_alloc::{Allocator, BLOCK_SIZE, Misuse};

pub(crate) use counting_source::CountingSource;
use heap_under_test::Counted;
pub(crate) use heap_under_test::HeapUnderTest;

/// The heap under test.
pub(crate) type Heap = Allocator<CountingSource>;

/// Creates a heap whose source gives at most `limit` bytes at a time.
pub(crate) const fn heap(limit: usize) -> Heap {
    Allocator::new(CountingSource::new(limit))
}

/// A heap of any kind over a [`CountingSource`].
pub(crate) trait CountedHeap: HeapUnderTest<Source = CountingSource> {}

impl<H: HeapUnderTest<Source = CountingSource>> CountedHeap for H {}

/// Creates a heap of any kind whose source gives at most `limit` bytes at a time.
pub(crate) fn heap_of<H: CountedHeap>(limit: usize) -> H {
    H::over(CountingSource::new(limit))
}

/// Makes tests of functions that take a kind of heap over a source: each is run on a heap with one lock, and on one of shards.
#[macro_export]
macro_rules! on_every_heap {
    ($source:ty: $($name:ident),* $(,)?) => {
        mod with_one_lock {
            use super::*;
            $(
                #[test]
                fn $name() {
                    super::$name::<stack_alloc::Allocator<$source>>();
                }
            )*
        }

        mod of_shards {
            use super::*;
            $(
                #[test]
                fn $name() {
                    super::$name::<common::heap_under_test::ShardedHeap<$source, 2>>();
                }
            )*
        }
    };
}

/// Returns the byte that the `number`-th of some objects is filled with.
pub(crate) fn byte(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

/// Returns the layout of `size` bytes aligned to `align`.
#[track_caller]
pub(crate) fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

/// Asserts that every invariant of `heap` holds, and that it holds as much as its source gave.
#[track_caller]
pub(crate) fn assert_sound(heap: &impl HeapUnderTest) {
    heap.check().expect("the heap is sound");
    let statistics = heap.statistics();
    assert_eq!(statistics.bytes_held, heap.source().bytes_out());
    assert!(statistics.bytes_held_peak >= statistics.bytes_held);
    assert!(statistics.bytes_requested_peak >= statistics.bytes_requested);
}

/// Asserts that `heap`, in which nothing is live, has given its memory back.
#[track_caller]
pub(crate) fn assert_empty<H: HeapUnderTest>(heap: &H) {
    assert_sound(heap);
    let statistics = heap.statistics();
    assert_eq!(statistics.bytes_used, 0);
    assert_eq!(statistics.regions.bytes, 0);
    assert!(statistics.blocks <= H::MOST_KEPT);
    assert!(heap.source().bytes_out() <= H::MOST_KEPT * BLOCK_SIZE);
    assert_empty_after_trim(heap);
}

/// Asserts that `heap`, in which nothing is live, gives its memory back when it is told to.
#[track_caller]
pub(crate) fn assert_empty_after_trim(heap: &impl HeapUnderTest) {
    assert_sound(heap);
    let statistics = heap.statistics();
    assert_eq!(statistics.live(), 0);
    assert_eq!(statistics.bytes_requested, 0);
    heap.trim();
    assert_sound(heap);
    assert_eq!(heap.statistics().bytes_used, 0);
    assert_eq!(heap.source().pieces_out(), 0, "not all went back");
}

/// A live object that is full of one byte, and knows which.
///
/// It must be freed to the heap that it came from, or be forgotten: dropping it does nothing.
#[derive(Debug)]
pub(crate) struct Object {
    pointer: *mut u8,
    layout: Layout,
    fill: u8,
}

impl Object {
    /// Allocates and fills an object. `None` when the heap answers null.
    #[track_caller]
    pub(crate) fn try_new(heap: &impl GlobalAlloc, layout: Layout, fill: u8) -> Option<Self> {
        let object = Self {
            pointer: allocate(heap, layout),
            layout,
            fill,
        };
        if object.pointer.is_null() {
            return None;
        }
        assert!(object.is_aligned(), "misaligned: {object:?}");
        object.refill(fill)
    }

    /// Allocates and fills an object.
    #[track_caller]
    pub(crate) fn new(heap: &impl GlobalAlloc, layout: Layout, fill: u8) -> Self {
        Self::try_new(heap, layout, fill).expect("there is memory")
    }

    /// Allocates an object that the heap clears, asserts that it did, and fills it. `None` when the heap answers null.
    #[track_caller]
    pub(crate) fn try_zeroed(heap: &impl GlobalAlloc, layout: Layout, fill: u8) -> Option<Self> {
        // SAFETY: an empty layout is no harm to a heap that promises to take any.
        let pointer = unsafe { heap.alloc_zeroed(layout) };
        let object = Self {
            pointer,
            layout,
            fill: 0,
        };
        if pointer.is_null() {
            return None;
        }
        assert!(object.is_aligned(), "misaligned: {object:?}");
        object.assert_intact();
        object.refill(fill)
    }

    /// Fills the object.
    fn refill(mut self, fill: u8) -> Option<Self> {
        self.fill = fill;
        // SAFETY: the object is live and has that many bytes.
        unsafe { self.pointer.write_bytes(fill, self.layout.size()) };
        Some(self)
    }

    /// Returns the first byte.
    pub(crate) const fn pointer(&self) -> *mut u8 {
        self.pointer
    }

    /// Returns the layout.
    pub(crate) const fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns the addresses of its bytes.
    pub(crate) fn range(&self) -> Range<usize> {
        self.pointer.addr()..self.pointer.addr() + self.layout.size()
    }

    /// Returns the bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the object is live, and all its bytes were written when it was made.
        unsafe { core::slice::from_raw_parts(self.pointer, self.layout.size()) }
    }

    /// Asserts that nobody wrote to it.
    #[track_caller]
    pub(crate) fn assert_intact(&self) {
        self.assert_starts_intact(self.layout.size());
    }

    /// Asserts that nobody wrote to its first `len` bytes.
    #[track_caller]
    fn assert_starts_intact(&self, len: usize) {
        let bytes = &self.bytes()[..len];
        let Some((first, rest)) = bytes.split_first() else {
            return;
        };
        // Each byte like the one before it: one comparison of memory, where a loop takes seconds for megabytes.
        let intact = *first == self.fill && *rest == bytes[..rest.len()];
        assert!(intact, "contents changed: {self:?}");
    }

    /// Changes the size, asserts that the contents came along, and fills the object anew.
    /// `false`, with the object as it was, when the heap answers null.
    #[track_caller]
    pub(crate) fn resize(&mut self, heap: &impl GlobalAlloc, size: usize, fill: u8) -> bool {
        self.assert_intact();
        let pointer = reallocate(heap, self.pointer, self.layout, size);
        if pointer.is_null() {
            self.assert_intact();
            return false;
        }
        let kept = self.layout.size().min(size);
        self.pointer = pointer;
        self.layout = layout(size, self.layout.align());
        assert!(self.is_aligned(), "misaligned: {self:?}");
        self.assert_starts_intact(kept);
        self.fill = fill;
        // SAFETY: the object is live and has that many bytes.
        unsafe { self.pointer.write_bytes(fill, size) };
        true
    }

    /// Asserts that it is intact and frees it.
    #[track_caller]
    pub(crate) fn free(self, heap: &impl GlobalAlloc) {
        self.assert_intact();
        give_back(heap, self.pointer, self.layout);
    }

    /// Returns whether it stands where its layout wants it to.
    fn is_aligned(&self) -> bool {
        self.pointer.addr() % self.layout.align() == 0
    }
}

// SAFETY: an object is memory that nobody else uses, wherever it goes.
unsafe impl Send for Object {}

/// Asks `heap` for memory.
pub(crate) fn allocate(heap: &impl GlobalAlloc, layout: Layout) -> *mut u8 {
    // SAFETY: an empty layout is no harm to a heap that promises to take any.
    unsafe { heap.alloc(layout) }
}

/// Gives `pointer` back to `heap`, rightly or wrongly.
pub(crate) fn give_back(heap: &impl GlobalAlloc, pointer: *mut u8, layout: Layout) {
    // SAFETY: either this is an object that the caller does not use any more, or the heap promises to refuse it.
    unsafe { heap.dealloc(pointer, layout) };
}

/// Asks `heap` to change the size of what is at `pointer`, rightly or wrongly.
pub(crate) fn reallocate(
    heap: &impl GlobalAlloc,
    pointer: *mut u8,
    layout: Layout,
    size: usize,
) -> *mut u8 {
    // SAFETY: either this is an object that the caller gives up, or the heap promises to refuse it.
    unsafe { heap.realloc(pointer, layout, size) }
}

/// Runs `work` in a thread of its own and fails if it takes longer than 20 seconds: what waits for a lock that it
/// holds, or loops without end, shall fail and not hang.
#[track_caller]
pub(crate) fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        work();
        // Nobody waits any more after a time-out.
        let _ = done.send(());
    });
    match wait.recv_timeout(Duration::from_secs(20)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it takes too long"),
        _ => thread.join().expect("the work was done"),
    }
}

thread_local! {
    /// What [`remember`] was called with on this thread.
    static SEEN: RefCell<Vec<Misuse>> = const { RefCell::new(Vec::new()) };
}

/// A handler for wrong frees that writes them down, for [`seen`].
pub(crate) fn remember(misuse: Misuse) {
    SEEN.with_borrow_mut(|seen| seen.push(misuse));
}

/// Returns the wrong frees seen on this thread since the last call.
pub(crate) fn seen() -> Vec<Misuse> {
    SEEN.take()
}

/// Asserts that no two objects share a byte.
#[track_caller]
pub(crate) fn assert_apart<'a>(objects: impl IntoIterator<Item = &'a Object>) {
    let mut ranges: Vec<_> = objects.into_iter().map(Object::range).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    for pair in ranges.windows(2) {
        assert!(
            pair[0].end <= pair[1].start,
            "live objects overlap: {pair:x?}"
        );
    }
}

/// A small generator of numbers that look random (xorshift), the same for the same seed.
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    /// Creates a generator.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns the next number, below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).expect("48 bits") % limit
    }

    /// Returns a size of 1 byte up to `2 << log`, spread over its logarithm.
    pub(crate) fn size(&mut self, log: u32) -> usize {
        let base = 1 << self.below(log as usize + 1);
        base + self.below(base)
    }

    /// Takes an object out of `objects` at random.
    pub(crate) fn pick<T>(&mut self, objects: &mut Vec<T>) -> Option<T> {
        if objects.is_empty() {
            return None;
        }
        let index = self.below(objects.len());
        Some(objects.swap_remove(index))
    }
}

//! What the heap's tests share: a memory source that counts and can say no, and objects that know their contents.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod arena;
pub(crate) mod fixed_memory;
pub(crate) mod program;
pub(crate) mod wrong_frees;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::RefCell;
use core::ops::Range;
use core::ptr::NonNull;
use core::time::Duration;
use std::alloc::System;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use stack_alloc::{Allocator, BLOCK_SIZE, KEPT_BLOCKS, MemorySource, Misuse, PAGE_SIZE};

/// The heap under test.
pub(crate) type Heap = Allocator<CountingSource>;

/// Creates a heap whose source gives at most `limit` bytes at a time.
pub(crate) const fn heap(limit: usize) -> Heap {
    Allocator::new(CountingSource::new(limit))
}

/// Returns the layout of `size` bytes aligned to `align`.
#[track_caller]
pub(crate) fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

/// Asserts that every invariant of `heap` holds, and that it holds as much as its source gave.
#[track_caller]
pub(crate) fn assert_sound(heap: &Heap) {
    heap.check().expect("the heap is sound");
    let statistics = heap.statistics();
    assert_eq!(statistics.bytes_held, heap.source().bytes_out());
    assert!(statistics.bytes_held_peak >= statistics.bytes_held);
    assert!(statistics.bytes_requested_peak >= statistics.bytes_requested);
}

/// Asserts that `heap`, in which nothing is live, has given its memory back.
#[track_caller]
pub(crate) fn assert_empty(heap: &Heap) {
    assert_sound(heap);
    let statistics = heap.statistics();
    assert_eq!(statistics.live(), 0);
    assert_eq!(statistics.bytes_requested, 0);
    assert_eq!(statistics.bytes_used, 0);
    assert_eq!(statistics.regions.bytes, 0);
    assert!(statistics.blocks <= KEPT_BLOCKS);
    assert!(heap.source().bytes_out() <= KEPT_BLOCKS * BLOCK_SIZE);
    heap.trim();
    assert_sound(heap);
    assert_eq!(heap.source().pieces_out(), 0, "not all went back");
}

/// What a [`CountingSource`] has out, by address, and what it may still give.
#[derive(Debug)]
struct Ledger {
    /// Size and alignment of everything handed out and not returned.
    out: BTreeMap<NonNull<u8>, Layout>,
    /// Bytes in `out`.
    bytes_out: usize,
    /// Bytes that may still be handed out.
    left: usize,
    /// How often it was asked.
    requests: usize,
    /// The request to answer with "no", counted from 1; 0 for none.
    refused: usize,
}

// SAFETY: its pointers are numbers to look up by, and memory to give back when nobody uses it any more.
unsafe impl Send for Ledger {}

/// A source over the host's allocator with a limit in bytes, which panics on a wrong release.
#[derive(Debug)]
pub(crate) struct CountingSource(Mutex<Ledger>);

impl CountingSource {
    /// Creates a source that gives at most `limit` bytes at a time.
    pub(crate) const fn new(limit: usize) -> Self {
        Self(Mutex::new(Ledger {
            out: BTreeMap::new(),
            bytes_out: 0,
            left: limit,
            requests: 0,
            refused: 0,
        }))
    }

    /// Returns the bytes that are out.
    pub(crate) fn bytes_out(&self) -> usize {
        self.ledger().bytes_out
    }

    /// Returns the number of blocks and regions that are out.
    pub(crate) fn pieces_out(&self) -> usize {
        self.ledger().out.len()
    }

    /// Returns the addresses of the blocks and regions that are out, lowest first.
    pub(crate) fn addresses(&self) -> Vec<usize> {
        let ledger = self.ledger();
        ledger.out.keys().map(|piece| piece.addr().get()).collect()
    }

    /// Returns whether `address` lies in a block or region that is out.
    pub(crate) fn owns(&self, address: usize) -> bool {
        let ledger = self.ledger();
        let mut pieces = ledger.out.iter();
        pieces.any(|(piece, layout)| {
            (piece.addr().get()..piece.addr().get() + layout.size()).contains(&address)
        })
    }

    /// Returns how often the source was asked for a block or region.
    pub(crate) fn requests(&self) -> usize {
        self.ledger().requests
    }

    /// Returns how many bytes may still be handed out.
    pub(crate) fn left(&self) -> usize {
        self.ledger().left
    }

    /// Changes how many more bytes may be handed out.
    pub(crate) fn set_left(&self, left: usize) {
        self.ledger().left = left;
    }

    /// Makes the `number`-th request from the first one on, and that one alone, fail.
    pub(crate) fn refuse(&self, number: usize) {
        self.ledger().refused = number;
    }

    /// Returns whether a request has been refused since there had been `requests` of them.
    pub(crate) fn has_refused_since(&self, requests: usize) -> bool {
        let ledger = self.ledger();
        (requests + 1..=ledger.requests).contains(&ledger.refused)
    }

    /// Locks the ledger, even after a test has failed while it was locked.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands out memory and writes it down.
    fn give(&self, layout: Layout) -> Option<NonNull<u8>> {
        let mut ledger = self.ledger();
        ledger.requests += 1;
        if ledger.requests == ledger.refused {
            return None;
        }
        let left = ledger.left.checked_sub(layout.size())?;
        // SAFETY: `layout` is not empty: blocks are 256 KiB, regions at least a page.
        let memory = NonNull::new(unsafe { System.alloc(layout) })?;
        ledger.left = left;
        ledger.bytes_out += layout.size();
        ledger.out.insert(memory, layout);
        Some(memory)
    }

    /// Takes memory back, its first bytes filled with rubbish so that stale reads show.
    #[track_caller]
    fn take(&self, memory: NonNull<u8>, size: usize) {
        let mut ledger = self.ledger();
        let layout = ledger
            .out
            .remove(&memory)
            .expect("released what is not out");
        assert_eq!(layout.size(), size, "released with another size");
        ledger.left += size;
        ledger.bytes_out -= size;
        // SAFETY: the ledger says that `memory` is `size` bytes from `System`, and nobody uses them any more.
        unsafe { memory.write_bytes(0xdd, size.min(BLOCK_SIZE)) };
        // SAFETY: the ledger says that `memory` came from `System` with `layout`.
        unsafe { System.dealloc(memory.as_ptr(), layout) };
    }
}

impl Drop for CountingSource {
    /// Takes back what a heap that is dropped with live objects still holds.
    fn drop(&mut self) {
        let out = core::mem::take(&mut self.ledger().out);
        for (memory, layout) in out {
            // SAFETY: the ledger says that this came from `System` with `layout`; the heap that used it is gone.
            unsafe { System.dealloc(memory.as_ptr(), layout) };
        }
    }
}

// SAFETY: memory comes from the host's allocator, valid, exclusive and aligned as asked.
unsafe impl MemorySource for CountingSource {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.give(layout(BLOCK_SIZE, BLOCK_SIZE))
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        self.take(block, BLOCK_SIZE);
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        self.give(Layout::from_size_align(size, align).ok()?)
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        self.take(region, size);
    }

    fn largest_region(&self) -> usize {
        self.ledger().left / PAGE_SIZE * PAGE_SIZE
    }
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

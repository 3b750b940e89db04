//! A memory source for tests: counts what it gives, and can say no.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Mutex;

use stack_alloc::{BLOCK_SIZE, MemorySource, PAGE_SIZE};

/// What a [`CountingSource`] has out, by address, and what it may still give.
#[derive(Debug)]
struct Ledger {
    /// Size and alignment of everything handed out and not returned.
    out: BTreeMap<usize, Layout>,
    /// Bytes that may still be handed out.
    left: usize,
}

/// A source over the host's allocator with a limit in bytes, which panics on a wrong release.
#[derive(Debug)]
pub struct CountingSource(Mutex<Ledger>);

impl CountingSource {
    /// Creates a source that gives at most `limit` bytes at a time.
    pub const fn new(limit: usize) -> Self {
        Self(Mutex::new(Ledger {
            out: BTreeMap::new(),
            left: limit,
        }))
    }

    /// Returns the bytes that are out.
    pub fn bytes_out(&self) -> usize {
        self.0
            .lock()
            .unwrap()
            .out
            .values()
            .map(|layout| layout.size())
            .sum()
    }

    /// Returns the number of blocks and regions that are out.
    pub fn pieces_out(&self) -> usize {
        self.0.lock().unwrap().out.len()
    }

    /// Changes how many more bytes may be handed out.
    pub fn set_left(&self, left: usize) {
        self.0.lock().unwrap().left = left;
    }

    /// Hands out memory and writes it down.
    fn give(&self, layout: Layout) -> Option<NonNull<u8>> {
        let mut ledger = self.0.lock().unwrap();
        ledger.left = ledger.left.checked_sub(layout.size())?;
        // SAFETY: `layout` is not empty: blocks are 256 KiB, regions at least a page.
        let memory = NonNull::new(unsafe { System.alloc(layout) })?;
        ledger.out.insert(memory.addr().get(), layout);
        Some(memory)
    }

    /// Takes memory back, filled with rubbish so that stale reads show.
    #[track_caller]
    fn take(&self, memory: NonNull<u8>, size: usize) {
        let mut ledger = self.0.lock().unwrap();
        let layout = ledger
            .out
            .remove(&memory.addr().get())
            .expect("released what is not out");
        assert_eq!(layout.size(), size, "released with another size");
        ledger.left += size;
        // SAFETY: the ledger says that `memory` came from `System` with `layout`, and nobody uses it any more.
        unsafe {
            memory.write_bytes(0xdd, size);
            System.dealloc(memory.as_ptr(), layout);
        }
    }
}

// SAFETY: memory comes from the host's allocator, valid, exclusive and aligned as asked.
unsafe impl MemorySource for CountingSource {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.give(Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE).ok()?)
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
        self.0.lock().unwrap().left / PAGE_SIZE * PAGE_SIZE
    }
}

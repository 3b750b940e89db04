//! A whole program on the heap: `Box`, `Vec`, `String` and the runtime itself allocate here.
//!
//! Run with `make example NAME=global_allocator`. On a host the memory comes from the system's allocator; a kernel hands
//! out frames in its place, and gives a lock that masks interrupts as the second type parameter.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use std::alloc::System;
use std::collections::BTreeMap;

use stack_alloc::{Allocator, BLOCK_SIZE, MemorySource, PAGE_SIZE};

/// Blocks and regions from the host.
struct Host;

/// A block's.
const BLOCK: Layout = match Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE) {
    Ok(layout) => layout,
    Err(_) => panic!("a block is a valid layout"),
};

// SAFETY: `System` hands out memory that is valid, exclusive and aligned as asked.
unsafe impl MemorySource for Host {
    fn get_block(&self) -> Option<NonNull<u8>> {
        // SAFETY: the layout is not empty.
        NonNull::new(unsafe { System.alloc(BLOCK) })
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        // SAFETY: the block came from `get_block`.
        unsafe { System.dealloc(block.as_ptr(), BLOCK) }
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        // Who gives a region back does not say how it was aligned, and the host wants to know: so all are aligned alike.
        let layout = Layout::from_size_align(size, PAGE_SIZE).ok()?;
        if align > layout.align() {
            return None;
        }
        // SAFETY: a region has at least a page.
        NonNull::new(unsafe { System.alloc(layout) })
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        if let Ok(layout) = Layout::from_size_align(size, PAGE_SIZE) {
            // SAFETY: the region came from `get_region` with this size, and so with this layout.
            unsafe { System.dealloc(region.as_ptr(), layout) }
        }
    }
}

/// The program's heap.
#[global_allocator]
static HEAP: Allocator<Host> = Allocator::new(Host);

fn main() {
    let text = "the heap shows itself: the heap counts what the heap holds";
    let mut count = BTreeMap::new();
    for word in text.split_whitespace() {
        *count.entry(word.to_string()).or_insert(0) += 1;
    }
    assert_eq!(count["heap"], 3);
    let large = vec![0_u8; 3 << 20];

    println!("{}", HEAP.statistics());
    println!(
        "\nthe map's first key is {}",
        HEAP.what_is(address_of_key(&count))
    );
    println!(
        "the large vector is {}",
        HEAP.what_is(large.as_ptr().addr())
    );
    HEAP.check().expect("every invariant of the heap holds");
}

/// Returns the address of the first key's bytes.
fn address_of_key(map: &BTreeMap<String, i32>) -> usize {
    map.keys().next().map_or(0, |key| key.as_ptr().addr())
}

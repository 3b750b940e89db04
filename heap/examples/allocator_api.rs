//! Collections with a heap of their own: what belongs together lives, is counted and dies together.
//!
//! Run with `make example NAME=allocator_api`, on a nightly Rust.
#![feature(allocator_api, btreemap_alloc)]

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use std::alloc::System;
use std::collections::BTreeMap;

use stack_alloc::{Allocator, BLOCK_SIZE, MemorySource};

/// Blocks from the host.
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
}

fn main() {
    let names = Allocator::<Host>::new(Host);
    let numbers = Allocator::<Host>::new(Host);

    let mut by_name = BTreeMap::new_in(&names);
    let mut squares = Vec::new_in(&numbers);
    for number in 0..10_000_u64 {
        by_name.insert(number, Box::new_in(number.to_string(), &names));
        squares.push(number * number);
    }
    println!("names:   {} objects", names.statistics().live());
    println!("numbers: {} objects", numbers.statistics().live());
    assert_eq!(numbers.statistics().live(), 1, "one vector");
    assert!(names.statistics().live() > 10_000);

    drop(by_name);
    assert_eq!(names.statistics().live(), 0);
    assert_eq!(squares[99], 9801);
    println!(
        "names were dropped; the square of 99 is still {}",
        squares[99]
    );
}

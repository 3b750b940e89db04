//! The heap and the heap tests of a tutorial kernel, on `linked_list_allocator`: where they come from.
#![no_main]

use linked_list_allocator::LockedHeap;

include!("kernel.rs");

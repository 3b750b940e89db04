//! The heap and the heap tests of a tutorial kernel, on `stack_alloc`: nothing but the `use` line is different.
#![no_main]

use stack_alloc::LockedHeap;

include!("kernel.rs");

//! Running out of memory is an answer, and the system goes on.

use alloc::alloc::{alloc, realloc};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::alloc::Layout;

use kernel::memory::physical;
use kernel::testing::Test;
use kernel::tests;

use crate::heap::free_frames_trimmed;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "out_of_memory";
    too_large_a_request_is_null,
    try_reserve_is_an_error,
    failed_realloc_keeps_the_object,
    exhausted_memory_is_null_and_all_comes_back => Alone,
    infallible_allocation_panics => Panics("memory allocation of"),
};

fn too_large_a_request_is_null() {
    let all = usize::try_from(physical::statistics().total * 4096).expect("addresses have 64 bits");
    for size in [all + 1, 1 << 46, usize::MAX / 4, isize::MAX as usize] {
        let layout = Layout::from_size_align(size, 1).expect("a valid layout");
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc(layout) };
        assert!(memory.is_null(), "{size:#x} bytes cannot be had");
    }
    let align = Layout::from_size_align(1, 1 << 62).expect("a valid layout");
    // SAFETY: the size is not zero.
    assert!(unsafe { alloc(align) }.is_null());
}

fn try_reserve_is_an_error() {
    let mut bytes: Vec<u8> = alloc::vec![1, 2, 3];
    assert!(bytes.try_reserve(1 << 45).is_err());
    assert!(bytes.try_reserve(isize::MAX as usize - 10).is_err());
    assert_eq!(bytes, [1, 2, 3]);
}

fn failed_realloc_keeps_the_object() {
    let bytes = Box::new([7_u8; 100]);
    let pointer = Box::into_raw(bytes);
    // SAFETY: the pointer is a box's, of this layout; the new size is no overflow.
    let moved = unsafe { realloc(pointer.cast(), Layout::new::<[u8; 100]>(), 1 << 45) };
    assert!(moved.is_null());
    // SAFETY: a failed `realloc` leaves the object to us.
    let bytes = unsafe { Box::from_raw(pointer) };
    assert_eq!(*bytes, [7; 100]);
}

fn exhausted_memory_is_null_and_all_comes_back() {
    /// An object that keeps the one before.
    struct Link([u64; 60], Option<Box<Link>>);
    /// Makes an object where there is memory for it.
    fn try_link(number: u64, next: Option<Box<Link>>) -> Result<Box<Link>, Option<Box<Link>>> {
        // SAFETY: the size is not zero.
        let pointer = unsafe { alloc(Layout::new::<Link>()) }.cast::<Link>();
        if pointer.is_null() {
            return Err(next);
        }
        // SAFETY: memory of that layout, ours, and a box's layout is its value's.
        unsafe {
            pointer.write(Link([number; 60], next));
            Ok(Box::from_raw(pointer))
        }
    }
    let before = free_frames_trimmed();
    for _ in 0..2 {
        let (mut chain, mut count) = (None, 0_u64);
        chain = loop {
            match try_link(count, chain) {
                Ok(link) => chain = Some(link),
                Err(chain) => break chain,
            }
            count += 1;
        };
        assert!(
            physical::statistics().whole_blocks == 0,
            "null came too early"
        );
        assert!(Vec::<u8>::new().try_reserve(300_000).is_err());
        // Freed one by one: dropping a chain as a whole would recurse.
        while let Some(link) = chain {
            count -= 1;
            assert!(link.0 == [count; 60], "contents were lost");
            chain = link.1;
        }
        assert_eq!(count, 0);
        assert_eq!(free_frames_trimmed(), before);
    }
    assert_eq!(alloc::vec![3_u8; 100_000].len(), 100_000);
}

fn infallible_allocation_panics() {
    let mut bytes = Vec::<u8>::new();
    bytes.reserve_exact(1 << 45);
}

//! The heap that this is about, as a kernel has it: fixed memory, its default lock, every check and count.

use stack_alloc::LockedHeap;

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::heap::{Called, Heap};

/// For the list.
pub(super) const CONTENDER: Contender = Contender {
    name: "ours",
    about: "stack_alloc's LockedHeap",
    is_over_arena: true,
    make,
};

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make(memory: Memory) -> Box<dyn Heap> {
    let heap: LockedHeap = LockedHeap::empty();
    // SAFETY: the caller's promise.
    unsafe { heap.lock().init(memory.start.as_ptr(), memory.size) };
    Box::new(Called(heap))
}

//! `talc` 5 behind its own `TalcLock`, over a spin lock.

use talc::TalcLock;
use talc::source::Manual;

use crate::arena::Memory;
use crate::contenders::Contender;
use crate::heap::{Called, Heap};

/// For the list.
pub(super) const CONTENDER: Contender = Contender {
    name: "talc",
    about: "talc 5 in its TalcLock, with spin::Mutex",
    is_over_arena: true,
    make,
};

/// Makes one.
///
/// # Safety
///
/// As for [`Make`](super::Make).
unsafe fn make(memory: Memory) -> Box<dyn Heap> {
    let heap: TalcLock<spin::Mutex<()>, Manual> = TalcLock::new(Manual);
    // SAFETY: the caller's promise.
    let claimed = unsafe { heap.lock().claim(memory.start.as_ptr(), memory.size) };
    assert!(
        claimed.is_some(),
        "the memory is large enough for its books"
    );
    Box::new(Called(heap))
}

//! The heaps that are compared, by name.
//!
//! Each gets the same memory, and the lock that a kernel would put around it: a spin lock. `ours` and `floor` are always
//! there, the others with the features `peers` and `native_peers`. Those of the latter are whole processes' heaps: they map
//! memory for themselves, and keep a part of it for each thread without a lock.

#[cfg(feature = "peers")]
mod buddy;
#[cfg(feature = "peers")]
mod dlmalloc;
mod floor;
mod floors;
#[cfg(feature = "peers")]
mod frusa;
#[cfg(feature = "peers")]
mod linked_list;
mod native;
mod nothing;
mod ours;
#[cfg(feature = "peers")]
mod rlsf;
mod sharded;
#[cfg(feature = "peers")]
mod spinning;
mod system;
#[cfg(feature = "peers")]
mod talc;
#[cfg(feature = "peers")]
mod talc_mutex;

use crate::arena::Memory;
use crate::heap::Heap;

pub(crate) use sharded::ThisThread;

/// Makes a heap.
///
/// # Safety
///
/// As long as the heap is used, nobody else uses the memory.
pub type Make = unsafe fn(Memory) -> Box<dyn Heap>;

/// A heap that is compared.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// What it is called in tables and options.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Whether it uses the memory that it is given, and nothing else. Those of a process map their own.
    pub is_over_arena: bool,
    /// Makes one.
    pub make: Make,
}

/// Returns all that were built in, in the order of the tables' columns.
#[must_use]
pub fn all() -> Vec<Contender> {
    [
        &[ours::CONTENDER, sharded::CONTENDER][..],
        #[cfg(feature = "peers")]
        &[talc::CONTENDER],
        &[floor::CONTENDER],
        #[cfg(feature = "peers")]
        &[
            rlsf::CONTENDER,
            linked_list::CONTENDER,
            buddy::CONTENDER,
            dlmalloc::CONTENDER,
            frusa::CONTENDER,
        ],
        native::CONTENDERS,
        &[system::CONTENDER],
        &nothing::CONTENDERS,
    ]
    .concat()
}

/// Returns those that are compared where several threads share a heap, in the order of the table's rows. Some of them are of
/// use only there.
#[must_use]
pub fn for_threads() -> Vec<Contender> {
    [
        &[sharded::CONTENDER, ours::CONTENDER][..],
        #[cfg(feature = "peers")]
        &[talc::CONTENDER, talc_mutex::CONTENDER],
        &[floor::CONTENDER, floors::CONTENDER],
        native::CONTENDERS,
        &[system::CONTENDER],
    ]
    .concat()
}

/// Returns those whose instructions can be counted: a heap of a process is partly in the C library, whose instructions are not.
/// One of them is of use only there.
#[must_use]
pub fn for_counting() -> Vec<Contender> {
    let mut contenders = all();
    contenders.retain(|contender| contender.is_over_arena);
    contenders.push(sharded::CROSSING);
    contenders
}

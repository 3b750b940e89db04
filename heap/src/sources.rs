//! Ready-made sources of memory.
//!
//! ```text
//! NoMemory   always says no                              no_memory.rs
//! Fallback   asks one source, then another               fallback.rs
//! Regions    fixed memory in any number of ranges  ─┐    regions.rs
//! Region     one piece of it, for a `static`       ─┤    region.rs
//!                                                   ▼
//!            a range and its books: which pages are free memory_range.rs
//!            the arithmetic of that, without pointers    page_map.rs
//! ```
//!
//! They know nothing of the heap, and the heap nothing of them: between the two stands
//! [`MemorySource`](crate::MemorySource) alone.

mod fallback;
mod memory_range;
mod no_memory;
mod page_map;
mod region;
mod regions;

pub use fallback::Fallback;
pub use no_memory::NoMemory;
pub use region::Region;
pub use regions::{NoSuchEnd, Regions, TooSmall};

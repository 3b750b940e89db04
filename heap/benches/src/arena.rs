//! The memory that heaps get: all the same pages, one heap after the other.
//!
//! Mapped once, in pages of 2 MiB where the system has them (as a kernel maps its memory), and written before anybody
//! measures: so no page fault falls into a measurement, and no heap has better memory than another.

use core::ptr::NonNull;
use std::io;

use memmap2::{Advice, MmapMut, MmapOptions};

/// Where an arena begins: a multiple of this. That suits the system's large pages; and what a heap does with addresses, such
/// as sorting them, then depends on where in the arena they are, and not on where the system has put it.
const ALIGN: usize = 256 << 20;
/// A page.
const PAGE: usize = 4096;

/// Memory that is mapped.
#[derive(Debug)]
pub struct Arena {
    /// What was mapped. Given back to the system with it.
    _mapping: MmapMut,
    /// The whole of it.
    memory: Memory,
}

/// Contiguous memory for a heap.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The first byte.
    pub start: NonNull<u8>,
    /// How many bytes.
    pub size: usize,
}

impl Arena {
    /// Maps `size` bytes and writes to every page.
    ///
    /// # Errors
    ///
    /// When the system does not have them.
    pub fn new(size: usize) -> io::Result<Self> {
        let mut mapping = MmapOptions::new().len(size + ALIGN).map_anon()?;
        // A system without large pages maps small ones: slower for everybody alike.
        let _ = mapping.advise(Advice::HugePage);
        let skipped = mapping.as_ptr().align_offset(ALIGN);
        let used = &mut mapping[skipped..skipped + size];
        for page in used.chunks_mut(PAGE) {
            page[0] = 1;
        }
        let start = NonNull::from(used).cast();
        Ok(Self {
            _mapping: mapping,
            memory: Memory { start, size },
        })
    }

    /// Returns its first `size` bytes.
    ///
    /// One heap after the other uses them; whoever makes a heap from them promises that the one before is not used again.
    ///
    /// # Panics
    ///
    /// If it has fewer.
    #[must_use]
    pub fn first(&self, size: usize) -> Memory {
        assert!(
            size <= self.memory.size,
            "the arena has {} bytes",
            self.memory.size
        );
        Memory {
            size,
            ..self.memory
        }
    }

    /// Returns all of it, as [`first`](Self::first) does.
    #[must_use]
    pub fn whole(&self) -> Memory {
        self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGN, Arena};

    #[test]
    fn an_arena_is_aligned_and_writable_to_its_end() {
        let arena = Arena::new((6 << 20) + 4096).expect("8 MiB");
        let memory = arena.whole();
        assert_eq!(memory.start.addr().get() % ALIGN, 0);
        // SAFETY: the last byte is the arena's.
        let last = unsafe { memory.start.add(memory.size - 1) };
        // SAFETY: nobody else uses it.
        unsafe { last.write(1) };
        assert_eq!(arena.first(4096).size, 4096);
    }
}

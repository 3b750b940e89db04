//! Memory from the operating system, for a heap that serves one program.
//!
//! Blocks are cut from pieces of 32 MiB, mapped one at a time: the system gives a page its memory when it is first touched, so
//! what is mapped and not used costs nothing. A block that comes back waits for the next that is asked for. A region is a
//! mapping of its own; the system lets it grow and shrink where it stands.
//!
//! ```text
//!   ┌───────┬───────┬───────┬───────┬─ ─┬───────┐
//!   │ block │ block │ block │       │   │       │   a piece
//!   └───────┴───────┴───────┴───────┴─ ─┴───────┘
//!                           ▲ fresh             ▲ end
//! ```

use core::cell::Cell;
use core::ptr::{self, NonNull};

use stack_alloc::{BLOCK_SIZE, MemorySource};

use crate::mapping::{map_aligned, unmap};

/// Bytes of a piece.
const PIECE: usize = 32 << 20;

const _: () = assert!(PIECE.is_multiple_of(BLOCK_SIZE), "a piece is whole blocks");

/// A block that came back: in its first bytes stands which one came before.
struct Returned {
    /// The one that came back before it.
    before: Option<NonNull<Returned>>,
}

/// A source over anonymous mappings.
///
/// # Invariants
///
/// - From `fresh` to `end` are whole blocks, aligned, mapped, never handed out, and therefore 0.
/// - The blocks in the list that begins with `returned` were handed out and came back, and each has its [`Returned`].
#[derive(Debug)]
pub struct Mapped {
    /// The first block of the piece that was never handed out.
    fresh: Cell<*mut u8>,
    /// The end of the piece.
    end: Cell<*mut u8>,
    /// The block that came back last.
    returned: Cell<Option<NonNull<Returned>>>,
    /// Whether what was handed out last is 0.
    is_zeroed: Cell<bool>,
}

// SAFETY: what the pointers lead to belongs to the source alone, on whichever thread it is.
unsafe impl Send for Mapped {}

impl Mapped {
    /// Creates a source that has mapped nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            fresh: Cell::new(ptr::null_mut()),
            end: Cell::new(ptr::null_mut()),
            returned: Cell::new(None),
            is_zeroed: Cell::new(false),
        }
    }

    /// Takes the block that came back last.
    fn take_returned(&self) -> Option<NonNull<u8>> {
        let last = self.returned.get()?;
        // SAFETY: a block that came back has its `Returned` (invariant).
        let Returned { before } = unsafe { last.read() };
        self.returned.set(before);
        self.is_zeroed.set(false);
        Some(last.cast())
    }

    /// Cuts a block that was never handed out off the piece, or off a new one. `None` when the system has no more.
    fn cut(&self) -> Option<NonNull<u8>> {
        if self.fresh.get() == self.end.get() {
            let piece = map_aligned(PIECE, BLOCK_SIZE)?.as_ptr();
            self.fresh.set(piece);
            self.end.set(piece.wrapping_add(PIECE));
        }
        let block = self.fresh.get();
        // INVARIANT: a piece is whole blocks, and there was one before the end.
        self.fresh.set(block.wrapping_add(BLOCK_SIZE));
        self.is_zeroed.set(true);
        NonNull::new(block)
    }
}

// SAFETY: mapped memory is valid and this source's alone until it is unmapped; it has the size and alignment asked for; a
// block is handed out by `cut` once, and from then on only between coming back and being handed out again. New mappings
// are 0, and `is_zeroed` is about what was handed out last. Nothing unwinds.
unsafe impl MemorySource for Mapped {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.take_returned().or_else(|| self.cut())
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        let block = block.cast::<Returned>();
        let returned = Returned {
            before: self.returned.get(),
        };
        // SAFETY: the caller's promise: the block is a block of this source that nobody uses. It is aligned to far more.
        unsafe { block.write(returned) };
        self.returned.set(Some(block));
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        self.is_zeroed.set(true);
        map_aligned(size, align)
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        // SAFETY: the caller's promise: it came from `get_region`, and has that size.
        unsafe { unmap(region.as_ptr(), size) };
    }

    unsafe fn resize_region(&self, region: NonNull<u8>, size: usize, new_size: usize) -> bool {
        // SAFETY: the caller's promise is that the region is mapped, and that what may be cut off is nobody's. Without
        // `MREMAP_MAYMOVE` the region stays, and nothing else is touched.
        let start = unsafe { libc::mremap(region.as_ptr().cast(), size, new_size, 0) };
        start != libc::MAP_FAILED
    }

    fn is_zeroed(&self, _: NonNull<u8>) -> bool {
        self.is_zeroed.get()
    }
}

#[cfg(test)]
mod tests {
    use super::{Mapped, PIECE};
    use stack_alloc::{BLOCK_SIZE, MemorySource, PAGE_SIZE};

    #[test]
    fn a_fresh_block_is_zero_and_one_that_came_back_is_not_said_to_be() {
        let source = Mapped::new();
        let block = source.get_block().expect("memory");
        assert_eq!(block.addr().get() % BLOCK_SIZE, 0);
        assert!(source.is_zeroed(block));
        // SAFETY: the block is ours.
        unsafe { block.write_bytes(7, BLOCK_SIZE) };
        let other = source.get_block().expect("memory");
        assert_eq!(other.addr().get() - block.addr().get(), BLOCK_SIZE);
        // SAFETY: it came from this source, and nobody uses it.
        unsafe { source.release_block(block) };
        // SAFETY: the same.
        unsafe { source.release_block(other) };
        assert_eq!(
            [source.get_block(), source.get_block()],
            [Some(other), Some(block)]
        );
        assert!(!source.is_zeroed(block));
    }

    #[test]
    fn pieces_follow_each_other() {
        let source = Mapped::new();
        let blocks = 2 * PIECE / BLOCK_SIZE;
        let mut addresses: Vec<_> = (0..blocks)
            .map(|_| source.get_block().expect("memory").addr().get())
            .collect();
        addresses.sort_unstable();
        addresses.dedup_by(|next, last| *next < *last + BLOCK_SIZE);
        assert_eq!(addresses.len(), blocks, "none overlaps");
    }

    #[test]
    fn a_region_is_aligned_and_shrinks_and_grows_where_it_stands() {
        let source = Mapped::new();
        let size = 8 * PAGE_SIZE;
        let region = source.get_region(size, 1 << 21).expect("memory");
        assert_eq!(region.addr().get() % (1 << 21), 0);
        assert!(source.is_zeroed(region));
        // SAFETY: the region is this source's, and nobody uses it.
        assert!(unsafe { source.resize_region(region, size, PAGE_SIZE) });
        // SAFETY: the same; what was cut off may be mapped again, or be somebody else's by now.
        let grows = unsafe { source.resize_region(region, PAGE_SIZE, size) };
        let size = if grows { size } else { PAGE_SIZE };
        // SAFETY: all of it is ours.
        unsafe { region.write_bytes(7, size) };
        // SAFETY: it has this size, and nobody uses it.
        unsafe { source.release_region(region, size) };
    }
}

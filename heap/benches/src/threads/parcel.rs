//! An object that one thread allocates and another one may free.

use core::alloc::Layout;
use core::ptr::NonNull;

use crate::heap::Heap;
use crate::numbers::{Numbers, Sizes};
use crate::replay::OutOfMemory;

/// The alignment of all of them.
const ALIGN: usize = 8;
/// The least that one can have: a word.
pub(super) const LEAST: usize = size_of::<usize>();

/// A live object. Its first word says how large it is. Dropping it leaks it.
#[derive(Debug)]
#[must_use = "it stays live until it is freed"]
pub(super) struct Parcel {
    /// Where it is.
    start: NonNull<usize>,
    /// How many bytes it has.
    size: u32,
}

// SAFETY: the object is this one's alone, and heaps are shared among threads.
unsafe impl Send for Parcel {}

impl Parcel {
    /// Allocates one of `size` bytes, at least [`LEAST`], and writes its first word. `None` if there was no memory.
    #[inline(always)]
    pub(super) fn allocate(heap: &dyn Heap, size: u32) -> Option<Self> {
        assert!(size as usize >= LEAST, "it has a first word");
        // SAFETY: the size is not 0.
        let start = NonNull::new(unsafe { heap.alloc(layout(size)) })?.cast();
        // SAFETY: the object is ours, aligned to a word, and has at least one.
        unsafe { start.write(size as usize) };
        Some(Self { start, size })
    }

    /// Reads the first word, and frees it.
    ///
    /// # Panics
    ///
    /// If the word is another one than was written: then the heap has handed the object's memory out twice.
    ///
    /// # Safety
    ///
    /// `heap` is where it was allocated.
    #[inline(always)]
    pub(super) unsafe fn free(self, heap: &dyn Heap) {
        // SAFETY: the object is ours, and its first word was written.
        let word = unsafe { self.start.read() };
        assert_eq!(word, self.size as usize, "somebody has written to it");
        // SAFETY: it is live, and was allocated there with this layout, which the caller promises.
        unsafe { heap.dealloc(self.start.as_ptr().cast(), layout(self.size)) };
    }
}

/// Returns the layout of an object with so many bytes.
#[inline(always)]
fn layout(size: u32) -> Layout {
    // SAFETY: the alignment is a power of two, and a number of 32 bits does not overflow.
    unsafe { Layout::from_size_align_unchecked(size as usize, ALIGN) }
}

/// Returns the sizes of so many objects, the same for a seed each time.
pub(super) fn sizes(count: usize, sizes: Sizes, seed: u64) -> Vec<u32> {
    let mut numbers = Numbers::new(seed);
    let size = |_| u32::try_from(sizes.pick(&mut numbers)).expect("less than 4 GiB");
    (0..count).map(size).collect()
}

/// Allocates an object of each size and adds it to `parcels`.
///
/// # Errors
///
/// At the first one for which there was no memory. Those before were added.
pub(super) fn allocate_all(
    heap: &dyn Heap,
    sizes: &[u32],
    parcels: &mut Vec<Parcel>,
) -> Result<(), OutOfMemory> {
    for (operation, size) in sizes.iter().enumerate() {
        let parcel = Parcel::allocate(heap, *size).ok_or(OutOfMemory { operation })?;
        parcels.push(parcel);
    }
    Ok(())
}

/// Frees all.
///
/// # Safety
///
/// `heap` is where they were allocated.
pub(super) unsafe fn free_all(heap: &dyn Heap, parcels: impl IntoIterator<Item = Parcel>) {
    for parcel in parcels {
        // SAFETY: the caller's promise.
        unsafe { parcel.free(heap) };
    }
}

#[cfg(test)]
mod tests {
    use super::{Parcel, allocate_all, free_all};
    use crate::arena::Arena;
    use crate::contenders::all;
    use crate::heap::Heap;
    use crate::replay::OutOfMemory;

    /// Returns a floor over an arena that nobody else uses.
    fn floor(arena: &Arena) -> Box<dyn Heap> {
        let floor = all().into_iter().find(|one| one.name == "floor");
        // SAFETY: nobody else uses the arena.
        unsafe { (floor.expect("it is there").make)(arena.whole()) }
    }

    #[test]
    fn what_is_freed_is_free_and_what_fails_is_counted() {
        let arena = Arena::new(1 << 20).expect("1 MiB");
        let heap = floor(&arena);
        let mut parcels = Vec::new();
        for _ in 0..2 {
            assert_eq!(
                allocate_all(&*heap, &[512 << 10, 512 << 10, 16], &mut parcels),
                Err(OutOfMemory { operation: 2 })
            );
            assert_eq!(parcels.len(), 2);
            // SAFETY: they are from there.
            unsafe { free_all(&*heap, parcels.drain(..)) };
        }
    }

    #[test]
    #[should_panic(expected = "somebody has written to it")]
    fn an_object_that_two_have_is_found_out() {
        let arena = Arena::new(1 << 20).expect("1 MiB");
        let heap = floor(&arena);
        let parcel = Parcel::allocate(&*heap, 64).expect("there is memory");
        // SAFETY: it is ours. What another owner of the same memory would do.
        unsafe { parcel.start.write(65) };
        // SAFETY: it is from there.
        unsafe { parcel.free(&*heap) };
    }
}

//! A memory source of one's own: the least that a kernel with a frame allocator has to write.
//!
//! Run with `make example NAME=custom_source`. The "physical memory" is an array of 32 blocks in the program, its frame
//! allocator a word with a bit for each block. Blocks go out one at a time and regions as several in a row, and both come
//! back: at the end the word is what it was.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use core::ptr::NonNull;

use stack_alloc::{Allocator, BLOCK_SIZE, MemorySource};

/// How many blocks there are.
const BLOCKS: usize = 32;

/// Physical memory, aligned as blocks have to be.
#[repr(C, align(262144))]
struct Memory(UnsafeCell<[u8; BLOCKS * BLOCK_SIZE]>);

// SAFETY: the program never looks at the bytes as such; the heap hands them out to one owner each.
unsafe impl Sync for Memory {}

/// All there is.
static MEMORY: Memory = Memory(UnsafeCell::new([0; BLOCKS * BLOCK_SIZE]));

/// A frame allocator: bit n is set while block n is free. The heap calls it with its lock held, so a `Cell` will do.
struct Frames {
    /// The word.
    free: Cell<u32>,
}

impl Frames {
    /// Returns a mask of `count` blocks from block `first` on.
    fn mask(first: usize, count: usize) -> u32 {
        (u32::MAX >> (BLOCKS - count)) << first
    }

    /// Takes `count` free blocks in a row, the first one's number a multiple of `align`.
    fn take(&self, count: usize, align: usize) -> Option<NonNull<u8>> {
        let is_free = |first: &usize| {
            let mask = Self::mask(*first, count);
            self.free.get() & mask == mask
        };
        let last = BLOCKS.checked_sub(count)?;
        let first = (0..=last).step_by(align).find(is_free)?;
        self.free.set(self.free.get() & !Self::mask(first, count));
        let start = NonNull::new(MEMORY.0.get().cast::<u8>())?;
        // SAFETY: `first` is the number of a block of the array.
        Some(unsafe { start.add(first * BLOCK_SIZE) })
    }

    /// Takes `count` blocks from `memory` on back.
    fn put(&self, memory: NonNull<u8>, count: usize) {
        let first = (memory.addr().get() - MEMORY.0.get().addr()) / BLOCK_SIZE;
        self.free.set(self.free.get() | Self::mask(first, count));
    }
}

// SAFETY: the memory is a static's, valid for good. A block's bit is clear while it is out, so it is nobody else's. The
// array is aligned to a block, so blocks are, and regions with a first number that is a multiple of their alignment. A
// region has at least the size asked for: whole blocks.
unsafe impl MemorySource for Frames {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.take(1, 1)
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        self.put(block, 1);
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        // The array itself is aligned to a block, so no more than that can be promised.
        let align_is_kept = align <= BLOCK_SIZE;
        align_is_kept.then(|| self.take(size.div_ceil(BLOCK_SIZE), 1))?
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        self.put(region, size.div_ceil(BLOCK_SIZE));
    }
}

fn main() {
    let free = Cell::new(u32::MAX);
    let heap = Allocator::<Frames>::new(Frames { free });
    let show = |when: &str| {
        let free = heap.with_source(|frames| frames.free.get());
        println!("{when:<24} {free:032b}");
        free
    };
    show("nothing allocated:");

    let sizes = [40, 5000, 100_000, 1 << 20, 700_000];
    let layouts = sizes.map(|size| Layout::from_size_align(size, 16).expect("a valid layout"));
    // SAFETY: the layouts are not empty.
    let objects = layouts.map(|layout| unsafe { heap.alloc(layout) });
    assert!(objects.iter().all(|object| !object.is_null()));
    let free = show("five objects:");
    assert!(free.count_ones() < 25);

    for (object, layout) in objects.into_iter().zip(layouts) {
        // SAFETY: each is given back once, with its layout.
        unsafe { heap.dealloc(object, layout) };
    }
    show("all of them freed:");
    heap.trim();
    assert_eq!(show("and trimmed:"), u32::MAX);
}

//! How much of its memory a heap gives back to its source when objects die.
//!
//! Asked of our own heaps alone: that for many processors, with one shard in use, is to give back what the one with one lock does.

use core::alloc::GlobalAlloc;
use core::ops::Range;

use stack_alloc::{LockedHeap, Regions, ShardedAllocator};

use crate::arena::{Arena, Memory};
use crate::contenders::{Contender, ThisThread};
use crate::figures::Figures;
use crate::numbers::{Numbers, Sizes};
use crate::operation::StreamBuilder;
use crate::replay::{Objects, replay};
use crate::table::{Rows, number};

/// The name of the question.
pub const NAME: &str = "given_back";
/// What is measured.
pub const SHARE: &str = "share given back";
/// Memory for a heap: so much that one block more or less, which is how memory goes back, is less than a hundredth of it.
const MEMORY: usize = 64 << 20;
/// Bytes that are live before objects die.
const LIVE: usize = MEMORY / 2;
/// How large objects are.
const SIZES: Sizes = Sizes::Logarithmic(16, 4096);

/// What has happened by then.
pub const ROWS: [&str; 3] = ["the older half died", "all died", "all died, trimmed"];

/// A heap over fixed memory that can say how much of that it holds.
trait Measured: GlobalAlloc {
    /// Returns the bytes of the source that nobody holds.
    fn free_bytes(&self) -> usize;

    /// Gives back what is kept for what comes.
    fn trim(&self);
}

impl Measured for LockedHeap {
    fn free_bytes(&self) -> usize {
        self.with_source(Regions::free_bytes)
    }

    fn trim(&self) {
        (**self).trim();
    }
}

impl Measured for ShardedAllocator<Regions, ThisThread> {
    fn free_bytes(&self) -> usize {
        self.with_source(Regions::free_bytes)
    }

    fn trim(&self) {
        ShardedAllocator::trim(self);
    }
}

/// Makes the heap of this name over `memory`. `None`, if it is none of ours.
///
/// # Safety
///
/// As long as the heap is used, nobody else uses the memory.
unsafe fn make(name: &str, memory: Memory) -> Option<Box<dyn Measured>> {
    match name {
        "ours" => {
            // SAFETY: the caller's promise.
            let heap: LockedHeap = unsafe { LockedHeap::new(memory.start.as_ptr(), memory.size) };
            Some(Box::new(heap))
        }
        "sharded" => {
            let regions = Regions::new();
            // SAFETY: the caller's promise.
            unsafe { regions.add(memory.start, memory.size) }.ok()?;
            Some(Box::new(ShardedAllocator::<_, ThisThread>::new(regions)))
        }
        _ => None,
    }
}

/// Measures our own heaps among `contenders`, prints the table, and adds to the figures.
pub fn run(contenders: &[Contender], arena: &Arena, figures: &mut Figures) {
    let mut names = Vec::new();
    let mut columns = Vec::new();
    for contender in contenders {
        // SAFETY: the heap before is not used any more.
        if let Some(heap) = unsafe { make(contender.name, arena.first(MEMORY)) } {
            let shares = shares(&*heap);
            for (row, share) in ROWS.into_iter().zip(shares) {
                figures.add(NAME, row, contender.name, SHARE, share);
            }
            names.push(contender.name);
            columns.push(shares);
        }
    }
    if names.is_empty() {
        return;
    }
    let mut table = Rows::new("when", names);
    for (row, name) in ROWS.into_iter().enumerate() {
        table.add(name, columns.iter().map(|shares| number(Some(shares[row]))));
    }
    table.note("Before: 32 MiB of objects of 16 to 4096 bytes are live.");
    table.print("given_back: share of what a heap held that has gone back to its source");
}

/// Returns the share that was given back at each of [`ROWS`].
fn shares(heap: &dyn Measured) -> [f64; ROWS.len()] {
    let mut builder = StreamBuilder::new();
    let mut numbers = Numbers::new(1);
    let (mut count, mut bytes) = (0, 0);
    while bytes < LIVE {
        let size = SIZES.pick(&mut numbers);
        builder.allocate(count, size, 8);
        count += 1;
        bytes += size;
    }
    builder.setup_is_done();
    let free = |builder: &mut StreamBuilder, slots: Range<usize>| {
        slots.for_each(|slot| builder.free(slot));
    };
    free(&mut builder, 0..count / 2);
    free(&mut builder, count / 2..count);
    let stream = builder.finish();
    let mut objects = Objects::of(&stream);
    let empty = heap.free_bytes();
    // SAFETY: the stream's first part.
    unsafe { replay(heap, &stream.setup, &mut objects) }.expect("half of the memory is enough");
    let held = empty - heap.free_bytes();
    let share = || 1.0 - (empty - heap.free_bytes()) as f64 / held as f64;
    let (older, newer) = stream.body.split_at(count / 2);
    // SAFETY: the part behind it.
    unsafe { replay(heap, older, &mut objects) }.expect("it needs no memory");
    let half = share();
    // SAFETY: the last part.
    unsafe { replay(heap, newer, &mut objects) }.expect("it needs no memory");
    let all = share();
    heap.trim();
    [half, all, share()]
}

#[cfg(test)]
mod tests {
    use super::{MEMORY, NAME, ROWS, SHARE, run};
    use crate::arena::Arena;
    use crate::contenders::all;
    use crate::figures::Figures;

    #[test]
    fn our_heaps_alone_are_asked_and_give_back_more_and_more() {
        let arena = Arena::new(MEMORY).expect("64 MiB");
        let mut figures = Figures::default();
        run(&all(), &arena, &mut figures);
        assert_eq!(figures.of(NAME, "floor", SHARE).count(), 0);
        for name in ["ours", "sharded"] {
            let shares = ROWS.map(|row| figures.get(NAME, row, name, SHARE).expect("it is there"));
            assert!(shares.is_sorted(), "{name}: {shares:?}");
            assert!(shares[0] > 0.1, "{name}: {shares:?}");
            assert!(shares[2] > 0.9, "{name}: {shares:?}");
        }
    }
}

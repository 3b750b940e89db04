//! Sources that break their promises: no lie is taken for memory, each is told to the handler, nothing loops, nothing is
//! corrupted.

mod common;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;

use common::{Object, assert_apart, in_time, layout, remember, seen};
use stack_alloc::{Allocator, BLOCK_SIZE, MemorySource, MisuseKind, PAGE_SIZE};

/// How a [`Liar`] lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    /// A block that is not aligned to its size.
    MisalignedBlock,
    /// A block that the heap holds already.
    SameBlock,
    /// A block inside a region.
    BlockInRegion,
    /// A region at an address that is not a multiple of what was asked for.
    MisalignedRegion,
    /// A region that the heap holds already.
    SameRegion,
    /// A region that begins inside one that the heap holds.
    RegionInRegion,
    /// A region that ends inside one that the heap holds.
    RegionIntoRegion,
    /// A region around one that the heap holds.
    RegionAroundRegion,
    /// A region inside a block that the heap holds.
    RegionInBlock,
    /// A part that is not aligned to a page.
    MisalignedPart,
    /// A part that is shorter than asked for.
    ShortPart,
    /// A part of no bytes at all.
    EmptyPart,
    /// A part of no bytes inside a block that the heap holds.
    EmptyPartInBlock,
    /// A part that reaches from one window of 256 KiB into the next.
    PartAcrossBlocks,
    /// A part that is as long as a block.
    PartOfAllPages,
    /// A part inside a block that the heap holds.
    PartInBlock,
    /// A region that says it has grown into a block that the heap holds.
    RegionGrowsIntoBlock,
}

impl Lie {
    /// What the handler is told of it.
    const fn kind(self) -> MisuseKind {
        match self {
            Self::MisalignedBlock
            | Self::MisalignedRegion
            | Self::MisalignedPart
            | Self::ShortPart
            | Self::EmptyPart
            | Self::PartAcrossBlocks
            | Self::PartOfAllPages => MisuseKind::SourceMisaligned,
            _ => MisuseKind::SourceOverlaps,
        }
    }
}

/// A source that tells the truth once for a block and once for a region, and lies from then on.
///
/// Its memory is an arena of 16 blocks: the first block given is number 0, the first region is at block 8.
struct Liar {
    arena: NonNull<u8>,
    lie: Lie,
    blocks: AtomicUsize,
    regions: AtomicUsize,
    released: AtomicUsize,
}

/// What the first region of a [`Liar`] is: two blocks, that begin at block 8 of the arena.
const TRUE_REGION: usize = 2 * BLOCK_SIZE;

impl Liar {
    const ARENA: Layout = match Layout::from_size_align(16 * BLOCK_SIZE, BLOCK_SIZE) {
        Ok(layout) => layout,
        Err(_) => panic!("a valid layout"),
    };

    fn new(lie: Lie) -> Self {
        // SAFETY: the layout is not empty.
        let arena = unsafe { System.alloc_zeroed(Self::ARENA) };
        Self {
            arena: NonNull::new(arena).expect("the host has 4 MiB"),
            lie,
            blocks: AtomicUsize::new(0),
            regions: AtomicUsize::new(0),
            released: AtomicUsize::new(0),
        }
    }

    /// Returns the memory `offset` bytes behind the arena's start.
    fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < Self::ARENA.size());
        // SAFETY: inside the arena (checked).
        unsafe { self.arena.add(offset) }
    }
}

// SAFETY: it is none: breaking the promises is what it is for. The memory is valid at least, and the arena is large
// enough that what the heap might write after a lie stays inside.
unsafe impl MemorySource for Liar {
    fn get_block(&self) -> Option<NonNull<u8>> {
        if self.blocks.fetch_add(1, Ordering::Relaxed) == 0 {
            // Behind the region, for the region to grow into it.
            let number = if self.lie == Lie::RegionGrowsIntoBlock {
                10
            } else {
                0
            };
            return Some(self.at(number * BLOCK_SIZE));
        }
        match self.lie {
            Lie::MisalignedBlock => Some(self.at(2 * BLOCK_SIZE + PAGE_SIZE)),
            Lie::SameBlock => Some(self.at(0)),
            Lie::BlockInRegion => Some(self.at(9 * BLOCK_SIZE)),
            _ => None,
        }
    }

    unsafe fn release_block(&self, _: NonNull<u8>) {
        self.released.fetch_add(1, Ordering::Relaxed);
    }

    fn get_part(&self, least: usize, _: &dyn Fn(usize) -> bool) -> Option<NonNull<[u8]>> {
        let (offset, size) = match self.lie {
            Lie::MisalignedPart => (4 * BLOCK_SIZE + 64, BLOCK_SIZE / 2),
            Lie::ShortPart => (4 * BLOCK_SIZE, least - PAGE_SIZE),
            Lie::EmptyPart => (4 * BLOCK_SIZE, 0),
            Lie::EmptyPartInBlock => (BLOCK_SIZE / 4, 0),
            Lie::PartAcrossBlocks => (5 * BLOCK_SIZE - PAGE_SIZE, BLOCK_SIZE / 2),
            Lie::PartOfAllPages => (4 * BLOCK_SIZE, BLOCK_SIZE),
            Lie::PartInBlock => (BLOCK_SIZE / 4, BLOCK_SIZE / 2),
            _ => return None,
        };
        Some(NonNull::slice_from_raw_parts(self.at(offset), size))
    }

    unsafe fn release_part(&self, _: NonNull<[u8]>) {
        self.released.fetch_add(1, Ordering::Relaxed);
    }

    unsafe fn resize_region(&self, _: NonNull<u8>, size: usize, new_size: usize) -> bool {
        self.lie == Lie::RegionGrowsIntoBlock && new_size > size
    }

    fn get_region(&self, size: usize, _: usize) -> Option<NonNull<u8>> {
        if self.regions.fetch_add(1, Ordering::Relaxed) == 0 {
            return Some(self.at(8 * BLOCK_SIZE));
        }
        match self.lie {
            Lie::MisalignedRegion => Some(self.at(12 * BLOCK_SIZE + 8)),
            Lie::SameRegion => Some(self.at(8 * BLOCK_SIZE)),
            Lie::RegionInRegion => Some(self.at(8 * BLOCK_SIZE + PAGE_SIZE)),
            Lie::RegionIntoRegion => Some(self.at(8 * BLOCK_SIZE + PAGE_SIZE - size)),
            Lie::RegionAroundRegion => Some(self.at(8 * BLOCK_SIZE - PAGE_SIZE)),
            Lie::RegionInBlock => Some(self.at(BLOCK_SIZE / 2)),
            _ => None,
        }
    }

    unsafe fn release_region(&self, _: NonNull<u8>, _: usize) {
        self.released.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        // SAFETY: the arena came from `System` with this layout.
        unsafe { System.dealloc(self.arena.as_ptr(), Self::ARENA) };
    }
}

/// Lets a heap over a liar run out of all it got in truth, and asserts that it takes no lie for memory.
#[track_caller]
fn assert_not_deceived(lie: Lie) {
    in_time(move || {
        let heap = Allocator::<Liar>::new(Liar::new(lie));
        heap.set_misuse_handler(remember);
        let mut live = vec![Object::new(&heap, layout(TRUE_REGION, 8), 1)];
        for (fill, size) in [(2, 40_000), (3, 1000), (4, 16)] {
            let layout = layout(size, 8);
            live.extend(core::iter::from_fn(|| Object::try_new(&heap, layout, fill)));
            heap.check().expect("no lie got in");
        }
        for size in [TRUE_REGION + 2 * PAGE_SIZE, TRUE_REGION, 300_000, 40_000] {
            for align in [8, PAGE_SIZE, BLOCK_SIZE] {
                live.extend(Object::try_new(&heap, layout(size, align), 5));
                heap.check().expect("no lie got in");
            }
        }
        let grows = live[0].resize(&heap, TRUE_REGION + PAGE_SIZE, 6);
        assert!(!grows, "there is no memory for it, {lie:?}");
        assert_apart(&live);
        let told = seen();
        assert!(!told.is_empty(), "{lie:?} was kept secret");
        for misuse in told {
            assert_eq!(misuse.kind, lie.kind(), "{misuse}");
        }
        assert_eq!(heap.statistics().blocks, 1, "{lie:?}");
        assert_eq!(heap.statistics().regions.live, 1, "{lie:?}");
        for object in live {
            object.free(&heap);
        }
        assert_eq!(seen(), []);
        heap.check().expect("sound to the end");
        heap.trim();
        assert_eq!(
            heap.with_source(|liar| liar.released.load(Ordering::Relaxed)),
            2
        );
    });
}

#[test]
fn a_misaligned_block_is_a_no() {
    assert_not_deceived(Lie::MisalignedBlock);
}

#[test]
fn a_block_given_twice_is_a_no() {
    assert_not_deceived(Lie::SameBlock);
}

#[test]
fn a_block_inside_a_region_is_a_no() {
    assert_not_deceived(Lie::BlockInRegion);
}

#[test]
fn a_misaligned_region_is_a_no() {
    assert_not_deceived(Lie::MisalignedRegion);
}

#[test]
fn a_region_given_twice_is_a_no() {
    assert_not_deceived(Lie::SameRegion);
}

#[test]
fn a_region_inside_another_is_a_no() {
    assert_not_deceived(Lie::RegionInRegion);
}

#[test]
fn a_region_that_ends_in_another_is_a_no() {
    assert_not_deceived(Lie::RegionIntoRegion);
}

#[test]
fn a_region_around_another_is_a_no() {
    assert_not_deceived(Lie::RegionAroundRegion);
}

#[test]
fn a_region_inside_a_block_is_a_no() {
    assert_not_deceived(Lie::RegionInBlock);
}

#[test]
fn a_misaligned_part_is_a_no() {
    assert_not_deceived(Lie::MisalignedPart);
}

#[test]
fn a_part_that_is_too_short_is_a_no() {
    assert_not_deceived(Lie::ShortPart);
}

#[test]
fn a_part_of_nothing_is_a_no() {
    assert_not_deceived(Lie::EmptyPart);
    assert_not_deceived(Lie::EmptyPartInBlock);
}

#[test]
fn a_part_of_two_blocks_is_a_no() {
    assert_not_deceived(Lie::PartAcrossBlocks);
}

#[test]
fn a_part_as_long_as_a_block_is_a_no() {
    assert_not_deceived(Lie::PartOfAllPages);
}

#[test]
fn a_part_inside_a_block_is_a_no() {
    assert_not_deceived(Lie::PartInBlock);
}

#[test]
fn growth_into_a_block_is_a_no() {
    assert_not_deceived(Lie::RegionGrowsIntoBlock);
}

#[test]
fn a_lie_told_to_the_reserve_is_not_kept_secret() {
    for lie in [Lie::SameBlock, Lie::MisalignedBlock] {
        let heap = Allocator::<Liar>::new(Liar::new(lie));
        heap.set_misuse_handler(remember);
        assert_eq!(heap.set_reserve(3, || false), 1);
        let told = seen();
        assert_eq!(told.len(), 1, "{lie:?}");
        assert_eq!(told[0].kind, lie.kind());
        heap.check().expect("no lie got in");
    }
}

/// A source that gives the same memory as a region and then as a block.
struct SameTwice {
    memory: NonNull<u8>,
    is_region: Cell<bool>,
}

// SAFETY: it may be handed from thread to thread: nobody else knows of the memory.
unsafe impl Send for SameTwice {}

// SAFETY: it is none: breaking the promise is what it is for. The memory is valid at least.
unsafe impl MemorySource for SameTwice {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.is_region.get().then_some(self.memory)
    }

    unsafe fn release_block(&self, _: NonNull<u8>) {}

    fn get_region(&self, _: usize, _: usize) -> Option<NonNull<u8>> {
        self.is_region.set(true);
        Some(self.memory)
    }
}

#[test]
fn a_block_inside_the_region_that_it_is_to_hold_the_record_of_is_a_no() {
    let two_blocks = layout(2 * BLOCK_SIZE, BLOCK_SIZE);
    // SAFETY: the layout is not empty.
    let memory = NonNull::new(unsafe { System.alloc(two_blocks) }).expect("the host has memory");
    let heap: Allocator<SameTwice> = Allocator::new(SameTwice {
        memory,
        is_region: Cell::new(false),
    });
    heap.set_misuse_handler(remember);
    assert!(Object::try_new(&heap, layout(2 * BLOCK_SIZE, 8), 1).is_none());
    assert!(
        seen()
            .iter()
            .map(|misuse| misuse.kind)
            .eq([MisuseKind::SourceOverlaps])
    );
    heap.check().expect("no lie got in");
    // SAFETY: it came from `System` with this layout, and the heap is not used any more.
    unsafe { System.dealloc(memory.as_ptr(), two_blocks) };
}

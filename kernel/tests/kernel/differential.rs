//! One stream of operations through the kernel's heap and through `linked_list_allocator`: the same contents must be found in
//! the same objects at any time.

use alloc::vec;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::RefCell;
use core::ptr::NonNull;

use kernel::memory::heap_source::HEAP;
use kernel::random::Random;
use kernel::testing::Test;
use kernel::tests;
use linked_list_allocator::Heap;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "differential";
    small_objects_agree,
    mixed_sizes_agree,
    large_alignments_agree,
};

/// Bytes that the other allocator gets: enough never to run out.
const ORACLE_BYTES: usize = 8 << 20;

/// An object that lives in both heaps.
struct Pair {
    /// In the kernel's heap.
    ours: NonNull<u8>,
    /// In the other one.
    theirs: NonNull<u8>,
    /// What it was asked for with.
    layout: Layout,
    /// What it is filled with.
    fill: u8,
}

/// The bytes of an object.
///
/// # Safety
///
/// `start` points to `layout.size()` bytes of a live object, all written.
unsafe fn bytes<'a>(start: NonNull<u8>, layout: Layout) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(start.as_ptr(), layout.size()) }
}

/// Both heaps, and what lives in them.
struct Both<'a> {
    /// The other allocator.
    oracle: &'a RefCell<Heap>,
    /// What lives.
    live: Vec<Pair>,
}

impl Both<'_> {
    /// Allocates in both, and fills.
    fn allocate(&mut self, layout: Layout, fill: u8) {
        // SAFETY: the size is not zero.
        let ours = NonNull::new(unsafe { HEAP.alloc(layout) }).expect("the kernel's heap has room");
        let theirs = self
            .oracle
            .borrow_mut()
            .allocate_first_fit(layout)
            .expect("the other heap has room");
        assert!(ours.addr().get().is_multiple_of(layout.align()));
        // SAFETY: both are new, and as long as the layout says.
        unsafe {
            ours.write_bytes(fill, layout.size());
            theirs.write_bytes(fill, layout.size());
        }
        self.live.push(Pair {
            ours,
            theirs,
            layout,
            fill,
        });
    }

    /// Frees in both, once the contents were compared.
    fn free(&mut self, index: usize) {
        let pair = self.live.swap_remove(index);
        Self::compare(&pair);
        // SAFETY: allocated with this layout, and out of the list, so freed once.
        unsafe {
            HEAP.dealloc(pair.ours.as_ptr(), pair.layout);
            self.oracle
                .borrow_mut()
                .deallocate(pair.theirs, pair.layout);
        }
    }

    /// Resizes in both; the other one copies.
    fn resize(&mut self, index: usize, size: usize) {
        let pair = &mut self.live[index];
        let layout = Layout::from_size_align(size, pair.layout.align()).expect("a valid layout");
        // SAFETY: live, of this layout; the new size is not zero.
        let ours = unsafe { HEAP.realloc(pair.ours.as_ptr(), pair.layout, size) };
        pair.ours = NonNull::new(ours).expect("the kernel's heap has room");
        let theirs = self
            .oracle
            .borrow_mut()
            .allocate_first_fit(layout)
            .expect("the other heap has room");
        let kept = size.min(pair.layout.size());
        // SAFETY: `kept` bytes are in both; the old one is freed once, and replaced.
        unsafe {
            theirs.copy_from_nonoverlapping(pair.theirs, kept);
            self.oracle
                .borrow_mut()
                .deallocate(pair.theirs, pair.layout);
        }
        (pair.theirs, pair.layout) = (theirs, layout);
        // SAFETY: the bytes behind the kept ones are the object's.
        unsafe {
            pair.ours.add(kept).write_bytes(pair.fill, size - kept);
            pair.theirs.add(kept).write_bytes(pair.fill, size - kept);
        }
        Self::compare(pair);
    }

    /// Compares the contents of an object.
    #[track_caller]
    fn compare(pair: &Pair) {
        // SAFETY: both objects live, and all their bytes were written.
        let (ours, theirs) = unsafe {
            (
                bytes(pair.ours, pair.layout),
                bytes(pair.theirs, pair.layout),
            )
        };
        assert!(ours == theirs, "contents differ: {:?}", pair.layout);
        assert!(
            ours.iter().all(|&byte| byte == pair.fill),
            "both are wrong: {:?}",
            pair.layout
        );
    }
}

/// Runs `steps` random operations through both, with layouts from `layout`, while nobody else uses the heap.
fn run(seed: u64, steps: usize, most_live: usize, layout: impl FnMut(&mut Random) -> Layout) {
    let objects_before = HEAP.statistics().live();
    // The oracle's memory and the list of pairs.
    let own_objects = 2;
    run_among_others(seed, steps, most_live, layout, |live| {
        let found = HEAP.statistics().live() - objects_before - own_objects;
        assert_eq!(found, live as u64);
    });
    assert_eq!(HEAP.statistics().live(), objects_before);
}

/// Runs `steps` random operations through both, with layouts from `layout`. At times `look` is told how many objects live.
fn run_among_others(
    seed: u64,
    steps: usize,
    most_live: usize,
    mut layout: impl FnMut(&mut Random) -> Layout,
    look: impl Fn(usize),
) {
    let mut memory = vec![0_u8; ORACLE_BYTES];
    // SAFETY: the memory is writable, lives longer than the heap made of it, and is used by nothing else.
    let oracle = RefCell::new(unsafe { Heap::new(memory.as_mut_ptr(), memory.len()) });
    let mut both = Both {
        oracle: &oracle,
        live: Vec::with_capacity(most_live + 1),
    };
    let mut random = Random::from_seed(seed);
    for step in 0..steps {
        let fill = random.next_number().to_le_bytes()[0];
        match random.below(5) {
            0 | 1 if both.live.len() < most_live => {
                let layout = layout(&mut random);
                both.allocate(layout, fill);
            }
            2 if !both.live.is_empty() => {
                let (index, size) = (random.below(both.live.len()), layout(&mut random).size());
                both.resize(index, size);
            }
            _ if !both.live.is_empty() => {
                let index = random.below(both.live.len());
                both.free(index);
            }
            _ => {}
        }
        if step % 500 == 0 {
            both.live.iter().for_each(Both::compare);
            look(both.live.len());
        }
    }
    while !both.live.is_empty() {
        both.free(0);
    }
    assert_eq!(oracle.borrow().used(), 0, "the other heap is empty too");
}

/// Runs a stream of small and middle-sized objects through both, while others may use the heap.
pub(crate) fn agree_among_others(seed: u64) {
    let layout = |random: &mut Random| {
        Layout::from_size_align(random.log_distributed(0, 14), 1 << random.below(7))
            .expect("a valid layout")
    };
    run_among_others(seed, 2000, 200, layout, |_| {});
}

fn small_objects_agree() {
    run(1, 10_000, 400, |random| {
        Layout::from_size_align(1 + random.below(300), 8).expect("a valid layout")
    });
}

fn mixed_sizes_agree() {
    run(2, 3000, 40, |random| {
        let shift = random.below(16);
        Layout::from_size_align(1 + random.below(2 << shift), 1 << random.below(5))
            .expect("a valid layout")
    });
}

fn large_alignments_agree() {
    run(3, 1000, 30, |random| {
        Layout::from_size_align(1 + random.below(2000), 1 << random.below(14))
            .expect("a valid layout")
    });
}

//! The heap as a kernel uses it, through the collections of `alloc`.

use alloc::alloc::{alloc, alloc_zeroed, dealloc, realloc};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::alloc::Layout;

use kernel::memory::frame_allocator::FRAMES_PER_BLOCK;
use kernel::memory::heap_source::HEAP;
use kernel::memory::physical;
use kernel::random::Random;
use kernel::testing::Test;
use kernel::tests;
use stack_alloc::{BLOCK_SIZE, KEPT_BLOCKS};

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "heap";
    it_takes_no_room_in_the_image,
    box_holds_its_value,
    vec_grows_and_keeps_its_values,
    string_is_built,
    btree_map_is_filled_and_emptied,
    arc_is_dropped_once,
    zero_sized_values_need_no_memory,
    large_alignments_are_kept,
    zeroed_memory_is_zero,
    realloc_keeps_contents,
    regions_larger_than_a_block,
    regions_grow_where_they_stand,
    growth_by_many_blocks,
    freed_memory_is_reused,
    every_frame_comes_back,
    most_of_memory_comes_back,
    statistics_count_what_is_live,
};

/// Returns how many frames are free when the heap keeps nothing in hand.
pub(crate) fn free_frames_trimmed() -> u64 {
    HEAP.trim();
    physical::statistics().free
}

unsafe extern "C" {
    /// The first byte behind what the image has to bring, by the linker.
    safe static __bss_start: u8;
    /// The first byte behind the kernel, likewise.
    safe static _end: u8;
}

fn it_takes_no_room_in_the_image() {
    let zeros = (&raw const __bss_start).addr()..(&raw const _end).addr();
    let start = (&raw const HEAP).addr();
    assert!(zeros.contains(&start), "{start:#x} is not in {zeros:#x?}");
}

fn box_holds_its_value() {
    let first = Box::new(41_u64);
    let second = Box::new([first.as_ref() + 1; 100]);
    assert_eq!((*first, second[99]), (41, 42));
}

fn vec_grows_and_keeps_its_values() {
    let mut numbers = Vec::new();
    for number in 0..100_000_u64 {
        numbers.push(number);
    }
    assert_eq!(numbers.iter().sum::<u64>(), 4_999_950_000);
    numbers.truncate(10);
    numbers.shrink_to_fit();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

fn string_is_built() {
    let mut text = String::new();
    for number in 0..1000 {
        text += &alloc::format!("{number} ");
    }
    assert_eq!(text.split_whitespace().count(), 1000);
    assert!(text.ends_with("998 999 "));
}

fn btree_map_is_filled_and_emptied() {
    let mut map = BTreeMap::new();
    for number in 0..2000_u32 {
        map.insert(number.wrapping_mul(2_654_435_761), Box::new(number));
    }
    assert_eq!(map.len(), 2000);
    for number in 0..2000_u32 {
        assert_eq!(
            map.remove(&number.wrapping_mul(2_654_435_761)).as_deref(),
            Some(&number)
        );
    }
    assert!(map.is_empty());
}

fn arc_is_dropped_once() {
    /// Counts how often it is dropped.
    struct Counted(Arc<core::sync::atomic::AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        }
    }
    let drops = Arc::default();
    let shared = Arc::new(Counted(Arc::clone(&drops)));
    let clones = vec![shared; 100];
    assert_eq!(Arc::strong_count(&clones[0]), 100);
    drop(clones);
    assert_eq!(drops.load(core::sync::atomic::Ordering::Relaxed), 1);
}

fn zero_sized_values_need_no_memory() {
    let before = HEAP.statistics().allocations();
    let units = [(); 1_000_000];
    assert_eq!(units.len(), 1_000_000);
    assert_eq!(HEAP.statistics().allocations(), before);
}

fn large_alignments_are_kept() {
    for shift in 0..=22 {
        for size in [1, 100, 5000, 300_000] {
            let layout = Layout::from_size_align(size, 1 << shift).expect("a valid layout");
            // SAFETY: the size is not zero.
            let pointer = unsafe { alloc(layout) };
            assert!(!pointer.is_null(), "{layout:?} must not fail");
            assert!(
                pointer.addr().is_multiple_of(layout.align()),
                "{layout:?} came at {pointer:?}"
            );
            // SAFETY: the memory is `size` bytes and ours; it came from `alloc` with this layout.
            unsafe {
                pointer.write_bytes(0xaa, size);
                dealloc(pointer, layout);
            }
        }
    }
}

fn zeroed_memory_is_zero() {
    for size in [1, 64, 4096, 100_000, 1 << 20] {
        let layout = Layout::from_size_align(size, 8).expect("a valid layout");
        for _ in 0..3 {
            // SAFETY: the size is not zero; the memory is `size` bytes, and goes back with its layout, dirty.
            unsafe {
                let pointer = alloc_zeroed(layout);
                assert!(!pointer.is_null());
                let bytes = core::slice::from_raw_parts_mut(pointer, size);
                assert!(
                    bytes.iter().all(|&byte| byte == 0),
                    "{size} bytes are not all zero"
                );
                bytes.fill(0xff);
                dealloc(pointer, layout);
            }
        }
    }
}

fn realloc_keeps_contents() {
    let sizes = [
        10, 100, 90, 5000, 4000, 60_000, 300_000, 2_000_000, 200_000, 40_000, 3000, 17, 1,
    ];
    let mut layout = Layout::from_size_align(1, 1).expect("a valid layout");
    // SAFETY: the size is not zero.
    let mut pointer = unsafe { alloc(layout) };
    // SAFETY: there is one byte, and it is ours.
    unsafe { pointer.write(0) };
    for size in sizes {
        let kept = layout.size().min(size);
        // SAFETY: the pointer came with this layout; the new size is not zero and no overflow.
        pointer = unsafe { realloc(pointer, layout, size) };
        assert!(!pointer.is_null());
        layout = Layout::from_size_align(size, 1).expect("a valid layout");
        // SAFETY: `size` bytes, ours, the first `kept` of them written before.
        let (old, all) = unsafe {
            (
                core::slice::from_raw_parts(pointer, kept)
                    .iter()
                    .enumerate()
                    .all(|(i, &byte)| byte == pattern(i)),
                core::slice::from_raw_parts_mut(pointer, size),
            )
        };
        assert!(old, "growing or shrinking to {size} bytes changed them");
        all.iter_mut()
            .enumerate()
            .for_each(|(index, byte)| *byte = pattern(index));
    }
    // SAFETY: the pointer came with this layout.
    unsafe { dealloc(pointer, layout) };
}

/// The byte that belongs at `index`.
const fn pattern(index: usize) -> u8 {
    (index % 251).to_le_bytes()[0]
}

fn regions_larger_than_a_block() {
    let before = free_frames_trimmed();
    let mut large = vec![0_u8; 5 * BLOCK_SIZE + 1];
    large
        .iter_mut()
        .enumerate()
        .for_each(|(index, byte)| *byte = pattern(index));
    assert!(
        large
            .iter()
            .enumerate()
            .all(|(index, &byte)| byte == pattern(index))
    );
    assert!(physical::statistics().free <= before - 5 * FRAMES_PER_BLOCK);
    drop(large);
    assert_eq!(free_frames_trimmed(), before);
}

fn regions_grow_where_they_stand() {
    let before = free_frames_trimmed();
    let small = Layout::from_size_align(1 << 20, 16).expect("a valid layout");
    let large = Layout::from_size_align(3 << 20, 16).expect("a valid layout");
    // SAFETY: the sizes are not zero; each pointer is used with the layout that it has at the time.
    unsafe {
        // So that the frames behind the small one are free.
        let room = alloc(large);
        assert!(!room.is_null());
        let region = realloc(room, large, small.size());
        assert_eq!(region, room);
        region.write_bytes(7, small.size());
        let taken = before - physical::statistics().free;
        let grown = realloc(region, small, large.size());
        assert_eq!(grown, region, "the frames behind it were free");
        assert_eq!(before - physical::statistics().free, taken + 512);
        grown.write_bytes(8, large.size());
        let shrunk = realloc(grown, large, small.size());
        assert_eq!(shrunk, region);
        assert_eq!(before - physical::statistics().free, taken);
        assert_eq!(shrunk.add(small.size() - 1).read(), 8);
        dealloc(shrunk, small);
    }
    assert_eq!(free_frames_trimmed(), before);
}

fn growth_by_many_blocks() {
    let before = free_frames_trimmed();
    // 24 MiB in objects of 1 KiB: about a hundred blocks.
    let mut objects = Vec::new();
    for number in 0..24 * 1024_u64 {
        objects.push(Box::new([number; 128]));
    }
    assert!(
        HEAP.statistics().blocks >= 96,
        "{} blocks",
        HEAP.statistics().blocks
    );
    assert!(
        objects
            .iter()
            .zip(0..)
            .all(|(object, number)| object[0] == number && object[127] == number)
    );
    drop(objects);
    assert_eq!(free_frames_trimmed(), before);
}

fn freed_memory_is_reused() {
    let mut objects: Vec<Box<[u8; 64]>> = (0..20_000).map(|_| Box::new([1; 64])).collect();
    let held = HEAP.statistics().bytes_held;
    // All but one of each stack: its memory must serve again although the stack never became empty.
    for round in 0..4 {
        objects.retain({
            let mut index = 0;
            move |_| {
                index += 1;
                index % 64 == 0
            }
        });
        while objects.len() < 20_000 {
            objects.push(Box::new([round; 64]));
        }
    }
    let now = HEAP.statistics().bytes_held;
    assert!(
        now <= held + BLOCK_SIZE,
        "{held} bytes were enough, now {now} are held"
    );
}

fn every_frame_comes_back() {
    let before = free_frames_trimmed();
    let mut random = Random::from_seed(7);
    let mut objects: Vec<Vec<u8>> = Vec::new();
    for _ in 0..5000 {
        if objects.len() > 500 || (random.below(3) == 0 && !objects.is_empty()) {
            let index = random.below(objects.len());
            objects.swap_remove(index);
        } else {
            let shift = random.below(15);
            objects.push(vec![1; 1 + random.below(2 << shift)]);
        }
    }
    drop(objects);
    // What the heap may keep in hand is documented; the rest is back at once, and all of it after `trim`.
    let kept = before - physical::statistics().free;
    let most_kept = KEPT_BLOCKS as u64 * FRAMES_PER_BLOCK;
    let live = HEAP.statistics().live();
    assert!(
        kept <= most_kept + FRAMES_PER_BLOCK,
        "{kept} frames are kept of at most {most_kept}, {live} objects live"
    );
    assert_eq!(free_frames_trimmed(), before);
}

fn most_of_memory_comes_back() {
    let before = free_frames_trimmed();
    let mut objects: Vec<Box<[u64; 4096]>> = Vec::new();
    // Down to a tenth of what was free.
    while physical::statistics().free > before / 10 {
        objects.try_reserve(1).expect("there is memory");
        let object = Box::new([objects.len() as u64; 4096]);
        objects.push(object);
    }
    assert!(
        objects
            .iter()
            .zip(0..)
            .all(|(object, number)| object[0] == number && object[4095] == number)
    );
    drop(objects);
    let kept = before - physical::statistics().free;
    assert!(
        kept <= (KEPT_BLOCKS as u64 + 1) * FRAMES_PER_BLOCK,
        "{kept} frames are kept"
    );
    assert_eq!(free_frames_trimmed(), before);
}

fn statistics_count_what_is_live() {
    let before = HEAP.statistics();
    let object = Box::new([0_u8; 100]);
    let during = HEAP.statistics();
    assert_eq!(during.live(), before.live() + 1);
    assert_eq!(during.bytes_requested, before.bytes_requested + 100);
    assert!(during.largest_available > 0);
    drop(object);
    assert_eq!(HEAP.statistics().live(), before.live());
}

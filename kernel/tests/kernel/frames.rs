//! The frame allocator, over the real memory of the machine.

use alloc::vec::Vec;

use kernel::memory::frame::{Frame, FrameRange};
use kernel::memory::frame_allocator::{FRAMES_PER_BLOCK, FreeError};
use kernel::memory::physical::{self, frame_of, frame_pointer, statistics, with_frames};
use kernel::testing::Test;
use kernel::tests;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "frames";
    frames_are_distinct_and_come_back,
    frames_hold_what_is_written,
    blocks_are_aligned_and_come_back,
    regions_are_contiguous_and_aligned,
    wrong_frees_are_refused,
    pointers_and_frames_match,
    holes_of_the_map_are_not_managed,
    every_usable_frame_is_accounted_for,
    every_frame_of_the_machine_holds_what_is_written,
};

fn frames_are_distinct_and_come_back() {
    // The vector takes its memory before frames are counted.
    let mut frames = Vec::with_capacity(1000);
    let before = statistics();
    for _ in 0..1000 {
        frames.push(with_frames(|all| all.allocate_frame()).expect("there are frames"));
    }
    assert_eq!(statistics().free, before.free - 1000);
    frames.sort_unstable();
    assert!(
        frames.windows(2).all(|pair| pair[0] < pair[1]),
        "a frame was handed out twice"
    );
    for &frame in &frames {
        assert_eq!(with_frames(|all| all.free_frame(frame)), Ok(()));
    }
    assert_eq!(statistics(), before);
}

fn frames_hold_what_is_written() {
    let mut frames = Vec::with_capacity(100);
    for number in 0..100_u64 {
        let frame = with_frames(|all| all.allocate_frame()).expect("there are frames");
        // SAFETY: the frame is ours alone, mapped, and 4096 bytes long.
        unsafe {
            frame_pointer(frame)
                .cast::<[u64; 512]>()
                .write_volatile([number; 512]);
        };
        frames.push(frame);
    }
    for (frame, number) in frames.into_iter().zip(0..) {
        // SAFETY: as above.
        let words = unsafe { frame_pointer(frame).cast::<[u64; 512]>().read_volatile() };
        assert_eq!(words, [number; 512]);
        assert_eq!(with_frames(|all| all.free_frame(frame)), Ok(()));
    }
}

fn blocks_are_aligned_and_come_back() {
    let before = statistics();
    let block = with_frames(|all| all.allocate_block()).expect("there are blocks");
    assert!(block.number().is_multiple_of(FRAMES_PER_BLOCK));
    assert!(
        frame_pointer(block)
            .addr()
            .get()
            .is_multiple_of(stack_alloc::BLOCK_SIZE)
    );
    assert_eq!(statistics().whole_blocks, before.whole_blocks - 1);
    assert_eq!(with_frames(|all| all.free_block(block)), Ok(()));
    assert_eq!(statistics(), before);
}

fn regions_are_contiguous_and_aligned() {
    let before = statistics();
    let largest = before.largest_run;
    let region =
        with_frames(|all| all.allocate_region(largest, 1)).expect("the largest run can be had");
    assert_eq!(region.len(), largest);
    assert!(
        with_frames(|all| all.allocate_region(largest, 1)).map_or(true, |other| {
            with_frames(|all| all.free_region(other)).is_ok() && other != region
        })
    );
    assert_eq!(with_frames(|all| all.free_region(region)), Ok(()));
    let aligned =
        with_frames(|all| all.allocate_region(3, 512)).expect("2 MiB of alignment can be had");
    assert!(aligned.first.number().is_multiple_of(512));
    assert_eq!(with_frames(|all| all.free_region(aligned)), Ok(()));
    assert!(with_frames(|all| all.allocate_region(before.free + 1, 1)).is_err());
    assert_eq!(statistics(), before);
}

fn wrong_frees_are_refused() {
    let frame = with_frames(|all| all.allocate_frame()).expect("there are frames");
    assert_eq!(with_frames(|all| all.free_frame(frame)), Ok(()));
    let before = statistics();
    assert_eq!(
        with_frames(|all| all.free_frame(frame)),
        Err(FreeError::AlreadyFree(frame))
    );
    let zero = Frame::from_number(0);
    assert_eq!(
        with_frames(|all| all.free_frame(zero)),
        Err(FreeError::NotManaged(zero))
    );
    let far = Frame::from_number(1 << 40);
    assert_eq!(
        with_frames(|all| all.free_frame(far)),
        Err(FreeError::OutOfRange(far))
    );
    assert_eq!(statistics(), before);
}

fn pointers_and_frames_match() {
    let frame = Frame::from_number(0x1234);
    assert_eq!(frame_of(frame_pointer(frame)), Some(frame));
    assert_eq!(frame_of(core::ptr::NonNull::<u8>::dangling()), None);
}

fn holes_of_the_map_are_not_managed() {
    let map = physical::memory_map().expect("the map is kept at boot");
    for (range, next) in map.usable_ranges().zip(map.usable_ranges().skip(1)) {
        let hole = FrameRange::from_numbers(range.end.number(), next.first.number());
        assert!(!hole.is_empty(), "ranges do not touch");
        let refused = with_frames(|all| all.free_frame(hole.first));
        assert_eq!(refused, Err(FreeError::NotManaged(hole.first)));
    }
}

/// Parts of a frame, of which one word each is written: a large machine has many frames.
const PARTS: usize = 8;

/// What belongs in a part of a frame: other frames, and other parts, have something else there.
const fn word_of(frame: Frame, part: usize, pass: u64) -> u64 {
    (frame.number() << 16 | part as u64) ^ pass.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Writes every part of a frame, and the number of another frame into its last word.
fn write_frame(frame: Frame, pass: u64, next: u64) {
    let words = frame_pointer(frame).cast::<u64>();
    for part in 0..PARTS {
        // SAFETY: the frame is ours alone, mapped, and 512 words long.
        unsafe {
            words
                .add(64 * part)
                .write_volatile(word_of(frame, part, pass));
        };
    }
    // SAFETY: as above.
    unsafe { words.add(511).write_volatile(next) };
}

/// Checks what [`write_frame`] wrote, and returns the number of the other frame.
fn check_frame(frame: Frame, pass: u64) -> u64 {
    let words = frame_pointer(frame).cast::<u64>();
    for part in 0..PARTS {
        // SAFETY: the frame is ours alone, mapped, and written.
        let word = unsafe { words.add(64 * part).read_volatile() };
        assert_eq!(word, word_of(frame, part, pass), "part {part} of {frame}");
    }
    // SAFETY: as above.
    unsafe { words.add(511).read_volatile() }
}

/// Takes every free frame of the machine, writes all, and only then reads all back: frames that were one memory would show. The
/// second pass writes other values in the opposite order. What frames there are is written down in the frames themselves.
fn every_frame_of_the_machine_holds_what_is_written() {
    const NONE: u64 = u64::MAX;
    let before = physical::counts();
    let (mut last, mut count) = (NONE, 0);
    while let Ok(frame) = with_frames(|all| all.allocate_frame()) {
        write_frame(frame, 1, last);
        (last, count) = (frame.number(), count + 1);
    }
    assert_eq!((count, physical::counts().free), (before.free, 0));
    let (mut next, mut first) = (last, NONE);
    while next != NONE {
        let frame = Frame::from_number(next);
        next = check_frame(frame, 1);
        write_frame(frame, 2, first);
        first = frame.number();
    }
    let mut next = first;
    while next != NONE {
        let frame = Frame::from_number(next);
        next = check_frame(frame, 2);
        assert_eq!(with_frames(|all| all.free_frame(frame)), Ok(()));
    }
    assert_eq!(physical::counts(), before);
}

fn every_usable_frame_is_accounted_for() {
    let empty = physical::account();
    let map = physical::memory_map().expect("the map is kept at boot");
    assert_eq!(empty.usable, map.usable_frames());
    assert!(empty.is_balanced(), "{empty}");
    let small: Vec<Vec<u8>> = (1..500).map(|size| alloc::vec![1; size]).collect();
    let large = alloc::vec![1_u8; 3 << 20];
    let full = physical::account();
    assert!(full.is_balanced(), "{full}");
    assert!(full.heap >= empty.heap + 768);
    drop((small, large));
    let frame = with_frames(|all| all.allocate_frame()).expect("there are frames");
    let lost = physical::account();
    assert!(!lost.is_balanced(), "a frame is ours");
    assert_eq!(lost.accounted() + 1, lost.usable);
    assert_eq!(with_frames(|all| all.free_frame(frame)), Ok(()));
    assert!(physical::account().is_balanced());
}

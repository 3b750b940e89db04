//! Against a plain list of booleans, and small domains whole.
#![expect(
    clippy::cast_possible_truncation,
    reason = "frame numbers index the model, on hosts of 64 bits"
)]

use std::string::ToString;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// Runs `body` with an allocator for the frames below `end` that manages `ranges`.
fn with_allocator<T>(
    end: u64,
    ranges: &[(u64, u64)],
    body: impl FnOnce(&mut FrameAllocator<'_>) -> T,
) -> T {
    let mut memory = vec![0xdead_beef; FrameAllocator::words_for(end)];
    let mut allocator = FrameAllocator::new(end, &mut memory);
    for &(first, end) in ranges {
        allocator
            .add(FrameRange::from_numbers(first, end))
            .expect("the ranges of a test do not overlap");
    }
    body(&mut allocator)
}

#[test]
fn frames_come_from_broken_blocks_first() {
    with_allocator(64 * 4, &[(0, 128), (130, 140)], |frames| {
        assert_eq!(frames.allocate_frame(), Ok(Frame::from_number(130)));
        assert_eq!(frames.statistics().whole_blocks, 2);
        for _ in 1..10 {
            frames
                .allocate_frame()
                .expect("there are ten in the broken block");
        }
        assert_eq!(frames.allocate_frame(), Ok(Frame::from_number(0)));
        assert_eq!(frames.allocate_block(), Ok(Frame::from_number(64)));
        assert_eq!(frames.allocate_block(), Err(OutOfFrames));
    });
}

#[test]
fn all_frames_are_given_once_and_come_back() {
    with_allocator(1000, &[(3, 70), (128, 1000)], |frames| {
        let before = frames.statistics();
        assert_eq!(
            before,
            FrameStatistics {
                total: 939,
                free: 939,
                largest_run: 872,
                whole_blocks: 13
            }
        );
        let mut all: Vec<_> = core::iter::from_fn(|| frames.allocate_frame().ok()).collect();
        assert_eq!(
            frames.statistics(),
            FrameStatistics {
                total: 939,
                ..FrameStatistics::default()
            }
        );
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
        for frame in all {
            frames.free_frame(frame).expect("it was given");
        }
        assert_eq!(frames.statistics(), before);
    });
}

#[test]
fn wrong_frees_are_named_and_change_nothing() {
    with_allocator(256, &[(64, 250)], |frames| {
        let frame = frames.allocate_frame().expect("there is room");
        let block = frames.allocate_block().expect("there is room");
        let before = frames.statistics();
        assert_eq!(
            frames.free_frame(Frame::from_number(3)),
            Err(FreeError::NotManaged(Frame::from_number(3)))
        );
        assert_eq!(
            frames.free_frame(Frame::from_number(255)),
            Err(FreeError::NotManaged(Frame::from_number(255)))
        );
        assert_eq!(
            frames.free_frame(Frame::from_number(256)),
            Err(FreeError::OutOfRange(Frame::from_number(256)))
        );
        for far in [u64::MAX - 1, u64::MAX, u64::MAX - 63].map(Frame::from_number) {
            assert_eq!(frames.free_frame(far), Err(FreeError::OutOfRange(far)));
        }
        let last_block = Frame::from_number(u64::MAX - 63);
        assert_eq!(
            frames.free_block(last_block),
            Err(FreeError::OutOfRange(last_block))
        );
        assert_eq!(
            frames.free_frame(Frame::from_number(249)),
            Err(FreeError::AlreadyFree(Frame::from_number(249)))
        );
        let beside_block = Frame::from_number(block.number() + 1);
        assert_eq!(
            frames.free_block(beside_block),
            Err(FreeError::NotABlock(beside_block))
        );
        let too_long = FrameRange::from_numbers(block.number(), block.number() + 65);
        let behind_block = Frame::from_number(block.number() + 64);
        assert_eq!(
            frames.free_region(too_long),
            Err(FreeError::AlreadyFree(behind_block))
        );
        assert_eq!(frames.statistics(), before);
        frames.free_block(block).expect("it was given");
        frames.free_frame(frame).expect("it was given");
        assert_eq!(frames.free_frame(frame), Err(FreeError::AlreadyFree(frame)));
        assert_eq!(frames.statistics().free, 186);
    });
}

#[test]
fn adding_twice_or_too_far_is_refused_whole() {
    with_allocator(128, &[(10, 20)], |frames| {
        assert!(
            matches!(frames.add(FrameRange::from_numbers(0, 11)), Err(FreeError::AlreadyFree(frame)) if frame.number() == 10)
        );
        assert!(
            matches!(frames.add(FrameRange::from_numbers(100, 129)), Err(FreeError::OutOfRange(frame)) if frame.number() == 128)
        );
        assert_eq!(frames.statistics().total, 10);
    });
}

#[test]
fn ranges_without_frames_change_nothing() {
    with_allocator(128, &[(0, 128)], |frames| {
        for number in [0, 1, 64, 128, 1000, u64::MAX] {
            let empty = FrameRange::from_numbers(number, number);
            assert_eq!(frames.free_region(empty), Ok(()));
            let reversed = FrameRange::from_numbers(number, 0);
            assert_eq!(frames.free_region(reversed), Ok(()));
        }
        assert_eq!(frames.counts().free, 128);
    });
}

#[test]
fn senseless_regions_are_refused() {
    with_allocator(128, &[(0, 128)], |frames| {
        for (count, align) in [
            (0, 1),
            (1, 0),
            (1, 3),
            (129, 1),
            (u64::MAX, 1),
            (1, 1 << 63),
        ] {
            let region = frames.allocate_region(count, align);
            assert!(
                region == Err(OutOfFrames)
                    || (align == 1 << 63 && region.is_ok_and(|r| r.first.number() == 0)),
                "{count} {align}"
            );
        }
    });
}

#[test]
fn every_hole_of_a_small_memory_is_found_exactly() {
    // Every run in 192 frames with a stride, and every length around it: first fit finds the run or nothing.
    for first in (0..192).step_by(3) {
        for end in (first + 1..=192).step_by(5) {
            with_allocator(192, &[(first, end)], |frames| {
                let length = end - first;
                assert_eq!(frames.statistics().largest_run, length);
                assert_eq!(frames.allocate_region(length + 1, 1), Err(OutOfFrames));
                assert_eq!(
                    frames.allocate_region(length, 1),
                    Ok(FrameRange::from_numbers(first, end))
                );
                assert_eq!(frames.statistics().free, 0);
            });
        }
    }
}

#[test]
fn long_runs_behind_many_short_ones_are_found_at_once() {
    // More runs of one frame, or of one block, than are looked at; then a long one.
    for short in [1, 64] {
        let runs = (0..100).map(|number| (128 * number, 128 * number + short));
        let ranges: Vec<_> = runs.chain([(20_000, 30_000)]).collect();
        with_allocator(40_000, &ranges, |frames| {
            assert_eq!(frames.counts().blocks_in_a_row, 155);
            let whole = FrameRange::from_numbers(20_032, 20_032 + 155 * 64);
            assert_eq!(frames.allocate_region(155 * 64, 64), Ok(whole));
            assert_eq!(frames.counts().blocks_in_a_row, short / 64);
            assert_eq!(frames.allocate_region(65, 1), Err(OutOfFrames));
            assert_eq!(frames.free_region(whole), Ok(()));
            if short == 64 {
                // Too long by a frame for whole blocks, and too far for a look.
                assert_eq!(frames.allocate_region(155 * 64 + 1, 1), Err(OutOfFrames));
            }
            let aligned = frames.allocate_region(1000, 4096).map(|found| found.first);
            assert_eq!(aligned, Ok(Frame::from_number(20_480)));
        });
    }
}

#[test]
fn a_walk_can_stop_at_every_step() {
    let ranges = [(3, 70), (128, 5000), (5001, 5002), (6000, 11_000)];
    with_allocator(12_000, &ranges, |frames| {
        let mut walk = RunWalk::default();
        let mut steps = 0;
        while !frames.walk(&mut walk, 1) {
            steps += 1;
        }
        assert_eq!(walk.longest(), 5000);
        assert_eq!(frames.statistics_after(&walk), frames.statistics());
        assert!((6..16).contains(&steps), "{steps} steps");
    });
}

#[test]
fn statistics_read_like_a_sentence() {
    let statistics = FrameStatistics {
        total: 1024,
        free: 256,
        largest_run: 128,
        whole_blocks: 2,
    };
    assert_eq!(
        statistics.to_string(),
        "Free frames: the largest run has 512.0 KiB; 2 whole blocks of 256 KiB can be had."
    );
}

/// What a random user does.
#[derive(Clone, Debug)]
enum Step {
    /// Ask for a frame.
    Frame,
    /// Ask for a block.
    Block,
    /// Ask for a region of so many frames with such an alignment.
    Region(u64, u64),
    /// Ask for exactly these frames, from the first one on so many.
    Range(u64, u64),
    /// Ask for up to so many frames of one block.
    Some(u64),
    /// Give back one of the sets of frames held.
    GiveSomeBack(prop::sample::Index),
    /// Give back one of the things held.
    GiveBack(prop::sample::Index),
    /// Give back frames that may be anybody's.
    WrongFree(u64, u64),
}

/// Any step.
fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Frame),
        2 => Just(Step::Block),
        3 => (1..600u64, 0..9u32).prop_map(|(frames, shift)| Step::Region(frames, 1 << shift)),
        2 => (0..1050u64, 1..150u64).prop_map(|(first, frames)| Step::Range(first, frames)),
        3 => (1..130u64).prop_map(Step::Some),
        2 => any::<prop::sample::Index>().prop_map(Step::GiveSomeBack),
        5 => any::<prop::sample::Index>().prop_map(Step::GiveBack),
        1 => (0..1100u64, 1..70u64).prop_map(|(first, frames)| Step::WrongFree(first, frames)),
    ]
}

/// The state of a frame in the model.
#[derive(Clone, Copy, PartialEq)]
enum Model {
    /// Not ours.
    Hole,
    /// Ours and free.
    Free,
    /// Handed out.
    Taken,
}

/// The lowest run of free frames that fits, the slow way.
fn first_fit(model: &[Model], frames: u64, align: u64) -> Option<u64> {
    let fits = |first: u64| {
        let range = usize::try_from(first).ok()?..usize::try_from(first + frames).ok()?;
        Some(model.get(range)?.iter().all(|&state| state == Model::Free))
    };
    (0..model.len() as u64)
        .step_by(usize::try_from(align).ok()?)
        .find(|&first| fits(first) == Some(true))
}

/// How many runs of free frames there are.
fn runs(model: &[Model]) -> usize {
    model
        .split(|&state| state != Model::Free)
        .filter(|run| !run.is_empty())
        .count()
}

/// The longest run of free frames, the slow way.
fn longest_run(model: &[Model]) -> u64 {
    model
        .split(|&state| state != Model::Free)
        .map(|run| run.len() as u64)
        .max()
        .unwrap_or(0)
}

proptest! {
    #[test]
    fn behaves_like_a_list_of_booleans(
        holes in prop::collection::vec((0..1000usize, 1..100usize), 0..6),
        steps in prop::collection::vec(any_step(), 1..120),
    ) {
        let mut model = vec![Model::Free; 1000];
        for (first, length) in holes {
            for state in model.iter_mut().skip(first).take(length) { *state = Model::Hole; }
        }
        let ranges: Vec<(u64, u64)> = (0..1000).filter(|&i| model[i] == Model::Free).map(|i| (i as u64, i as u64 + 1)).collect();
        with_allocator(1000, &ranges, |frames| {
            let mut held: Vec<FrameRange> = Vec::new();
            let mut sets: Vec<FrameSet> = Vec::new();
            for step in steps {
                let before = frames.statistics();
                let given = match step {
                    Step::Frame => frames.allocate_frame().ok().map(|frame| FrameRange::from_numbers(frame.number(), frame.number() + 1)),
                    Step::Block => {
                        let expected = first_fit(&model, 64, 64);
                        let block = frames.allocate_block().ok().map(|frame| FrameRange::from_numbers(frame.number(), frame.number() + 64));
                        prop_assert_eq!(block.map(|block| block.first.number()), expected);
                        block
                    }
                    Step::Region(count, align) => {
                        let region = frames.allocate_region(count, align).ok();
                        // The model has 1000 frames, so all of its runs are among those that a search looks at, unless they are
                        // very many.
                        let runs = runs(&model);
                        let expected = first_fit(&model, count, align);
                        if runs <= RUNS_LOOKED_AT { prop_assert_eq!(region.map(|region| region.first.number()), expected); }
                        else { prop_assert!(region.is_none() || expected.is_some()); }
                        // A run of whole blocks is always found.
                        let in_blocks = count.next_multiple_of(64) + align.next_multiple_of(64) - 64;
                        if first_fit(&model, in_blocks, 64).is_some() { prop_assert!(region.is_some()); }
                        if let Some(region) = region { prop_assert!(region.len() == count && region.first.number() % align == 0); }
                        region
                    }
                    Step::Some(most) => {
                        let set = frames.allocate_some(most).ok();
                        prop_assert_eq!(set.is_some(), before.free > 0);
                        if let Some(set) = set {
                            prop_assert!((1..=most.min(64)).contains(&set.count()));
                            prop_assert!(most < 64 || before.whole_blocks == 0 || set.count() == 64);
                            for frame in set {
                                prop_assert!(model[frame.number() as usize] == Model::Free, "handed out twice, or not ours");
                                model[frame.number() as usize] = Model::Taken;
                            }
                            sets.push(set);
                        }
                        None
                    }
                    Step::GiveSomeBack(index) => {
                        if !sets.is_empty() {
                            let set = sets.swap_remove(index.index(sets.len()));
                            prop_assert_eq!(frames.free_some(set), Ok(()));
                            for frame in set { model[frame.number() as usize] = Model::Free; }
                            let after = frames.statistics();
                            prop_assert!(frames.free_some(set).is_err());
                            prop_assert_eq!(frames.statistics(), after);
                        }
                        None
                    }
                    Step::Range(first, count) => {
                        let range = FrameRange::from_numbers(first, first + count);
                        let all_free = (first..first + count).all(|number| model.get(number as usize) == Some(&Model::Free));
                        let given = frames.allocate_range(range).is_ok();
                        prop_assert_eq!(given, all_free);
                        if !given { prop_assert_eq!(frames.statistics(), before); }
                        given.then_some(range)
                    }
                    Step::GiveBack(index) => {
                        if !held.is_empty() {
                            let range = held.swap_remove(index.index(held.len()));
                            prop_assert_eq!(frames.free_region(range), Ok(()));
                            for number in range.first.number()..range.end.number() { model[number as usize] = Model::Free; }
                        }
                        None
                    }
                    Step::WrongFree(first, count) => {
                        let all_taken = (first..first + count).all(|number| model.get(number as usize) == Some(&Model::Taken));
                        if !all_taken {
                            prop_assert!(frames.free_region(FrameRange::from_numbers(first, first + count)).is_err());
                            prop_assert_eq!(frames.statistics(), before);
                        }
                        None
                    }
                };
                if let Some(range) = given {
                    for number in range.first.number()..range.end.number() {
                        prop_assert!(model[number as usize] == Model::Free, "handed out twice, or not ours");
                        model[number as usize] = Model::Taken;
                    }
                    held.push(range);
                }
                let now = frames.statistics();
                prop_assert_eq!(now.free, model.iter().filter(|&&state| state == Model::Free).count() as u64);
                prop_assert_eq!(now.largest_run, longest_run(&model));
                let whole = model.chunks_exact(64).filter(|block| block.iter().all(|&state| state == Model::Free)).count();
                prop_assert_eq!(now.whole_blocks, whole as u64);
                let in_a_row = frames.counts().blocks_in_a_row;
                prop_assert!(in_a_row == 0 || first_fit(&model, in_a_row * 64, 64).is_some());
                prop_assert_eq!(first_fit(&model, in_a_row * 64 + 64, 64), None);
            }
            Ok(())
        })?;
    }
}

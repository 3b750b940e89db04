//! The bit tricks against a plain loop over 64 truth values.

use proptest::prelude::{Strategy, any};
use proptest::{prop_assert_eq, prop_oneof, proptest};
use std::format;
use std::vec::Vec;

use super::Bitmap;

/// Every alignment that a run of pages may have inside a block.
const ALIGNS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// A set of numbers below 64 without tricks.
type Model = [bool; 64];

/// Returns every range `start..end` within 0..64, the empty ones included: 65 * 66 / 2.
fn every_range() -> Vec<(usize, usize)> {
    let ranges: Vec<_> = (0..=64)
        .flat_map(|start| (start..=64).map(move |end| (start, end)))
        .collect();
    assert_eq!(ranges.len(), 2145);
    ranges
}

/// Returns the set `start..end`, one number at a time.
fn model_of_range(start: usize, end: usize) -> Model {
    core::array::from_fn(|number| start <= number && number < end)
}

/// Returns the same set as a word, one bit at a time.
fn word(model: &Model) -> Bitmap {
    let bit = |number: usize| u64::from(model[number]) << number;
    Bitmap((0..64).map(bit).sum())
}

/// Returns the numbers of a set in order.
fn numbers(model: &Model) -> Vec<usize> {
    (0..64).filter(|number| model[*number]).collect()
}

/// Returns how many neighbours are in the set from each number on.
fn run_lengths(model: &Model) -> [usize; 65] {
    let mut lengths = [0; 65];
    for number in (0..64).rev() {
        if model[number] {
            lengths[number] = lengths[number + 1] + 1;
        }
    }
    lengths
}

/// Asserts that everything a set can be asked gets the model's answer.
#[track_caller]
fn assert_like(bitmap: Bitmap, model: &Model) {
    let members = numbers(model);
    assert_eq!(bitmap.is_empty(), members.is_empty());
    assert_eq!(bitmap.len(), members.len());
    assert_eq!(bitmap.lowest(), members.first().copied());
    assert_eq!(bitmap.height(), members.last().map_or(0, |last| last + 1));
    let outside = (0..64).find(|number| !model[*number]);
    assert_eq!(bitmap.lowest_outside(), outside.unwrap_or(64));
    let with_outside = outside.map_or(bitmap, |number| bitmap.with(Bitmap::single(number)));
    assert_eq!(bitmap.with_lowest_outside(), with_outside);
    for limit in 0..70 {
        assert_eq!(bitmap.contains(limit), members.contains(&limit));
        if limit < 64 {
            let above = members.iter().copied().filter(|member| *member >= limit);
            let distance = above.min().map(|member| member - limit);
            assert_eq!(bitmap.distance_from(limit), distance);
        }
        if members.contains(&limit) {
            let run = |step: &dyn Fn(usize) -> Option<usize>| {
                core::iter::successors(Some(limit), |number| {
                    step(*number).filter(|next| members.contains(next))
                })
                .count()
            };
            let around =
                run(&|number| number.checked_add(1)) + run(&|number| number.checked_sub(1));
            assert_eq!(bitmap.run_around(limit), around - 1);
        }
        let above = members.iter().copied().filter(|member| *member >= limit);
        assert_eq!(bitmap.lowest_from(limit), above.min());
    }
    assert_eq!(
        bitmap.without_lowest().len(),
        members.len().saturating_sub(1)
    );
    assert_runs_like(bitmap, model);
}

/// Asserts that the runs of every length and alignment are where the model has them.
#[track_caller]
fn assert_runs_like(bitmap: Bitmap, model: &Model) {
    let lengths = run_lengths(model);
    assert_eq!(
        bitmap.longest_run(),
        lengths.iter().copied().max().unwrap_or(0)
    );
    for align in ALIGNS {
        // From the longest down: the lowest aligned start of a run at least that long.
        for len in 1..=64 {
            let start = (0..64).step_by(align).find(|start| lengths[*start] >= len);
            assert_eq!(
                bitmap.find_run(len, align),
                start,
                "{len} neighbours aligned to {align} in {bitmap:?}"
            );
        }
    }
}

#[test]
fn every_range_is_the_numbers_in_it() {
    for (start, end) in every_range() {
        let model = model_of_range(start, end);
        assert_eq!(Bitmap::range(start, end - start), word(&model));
    }
}

#[test]
fn a_range_is_cut_off_at_64() {
    for start in 0..130 {
        for len in 0..130 {
            let model = model_of_range(start, start + len);
            assert_eq!(Bitmap::range(start, len), word(&model), "{start} {len}");
        }
    }
}

#[test]
fn the_full_width_is_a_length_like_any_other() {
    assert_eq!(Bitmap::below(64), Bitmap(u64::MAX));
    assert_eq!(Bitmap::below(65), Bitmap(u64::MAX));
    assert_eq!(Bitmap::below(63), Bitmap(u64::MAX >> 1));
    assert_eq!(Bitmap::range(0, 64), Bitmap(u64::MAX));
    assert_eq!(Bitmap(u64::MAX).longest_run(), 64);
    assert_eq!(Bitmap(u64::MAX).find_run(64, 1), Some(0));
    assert_eq!(Bitmap(u64::MAX).find_run(64, 64), Some(0));
    assert_eq!(Bitmap(u64::MAX - 1).find_run(64, 1), None);
}

#[test]
fn every_range_answers_like_its_model() {
    for (start, end) in every_range() {
        let model = model_of_range(start, end);
        assert_like(Bitmap::range(start, end - start), &model);
    }
}

#[test]
fn every_hole_answers_like_its_model() {
    for (start, end) in every_range() {
        let model = model_of_range(start, end).map(|member| !member);
        let hole = Bitmap::range(start, end - start);
        assert_runs_like(Bitmap::below(64).without(hole), &model);
    }
}

#[test]
fn debug_output_reads_from_bit_0_up() {
    assert_eq!(format!("{:?}", Bitmap(0b1_0011)), "11001…");
    assert_eq!(format!("{:?}", Bitmap::EMPTY), "…");
}

/// Words with few, half and most of their bits set: runs of all lengths occur.
fn words() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(a, b, c)| a & b & c),
        (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(a, b, c)| a | b | c),
        (any::<u64>(), 1_u32..64).prop_map(|(a, shift)| a | a << shift | a >> shift),
    ]
}

proptest! {
    #[test]
    fn any_word_answers_like_its_model(word in words()) {
        let model = core::array::from_fn(|number| word >> number & 1 == 1);
        assert_like(Bitmap(word), &model);
    }

    #[test]
    fn sets_combine_number_by_number(a in words(), b in words()) {
        let (of_a, of_b) = (Bitmap(a), Bitmap(b));
        let mut all = true;
        for number in 0..64 {
            let (in_a, in_b) = (of_a.contains(number), of_b.contains(number));
            prop_assert_eq!(of_a.with(of_b).contains(number), in_a || in_b);
            prop_assert_eq!(of_a.without(of_b).contains(number), in_a && !in_b);
            all &= in_a || !in_b;
        }
        prop_assert_eq!(of_a.contains_all(of_b), all);
    }
}

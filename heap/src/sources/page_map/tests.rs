//! The map against a plain list of truth values.

use core::cell::Cell;
use std::vec;
use std::vec::Vec;

use proptest::collection::vec as vec_of;
use proptest::prelude::{Just, ProptestConfig, Strategy, any};
use proptest::{prop_oneof, proptest};

use super::{PageMap, Part};
use crate::bitmap::Bitmap;

/// Every alignment in pages up to two windows beyond that of a window.
const ALIGNS: [usize; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Under Miri, one of so many cases is run: it takes seconds for each.
const STEP: usize = if cfg!(miri) { 4001 } else { 1 };

/// Returns words with the same pages free.
fn words(model: &[bool]) -> Vec<Cell<Bitmap>> {
    let word = |pages: &[bool]| {
        let numbers = (0..64).filter(|page| pages[*page]);
        let word = numbers.fold(Bitmap::EMPTY, |word, page| {
            word.with(Bitmap::range(page, 1))
        });
        Cell::new(word)
    };
    model.chunks(64).map(word).collect()
}

/// Returns the pages that are free in words.
fn model(words: &[Cell<Bitmap>]) -> Vec<bool> {
    let pages = |word: &Cell<Bitmap>| {
        let word = word.get();
        (0..64).map(move |page| word.contains(page))
    };
    words.iter().flat_map(pages).collect()
}

/// Returns how many free pages there are from each page on.
fn run_lengths(model: &[bool]) -> Vec<usize> {
    let mut lengths = vec![0; model.len() + 1];
    for page in (0..model.len()).rev() {
        if model[page] {
            lengths[page] = lengths[page + 1] + 1;
        }
    }
    lengths
}

/// Returns the parts of a window: each run inside it, with whether no page next to it is free.
fn parts_of(model: &[bool], window: usize) -> Vec<Part> {
    let (start, end) = (window * 64, window * 64 + 64);
    let is_free = |page: usize| model.get(page).copied().unwrap_or(false);
    let starts =
        (start..end).filter(|page| is_free(*page) && (*page == start || !is_free(*page - 1)));
    let part = |first: usize| {
        let pages = (first..end).take_while(|page| is_free(*page)).count();
        Part {
            pages: pages.min(63),
            is_apart: !is_free(first.wrapping_sub(1)) && !is_free(first + pages),
            first,
        }
    };
    starts.map(part).collect()
}

/// Asserts that a search for `pages` pages finds what the model has.
#[track_caller]
fn assert_finds(model: &[bool], words: &[Cell<Bitmap>], pages: usize) {
    let lengths = run_lengths(model);
    for base in [0_usize, 192] {
        for align in ALIGNS {
            let first = base.next_multiple_of(align) - base;
            let mut aligned = (first..model.len()).step_by(align);
            assert_eq!(
                PageMap::new(words, base).find_run(pages, align),
                aligned.find(|page| lengths[*page] >= pages),
                "{pages} pages aligned to {align} from {base} in {words:?}"
            );
        }
    }
}

/// Asserts that blocks, parts and the longest run are what the model has.
#[track_caller]
fn assert_like(model: &[bool], words: &[Cell<Bitmap>]) {
    let map = PageMap::new(words, 0);
    let lengths = run_lengths(model);
    assert_eq!(
        map.longest_run(),
        lengths.iter().copied().max().unwrap_or(0)
    );
    let windows = 0..model.len() / 64;
    for window in windows.clone() {
        assert_eq!(map.is_whole(window), lengths[window * 64] >= 64);
    }
    assert!(!map.is_whole(windows.end));
    let parts: Vec<Part> = windows.flat_map(|window| parts_of(model, window)).collect();
    for least in 1..=64 {
        let good = parts.iter().filter(|part| part.pages >= least);
        let best = good.map(|part| (part.pages, part.is_apart)).max();
        let found = map.find_part(least, &|_| true);
        assert_eq!(found.map(|part| (part.pages, part.is_apart)), best);
        assert!(found.is_none_or(|part| parts.contains(&part)), "{found:?}");
    }
}

/// Returns a map of `len` pages in which `start..end` are free (or taken, all others being free).
fn one_run(len: usize, start: usize, end: usize, free: bool) -> Vec<bool> {
    let inside = |page: usize| start <= page && page < end;
    (0..len).map(|page| inside(page) == free).collect()
}

/// Returns every range within `0..len`.
fn ranges(len: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..=len).flat_map(move |start| (start..=len).map(move |end| (start, end)))
}

#[test]
fn every_single_run_is_found_and_nothing_longer() {
    for (start, end) in ranges(192).step_by(STEP) {
        let model = one_run(192, start, end, true);
        let words = words(&model);
        let len = end - start;
        for pages in [
            1,
            2,
            len / 2,
            len.saturating_sub(1),
            len,
            len + 1,
            63,
            64,
            65,
        ] {
            if pages > 0 {
                assert_finds(&model, &words, pages);
            }
        }
    }
}

#[test]
fn every_single_hole_is_gone_around() {
    for (start, end) in ranges(192).step_by(STEP) {
        let model = one_run(192, start, end, false);
        let words = words(&model);
        let (below, above) = (start, 192 - end);
        for pages in [1, below, below + 1, above, above + 1, 63, 64, 65] {
            if pages > 0 {
                assert_finds(&model, &words, pages);
            }
        }
    }
}

#[test]
fn every_run_and_hole_leaves_the_best_block_and_part() {
    for (start, end) in ranges(192).step_by(STEP) {
        for free in [true, false] {
            let model = one_run(192, start, end, free);
            assert_like(&model, &words(&model));
        }
    }
}

#[test]
fn every_run_is_taken_and_put_back_as_a_whole_or_not_at_all() {
    for (start, end) in ranges(192).step_by(STEP) {
        let (first, pages) = (start, end - start);
        let all_free = words(&[true; 192]);
        let map = PageMap::new(&all_free, 0);
        assert_eq!(map.take(first, pages), pages > 0);
        assert_eq!(model(&all_free), one_run(192, start, end, false));
        assert!(!map.take(first, pages), "taken twice");
        assert_eq!(map.are_taken(first, pages), pages > 0);
        // One page more at either end is not taken, and then none of them comes back.
        assert!(!map.put(first, pages + 1));
        assert!(first == 0 || !map.put(first - 1, pages + 1));
        assert_eq!(model(&all_free), one_run(192, start, end, false));
        assert_eq!(map.put(first, pages), pages > 0);
        assert!(!map.put(first, pages), "put back twice");
        assert_eq!(model(&all_free), [true; 192]);
    }
}

#[test]
fn what_is_outside_is_neither_taken_nor_put_back() {
    let words = [Cell::new(Bitmap::below(64)), Cell::new(Bitmap::EMPTY)];
    let map = PageMap::new(&words, 0);
    for (first, pages) in [(64, 65), (127, 2), (128, 1), (1 << 40, 1), (1, usize::MAX)] {
        assert!(!map.take(first, pages));
        assert!(!map.put(first, pages));
        assert!(!map.are_taken(first, pages));
    }
    assert_eq!(words[0].get(), Bitmap::below(64));
    assert_eq!(words[1].get(), Bitmap::EMPTY);
}

#[test]
fn no_pages_are_found_nowhere() {
    let words = words(&[true; 128]);
    assert_eq!(PageMap::new(&words, 0).find_run(0, 1), None);
    let nothing = PageMap::new(&[], 0);
    assert_eq!(nothing.find_run(1, 1), None);
    assert!(!nothing.is_whole(0));
    assert_eq!(nothing.find_part(1, &|_| true), None);
    assert_eq!(nothing.longest_run(), 0);
}

#[test]
fn an_alignment_beyond_the_address_space_is_a_no() {
    let words = words(&[true; 128]);
    let map = PageMap::new(&words, 1 << 51);
    assert_eq!(map.find_run(1, 1 << 63), None);
    assert_eq!(map.find_run(1, usize::MAX), None);
    assert_eq!(map.find_run(1, 0), None);
    assert_eq!(map.find_run(1, 1 << 51), Some(0));
}

#[test]
fn of_equally_long_parts_the_one_that_cuts_no_longer_run_is_chosen() {
    // 40 pages alone in window 0; 40 at the end of window 1 and 40 at the start of window 2, which are 80 together.
    let free = |page: &usize| matches!(page, 10..50 | 88..168);
    let model: Vec<bool> = (0..192).map(|page| free(&page)).collect();
    let part = PageMap::new(&words(&model), 0)
        .find_part(1, &|_| true)
        .unwrap();
    assert_eq!((part.first, part.pages), (10, 40));
}

#[test]
fn a_part_is_less_than_a_block() {
    let part = PageMap::new(&words(&[true; 64]), 0)
        .find_part(1, &|_| true)
        .unwrap();
    assert_eq!(part.pages, 63);
    assert_eq!(
        PageMap::new(&words(&[true; 64]), 0).find_part(64, &|_| true),
        None
    );
}

/// Windows that are empty, full, or divided into few or many runs.
fn any_word() -> impl Strategy<Value = [bool; 64]> {
    let runs = vec_of((any::<bool>(), 1_usize..40), 1..6);
    prop_oneof![
        Just([false; 64]),
        Just([true; 64]),
        any::<[[bool; 32]; 2]>()
            .prop_map(|half| core::array::from_fn(|page| half[page / 32][page % 32])),
        runs.prop_map(|runs| {
            let pages = runs.into_iter().flat_map(|(free, len)| vec![free; len]);
            let mut pages = pages.chain([true; 64]);
            core::array::from_fn(|_| pages.next().unwrap_or(false))
        }),
    ]
}

/// A map of up to 6 windows.
fn any_map() -> impl Strategy<Value = Vec<bool>> {
    vec_of(any_word(), 0..6).prop_map(|words| words.concat())
}

/// Runs fewer cases under Miri, and writes no failures down there.
fn config() -> ProptestConfig {
    if cfg!(miri) {
        ProptestConfig {
            cases: 1,
            failure_persistence: None,
            ..ProptestConfig::default()
        }
    } else {
        ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_map_answers_like_its_model(model in any_map(), pages in 1_usize..200) {
        let words = words(&model);
        assert_like(&model, &words);
        assert_finds(&model, &words, pages);
        for pages in run_lengths(&model) {
            if pages > 0 && cfg!(not(miri)) {
                assert_finds(&model, &words, pages);
            }
        }
    }

    #[test]
    fn any_map_changes_like_its_model(
        mut pages in any_map(),
        changes in vec_of((any::<bool>(), 0_usize..400, 0_usize..200), 0..20),
    ) {
        let words = words(&pages);
        let map = PageMap::new(&words, 0);
        for (take, first, len) in changes {
            let range = pages.get_mut(first..first + len).filter(|range| !range.is_empty());
            let fits = range.is_some_and(|range| {
                let fits = range.iter().all(|free| *free == take);
                if fits {
                    range.fill(!take);
                }
                fits
            });
            let changed = if take { map.take(first, len) } else { map.put(first, len) };
            assert_eq!(changed, fits);
            assert_eq!(model(&words), pages);
        }
    }
}

//! Against a list of what is in use.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// Where the windows of the tests begin: aligned to any slot.
const FIRST: Page = Page::containing_address(0xffff_c800_0000_0000);

/// Runs `body` with a window for a machine with `frames` frames.
fn with_window<T>(frames: u64, body: impl FnOnce(&mut Window<'_>) -> T) -> T {
    let mut memory = vec![0xdead_beef; Window::words_for(frames)];
    body(&mut Window::new(FIRST, frames, &mut memory))
}

#[test]
fn windows_of_all_machines_fit() {
    for frames in [256, 257, 16_000, 65_536, 1 << 20, 1_310_720] {
        with_window(frames, |window| {
            let pages = window.end().number() - FIRST.number();
            assert!(pages <= MOST_PAGES);
            // Everything at once, as far as a mapping goes.
            assert!(window.largest_room() >= frames.min(LARGEST_MAPPING));
            assert!(window.largest_room() <= LARGEST_MAPPING);
            assert!(Window::words_for(frames) as u64 * 64 <= frames / 8 + 2000);
        });
    }
    // The largest machine's window, without making its books.
    let pages: u64 = arena_sizes(u64::MAX)
        .map(|(slot_pages, slots)| slot_pages * slots)
        .sum();
    assert!(pages <= MOST_PAGES);
    assert_eq!(arena_sizes(u64::MAX).count(), ARENAS);
}

#[test]
fn only_first_pages_of_slots_in_use_come_back() {
    with_window(1000, |window| {
        let slot = window.take(100, 1).expect("there are slots");
        assert_eq!(window.room(slot), Some(127));
        for wrong in [
            slot.plus(1),
            slot.plus(128),
            FIRST,
            window.end(),
            Page::containing_address(0),
        ] {
            assert_eq!(window.give_back(wrong), Err(NotInUse(wrong)), "{wrong:?}");
            assert_eq!(window.room(wrong), None);
        }
        assert_eq!(window.give_back(slot), Ok(()));
        assert_eq!(window.give_back(slot), Err(NotInUse(slot)));
        assert!(window.contains(slot) && window.contains(FIRST));
        assert!(!window.contains(window.end()));
    });
}

#[test]
fn senseless_requests_get_nothing() {
    with_window(100_000, |window| {
        for (pages, align) in [
            (1, 0),
            (1, 3),
            (u64::MAX, 1),
            (1 << 40, 1),
            (LARGEST_MAPPING + 1, 1),
            (1, 1 << 63),
            (1, 1 << 40),
        ] {
            assert_eq!(window.take(pages, align), None, "{pages} {align}");
        }
    });
}

/// A mapping of the model: first page and pages.
type Mapping = (Page, u64);

/// Returns whether a mapping with a page on each side touches another one.
fn touches((first, pages): Mapping, others: &[Mapping]) -> bool {
    let (start, end) = (first.number() - 1, first.number() + pages + 1);
    others
        .iter()
        .any(|&(other, length)| start < other.number() + length && other.number() < end)
}

proptest! {
    #[test]
    fn mappings_never_touch_and_slots_outlast_frames(
        frames in 256..20_000u64,
        steps in prop::collection::vec((0..4u8, 32..=LARGEST_MAPPING, any::<prop::sample::Index>()), 1..300),
    ) {
        with_window(frames, |window| {
            let mut in_use: Vec<Mapping> = Vec::new();
            for (action, pages, index) in steps {
                if action == 0 && !in_use.is_empty() {
                    let (first, _) = in_use.swap_remove(index.index(in_use.len()));
                    prop_assert_eq!(window.give_back(first), Ok(()));
                    continue;
                }
                let used: u64 = in_use.iter().map(|&(_, pages)| pages).sum();
                // Small ones often, so that many slots of one arena are in use.
                let pages = if action == 1 { 32 + pages % 40 } else { pages };
                if used + pages > frames {
                    continue;
                }
                let first = window.take(pages, 1);
                prop_assert!(first.is_some(), "{pages} pages, {used} of {frames} in use");
                let mapping = (first.unwrap_or(FIRST), pages);
                prop_assert!(window.contains(mapping.0) && mapping.0.number() + pages < window.end().number());
                prop_assert!(!touches(mapping, &in_use));
                prop_assert!(window.room(mapping.0).is_some_and(|room| (pages..2 * pages.max(64)).contains(&room) && room <= LARGEST_MAPPING));
                in_use.push(mapping);
                prop_assert!(window.largest_room() >= (frames - used - pages).min(LARGEST_MAPPING));
            }
            Ok(())
        })?;
    }

    #[test]
    fn aligned_slots_are_aligned_and_the_largest_is_had(
        frames in 256..20_000u64,
        requests in prop::collection::vec((1..500u64, 0..12u32), 1..60),
    ) {
        with_window(frames, |window| {
            let mut in_use: Vec<Mapping> = Vec::new();
            for (pages, shift) in requests {
                let largest = window.largest_room();
                if let Some(first) = window.take(pages, 1 << shift) {
                    prop_assert!(first.number().is_multiple_of(1 << shift));
                    prop_assert!(!touches((first, pages), &in_use));
                    in_use.push((first, pages));
                }
                let largest_now = window.largest_room();
                prop_assert!(largest_now <= largest);
                prop_assert_eq!(window.take(largest_now + 1, 1), None);
                let first = window.take(largest_now, 1);
                prop_assert_eq!(first.map(|first| window.give_back(first)), Some(Ok(())));
            }
            Ok(())
        })?;
    }
}

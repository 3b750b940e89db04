//! One stack, and groups of every size, against the chunks that a list remembers as taken.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::{prop_assert_eq, proptest};

use super::{BitmappedStack, NotTaken, StackGroup};
use crate::bitmap::Bitmap;

#[test]
fn chunks_come_lowest_first_until_there_are_none() {
    for chunks in 0..=64 {
        let stack = BitmappedStack::new(chunks);
        for chunk in 0..chunks {
            assert_eq!(stack.height(chunks), chunk);
            assert_eq!(stack.take(), Some(chunk));
        }
        assert_eq!(stack.take(), None);
        assert_eq!(stack.height(chunks), chunks);
    }
}

#[test]
fn freed_top_lowers_height() {
    let stack = BitmappedStack::new(64);
    while stack.take().is_some() {}
    for height in (0..64).rev() {
        assert_eq!(stack.put(height), Ok(()));
        assert_eq!(stack.height(64), height);
    }
    assert_eq!(stack.free(), Bitmap::below(64));
}

#[test]
fn freed_top_lowers_height_past_the_holes_below_it() {
    let stack = BitmappedStack::new(64);
    while stack.take().is_some() {}
    for hole in 10..63 {
        assert_eq!(stack.put(hole), Ok(()));
        assert_eq!(stack.height(64), 64, "the top is still taken");
    }
    assert_eq!(stack.put(63), Ok(()));
    assert_eq!(stack.height(64), 10);
}

#[test]
fn the_lowest_hole_is_reused_first() {
    let stack = BitmappedStack::new(64);
    while stack.take().is_some() {}
    for hole in [40, 7, 63, 0, 22] {
        assert_eq!(stack.put(hole), Ok(()));
    }
    for hole in [0, 7, 22, 40, 63] {
        assert_eq!(stack.take(), Some(hole));
    }
    assert_eq!(stack.take(), None);
}

#[test]
fn a_second_free_is_refused_and_changes_nothing() {
    let stack = BitmappedStack::new(64);
    for _ in 0..10 {
        assert!(stack.take().is_some());
    }
    assert_eq!(stack.put(4), Ok(()));
    let before = stack.free();
    assert_eq!(stack.put(4), Err(NotTaken));
    assert_eq!(stack.put(10), Err(NotTaken), "never taken");
    assert_eq!(stack.free(), before);
}

#[test]
fn groups_of_every_size_fill_and_empty() {
    for chunks in 1..=256 {
        let group = StackGroup::new(chunks);
        assert_eq!(group.free_chunks(), chunks);
        for chunk in 0..chunks {
            assert!(group.is_free(chunk));
            assert_eq!(group.height(chunks), chunk);
            assert_eq!(group.take(), Some(chunk));
            assert!(!group.is_free(chunk));
        }
        assert_eq!(group.take(), None, "a group of {chunks} gave one more");
        assert_eq!(group.free_chunks(), 0);
        for chunk in (0..chunks).rev() {
            assert_eq!(group.put(chunk), Ok(()));
            assert_eq!(group.put(chunk), Err(NotTaken));
            assert_eq!(group.height(chunks), chunk);
        }
        assert_eq!(group.free_chunks(), chunks);
    }
}

proptest! {
    #[test]
    fn a_group_takes_and_returns_like_a_set(
        chunks in 1_usize..=256,
        steps in vec((any::<bool>(), 0_usize..256), 0..600),
    ) {
        let group = StackGroup::new(chunks);
        let mut taken = BTreeSet::new();
        for (take, chunk) in steps {
            if take {
                let lowest = (0..chunks).find(|chunk| !taken.contains(chunk));
                prop_assert_eq!(group.take(), lowest);
                taken.extend(lowest);
            } else if chunk < chunks {
                let expected = if taken.remove(&chunk) { Ok(()) } else { Err(NotTaken) };
                prop_assert_eq!(group.put(chunk), expected);
            }
            prop_assert_eq!(group.free_chunks(), chunks - taken.len());
            prop_assert_eq!(group.height(chunks), taken.last().map_or(0, |last| last + 1));
        }
    }
}

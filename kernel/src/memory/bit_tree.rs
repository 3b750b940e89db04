//! A set of small numbers in which the next member is found in constant time.
//!
//! One bit a number, 64 to a word; above it one bit a word that says "something is set below", and so on to a single
//! word. Up to 16 million numbers need four levels, so finding, adding and removing touch at most four words (eight for
//! [`next_member`](BitTree::next_member), which may climb and descend).
//!
//! ```text
//! level 1              1 0 1 …          bit w: word w of level 0 is not zero
//!                     ╱    ╲
//! level 0     0…0110   0…0   1…1 …      bit n of the set, 64 a word
//! ```
#![forbid(unsafe_code)]

use core::ops::Range;

/// Bits of a word, and words below a word.
const WORD_BITS: usize = 64;

/// The most levels there are.
const LEVELS: usize = 4;

/// The most numbers a tree holds: 0 up to, but not including, this one.
pub const LARGEST_CAPACITY: usize = 1 << (6 * LEVELS);

/// A set of numbers below its capacity, in memory that is lent to it.
///
/// # Invariants
/// - Bit `w` of level `n + 1` is set exactly when word `w` of level `n` is not zero.
/// - The last level has one word; levels behind it are empty.
#[derive(Debug)]
pub struct BitTree<'a> {
    /// The words of each level, the numbers themselves first.
    levels: [&'a mut [u64]; LEVELS],
    /// How many levels are in use.
    height: usize,
}

impl<'a> BitTree<'a> {
    /// Returns how many words a tree for the numbers below `capacity` needs.
    #[must_use]
    pub const fn words_for(capacity: usize) -> usize {
        let mut words = capacity.div_ceil(WORD_BITS);
        let mut sum = words;
        while words > 1 {
            words = words.div_ceil(WORD_BITS);
            sum += words;
        }
        sum
    }

    /// Makes an empty set out of the first [`words_for`](Self::words_for) `capacity` words of `memory`, and returns it
    /// with the words that are left.
    ///
    /// # Panics
    ///
    /// If `capacity` is above [`LARGEST_CAPACITY`] or `memory` is too short.
    #[must_use]
    pub fn new(capacity: usize, memory: &'a mut [u64]) -> (Self, &'a mut [u64]) {
        assert!(
            capacity <= LARGEST_CAPACITY,
            "a bit tree has at most {LEVELS} levels"
        );
        let mut levels: [&'a mut [u64]; LEVELS] = Default::default();
        let (mut rest, mut words, mut height) = (memory, capacity.div_ceil(WORD_BITS), 0);
        for level in &mut levels {
            let (own, others) = rest.split_at_mut(words);
            own.fill(0);
            *level = own;
            (rest, height) = (others, height + 1);
            if words <= 1 {
                break;
            }
            words = words.div_ceil(WORD_BITS);
        }
        (Self { levels, height }, rest)
    }

    /// Adds `number`, or removes it.
    pub fn set(&mut self, number: usize, is_member: bool) {
        let mut bit = number;
        for level in &mut self.levels[..self.height] {
            let word = &mut level[bit / WORD_BITS];
            let before = *word;
            let mask = 1 << (bit % WORD_BITS);
            *word = if is_member {
                before | mask
            } else {
                before & !mask
            };
            // The level above says only whether this word is zero.
            if (before == 0) == (*word == 0) {
                return;
            }
            bit /= WORD_BITS;
        }
    }

    /// Adds all of `numbers`, or removes them: one step for 64.
    pub fn set_all(&mut self, numbers: Range<usize>, are_members: bool) {
        if numbers.is_empty() {
            return;
        }
        let (mut first, mut last) = (numbers.start / WORD_BITS, (numbers.end - 1) / WORD_BITS);
        for number in first..=last {
            let (skipped, end) = (
                numbers.start.saturating_sub(number * WORD_BITS),
                (numbers.end - number * WORD_BITS).min(WORD_BITS),
            );
            let mask = (u64::MAX << skipped) & (u64::MAX >> (WORD_BITS - end));
            let word = &mut self.levels[0][number];
            *word = if are_members {
                *word | mask
            } else {
                *word & !mask
            };
        }
        for height in 1..self.height {
            for number in first..=last {
                let bit = u64::from(self.levels[height - 1][number] != 0) << (number % WORD_BITS);
                let word = &mut self.levels[height][number / WORD_BITS];
                *word = *word & !(1 << (number % WORD_BITS)) | bit;
            }
            (first, last) = (first / WORD_BITS, last / WORD_BITS);
        }
    }

    /// Returns one bit a number, 64 a word.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        self.levels[0]
    }

    /// Returns whether `number` is in the set.
    #[must_use]
    pub fn contains(&self, number: usize) -> bool {
        self.levels[0]
            .get(number / WORD_BITS)
            .is_some_and(|word| word >> (number % WORD_BITS) & 1 == 1)
    }

    /// Returns the smallest member: one descent.
    #[must_use]
    pub fn first_member(&self) -> Option<usize> {
        let root = self.height - 1;
        let word = self.levels[root].first().filter(|&&word| word != 0)?;
        Some(self.smallest_below(root, word.trailing_zeros() as usize))
    }

    /// Returns the smallest member that is at least `from`.
    #[must_use]
    pub fn next_member(&self, from: usize) -> Option<usize> {
        let mut bit = from;
        for (height, level) in self.levels[..self.height].iter().enumerate() {
            let rest = level.get(bit / WORD_BITS)? & (u64::MAX << (bit % WORD_BITS));
            if rest != 0 {
                let found = bit / WORD_BITS * WORD_BITS + rest.trailing_zeros() as usize;
                return Some(self.smallest_below(height, found));
            }
            bit = bit / WORD_BITS + 1;
        }
        None
    }

    /// Returns the smallest number from `from` on that is not in the set; the numbers behind the capacity are not. Where
    /// that is not below `limit`, any number from `limit` up to it. Walks words of 64 numbers, so it costs
    /// `(limit - from) / 64` at most.
    #[must_use]
    pub fn next_absent(&self, from: usize, limit: usize) -> usize {
        let mut bit = from;
        while bit < limit
            && let Some(word) = self.levels[0].get(bit / WORD_BITS)
        {
            let absent = !word & (u64::MAX << (bit % WORD_BITS));
            if absent != 0 {
                return bit / WORD_BITS * WORD_BITS + absent.trailing_zeros() as usize;
            }
            bit = (bit / WORD_BITS + 1) * WORD_BITS;
        }
        bit
    }

    /// Descends from a set bit of the level at `height` to the smallest member below it.
    fn smallest_below(&self, height: usize, bit: usize) -> usize {
        self.levels[..height].iter().rev().fold(bit, |word, level| {
            word * WORD_BITS + level[word].trailing_zeros() as usize
        })
    }
}

/// A level multiplies the capacity by the bits of a word.
const _: () = assert!(WORD_BITS == 1 << 6);

#[cfg(test)]
mod tests {
    //! Against a plain list of booleans.

    use std::collections::BTreeSet;
    use std::vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn word_counts_are_those_of_the_levels() {
        assert_eq!(BitTree::words_for(0), 0);
        assert_eq!(BitTree::words_for(64), 1);
        assert_eq!(BitTree::words_for(65), 2 + 1);
        assert_eq!(BitTree::words_for(64 * 64 + 1), 65 + 2 + 1);
    }

    proptest! {
        #[test]
        fn behaves_like_an_ordered_set(
            capacity in prop_oneof![Just(1usize), Just(64), Just(65), Just(5000)],
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..300usize, any::<bool>()), 0..200),
            looks in prop::collection::vec(0usize..5100, 20),
        ) {
            let mut memory = vec![u64::MAX; BitTree::words_for(capacity) + 3];
            let (mut tree, rest) = BitTree::new(capacity, &mut memory);
            prop_assert_eq!(rest.len(), 3);
            let mut model = BTreeSet::new();
            for (index, more, is_member) in changes {
                let first = index.index(capacity);
                // One number half of the time.
                let end = (first + more.saturating_sub(150)).min(capacity);
                if end <= first + 1 { tree.set(first, is_member); } else { tree.set_all(first..end, is_member); }
                for number in first..end.max(first + 1) {
                    if is_member { model.insert(number); } else { model.remove(&number); }
                }
            }
            prop_assert_eq!(tree.words().iter().map(|word| word.count_ones() as usize).sum::<usize>(), model.len());
            prop_assert_eq!(tree.first_member(), model.first().copied());
            for from in looks {
                prop_assert_eq!(tree.contains(from), model.contains(&from));
                prop_assert_eq!(tree.next_member(from), model.range(from..).next().copied());
                if from < capacity {
                    let absent = (from..).find(|number| !model.contains(number)).expect("the model is finite");
                    prop_assert_eq!(tree.next_absent(from, usize::MAX), absent);
                    let limited = tree.next_absent(from, from + 70);
                    prop_assert!(limited == absent || (from + 70..=absent).contains(&limited));
                }
            }
        }
    }
}

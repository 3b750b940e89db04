//! Runs of neighbouring members of a set of numbers: the longest, and the lowest one that is long enough, found in a few steps.
//!
//! The set is a [`BitTree`](super::bit_tree::BitTree), 64 numbers to a word. A binary tree stands above its words; each node says
//! of the numbers below it how many are members from the first on, how many up to the last, and in the longest run:
//!
//! ```text
//!                        0 3 5                    start, end, longest: the run across the middle has 2 + 3
//!                   ╱             ╲
//!               0 2 4             3 3 3
//!             ╱       ╲         ╱       ╲
//! words    0011 1110  ┆        …         ┆        (drawn with 8 numbers below each node)
//! ```
//!
//! A change of one word costs a node a level, that of neighbouring words a node for each and the levels above: two nodes a word
//! and one a level. The search descends once.
#![forbid(unsafe_code)]

use core::ops::Range;

/// Numbers of a word.
const WORD_BITS: u64 = u64::BITS as u64;

/// Words of memory that a node takes.
const NODE_WORDS: usize = 2;

/// What is known of the numbers below a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Node {
    /// How many are members from the first on.
    start: u64,
    /// How many are members up to the last.
    end: u64,
    /// The length of the longest run.
    longest: u64,
}

impl Node {
    /// Returns the node of the numbers in one word.
    const fn of_word(word: u64) -> Self {
        Self {
            start: word.trailing_ones() as u64,
            end: word.leading_ones() as u64,
            longest: longest_run_of_ones(word),
        }
    }

    /// Returns the node above `left` and `right`, which have `length` numbers each.
    fn above(left: Self, right: Self, length: u64) -> Self {
        let whole = |node: Self| node.longest == length;
        Self {
            start: left.start + if whole(left) { right.start } else { 0 },
            end: right.end + if whole(right) { left.end } else { 0 },
            longest: left.longest.max(right.longest).max(left.end + right.start),
        }
    }

    /// Reads a node; each of its numbers has 32 bits at most, because trees have at most 2²⁴ numbers.
    const fn from_words([ends, longest]: [u64; NODE_WORDS]) -> Self {
        Self {
            start: ends & 0xffff_ffff,
            end: ends >> 32,
            longest,
        }
    }

    /// Returns what [`from_words`](Self::from_words) reads.
    const fn to_words(self) -> [u64; NODE_WORDS] {
        [self.start | self.end << 32, self.longest]
    }
}

/// The runs of a set, in memory that is lent to it.
///
/// # Invariants
/// - Node 1 is the root; below node `n` are `2 n` and `2 n + 1`; node `leaves + w` is that of word `w`.
/// - Words behind the last one are empty.
#[derive(Debug)]
pub struct RunTree<'a> {
    /// The nodes; the first one is not used.
    nodes: &'a mut [[u64; NODE_WORDS]],
    /// How many words it has room for: a power of two.
    leaves: usize,
}

impl<'a> RunTree<'a> {
    /// Returns how many words of memory the tree of a set of `words` words needs.
    #[must_use]
    pub const fn words_for(words: usize) -> usize {
        2 * words.next_power_of_two() * NODE_WORDS
    }

    /// Makes the tree of a set of `words` words without members out of the first [`words_for`](Self::words_for) `words` words of
    /// `memory`, and returns it with the words that are left.
    ///
    /// # Panics
    ///
    /// If `memory` is too short.
    #[must_use]
    pub fn new(words: usize, memory: &'a mut [u64]) -> (Self, &'a mut [u64]) {
        let (own, rest) = memory.split_at_mut(Self::words_for(words));
        own.fill(0);
        let (nodes, _) = own.as_chunks_mut();
        let leaves = words.next_power_of_two();
        (Self { nodes, leaves }, rest)
    }

    /// Brings the tree up to date with the set's `words`, of which those numbered `changed` have changed.
    pub fn update(&mut self, words: &[u64], changed: Range<usize>) {
        if changed.is_empty() {
            return;
        }
        let (mut first, mut last) = (self.leaves + changed.start, self.leaves + changed.end - 1);
        for (node, word) in self.nodes[first..=last].iter_mut().zip(&words[changed]) {
            *node = Node::of_word(*word).to_words();
        }
        let mut length = WORD_BITS;
        while first > 1 {
            (first, last) = (first / 2, last / 2);
            for number in first..=last {
                let node = Node::above(self.node(2 * number), self.node(2 * number + 1), length);
                self.nodes[number] = node.to_words();
            }
            length *= 2;
        }
    }

    /// Returns the length of the longest run.
    #[must_use]
    pub fn longest(&self) -> u64 {
        self.node(1).longest
    }

    /// Returns the first number of the lowest run of at least `length` (and at least one) members; `words` are the set's.
    #[must_use]
    pub fn find(&self, words: &[u64], length: u64) -> Option<u64> {
        if length == 0 || self.longest() < length {
            return None;
        }
        let (mut number, mut first) = (1, 0);
        let mut below = self.leaves as u64 * WORD_BITS;
        while number < self.leaves {
            below /= 2;
            let (left, right) = (self.node(2 * number), self.node(2 * number + 1));
            number *= 2;
            if left.longest >= length {
                continue;
            }
            if left.end + right.start >= length {
                return Some(first + below - left.end);
            }
            (number, first) = (number + 1, first + below);
        }
        let starts = starts_of_runs(*words.get(number - self.leaves)?, length);
        Some(first + u64::from(starts.trailing_zeros()))
    }

    /// Returns a node.
    fn node(&self, number: usize) -> Node {
        Node::from_words(self.nodes[number])
    }
}

/// Returns the bits of `word` from which on at least `length` ones follow each other.
fn starts_of_runs(word: u64, length: u64) -> u64 {
    (1..length).fold(word, |starts, _| starts & starts >> 1)
}

/// Returns the length of the longest run of ones in `bits`.
#[must_use]
pub const fn longest_run_of_ones(bits: u64) -> u64 {
    /// The logarithm of the bits of a word.
    const STEPS: usize = 6;
    if bits == u64::MAX {
        return WORD_BITS;
    }
    // Where 1, 2, 4, 8, 16 and 32 ones follow each other.
    let mut powers = [bits; STEPS];
    let mut step = 1;
    while step < STEPS {
        powers[step] = powers[step - 1] & powers[step - 1] >> (1 << (step - 1));
        step += 1;
    }
    // The longest run's length, from its highest bit on.
    let (mut starts, mut length) = (u64::MAX, 0);
    while step > 0 {
        step -= 1;
        let longer = starts & powers[step] >> length;
        if longer != 0 {
            (starts, length) = (longer, length + (1 << step));
        }
    }
    length
}

#[cfg(test)]
mod tests {
    //! Against a plain list of booleans.

    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// The lengths and first numbers of all runs, the slow way.
    fn runs(words: &[u64]) -> Vec<(u64, u64)> {
        let bits: Vec<bool> = words
            .iter()
            .flat_map(|word| (0..64).map(move |bit| word >> bit & 1 == 1))
            .collect();
        let mut first = 0;
        bits.chunk_by(|left, right| left == right)
            .filter_map(|chunk| {
                let start = first;
                first += chunk.len() as u64;
                chunk[0].then_some((chunk.len() as u64, start))
            })
            .collect()
    }

    #[test]
    fn runs_of_ones_in_a_word() {
        for word in [
            0,
            1,
            u64::MAX,
            1 << 63,
            0xf0f0,
            !(1 << 31),
            u64::MAX >> 1,
            0b1011_0111,
        ] {
            let longest = runs(&[word]).into_iter().max().unwrap_or_default();
            assert_eq!(longest_run_of_ones(word), longest.0, "{word:#b}");
        }
    }

    /// A word with long runs, or any.
    fn any_word() -> impl Strategy<Value = u64> {
        prop_oneof![
            1 => Just(0),
            3 => Just(u64::MAX),
            1 => (0..64_u32).prop_map(|bits| u64::MAX << bits),
            1 => (0..64_u32).prop_map(|bits| u64::MAX >> bits),
            1 => any::<u64>(),
        ]
    }

    proptest! {
        #[test]
        fn runs_are_those_of_a_list(
            count in 1..40_usize,
            changes in prop::collection::vec(
                (any::<prop::sample::Index>(), prop::collection::vec(any_word(), 1..9)), 1..20),
        ) {
            let mut memory = vec![u64::MAX; RunTree::words_for(count) + 1];
            let (mut tree, rest) = RunTree::new(count, &mut memory);
            prop_assert_eq!(rest.len(), 1);
            let mut words = vec![0; count];
            for (index, new) in changes {
                let first = index.index(count);
                let end = (first + new.len()).min(count);
                words[first..end].copy_from_slice(&new[..end - first]);
                tree.update(&words, first..end);
                let runs = runs(&words);
                let longest = runs.iter().map(|&(length, _)| length).max().unwrap_or(0);
                prop_assert_eq!(tree.longest(), longest);
                for length in (1..=longest + 1).rev().take(70).chain([1, 2, 63, 64, 65, 128]) {
                    let lowest = runs.iter().find(|&&(other, _)| other >= length);
                    prop_assert_eq!(tree.find(&words, length), lowest.map(|&(_, first)| first));
                }
                prop_assert_eq!(tree.find(&words, 0), None);
            }
        }
    }
}

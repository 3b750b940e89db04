//! A search tree over 64-bit keys whose links live inside its members.
//!
//! A binary digital tree: a key's bits, highest first, say left or right. Every node is itself a member, so the tree
//! needs no memory beside its members' records, and no rebalancing: a path is never longer than a key has bits. (The
//! "tree bins" of Doug Lea's malloc are of this kind.)
//!
//! Cost: at most 64 steps for each operation, twice that for [`Trie::find_at_or_below`] and [`Trie::find_at_or_above`]; about
//! the logarithm of the number of members where keys spread well.
#![forbid(unsafe_code)]

use core::cell::Cell;

/// A handle whose record holds links to its subtrees.
pub(crate) trait TrieNode: Copy + PartialEq {
    /// Returns the key. Distinct for all members, and fixed while in the tree.
    fn key(&self) -> u64;

    /// Returns the two links inside this member's record.
    fn children(&self) -> &Children<Self>;
}

/// A member's subtrees: left for a next bit of 0, right for 1.
pub(crate) type Children<T> = [Cell<Option<T>>; 2];

/// A set of members, found by key.
#[derive(Debug)]
pub(crate) struct Trie<T> {
    /// The member whose bits nobody asked for yet.
    root: Option<T>,
}

/// Where a link stands.
#[derive(Clone, Copy)]
enum Place<T> {
    /// The root of the tree.
    Root,
    /// The left (0) or right (1) link of this member.
    Below(T, usize),
}

/// Returns the next bit of what is left of a key, as an index.
const fn next_bit(path: u64) -> usize {
    if path >> 63 == 0 { 0 } else { 1 }
}

impl<T> Trie<T> {
    /// Creates an empty tree.
    pub(crate) const fn new() -> Self {
        Self { root: None }
    }
}

impl<T: TrieNode> Trie<T> {
    /// Returns the member with `key`.
    pub(crate) fn find(&self, key: u64) -> Option<T> {
        let mut path = key;
        let mut node = self.root;
        while let Some(member) = node {
            if member.key() == key {
                return Some(member);
            }
            node = member.children()[next_bit(path)].get();
            path <<= 1;
        }
        None
    }

    /// Puts `member`, whose key is not in the tree yet, in.
    pub(crate) fn insert(&mut self, member: T) {
        let place = self.place_of(member);
        debug_assert!(self.get(place).is_none(), "two members with one key");
        for child in member.children() {
            child.set(None);
        }
        self.set(place, Some(member));
    }

    /// Takes `member`, which is in the tree, out: a leaf from below it takes its place.
    pub(crate) fn remove(&mut self, member: T) {
        let place = self.place_of(member);
        debug_assert!(
            self.get(place) == Some(member),
            "a member is found by its key"
        );
        let mut leaf = member;
        let mut leaf_place = place;
        while let Some((side, below)) = any_child(leaf) {
            leaf_place = Place::Below(leaf, side);
            leaf = below;
        }
        self.set(leaf_place, None);
        if leaf != member {
            for (to, from) in leaf.children().iter().zip(member.children()) {
                to.set(from.take());
            }
            self.set(place, Some(leaf));
        }
    }

    /// Returns the member with the largest key that is not above `key`.
    pub(crate) fn find_at_or_below(&self, key: u64) -> Option<T> {
        let mut best: Option<T> = None;
        let mut passed = None;
        let mut path = key;
        let mut node = self.root;
        while let Some(member) = node {
            if member.key() <= key {
                best = larger(best, member);
            }
            let [left, right] = member.children();
            node = if next_bit(path) == 0 {
                left.get()
            } else {
                // Whatever lies left of the path is below `key`; the last such subtree holds the largest.
                passed = left.get().or(passed);
                right.get()
            };
            path <<= 1;
        }
        while let Some(member) = passed {
            best = larger(best, member);
            let [left, right] = member.children();
            passed = right.get().or(left.get());
        }
        best
    }

    /// Returns the member with the smallest key that is not below `key`.
    pub(crate) fn find_at_or_above(&self, key: u64) -> Option<T> {
        let mut best: Option<T> = None;
        let mut passed = None;
        let mut path = key;
        let mut node = self.root;
        while let Some(member) = node {
            if member.key() >= key {
                best = smaller(best, member);
            }
            let [left, right] = member.children();
            node = if next_bit(path) == 0 {
                // Whatever lies right of the path is above `key`; the last such subtree holds the smallest.
                passed = right.get().or(passed);
                left.get()
            } else {
                right.get()
            };
            path <<= 1;
        }
        while let Some(member) = passed {
            best = smaller(best, member);
            let [left, right] = member.children();
            passed = left.get().or(right.get());
        }
        best
    }

    /// Returns the place that holds `member`, or where it belongs.
    fn place_of(&self, member: T) -> Place<T> {
        let key = member.key();
        let mut path = key;
        let mut place = Place::Root;
        while let Some(above) = self.get(place) {
            if above.key() == key {
                break;
            }
            place = Place::Below(above, next_bit(path));
            path <<= 1;
        }
        place
    }

    /// Reads the link at `place`.
    fn get(&self, place: Place<T>) -> Option<T> {
        match place {
            Place::Root => self.root,
            Place::Below(member, side) => member.children()[side].get(),
        }
    }

    /// Writes the link at `place`.
    fn set(&mut self, place: Place<T>, link: Option<T>) {
        match place {
            Place::Root => self.root = link,
            Place::Below(member, side) => member.children()[side].set(link),
        }
    }
}

/// Returns a subtree of `member` and its side.
fn any_child<T: TrieNode>(member: T) -> Option<(usize, T)> {
    let [left, right] = member.children();
    left.get()
        .map(|child| (0, child))
        .or(right.get().map(|child| (1, child)))
}

/// Returns the one with the larger key.
fn larger<T: TrieNode>(best: Option<T>, member: T) -> Option<T> {
    match best {
        Some(best) if best.key() > member.key() => Some(best),
        _ => Some(member),
    }
}

/// Returns the one with the smaller key.
fn smaller<T: TrieNode>(best: Option<T>, member: T) -> Option<T> {
    match best {
        Some(best) if best.key() < member.key() => Some(best),
        _ => Some(member),
    }
}

#[cfg(test)]
mod tests;

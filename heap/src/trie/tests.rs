//! The tree against the standard library's ordered map.

use std::collections::BTreeMap;
use std::vec::Vec;

use core::cell::Cell;
use core::ptr;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::{prop_assert_eq, prop_oneof, proptest};

use super::{Children, Trie, TrieNode};

/// A member's record.
struct Record<'a> {
    key: u64,
    children: Children<Node<'a>>,
}

impl Record<'_> {
    /// Creates the record of a member that is in no tree.
    const fn new(key: u64) -> Self {
        Self {
            key,
            children: [Cell::new(None), Cell::new(None)],
        }
    }
}

/// A member.
#[derive(Clone, Copy)]
struct Node<'a>(&'a Record<'a>);

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.0, other.0)
    }
}

impl<'a> TrieNode for Node<'a> {
    fn key(&self) -> u64 {
        self.0.key
    }

    fn children(&self) -> &Children<Node<'a>> {
        &self.0.children
    }
}

/// Asserts that `tree` answers for `key` as `model` does.
fn assert_like<'a>(tree: &Trie<Node<'a>>, model: &BTreeMap<u64, Node<'a>>, key: u64) {
    assert!(tree.find(key) == model.get(&key).copied(), "find {key:#x}");
    let below = model.range(..=key).next_back().map(|(_, node)| *node);
    assert!(
        tree.find_at_or_below(key) == below,
        "at or below {key:#x}: {:x?}, not {:x?}",
        tree.find_at_or_below(key).map(|node| node.key()),
        below.map(|node| node.key())
    );
    let above = model.range(key..).next().map(|(_, node)| *node);
    assert!(
        tree.find_at_or_above(key) == above,
        "at or above {key:#x}: {:x?}, not {:x?}",
        tree.find_at_or_above(key).map(|node| node.key()),
        above.map(|node| node.key())
    );
}

/// Asserts that a member's links lead to nothing but members: the leaves below are cut when they move.
fn count<'a>(node: Option<Node<'a>>) -> usize {
    node.map_or(0, |node| {
        let [left, right] = node.children();
        1 + count(left.get()) + count(right.get())
    })
}

#[test]
fn keys_that_differ_in_one_bit_are_told_apart() {
    let records: Vec<Record<'_>> = (0..64)
        .map(|bit| Record::new(1 << bit))
        .chain([Record::new(0), Record::new(u64::MAX)])
        .collect();
    let mut tree = Trie::new();
    let mut model = BTreeMap::new();
    for record in &records {
        tree.insert(Node(record));
        model.insert(record.key, Node(record));
    }
    for record in &records {
        for key in [
            record.key,
            record.key.wrapping_sub(1),
            record.key.wrapping_add(1),
        ] {
            assert_like(&tree, &model, key);
        }
    }
    for record in &records {
        tree.remove(Node(record));
        model.remove(&record.key);
        for other in &records {
            assert_like(&tree, &model, other.key);
        }
    }
    assert!(tree.root.is_none());
}

#[test]
fn a_member_can_come_back() {
    let records = [Record::new(5), Record::new(4), Record::new(6)];
    let mut tree = Trie::new();
    for record in &records {
        tree.insert(Node(record));
    }
    for record in &records {
        tree.remove(Node(record));
        assert!(tree.find(record.key).is_none());
        tree.insert(Node(record));
        assert!(tree.find(record.key) == Some(Node(record)));
    }
    assert_eq!(count(tree.root), 3);
}

/// Keys as addresses make them: in clusters, far apart, and at the ends.
fn keys() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0_u64..64,
        4 => (0_u64..64).prop_map(u64::reverse_bits),
        2 => (0_u64..256).prop_map(|page| 0xffff_8000_0000_0000 | page << 12),
        2 => any::<u64>(),
        1 => (0_u64..4).prop_map(|below| u64::MAX - below),
    ]
}

proptest! {
    #[test]
    fn answers_like_an_ordered_map(
        steps in vec((any::<bool>(), keys()), 1..200),
        asked in vec(keys(), 8),
    ) {
        let mut all: Vec<u64> = steps.iter().map(|step| step.1).collect();
        all.sort_unstable();
        all.dedup();
        let records: Vec<Record<'_>> = all.iter().map(|key| Record::new(*key)).collect();
        let mut tree = Trie::new();
        let mut model = BTreeMap::new();
        for (insert, key) in &steps {
            let record = &records[all.binary_search(key).expect("it is among all")];
            let inside = model.contains_key(key);
            if *insert && !inside {
                tree.insert(Node(record));
                model.insert(*key, Node(record));
            } else if !*insert && inside {
                tree.remove(Node(record));
                model.remove(key);
            }
            prop_assert_eq!(count(tree.root), model.len());
            for key in asked.iter().chain([key]) {
                assert_like(&tree, &model, *key);
            }
        }
        for key in &all {
            assert_like(&tree, &model, *key);
        }
    }
}

#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(test)]
extern crate std;

pub use crate::check::Corruption;
pub use crate::global_allocator::Allocator;
pub use crate::memory_source::{MemorySource, Owns};
pub use crate::misuse::{Misuse, MisuseKind, Object};
pub use crate::page_runs::KEPT_BLOCKS;
pub use crate::statistics::{ClassStatistics, PageStatistics, Statistics};
pub use crate::units::{BLOCK_SIZE, PAGE_SIZE};

// Pure parts: numbers and links.
mod bitmap;
mod list;
mod size_class;
mod trie;
mod units;

// Where memory comes from, and how it is divided.
mod block;
mod memory_source;
mod page_runs;
mod regions;

// Layer 1: 64 chunks in a word.
mod bitmapped_stack;

// Layer 2: a linked list of stacks.
mod sized_allocator;

// Layer 3: which list, and what happens when it runs dry; and which object a free means.
mod factory_chain;
mod locate;

// Layer 4: who may enter.
mod lock;

// The four layers composed, and what can be seen of them.
mod check;
mod global_allocator;
mod misuse;
mod statistics;

#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(test)]
extern crate std;

pub use crate::check::Corruption;
pub use crate::global_allocator::Allocator;
pub use crate::memory_source::MemorySource;
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

// The four layers.
mod bitmapped_stack;
mod factory_chain;
mod lock;
mod sized_allocator;

// The four layers composed, and what can be seen of them.
mod check;
mod global_allocator;
mod misuse;
mod statistics;

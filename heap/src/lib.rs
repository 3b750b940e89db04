#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(feature = "allocator_api", feature(allocator_api))]

#[cfg(any(test, loom))]
extern crate std;

pub use crate::block_snapshot::{BlockSnapshot, PageState};
pub use crate::cache::{Cache, CacheStatistics, Cached, KEPT_OBJECTS};
pub use crate::chain_kind::KEPT_BLOCKS;
pub use crate::check::Corruption;
pub use crate::current_cpu::CurrentCpu;
pub use crate::fault_injection::FaultInjector;
pub use crate::global_allocator::Allocator;
pub use crate::heap::{AllocError, Heap};
pub use crate::locked_heap::{HeapGuard, HeapStart, LockedHeap};
pub use crate::memory_source::{MemorySource, Owns};
pub use crate::misuse::{Misuse, MisuseKind};
pub use crate::page_runs::LARGEST_RESERVE;
pub use crate::place::{Object, ObjectKind, ObjectState, Place};
pub use crate::scope::{LARGEST_PIECE, SMALLEST_PIECE, Scope};
pub use crate::sharded_allocator::ShardedAllocator;
pub use crate::shrinkers::{MOST_SHRINKERS, Shrinker, TooManyShrinkers};
pub use crate::sources::{Fallback, NoMemory, NoSuchEnd, Region, Regions, TooSmall};
pub use crate::statistics::shards::CpuStatistics;
pub use crate::statistics::{ClassStatistics, PageStatistics, Statistics};
pub use crate::units::{BLOCK_SIZE, PAGE_SIZE};

// Pure parts: numbers, links, words.
mod bitmap;
mod block_snapshot;
mod list;
mod place;
mod published;
mod size_class;
mod totals;
mod trie;
mod units;

// Where memory comes from, how it is divided, and what is known of it.
mod block;
mod chain_kind;
mod directory;
mod gone_back;
mod holdings;
mod locate;
mod memory_source;
mod misuse;
mod page_runs;
mod quarantine;
mod regions;
mod run;
mod sources;

// Layer 1: 64 chunks in a word.
mod bitmapped_stack;

// Layer 2: a linked list of stacks.
mod sized_allocator;

// Layer 3: which list, and what happens when it runs dry.
mod at_hand;
mod factory_chain;

// Layer 4: who may enter, and whom to ask and to tell when memory is out. For many CPUs: one chain for each.
mod callbacks;
mod current_cpu;
mod lock;
mod out_of_memory;
mod sharded;
mod shrinkers;
mod sync;

// The layers composed, with the lock and without, and what can be seen of them.
#[cfg(feature = "allocator_api")]
mod allocator_api;
mod check;
mod global_allocator;
mod heap;
mod locked_heap;
mod sharded_allocator;
mod statistics;
mod walk;

// For users of any heap: objects kept constructed, objects freed at once, memory that fails.
mod cache;
mod fault_injection;
mod scope;

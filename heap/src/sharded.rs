//! What makes one heap of many CPUs' chains: layer 4 for many.
//!
//! Each CPU has a [shard]: layers 1 to 3, behind a lock that nobody else takes in the usual case, so that allocating and giving
//! back one's own objects writes no cache line that another CPU looks at. What is different from a heap with one lock:
//!
//! ```text
//!   CPU 0                      CPU 1                            all
//! ┌────────────┐  inbox      ┌────────────┐  inbox
//! │ shard 0    │◀────────────│ shard 1    │◀──────── …        tables: whose is an address?   (table, finding)
//! │  chain     │  tree of    │  chain     │                   pool of empty blocks          (central)
//! └─────┬──────┘  bits       └─────┬──────┘                   the source
//!       └────── blocks ────────────┴───────────────────────────────┘
//! ```
//!
//! - A block has a [record] in front of its chain's header: who owns it, and a [tree of bits](remote_frees) for what others give back.
//!   Such a free is one `fetch_or`, and waits for nothing. The owner takes it in when it runs dry, told by its [inbox]; how no free is
//!   lost between the two is in [signal].
//! - Whose block an address lies in is looked up in a [table] without a lock, on a [visit](visits); there is written why a header
//!   outlives whoever looks at it.
//! - Blocks that fall idle go to the [central] pool, and from there to whoever needs one, or to the source. A shard that gets no
//!   memory takes a block with room over from another one ([moving]).
//!
//! Order of locks: a shard's, then the central one. Two shards' are never waited for at once: the second is tried.

pub(crate) mod central;
pub(crate) mod finding;
pub(crate) mod getting;
pub(crate) mod giving_back;
pub(crate) mod inbox;
pub(crate) mod leaving;
pub(crate) mod looking;
#[cfg(all(test, loom))]
mod loom_tests;
pub(crate) mod misuse_handler;
pub(crate) mod moving;
pub(crate) mod outside_counts;
pub(crate) mod record;
pub(crate) mod remote_frees;
pub(crate) mod resizing;
pub(crate) mod shard;
pub(crate) mod shard_source;
pub(crate) mod signal;
pub(crate) mod table;
pub(crate) mod visitors;
pub(crate) mod visits;

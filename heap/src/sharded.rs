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
//!
//! # How we know
//!
//! Why each part is right is written in its module. Besides, small programs are tried in every order of events that [loom] knows, the
//! hardware's reorderings among them:
//!
//! ```text
//! make loom                   a quarter of an hour; PREEMPTIONS=2 is what `make test` does, in a minute, 4 goes further
//! make loom MUTANTS=1         breaks the heap on purpose, piece by piece, and sees whether a model fails
//! make tsan                   real threads under the thread sanitizer
//! ```
//!
//! - *The parts alone* (`sharded/loom_tests`): frees of one tree that race with each other and with the owner who takes in, messages,
//!   visits of an entry that goes or comes, blocks that leave one after the other. One to three threads beside the owner do one to three
//!   things each. That memory goes on is a write that loom sees (`touch_alone`).
//! - *The whole heap* (`heap/tests/loom`): two shards, two or three threads, one or two blocks, one region. Each object has a cell beside
//!   it that its user writes: so memory that two have, or that goes on before what was written is seen, is found. So is who comes late to
//!   memory that went back, whatever is not given back at the end, and a double free that nobody is told of.
//!
//! In each of these, threads are interrupted by others at most three times; one that waits is no interruption. Without a
//! bound they do not end in reasonable time. Loom also knows no order in which a lock that is only tried is about to be free; so the
//! whole heap is modelled once more with a word that shows it, and one interruption less.
//!
//! What loom cannot see, and what stands for it:
//!
//! - *Sequential consistency of accesses* it knows in part: a load does not read past the newest such store, but it does read the
//!   value that was there at first. Fences that are there for the model alone stand for the rest ([`crate::sync`]): they show what goes
//!   wrong without the order, but not whether the accesses make it. That is argued in [`signal`] and [`visits`]. Fences acquire and
//!   release besides; so the models of the tree are run without them too.
//! - *Read-modify-writes* read the newest value there. A weaker order of two of them shows in what they guard alone.
//! - *The bitmaps* that others look into ([`crate::published`]) and plain counters are no atomics of loom's: of the bitmaps, both orders of a
//!   look and a change are tried, but never an older value.
//! - *The lock* is loom's own, with a word beside it that others look at. What the user's lock promises is an argument in [`visits`].
//! - *Sizes* are less: one word of an inbox, 16 pages with words, three looks before null.
//! - *Reads before a write by the same thread* hide other threads' reads from loom's search, so each access is announced by a change of
//!   a word beside the atomic.
//!
//! [loom]: https://docs.rs/loom

pub(crate) mod central;
pub(crate) mod finding;
pub(crate) mod getting;
pub(crate) mod giving_back;
pub(crate) mod inbox;
pub(crate) mod leaving;
pub(crate) mod leaving_regions;
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

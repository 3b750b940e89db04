//! How fast and how tight the heap is, beside the heaps that a kernel can use today.
//!
//! ```text
//! operation    what a heap is asked for: a stream of operations
//! numbers      the same random numbers each time
//! trace        recorded programs, as streams
//! replay       asks a heap what a stream says
//! arena        the memory that heaps get
//! floor        the least that a heap can do
//! heap         a heap as the benchmarks see it
//! thread_number  which thread asks a heap
//! contenders   all heaps, by name
//! workloads    the streams that are timed
//! rounds       how they are timed
//! timings      the table of that
//! latency      how long single operations take
//! threads      how long operations take when two threads share a heap
//! memory       how much of an arena can be put to use
//! targets      what is to be reached, and whether it is
//! figures      every number, for the CSV file
//! table, plot  how they are shown
//! options      what can be chosen
//! closed_pipe  what happens when nobody reads on
//! ```

pub mod arena;
pub mod closed_pipe;
pub mod contenders;
pub mod figures;
pub mod floor;
pub mod heap;
pub mod latency;
pub mod memory;
pub mod numbers;
pub mod operation;
pub mod options;
pub mod plot;
pub mod replay;
pub mod rounds;
pub mod statistics;
pub mod table;
pub mod targets;
pub mod thread_number;
pub mod threads;
pub mod timings;
pub mod trace;
pub mod workloads;

#[cfg(test)]
mod tests;

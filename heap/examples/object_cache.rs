//! Objects that are costly to make, kept made: a cache, and what it spares the heap.
//!
//! A server has a parser for each connection. A parser has a table and a buffer: to make one takes three allocations
//! and some work. Connections come and go, so parsers are kept for the next ones.
//!
//! Run it with `make example NAME=object_cache`.

use core::alloc::{GlobalAlloc, Layout};
use core::ops::DerefMut;
use core::ptr::NonNull;
use std::alloc::System;

use stack_alloc::{Allocator, BLOCK_SIZE, Cache, MemorySource};

/// A source over the host's allocator.
struct Host;

/// The layout of a block.
const BLOCK: Layout = match Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE) {
    Ok(layout) => layout,
    Err(_) => panic!("a block is a valid layout"),
};

// SAFETY: `System` hands out memory that is valid, exclusive and aligned as asked.
unsafe impl MemorySource for Host {
    fn get_block(&self) -> Option<NonNull<u8>> {
        // SAFETY: a block is not empty.
        NonNull::new(unsafe { System.alloc(BLOCK) })
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        // SAFETY: `block` came from `get_block`, that is from `System` with this layout.
        unsafe { System.dealloc(block.as_ptr(), BLOCK) }
    }
}

/// What a connection needs.
struct Parser {
    /// For each byte, whether it ends a word.
    ends_word: Box<[bool; 256]>,
    /// The word that is being read.
    word: Vec<u8>,
    /// How many words were read.
    words: usize,
}

impl Parser {
    /// Makes a parser: the costly part.
    fn new() -> Self {
        let mut ends_word = Box::new([false; 256]);
        for byte in *b" ,.\n" {
            ends_word[usize::from(byte)] = true;
        }
        Self {
            ends_word,
            word: Vec::with_capacity(64),
            words: 0,
        }
    }

    /// Counts the words of `text`.
    fn read(&mut self, text: &str) -> usize {
        for byte in text.bytes() {
            if !self.ends_word[usize::from(byte)] {
                self.word.push(byte);
            } else if !self.word.is_empty() {
                self.word.clear();
                self.words += 1;
            }
        }
        self.words
    }

    /// Makes it as if it were new, which is cheap: the table and the buffer stay.
    fn clear(&mut self) {
        self.word.clear();
        self.words = 0;
    }
}

/// The program's heap: also for what is in the parsers.
#[global_allocator]
static HEAP: Allocator<Host> = Allocator::new(Host);

/// Parsers for the connections.
static PARSERS: Cache<Parser, Allocator<Host>> = Cache::with_idle_limit(&HEAP, Parser::new, 8);

/// Serves `number` connections, four at a time, each with a parser from `make`. Returns the allocations that it took.
fn serve<P: DerefMut<Target = Parser>>(number: usize, make: fn() -> P) -> u64 {
    let before = HEAP.statistics().allocations();
    for _ in 0..number / 4 {
        let mut parsers = [make(), make(), make(), make()];
        for parser in &mut parsers {
            assert_eq!(parser.read("Kept, not made anew. "), 4);
            parser.clear();
        }
    }
    HEAP.statistics().allocations() - before
}

fn main() {
    let without = serve(1000, || Box::new(Parser::new()));
    let with = serve(1000, || PARSERS.get().expect("there is memory"));
    println!("1000 connections, each with a new parser: {without} allocations");
    println!("1000 connections with cached parsers:     {with} allocations");
    assert_eq!(without, 3000);
    assert_eq!(with, 4 * 3);

    let statistics = PARSERS.statistics();
    println!(
        "constructed {}, reused {} times, {} idle",
        statistics.constructed, statistics.reused, statistics.idle
    );
    assert_eq!((statistics.constructed, statistics.reused), (4, 996));
    assert_eq!((statistics.live, statistics.idle), (0, 4));

    let before = HEAP.statistics().bytes_requested;
    let trimmed = PARSERS.trim();
    let freed = before - HEAP.statistics().bytes_requested;
    println!("trimmed {trimmed} parsers: {freed} bytes are free again");
    let parser = Cache::<Parser, Allocator<Host>>::BYTES_PER_OBJECT + 256 + 64;
    assert_eq!((trimmed, freed), (4, 4 * parser));
    assert_eq!(PARSERS.statistics().idle, 0);
    HEAP.check().expect("the heap is sound");
}

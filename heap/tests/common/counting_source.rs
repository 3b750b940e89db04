//! A source over the host's allocator that counts, says no when told to, and panics on a wrong release.
//!
//! It gives blocks and regions. What else a source can do, it does when a test says so: see [`Abilities`].

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use std::alloc::System;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stack_alloc::{BLOCK_SIZE, MemorySource, PAGE_SIZE};

use super::layout;

/// Pages in a block.
const PAGES: usize = BLOCK_SIZE / PAGE_SIZE;

/// What a [`CountingSource`] does beyond giving blocks and regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// It has no blocks, but parts of them: of any length, at any page.
    pub(crate) parts: bool,
    /// It resizes regions, up to half as much again as was asked for at first.
    pub(crate) resizes: bool,
    /// Its memory is zero, and it says so.
    pub(crate) zeroed: bool,
}

/// Something that is out.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// What the host gave.
    host: NonNull<u8>,
    /// How the host was asked.
    host_layout: Layout,
    /// Bytes that the heap has.
    size: usize,
    /// The heap was told that it is zero.
    zeroed: bool,
}

/// What a [`CountingSource`] has out, by address, and what it may still give.
#[derive(Debug)]
struct Ledger {
    /// Everything handed out and not returned.
    out: BTreeMap<NonNull<u8>, Piece>,
    /// Bytes in `out`.
    bytes_out: usize,
    /// Bytes that may still be handed out.
    left: usize,
    /// How often it was asked.
    requests: usize,
    /// The request to answer with "no", counted from 1; 0 for none.
    refused: usize,
    /// What it does.
    abilities: Abilities,
}

// SAFETY: its pointers are numbers to look up by, and memory to give back when nobody uses it any more.
unsafe impl Send for Ledger {}

/// A source over the host's allocator with a limit in bytes, which panics on a wrong release.
#[derive(Debug)]
pub(crate) struct CountingSource(Mutex<Ledger>);

impl CountingSource {
    /// Creates a source that gives at most `limit` bytes at a time.
    pub(crate) const fn new(limit: usize) -> Self {
        Self(Mutex::new(Ledger {
            out: BTreeMap::new(),
            bytes_out: 0,
            left: limit,
            requests: 0,
            refused: 0,
            abilities: Abilities {
                parts: false,
                resizes: false,
                zeroed: false,
            },
        }))
    }

    /// Changes what the source does from now on.
    pub(crate) fn set_abilities(&self, abilities: Abilities) {
        self.ledger().abilities = abilities;
    }

    /// Returns the bytes that are out.
    pub(crate) fn bytes_out(&self) -> usize {
        self.ledger().bytes_out
    }

    /// Returns the number of blocks and regions that are out.
    pub(crate) fn pieces_out(&self) -> usize {
        self.ledger().out.len()
    }

    /// Returns the addresses of the blocks and regions that are out, lowest first.
    pub(crate) fn addresses(&self) -> Vec<usize> {
        let ledger = self.ledger();
        ledger.out.keys().map(|piece| piece.addr().get()).collect()
    }

    /// Returns whether `address` lies in a block, part or region that is out.
    pub(crate) fn owns(&self, address: usize) -> bool {
        let ledger = self.ledger();
        let mut pieces = ledger.out.iter();
        pieces.any(|(start, piece)| {
            (start.addr().get()..start.addr().get() + piece.size).contains(&address)
        })
    }

    /// Returns how often the source was asked for a block or region.
    pub(crate) fn requests(&self) -> usize {
        self.ledger().requests
    }

    /// Returns how many bytes may still be handed out.
    pub(crate) fn left(&self) -> usize {
        self.ledger().left
    }

    /// Changes how many more bytes may be handed out.
    pub(crate) fn set_left(&self, left: usize) {
        self.ledger().left = left;
    }

    /// Makes the `number`-th request from the first one on, and that one alone, fail.
    pub(crate) fn refuse(&self, number: usize) {
        self.ledger().refused = number;
    }

    /// Returns whether a request has been refused since there had been `requests` of them.
    pub(crate) fn has_refused_since(&self, requests: usize) -> bool {
        let ledger = self.ledger();
        (requests + 1..=ledger.requests).contains(&ledger.refused)
    }

    /// Locks the ledger, even after a test has failed while it was locked.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request. `false` when it is to be refused.
    fn count_request(ledger: &mut Ledger) -> bool {
        ledger.requests += 1;
        ledger.requests != ledger.refused
    }

    /// Hands out `size` bytes of memory that the host gives as `host_layout` says, `offset` bytes behind its start, and writes
    /// it down.
    fn give(
        ledger: &mut Ledger,
        host_layout: Layout,
        offset: usize,
        size: usize,
    ) -> Option<NonNull<u8>> {
        let left = ledger.left.checked_sub(size)?;
        let zeroed = ledger.abilities.zeroed;
        let host = if zeroed {
            // SAFETY: `host_layout` is not empty: blocks are 256 KiB, regions at least a page.
            unsafe { System.alloc_zeroed(host_layout) }
        } else {
            // SAFETY: likewise.
            unsafe { System.alloc(host_layout) }
        };
        let host = NonNull::new(host)?;
        assert!(offset + size <= host_layout.size());
        // SAFETY: inside of what the host gave (checked).
        let memory = unsafe { host.add(offset) };
        ledger.left = left;
        ledger.bytes_out += size;
        let piece = Piece {
            host,
            host_layout,
            size,
            zeroed,
        };
        ledger.out.insert(memory, piece);
        Some(memory)
    }

    /// Takes memory back, its first bytes filled with rubbish so that stale reads show.
    #[track_caller]
    fn take(&self, memory: NonNull<u8>, size: usize) {
        let mut ledger = self.ledger();
        let piece = ledger
            .out
            .remove(&memory)
            .expect("released what is not out");
        assert_eq!(piece.size, size, "released with another size");
        ledger.left += size;
        ledger.bytes_out -= size;
        // SAFETY: the ledger says that `memory` is `size` bytes from `System`, and nobody uses them any more.
        unsafe { memory.write_bytes(0xdd, size.min(BLOCK_SIZE)) };
        // SAFETY: the ledger says that it came from `System` with this layout.
        unsafe { System.dealloc(piece.host.as_ptr(), piece.host_layout) };
    }
}

impl Drop for CountingSource {
    /// Takes back what a heap that is dropped with live objects still holds.
    fn drop(&mut self) {
        let out = core::mem::take(&mut self.ledger().out);
        for piece in out.into_values() {
            // SAFETY: the ledger says that this came from `System` with this layout; the heap that used it is gone.
            unsafe { System.dealloc(piece.host.as_ptr(), piece.host_layout) };
        }
    }
}

// SAFETY: memory comes from the host's allocator, valid, exclusive and aligned as asked. Parts lie in a block of the host's.
// Regions grow inside of what the host gave. Memory that is said to be zero was asked for as such.
unsafe impl MemorySource for CountingSource {
    fn get_block(&self) -> Option<NonNull<u8>> {
        let mut ledger = self.ledger();
        if !Self::count_request(&mut ledger) || ledger.abilities.parts {
            return None;
        }
        Self::give(&mut ledger, layout(BLOCK_SIZE, BLOCK_SIZE), 0, BLOCK_SIZE)
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        self.take(block, BLOCK_SIZE);
    }

    fn get_part(&self, least: usize, _: &dyn Fn(usize) -> bool) -> Option<NonNull<[u8]>> {
        let mut ledger = self.ledger();
        if !ledger.abilities.parts || !Self::count_request(&mut ledger) {
            return None;
        }
        // Any length and place, but the same for the same requests.
        let chance = ledger.requests.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let longest = PAGES - least / PAGE_SIZE;
        let pages = least / PAGE_SIZE + chance % longest;
        let first = (chance >> 8) % (PAGES - pages + 1);
        let block = layout(BLOCK_SIZE, BLOCK_SIZE);
        let part = Self::give(&mut ledger, block, first * PAGE_SIZE, pages * PAGE_SIZE)?;
        Some(NonNull::slice_from_raw_parts(part, pages * PAGE_SIZE))
    }

    unsafe fn release_part(&self, part: NonNull<[u8]>) {
        self.take(part.cast(), part.len());
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let mut ledger = self.ledger();
        if !Self::count_request(&mut ledger) {
            return None;
        }
        let reach = if ledger.abilities.resizes {
            size / 2
        } else {
            0
        };
        let host_layout = Layout::from_size_align(size + reach, align).ok()?;
        Self::give(&mut ledger, host_layout, 0, size)
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        self.take(region, size);
    }

    unsafe fn resize_region(&self, region: NonNull<u8>, size: usize, new_size: usize) -> bool {
        let mut ledger = self.ledger();
        if !ledger.abilities.resizes || !Self::count_request(&mut ledger) {
            return false;
        }
        let mut piece = *ledger.out.get(&region).expect("resized what is not out");
        assert_eq!(piece.size, size, "resized with another size");
        let left = (ledger.left + size).checked_sub(new_size);
        let Some(left) = left.filter(|_| new_size <= piece.host_layout.size()) else {
            return false;
        };
        if new_size < size {
            // SAFETY: the tail is given up, and inside of what the host gave.
            let tail = unsafe { region.add(new_size) };
            // SAFETY: likewise.
            unsafe { tail.write_bytes(0xdd, size - new_size) };
        }
        ledger.left = left;
        ledger.bytes_out = ledger.bytes_out - size + new_size;
        piece.size = new_size;
        ledger.out.insert(region, piece);
        true
    }

    fn is_zeroed(&self, memory: NonNull<u8>) -> bool {
        let ledger = self.ledger();
        ledger
            .out
            .get(&memory)
            .expect("asked of what is not out")
            .zeroed
    }

    fn largest_region(&self) -> usize {
        self.ledger().left / PAGE_SIZE * PAGE_SIZE
    }
}

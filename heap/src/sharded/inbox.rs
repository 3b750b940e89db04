//! What a shard is told: that blocks of its own, or regions, have something for it.
//!
//! Owns one bit for each place that a block or region may have in the [tables](crate::sharded::table), and a word that says which
//! words of these are not zero. Who has a message sets the bit; that it is set already is as good. Refuses to know who stands at
//! a place.
//!
//! Bits are raised and lowered as [`signal`] says: whoever leaves a message has raised the bit in the block, or
//! marked the region, before; whoever takes it looks there behind it. An inbox is part of the heap's own memory and never goes away.
//!
//! Cost: a message at most two atomic instructions, whatever else there is; no waiting, from any context.
#![forbid(unsafe_code)]

use crate::bitmap::Bitmap;
use crate::sharded::signal;
use crate::sync::{AtomicU64, Ordering};

/// Words of an inbox: one bit each in a `u64`. (Loom has to create every one.)
pub(crate) const WORDS: usize = if cfg!(loom) { 1 } else { 64 };

/// Places that have a bit.
pub(crate) const PLACES: usize = WORDS * 64;

/// The messages to one shard.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Which words are not zero.
    summary: AtomicU64,
    /// A bit a place.
    words: [AtomicU64; WORDS],
}

/// Messages that the owner has taken and not looked at yet.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The word that they were in.
    word: usize,
    /// Its bits.
    places: Bitmap,
}

impl Taken {
    /// No messages.
    pub(crate) const fn none() -> Self {
        Self {
            word: 0,
            places: Bitmap::EMPTY,
        }
    }
}

impl Inbox {
    /// Creates an empty inbox.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self {
            summary: AtomicU64::new(0),
            words: [const { AtomicU64::new(0) }; WORDS],
        }
    }

    /// Creates an empty inbox.
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self {
            summary: AtomicU64::new(0),
            words: [(); WORDS].map(|()| AtomicU64::new(0)),
        }
    }

    /// Leaves a message: something at `place` has news.
    pub(crate) fn post(&self, place: usize) {
        let word = place / 64;
        if signal::raise(&self.words[word], place % 64) {
            signal::raise(&self.summary, word);
        }
    }

    /// Takes the next message: the place. `taken` is what the owner has in hand. Called by the owner.
    pub(crate) fn take(&self, taken: &mut Taken) -> Option<usize> {
        // A word may be empty though the summary names it: its messages were taken along before whoever left them had said so.
        while taken.places.is_empty() {
            let word = Bitmap::from_bits(self.summary.load(Ordering::Relaxed)).lowest()?;
            signal::lower(&self.summary, word);
            let places = signal::lower_all(&self.words[word]);
            *taken = Taken { word, places };
        }
        let place = taken.places.lowest()?;
        taken.places = taken.places.without_lowest();
        Some(taken.word * 64 + place)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::vec::Vec;

    use super::{Inbox, Ordering, Taken};

    #[test]
    fn a_message_is_found_behind_a_word_that_was_named_too_late() {
        let (inbox, mut taken) = (Inbox::new(), Taken::none());
        // Somebody leaves the first message of word 0; before he names the word, another one has named it, and it is taken.
        inbox.words[0].fetch_or(1, Ordering::AcqRel);
        inbox.summary.fetch_or(1, Ordering::AcqRel);
        assert_eq!(inbox.take(&mut taken), Some(0));
        inbox.summary.fetch_or(1, Ordering::AcqRel);
        inbox.post(70);
        assert_eq!(inbox.take(&mut taken), Some(70));
        assert_eq!(inbox.take(&mut taken), None);
    }

    #[test]
    fn every_place_is_told_once() {
        let (inbox, mut taken) = (Inbox::new(), Taken::none());
        for place in (0..super::PLACES).chain(0..super::PLACES) {
            inbox.post(place);
        }
        let told: Vec<_> = core::iter::from_fn(|| inbox.take(&mut taken)).collect();
        assert!(told.into_iter().eq(0..super::PLACES));
    }
}

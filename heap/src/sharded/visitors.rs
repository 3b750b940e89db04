//! All who may be on a visit: what is looked at before a block or a region goes on.
#![forbid(unsafe_code)]

use lock_api::RawMutex;

use crate::sharded::shard::Shard;

/// Everybody who may be on a [visit](crate::sharded::visits).
pub(crate) struct Visitors<'a, R> {
    /// Their shards.
    shards: &'a [Shard<R>],
    /// The shard that the caller has entered, who is on no visit.
    entered: Option<usize>,
}

impl<R> Clone for Visitors<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Visitors<'_, R> {}

impl<'a, R: RawMutex> Visitors<'a, R> {
    /// Returns those of all `shards`, for a caller who has entered shard number `entered`, or none.
    pub(crate) const fn new(shards: &'a [Shard<R>], entered: Option<usize>) -> Self {
        Self { shards, entered }
    }

    /// Returns whether each shard was seen without a visit at some moment of round `round`. Called by whoever has the central lock.
    pub(crate) fn were_over_in(self, round: usize) -> bool {
        let seen = (0..self.shards.len()).filter(|number| {
            let visits = &self.shards[*number].visits;
            let was_over = visits.were_over_in(round);
            if was_over || !self.is_over(*number) {
                return was_over;
            }
            visits.note_over_in(round);
            true
        });
        // Each one is looked at, also behind one that is on a visit.
        seen.count() == self.shards.len()
    }

    /// Returns whether none of shard `number` is on a visit.
    fn is_over(self, number: usize) -> bool {
        let shard = &self.shards[number];
        (self.entered == Some(number) || !shard.is_entered()) && shard.visits.are_over()
    }
}

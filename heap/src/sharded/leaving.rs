//! What is out of the tables, while somebody may still look at it.
//!
//! Owns the *rounds* in which shards are looked at. What waits for a round may go on when, since the round began, every shard was seen
//! without a visit *once*, at whatever moment: on a machine whose CPUs use the heap all the time, they are never all without one at the
//! same moment. Which shards were seen is remembered. What leaves while a round goes on waits for the next one.
//!
//! Owns the blocks that wait, too. Regions wait [elsewhere](crate::sharded::leaving_regions), and are counted here.
#![forbid(unsafe_code)]

use core::mem;

use lock_api::RawMutex;

use crate::sharded::record::{BlockList, BlockRecord};
use crate::sharded::visitors::Visitors;

/// The rounds, and the blocks.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// Blocks that wait for this round.
    first: BlockList,
    /// Blocks that wait for the next one.
    second: BlockList,
    /// Regions that wait, for any.
    regions: usize,
    /// The number of the last round that began.
    round: usize,
    /// It is not over.
    goes_on: bool,
    /// Something waits for the next one.
    next_is_wanted: bool,
}

impl Leaving {
    /// Nothing leaves.
    pub(crate) const fn new() -> Self {
        Self {
            first: BlockList::new(),
            second: BlockList::new(),
            regions: 0,
            round: 0,
            goes_on: false,
            next_is_wanted: false,
        }
    }

    /// Returns whether nothing waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_empty() && self.second.is_empty() && self.regions == 0
    }

    /// Puts a block in that was just taken out of the table.
    pub(crate) fn push(&mut self, block: BlockRecord) {
        if self.round_to_wait_for() == self.round {
            self.first.push(block);
        } else {
            self.second.push(block);
        }
    }

    /// Takes a block out that nobody can be looking at any more, if there is one.
    pub(crate) fn pop<R: RawMutex>(&mut self, visitors: Visitors<'_, R>) -> Option<BlockRecord> {
        if self.goes_on {
            self.goes_on = !visitors.were_over_in(self.round);
        }
        if self.goes_on {
            return None;
        }
        let block = self.first.pop();
        if self.first.is_empty() && self.next_is_wanted {
            self.begin_round();
        }
        block
    }

    /// Counts a region that was just taken out of the table, and returns the round that it waits for.
    pub(crate) fn push_region(&mut self) -> usize {
        self.regions += 1;
        self.round_to_wait_for()
    }

    /// Notes that a region has gone on.
    pub(crate) fn pop_region(&mut self) {
        self.regions -= 1;
    }

    /// Returns whether round `round` is over, as far as [`pop`](Self::pop) has looked.
    pub(crate) fn is_over(&self, round: usize) -> bool {
        let last_over = self.round.wrapping_sub(self.goes_on.into());
        last_over.wrapping_sub(round) <= usize::MAX / 2
    }

    /// Returns the round that what leaves now waits for: one that begins now or later.
    fn round_to_wait_for(&mut self) -> usize {
        if !self.goes_on && self.first.is_empty() {
            self.begin_round();
            return self.round;
        }
        self.next_is_wanted = true;
        self.round.wrapping_add(1)
    }

    /// Begins to look at shards anew.
    fn begin_round(&mut self) {
        self.round = self.round.wrapping_add(1);
        self.goes_on = true;
        self.next_is_wanted = false;
        self.first = mem::take(&mut self.second);
    }

    /// Returns all blocks. Cost: their number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = BlockRecord> + use<> {
        self.first.iter().chain(self.second.iter())
    }

    /// Returns how many blocks there are.
    pub(crate) const fn count(&self) -> usize {
        self.first.count() + self.second.count()
    }

    /// Returns their bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.first.bytes() + self.second.bytes()
    }
}

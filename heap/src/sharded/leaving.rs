//! Blocks that are out of the table, while somebody may still look at them.
//!
//! Owns the two lists of those: of the blocks in the first one, some shards were seen to be through with their visits already, and
//! which ones is remembered; the second one waits behind it. So blocks go on when every shard was seen without a visit *once*, at
//! whatever moment since they left the table: on a machine whose CPUs free across all the time, they are never all without one at
//! the same moment.
#![forbid(unsafe_code)]

use lock_api::RawMutex;

use crate::sharded::record::{BlockList, BlockRecord};
use crate::sharded::visitors::Visitors;

/// The blocks.
#[derive(Debug)]
pub(crate) struct Leaving {
    /// Those that shards are looked at for.
    first: BlockList,
    /// The number of the round in which shards are looked at for these.
    round: usize,
    /// All shards were seen in this round.
    is_over: bool,
    /// Those that left the table since the round began.
    second: BlockList,
}

impl Leaving {
    /// Creates an empty list.
    pub(crate) const fn new() -> Self {
        Self {
            first: BlockList::new(),
            round: 0,
            is_over: false,
            second: BlockList::new(),
        }
    }

    /// Returns whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Puts a block in that was just taken out of the table.
    pub(crate) fn push(&mut self, block: BlockRecord) {
        if self.first.is_empty() {
            self.begin_round();
            self.first.push(block);
        } else {
            self.second.push(block);
        }
    }

    /// Takes a block out that nobody can be looking at any more, if there is one.
    pub(crate) fn pop<R: RawMutex>(&mut self, visitors: Visitors<'_, R>) -> Option<BlockRecord> {
        if self.first.is_empty() {
            return None;
        }
        if !self.is_over {
            self.is_over = visitors.were_over_in(self.round);
        }
        if !self.is_over {
            return None;
        }
        let block = self.first.pop();
        if self.first.is_empty() {
            self.first = core::mem::take(&mut self.second);
            self.begin_round();
        }
        block
    }

    /// Begins to look at shards anew.
    fn begin_round(&mut self) {
        self.round = self.round.wrapping_add(1);
        self.is_over = false;
    }

    /// Returns all of them. Cost: their number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = BlockRecord> + use<> {
        self.first.iter().chain(self.second.iter())
    }

    /// Returns how many there are.
    pub(crate) const fn count(&self) -> usize {
        self.first.count() + self.second.count()
    }

    /// Returns their bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.first.bytes() + self.second.bytes()
    }
}

//! Regions that are in no table any more, while somebody may still look at their records.
//!
//! Owns those of one shard, which has the records. They wait for the rounds of [`leaving`](crate::sharded::leaving), and go in two
//! groups: the second one begins to wait when the first one does already, so nothing that comes later holds the first one up.
#![forbid(unsafe_code)]

use core::mem;

use crate::list::List;
use crate::regions::Region;

/// The regions of a shard.
#[derive(Debug)]
pub(crate) struct LeavingRegions {
    /// Those that go next.
    first: List<Region>,
    /// The round that these wait for.
    first_round: usize,
    /// Those behind them.
    second: List<Region>,
    /// The round that the last of these waits for.
    second_round: usize,
    /// The bytes of all.
    bytes: usize,
}

impl LeavingRegions {
    /// Creates an empty set.
    pub(crate) const fn new() -> Self {
        Self {
            first: List::new(),
            first_round: 0,
            second: List::new(),
            second_round: 0,
            bytes: 0,
        }
    }

    /// Puts a region in that was just taken out of the table, and waits for round `round`.
    pub(crate) fn push(&mut self, region: Region, round: usize) {
        self.bytes += region.size();
        if self.first.is_empty() {
            self.first_round = round;
        }
        if self.first_round == round {
            self.first.push(region);
        } else {
            self.second.push(region);
            self.second_round = round;
        }
    }

    /// Returns the round that those wait for that go next. `None` if there are none.
    pub(crate) fn round(&self) -> Option<usize> {
        (!self.first.is_empty()).then_some(self.first_round)
    }

    /// Takes one out of those that go next.
    pub(crate) fn pop(&mut self) -> Option<Region> {
        let region = self.first.first()?;
        self.first.remove(region);
        self.bytes -= region.size();
        if self.first.is_empty() {
            self.first = mem::replace(&mut self.second, List::new());
            self.first_round = self.second_round;
        }
        Some(region)
    }

    /// Returns all of them. Cost: their number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Region> + use<> {
        self.first.iter().chain(self.second.iter())
    }

    /// Returns their bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

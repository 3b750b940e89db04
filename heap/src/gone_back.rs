//! What went back to the source last, so that a free that comes too late can be told from a foreign one.
//!
//! Owns a ring of addresses; nothing is read at them. An entry whose memory has come again is out of date, and no
//! look-up reaches it: what the heap holds is asked first.
#![forbid(unsafe_code)]

/// How many blocks, parts and regions are remembered.
const REMEMBERED: usize = 16;

/// A block, part or region that went back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gone {
    /// Its address.
    pub(crate) address: usize,
    /// Its size in bytes; 0 in a place that was never used.
    pub(crate) size: usize,
}

/// The last few that went back.
#[derive(Debug)]
pub(crate) struct GoneBack {
    /// A ring.
    entries: [Gone; REMEMBERED],
    /// The place of the oldest entry, which the next one takes.
    oldest: usize,
}

impl GoneBack {
    /// Creates an empty memory.
    pub(crate) const fn new() -> Self {
        Self {
            entries: [Gone {
                address: 0,
                size: 0,
            }; REMEMBERED],
            oldest: 0,
        }
    }

    /// Notes that `size` bytes at `address` went back.
    pub(crate) fn note(&mut self, address: usize, size: usize) {
        self.entries[self.oldest] = Gone { address, size };
        self.oldest = (self.oldest + 1) % REMEMBERED;
    }

    /// Returns the latest entry that `address` lies in. Cost: constant, a look at each entry.
    pub(crate) fn find(&self, address: usize) -> Option<Gone> {
        let (older, newer) = (&self.entries[..self.oldest], &self.entries[self.oldest..]);
        let holds = |gone: &&Gone| address.wrapping_sub(gone.address) < gone.size;
        older
            .iter()
            .rev()
            .chain(newer.iter().rev())
            .find(holds)
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{GoneBack, REMEMBERED};

    #[test]
    fn the_latest_entry_is_found_from_any_byte_in_it() {
        let mut gone = GoneBack::new();
        assert!(gone.find(0).is_none());
        gone.note(0x1000, 0x3000);
        gone.note(0x2000, 0x1000);
        assert_eq!(gone.find(0x2fff).map(|entry| entry.address), Some(0x2000));
        assert_eq!(gone.find(0x3000).map(|entry| entry.address), Some(0x1000));
        assert!(gone.find(0x4000).is_none());
        assert!(gone.find(0xfff).is_none());
    }

    #[test]
    fn the_oldest_entry_is_forgotten() {
        let mut gone = GoneBack::new();
        for number in 1..=REMEMBERED {
            gone.note(number << 12, 1 << 12);
            assert!(gone.find(1 << 12).is_some());
        }
        gone.note(99 << 12, 1 << 12);
        assert!(gone.find(1 << 12).is_none());
        assert!(gone.find(2 << 12).is_some());
    }
}

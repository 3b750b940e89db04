//! Numbers that look random and are the same in every run. Pure.
#![forbid(unsafe_code)]

/// A xorshift generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed, which must not be 0.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next_number() >> 32).unwrap_or_default() % end
    }

    /// Returns a number from 2^`low` up to, but not including, 2^`high`; each doubling is as likely as any other.
    pub fn log_distributed(&mut self, low: u32, high: u32) -> usize {
        let doublings = usize::try_from(high - low).unwrap_or_default();
        let least = (1 << low) << self.below(doublings);
        least + self.below(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_same_numbers() {
        let numbers = |mut random: Random| [(); 8].map(|()| random.next_number());
        let seeded = |seed| numbers(Random::from_seed(seed));
        assert_eq!(seeded(3), seeded(3));
        assert_ne!(seeded(3), seeded(4));
    }

    #[test]
    fn each_doubling_is_about_as_likely() {
        let mut random = Random::from_seed(1);
        let mut counts = [0; 8];
        for _ in 0..8000 {
            let size = random.log_distributed(4, 12);
            assert!((16..4096).contains(&size));
            counts[size.ilog2() as usize - 4] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }
}

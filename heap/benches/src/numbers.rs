//! Numbers that look random and are the same in every run, on every machine.
#![forbid(unsafe_code)]

use core::fmt;

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// A sequence of numbers.
#[derive(Clone, Debug)]
pub struct Numbers(Pcg64Mcg);

impl Numbers {
    /// Creates the sequence number `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// Returns a number below `end`, which is not 0. All are as likely, but for less than one in 2³².
    pub fn below(&mut self, end: usize) -> usize {
        let product = u128::from(self.0.next_u64()) * end as u128;
        usize::try_from(product >> 64).expect("below `end`")
    }

    /// Returns a number from 0 to 1, 1 excluded.
    pub fn fraction(&mut self) -> f64 {
        // 53 bits are what a fraction holds.
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Shuffles.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (2..=items.len()).rev() {
            items.swap(end - 1, self.below(end));
        }
    }
}

/// How large objects are.
#[derive(Clone, Copy, Debug)]
pub enum Sizes {
    /// All alike.
    Fixed(usize),
    /// From the first to the second number of bytes, each as likely as another.
    Uniform(usize, usize),
    /// From the first to the second number of bytes, every doubling as likely as another: mostly small ones.
    Logarithmic(usize, usize),
}

impl Sizes {
    /// Returns a size.
    pub fn pick(self, numbers: &mut Numbers) -> usize {
        match self {
            Self::Fixed(size) => size,
            Self::Uniform(least, most) => least + numbers.below(most + 1 - least),
            Self::Logarithmic(least, most) => logarithmic(least, most, numbers.fraction()),
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Uniform(least, most) | Self::Logarithmic(least, most) => {
                write!(f, "{least} to {most}")
            }
        }
    }
}

/// Returns the size that `fraction` of all are below.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "at most `most`"
)]
fn logarithmic(least: usize, most: usize, fraction: f64) -> usize {
    let size = least as f64 * ((most + 1) as f64 / least as f64).powf(fraction);
    (size as usize).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::{Numbers, Sizes, logarithmic};

    #[test]
    fn a_sequence_is_the_same_each_time() {
        let first = |seed| Numbers::new(seed).below(1 << 40);
        assert_eq!(first(7), first(7));
        assert_ne!(first(7), first(8));
    }

    #[test]
    fn numbers_are_spread_evenly() {
        let mut numbers = Numbers::new(1);
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            counts[numbers.below(10)] += 1;
        }
        assert!(
            counts.iter().all(|count| (900..1100).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn shuffling_keeps_every_item_and_moves_most() {
        let mut items: Vec<usize> = (0..1000).collect();
        Numbers::new(1).shuffle(&mut items);
        let stayed = (0..1000).filter(|index| items[*index] == *index).count();
        assert!(stayed < 10, "{stayed} stayed");
        items.sort_unstable();
        assert!(items.into_iter().eq(0..1000));
    }

    #[test]
    fn every_doubling_is_as_likely() {
        let mut numbers = Numbers::new(1);
        let sizes = Sizes::Logarithmic(16, 16 * 1024);
        let mut counts = [0; 11];
        for _ in 0..10_000 {
            let size = sizes.pick(&mut numbers);
            assert!((16..=16 * 1024).contains(&size), "{size}");
            counts[size.ilog2() as usize - 4] += 1;
        }
        assert!(
            counts[..10].iter().all(|count| (900..1100).contains(count)),
            "{counts:?}"
        );
        assert_eq!(
            [logarithmic(16, 64, 0.0), logarithmic(16, 64, 0.999_999)],
            [16, 64]
        );
        let uniform: Vec<_> = (0..1000)
            .map(|_| Sizes::Uniform(1, 4).pick(&mut numbers))
            .collect();
        assert!((1..=4).all(|size| uniform.contains(&size)));
        assert!(uniform.iter().all(|size| (1..=4).contains(size)));
        assert_eq!(Sizes::Fixed(48).pick(&mut numbers), 48);
    }
}

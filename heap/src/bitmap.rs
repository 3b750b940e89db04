//! A set of 64 things in one word: chunks of a stack, or pages of a block.
//!
//! Pure arithmetic: no pointers, no state but the word. Bit 0 is the lowest address. Throughout the crate a set bit
//! means *free*, so that "where is room?" is one count of trailing zeros.
//!
//! ```text
//! bit      0   1   2   3   4   5       63
//!        ┌───┬───┬───┬───┬───┬───┬─ ─┬───┐
//! word   │ 1 │ 1 │ 0 │ 1 │ 1 │ 1 │   │ 0 │   lowest() = 0, longest_run() = 3, find_run(3, 1) = 3
//!        └───┴───┴───┴───┴───┴───┴─ ─┴───┘
//! ```
//!
//! Cost: every operation is a fixed number of word operations; runs take about two for each doubling of their length.
#![forbid(unsafe_code)]

use core::fmt;

/// A set of numbers from 0 to 63.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bitmap(u64);

impl Bitmap {
    /// The set of nothing.
    pub(crate) const EMPTY: Self = Self(0);

    /// Returns the set of the numbers below `count`; all 64 for `count >= 64`.
    ///
    /// The one place that makes a mask from a length: `1 << 64` is not 0 but a mistake, and the full width is a
    /// length that occurs.
    pub(crate) const fn below(count: usize) -> Self {
        if count >= 64 {
            Self(u64::MAX)
        } else {
            Self((1 << count) - 1)
        }
    }

    /// Returns the set of `number` alone, 0..=63.
    #[inline]
    pub(crate) const fn single(number: usize) -> Self {
        debug_assert!(number < 64, "a number of the word's");
        Self(1 << (number % 64))
    }

    /// Returns the set `start..start + len`, cut off at 64.
    pub(crate) const fn range(start: usize, len: usize) -> Self {
        if start >= 64 {
            Self::EMPTY
        } else {
            Self(Self::below(len).0 << start)
        }
    }

    /// Returns the set `start..start + len`, of at least one number and none above 63. Cheaper than [`range`](Self::range).
    #[inline]
    pub(crate) const fn run(start: usize, len: usize) -> Self {
        debug_assert!(len > 0 && start + len <= 64, "numbers of the word's");
        Self((u64::MAX >> ((64 - len) % 64)) << (start % 64))
    }

    /// Returns the multiples of `step`, a power of two; only 0 for `step >= 64`.
    const fn multiples_of(step: usize) -> Self {
        match step {
            1 => Self(u64::MAX),
            2 => Self(0x5555_5555_5555_5555),
            4 => Self(0x1111_1111_1111_1111),
            8 => Self(0x0101_0101_0101_0101),
            16 => Self(0x0001_0001_0001_0001),
            32 => Self(0x0000_0001_0000_0001),
            _ => Self(1),
        }
    }

    /// Returns the set of the set bits of a word.
    #[inline(always)]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the word.
    #[inline(always)]
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Returns whether the set is empty.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns how many numbers are in the set.
    pub(crate) const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Returns whether `number` is in the set; numbers from 64 on never are.
    pub(crate) const fn contains(self, number: usize) -> bool {
        number < 64 && self.0 >> number & 1 == 1
    }

    /// Returns whether all of `other` is in the set.
    pub(crate) const fn contains_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the set with all of `other` in it too.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the set without any of `other`.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the smallest number in the set.
    pub(crate) const fn lowest(self) -> Option<usize> {
        if self.0 == 0 {
            None
        } else {
            Some(self.0.trailing_zeros() as usize)
        }
    }

    /// Returns the set without its smallest number.
    pub(crate) const fn without_lowest(self) -> Self {
        Self(self.0 & self.0.wrapping_sub(1))
    }

    /// Returns the smallest number that is not in the set, or 64.
    pub(crate) const fn lowest_outside(self) -> usize {
        self.0.trailing_ones() as usize
    }

    /// Returns the set with that number too.
    pub(crate) const fn with_lowest_outside(self) -> Self {
        Self(self.0 | self.0.wrapping_add(1))
    }

    /// Returns the smallest number in the set that is not below `limit`.
    pub(crate) const fn lowest_from(self, limit: usize) -> Option<usize> {
        self.without(Self::below(limit)).lowest()
    }

    /// Returns how far above `number`, 0..=63, the smallest number in the set is that is not below it.
    #[inline]
    pub(crate) const fn distance_from(self, number: usize) -> Option<usize> {
        debug_assert!(number < 64, "a number of the word's");
        Self(self.0 >> (number % 64)).lowest()
    }

    /// Returns one past the largest number in the set, or 0.
    pub(crate) const fn height(self) -> usize {
        64 - self.0.leading_zeros() as usize
    }

    /// Returns the numbers at which `len` (at least 1) neighbours in the set begin.
    ///
    /// A run of 2k begins where a run of k begins and another one k further, so the length doubles at each step.
    const fn run_starts(self, len: usize) -> Self {
        let mut starts = self.0;
        let mut covered = 1;
        while covered < len {
            let rest = len - covered;
            let step = if rest < covered { rest } else { covered };
            starts &= starts >> step;
            covered += step;
        }
        Self(starts)
    }

    /// Returns the lowest multiple of `align` (a power of two) at which `len` neighbours (1..=64) are in the set.
    pub(crate) const fn find_run(self, len: usize, align: usize) -> Option<usize> {
        let starts = self.run_starts(len);
        Self(starts.0 & Self::multiples_of(align).0).lowest()
    }

    /// Returns the length of the run of neighbours in the set that `number`, which is in it, belongs to.
    pub(crate) const fn run_around(self, number: usize) -> usize {
        debug_assert!(self.contains(number), "in the set");
        let behind = (!(self.0 >> number)).trailing_zeros() as usize;
        let before = (!(self.0 << (63 - number))).leading_zeros() as usize;
        // `number` itself is among both.
        behind + before - 1
    }

    /// Returns the length of the longest run of neighbours in the set, 0..=64.
    pub(crate) const fn longest_run(self) -> usize {
        if self.0 == 0 {
            return 0;
        }
        // Often there is one run only: then nothing is left above it.
        let lowest = self.0 >> self.0.trailing_zeros();
        let len = lowest.trailing_ones() as usize;
        if lowest == Self::below(len).0 {
            return len;
        }
        // `runs[k]` holds the starts of runs of 2^k.
        let mut runs = [self.0, 0, 0, 0, 0, 0, 0];
        let mut power = 0;
        while power < 6 {
            let next = runs[power] & (runs[power] >> (1 << power));
            if next == 0 {
                break;
            }
            power += 1;
            runs[power] = next;
        }
        // The longest is at least 2^power and less than twice that: the rest of its length, binary digit by digit.
        let mut starts = runs[power];
        let mut len = 1 << power;
        while power > 0 {
            power -= 1;
            let longer = if len < 64 {
                starts & (runs[power] >> len)
            } else {
                0
            };
            if longer != 0 {
                starts = longer;
                len += 1 << power;
            }
        }
        len
    }
}

impl fmt::Debug for Bitmap {
    /// Writes the word from bit 0 up, as `11001…`, without the zeros behind the last set bit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for number in 0..self.height() {
            f.write_str(if self.contains(number) { "1" } else { "0" })?;
        }
        f.write_str("…")
    }
}

#[cfg(test)]
mod tests;

//! A queue of bytes with a fixed size. Pure.
#![forbid(unsafe_code)]

/// A queue of at most `N` bytes.
///
/// # Invariants
/// - `first < N` and `length <= N`; the bytes are those from `first` on, going on at the start behind the end.
#[derive(Debug)]
pub struct Ring<const N: usize> {
    /// Room for the bytes.
    bytes: [u8; N],
    /// Where the oldest is.
    first: usize,
    /// How many there are.
    length: usize,
}

impl<const N: usize> Ring<N> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0) };
        Self {
            bytes: [0; N],
            first: 0,
            length: 0,
        }
    }

    /// Returns whether there is no room.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.length == N
    }

    /// Adds a byte, and returns whether there was room.
    #[must_use = "a byte that does not fit is not kept"]
    pub fn push(&mut self, byte: u8) -> bool {
        if self.is_full() {
            return false;
        }
        self.bytes[(self.first + self.length) % N] = byte;
        self.length += 1;
        true
    }

    /// Takes the oldest byte.
    pub fn pop(&mut self) -> Option<u8> {
        if self.length == 0 {
            return None;
        }
        let byte = self.bytes[self.first];
        self.first = (self.first + 1) % N;
        self.length -= 1;
        Some(byte)
    }
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn full_ring_takes_no_more_and_loses_nothing() {
        let mut ring = Ring::<3>::new();
        assert!([1, 2, 3].into_iter().all(|byte| ring.push(byte)));
        assert!(ring.is_full() && !ring.push(4));
        assert_eq!(ring.pop(), Some(1));
        assert!(ring.push(5));
        let rest: Vec<u8> = core::iter::from_fn(|| ring.pop()).collect();
        assert_eq!(rest, [2, 3, 5]);
    }

    proptest! {
        #[test]
        fn ring_is_a_queue(steps in prop::collection::vec(any::<Option<u8>>(), 0..200)) {
            let (mut ring, mut queue) = (Ring::<7>::new(), VecDeque::new());
            for step in steps {
                match step {
                    Some(byte) => {
                        let has_room = queue.len() < 7;
                        prop_assert_eq!(ring.push(byte), has_room);
                        if has_room {
                            queue.push_back(byte);
                        }
                    }
                    None => prop_assert_eq!(ring.pop(), queue.pop_front()),
                }
            }
        }
    }
}

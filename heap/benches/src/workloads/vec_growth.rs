//! Vectors that grow: what `realloc` is for.
#![forbid(unsafe_code)]

use crate::operation::{Stream, StreamBuilder};
use crate::workloads::Workload;

/// Bytes of an element.
const ELEMENT: usize = 16;
/// Elements of a vector at its end.
const MOST: usize = 1024;
/// Vectors that grow to their end, one by one or four by four.
const VECTORS: usize = 64;

/// How a vector grows.
#[derive(Clone, Copy, Debug)]
enum Growth {
    /// By one element: `reserve_exact`.
    Exact,
    /// To twice as many: `push`.
    Doubling,
}

impl Growth {
    /// Returns how many elements come after `elements`.
    const fn after(self, elements: usize) -> usize {
        match self {
            Self::Exact => elements + 1,
            Self::Doubling => elements * 2,
        }
    }

    /// Returns how often the vectors grow: so often that both ways take about as long.
    const fn times(self) -> usize {
        match self {
            Self::Exact => 1,
            Self::Doubling => 40,
        }
    }
}

/// Returns those of this file.
pub(super) fn workloads() -> Vec<Workload> {
    [
        ("vec_exact", Growth::Exact),
        ("vec_doubling", Growth::Doubling),
    ]
    .into_iter()
    .flat_map(|(group, growth)| {
        [("one", 1), ("four in turn", 4)]
            .map(|(name, together)| Workload::new(group, name, move |_| stream(growth, together)))
    })
    .collect()
}

/// Vectors grow, `together` of them in turn, and die.
fn stream(growth: Growth, together: usize) -> Stream {
    let mut builder = StreamBuilder::new();
    for _ in 0..growth.times() * VECTORS / together {
        let mut elements = 1;
        for slot in 0..together {
            builder.allocate(slot, elements * ELEMENT, 8);
        }
        while elements < MOST {
            elements = growth.after(elements);
            for slot in 0..together {
                builder.reallocate(slot, elements * ELEMENT);
            }
        }
        for slot in 0..together {
            builder.free(slot);
        }
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::{ELEMENT, Growth, MOST, VECTORS, stream};

    #[test]
    fn vectors_reach_their_end() {
        let exact = stream(Growth::Exact, 4);
        assert_eq!(exact.body.len(), VECTORS * (MOST + 1));
        let doubling = stream(Growth::Doubling, 1);
        assert_eq!(doubling.body.len(), 40 * VECTORS * 12);
        assert_eq!((doubling.peak_objects, exact.peak_objects), (1, 4));
        assert_eq!(
            [doubling.peak_bytes, exact.peak_bytes / 4],
            [MOST * ELEMENT; 2]
        );
    }
}

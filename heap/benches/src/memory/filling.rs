//! Objects that are allocated until there is no more memory.

use core::alloc::Layout;
use core::fmt;
use core::time::Duration;

use cpu_time::ThreadTime;

use crate::heap::Heap;
use crate::numbers::{Numbers, Sizes};

/// What objects are like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Objects {
    /// Their sizes.
    pub(super) sizes: Sizes,
    /// Their alignment.
    pub(super) align: usize,
}

/// A heap and what is live on it.
pub(super) struct Filling<'a> {
    /// The heap.
    heap: &'a dyn Heap,
    /// What is live.
    live: Vec<(*mut u8, Layout)>,
    /// The sum of what was asked for.
    bytes: usize,
    /// How long all of it may take.
    patience: Duration,
    /// When it began.
    start: ThreadTime,
}

/// A heap that takes longer than anybody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("given up: it took too long")
    }
}

/// Operations between two looks at the clock.
const STRIDE: usize = 100;

impl<'a> Filling<'a> {
    /// Begins with a heap on which nothing is live.
    pub(super) fn new(heap: &'a dyn Heap, patience: Duration) -> Self {
        Self {
            heap,
            live: Vec::new(),
            bytes: 0,
            patience,
            start: ThreadTime::now(),
        }
    }

    /// Allocates until a request fails. Returns the bytes that are live then.
    pub(super) fn fill(
        &mut self,
        objects: Objects,
        numbers: &mut Numbers,
    ) -> Result<usize, TooSlow> {
        while self.allocate(objects, numbers) {
            if self.live.len().is_multiple_of(STRIDE) {
                self.look_at_the_clock()?;
            }
        }
        Ok(self.bytes)
    }

    /// Frees this share of what is live, at random.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length"
    )]
    pub(super) fn free(&mut self, share: f64, numbers: &mut Numbers) -> Result<(), TooSlow> {
        numbers.shuffle(&mut self.live);
        let kept = self.live.len() - (self.live.len() as f64 * share) as usize;
        for (number, (pointer, layout)) in self.live.split_off(kept).into_iter().enumerate() {
            // SAFETY: it is live, and was allocated with this layout.
            unsafe { self.heap.dealloc(pointer, layout) };
            self.bytes -= layout.size();
            if number.is_multiple_of(STRIDE) {
                self.look_at_the_clock()?;
            }
        }
        Ok(())
    }

    /// Gives up when it takes too long.
    fn look_at_the_clock(&self) -> Result<(), TooSlow> {
        if self.start.elapsed() > self.patience {
            return Err(TooSlow);
        }
        Ok(())
    }

    /// Allocates one object. Returns whether there was memory for it.
    fn allocate(&mut self, objects: Objects, numbers: &mut Numbers) -> bool {
        let size = objects.sizes.pick(numbers);
        let layout =
            Layout::from_size_align(size, objects.align).expect("small, and a power of two");
        // SAFETY: no size is 0.
        let pointer = unsafe { self.heap.alloc(layout) };
        if pointer.is_null() {
            return false;
        }
        self.live.push((pointer, layout));
        self.bytes += size;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Filling, Objects, TooSlow};
    use crate::arena::Arena;
    use crate::contenders::all;
    use crate::heap::Heap;
    use crate::numbers::{Numbers, Sizes};
    use core::time::Duration;

    /// Objects of `size` bytes.
    const fn of(size: usize) -> Objects {
        Objects {
            sizes: Sizes::Fixed(size),
            align: 8,
        }
    }

    /// Makes the floor over all of `arena`, which nobody else uses.
    fn floor(arena: &Arena) -> Box<dyn Heap> {
        let floor = all()
            .into_iter()
            .find(|one| one.name == "floor")
            .expect("it is there");
        // SAFETY: nobody else uses the arena.
        unsafe { (floor.make)(arena.whole()) }
    }

    #[test]
    fn what_was_freed_can_be_filled_again() {
        let arena = Arena::new(1 << 20).expect("1 MiB");
        let heap = floor(&arena);
        let mut filling = Filling::new(&*heap, Duration::from_secs(600));
        let mut numbers = Numbers::new(1);
        assert_eq!(filling.fill(of(1024), &mut numbers), Ok(1 << 20));
        assert_eq!(filling.free(0.5, &mut numbers), Ok(()));
        assert_eq!(filling.bytes, 1 << 19);
        assert_eq!(filling.fill(of(1024), &mut numbers), Ok(1 << 20));
        // The floor gives nothing to another class.
        assert_eq!(filling.free(1.0, &mut numbers), Ok(()));
        assert_eq!(filling.fill(of(64), &mut numbers), Ok(0));
    }

    #[test]
    fn patience_has_an_end() {
        let arena = Arena::new(1 << 20).expect("1 MiB");
        let heap = floor(&arena);
        let mut filling = Filling::new(&*heap, Duration::ZERO);
        assert_eq!(filling.fill(of(64), &mut Numbers::new(1)), Err(TooSlow));
    }
}

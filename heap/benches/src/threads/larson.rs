//! The simulation of a server by Larson and Krishnan (1998): threads replace objects at random in arrays that go round among
//! them, so that some objects are freed by another thread than the one that has allocated them.
//!
//! In the original, threads end, and new ones go on with what they leave. Here the threads stay, and exchange their array for
//! one that lies ready in the middle: nobody waits for anybody. Four thousand objects are replaced between two exchanges, in
//! arrays of a thousand: so about a quarter of all frees are of objects that lay in the array when it came.

use core::mem;
use std::sync::{Arc, Mutex};

use crate::heap::Heap;
use crate::numbers::{Numbers, Sizes};
use crate::replay::OutOfMemory;
use crate::rounds::pass;
use crate::threads::Round;
use crate::threads::crew::Part;
use crate::threads::parcel::{Parcel, free_all, sizes};
use crate::workloads::warm_up;

/// How many objects are in an array.
const SLOTS: usize = 1000;
/// How many a thread replaces, until it exchanges the array.
const BETWEEN: usize = 4000;
/// How many it replaces altogether.
const REPLACED: usize = 200_000;
/// How large they are.
const SIZES: Sizes = Sizes::Uniform(8, 1000);

/// Objects, one in each slot.
type Slots = Vec<Option<Parcel>>;

/// One object that is replaced.
#[derive(Clone, Copy)]
struct Replacement {
    /// Which one.
    slot: u32,
    /// How large the next one there is.
    size: u32,
}

/// A thread's part.
struct Larson {
    /// What random numbers begin with.
    seed: u64,
    /// The objects that it has now.
    mine: Slots,
    /// Those that lie ready.
    middle: Arc<Mutex<Slots>>,
    /// Whether this is the thread that fills what lies ready, and frees it.
    is_first: bool,
    /// What is done.
    replacements: Vec<Replacement>,
}

/// Makes the parts.
pub(super) fn parts(round: Round) -> Vec<Box<dyn Part>> {
    let middle = Arc::new(Mutex::new(Slots::new()));
    let part = |thread| -> Box<dyn Part> {
        let seed = round.seed_of(thread);
        Box::new(Larson {
            seed,
            mine: Slots::new(),
            middle: middle.clone(),
            is_first: thread == 0,
            replacements: replacements(round.amount(REPLACED), seed),
        })
    };
    (0..round.threads).map(part).collect()
}

/// Returns so many replacements.
fn replacements(count: usize, seed: u64) -> Vec<Replacement> {
    let mut numbers = Numbers::new(!seed);
    let sizes = sizes(count, SIZES, seed);
    let one = |size| Replacement {
        slot: u32::try_from(numbers.below(SLOTS)).expect("a small number"),
        size,
    };
    sizes.into_iter().map(one).collect()
}

/// Puts an object into every slot of an array.
fn fill(heap: &dyn Heap, seed: u64) -> Result<Slots, OutOfMemory> {
    let sizes = sizes(SLOTS, SIZES, seed);
    let mut slots = Slots::with_capacity(SLOTS);
    for (operation, size) in sizes.into_iter().enumerate() {
        let parcel = Parcel::allocate(heap, size).ok_or(OutOfMemory { operation })?;
        slots.push(Some(parcel));
    }
    Ok(slots)
}

/// Replaces objects of an array.
///
/// # Safety
///
/// `heap` is where they were allocated.
#[inline(never)]
unsafe fn replace(
    heap: &dyn Heap,
    slots: &mut Slots,
    replacements: &[Replacement],
) -> Result<(), OutOfMemory> {
    for (operation, replacement) in replacements.iter().enumerate() {
        let slot = &mut slots[replacement.slot as usize];
        if let Some(parcel) = slot.take() {
            // SAFETY: the caller's promise.
            unsafe { parcel.free(heap) };
        }
        let parcel = Parcel::allocate(heap, replacement.size);
        *slot = Some(parcel.ok_or(OutOfMemory { operation })?);
    }
    Ok(())
}

impl Larson {
    /// Exchanges our array for the one that lies ready.
    fn exchange(&mut self) {
        let mut middle = self.middle.lock().expect("nobody panics with it");
        mem::swap(&mut *middle, &mut self.mine);
    }
}

impl Part for Larson {
    fn prepare(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory> {
        pass(heap, &warm_up(self.seed))?;
        self.mine = fill(heap, self.seed)?;
        if self.is_first {
            let ready = fill(heap, !self.seed)?;
            *self.middle.lock().expect("nobody panics with it") = ready;
        }
        Ok(())
    }

    fn work(&mut self, heap: &dyn Heap) -> Result<(), OutOfMemory> {
        let replacements = mem::take(&mut self.replacements);
        for some in replacements.chunks(BETWEEN) {
            // SAFETY: all arrays are filled from this heap.
            unsafe { replace(heap, &mut self.mine, some) }?;
            self.exchange();
        }
        Ok(())
    }

    fn clean_up(mut self: Box<Self>, heap: &dyn Heap) {
        // SAFETY: the same.
        unsafe { free_all(heap, self.mine.drain(..).flatten()) };
        if self.is_first {
            self.exchange();
            // SAFETY: the same.
            unsafe { free_all(heap, self.mine.drain(..).flatten()) };
        }
    }

    fn operations(&self) -> usize {
        2 * self.replacements.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Larson, SLOTS, Slots, replacements};
    use std::sync::{Arc, Mutex};

    /// Returns a part whose array has so many empty slots.
    fn part(slots: usize, middle: &Arc<Mutex<Slots>>) -> Larson {
        Larson {
            seed: 1,
            mine: (0..slots).map(|_| None).collect(),
            middle: middle.clone(),
            is_first: false,
            replacements: Vec::new(),
        }
    }

    #[test]
    fn arrays_go_round() {
        let middle = Arc::new(Mutex::new(Slots::new()));
        let (mut first, mut second) = (part(1, &middle), part(2, &middle));
        first.exchange();
        assert_eq!((first.mine.len(), second.mine.len()), (0, 2));
        second.exchange();
        assert_eq!((first.mine.len(), second.mine.len()), (0, 1));
        first.exchange();
        assert_eq!((first.mine.len(), second.mine.len()), (2, 1));
    }

    #[test]
    fn every_slot_is_hit_and_every_seed_differs() {
        let [one, again, other] = [1, 1, 2].map(|seed| {
            let replacements = replacements(10 * SLOTS, seed).into_iter();
            replacements
                .map(|one| (one.slot, one.size))
                .collect::<Vec<_>>()
        });
        assert_eq!(one, again);
        assert_ne!(one, other);
        let mut hit = vec![false; SLOTS];
        for (slot, size) in one {
            hit[slot as usize] = true;
            assert!((8..=1000).contains(&size), "{size}");
        }
        let missed = hit.iter().filter(|hit| !**hit).count();
        assert!(
            missed < 5,
            "{missed} of {SLOTS} were not hit in ten thousand"
        );
    }
}

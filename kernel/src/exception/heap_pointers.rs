//! Which registers of an exception point into the heap, in words.

use core::fmt;

use stack_alloc::Place;

use super::Exception;
use crate::registers::GENERAL_REGISTERS;
use crate::whereabouts::{HeapPlace, Whereabouts};

/// Registers that may hold an address: CR2, RSP, and the general ones.
const POINTERS: usize = 2 + GENERAL_REGISTERS;

/// What the registers of an exception point to in the heap. Displays as a line each, with one above them.
#[derive(Clone, Copy, Debug)]
pub struct HeapPointers {
    /// The names of the registers.
    names: [&'static str; POINTERS],
    /// What they point to, if that is in the heap; `None` when somebody holds its lock.
    places: Option<[Option<Place>; POINTERS]>,
}

impl HeapPointers {
    /// Has the registers looked up: `places` says of addresses where in the heap they are.
    #[must_use]
    pub fn find(
        exception: &Exception,
        places: impl FnOnce([u64; POINTERS]) -> Option<[Option<Place>; POINTERS]>,
    ) -> Self {
        let frame = &exception.frame;
        let mut named = [("", 0); POINTERS];
        let (first, general) = named.split_at_mut(POINTERS - GENERAL_REGISTERS);
        // Address 0, which is not in the heap, where there is none.
        let address = exception.address.map_or(0, |(address, _)| address);
        first.copy_from_slice(&[("CR2", address), ("RSP", frame.stack_pointer)]);
        general.copy_from_slice(&frame.registers.named());
        Self {
            names: named.map(|(name, _)| name),
            places: places(named.map(|(_, address)| address)),
        }
    }
}

impl fmt::Display for HeapPointers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(places) = self.places else {
            return writeln!(f, "{}", Whereabouts::HeapIsBusy);
        };
        if places.iter().all(Option::is_none) {
            return writeln!(f, "no register points into the heap");
        }
        writeln!(f, "registers that point into the heap:")?;
        for (name, place) in self.names.iter().zip(places) {
            if let Some(place) = place {
                writeln!(f, "  {name:<3} {}", HeapPlace(place))?;
            }
        }
        Ok(())
    }
}

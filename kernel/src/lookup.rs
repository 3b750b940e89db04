//! Finds out what an address is, for reports. Waits for no lock, and may be called anywhere.
//!
//! Stacks and the kernel's image are looked up in variables of the kernel. Of the heap, what it keeps in its own memory is
//! read, and may have been overwritten by whatever has gone wrong: who asks for that ([`whereabouts`], [`places`]) may meet an
//! exception. A report of a failure asks [`outside_the_heap`] first, and for the rest when all else is out.

use core::ptr;

use stack_alloc::Place;

use crate::memory::heap_source::HEAP;
use crate::stacks;
use crate::whereabouts::{NULL_PAGE_BYTES, Whereabouts};

unsafe extern "C" {
    /// Where the kernel's image begins; defined by the linker, like the two below.
    #[link_name = "__executable_start"]
    safe static IMAGE_START: u8;
    /// Where what cannot be written to ends: code and constants.
    #[link_name = "etext"]
    safe static CODE_END: u8;
    /// Where the image ends.
    #[link_name = "end"]
    safe static IMAGE_END: u8;
}

/// Returns what `address` is.
#[must_use]
pub fn whereabouts(address: u64) -> Whereabouts {
    outside_the_heap(address).unwrap_or_else(|| in_heap(address))
}

/// Returns what `address` is, as far as that can be told without the heap's memory, which may be broken.
#[must_use]
pub fn outside_the_heap(address: u64) -> Option<Whereabouts> {
    if address < NULL_PAGE_BYTES {
        return Some(Whereabouts::NextToNull);
    }
    if !is_canonical(address) {
        return Some(Whereabouts::NotCanonical);
    }
    if let Some(name) = stacks::guarded_by(address) {
        return Some(Whereabouts::Guard(name));
    }
    if let Some(name) = stacks::name_of(address) {
        return Some(Whereabouts::CallStack(name));
    }
    in_image(address)
}

/// Returns where in the heap the addresses are; `None` when the heap is busy.
#[must_use]
pub fn places<const N: usize>(addresses: [u64; N]) -> Option<[Option<Place>; N]> {
    let mut places = [None; N];
    for (place, address) in places.iter_mut().zip(addresses) {
        *place = Some(place_of(address)?).filter(|place| *place != Place::Foreign);
    }
    Some(places)
}

/// Asks the heap; `None` when it is busy.
fn place_of(address: u64) -> Option<Place> {
    HEAP.try_what_is(usize::try_from(address).unwrap_or(usize::MAX))
}

/// Returns what is at an address that is in the heap, if anywhere.
fn in_heap(address: u64) -> Whereabouts {
    match place_of(address) {
        None => Whereabouts::HeapIsBusy,
        Some(Place::Foreign) => Whereabouts::Unknown,
        Some(place) => Whereabouts::Heap(place),
    }
}

/// Returns in which part of the kernel's image an address is.
fn in_image(address: u64) -> Option<Whereabouts> {
    let of = |place: *const u8| place.addr() as u64;
    let (start, code_end, end) = (
        of(ptr::addr_of!(IMAGE_START)),
        of(ptr::addr_of!(CODE_END)),
        of(ptr::addr_of!(IMAGE_END)),
    );
    if (start..code_end).contains(&address) {
        Some(Whereabouts::CodeOrConstants)
    } else if (code_end..end).contains(&address) {
        Some(Whereabouts::Variables)
    } else {
        None
    }
}

/// Returns whether the upper bits of an address are copies of bit 47, as the CPU wants them.
const fn is_canonical(address: u64) -> bool {
    let upper = address >> 47;
    upper == 0 || upper == u64::MAX >> 47
}

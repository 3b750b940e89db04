//! What is known of an address, in words, for reports. Pure: [`lookup`](crate::lookup) finds out.
#![forbid(unsafe_code)]

use core::fmt;

use stack_alloc::{BLOCK_SIZE, ObjectKind, Place};

use crate::stack_name::StackName;

/// The lowest bytes of the address space, where nothing is mapped: what a null pointer and an offset lead to.
pub const NULL_PAGE_BYTES: u64 = 4096;

/// What an address is to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Less than a page from 0.
    NextToNull,
    /// In neither half of the address space.
    NotCanonical,
    /// In the unmapped memory below the call stack of this name.
    Guard(StackName),
    /// On the call stack of this name.
    CallStack(StackName),
    /// In what the kernel's image has of code and constants.
    CodeOrConstants,
    /// In what the kernel's image has of variables.
    Variables,
    /// In memory of the heap, or in memory that it had.
    Heap(Place),
    /// None of the others, as far as can be told: somebody holds the heap's lock, and a report does not wait.
    HeapIsBusy,
    /// None of the others.
    Unknown,
}

impl Whereabouts {
    /// Returns what the heap has at the address.
    #[must_use]
    pub const fn place(self) -> Option<Place> {
        match self {
            Self::Heap(place) => Some(place),
            _ => None,
        }
    }
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NextToNull => f.write_str("next to address 0"),
            Self::NotCanonical => {
                f.write_str("not an address: in neither half of the address space")
            }
            Self::Guard(name) => write!(f, "in the guard page below the call stack `{name}`"),
            Self::CallStack(name) => write!(f, "on the call stack `{name}`"),
            Self::CodeOrConstants => f.write_str("in the kernel's code and constants"),
            Self::Variables => f.write_str("in the kernel's variables"),
            Self::Heap(place) => HeapPlace(*place).fmt(f),
            Self::HeapIsBusy => f.write_str("the heap was busy: its lock is held"),
            Self::Unknown => {
                f.write_str("not in the heap, on a call stack, or in the kernel's image")
            }
        }
    }
}

/// A place in the heap, with the block that it is in and the class of the chunk.
#[derive(Clone, Copy, Debug)]
pub struct HeapPlace(pub Place);

impl fmt::Display for HeapPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.0;
        write!(f, "{place}")?;
        let Some(object) = place.object() else {
            return Ok(());
        };
        if matches!(place, Place::Object { offset: 0, .. }) {
            write!(f, " at {:#x}", object.address)?;
        }
        let block = object.address & !(BLOCK_SIZE - 1);
        match object.kind {
            ObjectKind::Chunk => write!(f, ", block {block:#x}, class {}", object.size),
            ObjectKind::Run => write!(f, ", block {block:#x}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use stack_alloc::{Object, ObjectState};

    use super::*;

    /// A place `offset` bytes into an object.
    fn place(size: usize, kind: ObjectKind, state: ObjectState, offset: usize) -> Place {
        let object = Object {
            address: 0x4_1000,
            size,
            kind,
            state,
        };
        Place::Object { object, offset }
    }

    #[test]
    fn chunks_name_their_block_and_class() {
        let free = place(64, ObjectKind::Chunk, ObjectState::Free, 24);
        assert_eq!(
            Whereabouts::Heap(free).to_string(),
            "24 bytes into a free 64-byte chunk at 0x41000, block 0x40000, class 64"
        );
        let start = place(48, ObjectKind::Chunk, ObjectState::Live, 0);
        assert_eq!(
            HeapPlace(start).to_string(),
            "the start of a live 48-byte chunk at 0x41000, block 0x40000, class 48"
        );
    }

    #[test]
    fn runs_name_their_block_and_regions_nothing_more() {
        let run = place(40960, ObjectKind::Run, ObjectState::Live, 8);
        assert_eq!(
            HeapPlace(run).to_string(),
            "8 bytes into a live 40960-byte run of pages at 0x41000, block 0x40000"
        );
        let region = place(1 << 20, ObjectKind::Region, ObjectState::Live, 8);
        assert_eq!(
            HeapPlace(region).to_string(),
            "8 bytes into a live 1048576-byte region at 0x41000"
        );
        assert_eq!(HeapPlace(Place::FreePage).to_string(), "in a free page");
    }
}

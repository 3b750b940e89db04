//! Wrong frees, told in full: what the heap says, and what stands around.
//!
//! The text is pure. The [`handler`] is what the heap calls when it has noticed one; it has changed nothing then, and the
//! caller is still on the call stack, so the backtrace of the panic shows who it was. What stands around is looked up when
//! the sentence is out already: whose frees are wrong may have written wrongly before, and the look-up may meet that.

use core::fmt;

use stack_alloc::{BLOCK_SIZE, Misuse, Object, ObjectKind, Place};

use crate::whereabouts::Whereabouts;

/// A wrong free, or wrong memory from the heap's source. Displays as a sentence and lines of what is around.
#[derive(Clone, Copy, Debug)]
pub struct MisuseReport<F> {
    /// What the heap says.
    pub misuse: Misuse,
    /// Finds out what an address is.
    pub whereabouts: F,
}

impl<F: Fn(usize) -> Whereabouts> MisuseReport<F> {
    /// Writes where the address is: block and class, or what it is where it is not the heap's.
    fn write_place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.misuse.address;
        let block = address & !(BLOCK_SIZE - 1);
        match self.misuse.place {
            Place::Object { object, .. } => match object.kind {
                ObjectKind::Chunk => writeln!(f, "  block {block:#x}, class {}", object.size),
                ObjectKind::Run => writeln!(f, "  block {block:#x}"),
                _ => Ok(()),
            },
            Place::FreePage | Place::Tail | Place::Own => writeln!(f, "  block {block:#x}"),
            _ => match (self.whereabouts)(address) {
                Whereabouts::Heap(_) | Whereabouts::HeapIsBusy | Whereabouts::Unknown => Ok(()),
                whereabouts => writeln!(f, "  {address:#x} is {whereabouts}"),
            },
        }
    }

    /// Writes what stands on each side of the object at the address, where there is one.
    fn write_neighbours(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(object) = self.misuse.place.object() else {
            return Ok(());
        };
        let [before, behind] = around(object).map(&self.whereabouts);
        writeln!(f, "  before it: {}", Neighbour(before))?;
        writeln!(f, "  behind it: {}", Neighbour(behind))
    }
}

impl<F: Fn(usize) -> Whereabouts> fmt::Display for MisuseReport<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.misuse)?;
        self.write_place(f)?;
        self.write_neighbours(f)?;
        f.write_str(
            "  The heap has changed nothing. The kernel ends: whose frees are wrong may have written wrongly before.",
        )
    }
}

/// What stands beside an object, whole.
struct Neighbour(Whereabouts);

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Whereabouts::Heap(Place::Object { object, .. }) => object.fmt(f),
            Whereabouts::Unknown => f.write_str("nothing of the heap's"),
            other => other.fmt(f),
        }
    }
}

/// Returns the addresses of the last byte before an object and of the first one behind it.
#[must_use]
pub const fn around(object: Object) -> [usize; 2] {
    let before = object.address.saturating_sub(1);
    [before, object.address.saturating_add(object.size)]
}

#[cfg(target_os = "none")]
pub use machine::handler;

/// What asks the machine.
#[cfg(target_os = "none")]
mod machine {
    use stack_alloc::Misuse;

    use super::MisuseReport;
    use crate::lookup;

    /// Called by the heap after a wrong free, or wrong memory from its source, without its lock.
    ///
    /// # Panics
    ///
    /// Always, with the report.
    pub fn handler(misuse: Misuse) {
        let report = MisuseReport {
            misuse,
            whereabouts: |address| lookup::whereabouts(address as u64),
        };
        panic!("{report}");
    }
}

#[cfg(test)]
mod tests {
    use core::alloc::Layout;
    use std::string::{String, ToString};

    use stack_alloc::{MisuseKind, ObjectState};

    use super::*;

    /// The last line of each report.
    const END: &str = "  The heap has changed nothing. The kernel ends: whose frees are wrong may have written wrongly before.";

    /// A chunk of 64 bytes.
    fn chunk(address: usize, state: ObjectState) -> Object {
        Object {
            address,
            size: 64,
            kind: ObjectKind::Chunk,
            state,
        }
    }

    /// The report of a wrong free of 64 bytes.
    fn report(
        kind: MisuseKind,
        address: usize,
        place: Place,
        whereabouts: impl Fn(usize) -> Whereabouts,
    ) -> String {
        let misuse = Misuse {
            kind,
            address,
            layout: Layout::new::<[u64; 8]>(),
            place,
        };
        MisuseReport {
            misuse,
            whereabouts,
        }
        .to_string()
    }

    #[test]
    fn double_frees_tell_block_class_and_neighbours() {
        let object = chunk(0x4_1040, ObjectState::Free);
        let place = Place::Object { object, offset: 0 };
        let before = Place::Object {
            object: chunk(0x4_1000, ObjectState::Live),
            offset: 63,
        };
        let around = |address| {
            Whereabouts::Heap(match address {
                0x4_103f => before,
                0x4_1080 => Place::FreePage,
                _ => panic!("{address:#x} is not beside it"),
            })
        };
        assert_eq!(
            report(
                MisuseKind::DoubleFree,
                0x4_1040,
                place,
                around
            ),
            [
                "wrong free of 0x41040 (size 64, align 8): it is free already; the address is the start of a free 64-byte chunk\n",
                "  block 0x40000, class 64\n",
                "  before it: a live 64-byte chunk at 0x41000\n",
                "  behind it: in a free page\n",
                END,
            ]
            .concat()
        );
    }

    #[test]
    fn foreign_addresses_are_named_as_far_as_the_kernel_knows() {
        let foreign =
            |whereabouts| report(MisuseKind::Foreign, 0x5000, Place::Foreign, |_| whereabouts);
        let sentence = "wrong free of 0x5000 (size 64, align 8): it was not handed out here; the address is not in the memory of this heap\n";
        assert_eq!(
            foreign(Whereabouts::CallStack("boot".into())),
            [sentence, "  0x5000 is on the call stack `boot`\n", END].concat()
        );
        assert_eq!(foreign(Whereabouts::Unknown), [sentence, END].concat());
    }

    #[test]
    fn neighbours_are_the_bytes_around() {
        assert_eq!(
            around(chunk(0x4_1040, ObjectState::Live)),
            [0x4_103f, 0x4_1080]
        );
    }
}

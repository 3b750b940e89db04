//! Wrong frees, and wrong memory from the source: what was done, and what is really there.
//!
//! A wrong free changes nothing. The heap describes it in a [`Misuse`], lets go of its lock, and then calls the handler
//! that the user has set, or panics with one sentence.
#![forbid(unsafe_code)]

use core::alloc::Layout;
use core::error::Error;
use core::fmt;

use crate::place::Place;

/// What is wrong with a pointer and layout that were given back, or with memory that the source gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MisuseKind {
    /// The pointer is null.
    Null,
    /// The address is not memory that this heap hands out: another heap's, a static's, a call stack's, the heap's own
    /// records, or memory that went back to the source long ago.
    Foreign,
    /// The address lies in a block or region that went back to the source, one of the last few: its objects were all
    /// given back before.
    GoneBack,
    /// The address lies inside an object, not at its start.
    Interior,
    /// What is there is free already. Can be told only until the same memory is put to use again: then a second free
    /// looks right, or like one of the other kinds.
    DoubleFree,
    /// The layout's size, perhaps with its alignment, gets another kind of object than the one there.
    WrongSize,
    /// The layout's size alone would get such an object; with its alignment it gets another one.
    WrongAlignment,
    /// The source gave memory that is not aligned as asked, or a part that crosses the bounds of a block. It was not
    /// used.
    SourceMisaligned,
    /// The source gave memory that the heap holds already, or that ends behind the last address. It was not used.
    SourceOverlaps,
}

impl MisuseKind {
    /// Returns the reason as the middle of a sentence.
    const fn reason(self) -> &'static str {
        match self {
            Self::Null => "the pointer is null",
            Self::Foreign => "it was not handed out here",
            Self::GoneBack => "all that was there has been freed",
            Self::Interior => "it is not where an object begins",
            Self::DoubleFree => "it is free already",
            Self::WrongSize => "a layout of that size gets another kind of object",
            Self::WrongAlignment => "the size is right, but not with that alignment",
            Self::SourceMisaligned => "it is not aligned as asked",
            Self::SourceOverlaps => "the heap holds some of it already",
        }
    }

    /// Returns whether it is the source that did wrong.
    const fn is_of_source(self) -> bool {
        matches!(self, Self::SourceMisaligned | Self::SourceOverlaps)
    }
}

/// A wrong free, a wrong pointer given to `realloc`, or wrong memory from the source.
///
/// # Examples
///
/// ```
/// use core::alloc::Layout;
/// use stack_alloc::{Misuse, MisuseKind, Object, ObjectKind, ObjectState, Place};
///
/// let object = Object { address: 0x1200, size: 48, kind: ObjectKind::Chunk, state: ObjectState::Live };
/// let misuse = Misuse {
///     kind: MisuseKind::Interior,
///     address: 0x1208,
///     layout: Layout::new::<u64>(),
///     place: Place::Object { object, offset: 8 },
/// };
/// assert_eq!(
///     misuse.to_string(),
///     "wrong free of 0x1208 (size 8, align 8): it is not where an object begins; \
///      the address is 8 bytes into a live 48-byte chunk at 0x1200",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misuse {
    /// What is wrong.
    pub kind: MisuseKind,
    /// The address given.
    pub address: usize,
    /// The layout given; of memory from the source, the size and alignment asked for.
    pub layout: Layout,
    /// What is at the address now.
    pub place: Place,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.kind.is_of_source() {
            "wrong memory from the source at"
        } else {
            "wrong free of"
        };
        let (size, align) = (self.layout.size(), self.layout.align());
        write!(
            f,
            "{what} {:#x} (size {size}, align {align}): {}",
            self.address,
            self.kind.reason()
        )?;
        if self.kind == MisuseKind::Null {
            return Ok(());
        }
        write!(f, "; the address is {}", self.place)
    }
}

impl Error for Misuse {}

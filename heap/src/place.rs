//! What stands at an address: the answer for fault reports, wrong frees, and whoever looks at a heap.
//!
//! Owns the words alone; [`crate::locate`] finds out which of them are right.
#![forbid(unsafe_code)]

use core::fmt;

/// How an object is served, and with it which layouts get such a one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectKind {
    /// A chunk of a stack: up to 16 KiB.
    Chunk,
    /// A run of pages inside a block: up to 252 KiB.
    Run,
    /// A region of its own.
    Region,
}

/// Whether an object is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ObjectState {
    /// It was handed out and not given back.
    Live,
    /// It can be handed out.
    Free,
    /// It was given back and waits in the quarantine.
    Quarantined,
}

/// A piece of memory that is, or would be, handed out as one: a chunk, a run of pages, a region.
///
/// # Examples
///
/// ```
/// use stack_alloc::{Object, ObjectKind, ObjectState};
///
/// let object = Object { address: 0x4_0000, size: 64, kind: ObjectKind::Chunk, state: ObjectState::Free };
/// assert_eq!(object.to_string(), "a free 64-byte chunk at 0x40000");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// Address of its first byte.
    pub address: usize,
    /// Its size in bytes: that of its chunk (which is its class), run or region, at least what was asked for.
    pub size: usize,
    /// How it is served.
    pub kind: ObjectKind,
    /// Whether it is in use.
    pub state: ObjectState,
}

impl Object {
    /// Writes what it is, without its address: `a free 64-byte chunk`.
    fn write_name(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            ObjectState::Live => "live",
            ObjectState::Free => "free",
            ObjectState::Quarantined => "freed, quarantined",
        };
        let kind = match self.kind {
            ObjectKind::Chunk => "chunk",
            ObjectKind::Run => "run of pages",
            ObjectKind::Region => "region",
        };
        write!(f, "a {state} {}-byte {kind}", self.size)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_name(f)?;
        write!(f, " at {:#x}", self.address)
    }
}

/// What an address is to a heap, as of the moment of asking.
///
/// # Examples
///
/// ```
/// use stack_alloc::{Object, ObjectKind, ObjectState, Place};
///
/// let object = Object { address: 0x4_0000, size: 64, kind: ObjectKind::Chunk, state: ObjectState::Live };
/// let place = Place::Object { object, offset: 24 };
/// assert_eq!(place.to_string(), "24 bytes into a live 64-byte chunk at 0x40000");
/// assert_eq!(place.object(), Some(object));
/// assert_eq!(Place::Foreign.to_string(), "not in the memory of this heap");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// In an object.
    Object {
        /// The object.
        object: Object,
        /// Bytes from its start to the address.
        offset: usize,
    },
    /// In a page of a block that nobody has.
    FreePage,
    /// Behind the last chunk of a stack, where no further one fits.
    Tail,
    /// In a block's header, or in a record of a region: the heap's own.
    Own,
    /// In a block or region that went back to the source: one of the last few.
    GoneBack {
        /// Where the block or region began.
        address: usize,
        /// Its size in bytes.
        size: usize,
    },
    /// In none of this heap's memory: another heap's, a static's, a call stack's, or what went back long ago.
    Foreign,
}

impl Place {
    /// Returns the object that the address lies in, if it does.
    #[must_use]
    pub const fn object(&self) -> Option<Object> {
        match self {
            Self::Object { object, .. } => Some(*object),
            _ => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { object, offset: 0 } => {
                f.write_str("the start of ")?;
                object.write_name(f)
            }
            Self::Object { object, offset } => write!(f, "{offset} bytes into {object}"),
            Self::FreePage => f.write_str("in a free page"),
            Self::Tail => f.write_str("behind the last chunk of a stack"),
            Self::Own => f.write_str("in the heap's own records"),
            Self::GoneBack { address, size } => {
                write!(
                    f,
                    "in the {size} bytes at {address:#x} that went back to the source"
                )
            }
            Self::Foreign => f.write_str("not in the memory of this heap"),
        }
    }
}

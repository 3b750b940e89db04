//! Wrong frees: what was done, and what is really there.
//!
//! A wrong free changes nothing. The heap describes it in a [`Misuse`], lets go of its lock, and then calls the handler
//! that the user has set, or panics with one sentence.
#![forbid(unsafe_code)]

use core::alloc::Layout;
use core::error::Error;
use core::fmt;

/// What is wrong with a pointer and layout that were given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MisuseKind {
    /// The pointer is null.
    Null,
    /// The address is not memory that this heap hands out: another heap's, a static's, a call stack's, or memory that
    /// went back to the source since.
    Foreign,
    /// The address lies inside an object, not at its start.
    Interior,
    /// What is there is free already. Can be told only until the same memory is put to use again: then a second free
    /// looks right, or like one of the other kinds.
    DoubleFree,
    /// The layout's size, perhaps with its alignment, gets another kind of object than the one there.
    WrongSize,
    /// The layout's size alone would get such an object; with its alignment it gets another one.
    WrongAlignment,
}

/// The object that an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// Address of its first byte.
    pub address: usize,
    /// Its size in bytes: that of its chunk, run of pages or region, at least what was asked for.
    pub size: usize,
}

/// A wrong free, or a wrong pointer given to `realloc`.
///
/// # Examples
///
/// ```
/// use core::alloc::Layout;
/// use stack_alloc::{Misuse, MisuseKind};
///
/// let misuse = Misuse { kind: MisuseKind::Foreign, address: 0x1234, layout: Layout::new::<u64>(), object: None };
/// assert_eq!(
///     misuse.to_string(),
///     "wrong free of 0x1234 (size 8, align 8): the address is not memory of this heap",
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misuse {
    /// What is wrong.
    pub kind: MisuseKind,
    /// The address given.
    pub address: usize,
    /// The layout given.
    pub layout: Layout,
    /// The object that the address belongs to, where there is one.
    pub object: Option<Object>,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, align) = (self.layout.size(), self.layout.align());
        write!(
            f,
            "wrong free of {:#x} (size {size}, align {align}): ",
            self.address
        )?;
        match (self.kind, self.object) {
            (MisuseKind::Null, _) => f.write_str("the pointer is null"),
            (MisuseKind::DoubleFree, Some(object)) => {
                write!(f, "the {}-byte chunk there is free already", object.size)
            }
            (MisuseKind::DoubleFree, None) => f.write_str("the page there is free already"),
            (MisuseKind::Interior, Some(object)) => write!(
                f,
                "it lies {} bytes inside the {}-byte object at {:#x}",
                self.address - object.address,
                object.size,
                object.address
            ),
            (MisuseKind::WrongSize, Some(object)) => write!(
                f,
                "the object there has {} bytes, which a layout of that size does not get",
                object.size
            ),
            (MisuseKind::WrongAlignment, Some(object)) => write!(
                f,
                "the object there has {} bytes, right for that size, but not with that alignment",
                object.size
            ),
            _ => f.write_str("the address is not memory of this heap"),
        }
    }
}

impl Error for Misuse {}

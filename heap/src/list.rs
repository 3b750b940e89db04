//! A doubly linked list whose links live inside its members.
//!
//! Owns nothing: members are small handles (`Copy`), and each member's record carries its own [`Links`]. A member is
//! in at most one list at a time. Knows no pointers of its own, so it is safe code; what makes a handle valid is
//! the business of the module that made it.
//!
//! Cost: every operation but [`List::iter`] is constant.
#![forbid(unsafe_code)]

use core::cell::Cell;

/// A handle whose record holds links to its neighbours in a list.
pub(crate) trait Linked: Copy + PartialEq {
    /// Returns the links inside this member's record.
    fn links(&self) -> &Links<Self>;
}

/// A member's neighbours.
#[derive(Debug)]
pub(crate) struct Links<T: Copy> {
    /// The member behind this one.
    next: Cell<Option<T>>,
    /// The member before this one; `None` for the first.
    previous: Cell<Option<T>>,
}

impl<T: Copy> Default for Links<T> {
    fn default() -> Self {
        Self {
            next: Cell::new(None),
            previous: Cell::new(None),
        }
    }
}

/// A list of members.
#[derive(Debug)]
pub(crate) struct List<T> {
    /// The first member.
    first: Option<T>,
}

impl<T> List<T> {
    /// Creates an empty list.
    pub(crate) const fn new() -> Self {
        Self { first: None }
    }
}

impl<T: Linked> List<T> {
    /// Returns the first member.
    #[inline]
    pub(crate) const fn first(&self) -> Option<T> {
        self.first
    }

    /// Returns whether there is no member.
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Puts `member`, which is in no list, first.
    #[inline]
    pub(crate) fn push(&mut self, member: T) {
        member.links().previous.set(None);
        member.links().next.set(self.first);
        if let Some(second) = self.first {
            second.links().previous.set(Some(member));
        }
        self.first = Some(member);
    }

    /// Takes the first member, which is `first`, out.
    #[inline]
    pub(crate) fn pop(&mut self, first: T) {
        debug_assert!(self.first == Some(first), "the first member is taken out");
        self.first = first.links().next.take();
        if let Some(second) = self.first {
            second.links().previous.set(None);
        }
    }

    /// Takes `member`, which is in this list, out of it.
    #[inline]
    pub(crate) fn remove(&mut self, member: T) {
        let next = member.links().next.take();
        let previous = member.links().previous.take();
        if let Some(next) = next {
            next.links().previous.set(previous);
        }
        match previous {
            Some(previous) => previous.links().next.set(next),
            None => self.first = next,
        }
    }

    /// Returns whether `member` is the only one in this list.
    #[inline]
    pub(crate) fn is_only(&self, member: T) -> bool {
        self.first == Some(member) && member.links().next.get().is_none()
    }

    /// Returns the members in order. Cost: the number of members.
    pub(crate) fn iter(&self) -> impl Iterator<Item = T> + use<T> {
        core::iter::successors(self.first, |member| member.links().next.get())
    }

    /// Returns whether each member names the one before it as its previous. Cost: the number of members.
    pub(crate) fn is_linked_both_ways(&self) -> bool {
        let mut previous = None;
        for member in self.iter() {
            if member.links().previous.get() != previous {
                return false;
            }
            previous = Some(member);
        }
        true
    }
}

//! One object under stress: allocated, filled, looked at, freed.

use alloc::alloc::{alloc, alloc_zeroed, dealloc, realloc};
use core::alloc::Layout;
use core::ptr::NonNull;
use core::slice;

use super::shadow;
use super::tally::{self, What};
use crate::cpu;

/// An object of the kernel's heap, filled with a byte of its own. Freed when dropped, after a look at its contents.
///
/// # Invariants
/// - `start` is live with `layout`, whose size is not zero, and this value's alone; all of its bytes were written.
#[derive(Debug)]
pub struct Object {
    /// Its first byte.
    start: NonNull<u8>,
    /// What it was asked for with.
    layout: Layout,
    /// What it is filled with.
    fill: u8,
    /// The CPU that allocated it, or that its task was moved from in that moment.
    cpu: usize,
}

// SAFETY: an object is memory of the heap's, which every context may use and free, one at a time.
unsafe impl Send for Object {}

impl Object {
    /// Allocates an object and fills it; `None` where the heap answers with null.
    #[must_use]
    pub fn new(layout: Layout, fill: u8) -> Option<Self> {
        // SAFETY: the size of no layout here is zero.
        let start = NonNull::new(unsafe { alloc(layout) })?;
        Some(Self::take(start, layout, fill))
    }

    /// Allocates an object of zeros, looks whether it is, and fills it.
    #[must_use]
    pub fn zeroed(layout: Layout, fill: u8) -> Option<Self> {
        // SAFETY: the size of no layout here is zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let object = Self::take_filled(start, layout, 0);
        object.look("fresh from `alloc_zeroed`");
        Some(object.refilled(fill))
    }

    /// Returns the address of the first byte.
    #[must_use]
    pub fn address(&self) -> usize {
        self.start.addr().get()
    }

    /// Returns the size in bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.layout.size()
    }

    /// Makes the object `size` bytes long, not 0, and looks whether its contents have come along. `false`, with the object as it
    /// was, where the heap answers with null.
    pub fn resize(&mut self, size: usize) -> bool {
        self.look("before it is resized");
        let Ok(layout) = Layout::from_size_align(size, self.layout.align()) else {
            return false;
        };
        shadow::remove(self.start, self.layout);
        // SAFETY: live with that layout (invariant); the new size is not zero, and a layout's.
        let resized = NonNull::new(unsafe { realloc(self.start.as_ptr(), self.layout, size) });
        let Some(start) = resized else {
            shadow::insert(self.start, self.layout);
            self.look("after `realloc` answered with null");
            return false;
        };
        shadow::insert(start, layout);
        let kept = self.size().min(size);
        (self.start, self.layout, self.cpu) = (start, layout, cpu::current());
        assert!(
            self.holds(kept),
            "stress: an object lost its contents when it was resized: {self:x?}"
        );
        self.fill_up();
        true
    }

    /// Looks at all bytes.
    ///
    /// # Panics
    ///
    /// If one is another than was written: a finding.
    pub fn look(&self, when: &str) {
        assert!(
            self.holds(self.size()),
            "stress: an object has lost its contents, {when}: {self:x?}"
        );
    }

    /// Takes over what the heap has just handed out, and fills it.
    fn take(start: NonNull<u8>, layout: Layout, fill: u8) -> Self {
        // SAFETY: handed out for that layout, so that many bytes may be written.
        unsafe { start.write_bytes(fill, layout.size()) };
        Self::take_filled(start, layout, fill)
    }

    /// Takes over what the heap has just handed out, full of `fill`.
    fn take_filled(start: NonNull<u8>, layout: Layout, fill: u8) -> Self {
        assert!(
            start.addr().get().is_multiple_of(layout.align()),
            "stress: {start:?} is not aligned for {layout:?}"
        );
        shadow::insert(start, layout);
        // INVARIANT: handed out for the layout, to us alone, and written.
        Self {
            start,
            layout,
            fill,
            cpu: cpu::current(),
        }
    }

    /// Fills the object with another byte.
    fn refilled(mut self, fill: u8) -> Self {
        self.fill = fill;
        self.fill_up();
        self
    }

    /// Fills the whole object.
    fn fill_up(&mut self) {
        // SAFETY: live, ours alone, and so many bytes long (invariant).
        unsafe { self.start.write_bytes(self.fill, self.size()) };
    }

    /// Returns whether the first `size` bytes, at most the object's, are what was written.
    fn holds(&self, size: usize) -> bool {
        // SAFETY: live, at least so long, written, and nobody else's (invariant).
        let bytes = unsafe { slice::from_raw_parts(self.start.as_ptr(), size) };
        let word = u64::from_ne_bytes([self.fill; 8]);
        // SAFETY: any bytes are a `u64`.
        let (head, words, tail) = unsafe { bytes.align_to::<u64>() };
        let is_fill = |byte: &u8| *byte == self.fill;
        head.iter().all(is_fill)
            && words.iter().all(|found| *found == word)
            && tail.iter().all(is_fill)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.look("before it is freed");
        shadow::remove(self.start, self.layout);
        if self.cpu != cpu::current() {
            tally::count(What::Crossing);
        }
        // SAFETY: live with that layout (invariant), and not used again: this value ends here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

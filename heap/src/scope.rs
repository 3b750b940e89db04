//! A scope: objects that are allocated one by one and freed all at once.
//!
//! Work that makes many small objects and is done with all of them at the same time (a request, a frame, the parsing of
//! a file) need not free them one by one. A scope takes *pieces* of memory from a heap and cuts objects off them, one
//! behind the other; at its end the pieces go back.
//!
//! Owns its pieces. Refuses to know where memory comes from: any [`GlobalAlloc`] will do,
//! [`Allocator`](crate::Allocator) among them.
//!
//! ```text
//!          ┌────────┬───┬────┬─────────────┬────────┐         older pieces, of up to the same size
//! piece    │ object │ … │    │ left        │ header ├────────▶ ┌──────────────┬────────┐
//!          └────────┴───┴────┴─────────────┴────────┘          │              │ header ├───▶ …
//!          ▲                 ▲             ▲                    └──────────────┴────────┘
//!          base              free          base + size - header
//! ```
//!
//! The header is at the end, so that an object with a large alignment, which decides the piece's, starts at its base.
//!
//! Pieces double in size, from [`SMALLEST_PIECE`] to [`LARGEST_PIECE`], or at once to what an object needs: so their
//! number grows with the logarithm of what is handed out, later with a [`LARGEST_PIECE`]th of it. What is left of a piece
//! when the next object does not fit stays unused. When the heap cannot give a piece of the next size, smaller ones are
//! tried. An object that is too large for a piece of [`LARGEST_PIECE`] gets one of its own, made to measure, and the
//! piece in use stays in use.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::fmt;
use core::mem::needs_drop;
use core::ptr::{self, NonNull};

/// Bytes of the first piece that a [`Scope`] takes from its heap. A power of two.
pub const SMALLEST_PIECE: usize = 1 << 10;

/// Bytes of the largest piece that a [`Scope`] takes from its heap for more than one object. A power of two.
///
/// Eight pages: large enough that a piece costs little for each object in it, small enough that several fit in a block
/// and that a heap in which memory is short still has one.
pub const LARGEST_PIECE: usize = 32 << 10;

/// Bytes of a piece that are not for objects.
const HEADER_SIZE: usize = size_of::<Header>();

const _: () = assert!(
    SMALLEST_PIECE.is_power_of_two() && LARGEST_PIECE.is_power_of_two(),
    "pieces double"
);
const _: () = assert!(
    SMALLEST_PIECE > HEADER_SIZE && SMALLEST_PIECE % align_of::<Header>() == 0,
    "a header fits at the end of a piece, and is aligned there"
);

/// An arena over the heap `A`: all that it handed out is freed at once, when it is dropped or [`reset`](Self::reset).
///
/// *It runs no destructors.* An object with one is refused when the program is compiled; wrap it in
/// [`ManuallyDrop`](core::mem::ManuallyDrop) to say that its destructor need not run.
///
/// Handing out takes constant time, and less than a heap does: a few additions. Each time the piece in use is full, the
/// heap is asked once, or up to six times when its memory is short. The end costs one call of the heap for each piece,
/// however many objects were in it.
///
/// A scope belongs to one thread at a time: it is [`Send`] if the heap may be used from other threads, but not [`Sync`].
///
/// # Examples
///
/// ```
/// use std::alloc::System;
/// use stack_alloc::Scope;
///
/// struct Word<'s> {
///     text: &'s str,
///     next: Option<&'s Word<'s>>,
/// }
///
/// let scope = Scope::new(&System);
/// let mut last = None;
/// for text in "all at once".split(' ') {
///     let Ok(word) = scope.alloc(Word { text, next: last }) else {
///         panic!("out of memory");
///     };
///     last = Some(&*word);
/// }
/// let words = std::iter::successors(last, |word| word.next);
/// assert_eq!(words.map(|word| word.text).collect::<Vec<_>>(), ["once", "at", "all"]);
/// ```
///
/// What has a destructor is refused:
///
/// ```compile_fail,E0080
/// # use std::alloc::System;
/// # use stack_alloc::Scope;
/// let scope = Scope::new(&System);
/// let _ = scope.alloc(vec![1, 2, 3]);
/// ```
///
/// and so is the use of an object after the end:
///
/// ```compile_fail,E0505
/// # use std::alloc::System;
/// # use stack_alloc::Scope;
/// let scope = Scope::new(&System);
/// let number = scope.alloc(1).unwrap();
/// drop(scope);
/// *number = 2;
/// ```
pub struct Scope<'h, A: GlobalAlloc> {
    /// Where pieces come from and go to.
    heap: &'h A,
    /// The piece in use; behind it hang those that are full.
    pieces: List,
    /// Pieces of one object each.
    own_pieces: List,
    /// The first byte of the piece in use that belongs to no object.
    ///
    /// # Invariants
    ///
    /// From here on, `left` bytes belong to the piece in use, and to no object and no header.
    free: Cell<NonNull<u8>>,
    /// Bytes from `free` to the header. 0 if there is no piece.
    left: Cell<usize>,
    /// Bytes of the next piece, if the heap has so many: a power of two.
    next_size: Cell<usize>,
    /// Bytes handed out.
    allocated: Cell<usize>,
}

impl<'h, A: GlobalAlloc> Scope<'h, A> {
    /// Creates an empty scope. It asks `heap` for nothing before it is asked itself.
    pub const fn new(heap: &'h A) -> Self {
        Self {
            heap,
            pieces: List::new(),
            own_pieces: List::new(),
            free: Cell::new(NonNull::dangling()),
            left: Cell::new(0),
            next_size: Cell::new(SMALLEST_PIECE),
            allocated: Cell::new(0),
        }
    }

    /// Moves `value` into the scope.
    ///
    /// A `T` with a destructor is refused when the program is compiled.
    ///
    /// # Errors
    ///
    /// When the heap is out of memory: `value`, given back.
    #[expect(
        clippy::mut_from_ref,
        reason = "each call gives another object: none is handed out twice"
    )]
    pub fn alloc<T>(&self, value: T) -> Result<&mut T, T> {
        const { assert!(!needs_drop::<T>(), "a scope runs no destructors") };
        let Some(memory) = self.alloc_layout(Layout::new::<T>()) else {
            return Err(value);
        };
        let mut object = memory.cast::<T>();
        // SAFETY: the memory has the layout of a `T`, and nobody else has it.
        unsafe { object.write(value) };
        // SAFETY: it holds a value now, and stays until the scope is reset or dropped, which needs all of the scope.
        Ok(unsafe { object.as_mut() })
    }

    /// Copies `source` into the scope. `None` when the heap is out of memory.
    #[expect(
        clippy::mut_from_ref,
        reason = "each call gives another object: none is handed out twice"
    )]
    pub fn alloc_slice_copy<T: Copy>(&self, source: &[T]) -> Option<&mut [T]> {
        let object = self.alloc_layout(Layout::for_value(source))?.cast::<T>();
        // SAFETY: `object` has the layout of the slice; it is new, so they do not overlap.
        unsafe { ptr::copy_nonoverlapping(source.as_ptr(), object.as_ptr(), source.len()) };
        let mut copy = NonNull::slice_from_raw_parts(object, source.len());
        // SAFETY: it holds values now, and stays until the scope is reset or dropped, which needs all of the scope.
        Some(unsafe { copy.as_mut() })
    }

    /// Hands out `layout.size()` bytes, of any contents, aligned as `layout` wants it. They are the caller's until the
    /// scope is reset or dropped. `None` when the heap is out of memory; the scope is then as it was.
    ///
    /// No bytes cost nothing, and never fail.
    pub fn alloc_layout(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() == 0 {
            return NonNull::new(ptr::without_provenance_mut(layout.align()));
        }
        let object = match self.cut(layout) {
            Some(object) => object,
            None => self.cut_from_new_piece(layout)?,
        };
        self.allocated.set(self.allocated.get() + layout.size());
        Some(object)
    }

    /// Frees all that was handed out, and keeps the newest piece to begin again with. The rest goes back to the heap,
    /// in one call for each piece.
    ///
    /// What comes next is expected to be as large as what was: pieces do not become small again.
    pub fn reset(&mut self) {
        let newest = self.pieces.pop();
        self.free_pieces();
        self.allocated.set(0);
        if let Some(header) = newest {
            self.pieces.push(header);
            self.begin(header);
        }
    }

    /// Returns the bytes handed out since the scope was created or reset, without what alignment cost.
    pub fn bytes_allocated(&self) -> usize {
        self.allocated.get()
    }

    /// Returns the bytes that the scope has from its heap. Cost: the number of pieces.
    pub fn bytes_held(&self) -> usize {
        self.layouts().map(|layout| layout.size()).sum()
    }

    /// Returns the number of pieces that the scope has from its heap: so many calls its end will cost. Cost: the number.
    pub fn pieces(&self) -> usize {
        self.layouts().count()
    }

    /// Returns the layouts of all pieces.
    fn layouts(&self) -> impl Iterator<Item = Layout> {
        self.pieces.layouts().chain(self.own_pieces.layouts())
    }

    /// Cuts an object that is not empty off the piece in use. `None`, and nothing has changed, if it does not fit.
    #[inline]
    fn cut(&self, layout: Layout) -> Option<NonNull<u8>> {
        let free = self.free.get();
        let padding = free.addr().get().wrapping_neg() & (layout.align() - 1);
        // No overflow: `padding` is less than an alignment, and a layout's size with that is within `isize` and a bit.
        let end = padding + layout.size();
        let left = self.left.get().checked_sub(end)?;
        // SAFETY: `padding` is at most `end`, which is at most `left` bytes: within the piece (invariant of `free`).
        let object = unsafe { free.add(padding) };
        // SAFETY: as above. INVARIANT: what is left begins behind the object.
        self.free.set(unsafe { free.add(end) });
        self.left.set(left);
        Some(object)
    }

    /// Takes an object that is not empty from a new piece: one of its own, or the next to be in use.
    #[cold]
    fn cut_from_new_piece(&self, layout: Layout) -> Option<NonNull<u8>> {
        // No overflow: a layout's size is at most `isize::MAX`.
        let size = layout.size().next_multiple_of(align_of::<Header>()) + HEADER_SIZE;
        if size > LARGEST_PIECE {
            let header = self.new_piece(size, layout.align())?;
            self.own_pieces.push(header);
            // SAFETY: `new_piece` wrote the header, and it has not been freed.
            return Some(unsafe { base(header) });
        }
        self.refill(size, layout.align())?;
        self.cut(layout)
    }

    /// Puts a new piece in use, of at least `least` bytes with its header; the base aligned to `align`.
    ///
    /// Where memory is short, a half of a piece is tried after a piece, as long as it is of use.
    fn refill(&self, least: usize, align: usize) -> Option<()> {
        let least = least.next_power_of_two().max(SMALLEST_PIECE);
        let mut size = self.next_size.get().max(least);
        let header = loop {
            match self.new_piece(size, align) {
                Some(header) => break header,
                None if size > least => size /= 2,
                None => return None,
            }
        };
        self.pieces.push(header);
        self.begin(header);
        self.next_size.set(LARGEST_PIECE.min(2 * size));
        Some(())
    }

    /// Puts all of the piece with this header to use.
    fn begin(&self, header: NonNull<Header>) {
        // SAFETY: a header in a list is there until its piece is freed.
        let size = unsafe { header.as_ref() }.layout.size();
        // SAFETY: as above.
        self.free.set(unsafe { base(header) });
        // INVARIANT: the piece is new or was reset, so no object is in it, and its header is at the end.
        self.left.set(size - HEADER_SIZE);
    }

    /// Takes a piece of `size` bytes from the heap and writes its header, which is in no list yet.
    ///
    /// `size` is a multiple of a header's alignment and at least [`HEADER_SIZE`].
    fn new_piece(&self, size: usize, align: usize) -> Option<NonNull<Header>> {
        let layout = Layout::from_size_align(size, align.max(align_of::<Header>())).ok()?;
        // SAFETY: it is not empty: it has a header.
        let base = NonNull::new(unsafe { self.heap.alloc(layout) })?;
        // SAFETY: this is in the piece, which has `size` bytes.
        let header = unsafe { base.add(size - HEADER_SIZE) }.cast();
        let older = None;
        // SAFETY: it is in the piece, which nobody else uses, and is aligned: `base`, `size` and its own size are.
        unsafe { header.write(Header { older, layout }) };
        Some(header)
    }

    /// Gives all pieces in the lists back to the heap.
    fn free_pieces(&mut self) {
        for list in [&self.pieces, &self.own_pieces] {
            while let Some(header) = list.pop() {
                // SAFETY: a header in a list is there until its piece is freed, which is below.
                let layout = unsafe { header.as_ref() }.layout;
                // SAFETY: as above.
                let base = unsafe { base(header) };
                // SAFETY: it came from this heap with this layout, and is in no list any more. Nobody uses it: what was
                // handed out is borrowed from the scope, all of which is borrowed here, or ends by `alloc_layout`'s doc.
                unsafe { self.heap.dealloc(base.as_ptr(), layout) };
            }
        }
    }
}

impl<A: GlobalAlloc> Drop for Scope<'_, A> {
    fn drop(&mut self) {
        self.free_pieces();
    }
}

impl<A: GlobalAlloc> fmt::Debug for Scope<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("bytes_allocated", &self.bytes_allocated())
            .field("bytes_held", &self.bytes_held())
            .field("pieces", &self.pieces())
            .finish_non_exhaustive()
    }
}

// SAFETY: the pieces belong to the scope alone, and the heap may be used from other threads. Objects do not matter: while
// one is used, the scope is borrowed and cannot go anywhere, and afterwards nobody looks at it: no destructor runs.
unsafe impl<A: GlobalAlloc + Sync> Send for Scope<'_, A> {}

/// What stands at the end of a piece.
struct Header {
    /// The next piece of the list, which is older.
    older: Option<NonNull<Header>>,
    /// The layout that the piece was allocated with.
    layout: Layout,
}

/// Returns the first byte of a piece.
///
/// # Safety
///
/// `header` came from [`Scope::new_piece`], and its piece has not been freed.
unsafe fn base(header: NonNull<Header>) -> NonNull<u8> {
    // SAFETY: it is there (the caller's promise), and nobody changes it at the same time: a scope is not `Sync`.
    let size = unsafe { header.as_ref() }.layout.size();
    // SAFETY: the header was put so many bytes behind the base by `new_piece`.
    unsafe { header.cast::<u8>().sub(size - HEADER_SIZE) }
}

/// A list of pieces, the newest first.
///
/// # Invariants
///
/// Headers in the list came from [`Scope::new_piece`], and their pieces are not freed.
struct List(Cell<Option<NonNull<Header>>>);

impl List {
    /// Creates an empty list.
    const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Hangs a piece in.
    fn push(&self, mut header: NonNull<Header>) {
        // SAFETY: a piece that is not freed has its header, and nobody else refers to it: the list hands out no reference.
        unsafe { header.as_mut() }.older = self.0.get();
        self.0.set(Some(header));
    }

    /// Takes the newest piece off.
    fn pop(&self) -> Option<NonNull<Header>> {
        let header = self.0.get()?;
        // SAFETY: it is there (invariant).
        self.0.set(unsafe { header.as_ref() }.older);
        Some(header)
    }

    /// Returns the layouts of the pieces.
    fn layouts(&self) -> impl Iterator<Item = Layout> {
        let mut next = self.0.get();
        core::iter::from_fn(move || {
            let header = next?;
            // SAFETY: it is there (invariant), and the list is borrowed meanwhile.
            let header = unsafe { header.as_ref() };
            next = header.older;
            Some(header.layout)
        })
    }
}

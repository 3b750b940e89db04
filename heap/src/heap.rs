//! Layers 1 to 3 without a lock: for those who bring their own exclusion.
//!
//! Owns the chain and the source, and asks for `&mut self` where the lock would be. What the locked heap reports to a
//! handler is a result here. Shrinkers and an urgent context are the caller's to arrange: null comes back at once.

use core::alloc::Layout;
use core::error::Error;
use core::fmt;
use core::ptr::NonNull;

use crate::block_snapshot::BlockSnapshot;
use crate::chain_kind::ChainKind;
use crate::check::{Corruption, check};
use crate::factory_chain::FactoryChain;
use crate::memory_source::MemorySource;
use crate::misuse::Misuse;
use crate::place::{Object, Place};
use crate::statistics::Statistics;
use crate::walk::{BlockWalk, Walk, next};

/// There is no memory for a request.
///
/// # Examples
///
/// ```
/// use core::alloc::Layout;
/// use stack_alloc::{AllocError, Heap, NoMemory};
///
/// let mut heap = Heap::new(NoMemory);
/// assert_eq!(heap.allocate(Layout::new::<u64>()), Err(AllocError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError;

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the heap has no memory for the request")
    }
}

impl Error for AllocError {}

/// A heap over the memory source `S` without a lock. It is a value of about 25 KiB.
///
/// The same heap as [`Allocator`](crate::Allocator), for those who have exclusion already: a CPU's own heap, a lock of
/// another kind, a program with one thread. Costs are those of `Allocator` without its lock. A heap that is dropped does
/// not give its memory back.
///
/// # Examples
///
/// ```
/// use core::alloc::Layout;
/// use core::ptr::NonNull;
/// # use stack_alloc::{BLOCK_SIZE, MemorySource};
/// # struct Host;
/// # fn block() -> Layout { Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE).unwrap() }
/// # unsafe impl MemorySource for Host {
/// #     fn get_block(&self) -> Option<NonNull<u8>> { NonNull::new(unsafe { std::alloc::alloc(block()) }) }
/// #     unsafe fn release_block(&self, b: NonNull<u8>) { unsafe { std::alloc::dealloc(b.as_ptr(), block()) } }
/// # }
/// use stack_alloc::{Heap, MisuseKind};
///
/// let mut heap = Heap::new(Host);
/// let layout = Layout::new::<[u64; 4]>();
/// let object = heap.allocate(layout)?;
/// // SAFETY: the object is given back once, and nobody uses it.
/// unsafe { heap.deallocate(object, layout) }?;
/// // SAFETY: nobody uses the object; that it is free already is found out.
/// let misuse = unsafe { heap.deallocate(object, layout) }.unwrap_err();
/// assert_eq!(misuse.kind, MisuseKind::DoubleFree);
/// heap.trim();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Heap<S> {
    /// Layers 1 to 3.
    chain: FactoryChain,
    /// Where memory comes from.
    source: S,
}

impl<S: MemorySource> Heap<S> {
    /// Creates a heap that holds no memory yet.
    pub const fn new(source: S) -> Self {
        Self {
            chain: FactoryChain::new(ChainKind::Alone),
            source,
        }
    }

    /// Returns the source.
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// Hands out memory for `layout`: at least its size and alignment, its contents anything.
    ///
    /// # Errors
    ///
    /// [`AllocError`] when neither heap nor source has it; nothing live has changed then. See also
    /// [`take_source_misuse`](Self::take_source_misuse).
    pub fn allocate(&mut self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let memory = self.chain.allocate_quickly(layout, &self.source);
        if memory.is_none() {
            self.chain.totals.count_failure();
        }
        memory.map(|memory| memory.start).ok_or(AllocError)
    }

    /// Hands out memory for `layout`, out of the reserve if nothing else is left: see [`set_reserve`](Self::set_reserve).
    ///
    /// # Errors
    ///
    /// As of [`allocate`](Self::allocate).
    pub fn allocate_urgently(&mut self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        let memory = self.chain.allocate_urgently(layout, &self.source);
        if memory.is_none() {
            self.chain.totals.count_failure();
        }
        memory.map(|memory| memory.start).ok_or(AllocError)
    }

    /// Takes back what was handed out for `layout`.
    ///
    /// # Errors
    ///
    /// A [`Misuse`], with nothing changed, when that is not a live object of this heap with that layout.
    ///
    /// # Safety
    ///
    /// If `object` is live with `layout`, nobody uses it any more. Anything else is found out as far as
    /// [`MisuseKind`](crate::MisuseKind) says.
    pub unsafe fn deallocate(&mut self, object: NonNull<u8>, layout: Layout) -> Result<(), Misuse> {
        self.chain
            .deallocate_quickly(object.addr().get(), layout, &self.source)
    }

    /// Makes a live object fit `new_size` bytes where it stands, and returns a pointer that is good for so many: its layout is
    /// the one with the new size then. `None`, with nothing changed, when it would have to move: then allocate, copy and give
    /// back.
    ///
    /// # Errors
    ///
    /// A [`Misuse`], with nothing changed, when that is not a live object of this heap with that layout.
    ///
    /// # Safety
    ///
    /// If `object` is live with `layout`, nobody uses its bytes behind `new_size` any more.
    pub unsafe fn resize(
        &mut self,
        object: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> Result<Option<NonNull<u8>>, Misuse> {
        let address = object.addr().get();
        match Layout::from_size_align(new_size, layout.align()) {
            Ok(new) => self.chain.resize(address, layout, new, &self.source),
            // Nobody has so much. A wrong pointer is told all the same.
            Err(_) => (self.chain)
                .resize(address, layout, layout, &self.source)
                .map(|_| None),
        }
    }

    /// Holds `blocks` blocks of 256 KiB back for [`allocate_urgently`](Self::allocate_urgently), at most
    /// [`LARGEST_RESERVE`](crate::LARGEST_RESERVE), and returns how many could be had.
    pub fn set_reserve(&mut self, blocks: usize) -> usize {
        self.chain.set_reserve(blocks, &self.source)
    }

    /// Returns the first wrong answer of the source since the last call, if there was one. It was taken for a "no".
    pub fn take_source_misuse(&mut self) -> Option<Misuse> {
        self.chain.holdings.take_source_misuse()
    }

    /// Returns the heap's numbers. Cost: constant.
    pub fn statistics(&self) -> Statistics {
        Statistics::of(&self.chain, self.source.largest_region())
    }

    /// Says what is at `address`. Reads nothing there. Cost: constant.
    pub fn what_is(&self, address: usize) -> Place {
        self.chain.holdings.lookup().place(address)
    }

    /// Returns every block, those held back too, as a picture: what each of its pages is used for. They come by address modulo
    /// 512 MiB: by address, where all lie between two multiples of that.
    pub fn blocks(&self) -> impl Iterator<Item = BlockSnapshot> {
        let mut walk = BlockWalk::new();
        core::iter::from_fn(move || next(|| walk.step(self.chain.holdings.lookup())))
    }

    /// Returns every live object: first those in blocks, in the order of [`blocks`](Self::blocks) and inside a block by address,
    /// then the regions, by address.
    pub fn live_objects(&self) -> impl Iterator<Item = Object> {
        let mut walk = Walk::new();
        core::iter::from_fn(move || next(|| walk.step(self.chain.holdings.lookup())))
    }

    /// Walks the whole heap and proves its invariants. Cost: the number of blocks, stacks and regions.
    ///
    /// # Errors
    ///
    /// The first invariant found not to hold.
    pub fn check(&self) -> Result<(), Corruption> {
        check(&self.chain)
    }

    /// Gives all memory that holds nothing, but for the reserve, back to the source.
    pub fn trim(&mut self) {
        while self.chain.trim_one(&self.source) {}
    }
}

impl<S> fmt::Debug for Heap<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").finish_non_exhaustive()
    }
}

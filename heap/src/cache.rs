//! A cache of objects that stay constructed while nobody uses them.
//!
//! Some objects cost more to construct than to allocate: locks, lists, tables and buffers inside them are brought into a
//! state that they are in again when the user is done. Bonwick's slab allocator (1994) therefore keeps that state: an
//! object is constructed once, is handed out, comes back as it was, and is handed out again.
//!
//! Owns the idle objects, in a list, and the counts. Refuses to know where memory comes from: any [`GlobalAlloc`] will
//! do, [`Allocator`](crate::Allocator) among them.
//!
//! ```text
//!            ┌──────┬─────────┐      ┌──────┬─────────┐
//! first ────▶│ next │ value   │ ┌───▶│ next │ value   │       one node is one allocation of the heap
//!            └──┬───┴─────────┘ │    └──────┴─────────┘
//!               └───────────────┘
//! ```
//!
//! The link cannot share memory with the value, which stays constructed: an object costs a word more, rounded up to its
//! alignment ([`Cache::BYTES_PER_OBJECT`]).
//!
//! Under the cache's lock, a list of one link is changed and counts are added up, in constant time. Objects are
//! constructed and destructed, and memory comes and goes, without it: so they may use the cache themselves, may take
//! long, and may panic.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::mem::{self, ManuallyDrop};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use lock_api::{Mutex, RawMutex};

/// How many idle objects a [`Cache`] keeps if it is not told otherwise.
pub const KEPT_OBJECTS: usize = 64;

/// A cache of constructed objects of type `T` over the heap `A`, behind a lock of kind `R`.
///
/// [`get`](Self::get) hands out an idle object, the one that came back last, or constructs one. It comes back when its
/// [`Cached`] is dropped, *as its user left it*: the user brings it into the state that the next one expects. Up to a
/// limit it is then kept, beyond it destructed and freed.
///
/// `R` is a spin lock if nothing is said; a kernel whose interrupt handlers use the cache gives a lock that masks
/// interrupts while it is held.
///
/// Cost: taking an idle object and giving one back take constant time; else what the heap, the constructor and the
/// destructor take. Each object is one allocation of [`BYTES_PER_OBJECT`](Self::BYTES_PER_OBJECT) bytes.
///
/// # Examples
///
/// ```
/// use std::alloc::System;
/// use stack_alloc::Cache;
///
/// struct Connection {
///     buffer: Vec<u8>,
/// }
///
/// impl Connection {
///     fn new() -> Self {
///         Self { buffer: Vec::with_capacity(1500) }
///     }
/// }
///
/// static CONNECTIONS: Cache<Connection, System> = Cache::new(&System, Connection::new);
///
/// for packet in [b"one", b"two"] {
///     let mut connection = CONNECTIONS.get().expect("there is memory");
///     connection.buffer.extend(packet);
///     connection.buffer.clear(); // as the next user expects it
/// }
/// let statistics = CONNECTIONS.statistics();
/// assert_eq!((statistics.constructed, statistics.reused, statistics.idle), (1, 1, 1));
/// assert_eq!(CONNECTIONS.trim(), 1);
/// ```
pub struct Cache<'h, T, A: GlobalAlloc, R: RawMutex = spin::Mutex<()>> {
    /// Where memory comes from and goes to.
    heap: &'h A,
    /// Makes an object.
    construct: fn() -> T,
    /// How many idle objects are kept at most.
    idle_limit: usize,
    /// Idle objects and counts.
    guarded: Mutex<R, Guarded<T>>,
}

impl<'h, T, A: GlobalAlloc, R: RawMutex> Cache<'h, T, A, R> {
    /// Bytes asked of the heap for each object: the object, and a link, rounded up to the object's alignment.
    pub const BYTES_PER_OBJECT: usize = size_of::<Node<T>>();

    /// Creates an empty cache that keeps at most [`KEPT_OBJECTS`] idle objects.
    ///
    /// `construct` makes an object. It is called without the cache's lock; its result is moved from the call stack into
    /// the heap. If it panics, its memory goes back, and the panic goes on to the caller of [`get`](Self::get).
    pub const fn new(heap: &'h A, construct: fn() -> T) -> Self {
        Self::with_idle_limit(heap, construct, KEPT_OBJECTS)
    }

    /// Creates an empty cache that keeps at most `idle_limit` idle objects.
    pub const fn with_idle_limit(heap: &'h A, construct: fn() -> T, idle_limit: usize) -> Self {
        Self {
            heap,
            construct,
            idle_limit,
            guarded: Mutex::const_new(R::INIT, Guarded::new()),
        }
    }

    /// Hands out an object: an idle one, or else a new one. `None` when there is none and the heap is out of memory.
    #[must_use = "the object goes back at once"]
    pub fn get(&self) -> Option<Cached<'_, T, A, R>> {
        let idle = self.guarded.lock().reuse();
        let node = match idle {
            Some(node) => node,
            None => self.make()?,
        };
        Some(Cached { node, cache: self })
    }

    /// Destructs idle objects, frees their memory, and returns how many they were.
    ///
    /// At most as many as were idle at the beginning, so that it ends while others give objects back. The lock is taken
    /// anew for each object.
    pub fn trim(&self) -> usize {
        let idle = self.statistics().idle;
        (0..idle).take_while(|_| self.trim_one()).count()
    }

    /// Returns the cache's counts as of now.
    pub fn statistics(&self) -> CacheStatistics {
        self.guarded.lock().statistics
    }

    /// Constructs an object.
    fn make(&self) -> Option<NonNull<Node<T>>> {
        // First the memory: a constructor may have effects, and is not called in vain.
        let memory = Memory::new(self.heap)?;
        let node = memory.fill((self.construct)());
        self.guarded.lock().count_constructed();
        Some(node)
    }

    /// Destructs an idle object and frees its memory. `false` if there is none.
    fn trim_one(&self) -> bool {
        let idle = self.guarded.lock().pop();
        let Some(node) = idle else {
            return false;
        };
        // SAFETY: it was on the list (invariant of `Guarded`), and is no more.
        unsafe { self.destroy(node) };
        true
    }

    /// Destructs an object and frees its memory, the latter even if the destructor panics.
    ///
    /// # Safety
    ///
    /// `node` came from [`make`](Self::make) of this cache, is not on the list, and nobody uses it any more.
    unsafe fn destroy(&self, node: NonNull<Node<T>>) {
        let _freed_at_the_end = Memory {
            node,
            heap: self.heap,
        };
        // SAFETY: `make` wrote the node, and nobody uses it (the caller's promise), nor does `Memory` look into it.
        unsafe { node.drop_in_place() };
    }
}

impl<T, A: GlobalAlloc, R: RawMutex> Drop for Cache<'_, T, A, R> {
    /// Destructs the idle objects and frees their memory. If a destructor panics, the others are called all the same.
    fn drop(&mut self) {
        let _rest = TrimOnDrop(self);
        self.trim();
    }
}

impl<T, A: GlobalAlloc, R: RawMutex> fmt::Debug for Cache<'_, T, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("idle_limit", &self.idle_limit)
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

/// Trims a cache when it is dropped, in order or by a panic.
struct TrimOnDrop<'c, T, A: GlobalAlloc, R: RawMutex>(&'c Cache<'c, T, A, R>);

impl<T, A: GlobalAlloc, R: RawMutex> Drop for TrimOnDrop<'_, T, A, R> {
    fn drop(&mut self) {
        self.0.trim();
    }
}

/// An object of a [`Cache`] in use; dropping it gives the object back.
///
/// It is the only access to the object, and reads and writes through it. One that is forgotten ([`mem::forget`]) leaks
/// its object, and counts as live for ever.
///
/// # Examples
///
/// ```
/// use std::alloc::System;
/// use stack_alloc::{Cache, Cached};
///
/// let cache = Cache::<Vec<u32>, System>::new(&System, || Vec::with_capacity(100));
/// let mut numbers = cache.get().expect("there is memory");
/// numbers.push(7);
/// assert_eq!(numbers.len(), 1);
/// // What the cache shall not have back can be taken out.
/// let kept: Vec<u32> = Cached::into_inner(numbers);
/// assert_eq!(kept, [7]);
/// assert_eq!(cache.statistics().live, 0);
/// ```
///
/// It cannot outlive its cache:
///
/// ```compile_fail,E0505
/// # use std::alloc::System;
/// # use stack_alloc::Cache;
/// let cache = Cache::<u32, System>::new(&System, || 1);
/// let number = cache.get();
/// drop(cache);
/// drop(number);
/// ```
pub struct Cached<'c, T, A: GlobalAlloc, R: RawMutex = spin::Mutex<()>> {
    /// The object.
    ///
    /// # Invariants
    ///
    /// Came from [`Cache::make`] of `cache`, holds a value, is not on the list, and belongs to this handle alone.
    node: NonNull<Node<T>>,
    /// Where it goes back to.
    cache: &'c Cache<'c, T, A, R>,
}

impl<T, A: GlobalAlloc, R: RawMutex> Cached<'_, T, A, R> {
    /// Takes the object out of the cache for good, and frees the memory that it stood in.
    ///
    /// An associated function, so as not to hide a method of the object.
    pub fn into_inner(this: Self) -> T {
        let this = ManuallyDrop::new(this);
        let _freed_at_the_end = Memory {
            node: this.node,
            heap: this.cache.heap,
        };
        this.cache.guarded.lock().statistics.live -= 1;
        // SAFETY: the node holds a value (invariant). It is not used after this: `this` is not dropped.
        unsafe { this.node.read() }.value
    }
}

impl<T, A: GlobalAlloc, R: RawMutex> Deref for Cached<'_, T, A, R> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the node holds a value, and this handle alone has it (invariant).
        &unsafe { self.node.as_ref() }.value
    }
}

impl<T, A: GlobalAlloc, R: RawMutex> DerefMut for Cached<'_, T, A, R> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the node holds a value, and this handle alone has it (invariant).
        &mut unsafe { self.node.as_mut() }.value
    }
}

impl<T, A: GlobalAlloc, R: RawMutex> Drop for Cached<'_, T, A, R> {
    fn drop(&mut self) {
        let kept = self
            .cache
            .guarded
            .lock()
            .give_back(self.node, self.cache.idle_limit);
        if !kept {
            // SAFETY: the node came from this cache, is not on the list (invariant, and `kept`), and its handle ends.
            unsafe { self.cache.destroy(self.node) };
        }
    }
}

impl<T: fmt::Debug, A: GlobalAlloc, R: RawMutex> fmt::Debug for Cached<'_, T, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

// SAFETY: the handle owns a `T`, which may go to another thread, and refers to a cache that may be used from there.
unsafe impl<T: Send, A: GlobalAlloc + Sync, R: RawMutex + Sync> Send for Cached<'_, T, A, R> {}

// SAFETY: a shared handle gives shared access to the `T`, and to nothing else.
unsafe impl<T: Sync, A: GlobalAlloc, R: RawMutex> Sync for Cached<'_, T, A, R> {}

/// The counts of a [`Cache`], in objects.
///
/// Those that are neither live nor idle were destructed or taken out.
///
/// # Examples
///
/// ```
/// use std::alloc::System;
/// use stack_alloc::{Cache, CacheStatistics};
///
/// let cache = Cache::<u32, System>::with_idle_limit(&System, || 1, 1);
/// let three = [cache.get(), cache.get(), cache.get()];
/// let expected = CacheStatistics { live: 3, idle: 0, constructed: 3, reused: 0 };
/// assert_eq!(cache.statistics(), expected);
/// drop(three);
/// let expected = CacheStatistics { live: 0, idle: 1, constructed: 3, reused: 0 };
/// assert_eq!(cache.statistics(), expected);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// How many are handed out.
    pub live: usize,
    /// How many are kept, constructed, for the next users.
    pub idle: usize,
    /// How many were ever constructed.
    pub constructed: u64,
    /// How often one was handed out that had been before.
    pub reused: u64,
}

/// An object, and the link that it hangs by while it is idle.
struct Node<T> {
    /// The idle object that came back before this one. Means nothing while the object is live.
    next: Option<NonNull<Node<T>>>,
    /// The object.
    value: T,
}

/// What the lock guards.
///
/// # Invariants
///
/// From `first` on hang `statistics.idle` nodes that came from [`Cache::make`], hold a value, and that nobody uses.
struct Guarded<T> {
    /// The idle object that came back last.
    first: Option<NonNull<Node<T>>>,
    /// The counts.
    statistics: CacheStatistics,
}

// SAFETY: the list owns its objects, and they may go to another thread.
unsafe impl<T: Send> Send for Guarded<T> {}

impl<T> Guarded<T> {
    /// Creates an empty list.
    const fn new() -> Self {
        Self {
            first: None,
            statistics: CacheStatistics {
                live: 0,
                idle: 0,
                constructed: 0,
                reused: 0,
            },
        }
    }

    /// Takes an object off the list.
    fn pop(&mut self) -> Option<NonNull<Node<T>>> {
        let node = self.first?;
        // SAFETY: nodes on the list are there, and nobody uses them (invariant).
        self.first = unsafe { (*node.as_ptr()).next };
        self.statistics.idle -= 1;
        Some(node)
    }

    /// Takes an object off the list for a user.
    fn reuse(&mut self) -> Option<NonNull<Node<T>>> {
        let node = self.pop()?;
        self.statistics.live += 1;
        self.statistics.reused += 1;
        Some(node)
    }

    /// Counts a live object that is new.
    fn count_constructed(&mut self) {
        self.statistics.live += 1;
        self.statistics.constructed += 1;
    }

    /// Takes a live object back, and hangs it on the list unless `idle_limit` objects are there. Returns whether it did.
    fn give_back(&mut self, node: NonNull<Node<T>>, idle_limit: usize) -> bool {
        self.statistics.live -= 1;
        if self.statistics.idle >= idle_limit {
            return false;
        }
        // SAFETY: the node of a live object is there, and its handle, which alone may use it, gives it back.
        unsafe { (*node.as_ptr()).next = self.first };
        self.first = Some(node);
        self.statistics.idle += 1;
        true
    }
}

/// The memory of a node, which goes back to its heap when this is dropped. What is in it is not looked at.
///
/// # Invariants
///
/// `node` came from `heap` with the layout of a `Node<T>`, and nobody else frees it.
struct Memory<'h, T, A: GlobalAlloc> {
    /// The memory.
    node: NonNull<Node<T>>,
    /// Where it came from.
    heap: &'h A,
}

impl<'h, T, A: GlobalAlloc> Memory<'h, T, A> {
    /// Allocates memory for a node.
    fn new(heap: &'h A) -> Option<Self> {
        // SAFETY: a node is not empty: it has a link.
        let memory = unsafe { heap.alloc(Layout::new::<Node<T>>()) };
        let node = NonNull::new(memory.cast())?;
        Some(Self { node, heap })
    }

    /// Makes the memory a node that holds `value`, which from then on is for others to destruct and free.
    fn fill(self, value: T) -> NonNull<Node<T>> {
        let node = self.node;
        // SAFETY: it has the size and alignment of a node (invariant), and nobody else uses it: it is new.
        unsafe { node.write(Node { next: None, value }) };
        mem::forget(self);
        node
    }
}

impl<T, A: GlobalAlloc> Drop for Memory<'_, T, A> {
    fn drop(&mut self) {
        let memory = self.node.as_ptr().cast();
        // SAFETY: it came from this heap with this layout, and nobody else frees it (invariant).
        unsafe { self.heap.dealloc(memory, Layout::new::<Node<T>>()) };
    }
}

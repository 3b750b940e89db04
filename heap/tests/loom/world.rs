//! What a model runs in: memory to give, CPUs, and a shadow of what is live.
//!
//! What is live is noted beside the heap, each object with a cell that loom tracks: having an object is writing there. So loom finds
//! memory that two have at once, and memory that goes on to another one without what was written before being seen. Memory that goes
//! back to the source is overwritten, so that loom's own objects in it are no more: whoever comes late is found out.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, RefCell};
use core::ptr::NonNull;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use loom::cell::UnsafeCell as TrackedUnsafeCell;
use loom::thread::{self, JoinHandle};
use stack_alloc::{
    BLOCK_SIZE, CurrentCpu, KEPT_BLOCKS, MemorySource, Misuse, MisuseKind, ShardedAllocator,
};

/// Words of a thread's stack: a heap is moved there.
const STACK_WORDS: usize = 1 << 16;

/// Events that a model may have on one path, at most: whoever loops without end goes beyond.
const MOST_EVENTS: usize = 20_000;

/// Bytes at the start of a block that the heap writes itself: the record and the header, with some to spare.
const HEADERS: usize = 6 * 4096;

/// Blocks that there are, at most: one more than a shard and the pool of all keep.
pub(crate) const BLOCKS: usize = KEPT_BLOCKS + 2;

/// Bytes of the one region that there is.
pub(crate) const REGION: usize = 2 * BLOCK_SIZE;

/// A heap of two shards.
pub(crate) type Heap = ShardedAllocator<Source, Cpu, spin::Mutex<()>, 2>;

loom::thread_local! {
    /// The CPU that the thread runs on.
    static CPU: Cell<usize> = Cell::new(0);
    /// Whether it may wait there.
    static MAY_WAIT: Cell<bool> = Cell::new(true);
}

std::thread_local! {
    /// The memory of this machine's thread, on which all threads of its model run, one model after another.
    static MEMORY: NonNull<u8> = {
        let layout = Layout::from_size_align((BLOCKS + 2) * BLOCK_SIZE, BLOCK_SIZE).expect("a right layout");
        // SAFETY: the size is not zero. It is never given back.
        NonNull::new(unsafe { std::alloc::alloc(layout) }).expect("there is memory")
    };
    /// Wrong frees of this model.
    static MISUSES: RefCell<Vec<MisuseKind>> = const { RefCell::new(Vec::new()) };
}

/// The CPUs.
pub(crate) struct Cpu;

impl CurrentCpu for Cpu {
    fn current_cpu() -> usize {
        CPU.with(Cell::get)
    }

    fn may_wait() -> bool {
        MAY_WAIT.with(Cell::get)
    }
}

/// A source of a few blocks and one region. Loom proves that one at a time uses it.
pub(crate) struct Source {
    /// Which blocks, and behind them the region, are out. Read and written by who has the lock.
    out: TrackedUnsafeCell<[bool; BLOCKS + 1]>,
    /// Blocks that may be out at a time.
    limit: usize,
}

/// Returns the start of block `number`, or behind the blocks of the region.
fn start_of(number: usize) -> NonNull<u8> {
    // SAFETY: that is inside of the memory.
    unsafe { MEMORY.with(|memory| *memory).add(number * BLOCK_SIZE) }
}

impl Source {
    /// Does something with the marks.
    fn with<T>(&self, work: impl FnOnce(&mut [bool; BLOCKS + 1]) -> T) -> T {
        // SAFETY: loom proves that nobody else does.
        self.out.with_mut(|out| work(unsafe { &mut *out }))
    }

    /// Takes back block `number`, or the region.
    fn release(&self, start: NonNull<u8>, last: usize) {
        let number = (0..=last)
            .find(|number| start_of(*number) == start)
            .expect("it is of this source");
        assert!(
            self.with(|out| core::mem::replace(&mut out[number], false)),
            "it is out"
        );
        // SAFETY: the heap has no use for it any more.
        unsafe { start.write_bytes(0xEE, HEADERS) };
    }

    /// Returns how many blocks and regions are out.
    fn pieces_out(&self) -> usize {
        self.with(|out| out.iter().filter(|is_out| **is_out).count())
    }
}

// SAFETY: blocks and the region are apart, valid for ever, and given to one heap at a time: models run one after another.
unsafe impl MemorySource for Source {
    fn get_block(&self) -> Option<NonNull<u8>> {
        let number = self.with(|out| {
            let number = out[..self.limit].iter().position(|is_out| !is_out)?;
            out[number] = true;
            Some(number)
        })?;
        Some(start_of(number))
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        self.release(block, BLOCKS - 1);
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let is_there = size <= REGION && align <= BLOCK_SIZE;
        let was_out = is_there && self.with(|out| core::mem::replace(&mut out[BLOCKS], true));
        (is_there && !was_out).then(|| start_of(BLOCKS))
    }

    unsafe fn release_region(&self, region: NonNull<u8>, _size: usize) {
        self.release(region, BLOCKS);
    }
}

/// What is live, and what ever was.
#[derive(Default)]
struct Shadow {
    /// The addresses of live objects.
    live: HashSet<usize>,
    /// For each address the cell that whoever has it writes.
    cells: HashMap<usize, Rc<TrackedUnsafeCell<()>>>,
}

/// An object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object {
    /// Where it is.
    pub(crate) start: NonNull<u8>,
    /// What it was asked for as.
    pub(crate) layout: Layout,
}

// SAFETY: an object may be used from any thread.
unsafe impl Send for Object {}

/// A heap, and what is known of it beside it.
pub(crate) struct World {
    /// The heap.
    pub(crate) heap: Heap,
    /// What is live.
    shadow: RefCell<Shadow>,
}

// SAFETY: loom's threads run one at a time, on one thread of this machine; the shadow is never borrowed where they change.
unsafe impl Sync for World {}
// SAFETY: likewise.
unsafe impl Send for World {}

/// Notes a wrong free.
fn note(misuse: Misuse) {
    MISUSES.with_borrow_mut(|misuses| misuses.push(misuse.kind));
}

/// Returns the wrong frees that were reported since the last call.
pub(crate) fn misuses() -> Vec<MisuseKind> {
    MISUSES.take()
}

impl World {
    /// Creates a heap whose source has `blocks` blocks.
    fn new(blocks: usize) -> Self {
        let source = Source {
            out: TrackedUnsafeCell::new([false; BLOCKS + 1]),
            limit: blocks,
        };
        let heap = Heap::new(source);
        heap.set_misuse_handler(note);
        MISUSES.take();
        Self {
            heap,
            shadow: RefCell::default(),
        }
    }

    /// Asks for memory of `size` bytes, and uses it.
    pub(crate) fn try_allocate(&self, size: usize) -> Option<Object> {
        let layout = Layout::from_size_align(size, 16).expect("a right layout");
        // SAFETY: no model asks for nothing.
        let start = NonNull::new(unsafe { self.heap.alloc(layout) })?;
        let address = start.addr().get();
        let cell = {
            let mut shadow = self.shadow.borrow_mut();
            assert!(
                shadow.live.insert(address),
                "it was handed out to somebody already"
            );
            Rc::clone(
                shadow
                    .cells
                    .entry(address)
                    .or_insert_with(|| Rc::new(TrackedUnsafeCell::new(()))),
            )
        };
        cell.with_mut(|_| {});
        Some(Object { start, layout })
    }

    /// Does what [`try_allocate`](Self::try_allocate) does where there is memory.
    #[track_caller]
    pub(crate) fn allocate(&self, size: usize) -> Object {
        self.try_allocate(size).expect("there is memory")
    }

    /// Uses an object for the last time, and gives it back.
    pub(crate) fn free(&self, object: Object) {
        let address = object.start.addr().get();
        let cell = {
            let mut shadow = self.shadow.borrow_mut();
            shadow.live.remove(&address);
            Rc::clone(&shadow.cells[&address])
        };
        cell.with_mut(|_| {});
        self.free_unused(object);
    }

    /// Gives an object back that was not used since it was given to the caller, or is not his any more.
    pub(crate) fn free_unused(&self, object: Object) {
        // SAFETY: of the misuses that this may be, the heap promises to find out those that models make.
        unsafe { self.heap.dealloc(object.start.as_ptr(), object.layout) };
    }

    /// Says that `object`, which more than one may try to give back, is nobody's.
    pub(crate) fn forget(&self, object: Object) {
        self.shadow
            .borrow_mut()
            .live
            .remove(&object.start.addr().get());
    }

    /// Proves that the heap, when all is done, gives everything back, and has called no free wrong but those that were looked at.
    #[track_caller]
    pub(crate) fn finish(&self) {
        assert!(
            self.shadow.borrow().live.is_empty(),
            "the model gives everything back"
        );
        self.heap.trim();
        assert_eq!(misuses(), []);
        let statistics = self.heap.statistics();
        assert_eq!((statistics.live(), statistics.bytes_used), (0, 0));
        assert_eq!(self.pieces_out(), 0, "not all went back");
    }

    /// Returns how many blocks and regions the heap has of the source.
    pub(crate) fn pieces_out(&self) -> usize {
        self.heap.with_source(Source::pieces_out)
    }

    /// Says which CPU the caller is on from now on.
    pub(crate) fn go_to(&self, cpu: usize) {
        CPU.with(|current| current.set(cpu));
    }
}

/// Starts a thread on CPU `cpu`.
pub(crate) fn on<T: Send + 'static>(
    cpu: usize,
    world: &Arc<World>,
    work: impl FnOnce(&World) -> T + Send + 'static,
) -> JoinHandle<T> {
    let world = Arc::clone(world);
    start(move || {
        world.go_to(cpu);
        work(&world)
    })
}

/// Starts a thread on CPU `cpu` in a context that may not wait.
pub(crate) fn on_without_waiting<T: Send + 'static>(
    cpu: usize,
    world: &Arc<World>,
    work: impl FnOnce(&World) -> T + Send + 'static,
) -> JoinHandle<T> {
    on(cpu, world, move |world| {
        MAY_WAIT.with(|may_wait| may_wait.set(false));
        work(world)
    })
}

/// Starts a thread.
fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    thread::Builder::new()
        .stack_size(STACK_WORDS)
        .spawn(work)
        .expect("there is room for a thread")
}

/// Tries `work`, which starts on CPU 0 of a heap of at most `blocks` blocks, in every order of events.
pub(crate) fn model(blocks: usize, work: impl Fn(Arc<World>) + Sync + Send + 'static) {
    let work = Arc::new(work);
    let mut builder = loom::model::Builder::new();
    builder.max_branches = MOST_EVENTS;
    builder.check(move || {
        let work = Arc::clone(&work);
        // The thread that loom starts with has a small stack.
        let first = start(move || work(Arc::new(World::new(blocks))));
        first.join().expect("no thread panics");
    });
}

/// Returns whether this run has every moment at which a lock that is only tried may be taken.
pub(crate) fn shows_tried_locks() -> bool {
    std::env::var_os("LOOM_TRIED_LOCKS").is_some()
}

/// Waits for a thread.
pub(crate) fn wait<T>(thread: JoinHandle<T>) -> T {
    thread.join().expect("no thread panics")
}

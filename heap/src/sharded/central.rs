//! What all shards share: the tables of what there is, empty blocks that are no shard's, and the source.
//!
//! Owns the way of a block from the source to a shard and back:
//!
//! ```text
//!                    get                      is opened
//! source ──────────────────────▶ new ──────────────────────▶ a shard's, in the table
//!   ▲                             ▲                               │ idle, one too many
//!   │ more than are kept          │ wanted                        ▼
//!   └──────────────── pool ◀──────┴────────── leaving, out of the table
//!                                  every visit is over
//! ```
//!
//! The lock of this part is taken by those who have a shard's lock, and never the other way round. It is held while the source
//! works. Usual operations do not come here.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lock_api::RawMutex;

use crate::chain_kind::KEPT_BLOCKS;
use crate::memory_source::MemorySource;
use crate::misuse::{Misuse, MisuseKind};
use crate::place::Place;
use crate::regions::Region;
use crate::sharded::inbox::PLACES;
use crate::sharded::leaving::Leaving;
use crate::sharded::record::{BlockList, BlockRecord, RECORD_SIZE};
use crate::sharded::table::Table;
use crate::sharded::visitors::Visitors;
use crate::statistics::Statistics;
use crate::sync::{Mutex, MutexGuard};
use crate::units::{BLOCK_SIZE, PAGE_SIZE, block_base};

/// Places in the table of regions.
const REGION_PLACES: usize = if cfg!(loom) { 2 } else { 256 };

/// Blocks that go from the table to the pool or the source in one go.
const MOST_SETTLED: usize = 4;

/// Every block.
pub(crate) type Blocks = Table<BlockRecord, PLACES>;

/// What all shards share.
pub(crate) struct Central<S, R> {
    /// Every block that a shard has.
    pub(crate) blocks: Blocks,
    /// Every live region.
    pub(crate) regions: Table<Region, REGION_PLACES>,
    /// What is guarded.
    guarded: Mutex<R, Guarded>,
    /// There is something that was taken out of the tables and did not go on yet. Written under the lock.
    has_leaving: AtomicBool,
    /// There is something wrong that nobody was told of yet. Written under the lock.
    has_misuse: AtomicBool,
    /// Fewer blocks are held back than shall be. Written under the lock.
    is_short: AtomicBool,
    /// The most bytes that were ever seen to be asked for.
    peak_requested: AtomicUsize,
    /// Where memory comes from. Used by whoever holds the lock.
    pub(crate) source: S,
}

/// What the lock guards, beside the source and the right to write in the tables.
#[derive(Debug)]
pub(crate) struct Guarded {
    /// Whole blocks that are no shard's.
    pool: BlockList,
    /// Blocks that were taken out of the table, while somebody may still look at them.
    leaving: Leaving,
    /// Blocks in the pool that are held back for urgent requests.
    reserve: usize,
    /// What the heap holds of the source's.
    pub(crate) held: Held,
    /// The first wrong answer of the source, or free that came too late for its block, that nobody was told of yet.
    misuse: Option<Misuse>,
}

/// What is no shard's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Apart {
    /// Blocks and parts.
    pub(crate) blocks: usize,
    /// Of these, blocks that whoever wants one can have.
    pub(crate) idle: usize,
    /// Of these, blocks that are held back.
    pub(crate) reserved: usize,
    /// Bytes of all.
    pub(crate) bytes: usize,
    /// The most bytes that were ever held, a shard's or not.
    pub(crate) held_peak: usize,
}

// SAFETY: the pointers lead to memory that the source gave to this heap and to nobody else, and are used by whoever has the lock: none
// of it is bound to a thread.
unsafe impl Send for Guarded {}

/// Bytes that came from the source and did not go back.
#[derive(Debug)]
pub(crate) struct Held {
    /// How many there are.
    bytes: usize,
    /// The most there ever were.
    peak: usize,
}

impl Held {
    /// Notes that `size` bytes came.
    pub(crate) fn add(&mut self, size: usize) {
        self.bytes += size;
        self.peak = self.peak.max(self.bytes);
    }

    /// Notes that `size` bytes went back.
    pub(crate) fn remove(&mut self, size: usize) {
        self.bytes -= size;
    }
}

/// The right to the source, and to write in the tables, until it is dropped.
pub(crate) type Writer<'a, R> = MutexGuard<'a, R, Guarded>;

/// Makes the constructors: `const`, but for loom's atomics.
macro_rules! constructors {
    ($($const:ident)?) => {
        impl<S, R: RawMutex> Central<S, R> {
            /// Creates the part of a heap without memory.
            pub(crate) $($const)? fn new(source: S) -> Self {
                let guarded = Guarded {
                    pool: BlockList::new(),
                    leaving: Leaving::new(),
                    reserve: 0,
                    held: Held { bytes: 0, peak: 0 },
                    misuse: None,
                };
                Self {
                    blocks: Table::new(),
                    regions: Table::new(),
                    guarded: Mutex::const_new(R::INIT, guarded),
                    has_leaving: AtomicBool::new(false),
                    has_misuse: AtomicBool::new(false),
                    is_short: AtomicBool::new(false),
                    peak_requested: AtomicUsize::new(0),
                    source,
                }
            }
        }
    };
}

#[cfg(not(loom))]
constructors!(const);
#[cfg(loom)]
constructors!();

/// Returns what is wrong if something was given back of a block of which everything was back already: a double free whose first half
/// was taken in while the second one looked. Which object it was cannot be said any more, but in which page it began.
fn found_too_late(block: BlockRecord) -> Option<Misuse> {
    if !block.remote_frees.has_any() {
        return None;
    }
    let mut first = None;
    let _ = (block.remote_frees).take(usize::MAX, |page, _, _| first = first.or(Some(page)));
    let address = block.window() + first? * PAGE_SIZE;
    Some(Misuse {
        kind: MisuseKind::GoneBack,
        address,
        layout: Layout::new::<u8>(),
        place: Place::GoneBack {
            address: block.memory().cast::<u8>().addr().get(),
            size: block.memory().len(),
        },
    })
}

impl<S: MemorySource, R: RawMutex> Central<S, R> {
    /// Waits for the lock.
    pub(crate) fn write(&self) -> Writer<'_, R> {
        self.guarded.lock()
    }

    /// Takes the lock, if nobody has it.
    pub(crate) fn try_write(&self) -> Option<Writer<'_, R>> {
        self.guarded.try_lock()
    }

    /// Finds memory for a chain, at least `least` bytes, that nobody has: out of the pool, or of the source. `is_usable` is what a
    /// [source](MemorySource::get_part) may ask. Returns the block, not opened yet, and whether it is zero.
    pub(crate) fn get(
        &self,
        least: usize,
        is_urgent: bool,
        is_usable: &dyn Fn(usize) -> bool,
        visitors: Visitors<'_, R>,
    ) -> Option<(BlockRecord, bool)> {
        let mut writer = self.write();
        let got = self.get_unlisted(&mut writer, least, is_urgent, is_usable, visitors)?;
        // SAFETY: the lock is held; the block is new, and goes by `let_go`. Nobody uses it before it has an owner.
        unsafe { self.blocks.insert(got.0) };
        Some(got)
    }

    /// Does what [`get`](Self::get) does, but for the entry in the table.
    fn get_unlisted(
        &self,
        writer: &mut Writer<'_, R>,
        least: usize,
        is_urgent: bool,
        is_usable: &dyn Fn(usize) -> bool,
        visitors: Visitors<'_, R>,
    ) -> Option<(BlockRecord, bool)> {
        if RECORD_SIZE + least <= BLOCK_SIZE {
            if let Some(block) = self.get_pooled(writer, is_urgent, visitors) {
                return Some((block, false));
            }
            if let Some(block) = self.get_whole(writer, is_usable) {
                return Some(block);
            }
        }
        self.get_part(writer, least + RECORD_SIZE, is_usable)
    }

    /// Takes a block out of the pool.
    fn get_pooled(
        &self,
        writer: &mut Writer<'_, R>,
        is_urgent: bool,
        visitors: Visitors<'_, R>,
    ) -> Option<BlockRecord> {
        self.settle(writer, visitors);
        if writer.pool.count() <= writer.reserve && !is_urgent {
            return None;
        }
        let memory = writer.pool.pop()?.memory();
        self.note_reserve(writer);
        // SAFETY: it was a block with a record, and nobody has it: it is out of the table, and no visit is left (`settle`).
        Some(unsafe { BlockRecord::install(memory) })
    }

    /// Asks the source for a block. `is_usable` says of an address whether the asking shard has nothing there.
    fn get_whole(
        &self,
        writer: &mut Writer<'_, R>,
        is_usable: &dyn Fn(usize) -> bool,
    ) -> Option<(BlockRecord, bool)> {
        let start = self.source.get_block()?;
        let memory = NonNull::slice_from_raw_parts(start, BLOCK_SIZE);
        let is_aligned = start.addr().get() % BLOCK_SIZE == 0;
        if !self.accepts(writer, memory, BLOCK_SIZE, is_aligned, is_usable) {
            return None;
        }
        let is_zeroed = self.source.is_zeroed(start);
        writer.held.add(memory.len());
        // SAFETY: the source promises a block of valid memory that is the heap's until it is released; its alignment was
        // checked. `let_go` uses no handle of it after releasing it.
        Some((unsafe { BlockRecord::install(memory) }, is_zeroed))
    }

    /// Asks the source for a part of a block of at least `least` bytes.
    fn get_part(
        &self,
        writer: &mut Writer<'_, R>,
        least: usize,
        is_usable: &dyn Fn(usize) -> bool,
    ) -> Option<(BlockRecord, bool)> {
        if least >= BLOCK_SIZE {
            return None;
        }
        let is_free = |address| is_usable(address) && !self.has_block(address);
        let memory = self.source.get_part(least, &is_free)?;
        let start = memory.cast::<u8>();
        if self.has_other_part(memory) {
            // The source did not ask. There is no use for it, but no harm was done.
            // SAFETY: the part was just handed out, and nobody knows of it.
            unsafe { self.source.release_part(memory) };
            return None;
        }
        let (address, size) = (start.addr().get(), memory.len());
        let is_aligned = address % PAGE_SIZE == 0
            && size % PAGE_SIZE == 0
            && (least..BLOCK_SIZE).contains(&size)
            && block_base(address) == block_base(address.wrapping_add(size - 1));
        if !self.accepts(writer, memory, PAGE_SIZE, is_aligned, is_usable) {
            return None;
        }
        let is_zeroed = self.source.is_zeroed(start);
        writer.held.add(memory.len());
        // SAFETY: as in `get_whole`; it was checked to be aligned, to lie in one window, and to have `least` bytes, which are
        // more than a record.
        Some((unsafe { BlockRecord::install(memory) }, is_zeroed))
    }

    /// Takes a new block out again that its chain would not have, because something is wrong with it.
    pub(crate) fn refuse(&self, block: BlockRecord) {
        let _writer = self.write();
        // SAFETY: the lock is held.
        unsafe { self.blocks.remove(block) };
    }

    /// Returns whether a shard has a block in the window of `address`. Called with the lock held.
    fn has_block(&self, address: usize) -> bool {
        // SAFETY: the caller holds the lock, and is the only writer.
        let mut entries = unsafe { self.blocks.entries_for_writer(address) };
        entries.any(|block| block.window() == block_base(address))
    }

    /// Returns whether a shard has another part in the window of `part`, and no byte of this one. Called with the lock held.
    fn has_other_part(&self, part: NonNull<[u8]>) -> bool {
        let (start, size) = (part.cast::<u8>().addr().get(), part.len());
        // SAFETY: the caller holds the lock, and is the only writer.
        let mut entries = unsafe { self.blocks.entries_for_writer(start) };
        let other = entries.find(|block| block.window() == block_base(start));
        other.is_some_and(|other| !other.overlaps(start, size))
    }

    /// Returns whether memory that the source gave as a block or part may be used; else keeps the fault.
    fn accepts(
        &self,
        writer: &mut Writer<'_, R>,
        memory: NonNull<[u8]>,
        align: usize,
        is_aligned: bool,
        is_usable: &dyn Fn(usize) -> bool,
    ) -> bool {
        let address = memory.cast::<u8>().addr().get();
        let is_held =
            self.has_block(address) || writer.overlap(address, memory.len()) || !is_usable(address);
        let kind = if is_held {
            MisuseKind::SourceOverlaps
        } else if !is_aligned {
            MisuseKind::SourceMisaligned
        } else {
            return true;
        };
        self.note_misuse(writer, wrong_memory(kind, address, memory.len(), align));
        false
    }

    /// Returns whether a region that the source gave may be used, as far as blocks are concerned; else keeps the fault. It is looked
    /// at its first and last 256 KiB.
    pub(crate) fn accepts_region(
        &self,
        writer: &mut Writer<'_, R>,
        region: NonNull<u8>,
        size: usize,
        align: usize,
    ) -> bool {
        let address = region.addr().get();
        let end = address.saturating_add(size - 1);
        let is_held = [address, end]
            .into_iter()
            .any(|address| self.has_byte(address) || writer.overlap(address, 1));
        if is_held {
            let kind = MisuseKind::SourceOverlaps;
            self.note_misuse(writer, wrong_memory(kind, address, size, align));
        }
        !is_held
    }

    /// Returns whether a shard has the block, or the page of a part, that `address` lies in. Called with the lock held.
    fn has_byte(&self, address: usize) -> bool {
        // SAFETY: the caller holds the lock, and is the only writer.
        let mut entries = unsafe { self.blocks.entries_for_writer(address) };
        entries.any(|block| block.overlaps(address, 1))
    }

    /// Keeps what is wrong until somebody who has no lock can tell, unless there is something already.
    fn note_misuse(&self, writer: &mut Writer<'_, R>, misuse: Misuse) {
        writer.misuse.get_or_insert(misuse);
        self.has_misuse.store(true, Ordering::Relaxed);
    }

    /// Takes the first thing that was found wrong here and that nobody was told of yet. Without one, the lock is left alone.
    pub(crate) fn take_misuse(&self) -> Option<Misuse> {
        if !self.has_misuse.load(Ordering::Relaxed) {
            return None;
        }
        let mut writer = self.write();
        self.has_misuse.store(false, Ordering::Relaxed);
        writer.misuse.take()
    }

    /// Takes back a block that its chain has given up.
    pub(crate) fn let_go(&self, block: BlockRecord, visitors: Visitors<'_, R>) {
        let mut writer = self.write();
        // SAFETY: the lock is held.
        unsafe { self.blocks.remove(block) };
        writer.leaving.push(block);
        self.has_leaving.store(true, Ordering::Relaxed);
        self.settle(&mut writer, visitors);
    }

    /// Lets blocks that are out of the table go on, if nobody can be looking at them any more: into the pool, or when that has
    /// enough back to the source. Returns whether any did.
    pub(crate) fn settle(&self, writer: &mut Writer<'_, R>, visitors: Visitors<'_, R>) -> bool {
        let mut has_settled = false;
        for _ in 0..MOST_SETTLED {
            let Some(block) = writer.leaving.pop(visitors) else {
                break;
            };
            has_settled = true;
            if let Some(misuse) = found_too_late(block) {
                self.note_misuse(writer, misuse);
            }
            #[cfg(loom)]
            block.touch_alone();
            if block.is_whole() && writer.pool.count() < KEPT_BLOCKS + writer.reserve {
                writer.pool.push(block);
            } else {
                self.release(writer, block);
            }
        }
        self.has_leaving
            .store(!writer.leaving.is_empty(), Ordering::Relaxed);
        self.note_reserve(writer);
        has_settled
    }

    /// Returns whether there are blocks or regions that somebody may still look at.
    pub(crate) fn has_leaving(&self) -> bool {
        self.has_leaving.load(Ordering::Relaxed)
    }

    /// Does what [`settle`](Self::settle) does, if there is anything to do and nobody else is at it.
    pub(crate) fn settle_if_any(&self, visitors: Visitors<'_, R>) {
        if self.has_leaving() {
            if let Some(mut writer) = self.try_write() {
                self.settle(&mut writer, visitors);
            }
        }
    }

    /// Takes a region out of the table, and returns the round of [`Leaving`] that it waits for.
    pub(crate) fn take_out_region(&self, region: Region) -> usize {
        let mut writer = self.write();
        // SAFETY: the lock is held.
        unsafe { self.regions.remove(region) };
        self.has_leaving.store(true, Ordering::Relaxed);
        writer.leaving.push_region()
    }

    /// Lets blocks go on that may, and returns whether round `round` is over: nobody can be looking any more at regions that wait for it.
    pub(crate) fn is_over(&self, round: usize, visitors: Visitors<'_, R>) -> bool {
        let mut writer = self.write();
        self.settle(&mut writer, visitors);
        writer.leaving.is_over(round)
    }

    /// Notes that a region that was [taken out](Self::take_out_region) is with the source again.
    pub(crate) fn note_region_gone(&self) {
        self.write().leaving.pop_region();
    }

    /// Gives a block that nobody has back to the source.
    fn release(&self, writer: &mut Writer<'_, R>, block: BlockRecord) {
        let memory = block.memory();
        writer.held.remove(memory.len());
        if block.is_whole() {
            // SAFETY: it came by `get_block` of this source; no chain has it, it is out of the table, and every visit is over.
            unsafe { self.source.release_block(memory.cast()) };
        } else {
            // SAFETY: likewise, and a part came by `get_part`.
            unsafe { self.source.release_part(memory) };
        }
    }

    /// Notes the most bytes that were ever seen to be asked for, and puts that into the numbers.
    pub(crate) fn note_requested(&self, statistics: &mut Statistics) {
        let requested = statistics.bytes_requested;
        let before = self.peak_requested.fetch_max(requested, Ordering::Relaxed);
        statistics.bytes_requested_peak = before.max(requested);
    }

    /// Lets blocks that are out of the table go on, and gives one block of the pool back to the source, unless it is held back. `false`
    /// when there was nothing to do.
    pub(crate) fn trim_one(&self, visitors: Visitors<'_, R>) -> bool {
        let mut writer = self.write();
        let has_settled = self.settle(&mut writer, visitors);
        if writer.pool.count() <= writer.reserve {
            return has_settled;
        }
        let block = writer.pool.pop();
        if let Some(block) = block {
            self.release(&mut writer, block);
        }
        true
    }

    /// Fills the pool up by one block for the reserve. `false` when that has enough, or the source has no more.
    pub(crate) fn fill_reserve(&self) -> bool {
        let mut writer = self.write();
        if writer.pool.count() >= writer.reserve {
            return false;
        }
        let Some((block, _)) = self.get_whole(&mut writer, &|_| true) else {
            return false;
        };
        writer.pool.push(block);
        self.note_reserve(&writer);
        true
    }

    /// Holds `blocks` blocks back from now on, as soon as there are so many, and gives those that are too many back to the source.
    pub(crate) fn set_reserve(&self, blocks: usize) {
        let mut writer = self.write();
        writer.reserve = blocks;
        while writer.pool.count() > KEPT_BLOCKS + writer.reserve {
            let Some(block) = writer.pool.pop() else {
                break;
            };
            self.release(&mut writer, block);
        }
        self.note_reserve(&writer);
    }

    /// Notes whether fewer blocks are held back than shall be.
    fn note_reserve(&self, writer: &Writer<'_, R>) {
        let is_short = writer.pool.count() < writer.reserve;
        self.is_short.store(is_short, Ordering::Relaxed);
    }

    /// Returns whether fewer blocks are held back than shall be.
    pub(crate) fn reserve_is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }
}

impl Guarded {
    /// Returns whether a block that is in the pool or on its way there has one of the `size` bytes at `address`.
    fn overlap(&self, address: usize, size: usize) -> bool {
        let mut blocks = self.pool.iter().chain(self.leaving.iter());
        blocks.any(|block| block.overlaps(address, size))
    }

    /// Says what is at `address`, as far as no shard knows.
    pub(crate) fn place(&self, address: usize) -> Place {
        let mut blocks = self.pool.iter().chain(self.leaving.iter());
        let place = blocks.find_map(|block| block.place(address));
        place.unwrap_or(Place::Foreign)
    }

    /// Returns how many blocks are held back.
    pub(crate) fn reserved(&self) -> usize {
        self.pool.count().min(self.reserve)
    }

    /// Returns what is no shard's.
    pub(crate) fn apart(&self) -> Apart {
        Apart {
            held_peak: self.held.peak,
            blocks: self.pool.count() + self.leaving.count(),
            idle: self.pool.count() - self.reserved(),
            reserved: self.reserved(),
            bytes: self.pool.bytes() + self.leaving.bytes(),
        }
    }
}

/// Describes wrong memory from the source.
fn wrong_memory(kind: MisuseKind, address: usize, size: usize, align: usize) -> Misuse {
    Misuse {
        kind,
        address,
        layout: Layout::from_size_align(size, align).unwrap_or(Layout::new::<u8>()),
        place: Place::Foreign,
    }
}

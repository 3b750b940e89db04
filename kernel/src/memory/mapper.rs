//! Scattered frames as one piece of memory: the only code that changes the machine's page tables.
//!
//! It owns the kernel's [`Window`] of virtual addresses and the [`PageTables`] below it, and takes frames and gives them back
//! itself. A mapping is a number of neighbouring pages with an unmapped page on each side; it can grow and shrink in place.
//!
//! Nothing else in the address space is touched: the boot loader's mappings stay as they are, and the window lies where it has
//! none (that is checked when booting).
//!
//! # Cost
//!
//! All of it is masked. One look for the address, whatever was mapped before; then steps for each page of the request itself.
//! A CPU forgets at most [`MOST_SINGLE_PAGES`] pages one by one, and all it knows for more. The other CPUs are asked to and waited
//! for, which comes on top of the figures: [`translations`] says why that ends, and soon.
//!
//! So there is a [largest mapping](super::window::LARGEST_MAPPING). Counted by the test `costs_of_regions_are_bounded`, in
//! instructions of a release build on a machine with 2 GiB, by how the frames are scattered:
//!
//! | pages | memory | whole blocks: map, unmap | every second frame | one frame of each block |
//! |---|---|---|---|---|
//! | 1 | 4 KiB | 551, 625 | 551, 625 | 537, 625 |
//! | 64 | 256 KiB, a block of the heap | 3,190, 2,797 | 3,111, 2,438 | 15,380, 9,398 |
//! | 256 | 1 MiB | 7,567, 7,986 | 6,369, 6,238 | 54,224, 34,450 |
//! | 1,024 | 4 MiB | 25,839, 29,097 | 20,465, 21,907 | 211,061, 135,003 |
//! | 4,096 | 16 MiB, the most | 100,495, 114,415 | 79,116, 85,799 | 841,351, 538,053 |
//!
//! That is about 20 a page, 200 more for each block that frames come from, and 900 for each new table (up to three for a
//! first page; none where the tables of the exceptions' stacks serve it, as above).

use core::error::Error;
use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{Ordering, compiler_fence};

use lock_api::Mutex;
use x86_64::registers::control::{Cr3, Cr4, Cr4Flags};

use super::frame::Frame;
use super::frame_allocator::{FreeError, OutOfFrames};
use super::heap_check::note_refused;
use super::page::{PAGE_SIZE, Page, PageRange};
use super::page_tables::{Entry, PageTables, TableMemory};
use super::physical::{counts, frame_pointer, with_frames};
use super::pointer::pointer_to;
use super::window::{MOST_PAGES, NotInUse, Window};
use crate::cpu::translations;
pub use crate::cpu::translations::MOST_SINGLE_PAGES;
use crate::lock::{MaskingLock, named_lock};

named_lock!(WindowLock, "the window's lock");

/// Where the window begins: above all physical memory as far as it is mapped, and far below the kernel's image.
pub const WINDOW_BASE: u64 = 0xffff_c800_0000_0000;

/// Why a mapping could not be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnmapError {
    /// No mapping begins there.
    NotMapped(Page),
    /// A frame behind it was not the mapping's.
    Frame(FreeError),
}

impl fmt::Display for UnmapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMapped(page) => {
                let address = page.start_address();
                write!(f, "no mapping of such a length begins at {address:#x}")
            }
            Self::Frame(error) => error.fmt(f),
        }
    }
}

impl Error for UnmapError {}

impl From<NotInUse> for UnmapError {
    fn from(NotInUse(page): NotInUse) -> Self {
        Self::NotMapped(page)
    }
}

impl From<FreeError> for UnmapError {
    fn from(error: FreeError) -> Self {
        Self::Frame(error)
    }
}

/// The window and what is mapped in it.
struct Mapper {
    /// Which addresses are in use.
    window: Window<'static>,
    /// What is behind them.
    tables: PageTables,
    /// Where the tables are; what `tables` are used with, and nothing else.
    machine: Machine,
}

/// The one mapper of the machine. `None` until [`init`].
static MAPPER: Mutex<MaskingLock<WindowLock>, Option<Mapper>> = Mutex::new(None);

/// Tables in the mapping of all physical memory, and the CPUs that walk through them.
///
/// # Invariants
/// - It is the only one, and used by the [`PageTables`] of the window alone.
struct Machine {
    /// Made by [`new`](Self::new) alone.
    _private: (),
}

impl Machine {
    /// Makes the one way to the machine's page tables.
    ///
    /// # Safety
    ///
    /// 1. All physical memory is mapped, writable, at [`PHYSICAL_MEMORY_BASE`](super::PHYSICAL_MEMORY_BASE).
    /// 2. It is called once, and what it returns is only given to one [`PageTables`], which are those of the window: made with the
    ///    level-4 table that the CPU walks through, and a frame allocator whose frames are nobody else's.
    /// 3. Nobody else changes the entries for the window's addresses, or refers to them.
    const unsafe fn new() -> Self {
        Self { _private: () }
    }
}

impl TableMemory for Machine {
    #[inline]
    fn entries(&mut self, table: Frame, numbers: Range<usize>) -> &mut [Entry] {
        let start = frame_pointer(table).cast::<Entry>();
        // SAFETY: page tables ask for entries that a table has (`TableMemory`).
        let first = unsafe { start.add(numbers.start) };
        // SAFETY: those are entries of the window's tables, which nobody else refers to (2 and 3 of `new`); `self` is borrowed as
        // long, and there is no other (invariant). They are mapped (1) and aligned; any bytes are entries.
        unsafe { slice::from_raw_parts_mut(first.as_ptr(), numbers.len()) }
    }

    fn forget(&mut self, pages: PageRange) {
        translations::forget(pages);
    }
}

/// Sets the window up, with its books in `memory` (zeroed or not), for a machine with `frames` frames.
///
/// # Panics
///
/// If the boot loader mapped something at the window's addresses, or has switched on tables of five levels.
///
/// # Safety
///
/// 1. All physical memory is mapped, writable, at [`PHYSICAL_MEMORY_BASE`](super::PHYSICAL_MEMORY_BASE).
/// 2. The page tables that the CPU walks through stay these, and nobody else changes entries for the window's addresses.
/// 3. It is called once.
pub(super) unsafe fn init(memory: &'static mut [u64], frames: u64) {
    assert!(
        !Cr4::read().contains(Cr4Flags::L5_PAGING),
        "the boot loader has the CPU walk through page tables of four levels"
    );
    let window = Window::new(Page::containing_address(WINDOW_BASE), frames, memory);
    let root = Frame::containing_address(Cr3::read().0.start_address().as_u64());
    // One page more on each side: the first mapping's guard, and the end.
    let pages = PageRange {
        first: Page::containing_address(WINDOW_BASE - 1),
        end: window.end().plus(1),
    };
    // SAFETY: our caller promises 1 and 3, and that this happens once. The machine goes into the one mapper, which uses it with
    // its page tables, and those with the machine's frame allocator.
    let mut machine = unsafe { Machine::new() };
    let tables = PageTables::new(root, pages, &mut machine).unwrap_or_else(|| {
        panic!("the boot loader leaves the addresses from {WINDOW_BASE:#x} on alone")
    });
    *MAPPER.lock() = Some(Mapper {
        window,
        tables,
        machine,
    });
}

/// Maps `pages` pages (at least one) at an address that is a multiple of `align_pages` pages, with an unmapped page on each
/// side. The contents may be anything.
///
/// # Errors
///
/// [`OutOfFrames`], where there are not enough frames or addresses, or it would be more than [`LARGEST_MAPPING`](super::window::LARGEST_MAPPING) pages; nothing
/// has changed then.
pub fn map(pages: u64, align_pages: u64) -> Result<NonNull<u8>, OutOfFrames> {
    let mut mapper = MAPPER.lock();
    let mapper = mapper.as_mut().ok_or(OutOfFrames)?;
    if pages == 0 {
        return Err(OutOfFrames);
    }
    let first = mapper.window.take(pages, align_pages).ok_or(OutOfFrames)?;
    let mapped = mapper.map(PageRange::new(first, pages));
    if mapped.is_err()
        && let Err(not_in_use) = mapper.window.give_back(first)
    {
        note_refused(not_in_use.into());
    }
    mapped.map(|()| pointer_of(first))
}

/// Unmaps a whole mapping of `pages` pages, and gives its frames back.
///
/// # Errors
///
/// [`UnmapError`], where no mapping begins at `start`, or its frames or tables were tampered with.
///
/// # Safety
///
/// `start` came from [`map`], was not unmapped since, `pages` is its length now, and nobody uses the memory.
pub unsafe fn unmap(start: NonNull<u8>, pages: u64) -> Result<(), UnmapError> {
    let first = page_of(start);
    let mut mapper = MAPPER.lock();
    let mapper = mapper.as_mut().ok_or(UnmapError::NotMapped(first))?;
    mapper.check_length(first, pages)?;
    let unmapped = mapper.unmap(PageRange::new(first, pages));
    mapper.window.give_back(first)?;
    unmapped
}

/// Makes a mapping of `pages` pages `new_pages` (at least one) long where it stands; what comes to it may hold anything.
/// Returns whether it could: `false`, with nothing changed, where there are not enough frames or addresses behind it, or it would
/// be more than [`LARGEST_MAPPING`](super::window::LARGEST_MAPPING) pages.
///
/// # Errors
///
/// As [`unmap`].
///
/// # Safety
///
/// `start` came from [`map`], was not unmapped since, `pages` is its length now, and nobody uses what lies behind `new_pages`.
pub unsafe fn resize(start: NonNull<u8>, pages: u64, new_pages: u64) -> Result<bool, UnmapError> {
    let first = page_of(start);
    let mut mapper = MAPPER.lock();
    let mapper = mapper.as_mut().ok_or(UnmapError::NotMapped(first))?;
    let room = mapper.check_length(first, pages)?;
    if new_pages == 0 || new_pages > room {
        return Ok(false);
    }
    if new_pages > pages {
        let behind = PageRange::new(first.plus(pages), new_pages - pages);
        return Ok(mapper.map(behind).is_ok());
    }
    let tail = PageRange::new(first.plus(new_pages), pages - new_pages);
    mapper.unmap(tail)?;
    Ok(true)
}

/// Returns whether `pointer` points into the window.
#[must_use]
pub fn owns(pointer: NonNull<u8>) -> bool {
    let address = pointer.addr().get() as u64;
    (WINDOW_BASE..WINDOW_BASE + MOST_PAGES * PAGE_SIZE).contains(&address)
}

/// Returns how many pages the largest mapping could have now, in constant time.
#[must_use]
pub fn largest() -> u64 {
    let mapper = MAPPER.lock();
    let largest = |mapper: &Mapper| {
        let frames = PageTables::pages_with(counts().free);
        mapper.window.largest_room().min(frames)
    };
    mapper.as_ref().map_or(0, largest)
}

/// Returns how many frames the page tables take that were made for mappings of the window.
#[must_use]
pub fn table_frames() -> u64 {
    MAPPER
        .lock()
        .as_ref()
        .map_or(0, |mapper| mapper.tables.table_frames())
}

impl Mapper {
    /// Maps pages in the machine's tables.
    fn map(&mut self, range: PageRange) -> Result<(), OutOfFrames> {
        let Self {
            tables, machine, ..
        } = self;
        let mapped = with_frames(|frames| tables.map(range, frames, machine));
        // The CPUs see the entries; the compiler must write them before whatever comes next, such as giving others the address.
        compiler_fence(Ordering::SeqCst);
        mapped
    }

    /// Unmaps pages in the machine's tables.
    fn unmap(&mut self, range: PageRange) -> Result<(), UnmapError> {
        let Self {
            tables, machine, ..
        } = self;
        Ok(with_frames(|frames| tables.unmap(range, frames, machine))?)
    }

    /// Returns how many pages the mapping that begins at `first` has room for, if it can be `pages` pages long.
    fn check_length(&self, first: Page, pages: u64) -> Result<u64, UnmapError> {
        let room = self.window.room(first);
        room.filter(|&room| (1..=room).contains(&pages))
            .ok_or(UnmapError::NotMapped(first))
    }
}

/// Returns the page that a pointer points into.
fn page_of(pointer: NonNull<u8>) -> Page {
    Page::containing_address(pointer.addr().get() as u64)
}

/// Returns a pointer to the first byte of a page of the window.
fn pointer_of(page: Page) -> NonNull<u8> {
    NonNull::new(pointer_to(page.start_address())).expect("the window does not start at address 0")
}

/// The window ends below the kernel's image.
const _: () = assert!(WINDOW_BASE + MOST_PAGES * PAGE_SIZE < crate::boot::IMAGE_BASE);

//! Commands that allocate and free by hand.

use alloc::alloc::{alloc, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::ptr::NonNull;

use super::{Argument, Command, Family, Session};
use crate::bytes::Bytes;
use crate::command_line::{self, ArgumentError, alignment, next_word, no_arguments, size};
use crate::counted::Counted;
use crate::memory::heap_source::{self, HEAP};
use crate::memory::physical;
use crate::println;

/// The most allocations that are kept.
const MOST_ALLOCATIONS: usize = 256;

/// The alignment of an allocation if nobody says otherwise.
const DEFAULT_ALIGN: usize = 16;

/// The family.
pub(super) const FAMILY: Family = Family {
    title: "Allocating by hand",
    commands: &[
        Command {
            name: "alloc",
            aliases: &[],
            arguments: "SIZE [ALIGN]",
            summary: "allocate, and give the allocation a number",
            help: "Sizes and alignments: 100, 0x40, 4K, 2M, 1G. The memory is not cleared. `free`, `peek` and `what` take the\n\
                   number. Where there is no memory, the kernel says so and goes on.",
            choices: Argument::Free,
            run: allocate,
        },
        Command {
            name: "free",
            aliases: &[],
            arguments: "NUMBER|all",
            summary: "free what `alloc` has allocated",
            help: "The number is the one that `alloc` gave.",
            choices: Argument::OneOf(&["all"]),
            run: free,
        },
        Command {
            name: "oom",
            aliases: &[],
            arguments: "",
            summary: "take all memory there is, give it back, and go on",
            help: "Allocates until null is the answer, in pieces that become smaller, and then frees everything.",
            choices: Argument::Free,
            run: out_of_memory,
        },
    ],
};

/// What `alloc` has allocated. It lives in the heap.
#[derive(Debug, Default)]
pub(super) struct Allocations {
    /// The allocations, the oldest first.
    live: Vec<Allocation>,
    /// The number that was given last.
    last_number: u32,
}

/// An allocation.
#[derive(Debug)]
pub(super) struct Allocation {
    /// Its number.
    number: u32,
    /// Its memory, which goes with the value.
    memory: NonNull<u8>,
    /// What it was asked for with.
    layout: Layout,
}

impl Allocation {
    /// Allocates.
    fn new(number: u32, layout: Layout) -> Option<Self> {
        assert!(layout.size() > 0, "an allocation has bytes");
        // SAFETY: the size is not zero.
        let memory = NonNull::new(unsafe { alloc(layout) })?;
        Some(Self {
            number,
            memory,
            layout,
        })
    }

    /// Returns the address of its first byte.
    pub(super) fn address(&self) -> usize {
        self.memory.addr().get()
    }

    /// Returns how many bytes were asked for.
    pub(super) const fn size(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout, and it goes once.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

impl Allocations {
    /// Returns the allocation with a number.
    pub(super) fn find(&self, number: u32) -> Option<&Allocation> {
        self.live
            .iter()
            .find(|allocation| allocation.number == number)
    }

    /// Says that there is no allocation with this number, and which there are.
    pub(super) fn print_unknown(&self, number: u32) {
        match (self.live.first(), self.live.last()) {
            (Some(first), Some(last)) => println!(
                "There is no allocation #{number}; there are {}, from #{} to #{}.",
                self.live.len(),
                first.number,
                last.number
            ),
            _ => println!("There is no allocation #{number}; `alloc` makes one."),
        }
    }

    /// Allocates, and returns the allocation; `None` where there is no memory, for it or for noting it.
    fn add(&mut self, layout: Layout) -> Option<&Allocation> {
        self.live.try_reserve(1).ok()?;
        let allocation = Allocation::new(self.last_number + 1, layout)?;
        self.last_number += 1;
        self.live.push(allocation);
        self.live.last()
    }
}

/// `alloc SIZE [ALIGN]`
fn allocate<'a>(session: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    let Some((size_text, rest)) = next_word(arguments) else {
        return Err(ArgumentError::Missing("a size, such as `alloc 4K`"));
    };
    let (align_text, rest) = next_word(rest).unwrap_or_default();
    no_arguments(rest)?;
    let size = size(size_text)?;
    let align = match align_text {
        "" => DEFAULT_ALIGN,
        text => alignment(text)?,
    };
    let layout = Layout::from_size_align(size, align)
        .ok()
        .filter(|layout| layout.size() > 0);
    let layout = layout.ok_or(ArgumentError::Wrong {
        text: size_text,
        wanted: "a size that can be allocated; type a number of bytes from 1 to half of the address space",
    })?;
    if session.allocations.live.len() == MOST_ALLOCATIONS {
        println!(
            "There are {MOST_ALLOCATIONS} allocations already, and no more are kept; `free` some of them."
        );
        return Ok(());
    }
    match session.allocations.add(layout) {
        Some(allocation) => println!(
            "#{}: {size} bytes at {:#018x}, aligned to {align}: {}",
            allocation.number,
            allocation.address(),
            HEAP.what_is(allocation.address())
        ),
        None => println!(
            "There is no memory for {}, aligned to {}; without an alignment, the largest allocation that would succeed now has {}.",
            Bytes(size),
            Bytes(align),
            Bytes(HEAP.statistics().largest_available)
        ),
    }
    Ok(())
}

/// `free NUMBER|all`
fn free<'a>(session: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    let live = &mut session.allocations.live;
    match command_line::at_most_one_word(arguments)? {
        None => Err(ArgumentError::Missing(
            "the number of an allocation, such as `free 3`, or `free all`",
        )),
        Some("all") => {
            let all = core::mem::take(live);
            let bytes = all.iter().map(Allocation::size).sum();
            println!(
                "Freed: {}, {}.",
                Counted(all.len(), "allocation"),
                Bytes(bytes)
            );
            Ok(())
        }
        Some(word) => {
            let number = command_line::allocation(word).ok_or(ArgumentError::Wrong {
                text: word,
                wanted: "an allocation; type the number that `alloc` gave, or `all`",
            })?;
            match live
                .iter()
                .position(|allocation| allocation.number == number)
            {
                None => session.allocations.print_unknown(number),
                Some(index) => {
                    let allocation = live.remove(index);
                    println!(
                        "#{number} is freed: {} bytes at {:#018x}",
                        allocation.size(),
                        allocation.address()
                    );
                }
            }
            Ok(())
        }
    }
}

/// `oom`
fn out_of_memory<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    /// The pieces that are tried, the largest first.
    const PIECES: [usize; 3] = [1 << 20, 64 << 10, 4 << 10];
    no_arguments(arguments)?;
    heap_source::trim();
    let before = physical::statistics();
    println!(
        "Before: {} of {} frames are free.",
        before.free, before.total
    );
    let mut taken = Hoard::default();
    for size in PIECES {
        let count = taken.take_all(size);
        println!("{count:>8} pieces of {:>10}, and then null", Bytes(size));
    }
    println!(
        "Taken: {} in {} pieces; {} frames are left, none of them of use to the heap.",
        Bytes(taken.bytes),
        taken.pieces,
        physical::statistics().free
    );
    match Vec::<u8>::new().try_reserve(1 << 20) {
        Ok(()) => println!("A vector gets 1 MiB more: somebody has freed something meanwhile."),
        Err(error) => println!("A vector that asks for 1 MiB more is told: {error}."),
    }
    drop(taken);
    heap_source::trim();
    let after = physical::statistics();
    println!(
        "After: {} of {} frames are free, and the kernel goes on.",
        after.free, after.total
    );
    Ok(())
}

/// Memory that is taken to have it: pieces of many sizes, each of which holds the address of the one before.
#[derive(Debug, Default)]
struct Hoard {
    /// The last piece.
    last: Option<NonNull<Piece>>,
    /// How many pieces there are.
    pieces: usize,
    /// Their bytes.
    bytes: usize,
}

/// The start of a piece.
struct Piece {
    /// The piece before.
    before: Option<NonNull<Self>>,
    /// What it was asked for with.
    layout: Layout,
}

impl Hoard {
    /// Takes pieces of `size` bytes until there are no more, and returns how many.
    fn take_all(&mut self, size: usize) -> usize {
        let before = self.pieces;
        while self.take(size) {}
        self.pieces - before
    }

    /// Takes a piece, if there is one.
    fn take(&mut self, size: usize) -> bool {
        let Ok(layout) = Layout::from_size_align(size.max(size_of::<Piece>()), align_of::<Piece>())
        else {
            return false;
        };
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc(layout) }.cast::<Piece>();
        let Some(piece) = NonNull::new(memory) else {
            return false;
        };
        let before = self.last.replace(piece);
        // SAFETY: the memory is ours, and aligned and long enough for the start of a piece.
        unsafe { piece.write(Piece { before, layout }) };
        self.pieces += 1;
        self.bytes += layout.size();
        true
    }
}

impl Drop for Hoard {
    fn drop(&mut self) {
        while let Some(piece) = self.last {
            // SAFETY: it was written when the piece was taken, and pieces are ours.
            let Piece { before, layout } = unsafe { piece.read() };
            self.last = before;
            // SAFETY: it came with this layout, and is no longer in the list.
            unsafe { dealloc(piece.as_ptr().cast(), layout) };
        }
    }
}

//! Commands that look at single addresses.

use core::fmt;

use stack_alloc::{BLOCK_SIZE, BlockSnapshot, PAGE_SIZE, PageState};

use super::allocations::Allocation;
use super::{Argument, Command, Family, Session};
use crate::command_line::{self, ArgumentError, next_word, no_arguments, size};
use crate::memory::frame::{FRAME_SIZE, Frame};
use crate::memory::heap_source::HEAP;
use crate::memory::translation::{Mapping, mapping_of};
use crate::memory::{PHYSICAL_MEMORY_BASE, physical};
use crate::whereabouts::Whereabouts;
use crate::{lookup, println};

/// Bytes that `peek` shows if nobody says otherwise.
const DEFAULT_BYTES: usize = 64;
/// The most bytes that `peek` shows.
const MOST_BYTES: usize = 4096;
/// Bytes in a line.
const LINE_BYTES: usize = 16;

/// The family.
pub(super) const FAMILY: Family = Family {
    title: "Looking at addresses",
    commands: &[
        Command {
            name: "what",
            aliases: &[],
            arguments: "ADDRESS|NUMBER",
            summary: "say what is there: heap, stack, image, frame",
            help: "Takes an address such as 0xffff800000001000, or the number of an allocation.",
            choices: Argument::Free,
            run: what,
        },
        Command {
            name: "peek",
            aliases: &[],
            arguments: "ADDRESS|NUMBER [BYTES]",
            summary: "show the bytes at an address",
            help: "64 bytes if nothing is said, 4096 at most. Shows memory that is mapped, and no devices: looking may change\n\
                   those.",
            choices: Argument::Free,
            run: peek,
        },
    ],
};

/// Reads an address, or the number of an allocation; says so and returns `None` where there is no such allocation.
pub(super) fn address_of<'a>(
    session: &Session,
    word: &'a str,
) -> Result<Option<u64>, ArgumentError<'a>> {
    Ok(match command_line::place(word)? {
        command_line::Place::Address(address) => Some(address),
        command_line::Place::Allocation(number) => {
            let allocation = session.allocations.find(number);
            if allocation.is_none() {
                session.allocations.print_unknown(number);
            }
            allocation.map(|allocation| Allocation::address(allocation) as u64)
        }
    })
}

/// `what ADDRESS|NUMBER`
fn what<'a>(session: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    let Some(word) = command_line::at_most_one_word(arguments)? else {
        return Err(ArgumentError::Missing(
            "an address or the number of an allocation, such as `what 3`",
        ));
    };
    if let Some(address) = address_of(session, word)? {
        println!("{address:#018x}: {}", Owner(address));
        println!("{}", HowMapped(address));
    }
    Ok(())
}

/// Whose an address is. Displays as a part of a sentence.
struct Owner(u64);

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(address) = *self;
        let whereabouts = lookup::whereabouts(address);
        match (whereabouts, physical_through_mapping(address)) {
            (Whereabouts::Unknown, Some(physical)) => {
                let frame = Frame::containing_address(physical);
                write!(f, "in {frame}, {}", FrameState(frame))
            }
            _ => {
                write!(f, "{whereabouts}")?;
                write_page(f, usize::try_from(address).unwrap_or_default())
            }
        }
    }
}

/// Returns the physical address that an address in the mapping of all physical memory shows; `None` for one outside.
fn physical_through_mapping(address: u64) -> Option<u64> {
    let physical = address.checked_sub(PHYSICAL_MEMORY_BASE)?;
    mapping_of(address).filter(|mapping| mapping.physical == physical)?;
    Some(physical)
}

/// Writes in which page of its block an address is, and in which chunk of which stack, if it is in one.
fn write_page(f: &mut fmt::Formatter<'_>, address: usize) -> fmt::Result {
    /// Chunks of a stack.
    const CHUNKS: usize = 64;
    let Some(block) = HEAP.blocks().find(|block| block.page_of(address).is_some()) else {
        return Ok(());
    };
    let page = address % BLOCK_SIZE / PAGE_SIZE;
    write!(f, ", page {page}")?;
    let PageState::Chunks { chunk_size, .. } = block.pages[page] else {
        return Ok(());
    };
    let offset = address - block.address - PAGE_SIZE * first_of_run(&block, page);
    let (stack, chunk) = (offset / chunk_size / CHUNKS, offset / chunk_size % CHUNKS);
    let stack_address = address - offset + stack * CHUNKS * chunk_size;
    write!(f, ", chunk {chunk} of the stack at {stack_address:#x}")
}

/// Returns the first page of the run of chunks that has page number `page`.
fn first_of_run(block: &BlockSnapshot, page: usize) -> usize {
    let is_first = |state: &PageState| matches!(state, PageState::Chunks { is_first: true, .. });
    block.pages[..=page]
        .iter()
        .rposition(is_first)
        .unwrap_or(page)
}

/// Who has a frame. Displays as a part of a sentence.
struct FrameState(Frame);

impl fmt::Display for FrameState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(frame) = *self;
        let map = physical::memory_map();
        let is_usable =
            map.is_some_and(|map| map.usable_ranges().any(|range| range.contains(frame)));
        let is_free = physical::try_with_frames(|frames| frames.is_free(frame));
        f.write_str(match (is_usable, is_free) {
            (true, Some(true)) => "which is free",
            (true, _) => "which is in use",
            (false, _) => "which is not the kernel's to give",
        })
    }
}

/// How an address is mapped. Displays as a sentence.
struct HowMapped(u64);

impl fmt::Display for HowMapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(mapping) = mapping_of(self.0) else {
            return f.write_str("It is not mapped.");
        };
        let Mapping {
            physical,
            page_bytes,
            is_writable,
            is_executable,
        } = mapping;
        let rights = match (is_writable, is_executable) {
            (true, true) => "writable, executable",
            (true, false) => "writable",
            (false, true) => "executable",
            (false, false) => "read-only",
        };
        let page = crate::bytes::Bytes(usize::try_from(page_bytes).unwrap_or(usize::MAX));
        write!(
            f,
            "It is mapped to the physical address {physical:#x} by a page of {page}, {rights}."
        )
    }
}

/// `peek ADDRESS|NUMBER [BYTES]`
fn peek<'a>(session: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    let Some((place, rest)) = next_word(arguments) else {
        return Err(ArgumentError::Missing(
            "an address or the number of an allocation, such as `peek 3`",
        ));
    };
    let (length, rest) = next_word(rest).unwrap_or_default();
    no_arguments(rest)?;
    let length = match length {
        "" => DEFAULT_BYTES,
        text => size(text)
            .ok()
            .filter(|length| (1..=MOST_BYTES).contains(length))
            .ok_or(ArgumentError::Wrong {
                text,
                wanted: "a number of bytes that can be shown; type one from 1 to 4096",
            })?,
    };
    if let Some(address) = address_of(session, place)? {
        print_bytes(address, length);
    }
    Ok(())
}

/// Prints `length` bytes from `address` on, as far as they can be read.
fn print_bytes(address: u64, length: usize) {
    println!("{length} bytes at {address:#018x}: {}", Owner(address));
    for offset in (0..length).step_by(LINE_BYTES) {
        let mut bytes = [0; LINE_BYTES];
        let line = &mut bytes[..LINE_BYTES.min(length - offset)];
        for (index, byte) in line.iter_mut().enumerate() {
            let address = address.wrapping_add((offset + index) as u64);
            match read(address) {
                Ok(value) => *byte = value,
                Err(reason) => {
                    println!("{address:#018x} {reason}");
                    return;
                }
            }
        }
        println!(
            "{}",
            Line {
                offset,
                bytes: line
            }
        );
    }
}

/// Reads a byte of memory; says why not.
fn read(address: u64) -> Result<u8, &'static str> {
    let Some(mapping) = mapping_of(address) else {
        return Err("is not mapped.");
    };
    let is_memory = physical::memory_map().is_some_and(|map| map.has_memory_at(mapping.physical));
    if !is_memory {
        return Err("is mapped, but to no memory: looking at a device may change it.");
    }
    let frame = Frame::containing_address(mapping.physical);
    let offset = usize::try_from(mapping.physical % FRAME_SIZE).unwrap_or_default();
    // SAFETY: the offset is inside the frame, and all physical memory is mapped.
    let pointer = unsafe { physical::frame_pointer(frame).add(offset) };
    // SAFETY: as above. Whoever has the byte may be writing to it, so it is volatile; any value is a byte.
    Ok(unsafe { pointer.read_volatile() })
}

/// A line of bytes. Displays as their offset, in hexadecimal, and as characters.
struct Line<'a> {
    /// How far they are from the first one that is shown.
    offset: usize,
    /// The bytes.
    bytes: &'a [u8],
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:03x} ", self.offset)?;
        for index in 0..LINE_BYTES {
            let gap = if index % 8 == 0 { " " } else { "" };
            match self.bytes.get(index) {
                Some(byte) => write!(f, "{gap} {byte:02x}")?,
                None => write!(f, "{gap}   ")?,
            }
        }
        f.write_str("  |")?;
        for &byte in self.bytes {
            let character = if matches!(byte, b' '..=b'~') {
                byte
            } else {
                b'.'
            };
            write!(f, "{}", char::from(character))?;
        }
        f.write_str("|")
    }
}

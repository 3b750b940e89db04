//! Commands about the machine's memory.

use core::fmt;

use super::{Argument, Command, Family, Session};
use crate::bytes::Bytes;
use crate::command_line::{ArgumentError, no_arguments};
use crate::memory::frame::FRAME_SIZE;
use crate::memory::frame_account::FrameAccount;
use crate::memory::heap_source::HEAP;
use crate::memory::memory_map::{MemoryMap, RegionTable};
use crate::memory::physical;
use crate::{print, println};

/// The family.
pub(super) const FAMILY: Family = Family {
    title: "Memory",
    commands: &[
        Command {
            name: "mem",
            aliases: &["meminfo"],
            arguments: "",
            summary: "show where the machine's memory is",
            help: "From the firmware's map to what the heap was asked for.",
            choices: Argument::Free,
            run: mem,
        },
        Command {
            name: "frames",
            aliases: &[],
            arguments: "",
            summary: "count the frames of physical memory",
            help: "A frame is 4 KiB. Each line has what its owner says to hold; that the lines add up is a check.",
            choices: Argument::Free,
            run: frames,
        },
        Command {
            name: "regions",
            aliases: &[],
            arguments: "",
            summary: "show the machine's memory map",
            help: "As the firmware reported it, with neighbours of one kind as one.",
            choices: Argument::Free,
            run: regions,
        },
    ],
};

/// `mem`
fn mem<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    let Some(map) = physical::memory_map() else {
        println!("There is no memory map yet.");
        return Ok(());
    };
    let account = physical::account();
    print!("{}", Overview { map, account });
    Ok(())
}

/// `frames`
fn frames<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    print!("{}", physical::account());
    println!("{}", physical::statistics());
    Ok(())
}

/// `regions`
fn regions<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    match physical::memory_map() {
        Some(map) => print!("{}", RegionTable(map)),
        None => println!("There is no memory map yet."),
    }
    Ok(())
}

/// Where memory is. Displays as lines.
struct Overview {
    /// The firmware's map.
    map: MemoryMap<'static>,
    /// Who has its frames.
    account: FrameAccount,
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { map, account } = self;
        let heap = HEAP.statistics();
        let whole = Bytes(usize::try_from(map.memory_bytes()).unwrap_or(usize::MAX));
        for (name, bytes, remark) in [
            ("memory", whole, "by the firmware's map"),
            (
                "  usable",
                in_bytes(account.usable),
                "the rest is firmware, boot loader and kernel",
            ),
            (
                "    books",
                in_bytes(account.books),
                "what the frame allocator needs for itself",
            ),
            ("    free", in_bytes(account.free), "frames that nobody has"),
            (
                "    kernel",
                in_bytes(account.tables + account.stacks),
                "page tables and call stacks made since",
            ),
            (
                "    heap",
                Bytes(heap.bytes_held),
                "held by the heap, of which:",
            ),
            ("      used", Bytes(heap.bytes_used), "in objects"),
            (
                "      asked for",
                Bytes(heap.bytes_requested),
                "by their layouts",
            ),
            (
                "largest",
                Bytes(heap.largest_available),
                "an allocation of this size would succeed now",
            ),
        ] {
            writeln!(f, "{name:<16}{bytes:>12}   {remark}")?;
        }
        Ok(())
    }
}

/// Returns the bytes of so many frames.
fn in_bytes(frames: u64) -> Bytes {
    Bytes(usize::try_from(frames * FRAME_SIZE).unwrap_or(usize::MAX))
}

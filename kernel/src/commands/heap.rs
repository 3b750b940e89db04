//! Commands about what the heap holds.

use core::time::Duration;

use stack_alloc::{ObjectKind, Statistics};

use super::clock::{Waited, wait_until};
use super::{Argument, Command, Family, Session, look, top};
use crate::bytes::Bytes;
use crate::command_line::{ArgumentError, at_most_one_word, count, no_arguments};
use crate::counted::Counted;
use crate::heap_map::{BlockDetails, BlockPicture, Classes, Legend};
use crate::interrupts::timer;
use crate::memory::heap_check;
use crate::memory::heap_source::{self, HEAP};
use crate::style::Style;
use crate::{cpu, print, println};

/// The most lines of `heap watch`: an hour.
const MOST_LINES: u32 = 3600;

/// The family.
pub(super) const FAMILY: Family = Family {
    title: "The heap",
    commands: &[
        Command {
            name: "heap",
            aliases: &[],
            arguments: "",
            summary: "show what the heap holds, by size, and check it",
            help: "Bytes asked for are those of the layouts, used ones those of the chunks, runs and regions that serve them,\n\
                   held ones all that the heap has taken from the frame allocator.",
            choices: Argument::Free,
            run: heap,
        },
        Command {
            name: "heap classes",
            aliases: &["slabinfo"],
            arguments: "",
            summary: "show the size classes that have stacks",
            help: "A class serves objects with chunks of one size, cut from stacks of 64.",
            choices: Argument::Free,
            run: classes,
        },
        Command {
            name: "heap map",
            aliases: &[],
            arguments: "[ADDRESS]",
            summary: "draw the blocks, or list the pages of one",
            help: "With an address in a block, or the number of an allocation, the runs of pages in that block are listed.",
            choices: Argument::Free,
            run: map,
        },
        Command {
            name: "heap top",
            aliases: &[],
            arguments: "",
            summary: "show the sizes and objects that hold the most",
            help: "Looks at every live object, each with the heap locked only for itself.",
            choices: Argument::Free,
            run: top::run,
        },
        Command {
            name: "heap check",
            aliases: &[],
            arguments: "",
            summary: "prove every invariant of the heap",
            help: "Interrupts are masked meanwhile: the walk over all blocks is done under the heap's lock.",
            choices: Argument::Free,
            run: check,
        },
        Command {
            name: "heap watch",
            aliases: &[],
            arguments: "SECONDS",
            summary: "show numbers once a second; any key stops it",
            help: "Enter and `q` do no more than that; another key is kept for the prompt.",
            choices: Argument::Free,
            run: watch,
        },
        Command {
            name: "heap cpus",
            aliases: &[],
            arguments: "",
            summary: "show what the heap did on each CPU",
            help: "A free crosses when another CPU had allocated what is freed: it leaves a bit,\n\
                   and waits for nobody.",
            choices: Argument::Free,
            run: cpus,
        },
        Command {
            name: "heap trim",
            aliases: &[],
            arguments: "",
            summary: "give back all memory that holds nothing",
            help: "Each CPU tidies up its own part first, called by an interrupt.",
            choices: Argument::Free,
            run: trim,
        },
        Command {
            name: "heap peak",
            aliases: &[],
            arguments: "",
            summary: "show the most that was ever held",
            help: "Since the kernel was started. What is held is counted at any time, what is asked\n\
                   for whenever somebody looks.",
            choices: Argument::Free,
            run: peak,
        },
    ],
};

/// `heap`
fn heap<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    println!("{}", HEAP.statistics());
    print_check();
    Ok(())
}

/// `heap check`
fn check<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    let statistics = HEAP.statistics();
    print_check();
    let stacks: usize = statistics.classes.iter().map(|class| class.stacks).sum();
    println!(
        "It walked over {} with {} and {} of pages, {}, and {} in them.",
        Counted(statistics.blocks, "block"),
        Counted(stacks, "stack"),
        Counted(statistics.runs.live, "run"),
        Counted(statistics.regions.live, "region"),
        Counted(statistics.live(), "object")
    );
    Ok(())
}

/// Checks the heap and prints the result.
fn print_check() {
    match heap_check::check() {
        Ok(()) => println!(
            "check: {}",
            Style::Green.paint("every invariant of the heap holds.")
        ),
        Err(fault) => println!("check: {}: {fault}", Style::Red.paint("THE HEAP IS BROKEN")),
    }
}

/// `heap classes`
fn classes<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    println!(
        "chunk size   stacks  chunks used    of total  use %        used  allocations        frees"
    );
    for class in HEAP
        .statistics()
        .classes
        .iter()
        .filter(|class| class.stacks > 0)
    {
        println!(
            "{:>10}  {:>7}  {:>11}  {:>10}  {:>5}  {:>10}  {:>11}  {:>11}",
            class.chunk_size,
            class.stacks,
            class.chunks_used,
            class.chunks_total,
            class.chunks_used * 100 / class.chunks_total.max(1),
            Bytes(class.chunks_used * class.chunk_size),
            class.allocations,
            class.frees,
        );
    }
    Ok(())
}

/// `heap map [ADDRESS]`
fn map<'a>(session: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    let Some(word) = at_most_one_word(arguments)? else {
        print_map();
        return Ok(());
    };
    let Some(address) = look::address_of(session, word)? else {
        return Ok(());
    };
    let address = usize::try_from(address).unwrap_or_default();
    match HEAP.blocks().find(|block| block.page_of(address).is_some()) {
        Some(block) => print!("{}", BlockDetails(&block)),
        None => println!(
            "No block of the heap has the address {address:#x}; `what {address:#x}` says what is there."
        ),
    }
    Ok(())
}

/// Draws all blocks, and lists the regions.
fn print_map() {
    let statistics = HEAP.statistics();
    let classes = Classes::of(&statistics);
    for block in HEAP.blocks() {
        let picture = BlockPicture {
            block: &block,
            classes: &classes,
        };
        print!("{picture}");
    }
    if statistics.regions.live > 0 {
        let objects = HEAP.live_objects();
        for region in objects.filter(|object| object.kind == ObjectKind::Region) {
            println!("region {:#018x}: {}", region.address, Bytes(region.size));
        }
    }
    print!("{}", Legend(&statistics));
}

/// `heap watch SECONDS`
fn watch<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    let Some(word) = at_most_one_word(arguments)? else {
        return Err(ArgumentError::Missing(
            "a number of seconds, such as `heap watch 10`",
        ));
    };
    let lines = count(
        word,
        MOST_LINES,
        "a number of seconds; type one from 1 to 3600",
    )?;
    if !timer::is_ticking() {
        println!("There is no timer, so nobody knows when a second is over.");
        return Ok(());
    }
    println!("   asked for        used        held   objects   allocations/s       frees/s");
    let mut before = HEAP.statistics();
    let start = timer::uptime();
    for line in 1..=lines {
        if wait_until(start + Duration::from_secs(line.into())) == Waited::Stopped {
            break;
        }
        let now = HEAP.statistics();
        print_watched(&before, &now);
        before = now;
    }
    Ok(())
}

/// Prints a line of `heap watch`.
fn print_watched(before: &Statistics, now: &Statistics) {
    println!(
        "{:>12}{:>12}{:>12}{:>10}{:>16}{:>14}",
        Bytes(now.bytes_requested),
        Bytes(now.bytes_used),
        Bytes(now.bytes_held),
        now.live(),
        now.allocations() - before.allocations(),
        now.frees() - before.frees(),
    );
}

/// `heap cpus`
fn cpus<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    println!("CPU   allocations         frees    of these crossed  blocks        held");
    for cpu in 0..cpu::count() {
        let Some(numbers) = HEAP.cpu_statistics(cpu) else {
            break;
        };
        println!(
            "{cpu:>3}  {:>12}  {:>12}  {:>18}  {:>6}  {:>10}",
            numbers.allocations,
            numbers.frees,
            numbers.crossed,
            numbers.blocks,
            Bytes(numbers.bytes_held)
        );
    }
    Ok(())
}

/// `heap trim`
fn trim<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    let before = HEAP.statistics().bytes_held;
    heap_source::trim();
    let after = HEAP.statistics().bytes_held;
    println!("held: {} before, {} now.", Bytes(before), Bytes(after));
    Ok(())
}

/// `heap peak`
fn peak<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    let statistics = HEAP.statistics();
    println!("since the start        now        peak");
    for (name, now, peak) in [
        (
            "asked for",
            statistics.bytes_requested,
            statistics.bytes_requested_peak,
        ),
        ("held", statistics.bytes_held, statistics.bytes_held_peak),
    ] {
        println!("{name:<14}{:>12}{:>12}", Bytes(now), Bytes(peak));
    }
    Ok(())
}

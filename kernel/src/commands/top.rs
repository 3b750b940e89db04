//! `heap top`: who holds the heap's memory.

use stack_alloc::{Object, ObjectKind, Statistics};

use super::Session;
use crate::bytes::Bytes;
use crate::command_line::{ArgumentError, no_arguments};
use crate::memory::heap_source::HEAP;
use crate::println;

/// Lines of each table.
const LINES: usize = 10;

/// Size classes, and room for runs and regions.
const KINDS: usize = 64;

/// What serves objects: a size class, runs, or regions.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    /// Bytes of a chunk; 0 for those that have no fixed size.
    chunk_size: usize,
    /// The name of those.
    name: &'static str,
    /// Objects.
    objects: u64,
    /// Their bytes.
    bytes: usize,
}

/// `heap top`
pub(super) fn run<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    let statistics = HEAP.statistics();
    println!("sizes                objects        used   of all");
    for kind in kinds(&statistics)
        .iter()
        .filter(|kind| kind.bytes > 0)
        .take(LINES)
    {
        print_kind(kind, statistics.bytes_used);
    }
    println!("\nobjects                    size   kind");
    for object in largest_objects().into_iter().flatten() {
        let kind = match object.kind {
            ObjectKind::Chunk => "chunk",
            ObjectKind::Run => "run of pages",
            _ => "region",
        };
        println!(
            "{:#018x}{:>13}   {kind}",
            object.address,
            Bytes(object.size)
        );
    }
    Ok(())
}

/// Prints a line for what serves objects.
fn print_kind(kind: &Kind, all: usize) {
    let percent = kind.bytes * 100 / all.max(1);
    let (objects, bytes) = (kind.objects, Bytes(kind.bytes));
    if kind.chunk_size > 0 {
        println!(
            "{:>5}-byte chunks  {objects:>10}{bytes:>12}{percent:>7} %",
            kind.chunk_size
        );
    } else {
        println!("{:<17}  {objects:>10}{bytes:>12}{percent:>7} %", kind.name);
    }
}

/// Returns everything that serves objects, that with the most bytes first.
fn kinds(statistics: &Statistics) -> [Kind; KINDS] {
    let mut kinds = [Kind::default(); KINDS];
    let classes = statistics.classes.iter().map(|class| Kind {
        chunk_size: class.chunk_size,
        name: "",
        objects: u64::try_from(class.chunks_used).unwrap_or(u64::MAX),
        bytes: class.chunks_used * class.chunk_size,
    });
    let pages = [
        ("runs of pages", statistics.runs),
        ("regions", statistics.regions),
    ];
    let pages = pages.into_iter().map(|(name, pages)| Kind {
        chunk_size: 0,
        name,
        objects: pages.live,
        bytes: pages.bytes,
    });
    for (slot, kind) in kinds.iter_mut().zip(pages.chain(classes)) {
        *slot = kind;
    }
    kinds.sort_unstable_by_key(|kind| core::cmp::Reverse(kind.bytes));
    kinds
}

/// Returns the largest live objects, the largest first.
fn largest_objects() -> [Option<Object>; LINES] {
    let mut largest = [None; LINES];
    for object in HEAP.live_objects() {
        add(&mut largest, object);
    }
    largest
}

/// Puts `object` in its place among the `largest`; the smallest falls off.
fn add(largest: &mut [Option<Object>], object: Object) {
    let is_smaller = |other: &Option<Object>| other.is_none_or(|other| other.size < object.size);
    if let Some(place) = largest.iter().position(is_smaller) {
        largest[place..].rotate_right(1);
        largest[place] = Some(object);
    }
}

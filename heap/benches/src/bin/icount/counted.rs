//! The process that callgrind watches: one workload on one heap.

use std::process::exit;

use stack_alloc_benches::arena::Arena;
use stack_alloc_benches::contenders;
use stack_alloc_benches::heap::Heap;
use stack_alloc_benches::operation::Operation;
use stack_alloc_benches::replay::{Objects, OutOfMemory, replay};

use crate::workloads;

/// Bytes that an arena has beside twice what is live at most.
const SPARE: usize = 16 << 20;

/// What is said in place of a number when the heap has too little memory for the workload.
pub(crate) const NO_MEMORY: &str = "no memory";

/// Runs the workload `name` on the heap `contender`, says how many operations were counted, and ends the process.
///
/// # Errors
///
/// A sentence, if there is no such workload or heap.
pub(crate) fn run(name: &str, contender: &str) -> Result<(), String> {
    let stream = workloads::by_name(name).ok_or_else(|| format!("no workload `{name}`"))?;
    let contender = contenders::for_counting()
        .into_iter()
        .find(|known| known.name == contender)
        .ok_or_else(|| format!("no heap `{contender}`"))?;
    let size = (2 * stream.peak_bytes + SPARE).next_multiple_of(SPARE);
    let arena = Arena::new(size).map_err(|error| format!("no arena of {size} bytes: {error}"))?;
    // SAFETY: nobody else uses the arena.
    let heap = unsafe { (contender.make)(arena.whole()) };
    let mut objects = Objects::of(&stream);
    // SAFETY: the first operations of the stream.
    let mut done = unsafe { heap.replay(&stream.setup, &mut objects) };
    if done.is_ok() {
        // SAFETY: the stream's next operations.
        done = unsafe { counted_part(&*heap, &stream.body, &mut objects) };
    }
    match done {
        Ok(()) => println!("{}", stream.body.len()),
        Err(_) => println!("{NO_MEMORY}"),
    }
    // What would come now is no part of the workload.
    exit(0);
}

/// Does what is counted: callgrind forgets, when it enters this function, what was before.
///
/// # Errors
///
/// As [`replay`].
///
/// # Safety
///
/// As for [`replay`].
#[inline(never)]
unsafe fn counted_part(
    heap: &dyn Heap,
    operations: &[Operation],
    objects: &mut Objects,
) -> Result<(), OutOfMemory> {
    // SAFETY: the caller's promise.
    let done = unsafe { replay(heap, operations, objects) };
    // Something is left to do here, so that this is a call and not a jump.
    core::hint::black_box(done)
}

//! Moving over from `linked_list_allocator`: the same names, and what there is beyond them.
//!
//! Run with `make example NAME=migrate_from_linked_list_allocator`. In a kernel, two lines change:
//!
//! ```toml
//! stack_alloc = "0.1"                 # was: linked_list_allocator = "0.10"
//! ```
//! ```rust
//! use stack_alloc::LockedHeap;        // was: use linked_list_allocator::LockedHeap;
//! ```
//!
//! All else, the `static`, the call of `init`, the tests, stays as it is.

use core::alloc::{GlobalAlloc, Layout};

use stack_alloc::{LockedHeap, MisuseKind};

/// The heap of a small kernel: 100 KiB. There it carries `#[global_allocator]`.
static ALLOCATOR: LockedHeap = LockedHeap::empty();

/// Memory that is the heap's for good: a kernel maps pages for it.
fn heap_memory() -> (*mut u8, usize) {
    let memory: &'static mut [u8] = vec![0; 100 * 1024].leak();
    (memory.as_mut_ptr(), memory.len())
}

fn main() {
    // The line that is in the kernel already.
    let (start, size) = heap_memory();
    // SAFETY: the memory was leaked, and nobody else uses it.
    unsafe { ALLOCATOR.lock().init(start, size) };

    let layout = Layout::new::<[u64; 8]>();
    // SAFETY: the layout is not empty.
    let object = unsafe { ALLOCATOR.alloc(layout) };
    let (used, free) = {
        let heap = ALLOCATOR.lock();
        (heap.used(), heap.free())
    };
    println!("{used} bytes used, {free} free, as ever");
    assert_eq!(used, 64);

    // What is new: any address can be asked what it is …
    println!(
        "{:#x} is {}",
        object.addr() + 8,
        ALLOCATOR.what_is(object.addr() + 8)
    );

    // … a wrong free is caught, in release builds too, and changes nothing …
    ALLOCATOR.set_misuse_handler(|misuse| {
        assert_eq!(misuse.kind, MisuseKind::Interior);
        println!("caught: {misuse}");
    });
    // SAFETY: none, on purpose: the heap promises to notice.
    unsafe { ALLOCATOR.dealloc(object.wrapping_add(8), layout) };

    // … the heap proves its own invariants, and shows itself.
    ALLOCATOR
        .check()
        .expect("every invariant of the heap holds");
    println!("\n{}", ALLOCATOR.statistics());

    // SAFETY: allocated above with this layout.
    unsafe { ALLOCATOR.dealloc(object, layout) };
    assert_eq!(ALLOCATOR.lock().used(), 0);
}

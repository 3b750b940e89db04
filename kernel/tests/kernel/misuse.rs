//! Wrong frees: reported exactly, changing nothing.

use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::num::NonZero;
use core::ptr::NonNull;

use kernel::interrupts::{on_software_interrupt, raise_software_interrupt};
use kernel::lock::InterruptMaskingLock;
use kernel::memory::heap_check;
use kernel::memory::heap_source::HEAP;
use kernel::memory::mapper::WINDOW_BASE;
use kernel::memory::physical::{frame_pointer, with_frames};
use kernel::testing::Test;
use kernel::{misuse, tests};
use lock_api::Mutex;
use stack_alloc::{MemorySource, Misuse, MisuseKind};

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "misuse";
    double_free_is_reported,
    interior_pointer_is_reported,
    wrong_size_is_reported,
    foreign_pointer_is_reported,
    wrong_free_of_a_region_is_reported,
    double_free_ends_the_kernel => Panics(
        "wrong free of 0xffff8", " (size 64, align 16): it is free already; the address is the start of a free 64-byte chunk\n",
        "  block 0xffff8", ", class 64\n",
        "  before it: a live 64-byte chunk at 0xffff8",
        "  behind it: a live 64-byte chunk at 0xffff8",
        "  The heap has changed nothing. The kernel ends: whose frees are wrong may have written wrongly before.\n",
        "in ordinary code, while the first task runs, on the call stack `boot`\n",
    ),
    foreign_free_ends_the_kernel => Panics(
        "wrong free of 0xffff", " (size 64, align 1): it was not handed out here; the address is not in the memory of this heap\n",
        "  0xffff", " is on the call stack `boot`\n",
        "  The heap has changed nothing.",
    ),
    refused_releases_are_told_without_the_lock => Panics(
        "told later: the heap gave back memory that it does not have: frame 0x", " is free already\n",
    ),
    refused_releases_fail_the_test => Panics(
        "the heap is broken after the test: the heap gave back memory that it does not have: no mapping of such a length \
         begins at 0xffffc80000001000\n",
    ),
    wrong_free_in_an_interrupt_handler => Panics(
        "wrong free of 0x1000 ", "  The heap has changed nothing.", "in the handler of interrupt 128 (software interrupt), while the first task runs",
    ),
};

/// The last report.
static REPORT: Mutex<InterruptMaskingLock, Option<Misuse>> = Mutex::new(None);

/// Does a wrong free, and returns what the heap says about it; the free must have changed nothing.
#[track_caller]
fn report_of(pointer: *mut u8, layout: Layout) -> Misuse {
    HEAP.set_misuse_handler(|misuse| *REPORT.lock() = Some(misuse));
    let before = HEAP.statistics();
    // SAFETY: none: this breaks the contract on purpose. The heap promises to notice, and to change nothing.
    unsafe { dealloc(pointer, layout) };
    let after = HEAP.statistics();
    HEAP.set_misuse_handler(misuse::handler);
    assert_eq!(
        (after.live(), after.bytes_used),
        (before.live(), before.bytes_used)
    );
    let misuse = REPORT
        .lock()
        .take()
        .expect("the heap reports the wrong free");
    assert_eq!((misuse.address, misuse.layout), (pointer.addr(), layout));
    misuse
}

/// Runs `body` with an object of `size` bytes, and frees it properly afterwards.
fn with_object(size: usize, body: impl FnOnce(*mut u8, Layout)) {
    let layout = Layout::from_size_align(size, 16).expect("a valid layout");
    // SAFETY: the size is not zero.
    let pointer = unsafe { alloc(layout) };
    assert!(!pointer.is_null());
    body(pointer, layout);
    // SAFETY: allocated above with this layout; the wrong frees in between have changed nothing.
    unsafe { dealloc(pointer, layout) };
}

fn double_free_is_reported() {
    // A neighbour keeps the stack alive, so that the second free finds it.
    with_object(64, |_, layout| {
        // SAFETY: the size is not zero; the pointer is freed once here.
        let pointer = unsafe {
            let pointer = alloc(layout);
            dealloc(pointer, layout);
            pointer
        };
        assert_eq!(report_of(pointer, layout).kind, MisuseKind::DoubleFree);
    });
}

fn interior_pointer_is_reported() {
    for size in [64, 3000, 20_000] {
        with_object(size, |pointer, layout| {
            let misuse = report_of(pointer.wrapping_add(16), layout);
            assert_eq!(misuse.kind, MisuseKind::Interior, "size {size}");
            assert_eq!(
                misuse.place.object().map(|object| object.address),
                Some(pointer.addr())
            );
        });
    }
}

fn wrong_size_is_reported() {
    with_object(64, |pointer, _| {
        let wrong = Layout::from_size_align(1024, 16).expect("a valid layout");
        assert_eq!(report_of(pointer, wrong).kind, MisuseKind::WrongSize);
    });
}

fn foreign_pointer_is_reported() {
    static STATIC: [u8; 64] = [0; 64];
    let on_stack = [0_u8; 64];
    let layout = Layout::from_size_align(64, 1).expect("a valid layout");
    for pointer in [
        STATIC.as_ptr(),
        on_stack.as_ptr(),
        core::ptr::without_provenance(0x1000),
        core::ptr::without_provenance(usize::MAX - 63),
    ] {
        assert_eq!(
            report_of(pointer.cast_mut(), layout).kind,
            MisuseKind::Foreign,
            "{pointer:?}"
        );
    }
}

fn wrong_free_of_a_region_is_reported() {
    with_object(1 << 20, |pointer, layout| {
        let wrong = Layout::from_size_align(2 << 20, 16).expect("a valid layout");
        assert_eq!(report_of(pointer, wrong).kind, MisuseKind::WrongSize);
        assert_eq!(
            report_of(pointer.wrapping_add(4096), layout).kind,
            MisuseKind::Interior
        );
    });
}

fn double_free_ends_the_kernel() {
    with_object(64, |before, layout| {
        // SAFETY: the size is not zero.
        let (middle, behind) = unsafe { (alloc(layout), alloc(layout)) };
        assert_eq!(
            [middle.addr(), behind.addr()],
            [before.addr() + 64, before.addr() + 128],
            "a fresh stack is filled from its start"
        );
        // SAFETY: none for the second free: it breaks the contract on purpose, and the heap promises to notice.
        unsafe {
            dealloc(middle, layout);
            dealloc(middle, layout);
        }
    });
}

fn foreign_free_ends_the_kernel() {
    let mut on_stack = [0_u8; 64];
    // SAFETY: none: it breaks the contract on purpose, and the heap promises to notice.
    unsafe { dealloc(on_stack.as_mut_ptr(), Layout::new::<[u8; 64]>()) };
}

fn wrong_free_in_an_interrupt_handler() {
    on_software_interrupt(|| {
        let layout = Layout::new::<u64>();
        // SAFETY: none: it breaks the contract on purpose, and the heap promises to notice.
        unsafe { dealloc(core::ptr::without_provenance_mut(0x1000), layout) };
    });
    raise_software_interrupt();
}

/// Has the kernel's source take a block back that the heap does not have, as a broken heap would: with its lock held.
fn release_wrongly(block: NonNull<u8>) {
    // SAFETY: none: this breaks the contract on purpose. Frame allocator and mapper promise to notice, and to change nothing.
    HEAP.with_source(|source| unsafe { source.release_block(block) });
}

fn refused_releases_are_told_without_the_lock() {
    let block = with_frames(|frames| frames.allocate_block()).expect("there are blocks");
    assert_eq!(with_frames(|frames| frames.free_block(block)), Ok(()));
    assert_eq!(heap_check::check(), Ok(()));
    release_wrongly(frame_pointer(block));
    // The heap goes on.
    assert_eq!(alloc::vec![1_u8; 1 << 20].len(), 1 << 20);
    // The first one is kept.
    release_wrongly(NonNull::dangling());
    assert_eq!(heap_check::check(), heap_check::check());
    panic!(
        "told later: {}",
        heap_check::check().expect_err("a release was refused")
    );
}

fn refused_releases_fail_the_test() {
    let inside = usize::try_from(WINDOW_BASE).expect("addresses have 64 bits") + 4096;
    release_wrongly(NonNull::without_provenance(
        NonZero::new(inside).expect("it is not 0"),
    ));
}

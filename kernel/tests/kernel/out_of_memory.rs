//! Running out of memory is an answer, and the system goes on.

use alloc::alloc::{alloc, dealloc, realloc};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::fmt::{self, Write};

use kernel::interrupts::{on_software_interrupt, raise_software_interrupt, timer};
use kernel::memory::heap_source::HEAP;
use kernel::memory::physical;
use kernel::out_of_memory::{Server, report, unreported};
use kernel::testing::Test;
use kernel::{println, tests};
use stack_alloc::ObjectKind;
use x86_64::instructions::{hlt, interrupts as cpu};

use super::heap::free_frames_trimmed;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "out_of_memory";
    too_large_a_request_is_null,
    try_reserve_is_an_error,
    failed_realloc_keeps_the_object,
    exhausted_memory_is_null_and_all_comes_back => Alone,
    classes_are_those_that_serve,
    requests_that_fail_within_a_second_are_counted,
    request_of_a_handler_may_fail,
    request_while_printing_may_fail,
    infallible_allocation_panics => Panics("memory allocation of 35184372088832 bytes failed\n"),
};

fn too_large_a_request_is_null() {
    let all = usize::try_from(physical::statistics().total * 4096).expect("addresses have 64 bits");
    for size in [all + 1, 1 << 46, usize::MAX / 4, isize::MAX as usize] {
        let layout = Layout::from_size_align(size, 1).expect("a valid layout");
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc(layout) };
        assert!(memory.is_null(), "{size:#x} bytes cannot be had");
    }
    let align = Layout::from_size_align(1, 1 << 62).expect("a valid layout");
    // SAFETY: the size is not zero.
    assert!(unsafe { alloc(align) }.is_null());
}

fn try_reserve_is_an_error() {
    let mut bytes: Vec<u8> = alloc::vec![1, 2, 3];
    assert!(bytes.try_reserve(1 << 45).is_err());
    assert!(bytes.try_reserve(isize::MAX as usize - 10).is_err());
    assert_eq!(bytes, [1, 2, 3]);
}

fn failed_realloc_keeps_the_object() {
    let bytes = Box::new([7_u8; 100]);
    let pointer = Box::into_raw(bytes);
    // SAFETY: the pointer is a box's, of this layout; the new size is no overflow.
    let moved = unsafe { realloc(pointer.cast(), Layout::new::<[u8; 100]>(), 1 << 45) };
    assert!(moved.is_null());
    // SAFETY: a failed `realloc` leaves the object to us.
    let bytes = unsafe { Box::from_raw(pointer) };
    assert_eq!(*bytes, [7; 100]);
}

fn exhausted_memory_is_null_and_all_comes_back() {
    /// Words in an object: with the link, about 2 KiB.
    const WORDS: usize = 252;
    /// An object that keeps the one before.
    struct Link([u64; WORDS], Option<Box<Link>>);
    /// Makes an object where there is memory for it.
    fn try_link(number: u64, next: Option<Box<Link>>) -> Result<Box<Link>, Option<Box<Link>>> {
        // SAFETY: the size is not zero.
        let pointer = unsafe { alloc(Layout::new::<Link>()) }.cast::<Link>();
        if pointer.is_null() {
            return Err(next);
        }
        // SAFETY: memory of that layout, ours, and a box's layout is its value's.
        unsafe {
            pointer.write(Link([number; WORDS], next));
            Ok(Box::from_raw(pointer))
        }
    }
    let before = free_frames_trimmed();
    for _ in 0..2 {
        let (mut chain, mut count) = (None, 0_u64);
        chain = loop {
            match try_link(count, chain) {
                Ok(link) => chain = Some(link),
                Err(chain) => break chain,
            }
            count += 1;
        };
        assert!(
            physical::statistics().whole_blocks == 0,
            "null came too early"
        );
        assert!(Vec::<u8>::new().try_reserve(300_000).is_err());
        report_names_who_has_it_all();
        // Freed one by one: dropping a chain as a whole would recurse.
        while let Some(link) = chain {
            count -= 1;
            assert!(link.0 == [count; WORDS], "contents were lost");
            chain = link.1;
        }
        assert_eq!(count, 0);
        assert_eq!(free_frames_trimmed(), before);
    }
    assert_eq!(alloc::vec![3_u8; 100_000].len(), 100_000);
}

/// Checks the report of a machine whose memory is full of objects of 2 KiB.
fn report_names_who_has_it_all() {
    /// Text in memory of its own: there is none else.
    struct Text([u8; 1024], usize);
    impl Write for Text {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = self.0.get_mut(self.1..self.1 + text.len());
            room.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
            self.1 += text.len();
            Ok(())
        }
    }
    let frames = physical::statistics();
    let mut text = Text([0; 1024], 0);
    let layout = Layout::new::<[u64; 256]>();
    write!(text, "{}", report(layout, 0)).expect("a report is short");
    let text = core::str::from_utf8(&text.0[..text.1]).expect("a report is text");
    for part in [
        "out of memory: 2048 bytes, aligned to 8, cannot be had; the answer is null\n  wanted     a 2048-byte chunk, class 2048\n",
        "  held for   2048-byte chunks ",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("  frames     "));
    let mut words = line.into_iter().flat_map(str::split_whitespace);
    let mut number = || words.find_map(|word| word.parse::<u64>().ok());
    assert_eq!(
        (number(), number()),
        (Some(frames.free), Some(frames.total))
    );
}

fn classes_are_those_that_serve() {
    let classes = HEAP.statistics().classes;
    for size in [
        1, 16, 17, 100, 500, 5000, 16_384, 16_385, 100_000, 253_952, 253_953, 258_049,
    ] {
        for align in [1, 16, 64, 4096, 8192] {
            let layout = Layout::from_size_align(size, align).expect("a valid layout");
            // SAFETY: the size is not zero.
            let pointer = unsafe { alloc(layout) };
            let object = HEAP.what_is(pointer.addr()).object();
            // SAFETY: allocated above with this layout.
            unsafe { dealloc(pointer, layout) };
            let server = object.map(|object| match object.kind {
                ObjectKind::Chunk => Server::Chunk(object.size),
                ObjectKind::Run => Server::Run(object.size / 4096),
                _ => Server::Region(object.size / 4096),
            });
            assert_eq!(server, Some(Server::of(layout, &classes)), "{layout:?}");
        }
    }
}

/// Asks for more than there is.
fn fail() {
    assert!(Vec::<u8>::new().try_reserve(1 << 45).is_err());
}

fn requests_that_fail_within_a_second_are_counted() {
    // While ticks are kept out, no time goes by.
    cpu::without_interrupts(|| {
        fail();
        let before = unreported();
        for _ in 0..10 {
            fail();
        }
        assert_eq!(unreported(), before + 10);
    });
}

fn request_of_a_handler_may_fail() {
    on_software_interrupt(fail);
    raise_software_interrupt();
    on_software_interrupt(|| {});
}

fn request_while_printing_may_fail() {
    /// Wants more memory than there is, to be printed.
    struct Hungry;
    impl fmt::Display for Hungry {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            fail();
            f.write_str("printed all the same")
        }
    }
    // Then the next one would be reported.
    let start = timer::ticks();
    while timer::ticks() <= start + u64::from(timer::FREQUENCY_HZ) {
        hlt();
    }
    println!("{Hungry}");
    assert!(
        unreported() > 0,
        "a report is not printed into the middle of a line"
    );
}

fn infallible_allocation_panics() {
    let mut bytes = Vec::<u8>::new();
    bytes.reserve_exact(1 << 45);
}

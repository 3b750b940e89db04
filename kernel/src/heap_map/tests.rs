//! Tests of the heap's picture: of a heap that lives here, and of blocks that are made up.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use core::alloc::Layout;
use core::mem::MaybeUninit;

use stack_alloc::{BLOCK_SIZE, Heap, Region};

use super::*;

/// Text without colours.
fn plain(text: impl fmt::Display) -> String {
    let mut plain = crate::style::PlainText::new(String::new());
    write!(plain, "{text}").expect("a string takes all text");
    plain.into_inner()
}

/// Memory for a heap: two blocks fit wherever it starts.
fn memory() -> &'static mut [MaybeUninit<u8>] {
    std::vec![MaybeUninit::uninit(); 3 * BLOCK_SIZE].leak()
}

/// A page of chunks.
const fn chunks(bytes_used: usize, is_first: bool) -> PageState {
    PageState::Chunks {
        chunk_size: 48,
        used: bytes_used / 48,
        total: 85,
        bytes_used,
        is_first,
    }
}

/// A block with a page of everything.
fn block() -> BlockSnapshot {
    let mut pages = [PageState::Free; 64];
    pages[0] = PageState::Header;
    pages[1] = PageState::Records;
    for (page, bytes_used) in [0, 1, 1025, 2049, 3073, 4096].into_iter().enumerate() {
        pages[2 + page] = chunks(bytes_used, page != 5);
    }
    pages[9] = PageState::Run {
        pages: 2,
        is_first: true,
    };
    pages[10] = PageState::Run {
        pages: 2,
        is_first: false,
    };
    pages[63] = PageState::Absent;
    BlockSnapshot {
        address: 0xffff_8000_0004_0000,
        is_reserved: true,
        pages,
    }
}

/// The classes of every heap.
fn classes() -> (Statistics, Classes) {
    let statistics = Heap::new(Region::from_static(memory())).statistics();
    (statistics, Classes::of(&statistics))
}

#[test]
fn picture_has_a_character_a_page() {
    let (_, classes) = classes();
    let picture = plain(BlockPicture {
        block: &block(),
        classes: &classes,
    });
    let free = ".".repeat(52);
    assert_eq!(
        picture,
        format!(
            "block 0xffff800000040000: 6 pages of chunks, 2 in runs, 53 free; in reserve\n\
             ##cccccc.[={free}\n\
             ██ ░▒▓██ ██\n"
        )
    );
}

#[test]
fn details_have_a_line_a_run() {
    let details = BlockDetails(&block()).to_string();
    let lines: Vec<&str> = details.lines().collect();
    assert_eq!(lines[1], "0xffff800000040000      1  the header");
    assert_eq!(
        lines[7],
        "0xffff800000046000      2  chunks of 48 bytes, 64 of 85 used"
    );
    assert_eq!(
        lines[9],
        "0xffff800000049000      2  one allocation of 8.0 KiB"
    );
    assert_eq!(lines[10], "0xffff80000004b000     52  free");
    assert_eq!(lines[11], "0xffff80000007f000      1  not there");
    assert_eq!(lines.len(), 12);
}

#[test]
fn classes_have_letters_of_their_own() {
    let (statistics, classes) = classes();
    let mut letters: Vec<char> = statistics
        .classes
        .iter()
        .map(|class| {
            Cell::Chunks {
                class: classes.number(class.chunk_size),
                fill: 0,
            }
            .letter()
        })
        .collect();
    letters.dedup();
    assert_eq!(letters.len(), statistics.classes.len());
    assert_eq!((letters[0], letters[2]), ('a', 'c'));
}

#[test]
fn legend_names_the_classes_of_a_heap_and_its_picture_uses_them() {
    let mut heap = Heap::new(Region::from_static(memory()));
    for size in [10, 300, 20_000] {
        let layout = Layout::from_size_align(size, 8).expect("a valid layout");
        heap.allocate(layout).expect("there is memory");
    }
    let statistics = heap.statistics();
    let legend = plain(Legend(&statistics));
    assert!(legend.contains("\na 16   m 320\nBelow: "), "{legend}");
    let classes = Classes::of(&statistics);
    let block = heap.blocks().next().expect("there is a block");
    let picture = plain(BlockPicture {
        block: &block,
        classes: &classes,
    });
    let letters = picture.lines().nth(1).unwrap_or_default();
    for part in ["#", "a", "mm", "[====", "."] {
        assert!(letters.contains(part), "{part} in {picture}");
    }
}

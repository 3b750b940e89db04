//! Failures where what the heap keeps for itself has been overwritten: the report must not depend on it.

use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::ptr;

use kernel::fault::{Fault, provoke};
use kernel::memory::heap_source::HEAP;
use stack_alloc::{BLOCK_SIZE, Place};

/// What everything is overwritten with: an address where nothing is mapped.
const BAD: u64 = 0xffff_f000_00ba_d000;

/// Bytes of a page of the heap.
const PAGE: usize = 4096;

/// The pages that each block begins with: what other CPUs write, and the header.
const HEADERS: usize = 2;

/// The most pages that are overwritten.
const MOST_PAGES: usize = 64;

/// Overwrites the records of regions: the pages that the heap has for itself, but for the headers of blocks.
fn overwrite_records() {
    let mut records = [0; MOST_PAGES];
    let pages = HEAP.blocks().flat_map(|block| {
        let behind_headers = HEADERS..block.pages.len();
        behind_headers.map(move |page| block.address + page * PAGE)
    });
    let own = pages.filter(|address| HEAP.what_is(*address) == Place::Own);
    let count = (records.iter_mut().zip(own))
        .map(|(record, address)| *record = address)
        .count();
    assert!(count > 0, "the heap has records");
    // From here on the heap must not be used.
    for address in &records[..count] {
        let words = ptr::with_exposed_provenance_mut::<u64>(*address);
        for word in 0..PAGE / size_of::<u64>() {
            // SAFETY: none: memory that is the heap's is overwritten on purpose. It is mapped, and the kernel soon ends.
            unsafe { words.add(word).write_volatile(BAD) };
        }
    }
}

/// Allocates a region, so that there is a record of it.
fn allocate_region() {
    let layout = Layout::from_size_align(1 << 20, PAGE).expect("a valid layout");
    // SAFETY: the size is not zero.
    assert!(!unsafe { alloc(layout) }.is_null());
}

pub(super) fn fault_with_broken_region_records() {
    allocate_region();
    overwrite_records();
    provoke(Fault::PageFault);
}

pub(super) fn wrong_free_with_broken_region_records() {
    allocate_region();
    let layout = Layout::new::<[u64; 128]>();
    // The last object of a block: what stands behind it is looked up among the regions too.
    let is_last = |object: &*mut u8| (object.addr() + layout.size()).is_multiple_of(BLOCK_SIZE);
    // SAFETY: the size is not zero.
    let mut objects = core::iter::repeat_with(|| unsafe { alloc(layout) });
    let object = objects.find(is_last).expect("there is no end of objects");
    overwrite_records();
    // SAFETY: none: it breaks the contract on purpose.
    unsafe { dealloc(object.wrapping_add(8), layout) };
}

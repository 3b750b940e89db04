// The heap of a tutorial kernel and its tests, as the posts "Heap Allocation" and "Allocator Designs" of the blog "Writing
// an OS in Rust" have them: 100 KiB at a fixed address, the allocator behind the name `LockedHeap`. The file that includes
// this one says whose `LockedHeap` it is, and that is all there is to moving over.
//
// In place of the kernel's page tables, the host maps the pages; in place of its test runner, `main` calls the tests. It is
// C's `main`, because the heap has to be there before Rust's runtime allocates.

/// Where the heap begins.
const HEAP_START: usize = 0x_4444_4444_0000;

/// Its size in bytes: 100 KiB.
const HEAP_SIZE: usize = 100 * 1024;

/// The heap.
#[global_allocator]
static ALLOCATOR: LockedHeap = LockedHeap::empty();

/// Maps the heap's pages and gives them to the allocator.
fn init_heap() {
    map_pages(HEAP_START, HEAP_SIZE);
    // SAFETY: the pages were just mapped, for good, and belong to nobody else.
    unsafe { ALLOCATOR.lock().init(HEAP_START as *mut u8, HEAP_SIZE) };
}

/// Maps `size` bytes at the address `start`.
fn map_pages(start: usize, size: usize) {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: nothing is mapped over: `MAP_FIXED_NOREPLACE` fails instead.
    let pages = unsafe { libc::mmap(start as *mut libc::c_void, size, protection, flags, -1, 0) };
    assert_eq!(pages.addr(), start, "the host has the address free");
}

/// A few values in boxes.
fn simple_allocation() {
    let first = Box::new(41);
    let second = Box::new(13);
    assert_eq!((*first, *second), (41, 13));
}

/// A vector that grows many times, each time into another place.
fn large_vec() {
    let count = 1000;
    let mut numbers = Vec::new();
    for number in 0..count {
        numbers.push(number);
    }
    assert_eq!(numbers.iter().sum::<u64>(), (count - 1) * count / 2);
}

/// As many boxes as the heap has bytes, one after the other: freed memory must come back.
fn many_boxes() {
    for number in 0..HEAP_SIZE {
        let boxed = Box::new(number);
        assert_eq!(*boxed, number);
    }
}

/// The same, while an older box lives on.
fn many_boxes_long_lived() {
    let long_lived = Box::new(1);
    for number in 0..HEAP_SIZE {
        let boxed = Box::new(number);
        assert_eq!(*boxed, number);
    }
    assert_eq!(*long_lived, 1);
}

/// A test and its name.
type Test = (&'static str, fn());

/// All tests.
const TESTS: [Test; 4] = [
    ("simple_allocation", simple_allocation),
    ("large_vec", large_vec),
    ("many_boxes", many_boxes),
    ("many_boxes_long_lived", many_boxes_long_lived),
];

/// Runs the tests. One that fails panics, which ends the program with another code.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    init_heap();
    println!("running {} tests", TESTS.len());
    for (name, test) in TESTS {
        test();
        println!("test {name} ... ok");
    }
    println!("test result: ok. {} passed; 0 failed; 0 ignored", TESTS.len());
    0
}

//! The heap as the `malloc` of programs that are there already, without building them anew:
//!
//! ```text
//! cargo build --release -p stack_alloc --example malloc
//! LD_PRELOAD=target/release/examples/libmalloc.so sort words.txt
//! ```
//!
//! Every allocation of the program is then one of [`Allocator`]'s, over memory from `mmap`. A wrong free is one line on
//! standard error, and the end of the program. Two environment variables are read when it exits:
//!
//! - `STACK_ALLOC_MALLOC_CHECK=1`: the heap is checked, and the program aborted if it is not sound;
//! - `STACK_ALLOC_MALLOC_STATISTICS=FILE`: a line of numbers is added to that file.
//!
//! Programs may have threads, and may fork (see `process_lock.rs`). A signal handler must not allocate, as ever in C.
//!
//! C's `free` does not say a size, and this heap wants one, so each object begins with a header:
//!
//! ```text
//!   ┌──────────────┬──────┬────────┬─────────────────────┐
//!   │ (alignment)  │ size │ offset │ the program's bytes │
//!   └──────────────┴──────┴────────┴─────────────────────┘
//!   │                     16 bytes ▲
//!   └───────── offset ─────────────┘ what `malloc` returns
//! ```
//!
//! The offset is the alignment asked for, and at least 16. (`Allocator::what_is` finds the object of an address too, and
//! without a header; but it takes the lock, and it knows the size of the chunk and not the one asked for. Sixteen bytes
//! are simpler.)
//!
//! Nothing here may allocate: there is nobody else to ask. So this is `no_std`; `std` is linked for its panic handler alone.
#![cfg(target_os = "linux")]
#![no_std]

extern crate std;

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::{c_int, c_void};
use core::ptr;

use stack_alloc::{Allocator, PAGE_SIZE};

use line::Line;
use mmap::Mmap;
use process_lock::ProcessLock;

#[path = "malloc/life.rs"]
mod life;
#[path = "malloc/line.rs"]
mod line;
#[path = "malloc/mapping.rs"]
mod mapping;
#[path = "malloc/mmap.rs"]
mod mmap;
#[path = "malloc/process_lock.rs"]
mod process_lock;

/// The program's heap.
static HEAP: Allocator<Mmap, ProcessLock> = Allocator::new(Mmap);

/// What stands in front of each object.
///
/// # Invariants
///
/// The object begins `offset` bytes before the program's, and was allocated with [`Header::layout`].
#[derive(Clone, Copy)]
#[repr(C)]
struct Header {
    /// Bytes that the program asked for.
    size: usize,
    /// Bytes from the start of the object to the program's: its alignment.
    offset: usize,
}

/// Bytes of a header, and the least alignment: C promises one that suits every ordinary type.
const HEADER: usize = size_of::<Header>();

const _: () = assert!(HEADER == 16, "what follows a header is aligned to 16 bytes");

impl Header {
    /// Creates the header of `size` bytes aligned to `align`, a power of two.
    fn new(size: usize, align: usize) -> Self {
        Self {
            size,
            offset: align.max(HEADER),
        }
    }

    /// Returns the layout of the whole object. `None` when there is no such object.
    fn layout(self) -> Option<Layout> {
        let size = self.size.checked_add(self.offset)?;
        Layout::from_size_align(size, self.offset).ok()
    }

    /// Writes the header into the object at `start`, and returns what the program gets.
    ///
    /// # Safety
    ///
    /// `start` is that of a live object with [`Header::layout`].
    unsafe fn write(self, start: *mut u8) -> *mut c_void {
        // SAFETY: the object has `offset` bytes, and then as many as the program's.
        let pointer = unsafe { start.add(self.offset) };
        // SAFETY: `offset` is at least a header's size.
        let header = unsafe { pointer.sub(HEADER) }.cast::<Self>();
        // SAFETY: the header lies in the object, and is aligned: `offset` is a multiple of its size.
        unsafe { header.write(self) };
        pointer.cast()
    }

    /// Reads the header in front of the program's `pointer`. Returns it with the object's start and layout.
    ///
    /// What `malloc` has not returned has no header. Then, often enough, what is read is none either, and the program ends
    /// here; or the heap finds out that there is no such object.
    ///
    /// # Safety
    ///
    /// The 16 bytes before `pointer` can be read.
    unsafe fn read(pointer: *mut c_void) -> (Self, *mut u8, Layout) {
        let header = pointer.cast::<Self>().wrapping_sub(1);
        if !header.is_aligned() {
            life::end_for_a_wrong_pointer(pointer);
        }
        // SAFETY: it is aligned, and the caller's promise is that it can be read.
        let header = unsafe { header.read() };
        match header.layout() {
            Some(layout) if header.offset >= HEADER => {
                let start = pointer.cast::<u8>().wrapping_sub(header.offset);
                (header, start, layout)
            }
            _ => life::end_for_a_wrong_pointer(pointer),
        }
    }
}

/// Returns where C's `errno` of the calling thread is.
fn errno_place() -> *mut c_int {
    // SAFETY: the C library has a place for it on every thread.
    unsafe { libc::__errno_location() }
}

/// Returns C's `errno`.
fn errno() -> c_int {
    // SAFETY: the place is the calling thread's, and lasts as long as it.
    unsafe { errno_place().read() }
}

/// Sets C's `errno`.
fn set_errno(error: c_int) {
    // SAFETY: the place is the calling thread's, and lasts as long as it.
    unsafe { errno_place().write(error) };
}

/// Says why there is no memory, and returns null.
fn refuse(error: c_int) -> *mut c_void {
    set_errno(error);
    ptr::null_mut()
}

/// Allocates `size` bytes aligned to `align`, a power of two. Null when there is no memory, with `errno` set.
fn allocate(size: usize, align: usize) -> *mut c_void {
    // SAFETY: a header makes every layout one with a size.
    allocate_by(size, align, |layout| unsafe { HEAP.alloc(layout) })
}

/// Allocates in the way that `allocate` does, which gets a layout that is not empty.
fn allocate_by(size: usize, align: usize, allocate: impl FnOnce(Layout) -> *mut u8) -> *mut c_void {
    let header = Header::new(size, align);
    let Some(layout) = header.layout() else {
        return refuse(libc::ENOMEM);
    };
    let start = allocate(layout);
    if start.is_null() {
        return refuse(libc::ENOMEM);
    }
    // SAFETY: the object was just allocated with the header's layout.
    unsafe { header.write(start) }
}

/// C's `malloc`: `size` bytes aligned to 16. Null when there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    allocate(size, HEADER)
}

/// C's `calloc`: `count * size` bytes that are 0. Null when there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(size) = count.checked_mul(size) else {
        return refuse(libc::ENOMEM);
    };
    // SAFETY: a header makes every layout one with a size.
    allocate_by(size, HEADER, |layout| unsafe { HEAP.alloc_zeroed(layout) })
}

/// C's `free`. Leaves `errno` as it is.
///
/// # Safety
///
/// `pointer` is null, or came from one of the functions here and was not given back since.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(pointer: *mut c_void) {
    if pointer.is_null() {
        return;
    }
    let errno = errno();
    // SAFETY: the caller's promise: what is here comes with a header.
    let (_, start, layout) = unsafe { Header::read(pointer) };
    // SAFETY: the object was allocated with its header's layout (invariant), and the caller gives it up.
    unsafe { HEAP.dealloc(start, layout) };
    set_errno(errno);
}

/// C's `realloc`. A size of 0 frees, and returns null.
///
/// # Safety
///
/// `pointer` is null, or came from one of the functions here and was not given back since. It must not be used any more,
/// unless the answer is null and `size` is not 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(pointer: *mut c_void, size: usize) -> *mut c_void {
    if pointer.is_null() {
        return malloc(size);
    }
    if size == 0 {
        // SAFETY: the caller's promise.
        unsafe { free(pointer) };
        return ptr::null_mut();
    }
    // SAFETY: the caller's promise: what is here comes with a header.
    let (header, start, layout) = unsafe { Header::read(pointer) };
    let header = Header { size, ..header };
    let Some(new_layout) = header.layout() else {
        return refuse(libc::ENOMEM);
    };
    // SAFETY: the object was allocated with its header's layout (invariant); the new size is that of a layout with the
    // same alignment, and not 0.
    let start = unsafe { HEAP.realloc(start, layout, new_layout.size()) };
    if start.is_null() {
        return refuse(libc::ENOMEM);
    }
    // SAFETY: the object has the new header's layout now.
    unsafe { header.write(start) }
}

/// BSD's and glibc's `reallocarray`: `realloc` to `count * size` bytes.
///
/// # Safety
///
/// That of [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(
    pointer: *mut c_void,
    count: usize,
    size: usize,
) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: the caller's promise.
        Some(size) => unsafe { realloc(pointer, size) },
        None => refuse(libc::ENOMEM),
    }
}

/// C's `aligned_alloc`: `size` bytes aligned to `align`. Null when that is no power of two, or there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if align.is_power_of_two() {
        allocate(size, align)
    } else {
        refuse(libc::EINVAL)
    }
}

/// The older `memalign`, which takes the next power of two for an alignment that is none.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => allocate(size, align),
        None => refuse(libc::EINVAL),
    }
}

/// POSIX' `posix_memalign`: writes the pointer to `result` and returns 0, or returns the error.
///
/// # Safety
///
/// `result` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(
    result: *mut *mut c_void,
    align: usize,
    size: usize,
) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut c_void>() {
        return libc::EINVAL;
    }
    let pointer = allocate(size, align);
    if pointer.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's promise.
    unsafe { result.write(pointer) };
    0
}

/// The older `valloc`: `size` bytes aligned to a page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    allocate(size, PAGE_SIZE)
}

/// The older `pvalloc`: whole pages, of at least `size` bytes.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    match size.checked_next_multiple_of(PAGE_SIZE) {
        Some(size) => allocate(size, PAGE_SIZE),
        None => refuse(libc::ENOMEM),
    }
}

/// glibc's `malloc_usable_size`: how many bytes of an object the program may use. Here, as many as it asked for.
///
/// # Safety
///
/// `pointer` is null, or came from one of the functions here and was not given back since.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(pointer: *mut c_void) -> usize {
    if pointer.is_null() {
        return 0;
    }
    // SAFETY: the caller's promise: what is here comes with a header.
    let (header, _, _) = unsafe { Header::read(pointer) };
    header.size
}

/// Ends the program with a line on standard error.
fn die(sentence: core::fmt::Arguments<'_>) -> ! {
    Line::new(format_args!("stack_alloc malloc: {sentence}")).write_to(libc::STDERR_FILENO);
    // SAFETY: it may be called at any time.
    unsafe { libc::abort() }
}

//! What happens when the program begins, when it exits, and when it goes wrong.

use core::ffi::{CStr, c_char, c_void};

use stack_alloc::Misuse;

use crate::line::Line;
use crate::process_lock::outlive_forks;
use crate::{HEAP, die};

/// Called by the loader before the program's `main`, perhaps after the first allocations.
#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin;

/// Called by the C library when the program exits.
#[used]
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = end;

unsafe extern "C" {
    /// The program's name without its directory: a place that glibc fills before it calls anybody.
    static program_invocation_short_name: *const c_char;
}

/// Sets up what the heap cannot be created with.
extern "C" fn begin() {
    HEAP.set_misuse_handler(end_for_misuse);
    outlive_forks();
}

/// Checks the heap and writes its numbers down, where the environment asks for it.
extern "C" fn end() {
    if variable(c"STACK_ALLOC_MALLOC_CHECK") == Some(c"1") {
        if let Err(corruption) = HEAP.check() {
            die(format_args!("{corruption}"));
        }
    }
    if let Some(file) = variable(c"STACK_ALLOC_MALLOC_STATISTICS") {
        append_statistics(file);
    }
}

/// Ends the program after a wrong free.
fn end_for_misuse(misuse: Misuse) {
    die(format_args!("{misuse}"));
}

/// Ends the program after `pointer`, which has no header, was given back.
pub(crate) fn end_for_a_wrong_pointer(pointer: *mut c_void) -> ! {
    die(format_args!(
        "wrong free of {pointer:p}: malloc has not returned this pointer"
    ))
}

/// Returns an environment variable.
fn variable(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: the name ends with a zero; nobody changes the environment while the program begins or exits.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: what is not null is a text that ends with a zero and stays until the variable is changed.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

/// Adds a line with the heap's numbers to `file`: `sort allocations=12 frees=3 failures=0 bytes_held_peak=524288`.
fn append_statistics(file: &CStr) {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC;
    // SAFETY: the name ends with a zero.
    let descriptor = unsafe { libc::open(file.as_ptr(), flags, 0o644) };
    if descriptor < 0 {
        die(format_args!("there is no file {file:?} to write to"));
    }
    let statistics = HEAP.statistics();
    Line::new(format_args!(
        "{} allocations={} frees={} failures={} bytes_held_peak={}",
        program_name(),
        statistics.allocations(),
        statistics.frees(),
        statistics.failures,
        statistics.bytes_held_peak,
    ))
    .write_to(descriptor);
    // SAFETY: it was just opened here.
    unsafe { libc::close(descriptor) };
}

/// Returns the program's name, without its directory.
fn program_name() -> &'static str {
    // SAFETY: glibc sets it before it calls `begin`, and the program does not change it while it exits.
    let name = unsafe { program_invocation_short_name };
    // SAFETY: it is a text that ends with a zero, and stays.
    let name = unsafe { CStr::from_ptr(name) };
    name.to_str().unwrap_or("?")
}

//! A context: the registers that a call must preserve, saved on the context's own call stack. Leaving one and taking another up
//! is a call that returns somewhere else.
//!
//! ```text
//!            a task that does not run               one that has not run yet
//!  higher    what it was doing                      the function to call
//!            return address                         `enter`
//!            rbp rbx r12 r13 r14 r15                0, what comes first, the function's place, its caller, what comes last, 0
//!  lower     ▲ saved stack pointer                  ▲ saved stack pointer
//! ```
//!
//! Everything else is the caller's to save: the kernel uses neither floating-point nor vector registers, and a task that was
//! interrupted has all its registers in the frame of the interrupt's handler. A switch happens with interrupts masked, so the
//! flags need not be saved; a new task enables them itself. Nothing of a context belongs to a CPU: it is taken up by any.

use core::arch::naked_asm;

use crate::memory::guarded_stack::GuardedStack;
use crate::memory::pointer::pointer_to;

/// The registers that [`switch`] saves, and the address it returns to, from lower to higher addresses.
#[repr(C)]
#[derive(Debug)]
struct Saved {
    /// Preserved by calls.
    r15: u64,
    /// Preserved by calls; in a new task, what to call behind the function.
    r14: u64,
    /// Preserved by calls; in a new task, what calls the function.
    r13: u64,
    /// Preserved by calls; in a new task, where the function lies.
    r12: u64,
    /// Preserved by calls; in a new task, what to call first.
    rbx: u64,
    /// The frame pointer: 0 ends the backtrace of a new task.
    rbp: u64,
    /// Where the context goes on.
    return_address: u64,
}

/// Bytes that a call stack is aligned to at a call.
const ALIGNMENT: u64 = 16;

/// Makes the context of a task at the top of `stack`, and returns its saved stack pointer. It calls `begin` with interrupts masked,
/// and then, with interrupts enabled, `function` and `finish`.
///
/// `function` fits half of the stack, and is aligned to a page at most.
pub(super) fn prepare<F: FnOnce() + Send + 'static>(
    stack: &GuardedStack,
    function: F,
    begin: extern "C" fn(),
    finish: extern "C" fn() -> !,
) -> u64 {
    let addresses = stack.addresses();
    let size = size_of::<F>() as u64;
    debug_assert!(
        size <= (addresses.end - addresses.start) / 2 && align_of::<F>() <= 4096,
        "what a task runs fits its stack"
    );
    let alignment = ALIGNMENT.max(align_of::<F>() as u64);
    let place = (addresses.end - size) / alignment * alignment;
    // Right behind `Saved` is where `enter` makes its calls: aligned, because `place` is.
    let saved = place - size_of::<Saved>() as u64;
    let context = Saved {
        r15: 0,
        r14: finish as *const () as u64,
        r13: call::<F> as *const () as u64,
        r12: place,
        rbx: begin as *const () as u64,
        rbp: 0,
        return_address: enter as *const () as u64,
    };
    // SAFETY: the place lies in the stack, which is mapped, writable, and used by nobody before the task runs; it is aligned.
    unsafe { pointer_to::<F>(place).write(function) };
    // SAFETY: the same, below the function.
    unsafe { pointer_to::<Saved>(saved).write(context) };
    saved
}

/// Calls the function that was put at `function`, once.
///
/// # Safety
///
/// A valid `F` is there, which nobody else uses, now or later.
unsafe extern "C" fn call<F: FnOnce()>(function: *mut F) {
    // SAFETY: the caller's promise: it is moved out here, and not used there again.
    let function = unsafe { function.read() };
    function();
}

/// Where a new task begins: calls `rbx`, then, with interrupts enabled, `r13` with `r12`, then `r14`.
///
/// # Safety
///
/// It is returned to by [`switch`], with registers as [`prepare`] has put them.
#[unsafe(naked)]
unsafe extern "C" fn enter() {
    naked_asm!(
        "call rbx",
        "mov rdi, r12",
        "sti",
        "call r13",
        "call r14",
        "ud2"
    )
}

/// Saves the running context's stack pointer at `from`, and takes the context up that was saved as `to`. Returns when somebody
/// switches back.
///
/// # Safety
///
/// 1. Interrupts are masked, and no lock is held that the other context may want.
/// 2. `to` was saved by this function, or made by [`prepare`], and not taken up since, by any CPU; its stack is still there.
/// 3. `from` is valid for writes, and nobody reads it before the switch is done: not before the other context has said so.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn switch(from: *mut u64, to: u64) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

//! The end of the kernel: a panic, or an exception it cannot go on from. Says what happened, where, and how it came there.
//!
//! Nothing here allocates, waits for a lock, or trusts more than it must. A failure while reporting a failure is reported
//! shortly; one more just ends the run.

use core::arch::asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use spin::Once;
use x86_64::instructions::interrupts;
use x86_64::registers::rflags;

use crate::backtrace::Backtrace;
use crate::console::Emergency;
use crate::exception::Exception;
use crate::failure_context::FailureContext;
use crate::interrupts::handling;
use crate::protocol::Exit;
use crate::registers::Flags;
use crate::{lookup, out_of_memory, qemu, screen, tasks};

/// What went wrong. Displays as the report, in whole lines, without the backtrace.
#[derive(Clone, Copy, Debug)]
pub enum Failure<'a> {
    /// The code noticed.
    Panic(&'a Panic<'a>),
    /// The CPU noticed.
    Exception(&'a Exception),
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(panic) => panic.fmt(f),
            Self::Exception(exception) => exception.fmt(f),
        }
    }
}

/// A panic, and where the CPU was.
#[derive(Clone, Copy, Debug)]
pub struct Panic<'a> {
    /// What the code says.
    pub info: &'a PanicInfo<'a>,
    /// Who was running.
    pub context: FailureContext,
    /// The stack pointer in the panic handler.
    pub stack_pointer: u64,
    /// The flags there.
    pub flags: u64,
}

impl fmt::Display for Panic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "panicked at {}", PanicLine(self.info))?;
        writeln!(f, "  {}", self.context)?;
        let (stack_pointer, flags) = (self.stack_pointer, Flags(self.flags));
        writeln!(f, "  RSP {stack_pointer:016x}   RFLAGS {flags}")
    }
}

/// A panic as `file:line:column: message`.
#[derive(Clone, Copy, Debug)]
pub struct PanicLine<'a>(pub &'a PanicInfo<'a>);

impl fmt::Display for PanicLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = self.0.location() {
            // The library's package lies beside its sources: the compiler knows them by a detour.
            let parts = location.file().split("library/../");
            parts.into_iter().try_for_each(|part| f.write_str(part))?;
            write!(f, ":{}:{}: ", location.line(), location.column())?;
        }
        write!(f, "{}", self.0.message())
    }
}

/// Somebody who wants to know of a failure: the test runner.
#[derive(Clone, Copy, Debug)]
pub struct Observer {
    /// Called before the report is printed.
    pub before: fn(&Failure<'_>, &mut Emergency),
    /// Called behind it; says how to leave.
    pub after: fn(&Failure<'_>, &mut Emergency) -> Exit,
}

/// The observer, if there is one.
static OBSERVER: Once<Observer> = Once::new();

/// How many failures were met.
static FAILURES: AtomicUsize = AtomicUsize::new(0);

/// Sets the observer; the first one stays.
pub fn observe(observer: Observer) {
    OBSERVER.call_once(|| observer);
}

/// Reports a failure and leaves.
pub fn report(failure: Failure<'_>, backtrace: Backtrace) -> ! {
    interrupts::disable();
    let mut console = Emergency::take();
    let exit = match FAILURES.fetch_add(1, Ordering::Relaxed) {
        0 => report_first(&failure, backtrace, &mut console),
        1 => report_second(&failure, &mut console),
        _ => Exit::Panicked,
    };
    qemu::exit(exit)
}

/// Reports in full.
fn report_first(failure: &Failure<'_>, backtrace: Backtrace, console: &mut Emergency) -> Exit {
    // Writing to the emergency console does not fail; if a message's `Display` does, the rest is still wanted.
    let _ = writeln!(console);
    if let Some(observer) = OBSERVER.get() {
        (observer.before)(failure, console);
    }
    let _ = write_report(console, failure, backtrace);
    // The screen comes last: should drawing fail too, the report is out.
    if let Some(mut panel) = screen::take_panel() {
        let _ = write_report(&mut panel, failure, backtrace);
    }
    OBSERVER.get().map_or(Exit::Panicked, |observer| {
        (observer.after)(failure, console)
    })
}

/// Writes the report.
fn write_report(out: &mut dyn Write, failure: &Failure<'_>, backtrace: Backtrace) -> fmt::Result {
    write!(out, "{failure}")?;
    let unreported = out_of_memory::unreported();
    if unreported > 0 {
        writeln!(
            out,
            "  {unreported} more requests for memory were answered with null since the last report of that"
        )?;
    }
    write!(out, "backtrace:\n{backtrace}")
}

/// Reports a failure of the report.
fn report_second(failure: &Failure<'_>, console: &mut Emergency) -> Exit {
    let _ = writeln!(console, "\nfailed again while reporting: {failure}");
    OBSERVER.get().map_or(Exit::Panicked, |observer| {
        (observer.after)(failure, console)
    })
}

/// Returns who is running, given the stack pointer of what failed.
pub fn context(stack_pointer: u64) -> FailureContext {
    FailureContext {
        handler: handling::current(),
        task: tasks::running_name(),
        stack: lookup::whereabouts(stack_pointer),
    }
}

/// Panics come here.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // First of all: what follows changes it.
    let flags = rflags::read_raw();
    let stack_pointer = stack_pointer();
    let panic = Panic {
        info,
        context: context(stack_pointer),
        stack_pointer,
        flags,
    };
    report(Failure::Panic(&panic), Backtrace::here())
}

/// Reads the stack pointer.
#[inline(always)]
fn stack_pointer() -> u64 {
    let value;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rsp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

//! The end of the kernel: a panic, or an exception it cannot go on from. Says what happened, where, and how it came there.
//!
//! Nothing here allocates, waits for a lock, or trusts more than it must. A failure while reporting a failure is reported
//! shortly; one more just ends the run.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};

use spin::Once;
use x86_64::instructions::interrupts;

use crate::backtrace::Backtrace;
use crate::console::Emergency;
use crate::exception::Exception;
use crate::protocol::Exit;
use crate::qemu;

/// What went wrong. Displays as the report, without the backtrace.
#[derive(Clone, Copy, Debug)]
pub enum Failure<'a> {
    /// The code noticed.
    Panic(&'a PanicInfo<'a>),
    /// The CPU noticed.
    Exception(&'a Exception),
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(info) => write!(f, "panicked at {}", PanicLine(info)),
            Self::Exception(exception) => exception.fmt(f),
        }
    }
}

/// A panic as `file:line:column: message`.
#[derive(Clone, Copy, Debug)]
pub struct PanicLine<'a>(pub &'a PanicInfo<'a>);

impl fmt::Display for PanicLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = self.0.location() {
            write!(f, "{location}: ")?;
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
    let _ = write!(console, "{failure}\nbacktrace:\n{backtrace}");
    OBSERVER.get().map_or(Exit::Panicked, |observer| {
        (observer.after)(failure, console)
    })
}

/// Reports a failure of the report.
fn report_second(failure: &Failure<'_>, console: &mut Emergency) -> Exit {
    let _ = writeln!(console, "\nfailed again while reporting: {failure}");
    OBSERVER.get().map_or(Exit::Panicked, |observer| {
        (observer.after)(failure, console)
    })
}

/// Panics come here.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    report(Failure::Panic(info), Backtrace::here())
}

//! The end of the kernel: a panic, or an exception it cannot go on from. Says what happened, where, and how it came there.
//!
//! Nothing here allocates, waits for a lock, or trusts more than it must. What the CPU said comes first, then who called whom,
//! and last of all what the heap knows: that is read from memory which may be what is broken.
//!
//! Other CPUs are stopped before anything else is done about a failure; where two fail at once, one reports and the other stops.
//!
//! A failure is counted before anything else is done about it, so that a failure while reporting a failure is known to be one:
//! it is reported with the name of the first; one more just ends the run.

use core::arch::asm;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use spin::Once;
use x86_64::registers::rflags;

use crate::backtrace::Backtrace;
use crate::console::Emergency;
use crate::exception::{Exception, HeapPointers, name_and_meaning};
use crate::failure_context::FailureContext;
use crate::interrupts::handling;
use crate::protocol::Exit;
use crate::registers::Flags;
use crate::{cpu, lookup, out_of_memory, qemu, screen, tasks};

/// What went wrong. Displays as the first part of the report, in whole lines, without the backtrace.
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
    /// Called with each piece of the report when it is out.
    pub reported: fn(&str),
    /// Called behind the report; says how to leave.
    pub after: fn(&Failure<'_>, &mut Emergency) -> Exit,
}

/// The observer, if there is one.
static OBSERVER: Once<Observer> = Once::new();

/// How many failures were met.
static FAILURES: AtomicUsize = AtomicUsize::new(0);

/// The first failure: its vector, if it was an exception; else [`PANIC`].
static FIRST_VECTOR: AtomicU8 = AtomicU8::new(PANIC);

/// The first failure: the instruction, if it was an exception.
static FIRST_INSTRUCTION: AtomicU64 = AtomicU64::new(0);

/// Stands for the vector of a panic; no exception has it.
const PANIC: u8 = u8::MAX;

/// Returns whether a failure was met: all that is still done is to report it.
#[must_use]
pub fn has_begun() -> bool {
    FAILURES.load(Ordering::Relaxed) > 0
}

/// Sets the observer; the first one stays.
pub fn observe(observer: Observer) {
    OBSERVER.call_once(|| observer);
}

/// A failure in short: what is remembered of it while it is reported. Displays as a part of a sentence.
#[derive(Clone, Copy, Debug)]
pub enum Summary {
    /// A panic. Its place is what its report begins with.
    Panic,
    /// An exception.
    Exception {
        /// Its vector.
        vector: u8,
        /// The interrupted instruction.
        instruction_pointer: u64,
    },
}

impl Summary {
    /// Keeps the first failure.
    fn keep(self) {
        if let Self::Exception {
            vector,
            instruction_pointer,
        } = self
        {
            FIRST_INSTRUCTION.store(instruction_pointer, Ordering::Relaxed);
            FIRST_VECTOR.store(vector, Ordering::Relaxed);
        }
    }

    /// Returns the first failure.
    fn kept() -> Self {
        match FIRST_VECTOR.load(Ordering::Relaxed) {
            PANIC => Self::Panic,
            vector => Self::Exception {
                vector,
                instruction_pointer: FIRST_INSTRUCTION.load(Ordering::Relaxed),
            },
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Panic => f.write_str("the panic"),
            Self::Exception {
                vector,
                instruction_pointer,
            } => {
                let (name, _) = name_and_meaning(vector);
                write!(
                    f,
                    "the {name} (exception {vector}) at {instruction_pointer:#018x}"
                )
            }
        }
    }
}

/// A failure that has been counted, and is to be reported. There is no way back.
#[derive(Debug)]
#[must_use = "the kernel cannot go on"]
pub struct Reporting {
    /// There was none before.
    is_first: bool,
}

/// Masks interrupts, stops all other CPUs and counts a failure: the first thing to be done about one, before anything is looked at.
/// Does not return if the report of a failure of a report has failed, or if another CPU reports one: this one stops then.
pub fn begin(what: Summary) -> Reporting {
    cpu::stop::all_others();
    let before = FAILURES.fetch_add(1, Ordering::Relaxed);
    match before {
        0 => what.keep(),
        1 => {}
        _ => qemu::exit(Exit::Panicked),
    }
    Reporting {
        is_first: before == 0,
    }
}

impl Reporting {
    /// Reports the failure and leaves.
    pub fn finish(self, failure: &Failure<'_>, backtrace: Backtrace) -> ! {
        // SAFETY: `begin` has masked interrupts and stopped the other CPUs, and nobody lets them go on; all that is printed from
        // here on goes there.
        let mut console = unsafe { Emergency::take() };
        // Writing to the emergency console does not fail; if a message's `Display` does, the rest is still wanted.
        if self.is_first {
            report_first(&mut Observed(&mut console), failure, backtrace);
        } else {
            let out = &mut Observed(&mut console);
            let first = Summary::kept();
            let _ = write!(out, "\nfailed again while reporting {first}: {failure}");
            let _ = write!(out, "backtrace:\n{backtrace}");
        }
        let exit = OBSERVER.get().map_or(Exit::Panicked, |observer| {
            (observer.after)(failure, &mut console)
        });
        qemu::exit(exit)
    }
}

/// Reports in full: first what is certain, on the serial console and then on the screen, which is more that could fail; then
/// what the heap knows.
fn report_first(console: &mut dyn Write, failure: &Failure<'_>, backtrace: Backtrace) {
    let _ = writeln!(console);
    let _ = write_report(console, failure, backtrace);
    let mut panel = screen::take_panel();
    if let Some(panel) = &mut panel {
        let _ = write_report(panel, failure, backtrace);
    }
    if let Failure::Exception(exception) = failure {
        let pointers = HeapPointers::find(exception, lookup::places);
        let _ = write!(console, "{pointers}");
        if let Some(panel) = &mut panel {
            let _ = write!(panel, "{pointers}");
        }
    }
}

/// Writes the part of the report that is certain.
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

/// The console, for a report that the observer hears too.
struct Observed<'a>(&'a mut Emergency);

impl Write for Observed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let written = self.0.write_str(text);
        if let Some(observer) = OBSERVER.get() {
            (observer.reported)(text);
        }
        written
    }
}

/// Returns who is running, given the stack pointer of what failed.
pub fn context(stack_pointer: u64) -> FailureContext {
    FailureContext {
        cpu: (cpu::count() > 1).then(cpu::current),
        handler: handling::current(),
        task: tasks::running_name(),
        stack: lookup::outside_the_heap(stack_pointer),
    }
}

/// Panics come here.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // What follows changes it.
    let flags = rflags::read_raw();
    // Then interrupts are masked: a tick would have another task run, and go on with whatever is wrong.
    let reporting = begin(Summary::Panic);
    let stack_pointer = stack_pointer();
    let panic = Panic {
        info,
        context: context(stack_pointer),
        stack_pointer,
        flags,
    };
    reporting.finish(&Failure::Panic(&panic), Backtrace::here())
}

/// Reads the stack pointer.
#[inline(always)]
fn stack_pointer() -> u64 {
    let value;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, rsp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

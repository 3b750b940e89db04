//! The test runner inside the kernel: runs a list of tests and tells the runner outside, in the lines of
//! [`protocol`](crate::protocol).
//!
//! A test is a function; it fails by panicking. A panic ends the kernel, so a failed test ends the boot: the runner outside
//! starts a new one behind it. After each ordinary test the heap must pass its own check.
//!
//! Lists are made with [`tests!`](crate::tests), one a module, and written down in one place: a test that is forgotten is
//! dead code, and the compiler warns of it.

use core::fmt::{self, Write};

use lock_api::Mutex;

use crate::arguments::{self, Arguments, Mode};
use crate::console::Emergency;
use crate::failure::{self, Failure, Observer, PanicLine};
use crate::lock::{MaskingLock, named_lock};
use crate::memory::heap_check;
use crate::protocol::{ARGUMENTS_FILE, Exit};
use crate::{cpu, println, qemu};

/// A test.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// Its name, with the module's: `heap::box_holds_its_value`.
    pub name: &'static str,
    /// How it runs and should end.
    pub kind: Kind,
    /// How many CPUs it needs at least: a machine with fewer has no such test.
    pub cpus: usize,
    /// What it does.
    pub body: fn(),
}

/// How a test runs, and how it should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs in one boot with others, and returns.
    Ordinary,
    /// Runs alone in a boot, and returns.
    Alone,
    /// Runs alone, and panics with a report that has these texts, one behind the other.
    Panics(&'static [&'static str]),
    /// Runs alone, and meets an exception whose report has these texts, one behind the other.
    Faults(&'static [&'static str]),
}

impl Test {
    /// Returns whether this machine has as many CPUs as the test needs.
    #[must_use]
    pub fn has_its_machine(&self) -> bool {
        self.cpus <= cpu::count()
    }
}

/// Makes the list of a module's tests: `tests! { "module"; test, test => Alone, test => Panics("text", "text") }`, or, where all of
/// them need two CPUs, `tests! { "module" on 2 cpus; test, … }`.
#[macro_export]
macro_rules! tests {
    ($module:literal; $($tests:tt)+) => { $crate::tests!(@list $module, 1; $($tests)+) };
    ($module:literal on $cpus:literal cpus; $($tests:tt)+) => { $crate::tests!(@list $module, $cpus; $($tests)+) };
    (@list $module:literal, $cpus:literal; $($name:ident $(=> $kind:ident $(($($text:literal),+ $(,)?))?)?),+ $(,)?) => {
        &[$($crate::testing::Test {
            name: ::core::concat!($module, "::", ::core::stringify!($name)),
            kind: $crate::tests!(@kind $($kind $(($($text),+))?)?),
            cpus: $cpus,
            body: $name,
        }),+]
    };
    (@kind) => { $crate::testing::Kind::Ordinary };
    (@kind $kind:ident $(($($text:literal),+))?) => { $crate::testing::Kind::$kind $((&[$($text),+]))? };
}

named_lock!(RunningLock, "the test runner's lock");

/// The test that is running.
static RUNNING: Mutex<MaskingLock<RunningLock>, Option<&'static Test>> = Mutex::new(None);

/// Does what the arguments of this boot say with these tests, and leaves.
pub fn run(groups: &'static [&'static [Test]]) -> ! {
    failure::observe(Observer {
        reported: remember_report,
        after: print_verdict,
    });
    let mut buffer = [0; arguments::MOST_BYTES];
    let arguments =
        Arguments::new(qemu::read_file(ARGUMENTS_FILE, &mut buffer).unwrap_or_default());
    let tests = || {
        let tests = groups.iter().copied().flatten();
        tests.filter(|test| test.has_its_machine())
    };
    match arguments.mode() {
        Mode::List => print_plan(tests(), arguments),
        Mode::Isolated => match tests().find(|test| arguments.only() == Some(test.name)) {
            Some(test) => run_test(test),
            None => panic!(
                "there is no test `{}` to run",
                arguments.only().unwrap_or_default()
            ),
        },
        Mode::Ordinary => {
            if arguments.after().is_none() {
                print_plan(tests(), arguments);
            }
            // Behind the named test, which is searched among all: it was chosen when the boot that it ended began.
            let behind = arguments.after().map_or(0, |name| {
                tests()
                    .position(|test| test.name == name)
                    .map_or(0, |index| index + 1)
            });
            tests()
                .skip(behind)
                .filter(|test| test.kind == Kind::Ordinary && arguments.chooses(test.name))
                .for_each(run_test);
        }
    }
    println!("@test done");
    qemu::exit(Exit::Code(0))
}

/// Prints which tests are chosen.
fn print_plan(tests: impl Iterator<Item = &'static Test>, arguments: Arguments<'_>) {
    for test in tests.filter(|test| arguments.chooses(test.name)) {
        let kind = if test.kind == Kind::Ordinary {
            "ordinary"
        } else {
            "isolated"
        };
        println!("@test plan {} {kind}", test.name);
    }
}

/// Runs a test; returns if it passed.
fn run_test(test: &'static Test) {
    println!("@test start {}", test.name);
    *RUNNING.lock() = Some(test);
    (test.body)();
    if let Err(fault) = heap_check::check() {
        panic!("the heap is broken after the test: {fault}");
    }
    match test.kind {
        Kind::Ordinary | Kind::Alone => {}
        Kind::Panics(texts) => {
            panic!("the test returned; it should have panicked with {texts:?}")
        }
        Kind::Faults(texts) => {
            panic!("the test returned; it should have met an exception with {texts:?}")
        }
    }
    *RUNNING.lock() = None;
    println!("@test pass {}", test.name);
}

/// Returns the running test; never waits.
fn running() -> Option<&'static Test> {
    RUNNING.try_lock().and_then(|running| *running)
}

/// Remembers what was reported; never waits.
fn remember_report(text: &str) {
    if let Some(mut report) = REPORT.try_lock() {
        report.push(text);
    }
}

/// Returns whether `failure`, which was reported, is what `test` is for.
fn is_expected(test: &Test, failure: &Failure<'_>) -> bool {
    let texts = match (test.kind, failure) {
        (Kind::Panics(texts), Failure::Panic(_)) | (Kind::Faults(texts), Failure::Exception(_)) => {
            texts
        }
        _ => return false,
    };
    let Some(report) = REPORT.try_lock() else {
        return false;
    };
    let rest = texts.iter().try_fold(report.as_str(), |rest, text| {
        rest.split_once(text).map(|(_, behind)| behind)
    });
    rest.is_some()
}

/// Tells the runner outside why a test failed.
fn print_message(test: &Test, failure: &Failure<'_>, console: &mut Emergency) {
    let _ = match failure {
        Failure::Panic(panic) => {
            writeln!(console, "@test message {}", OneLine(PanicLine(panic.info)))
        }
        Failure::Exception(exception) => {
            writeln!(
                console,
                "@test message {} at {:#018x} in {}",
                exception.name(),
                exception.frame.instruction_pointer,
                test.name
            )
        }
    };
}

/// Tells the runner outside the verdict on a test that has ended the kernel.
fn print_verdict(failure: &Failure<'_>, console: &mut Emergency) -> Exit {
    let Some(test) = running() else {
        return Exit::Panicked;
    };
    if is_expected(test, failure) {
        let _ = writeln!(console, "@test pass {}\n@test done", test.name);
        return Exit::Code(0);
    }
    print_message(test, failure, console);
    let _ = writeln!(console, "@test fail {}", test.name);
    Exit::Panicked
}

/// Text with its line ends shown as spaces.
struct OneLine<T>(T);

impl<T: fmt::Display> fmt::Display for OneLine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Passes text on without line ends.
        struct Joined<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl Write for Joined<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                let mut lines = text.split('\n');
                self.0.write_str(lines.next().unwrap_or_default())?;
                lines.try_for_each(|line| write!(self.0, " {line}"))
            }
        }
        write!(Joined(f), "{}", self.0)
    }
}

/// Bytes of a report that are searched: two screens full.
const REPORT_BYTES: usize = 8192;

named_lock!(ReportLock, "the lock of the report that a test ends with");

/// What was reported of the failure that ends a test.
static REPORT: Mutex<MaskingLock<ReportLock>, ReportText> = Mutex::new(ReportText::new());

/// The beginning of a report, in memory of its own.
struct ReportText {
    /// The bytes.
    bytes: [u8; REPORT_BYTES],
    /// How many there are.
    length: usize,
}

impl ReportText {
    /// Nothing yet.
    const fn new() -> Self {
        Self {
            bytes: [0; REPORT_BYTES],
            length: 0,
        }
    }

    /// Returns the text.
    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    /// Adds text, unless there is no room: a report that does not fit is searched as far as it goes.
    fn push(&mut self, text: &str) {
        let room = self.bytes.get_mut(self.length..self.length + text.len());
        if let Some(room) = room {
            room.copy_from_slice(text.as_bytes());
            self.length += text.len();
        }
    }
}

//! The commands of the prompt: one table, one family a module.
//!
//! | module | commands |
//! |---|---|
//! | `heap` | what the heap holds |
//! | `memory` | what the machine has |
//! | `allocations` | allocations by hand |
//! | `look` | what stands at an address |
//! | `machine` | CPUs, interrupts, clock, log, leaving |
//! | `failures` | what ends the kernel on purpose |
//! | `trials` | tests, stress, benches |
//! | `prompt` | the prompt itself |
//!
//! `help`, Tab and [`run_line`] read the table; to add a command, add a row to a family, and a test of the same name to
//! `tests/kernel/commands.rs`.

use crate::command_line::ArgumentError;
use crate::command_table::{self, Argument, Found, Table};
use crate::line_editor::{Choices, History};
use crate::println;
use crate::testing::Test;

mod allocations;
mod clock;
mod failures;
mod heap;
mod look;
mod machine;
mod memory;
mod prompt;
mod top;
mod trials;

pub use clock::milliseconds;

/// What a command does, given the text behind its name.
pub type Run = for<'a> fn(&mut Session, &'a str) -> Result<(), ArgumentError<'a>>;

/// A command that can be run.
pub type Command = command_table::Command<Run>;

/// Commands that belong together.
type Family = command_table::Family<Run>;

/// All commands.
pub static TABLE: Table<Run> = Table(&[
    heap::FAMILY,
    memory::FAMILY,
    allocations::FAMILY,
    look::FAMILY,
    machine::FAMILY,
    trials::FAMILY,
    failures::FAMILY,
    prompt::FAMILY,
]);

/// What the prompt keeps from one command to the next. It lives in the heap.
#[derive(Debug, Default)]
pub struct Session {
    /// The lines that were typed.
    pub history: History,
    /// What `alloc` has allocated.
    allocations: allocations::Allocations,
    /// The tests that this image has.
    tests: Tests,
}

/// Tests, a list a module.
type Tests = &'static [&'static [Test]];

impl Session {
    /// Begins a session, in an image with these tests.
    #[must_use]
    pub fn new(tests: Tests) -> Self {
        Self {
            tests,
            ..Self::default()
        }
    }
}

impl Choices for Session {
    fn for_each(&self, before: &str, each: &mut dyn FnMut(&str)) {
        let tests = trials::runnable(self.tests).map(|test| test.name);
        TABLE.for_each_choice(before, tests, each);
    }
}

/// Runs the command on a line, and remembers the line.
pub fn run_line(session: &mut Session, line: &str) {
    let Some(found) = TABLE.find(line) else {
        return;
    };
    session.history.remember(line.trim());
    match found {
        Found::Unknown(unknown) => println!("{unknown}"),
        Found::Command(command, arguments) => {
            if let Err(error) = (command.run)(session, arguments) {
                println!("{error} Usage: {}", command.usage());
            }
        }
    }
}

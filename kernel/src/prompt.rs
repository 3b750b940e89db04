//! The prompt: reads lines from the console and runs their commands, one after the other.
//!
//! Works at a terminal and from a pipe alike: it says that it is ready before it reads, echoes what it reads, and a wrong
//! command is one sentence, after which the next one is read.

use crate::commands::{Session, run_line};
use crate::line_editor::{Choices, Event, LONGEST_LINE, LineEditor};
use crate::memory::heap_check;
use crate::protocol::{Exit, PROMPT, READY_LINE};
use crate::style::CLEAR_SCREEN;
use crate::testing::Test;
use crate::{console, print, println, qemu};

/// Columns of a terminal, for lists.
const COLUMNS: usize = 80;

/// Reads and runs commands until one leaves. `tests` are those of this image.
pub fn run(tests: &'static [&'static [Test]]) -> ! {
    println!("Type `help` for the commands, `exit` to leave.");
    println!("{READY_LINE}");
    let mut editor = LineEditor::default();
    let mut session = Session::new(tests);
    loop {
        heap_check::tell_refused();
        print!("{PROMPT}");
        if read_line(&mut editor, &session) {
            run_line(&mut session, editor.line());
        }
        editor.clear();
    }
}

/// Reads a line, echoing it. Returns whether there is one to run.
fn read_line(editor: &mut LineEditor, session: &Session) -> bool {
    loop {
        match editor.push(console::read_byte(), &session.history, session) {
            Event::Ignored => {}
            Event::Changed(change) => print!("{change}"),
            Event::ClearScreen => print!("{CLEAR_SCREEN}{PROMPT}{}", editor.whole()),
            Event::ListChoices => {
                println!();
                list(session, editor.before_cursor());
                print!("{PROMPT}{}", editor.whole());
            }
            Event::Complete => {
                println!();
                return true;
            }
            Event::TooLong => {
                println!("\nThis line is too long; type at most {LONGEST_LINE} characters.");
                return false;
            }
            Event::Cancelled => {
                println!("^C");
                return false;
            }
            Event::EndOfInput => {
                println!("exit");
                qemu::exit(Exit::Code(0));
            }
        }
    }
}

/// Lists what can stand at the end of `before`, in columns.
fn list(choices: &impl Choices, before: &str) {
    let mut width = 0;
    choices.for_each(before, &mut |choice| width = width.max(choice.len() + 2));
    let mut column = 0;
    choices.for_each(before, &mut |choice| {
        if column > 0 && column + width > COLUMNS {
            println!();
            column = 0;
        }
        print!("{choice:width$}");
        column += width;
    });
    if column > 0 {
        println!();
    }
}

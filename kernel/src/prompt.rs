//! The prompt: reads commands from the console and runs them, one after the other.
//!
//! Works at a terminal and from a pipe alike: it says that it is ready before it reads, echoes what it reads, and a wrong
//! command is one sentence, after which the next one is read.

use alloc::string::String;
use alloc::vec::Vec;

use crate::bench::run;
use crate::command_line::ArgumentError;
use crate::interrupts::masked;
use crate::line_editor::{Event, LONGEST_LINE, LineEditor};
use crate::memory::heap_source::HEAP;
use crate::memory::memory_map::RegionTable;
use crate::memory::physical;
use crate::protocol::{Exit, LARGEST_EXIT_CODE, PROMPT, READY_LINE};
use crate::{command_line, console, power, print, println, qemu};

/// Most commands that `history` remembers.
const LONGEST_HISTORY: usize = 100;

/// What the prompt keeps from one command to the next. It lives in the heap.
#[derive(Debug, Default)]
struct Session {
    /// The lines that were typed, the oldest first.
    history: Vec<String>,
}

impl Session {
    /// Remembers a line, unless memory is out: a prompt that answers is worth more than its history.
    fn remember(&mut self, line: &str) {
        if self.history.len() == LONGEST_HISTORY {
            self.history.remove(0);
        }
        let mut text = String::new();
        if text.try_reserve(line.len()).is_ok() && self.history.try_reserve(1).is_ok() {
            text.push_str(line);
            self.history.push(text);
        }
    }
}

/// A command.
struct Command {
    /// What is typed.
    name: &'static str,
    /// What may follow it, for `help`.
    arguments: &'static str,
    /// What it does, for `help`.
    summary: &'static str,
    /// Does it, given the text behind its name.
    run: for<'a> fn(&Session, &'a str) -> Result<(), ArgumentError<'a>>,
}

/// All commands there are.
const COMMANDS: &[Command] = &[
    Command {
        name: "help",
        arguments: "",
        summary: "list the commands",
        run: help,
    },
    Command {
        name: "heap",
        arguments: "",
        summary: "show what the heap holds, by size, and check it",
        run: heap,
    },
    Command {
        name: "frames",
        arguments: "",
        summary: "count the frames of physical memory",
        run: frames,
    },
    Command {
        name: "regions",
        arguments: "",
        summary: "show the machine's memory map",
        run: regions,
    },
    Command {
        name: "bench",
        arguments: "",
        summary: "measure what the heap's operations cost",
        run: bench,
    },
    Command {
        name: "history",
        arguments: "",
        summary: "list the commands typed so far",
        run: history,
    },
    Command {
        name: "panic",
        arguments: "",
        summary: "have the kernel panic",
        run: panic,
    },
    Command {
        name: "fault",
        arguments: "triple",
        summary: "have the processor fault",
        run: fault,
    },
    Command {
        name: "reboot",
        arguments: "",
        summary: "start the machine again",
        run: reboot,
    },
    Command {
        name: "exit",
        arguments: "[CODE]",
        summary: "leave, with this code (0 to 63)",
        run: exit,
    },
];

/// Reads and runs commands until one leaves.
pub fn run() -> ! {
    println!("Type `help` for the commands, `exit` to leave.");
    println!("{READY_LINE}");
    let mut editor = LineEditor::default();
    let mut session = Session::default();
    loop {
        print!("{PROMPT}");
        if read_line(&mut editor) {
            run_line(&mut session, editor.line());
        }
        editor.clear();
    }
}

/// Reads a line, echoing it. Returns whether there is one to run.
fn read_line(editor: &mut LineEditor) -> bool {
    loop {
        match editor.push(console::read_byte()) {
            Event::Ignored => {}
            Event::Added(character) => print!("{character}"),
            Event::Erased => print!("\x08 \x08"),
            Event::Complete => {
                println!();
                return true;
            }
            Event::TooLong => {
                println!("\nThis line is too long; type at most {LONGEST_LINE} characters.");
                return false;
            }
            Event::EndOfInput => {
                println!("exit");
                qemu::exit(Exit::Code(0));
            }
        }
    }
}

/// Runs the command on a line.
fn run_line(session: &mut Session, line: &str) {
    let Some((name, arguments)) = command_line::split(line) else {
        return;
    };
    session.remember(line.trim());
    match COMMANDS.iter().find(|command| command.name == name) {
        None => println!("There is no command `{name}`; type `help` for those there are."),
        Some(command) => {
            if let Err(error) = (command.run)(session, arguments) {
                println!("{error}");
            }
        }
    }
}

/// `help`
fn help<'a>(_: &Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    command_line::no_arguments(arguments)?;
    for command in COMMANDS {
        println!(
            "  {:<8} {:<7} {}",
            command.name, command.arguments, command.summary
        );
    }
    Ok(())
}

/// `heap`
fn heap<'a>(_: &Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    command_line::no_arguments(arguments)?;
    println!("{}", HEAP.statistics());
    match masked::unwatched(|| HEAP.check()) {
        Ok(()) => println!("check: every invariant of the heap holds."),
        Err(corruption) => println!("check: THE HEAP IS BROKEN: {corruption}"),
    }
    Ok(())
}

/// `frames`
fn frames<'a>(_: &Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    command_line::no_arguments(arguments)?;
    print!("{}", physical::statistics());
    Ok(())
}

/// `regions`
fn regions<'a>(_: &Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    command_line::no_arguments(arguments)?;
    match physical::memory_map() {
        Some(map) => print!("{}", RegionTable(map)),
        None => println!("There is no memory map yet."),
    }
    Ok(())
}

/// `bench`
fn bench<'a>(_: &Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    command_line::no_arguments(arguments)?;
    println!("A fresh heap like the kernel's.\n{}", run::LEGEND);
    if run::counts_instructions() {
        println!("All numbers are instructions, counted exactly.");
    } else {
        println!(
            "All numbers are ticks of the CPU's time-stamp counter, and vary: it does not count instructions here.\n\
             `make run ICOUNT=1` boots a machine where it does."
        );
    }
    if cfg!(debug_assertions) {
        println!(
            "This kernel checks itself and is hardly optimised; `make bench-kernel` measures a release build."
        );
    }
    if let Err(error) = run::run_kernel_heap() {
        println!("{error}");
    }
    Ok(())
}

/// `history`
fn history<'a>(session: &Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    command_line::no_arguments(arguments)?;
    for (number, line) in session.history.iter().enumerate() {
        println!("{:>4}  {line}", number + 1);
    }
    Ok(())
}

/// `panic`
fn panic<'a>(_: &Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    command_line::no_arguments(arguments)?;
    panic!("as typed at the prompt");
}

/// `fault triple`
fn fault<'a>(_: &Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    command_line::no_arguments(arguments.strip_prefix("triple").unwrap_or(arguments))?;
    power::triple_fault()
}

/// `reboot`
fn reboot<'a>(_: &Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    command_line::no_arguments(arguments)?;
    power::reboot()
}

/// `exit [CODE]`
fn exit<'a>(_: &Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    let code = command_line::exit_code(arguments)?;
    qemu::exit(Exit::Code(code))
}

/// The summary of `exit` says so.
const _: () = assert!(LARGEST_EXIT_CODE == 63);

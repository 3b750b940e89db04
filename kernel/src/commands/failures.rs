//! Commands that end the kernel on purpose, to see how it reports that.

use super::{Argument, Command, Family, Session};
use crate::command_line::{ArgumentError, at_most_one_word};
use crate::fault::{self, Fault};
use crate::power;

/// The fault that resets the machine.
const TRIPLE: &str = "triple";

/// The faults that can be had.
const FAULTS: &[&str] = &{
    let mut names = [TRIPLE; Fault::ALL.len() + 1];
    let mut index = 0;
    while index < Fault::ALL.len() {
        names[index] = Fault::ALL[index].name();
        index += 1;
    }
    names
};

/// The family.
pub(super) const FAMILY: Family = Family {
    title: "Failing on purpose (each ends the kernel)",
    commands: &[
        Command {
            name: "fault",
            aliases: &[],
            arguments: "NAME",
            summary: "have the CPU fault: pf, gp, ud, df, stack, …",
            help: "pf: read where nothing is mapped    gp: read at an address that is none\n\
                   null: read through a null pointer   code: write to the kernel's code\n\
                   call: call bytes in the heap        ud: run an instruction that is none\n\
                   de: divide by zero                  df: fault with a bad stack pointer\n\
                   stack: recurse without end          triple: a fault that resets the machine",
            choices: Argument::OneOf(FAULTS),
            run: fault,
        },
        Command {
            name: "panic",
            aliases: &[],
            arguments: "[TEXT]",
            summary: "panic, with this text",
            help: "The report has the text, the place, and who called whom.",
            choices: Argument::Free,
            run: panic,
        },
    ],
};

/// `panic [TEXT]`
fn panic<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    match arguments {
        "" => panic!("the command `panic` was typed"),
        text => panic!("{text}"),
    }
}

/// `fault pf|gp|ud|df|stack`
fn fault<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    let text = at_most_one_word(arguments)?.ok_or(ArgumentError::Missing(
        "the name of a fault, such as `fault pf`",
    ))?;
    if text == TRIPLE {
        power::triple_fault()
    }
    let choices = FAULTS;
    let fault = Fault::parse(text).ok_or(ArgumentError::NoChoice { text, choices })?;
    fault::provoke(fault)
}

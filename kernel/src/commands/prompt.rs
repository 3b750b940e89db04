//! Commands about the prompt itself.

use super::{Argument, Command, Family, Session, TABLE};
use crate::command_line::{ArgumentError, no_arguments};
use crate::command_table::{Explanation, Found, Overview};
use crate::{print, println};

/// The family.
pub(super) const FAMILY: Family = Family {
    title: "The prompt",
    commands: &[
        Command {
            name: "help",
            aliases: &["?"],
            arguments: "[COMMAND]",
            summary: "list the commands, or explain one",
            help: "Tab completes commands, and arguments where there is a choice; a second Tab lists them.\n\
                   Up and down go through the lines typed before.",
            choices: Argument::Command,
            run: help,
        },
        Command {
            name: "history",
            aliases: &[],
            arguments: "",
            summary: "list the lines typed so far",
            help: "The last hundred are remembered, a repeated one once.",
            choices: Argument::Free,
            run: history,
        },
        Command {
            name: "clear",
            aliases: &[],
            arguments: "",
            summary: "clear the screen",
            help: "Ctrl-L does it too, and keeps what is being typed.",
            choices: Argument::Free,
            run: clear,
        },
    ],
};

/// `help`
fn help<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    match TABLE.find(arguments) {
        None => print!("{}", Overview(TABLE)),
        Some(Found::Unknown(unknown)) => println!("{unknown}"),
        Some(Found::Command(command, rest)) => {
            no_arguments(rest)?;
            print!("{}", Explanation(command));
        }
    }
    Ok(())
}

/// `history`
fn history<'a>(session: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    for (number, line) in session.history.iter().enumerate() {
        println!("{:>4}  {line}", number + 1);
    }
    Ok(())
}

/// `clear`
fn clear<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    print!("{}", crate::style::CLEAR_SCREEN);
    Ok(())
}

//! Commands about the machine: its CPUs, its interrupts, its clock, leaving it.

use core::fmt;

use super::clock::milliseconds;
use super::{Argument, Command, Family, Session};
use crate::command_line::{self, ArgumentError, at_most_one_word, no_arguments};
use crate::cpu::table::{CpuFacts, Heading};
use crate::interrupts::counts;
use crate::protocol::Exit;
use crate::{cpu, interrupts, logger, power, print, println, qemu, tasks};

/// The family.
pub(super) const FAMILY: Family = Family {
    title: "The machine",
    commands: &[
        Command {
            name: "irq",
            aliases: &[],
            arguments: "",
            summary: "count the interrupts",
            help: "Since the kernel was started, by vector; and how long the heap has kept interrupts out at most.",
            choices: Argument::Free,
            run: irq,
        },
        Command {
            name: "cpus",
            aliases: &[],
            arguments: "",
            summary: "list the CPUs and what they are doing",
            help: "A line each: its number and its APIC's, whether it runs a task or is idle, tasks that wait for it, its interrupts and\n\
                   ticks, at how many of those it was idle, how often it forgot pages that others had unmapped, and what it runs.",
            choices: Argument::Free,
            run: cpus,
        },
        Command {
            name: "uptime",
            aliases: &[],
            arguments: "",
            summary: "say how long the kernel has been running",
            help: "By the time-stamp counter of the CPU, or by the timer's ticks where its rate is not known.",
            choices: Argument::Free,
            run: uptime,
        },
        Command {
            name: "log",
            aliases: &[],
            arguments: "[LEVEL]",
            summary: "show or choose how much the kernel tells",
            help: "Levels: off, error, warn, info, debug, trace; each shows what those before it show, and more.",
            choices: Argument::OneOf(logger::LEVELS),
            run: log,
        },
        Command {
            name: "reboot",
            aliases: &[],
            arguments: "",
            summary: "start the machine again",
            help: "In QEMU by the program that runs it, else by the keyboard controller or the chipset.",
            choices: Argument::Free,
            run: reboot,
        },
        Command {
            name: "exit",
            aliases: &["quit"],
            arguments: "[CODE]",
            summary: "leave, with this code (0 to 63)",
            help: "The program that runs the kernel ends with the code; Ctrl-D on an empty line is `exit`.",
            choices: Argument::Free,
            run: exit,
        },
    ],
};

/// `irq`
fn irq<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    print!("{}", interrupts::table());
    Ok(())
}

/// `cpus`
fn cpus<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    print!("{Heading}");
    for cpu in 0..cpu::count() {
        let counts = tasks::counts_of(cpu);
        print!(
            "{}",
            CpuFacts {
                cpu,
                apic_id: cpu::local_apic_id(cpu),
                task: (!tasks::is_idle(cpu)).then(|| tasks::current_of(cpu)),
                waiting: tasks::waiting_on(cpu),
                interrupts: counts::on_cpu(cpu),
                ticks: counts.ticks,
                idle_ticks: counts.idle_ticks,
                forgotten: cpu::translations::times(cpu),
            }
        );
    }
    Ok(())
}

/// `uptime`
fn uptime<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    println!(
        "The kernel has been running for {}.",
        Duration(milliseconds())
    );
    Ok(())
}

/// A number of milliseconds. Displays as `1 h 2 min 3.45 s`.
struct Duration(u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (minutes, hours) = (seconds / 60, seconds / 3600);
        if hours > 0 {
            write!(f, "{hours} h ")?;
        }
        if minutes > 0 {
            write!(f, "{} min ", minutes % 60)?;
        }
        write!(f, "{}.{:02} s", seconds % 60, self.0 % 1000 / 10)
    }
}

/// `log [LEVEL]`
fn log<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    if let Some(text) = at_most_one_word(arguments)?
        && !logger::set_level(text)
    {
        return Err(ArgumentError::NoChoice {
            text,
            choices: logger::LEVELS,
        });
    }
    println!("The log level is {}.", logger::level());
    Ok(())
}

/// `reboot`
fn reboot<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    power::reboot()
}

/// `exit [CODE]`
fn exit<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    let code = command_line::exit_code(arguments)?;
    qemu::exit(Exit::Code(code))
}

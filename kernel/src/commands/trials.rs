//! Commands that try the kernel out: tests and benches.

use super::clock::{is_stopped, milliseconds};
use super::{Argument, Command, Family, Session};
use crate::bench::{cpus, run};
use crate::command_line::{ArgumentError, at_most_one_word, count, next_word, no_arguments};
use crate::counted::Counted;
use crate::cpu;
use crate::memory::heap_check;
use crate::stress::run::{Plan, run as run_stress};
use crate::style::Style;
use crate::testing::{Kind, Test};
use crate::{print, println};

/// The most seconds of `stress`: a day.
const MOST_SECONDS: u32 = 86_400;

/// What is wanted where they are.
const SECONDS: &str = "a number of seconds; type one from 1 to 86400";

/// The family.
pub(super) const FAMILY: Family = Family {
    title: "Trying it out",
    commands: &[
        Command {
            name: "test",
            aliases: &[],
            arguments: "[NAME]",
            summary: "run the kernel's tests, by a part of the name",
            help: "They are those tests of `cargo test` that a running kernel survives. One that fails panics, which ends the kernel.",
            choices: Argument::Test,
            run: test,
        },
        Command {
            name: "stress",
            aliases: &[],
            arguments: "SECONDS [SEED]",
            summary: "have tasks and interrupts allocate; a key ends it",
            help: "On all CPUs, tasks that are preempted anywhere and handlers of interrupts allocate, resize and free, beside a\n\
                   model that knows what must be where. A finding is a panic. The same SEED, 1 if nothing is said, gives the same streams.",
            choices: Argument::Free,
            run: stress,
        },
        Command {
            name: "bench",
            aliases: &[],
            arguments: "",
            summary: "measure what the heap's operations cost",
            help: "On a fresh heap like the kernel's. `make run ICOUNT=1` boots a machine that counts instructions.",
            choices: Argument::Free,
            run: bench,
        },
        Command {
            name: "bench masked",
            aliases: &[],
            arguments: "",
            summary: "measure what it masks beside ever more objects",
            help: "Objects of all kinds come, change and go beside 100 to 100,000 others: the longest section with interrupts masked\n\
                   must not grow with them, nor with the machine's memory. `make run ICOUNT=1` makes it exact.",
            choices: Argument::Free,
            run: bench_masked,
        },
        Command {
            name: "bench cpus",
            aliases: &[],
            arguments: "",
            summary: "measure what the kernel's heap costs on each CPU",
            help: "Each CPU allocates and frees objects of its own, alone and beside all others, then frees another one's. The first\n\
                   must cost the same however many CPUs there are. `make run SMP=4 ICOUNT=1` makes it exact.",
            choices: Argument::Free,
            run: bench_cpus,
        },
    ],
};

/// Iterates over the tests that can run at the prompt: those that return.
pub(super) fn runnable(
    tests: &'static [&'static [Test]],
) -> impl Iterator<Item = &'static Test> + Clone {
    let all = tests.iter().copied().flatten();
    all.filter(|test| test.kind == Kind::Ordinary && test.has_its_machine())
}

/// `test [NAME]`
fn test<'a>(session: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    let part = at_most_one_word(arguments)?.unwrap_or_default();
    let chosen = runnable(session.tests).filter(|test| test.name.contains(part));
    let start = milliseconds();
    let count = chosen.map(run_test).count();
    match count {
        0 => println!(
            "No test has `{part}` in its name; type `test` and Tab twice to see their names."
        ),
        _ => println!(
            "{} passed in {} ms.",
            Counted(count, "test"),
            milliseconds() - start
        ),
    }
    Ok(())
}

/// Runs a test; returns if it passed.
fn run_test(test: &Test) {
    print!("test {} ... ", test.name);
    let start = milliseconds();
    (test.body)();
    if let Err(fault) = heap_check::check() {
        panic!("the heap is broken after the test: {fault}");
    }
    println!(
        "{} ({} ms)",
        Style::Green.paint("ok"),
        milliseconds() - start
    );
}

/// `stress SECONDS [SEED]`
fn stress<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    let Some((seconds, rest)) = next_word(arguments) else {
        return Err(ArgumentError::Missing(
            "a number of seconds, such as `stress 10`",
        ));
    };
    let seconds = count(seconds, MOST_SECONDS, SECONDS)?;
    let seed = match at_most_one_word(rest)? {
        None => 1,
        Some(text) => text.parse().map_err(|_| ArgumentError::Wrong {
            text,
            wanted: "a seed; type a number from 0 to 18446744073709551615",
        })?,
    };
    let plan = Plan {
        is_stopped,
        ..Plan::new(seconds.into(), seed)
    };
    println!("stress: tasks and interrupts allocate; any key ends it.");
    match run_stress(&plan) {
        Ok(report) => println!("stress: no finding. {report}\n\n{}", report.table()),
        Err(error) => println!("{error}"),
    }
    Ok(())
}

/// `bench`
fn bench<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    println!("A fresh heap like the kernel's.");
    introduce();
    println!("{}", run::LEGEND);
    report(run::run_kernel_heap());
    Ok(())
}

/// `bench masked`
fn bench_masked<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    println!("A fresh heap like the kernel's.");
    introduce();
    report(run::run_growth());
    Ok(())
}

/// `bench cpus`
fn bench_cpus<'a>(_: &mut Session, arguments: &'a str) -> Result<(), ArgumentError<'a>> {
    no_arguments(arguments)?;
    println!(
        "The kernel's own heap, on {}.",
        Counted(cpu::count(), "CPU")
    );
    introduce();
    println!("{}", cpus::LEGEND);
    report(cpus::run());
    if cpu::count() == 1 {
        println!(
            "There is no other CPU here to free what this one allocates: see `make run SMP=4`."
        );
    }
    Ok(())
}

/// Says what the numbers of a bench are.
fn introduce() {
    if run::counts_instructions() {
        println!("All numbers are instructions, counted exactly.");
        if cpu::count() > 1 {
            println!(
                "Whichever CPU's: where the turn of another one comes in the middle of an operation, it counts with it. Medians leave\n\
                 that out, and with SMP=1 there is none."
            );
        }
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
}

/// Says why a bench has stopped, if it has.
fn report(result: Result<(), run::BenchError>) {
    if let Err(error) = result {
        println!("{error}");
    }
}

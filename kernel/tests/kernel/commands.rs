//! The commands of the prompt, run as the prompt runs them. Each has a test of its name; the last test sees to that.

use alloc::string::String;
use alloc::vec::Vec;

use kernel::commands::{Session, TABLE, run_line};
use kernel::interrupts::timer;
use kernel::line_editor::Choices;
use kernel::style::Style;
use kernel::testing::Test;
use kernel::{console, cpu, println, tests};

use self::by_hand::{alloc, free, oom, peek, what};
use self::failing::{
    fault, fault_df, fault_gp, fault_stack, fault_ud, panic, panic_without_a_text,
};
use self::heap_commands::{
    heap, heap_check, heap_classes, heap_cpus, heap_map, heap_peak, heap_top, heap_trim, heap_watch,
};

#[path = "commands/by_hand.rs"]
mod by_hand;
#[path = "commands/failing.rs"]
mod failing;
#[path = "commands/heap_commands.rs"]
mod heap_commands;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "commands";
    output_is_captured_without_colours,
    wrong_commands_are_told_in_a_sentence,
    what_is_typed_is_remembered_and_completed,
    help,
    history,
    clear,
    heap,
    heap_classes,
    heap_map,
    heap_top,
    heap_check,
    heap_watch,
    heap_peak,
    heap_cpus,
    heap_trim,
    mem,
    frames,
    regions,
    alloc,
    free,
    oom,
    what,
    peek,
    irq,
    cpus,
    uptime,
    log,
    reboot,
    exit,
    test,
    stress,
    bench,
    bench_masked,
    bench_cpus,
    panic => Panics("no more tea"),
    panic_without_a_text => Panics("the command `panic` was typed"),
    fault => Faults("page fault"),
    fault_gp => Faults("general protection fault"),
    fault_ud => Faults("invalid opcode"),
    fault_df => Faults("double fault"),
    fault_stack => Faults("The call stack `boot` has overflowed"),
    every_command_has_a_test,
};

/// The most that a command may print.
const MOST_BYTES: usize = 64 * 1024;

/// Tests for the command `test`.
const SAMPLES: &[Test] = tests! {
    "sample";
    passes,
    fails => Panics("on purpose"),
};

fn passes() {}

fn fails() {
    panic!("on purpose");
}

/// A session without a past.
fn session() -> Session {
    Session::new(&[SAMPLES])
}

/// Returns what a line prints.
fn run(session: &mut Session, line: &str) -> String {
    let text = console::capture(MOST_BYTES, || run_line(session, line));
    String::from_utf8(text).expect("text is printed")
}

/// Returns what a line prints in a session of its own.
fn output(line: &str) -> String {
    run(&mut session(), line)
}

/// Asserts that each of `lines`, in one session, prints a text that begins and ends so.
#[track_caller]
fn assert_outputs(lines: &[(&str, &str, &str)]) {
    let mut session = session();
    for &(line, start, end) in lines {
        let output = run(&mut session, line);
        let is_right = output.starts_with(start) && output.ends_with(end);
        assert!(is_right, "`{line}` prints {output:?}");
    }
}

/// Asserts that a command refuses an argument, in a sentence, with its usage.
#[track_caller]
fn assert_takes_nothing(command: &str) {
    let output = output(&alloc::format!("{command} 5"));
    let sentence = "There is nothing to be done with `5`; leave it out. Usage: ";
    assert_eq!(output, alloc::format!("{sentence}{command}\n"));
}

fn output_is_captured_without_colours() {
    let text = console::capture(100, || println!("{} and {}", Style::Red.paint("red"), 1));
    assert_eq!(text, b"red and 1\n");
}

fn wrong_commands_are_told_in_a_sentence() {
    for (line, sentence) in [
        (
            "banana",
            "There is no command `banana`; type `help` for those there are.\n",
        ),
        (
            "hlep me",
            "There is no command `hlep`; did you mean `help`?\n",
        ),
        (
            "heap mpa",
            "There is no command `heap mpa`; did you mean `heap map`?\n",
        ),
        ("", ""),
        ("  \t ", ""),
    ] {
        assert_eq!(output(line), sentence);
    }
}

fn what_is_typed_is_remembered_and_completed() {
    let mut session = session();
    for line in [" uptime ", "banana", "", "uptime"] {
        run(&mut session, line);
    }
    let lines: Vec<&str> = session.history.iter().collect();
    assert_eq!(lines, ["uptime", "banana", "uptime"]);
    let mut choices = Vec::new();
    session.for_each("test ", &mut |choice| choices.push(String::from(choice)));
    assert_eq!(choices, ["sample::passes"]);
}

fn help() {
    let overview = output("help");
    for line in overview.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for command in TABLE.commands() {
        let usage = alloc::format!("  {} ", command.usage());
        assert!(overview.contains(&usage), "{usage}");
        let explanation = output(&alloc::format!("help {}", command.name));
        assert!(
            explanation.starts_with(&usage[2..usage.len() - 1]),
            "{explanation}"
        );
        assert!(!command.help.is_empty() && explanation.contains(command.help));
    }
    assert_eq!(
        output("help slabinfo"),
        "heap classes: show the size classes that have stacks (also `slabinfo`)\n\
         A class serves objects with chunks of one size, cut from stacks of 64.\n"
    );
    assert_eq!(
        output("help hepl"),
        "There is no command `hepl`; did you mean `help`?\n"
    );
}

fn history() {
    let mut session = session();
    run(&mut session, "irq");
    assert_eq!(run(&mut session, "history"), "   1  irq\n   2  history\n");
    assert_takes_nothing("history");
}

fn clear() {
    assert_eq!(output("clear"), "", "only codes");
    assert_takes_nothing("clear");
}

fn mem() {
    let mem = output("meminfo");
    assert!(mem.starts_with("memory  "), "{mem}");
    for name in [
        "usable",
        "books",
        "free",
        "kernel",
        "heap",
        "used",
        "asked for",
        "largest",
    ] {
        assert!(mem.contains(name), "{name} in {mem}");
    }
    assert_takes_nothing("mem");
}

fn frames() {
    let frames = output("frames");
    let head = "frames                       count            size\n";
    let balance =
        "\nframes balance: every usable frame is accounted for.\nFree frames: the largest run has ";
    assert!(
        frames.starts_with(head) && frames.contains(balance) && frames.ends_with(" can be had.\n"),
        "{frames}"
    );
    assert_takes_nothing("frames");
}

fn regions() {
    let regions = output("regions");
    assert!(
        regions.contains(" usable\n") && regions.contains("\nusable: "),
        "{regions}"
    );
    assert_takes_nothing("regions");
}

fn irq() {
    let irq = output("irq");
    assert!(irq.starts_with("vector  name"), "{irq}");
    assert_takes_nothing("irq");
}

fn cpus() {
    let cpus = output("cpus");
    let lines: Vec<&str> = cpus.lines().collect();
    assert!(lines[0].starts_with("CPU  APIC  state "), "{cpus}");
    assert_eq!(lines.len(), 1 + cpu::count(), "{cpus}");
    for (number, line) in lines[1..].iter().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0].parse(), Ok(number), "{cpus}");
        assert!(["running", "idle"].contains(&words[2]), "{cpus}");
        // Interrupts, and the ticks among them.
        let count = |word: &str| word.parse::<u64>().expect("it is a number");
        assert!(count(words[4]) >= count(words[5]), "{cpus}");
    }
    // The CPU that lists them has something to do.
    let own = lines[1..]
        .iter()
        .filter(|line| line.ends_with("  the first task"));
    assert_eq!(own.count(), 1, "{cpus}");
    assert_takes_nothing("cpus");
}

fn uptime() {
    let before = timer::uptime().as_secs();
    let uptime = output("uptime");
    assert!(
        uptime.starts_with("The kernel has been running for "),
        "{uptime}"
    );
    assert!(uptime.ends_with(" s.\n") && before < 3600, "{uptime}");
    assert_takes_nothing("uptime");
}

fn log() {
    let message = |level| {
        let text = console::capture(100, || log::log!(level, "x"));
        String::from_utf8(text).expect("text is printed")
    };
    assert_outputs(&[
        ("log", "The log level is info.\n", ""),
        ("log warn", "The log level is warn.\n", ""),
        (
            "log loud",
            "`loud` is none of the choices; type one of off, error, warn, info, debug, trace. ",
            "\n",
        ),
        ("log", "The log level is warn.\n", ""),
    ]);
    assert_eq!(
        (
            message(log::Level::Warn).as_str(),
            message(log::Level::Info).as_str()
        ),
        ("warning: x\n", "")
    );
    output("log info");
    assert_eq!(
        (
            message(log::Level::Info).as_str(),
            message(log::Level::Debug).as_str()
        ),
        ("x\n", "")
    );
}

/// That it reboots is tested from outside.
fn reboot() {
    assert_takes_nothing("reboot");
}

/// That it leaves with its code is tested from outside.
fn exit() {
    for wrong in ["64", "x", "1 2"] {
        let output = output(&alloc::format!("exit {wrong}"));
        let sentence = "is not an exit code; type `exit` followed by a number from 0 to 63. Usage: exit [CODE]";
        assert_eq!(output, alloc::format!("`{wrong}` {sentence}\n"));
    }
}

fn test() {
    let all = output("test");
    assert!(all.starts_with("test sample::passes ... ok ("), "{all}");
    assert_eq!(all.lines().count(), 2, "only tests that return: {all}");
    assert!(all.contains("\n1 test passed in "), "{all}");
    assert_eq!(
        output("test banana"),
        "No test has `banana` in its name; type `test` and Tab twice to see their names.\n"
    );
}

fn stress() {
    let stress = output("stress 1 7");
    assert!(
        stress.starts_with("stress: tasks and interrupts allocate; any key ends it.\nstress: no finding. 1 s, seed 7, "),
        "{stress}"
    );
    assert_outputs(&[
        (
            "stress",
            "This command needs a number of seconds, such as `stress 10`. ",
            "Usage: stress SECONDS [SEED]\n",
        ),
        (
            "stress 0",
            "`0` is not a number of seconds; type one from 1 to 86400. ",
            "\n",
        ),
        (
            "stress 1 x",
            "`x` is not a seed; type a number from 0 to 18446744073709551615. ",
            "\n",
        ),
    ]);
}

fn bench() {
    let bench = output("bench");
    assert!(
        bench.starts_with("A fresh heap like the kernel's.\n"),
        "{bench}"
    );
    assert!(bench.contains("\nlongest masked section: "), "{bench}");
    assert_eq!(
        output("bench 5"),
        "There is no command `bench 5`; type `help` for those there are.\n"
    );
}

fn bench_masked() {
    let bench = output("bench masked");
    for live in [
        "\n100 live ",
        "\n1,000 live ",
        "\n10,000 live ",
        "\n100,000 live ",
        "\nfreed by another CPU ",
    ] {
        assert!(bench.contains(live), "{bench}");
    }
    assert_takes_nothing("bench masked");
}

fn bench_cpus() {
    let (bench, cpus) = (output("bench cpus"), cpu::count());
    let table = bench.lines().skip_while(|line| !line.starts_with("CPU "));
    let rows = table.skip(1).take(cpus).enumerate();
    let are_numbered = rows
        .clone()
        .all(|(cpu, row)| row.split_whitespace().next() == Some(&*alloc::format!("{cpu}")));
    assert!(rows.count() == cpus && are_numbered, "{bench}");
    assert_takes_nothing("bench cpus");
}

fn every_command_has_a_test() {
    for command in TABLE.commands() {
        let name = alloc::format!("commands::{}", command.name.replace(' ', "_"));
        let is_tested = TESTS.iter().any(|test| test.name == name);
        assert!(is_tested, "`{}` needs a test, `{name}`", command.name);
    }
}

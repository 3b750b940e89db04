//! Runs ripgreps that differ in their heap alone, in turn, and compares what they need.
//!
//! boot/bench-ripgrep.sh builds them and calls this. First all must find the same; then each runs once a round, another one
//! first each time, and the processor time that the system counts for it is noted. Callgrind counts the instructions.
//!
//! ```text
//! contender      a ripgrep with one of the heaps, and its answer
//! rounds         what they need, run in turn
//! usage          what the system counts for a process
//! instructions   what callgrind counts
//! ```

mod contender;
mod instructions;
mod rounds;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use contender::Contender;
use stack_alloc_benches::closed_pipe;
use stack_alloc_benches::figures::Figures;
use stack_alloc_benches::statistics::Quartiles;
use stack_alloc_benches::table::{Rows, number};
use usage::Usage;

/// The heap that others are compared with.
const JEMALLOC: &str = "jemalloc";

/// Compares ripgreps that differ in their heap alone.
#[derive(Debug, Parser)]
struct Options {
    /// A ripgrep, and what to call it. One of them is `jemalloc`.
    #[arg(long, required = true, value_name = "NAME=PROGRAM", value_parser = Contender::parse)]
    program: Vec<Contender>,
    /// How often each of them runs, after the first time.
    #[arg(long, default_value_t = 41, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// The file for all numbers.
    #[arg(long, value_name = "FILE", default_value = "target/bench/ripgrep.csv")]
    csv: PathBuf,
    /// Where the profiles go.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench-ripgrep")]
    folder: PathBuf,
    /// The folders to search.
    #[arg(required = true, value_name = "FOLDER")]
    trees: Vec<PathBuf>,
}

impl Options {
    /// Returns what each ripgrep is told: the issue's search, in `threads` threads.
    fn arguments(&self, threads: u8) -> Vec<String> {
        let mut arguments: Vec<String> = ["-Hn", &format!("-j{threads}"), "-e", "ripgrep"]
            .map(String::from)
            .into();
        arguments.extend(self.trees.iter().map(|tree| tree.display().to_string()));
        arguments
    }
}

fn main() -> ExitCode {
    closed_pipe::ends_the_program();
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("bench-ripgrep: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Compares.
fn run(options: &Options) -> Result<(), String> {
    let jemalloc = options.program.iter().position(|one| one.name == JEMALLOC);
    let jemalloc = jemalloc.ok_or("name one of the programs `jemalloc`")?;
    let mut figures = Figures::default();
    for threads in [1, 2] {
        let arguments = options.arguments(threads);
        let lines = contender::compare_answers(&options.program, &arguments)?;
        println!(
            "bench-ripgrep: -j{threads}: all find the same {lines} lines; {} rounds",
            options.rounds
        );
        let usages = rounds::run(&options.program, &arguments, options.rounds)?;
        report_usage(&options.program, jemalloc, threads, &usages, &mut figures);
    }
    if instructions::can_be_counted() {
        println!("\nbench-ripgrep: counting instructions with callgrind, -j1");
        let arguments = options.arguments(1);
        let counts = options
            .program
            .iter()
            .map(|one| instructions::count(one, &arguments, &options.folder))
            .collect::<Result<Vec<_>, _>>()?;
        report_instructions(&options.program, jemalloc, &counts, &mut figures);
        let folder = options.folder.display();
        println!(
            "\nbench-ripgrep: where they go: callgrind_annotate --inclusive=yes {folder}/ours.callgrind"
        );
    } else {
        println!("\nskipped: no valgrind, so no instructions were counted");
    }
    let csv = &options.csv;
    figures
        .write(csv)
        .map_err(|error| format!("{}: {error}", csv.display()))?;
    println!("bench-ripgrep: all numbers are in {}", csv.display());
    Ok(())
}

/// Prints what the rounds have shown: `usages` has for each program its rounds.
fn report_usage(
    programs: &[Contender],
    jemalloc: usize,
    threads: u8,
    usages: &[Vec<Usage>],
    figures: &mut Figures,
) {
    /// What is shown of each.
    const COLUMNS: [&str; 4] = [
        "CPU ms",
        "over jemalloc",
        "in half of the rounds",
        "most memory MiB",
    ];
    let mut table = Rows::new("heap", COLUMNS);
    for (program, rounds) in programs.iter().zip(usages) {
        let cpu = rounds::median_of(rounds, |usage| usage.cpu * 1e3);
        let memory = rounds::median_of(rounds, |usage| usage.memory / f64::from(1 << 20));
        let Some(Quartiles { low, median, high }) = rounds::ratios(rounds, &usages[jemalloc])
        else {
            continue;
        };
        let cells = [
            number(Some(cpu)),
            format!("{median:.3}"),
            format!("{low:.3} to {high:.3}"),
            number(Some(memory)),
        ];
        table.add(program.name, cells);
        let measures = [
            ("CPU ms", cpu),
            ("over jemalloc", median),
            ("over jemalloc, lower quartile", low),
            ("over jemalloc, upper quartile", high),
            ("most memory MiB", memory),
        ];
        for (measure, value) in measures {
            figures.add(
                "ripgrep",
                format!("-j{threads}"),
                program.name,
                measure,
                value,
            );
        }
    }
    table.print(&format!("ripgrep -Hn -j{threads} -e ripgrep"));
}

/// Prints how many instructions each program needed.
fn report_instructions(
    programs: &[Contender],
    jemalloc: usize,
    counts: &[f64],
    figures: &mut Figures,
) {
    /// What is shown of each.
    const COLUMNS: [&str; 2] = ["million instructions", "over jemalloc"];
    let mut table = Rows::new("heap", COLUMNS);
    for (program, count) in programs.iter().zip(counts) {
        let ratio = count / counts[jemalloc];
        table.add(
            program.name,
            [format!("{:.1}", count / 1e6), format!("{ratio:.3}")],
        );
        let measures = [
            ("instructions", *count),
            ("instructions over jemalloc", ratio),
        ];
        for (measure, value) in measures {
            figures.add("ripgrep", "-j1", program.name, measure, value);
        }
    }
    table.print("ripgrep -Hn -j1 -e ripgrep, in user mode");
}

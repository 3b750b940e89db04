//! Measures, prints tables, writes a CSV file and plots. What can be chosen: `--help`.

use core::time::Duration;
use std::fs;
use std::process::ExitCode;

use clap::Parser;
use stack_alloc_benches::arena::Arena;
use stack_alloc_benches::closed_pipe;
use stack_alloc_benches::contenders::{self, Contender};
use stack_alloc_benches::figures::Figures;
use stack_alloc_benches::latency::{self, clock::Clock};
use stack_alloc_benches::memory::{first_failure, given_back, phases, smallest_arena};
use stack_alloc_benches::options::Options;
use stack_alloc_benches::plot;
use stack_alloc_benches::rounds::Settings;
use stack_alloc_benches::targets;
use stack_alloc_benches::threads;
use stack_alloc_benches::timings;
use stack_alloc_benches::workloads::{self, Extent, Workload};

/// Memory for every heap: several times what any workload has live.
const ARENA: usize = 1 << 30;

fn main() -> ExitCode {
    closed_pipe::ends_the_program();
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("bench: {sentence}");
            ExitCode::from(2)
        }
    }
}

/// Does what the options say.
fn run(options: &Options) -> Result<(), String> {
    let extent = if options.quick {
        Extent::Quick
    } else {
        Extent::Whole
    };
    let heaps = heaps();
    options.check_heaps(&heaps)?;
    let contenders = options.chosen(contenders::all());
    let workloads = workloads::all(extent);
    let names = names(&workloads, extent);
    options.check(&names)?;
    if options.list {
        list(&options.chosen(heaps), &names);
        return Ok(());
    }
    fs::create_dir_all(&options.output)
        .map_err(|error| format!("{}: {error}", options.output.display()))?;
    let arena =
        Arena::new(ARENA).map_err(|error| format!("no memory for an arena of 1 GiB: {error}"))?;
    let mut figures = Figures::default();
    let settings = Settings {
        rounds: options.rounds,
        patience: if options.quick {
            Duration::from_millis(250)
        } else {
            Duration::from_secs(2)
        },
    };
    for group in workloads.chunk_by(|one, other| one.group == other.group) {
        let chosen: Vec<_> = group
            .iter()
            .filter(|one| options.is_chosen(one.group, &one.name))
            .collect();
        timings::run(&chosen, &contenders, &arena, settings, &mut figures);
    }
    let clock = Clock::new();
    for name in latency::names(extent) {
        if options.is_chosen(latency::NAME, name) {
            eprintln!("bench: latency with {name} live");
            latency::run(clock, name, &contenders, &arena, settings, &mut figures);
        }
    }
    threads::run(
        |name| options.is_chosen(threads::NAME, name),
        &options.chosen(contenders::for_threads()),
        &arena,
        (settings, extent),
        &mut figures,
    );
    memory(options, &contenders, &arena, settings, &mut figures);
    targets::print(&figures);
    let plots = plot::draw(&figures, &contenders, &options.output)?;
    let file = options.output.join("figures.csv");
    figures
        .write(&file)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    println!(
        "\nEvery figure: {}; {} plots beside it",
        file.display(),
        plots.len()
    );
    Ok(())
}

/// Returns all heaps that can be chosen: those that are of use with several threads alone, too.
fn heaps() -> Vec<Contender> {
    let mut heaps = contenders::all();
    for contender in contenders::for_threads() {
        if heaps.iter().all(|known| known.name != contender.name) {
            heaps.push(contender);
        }
    }
    heaps
}

/// Measures how much of their memory heaps can put to use.
fn memory(
    options: &Options,
    contenders: &[Contender],
    arena: &Arena,
    settings: Settings,
    figures: &mut Figures,
) {
    let is_chosen = |name| {
        let is_chosen = options.is_chosen(name, "");
        if is_chosen {
            eprintln!("bench: {name}");
        }
        is_chosen
    };
    if is_chosen(first_failure::NAME) {
        first_failure::run(contenders, arena, settings, figures);
    }
    if is_chosen(phases::NAME) {
        phases::run(contenders, arena, settings, figures);
    }
    if is_chosen(given_back::NAME) {
        given_back::run(contenders, arena, figures);
    }
    if is_chosen(smallest_arena::NAME) {
        smallest_arena::run(contenders, arena, settings, figures);
    }
}

/// Returns the groups and names that can be chosen. A group of one part has no name in it.
fn names(workloads: &[Workload], extent: Extent) -> Vec<(&'static str, String)> {
    let timed = workloads.iter().map(|one| (one.group, one.name.clone()));
    let latencies = latency::names(extent)
        .into_iter()
        .map(|name| (latency::NAME, name.to_owned()));
    let memory = [
        first_failure::NAME,
        phases::NAME,
        given_back::NAME,
        smallest_arena::NAME,
    ]
    .map(|name| (name, String::new()));
    let threads = threads::names()
        .into_iter()
        .map(|name| (threads::NAME, name.to_owned()));
    timed
        .chain(latencies)
        .chain(threads)
        .chain(memory)
        .collect()
}

/// Prints what can be chosen.
fn list(contenders: &[Contender], names: &[(&str, String)]) {
    println!("Heaps (--only):");
    for contender in contenders {
        println!("  {:12} {}", contender.name, contender.about);
    }
    println!("\nWorkloads (--workloads), by group or group/name:");
    for group in names.chunk_by(|one, other| one.0 == other.0) {
        let names: Vec<_> = group.iter().map(|(_, name)| name.as_str()).collect();
        let line = format!("  {:15} {}", group[0].0, names.join(", "));
        println!("{}", line.trim_end());
    }
}

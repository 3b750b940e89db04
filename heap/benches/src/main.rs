//! Measures, prints tables, writes a CSV file and plots. What can be chosen: `--help`.

use core::time::Duration;
use std::fs;
use std::process::ExitCode;

use clap::Parser;
use stack_alloc_benches::arena::Arena;
use stack_alloc_benches::contenders::Contender;
use stack_alloc_benches::figures::Figures;
use stack_alloc_benches::options::Options;
use stack_alloc_benches::rounds::Settings;
use stack_alloc_benches::timings;
use stack_alloc_benches::workloads::{self, Extent, Workload};

/// Memory for every heap: several times what any workload has live.
const ARENA: usize = 1 << 30;

fn main() -> ExitCode {
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
    let contenders = options.contenders()?;
    let workloads = workloads::all(extent);
    let names: Vec<_> = workloads
        .iter()
        .map(|one| (one.group, one.name.clone()))
        .collect();
    options.check(&names)?;
    if options.list {
        list(&contenders, &workloads);
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
    let file = options.output.join("figures.csv");
    figures
        .write(&file)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    println!("\nEvery figure: {}", file.display());
    Ok(())
}

/// Prints what can be chosen.
fn list(contenders: &[Contender], workloads: &[Workload]) {
    println!("Heaps (--only):");
    for contender in contenders {
        println!("  {:12} {}", contender.name, contender.about);
    }
    println!("\nWorkloads (--workloads), by group and name:");
    for group in workloads.chunk_by(|one, other| one.group == other.group) {
        let names: Vec<_> = group.iter().map(|one| one.name.as_str()).collect();
        println!("  {:14} {}", group[0].group, names.join(", "));
    }
}

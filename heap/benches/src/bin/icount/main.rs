//! Counts the instructions that the heap needs: exact where a clock is not, on a machine that does other things too.
//!
//! Each workload runs in a process of its own, under callgrind. The counts are compared with those that are checked in,
//! in `heap/benches/icount.csv`: see `boot/icount.sh`.
//!
//! ```text
//! workloads   what is counted
//! counted     the process that callgrind watches
//! callgrind   starts it, and reads the count
//! baseline    the counts that are checked in
//! verdict     what is said of a count beside its figure
//! report      the table
//! growth      the plot of what more live objects cost
//! ```

mod baseline;
mod callgrind;
mod counted;
mod growth;
mod report;
mod verdict;
mod workloads;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use clap::Parser;

use baseline::Baseline;
use callgrind::Count;
use report::Report;
use stack_alloc_benches::{closed_pipe, contenders};
use verdict::Verdict;

/// The heap that figures are about, if no other one is named.
const OURS: &str = "ours";

/// Counts the instructions that heaps need, with callgrind.
#[derive(Debug, Parser)]
struct Options {
    /// The heap that the figures are about.
    #[arg(long, value_name = "NAME", default_value = OURS)]
    subject: String,
    /// Other heaps to count beside it, by commas.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    heaps: Vec<String>,
    /// The workloads to count, by commas: all, if none is named.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME,…",
        conflicts_with = "update"
    )]
    workloads: Vec<String>,
    /// The file with the figures to compare with.
    #[arg(long, value_name = "FILE", default_value = "heap/benches/icount.csv")]
    figures: PathBuf,
    /// The compiler that this was built with: what `rustc --version` says.
    #[arg(long, value_name = "VERSION", default_value = "unknown")]
    compiler: String,
    /// Writes the counts to the file, as the new figures of this compiler.
    #[arg(long)]
    update: bool,
    /// Where the profiles go.
    #[arg(long, value_name = "FOLDER", default_value = "target/icount")]
    folder: PathBuf,
    /// Where the plot goes.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    plots: PathBuf,
    /// Runs this workload here, for callgrind to watch.
    #[arg(long, hide = true, requires = "contender")]
    run: Option<String>,
    /// The heap to run it on.
    #[arg(long, hide = true)]
    contender: Option<String>,
}

fn main() -> ExitCode {
    closed_pipe::ends_the_program();
    let options = Options::parse();
    let done = match (&options.run, &options.contender) {
        (Some(workload), Some(contender)) => counted::run(workload, contender).map(|()| 0),
        _ => count_all(&options),
    };
    match done {
        Ok(failed) => ExitCode::from(u8::from(failed > 0)),
        Err(sentence) => {
            eprintln!("icount: {sentence}");
            ExitCode::from(2)
        }
    }
}

/// Counts, prints the table, and compares or updates. Returns how many comparisons failed.
fn count_all(options: &Options) -> Result<usize, String> {
    let (heaps, workloads) = (heaps(options)?, chosen_workloads(options)?);
    if !callgrind::is_there() {
        return Err("there is no valgrind: install it with your package manager".to_string());
    }
    let mut figures = Baseline::read(&options.figures)?;
    fs::create_dir_all(&options.folder)
        .map_err(|error| format!("{}: {error}", options.folder.display()))?;
    println!(
        "icount: counting {} workloads with callgrind; profiles go to {}",
        workloads.len(),
        options.folder.display()
    );
    let counts = count_each(options, &heaps, &workloads)?;
    let ours = workloads.iter().zip(&counts).map(|(name, counts)| {
        let count =
            counts[0].ok_or_else(|| format!("{} has no memory for {name}", options.subject))?;
        Ok::<_, String>((*name, count))
    });
    let ours: Vec<_> = ours.collect::<Result<_, _>>()?;
    let report = Report {
        heaps: &heaps,
        workloads: &workloads,
        counts: &counts,
    };
    println!("{}", report.table(&figures, &options.compiler));
    if let Some(file) = growth::draw(&report, &options.plots)? {
        println!(
            "icount: the live-… workloads are plotted in {}",
            file.display()
        );
    }
    if options.update {
        figures.replace(&options.compiler, &ours);
        figures.write(&options.figures)?;
        let path = options.figures.display();
        println!(
            "icount: {path} has these figures of {} now",
            options.compiler
        );
        return Ok(0);
    }
    Ok(compare(options, &figures, &ours))
}

/// Returns the heaps to count: the one with the figures first, and each once.
fn heaps(options: &Options) -> Result<Vec<&str>, String> {
    let all = contenders::for_counting();
    let known: Vec<_> = all.iter().map(|heap| heap.name).collect();
    let mut heaps = Vec::new();
    for name in [&options.subject].into_iter().chain(&options.heaps) {
        if !known.contains(&name.as_str()) {
            return Err(format!("no heap `{name}`: there are {}", known.join(", ")));
        }
        if !heaps.contains(&name.as_str()) {
            heaps.push(name.as_str());
        }
    }
    Ok(heaps)
}

/// Returns the workloads to count.
fn chosen_workloads(options: &Options) -> Result<Vec<&'static str>, String> {
    let known = workloads::names_for(&options.subject);
    for name in &options.workloads {
        if !known.contains(&name.as_str()) {
            let known = known.join(", ");
            return Err(format!("no workload `{name}`: there are {known}"));
        }
    }
    let is_chosen =
        |name: &&str| options.workloads.is_empty() || options.workloads.iter().any(|n| n == name);
    Ok(known.into_iter().filter(is_chosen).collect())
}

/// Counts every workload on every heap, as many at a time as there are processors. Returns a row a workload.
fn count_each(
    options: &Options,
    heaps: &[&str],
    workloads: &[&str],
) -> Result<Vec<Vec<Option<Count>>>, String> {
    // The last ones take longest.
    let jobs = (0..workloads.len() * heaps.len()).rev();
    let waiting = Mutex::new(jobs);
    let results = Mutex::new(vec![None; workloads.len() * heaps.len()]);
    let next = || waiting.lock().ok()?.next();
    let work = || {
        while let Some(job) = next() {
            let (workload, heap) = (workloads[job / heaps.len()], heaps[job % heaps.len()]);
            let result = callgrind::count(workload, heap, &options.folder);
            if let Ok(mut results) = results.lock() {
                results[job] = Some(result);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let results = results.into_inner().map_err(|error| error.to_string())?;
    let counts: Vec<_> = results.into_iter().flatten().collect::<Result<_, _>>()?;
    Ok(counts.chunks(heaps.len()).map(<[_]>::to_vec).collect())
}

/// Compares the counts with the figures, and says what is wrong. Returns how many failed.
fn compare(options: &Options, figures: &Baseline, ours: &[(&str, Count)]) -> usize {
    let path = options.figures.display();
    if !figures.know(&options.compiler) {
        println!(
            "skipped: {path} has no figures of {}; `make icount UPDATE=1` adds them",
            options.compiler
        );
        return 0;
    }
    let (mut failed, mut better) = (0, 0);
    for (name, count) in ours {
        let figure = figures.get(&options.compiler, name);
        let verdict = Verdict::of(*count, figure);
        better += usize::from(matches!(verdict, Verdict::Less(_)));
        if verdict.is_failure() {
            failed += 1;
            eprintln!("icount: {}", verdict.sentence(name, *count, figure));
        }
    }
    if failed > 0 {
        let folder = options.folder.display();
        let heap = &options.subject;
        eprintln!("icount: where they go: callgrind_annotate {folder}/{heap}-WORKLOAD.callgrind");
        eprintln!(
            "icount: if they are well spent, `make icount UPDATE=1` checks the new figures in"
        );
    } else if better > 0 {
        println!(
            "icount: {better} are better by more than 2 %: `make icount UPDATE=1` keeps it so"
        );
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "test result: {word}. {} passed; {failed} failed",
        ours.len() - failed
    );
    failed
}

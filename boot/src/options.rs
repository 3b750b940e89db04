//! The command line, and the environment variables that stand for flags.
//!
//! Under `cargo run`, `cargo test` and `cargo bench` there is no place for the machine's flags, so each has an environment
//! variable too: `STACK_ALLOC_BOOT=bios cargo test`. The `Makefile` turns `make run BOOT=bios` into the same variables.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::memory_size::MemorySize;

/// Makes disk images of the kernel and runs them in QEMU.
#[derive(Debug, Parser)]
#[command(name = "boot", version, after_help = EXIT_CODES)]
pub(crate) enum Command {
    /// Makes the disk images of a kernel and prints their paths
    Image(ImageOptions),
    /// Runs a kernel, with its serial console on this terminal
    Run(RunOptions),
    /// Runs the tests in a test kernel
    Test(TestOptions),
    /// Boots a kernel without a window, types commands, and writes a picture of the screen
    Screenshot(ScreenshotOptions),
    /// What cargo calls: `test` for an ELF in a `deps` folder, `run` for any other, and `run --icount` for a bench
    Runner(RunnerOptions),
    /// Attaches gdb, with symbols, to a kernel started with --gdb
    Gdb(GdbOptions),
    /// Adds up the results of the test runs in log files
    Tally(TallyOptions),
    /// Runs a command that dies with this program
    #[command(hide = true)]
    Leash(LeashOptions),
}

/// The exit codes, for `--help`; `outcome` defines them.
const EXIT_CODES: &str = "Exit codes: 0 passed; 1 to 63 the kernel's own (1: a test failed); 2 bad usage; \
    101 panicked; 102 triple fault; 124 timed out; 125 QEMU missing or not starting; 130 Ctrl-C; 141 output closed.";

/// The firmware that a machine starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Firmware {
    /// UEFI, which is OVMF under QEMU.
    Uefi,
    /// The PC's old BIOS, which is SeaBIOS under QEMU.
    Bios,
}

impl Firmware {
    /// Returns the name that the user types, which is also the stem of file names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uefi => "uefi",
            Self::Bios => "bios",
        }
    }

    /// Returns the least memory, in MiB, with which firmware and boot loader reach the kernel. Below it they hang without a
    /// word, or reset the machine: tried with OVMF 2022.11 (40 MiB fail, 48 work) and SeaBIOS (20 fail, 22 work).
    pub(crate) fn least_mebibytes(self) -> u64 {
        match self {
            Self::Uefi => 48,
            Self::Bios => 24,
        }
    }
}

/// What QEMU executes the guest's instructions with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Accelerator {
    /// KVM where the processor has it and /dev/kvm may be written, else TCG.
    Auto,
    /// The processor itself.
    Kvm,
    /// Software emulation: works everywhere.
    Tcg,
}

/// How much the kernel tells of itself; each level shows what those before it show, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// Nothing.
    Off,
    /// What has failed.
    Error,
    /// What is strange.
    Warn,
    /// What is being done.
    Info,
    /// What was found.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Returns the line that tells the kernel.
    pub(crate) fn argument(self) -> &'static str {
        match self {
            Self::Off => "log off\n",
            Self::Error => "log error\n",
            Self::Warn => "log warn\n",
            Self::Info => "log info\n",
            Self::Debug => "log debug\n",
            Self::Trace => "log trace\n",
        }
    }
}

/// The machine to run in.
#[derive(Args, Clone, Debug)]
pub(crate) struct MachineOptions {
    /// The firmware to start with
    #[arg(
        long,
        env = "STACK_ALLOC_BOOT",
        hide_env_values = true,
        default_value = "uefi"
    )]
    pub(crate) boot: Firmware,
    /// Memory, such as 256M or 4G
    #[arg(
        long,
        value_name = "SIZE",
        env = "STACK_ALLOC_MEM",
        hide_env_values = true,
        default_value = "256M"
    )]
    pub(crate) mem: MemorySize,
    /// Number of CPUs
    #[arg(long, value_name = "N", env = "STACK_ALLOC_SMP", hide_env_values = true, default_value = "1",
          value_parser = clap::value_parser!(u16).range(1..=255))]
    pub(crate) smp: u16,
    /// What executes the guest's instructions
    #[arg(
        long,
        env = "STACK_ALLOC_ACCEL",
        hide_env_values = true,
        default_value = "auto"
    )]
    pub(crate) accel: Accelerator,
    /// QEMU's display: none, gtk, sdl, curses, vnc=:0, …
    #[arg(
        long,
        value_name = "NAME",
        env = "STACK_ALLOC_DISPLAY",
        hide_env_values = true,
        default_value = "none"
    )]
    pub(crate) display: String,
    /// Waits for gdb on port 1234 before the first instruction; `make gdb` attaches
    #[arg(long, env = "STACK_ALLOC_GDB", hide_env_values = true)]
    pub(crate) gdb: bool,
    /// Makes the guest's clock count instructions, exactly: one a nanosecond. Needs tcg
    #[arg(long, env = "STACK_ALLOC_ICOUNT", hide_env_values = true)]
    pub(crate) icount: bool,
    /// More flags for QEMU, separated by spaces
    #[arg(
        long,
        value_name = "FLAGS",
        env = "STACK_ALLOC_QEMUFLAGS",
        hide_env_values = true,
        default_value = "",
        allow_hyphen_values = true
    )]
    pub(crate) qemuflags: String,
    /// The QEMU program
    #[arg(
        long,
        value_name = "PROGRAM",
        env = "STACK_ALLOC_QEMU",
        hide_env_values = true,
        default_value = "qemu-system-x86_64"
    )]
    pub(crate) qemu: String,
    /// OVMF's code, where it is not in a usual place
    #[arg(
        long,
        value_name = "FILE",
        env = "STACK_ALLOC_OVMF_CODE",
        hide_env_values = true
    )]
    pub(crate) ovmf_code: Option<PathBuf>,
    /// OVMF's variables, where they are not beside its code
    #[arg(
        long,
        value_name = "FILE",
        env = "STACK_ALLOC_OVMF_VARS",
        hide_env_values = true
    )]
    pub(crate) ovmf_vars: Option<PathBuf>,
    /// Seconds from QEMU's start to the kernel's first line
    #[arg(long, value_name = "SECONDS", env = "STACK_ALLOC_BOOT_LIMIT", hide_env_values = true, default_value = "120",
          value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) boot_limit: u64,
}

/// `boot image`
#[derive(Args, Debug)]
pub(crate) struct ImageOptions {
    /// The kernel's ELF
    pub(crate) elf: PathBuf,
    /// Only the image for this firmware
    #[arg(long)]
    pub(crate) boot: Option<Firmware>,
}

/// `boot run`
#[derive(Args, Debug)]
pub(crate) struct RunOptions {
    /// The kernel's ELF
    pub(crate) elf: PathBuf,
    /// The machine.
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
    /// Seconds that the whole run may take; no limit without it
    #[arg(long, value_name = "SECONDS", env = "STACK_ALLOC_LIMIT", hide_env_values = true,
          value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) limit: Option<u64>,
    /// How much the kernel tells of itself; `log` at its prompt changes it
    #[arg(
        long,
        value_name = "LEVEL",
        env = "STACK_ALLOC_LOG",
        hide_env_values = true
    )]
    pub(crate) log: Option<LogLevel>,
    /// The kernel runs a bench and leaves, rather than answer at a prompt.
    #[arg(skip)]
    pub(crate) is_bench: bool,
}

/// `boot test`; the flags of Rust's own test programs, as far as they make sense here.
#[derive(Args, Debug)]
pub(crate) struct TestOptions {
    /// The test kernel's ELF
    pub(crate) elf: PathBuf,
    /// Run the tests whose names contain one of these
    pub(crate) filters: Vec<String>,
    /// The machine.
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
    /// Compare whole names
    #[arg(long)]
    pub(crate) exact: bool,
    /// Leave out the tests whose names contain this
    #[arg(long, value_name = "TEXT")]
    pub(crate) skip: Vec<String>,
    /// List the tests and run none
    #[arg(long)]
    pub(crate) list: bool,
    /// Show all serial output, of passed tests too
    #[arg(
        long,
        alias = "no-capture",
        alias = "show-output",
        env = "STACK_ALLOC_NOCAPTURE",
        hide_env_values = true
    )]
    pub(crate) nocapture: bool,
    /// Show only failures and the sum
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Accepted and without effect: the kernel runs one test after the other
    #[arg(long, value_name = "N")]
    pub(crate) test_threads: Option<u32>,
    /// Whether to colour the output
    #[arg(long, default_value = "auto")]
    pub(crate) color: clap::ColorChoice,
    /// Seconds that one test may take
    #[arg(long, value_name = "SECONDS", env = "STACK_ALLOC_TEST_LIMIT", hide_env_values = true, default_value = "60",
          value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) test_limit: u64,
}

/// `boot screenshot`
#[derive(Args, Debug)]
pub(crate) struct ScreenshotOptions {
    /// The kernel's ELF
    pub(crate) elf: PathBuf,
    /// The machine; its display is the picture.
    #[command(flatten)]
    pub(crate) machine: MachineOptions,
    /// The picture to write, as PNG
    #[arg(
        long,
        short,
        value_name = "FILE",
        env = "STACK_ALLOC_OUTPUT",
        hide_env_values = true,
        default_value = "target/screenshot.png"
    )]
    pub(crate) output: PathBuf,
    /// What to type at the prompt before the picture is taken, such as "heap map; frames"; without it, `stress 60 1`, 50
    /// seconds into which the picture is taken
    #[arg(long, value_name = "COMMAND", num_args = 1.., env = "STACK_ALLOC_COMMANDS", hide_env_values = true)]
    pub(crate) commands: Vec<String>,
    /// Seconds from typing the last command to the picture, whether that is done or not; without it, the picture is taken a
    /// second after it is done
    #[arg(
        long,
        value_name = "SECONDS",
        env = "STACK_ALLOC_DELAY",
        hide_env_values = true
    )]
    pub(crate) delay: Option<u64>,
    /// Seconds that the whole run may take
    #[arg(long, value_name = "SECONDS", env = "STACK_ALLOC_LIMIT", hide_env_values = true, default_value = "300",
          value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) limit: u64,
}

/// `boot runner`
#[derive(Args, Debug)]
pub(crate) struct RunnerOptions {
    /// The ELF that cargo has built
    pub(crate) elf: PathBuf,
    /// What the user wrote behind `--`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// `boot gdb`
#[derive(Args, Debug)]
pub(crate) struct GdbOptions {
    /// The kernel's ELF
    pub(crate) elf: PathBuf,
}

/// `boot tally`
#[derive(Args, Debug)]
pub(crate) struct TallyOptions {
    /// The log files, one a step
    #[arg(required = true)]
    pub(crate) logs: Vec<PathBuf>,
}

/// `boot leash`
#[derive(Args, Debug)]
pub(crate) struct LeashOptions {
    /// The process with which the command shall die
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) parent: i32,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}

/// What cargo wants of its runner.
#[derive(Debug)]
pub(crate) enum RunnerKind {
    /// `cargo run` and `cargo bench`
    Run(RunOptions),
    /// `cargo test`
    Test(TestOptions),
}

/// Runs a kernel, with its serial console on this terminal.
#[derive(Debug, Parser)]
#[command(name = "cargo run --", after_help = EXIT_CODES)]
struct RunProgram {
    /// The options.
    #[command(flatten)]
    options: RunOptions,
}

/// Runs a bench kernel, with its serial console on this terminal.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --", after_help = EXIT_CODES)]
struct BenchProgram {
    /// The options.
    #[command(flatten)]
    options: RunOptions,
    /// Passed by cargo to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Runs the tests in a test kernel.
#[derive(Debug, Parser)]
#[command(name = "cargo test --", after_help = EXIT_CODES)]
struct TestProgram {
    /// The options.
    #[command(flatten)]
    options: TestOptions,
}

/// Reads the command line; leaves with exit code 2 and a sentence where it is wrong.
pub(crate) fn parse() -> Command {
    Command::parse()
}

/// Reads what cargo passed on; leaves with exit code 2 and a sentence where it is wrong.
pub(crate) fn parse_runner(runner: &RunnerOptions) -> RunnerKind {
    try_parse_runner(runner).unwrap_or_else(|error| error.exit())
}

/// Reads what cargo passed on.
fn try_parse_runner(runner: &RunnerOptions) -> Result<RunnerKind, clap::Error> {
    let program = OsString::from("runner");
    let words = [&program, runner.elf.as_os_str()]
        .map(OsString::from)
        .into_iter()
        .chain(runner.arguments.clone());
    if runner.arguments.iter().any(|word| word == "--bench") {
        try_parse_bench(words).map(RunnerKind::Run)
    } else if is_test(&runner.elf) {
        TestProgram::try_parse_from(words).map(|program| RunnerKind::Test(program.options))
    } else {
        RunProgram::try_parse_from(words).map(|program| RunnerKind::Run(program.options))
    }
}

/// Reads what `cargo bench` passed on. Instructions are counted, and where nothing else is said the firmware is BIOS: OVMF takes
/// most of a minute when they are, SeaBIOS two seconds.
fn try_parse_bench(words: impl Iterator<Item = OsString>) -> Result<RunOptions, clap::Error> {
    let program = BenchProgram::command().mut_arg("boot", |boot| boot.default_value("bios"));
    let mut options =
        BenchProgram::from_arg_matches(&program.try_get_matches_from(words)?)?.options;
    options.machine.icount = true;
    options.is_bench = true;
    Ok(options)
}

/// Returns the root of the repository, as it was when this program was built.
pub(crate) fn workspace() -> &'static Path {
    let boot = Path::new(env!("CARGO_MANIFEST_DIR"));
    boot.parent().unwrap_or(boot)
}

/// Returns cargo's folder for what is built.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || workspace().join("target"),
        |folder| workspace().join(folder),
    )
}

/// Says whether cargo built this ELF as a test: those stay in a folder named `deps`.
fn is_test(elf: &Path) -> bool {
    elf.parent()
        .and_then(Path::file_name)
        .is_some_and(|folder| folder == "deps")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses what cargo would pass on for `elf`.
    fn parse_for(elf: &str, arguments: &[&str]) -> Result<RunnerKind, clap::Error> {
        let arguments = arguments.iter().map(OsString::from).collect();
        try_parse_runner(&RunnerOptions {
            elf: PathBuf::from(elf),
            arguments,
        })
    }

    /// The refusal of `boot run kernel ARGUMENTS`.
    fn refusal(arguments: &[&str]) -> clap::Error {
        let words = ["boot", "run", "kernel"].iter().chain(arguments);
        Command::try_parse_from(words).expect_err("must be refused")
    }

    #[test]
    fn definition_is_consistent() {
        Command::command().debug_assert();
        TestProgram::command().debug_assert();
        RunProgram::command().debug_assert();
        BenchProgram::command().debug_assert();
    }

    #[test]
    fn levels_are_told_by_their_names() {
        for level in LogLevel::value_variants() {
            let value = level.to_possible_value().expect("all have names");
            assert_eq!(level.argument(), format!("log {}\n", value.get_name()));
        }
    }

    #[test]
    fn deps_folder_means_test() {
        assert!(matches!(
            parse_for("target/debug/deps/kernel-1a2b", &["heap"]),
            Ok(RunnerKind::Test(_))
        ));
        assert!(matches!(
            parse_for("target/debug/kernel", &["--mem", "5G"]),
            Ok(RunnerKind::Run(_))
        ));
    }

    #[test]
    fn bench_is_a_run_that_counts_instructions() {
        let arguments = ["--mem", "512M", "--bench"];
        let Ok(RunnerKind::Run(run)) = parse_for("target/release/deps/kernel-1a2b", &arguments)
        else {
            panic!("must parse")
        };
        assert!(run.is_bench && run.machine.icount && run.machine.mem.mebibytes() == 512);
        assert_eq!(run.machine.boot, Firmware::Bios);
        let arguments = ["--boot", "uefi", "--bench"];
        let Ok(RunnerKind::Run(run)) = parse_for("target/release/deps/kernel-1a2b", &arguments)
        else {
            panic!("must parse")
        };
        assert_eq!(run.machine.boot, Firmware::Uefi);
        let Ok(RunnerKind::Run(run)) = parse_for("target/debug/kernel", &[]) else {
            panic!("must parse")
        };
        assert!(!run.is_bench && !run.machine.icount);
    }

    #[test]
    fn flags_of_libtest_are_known() {
        let words = [
            "heap",
            "boot",
            "--exact",
            "--skip",
            "slow",
            "--test-threads=1",
            "--nocapture",
            "--color",
            "never",
        ];
        let Ok(RunnerKind::Test(test)) = parse_for("deps/kernel", &words) else {
            panic!("must parse")
        };
        assert_eq!(test.filters, ["heap", "boot"]);
        assert_eq!(test.skip, ["slow"]);
        assert!(test.exact && test.nocapture && !test.list);
    }

    #[test]
    fn mistakes_are_refused_with_code_2() {
        for mistake in [
            &["--mem", "banana"][..],
            &["--boot", "foo"],
            &["--smp", "0"],
            &["--accel", "warp"],
            &["--typo"],
        ] {
            assert_eq!(refusal(mistake).exit_code(), 2, "{mistake:?}");
        }
        assert_eq!(
            Command::try_parse_from(["boot", "fly"])
                .expect_err("no such command")
                .exit_code(),
            2
        );
    }

    #[test]
    fn bad_memory_size_says_what_to_write() {
        assert!(
            refusal(&["--mem", "banana"])
                .to_string()
                .contains("such as 256M or 4G")
        );
    }
}

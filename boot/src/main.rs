//! Makes disk images of the kernel, runs them in QEMU, and says how each run ended.
//!
//! The program stands between cargo and QEMU: `.cargo/config.toml` names it (by way of `runner.sh`) as the runner of
//! everything that is built for a machine without an operating system. So `cargo run` and `cargo test` at the root of
//! the repository end up here, and so do the targets of the `Makefile`.
//!
//! | module | knows |
//! |---|---|
//! | [`options`] | the command line, and the environment variables that stand for flags |
//! | [`memory_size`] | how a memory size is written |
//! | [`kernel_elf`] | what a kernel's ELF must look like, and how it is stripped |
//! | [`disk_image`] | the disk images, and when one is out of date |
//! | [`firmware`] | where OVMF, the UEFI firmware, lies on this machine |
//! | [`qemu`] | QEMU's command line |
//! | [`leash`] | how QEMU dies with this program |
//! | [`events`] | what happens outside, in one queue |
//! | [`limits`] | how long a run may take |
//! | [`machine`] | one QEMU process: its output, its input, its end |
//! | [`complaints`] | what QEMU writes to its error output |
//! | [`monitor`] | QEMU's monitor: NMIs, pictures of the screen, resets |
//! | [`feed`] | when the standard input may be passed on to the kernel |
//! | [`ask`] | what the kernel can ask for |
//! | [`outcome`] | how a run ended, as a message and as an exit code |
//! | [`serial`] | the lines on the serial console, and which of them are for the runner |
//! | [`escape`] | terminal escape codes, taken out of a text |
//! | [`symbols`] | addresses, turned into function, file and line |
//! | [`console`] | a run for a human or a pipe |
//! | [`terminal`] | the state of the terminal, and putting it back |
//! | [`test_flow`] | which boot comes next, and what each test's verdict is |
//! | [`test_run`] | a test run: boots, limits, the report |
//! | [`screenshot`] | a run that ends with a picture of the screen |
//! | [`png`] | the size of a picture |
//! | [`output`] | writing to the standard output, which may be closed |
//! | [`writer`] | the thread that writes while a machine runs |
//! | [`style`] | colour, where it is wanted |
//! | [`tally`] | the sum of several test runs' results |
//! | [`gdb`] | gdb, attached with symbols |
//! | [`protocol`] | what the kernel and this program say to each other; the kernel compiles the same file |

#![forbid(unsafe_code)]

mod ask;
mod complaints;
mod console;
mod disk_image;
mod escape;
mod events;
mod feed;
mod firmware;
mod gdb;
mod kernel_elf;
mod leash;
mod limits;
mod machine;
mod memory_size;
mod monitor;
mod options;
mod outcome;
mod output;
mod png;
#[path = "../../kernel/src/protocol.rs"]
#[expect(unreachable_pub, reason = "public in the kernel's library")]
#[cfg_attr(not(test), expect(dead_code, reason = "the kernel's half of it"))]
mod protocol;
mod qemu;
mod screenshot;
mod serial;
mod style;
mod symbols;
mod tally;
mod terminal;
mod test_flow;
mod test_run;
mod writer;

use core::time::Duration;
use std::process::ExitCode;

use options::{Command, RunnerKind};
use output::{note, say};

/// Trouble before QEMU starts: a bad flag, no firmware, no kernel.
const EXIT_TROUBLE: u8 = 2;

/// How long who reads our output may take behind a run that was stopped.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    leash::remember_parent();
    terminal::restore_on_panic();
    let result = run(options::parse());
    let was_stopped = matches!(result, Ok(code) if outcome::is_stop(code));
    let written = output::finish(was_stopped.then_some(PATIENCE));
    match result.and_then(|code| written.map(|()| code)) {
        Ok(code) => ExitCode::from(code),
        Err(error) if error.is::<output::Closed>() => ExitCode::from(output::EXIT_CLOSED),
        Err(error) => {
            note!("{} {error:#}", style::stderr().bad("error:"));
            ExitCode::from(EXIT_TROUBLE)
        }
    }
}

/// Does what the command line asks for, and returns the exit code.
fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Image(image) => {
            for path in disk_image::make_all(&image.elf, image.boot)? {
                match say!("{}", path.display()) {
                    // The images are made; who does not read on knows enough.
                    Err(error) if error.is::<output::Closed>() => break,
                    other => other?,
                }
            }
            Ok(0)
        }
        Command::Run(run) => console::run(&run),
        Command::Test(test) => test_run::run(&test),
        Command::Screenshot(screenshot) => screenshot::run(&screenshot),
        Command::Runner(runner) => match options::parse_runner(&runner) {
            RunnerKind::Run(run) => console::run(&run),
            RunnerKind::Test(test) => test_run::run(&test),
        },
        Command::Gdb(gdb) => gdb::attach(&gdb.elf),
        Command::Tally(tally) => tally::run(&tally.logs),
        Command::Leash(leash) => leash::hold(&leash),
    }
}

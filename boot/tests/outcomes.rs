//! Each way a run can end, provoked from outside: the real program, the real QEMU and the real kernel, except where only a
//! kernel that does not behave would do: a shell script ([`fakes`]) plays that one.
//!
//! Most of it needs a kernel, which cargo cannot build for a test of this package: `make test` builds one and names it in
//! `STACK_ALLOC_KERNEL`. The machines start with BIOS, which is there in two seconds, where UEFI takes four.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "outcomes/cpus.rs"]
mod cpus;
#[path = "outcomes/fakes.rs"]
mod fakes;
#[path = "outcomes/kernel.rs"]
mod kernel;
#[path = "outcomes/masked.rs"]
mod masked;
#[path = "outcomes/screenshot.rs"]
mod screenshot;
#[path = "outcomes/session.rs"]
mod session;
#[path = "outcomes/stalled.rs"]
mod stalled;
#[path = "outcomes/stopping.rs"]
mod stopping;
#[path = "outcomes/trouble.rs"]
mod trouble;

/// Returns the program, with none of its environment variables set. Colour is off, so that texts can be compared.
fn boot(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boot"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STACK_ALLOC_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").args(words);
    command
}

/// Returns the path of the kernel.
fn kernel_elf() -> OsString {
    std::env::var_os("STACK_ALLOC_KERNEL")
        .expect("set STACK_ALLOC_KERNEL to the ELF of a kernel (`cargo build` makes one), or run `make test`")
}

/// Returns `boot VERB KERNEL WORDS`.
fn with_kernel(verb: &str, words: &[&str]) -> Command {
    let mut command = boot(&[verb]);
    command.arg(kernel_elf()).args(words);
    command
}

/// Returns the program running the kernel with BIOS. The limit is far away; it is there for a kernel that hangs.
fn run_kernel(words: &[&str]) -> Command {
    let mut command = with_kernel("run", &["--boot", "bios"]);
    if !words.contains(&"--limit") {
        command.args(["--limit", "300"]);
    }
    command.args(words);
    command
}

/// Returns an empty folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).expect("can make a folder");
    folder
}

//! Ties QEMU's life to this program's.
//!
//! A QEMU that outlives a killed runner holds its memory and a processor for ever. Linux can send a process a signal
//! when its parent dies, but only the process itself can ask for that. So QEMU is started by way of this program:
//! `boot leash qemu-system-x86_64 …` asks for the signal and then becomes QEMU, which keeps the setting.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};
use rustix::process::{Signal, set_parent_process_death_signal};

/// Becomes `command`, which is killed when the parent dies. Returns only where that fails.
pub(crate) fn hold(command: &[OsString]) -> anyhow::Result<u8> {
    let (program, arguments) = command.split_first().context("no command to run")?;
    set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot ask for a signal when the parent dies")?;
    let error = Command::new(program).args(arguments).exec();
    bail!("cannot start {}: {error}", program.display());
}

/// Asks for SIGTERM when the parent (cargo) dies, so that a killed `cargo test` ends its QEMU too.
pub(crate) fn follow_parent() {
    // Not vital: without it, a runner whose cargo was killed merely goes on to its end.
    let _ = set_parent_process_death_signal(Some(Signal::TERM));
}

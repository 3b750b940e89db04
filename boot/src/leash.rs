//! Ties QEMU's life to this program's.
//!
//! A QEMU that outlives a killed runner holds its memory and a processor for ever. Linux can send a process a signal
//! when its parent dies, but only the process itself can ask for that. So QEMU is started by way of this program:
//! `boot leash qemu-system-x86_64 …` asks for the signal and then becomes QEMU, which keeps the setting.
//!
//! Who dies before it is asked for sends nothing. So afterwards one looks whether the parent is still the one it was.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, bail};
use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal,
};

use crate::options::LeashOptions;

/// The process that started this program; `None` where it is not to be seen from here.
static PARENT: OnceLock<Option<Pid>> = OnceLock::new();

/// Remembers who started this program. To be called first of all.
pub(crate) fn remember_parent() {
    PARENT.get_or_init(getppid);
}

/// Becomes the command, which is killed when the parent dies. Returns only where that fails, or where the parent is gone.
pub(crate) fn hold(options: &LeashOptions) -> anyhow::Result<u8> {
    let (program, arguments) = options.command.split_first().context("no command to run")?;
    let is_held = tie(Pid::from_raw(options.parent), Signal::KILL)
        .context("cannot ask for a signal when the parent dies")?;
    if !is_held {
        bail!("the program that wanted {} has ended", program.display());
    }
    let error = Command::new(program).args(arguments).exec();
    bail!("cannot start {}: {error}", program.display());
}

/// Asks for SIGTERM when the parent (cargo) dies, so that a killed `cargo test` ends its QEMU too.
pub(crate) fn follow_parent() {
    let parent = *PARENT.get_or_init(getppid);
    // Not vital: without it, a runner whose cargo was killed merely goes on to its end.
    if let Ok(false) = tie(parent, Signal::TERM) {
        let _ = kill_process(getpid(), Signal::TERM);
    }
}

/// Asks for `signal` when the parent dies. Says whether `parent` is still the parent; where it is not, no signal will come.
fn tie(parent: Option<Pid>, signal: Signal) -> rustix::io::Result<bool> {
    set_parent_process_death_signal(Some(signal))?;
    Ok(getppid() == parent)
}

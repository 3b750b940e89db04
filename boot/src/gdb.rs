//! gdb, attached to a waiting QEMU, with the kernel's symbols where the kernel will be.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::output::note;
use crate::{disk_image, kernel_elf, qemu};

/// Where the kernel asks the boot loader to put it (`kernel/src/boot.rs`).
const USUAL_BASE: u64 = 0xffff_ffff_8000_0000;

/// The file that remembers where the last run's image lay.
const BASE_FILE: &str = "image-base";

/// Writes down where the kernel's image lies, for the next [`attach`]. It is the same in every boot of one kernel.
pub(crate) fn remember_base(elf: &Path, base: u64) -> anyhow::Result<()> {
    let path = disk_image::folder(elf)?.join(BASE_FILE);
    fs::write(&path, format!("{base:#x}\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Becomes gdb; returns only where that fails.
pub(crate) fn attach(elf: &Path) -> anyhow::Result<u8> {
    kernel_elf::read(elf)?;
    if qemu::find_program("gdb").is_none() {
        bail!("gdb is missing: install it (on Debian `apt-get install gdb`)");
    }
    let base = fs::read_to_string(disk_image::folder(elf)?.join(BASE_FILE)).unwrap_or_default();
    let base = base.trim();
    let base = if base.is_empty() {
        format!("{USUAL_BASE:#x}")
    } else {
        base.to_owned()
    };
    note!(
        "Attaching to QEMU on port 1234 (start it with `make run GDB=1`); the kernel's image lies at {base}."
    );
    note!("gdb stops at the kernel's entry; `continue` runs on.");
    let error = Command::new("gdb").args(arguments(elf, &base)).exec();
    bail!("cannot start gdb: {error}");
}

/// Returns gdb's arguments: connect, load symbols at the right place, run to the kernel's entry.
///
/// The breakpoint is one of the processor's: the memory for one of the other kind is not mapped yet.
fn arguments(elf: &Path, base: &str) -> Vec<String> {
    let elf = elf.display();
    [
        "set confirm off".to_owned(),
        "set architecture i386:x86-64".to_owned(),
        "target remote localhost:1234".to_owned(),
        format!("add-symbol-file {elf} -o {base}"),
        "hbreak _start".to_owned(),
        "continue".to_owned(),
    ]
    .into_iter()
    .flat_map(|command| ["-ex".to_owned(), command])
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_loaded_at_the_image() {
        let words = arguments(Path::new("target/kernel"), "0xffff800000000000").join(" ");
        assert!(
            words.contains("add-symbol-file target/kernel -o 0xffff800000000000"),
            "{words}"
        );
    }
}

//! QEMU's command line.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use crate::firmware::Ovmf;
use crate::options::{Accelerator, MachineOptions};
use crate::protocol;

/// What one boot needs besides the machine.
#[derive(Clone, Debug)]
pub(crate) struct Boot<'a> {
    /// The disk image.
    pub(crate) image: &'a Path,
    /// The firmware, where it is UEFI.
    pub(crate) ovmf: Option<&'a Ovmf>,
    /// The kernel's arguments, one a line; often none.
    pub(crate) arguments: &'a str,
}

/// Returns QEMU's arguments.
pub(crate) fn arguments(machine: &MachineOptions, boot: &Boot<'_>) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    let mut flag = |name: &str, value: String| words.extend([name.into(), value.into()]);
    flag("-name", "stack_alloc".to_owned());
    flag("-m", machine.mem.to_qemu());
    flag("-smp", machine.smp.to_string());
    flag("-accel", accelerator(machine).to_owned());
    if machine.icount {
        // An instruction is 2^0 nanoseconds.
        flag("-icount", "shift=0".to_owned());
    }
    flag("-display", machine.display.clone());
    flag("-nic", "none".to_owned());
    // The serial port is this program's pipe; QEMU reads from it only while the guest has room.
    flag("-chardev", "stdio,id=console,signal=off".to_owned());
    flag("-serial", "chardev:console".to_owned());
    flag("-monitor", "none".to_owned());
    flag(
        "-device",
        format!(
            "isa-debug-exit,iobase={:#x},iosize=0x04",
            protocol::EXIT_PORT
        ),
    );
    if let Some(ovmf) = boot.ovmf {
        flag(
            "-drive",
            format!(
                "if=pflash,unit=0,format=raw,readonly=on,file={}",
                quoted(&ovmf.code)
            ),
        );
        // Writes go to a file of QEMU's own that is gone with it, so every boot finds the same machine.
        flag(
            "-drive",
            format!(
                "if=pflash,unit=1,format=raw,snapshot=on,file={}",
                quoted(&ovmf.variables)
            ),
        );
    }
    flag(
        "-drive",
        format!("format=raw,snapshot=on,file={}", quoted(boot.image)),
    );
    if !boot.arguments.is_empty() {
        let text = boot.arguments.replace(',', ",,");
        flag(
            "-fw_cfg",
            format!("name={},string={text}", protocol::ARGUMENTS_FILE),
        );
    }
    words.push("-no-reboot".into());
    if machine.gdb {
        words.extend(["-s".into(), "-S".into()]);
    }
    words.extend(machine.qemuflags.split_whitespace().map(OsString::from));
    words
}

/// Returns a path as QEMU's comma-separated options want it.
fn quoted(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Returns the accelerator to name to QEMU. Instructions can be counted by TCG alone.
pub(crate) fn accelerator(machine: &MachineOptions) -> &'static str {
    match machine.accel {
        Accelerator::Kvm => "kvm",
        Accelerator::Tcg => "tcg",
        Accelerator::Auto if machine.icount => "tcg",
        Accelerator::Auto if has_kvm() => "kvm",
        Accelerator::Auto => "tcg",
    }
}

/// Says whether KVM can be relied on. A `/dev/kvm` alone proves nothing: where the processor does not show the
/// extension (in a virtual machine, say), QEMU starts and the guest hangs.
pub(crate) fn has_kvm() -> bool {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    shows_virtualisation(&processor)
        && rustix::fs::access("/dev/kvm", Access::READ_OK | Access::WRITE_OK).is_ok()
}

/// Looks for Intel's or AMD's extension among the processor's flags.
fn shows_virtualisation(processor: &str) -> bool {
    processor
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| {
            line.split_whitespace()
                .any(|word| word == "vmx" || word == "svm")
        })
}

/// Finds a program on PATH, or by its path.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let is_program =
        |path: &Path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| is_program(path));
    }
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtualisation_is_a_flag_of_the_processor() {
        assert!(shows_virtualisation(
            "processor\t: 0\nflags\t\t: fpu svm sse\n"
        ));
        assert!(!shows_virtualisation(
            "model name\t: svm\nflags\t\t: fpu sse svm_lock\n"
        ));
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-such-program-anywhere"), None);
        assert_eq!(
            find_program(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")),
            None
        );
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        assert_eq!(quoted(Path::new("/a,b/c.img")), "/a,,b/c.img");
    }
}

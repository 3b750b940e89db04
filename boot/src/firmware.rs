//! Finds OVMF, the UEFI firmware for QEMU: a file with its code, and one with its variables.

use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::options::MachineOptions;

/// The two files of OVMF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ovmf {
    /// The code; never written to.
    pub(crate) code: PathBuf,
    /// The variables as they are on a new machine; QEMU works on a throw-away copy.
    pub(crate) variables: PathBuf,
}

/// Where distributions put OVMF: code, then variables.
const USUAL_PLACES: &[(&str, &str)] = &[
    // Debian, Ubuntu
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
    // Fedora
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    // Arch
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
    (
        "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
        "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd",
    ),
    // openSUSE
    (
        "/usr/share/qemu/ovmf-x86_64-code.bin",
        "/usr/share/qemu/ovmf-x86_64-vars.bin",
    ),
    // NixOS, Homebrew and QEMU's own installation
    (
        "/run/libvirt/nix-ovmf/OVMF_CODE.fd",
        "/run/libvirt/nix-ovmf/OVMF_VARS.fd",
    ),
    (
        "/opt/homebrew/share/qemu/edk2-x86_64-code.fd",
        "/opt/homebrew/share/qemu/edk2-i386-vars.fd",
    ),
    (
        "/usr/local/share/qemu/edk2-x86_64-code.fd",
        "/usr/local/share/qemu/edk2-i386-vars.fd",
    ),
    (
        "/usr/share/qemu/edk2-x86_64-code.fd",
        "/usr/share/qemu/edk2-i386-vars.fd",
    ),
];

/// Returns the files that the user named, or the first pair in a usual place.
pub(crate) fn find(machine: &MachineOptions) -> anyhow::Result<Ovmf> {
    let Some(code) = &machine.ovmf_code else {
        return find_in(USUAL_PLACES);
    };
    let variables = machine
        .ovmf_vars
        .clone()
        .unwrap_or_else(|| variables_beside(code));
    for file in [code, &variables] {
        if !file.is_file() {
            bail!(
                "there is no OVMF file {}: correct STACK_ALLOC_OVMF_CODE and STACK_ALLOC_OVMF_VARS (or --ovmf-code and \
                 --ovmf-vars), or leave them out to search the usual places",
                file.display()
            );
        }
    }
    Ok(Ovmf {
        code: code.clone(),
        variables,
    })
}

/// Returns the first of `places` where both files are.
fn find_in(places: &[(&str, &str)]) -> anyhow::Result<Ovmf> {
    for &(code, variables) in places {
        if Path::new(code).is_file() && Path::new(variables).is_file() {
            return Ok(Ovmf {
                code: code.into(),
                variables: variables.into(),
            });
        }
    }
    bail!(
        "OVMF, the UEFI firmware for QEMU, is missing: install it (`make setup`; on Debian `apt-get install ovmf`, on \
         Fedora and Arch `edk2-ovmf`), name its files with STACK_ALLOC_OVMF_CODE and STACK_ALLOC_OVMF_VARS, or use \
         BOOT=bios"
    )
}

/// Guesses the variables' file from the code's: the same name with VARS for CODE.
fn variables_beside(code: &Path) -> PathBuf {
    let name = code.file_name().unwrap_or_default().to_string_lossy();
    code.with_file_name(name.replace("CODE", "VARS").replace("code", "vars"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_firmware_names_package_and_variable() {
        let error = find_in(&[("/nowhere/OVMF_CODE.fd", "/nowhere/OVMF_VARS.fd")])
            .expect_err("nothing there");
        let text = error.to_string();
        assert!(
            text.contains("apt-get install ovmf") && text.contains("STACK_ALLOC_OVMF_CODE"),
            "{text}"
        );
    }

    #[test]
    fn variables_lie_beside_the_code() {
        assert_eq!(
            variables_beside(Path::new("/a/OVMF_CODE_4M.fd")),
            Path::new("/a/OVMF_VARS_4M.fd")
        );
        assert_eq!(
            variables_beside(Path::new("/a/ovmf-x86_64-code.bin")),
            Path::new("/a/ovmf-x86_64-vars.bin")
        );
    }
}

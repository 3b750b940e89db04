//! The kernel's ELF: checked before anything is made of it, and stripped for the disk image.
//!
//! The real-mode loader of the BIOS path reads every byte of the file, so the image gets a copy without symbols and
//! debug information. The file that cargo made stays as it is, for gdb and for [`crate::symbols`].

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use object::build::elf::Builder;
use object::{Architecture, Object, ObjectKind, elf};

/// Reads the kernel's ELF, and says what is wrong where it is none.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let content = fs::read(path).with_context(|| {
        format!(
            "cannot read the kernel {}: build it with `cargo build`, or correct the path",
            path.display()
        )
    })?;
    check(&content).with_context(|| {
        format!(
            "{} is not a kernel for this machine: pass the ELF that `cargo build` makes",
            path.display()
        )
    })?;
    Ok(content)
}

/// Fails where `content` is anything but a linked 64-bit ELF for x86-64.
fn check(content: &[u8]) -> anyhow::Result<()> {
    if !content.starts_with(&elf::ELFMAG) {
        bail!("it is not an ELF file");
    }
    let file = object::File::parse(content).context("the ELF file is damaged")?;
    if file.architecture() != Architecture::X86_64 || !file.is_64() {
        bail!("it is for another processor ({:?})", file.architecture());
    }
    if !matches!(file.kind(), ObjectKind::Executable | ObjectKind::Dynamic) {
        bail!("it is not a linked program");
    }
    if file.section_by_name(".interp").is_some() {
        bail!("it is a program for an operating system");
    }
    if file.section_by_name(".bootloader-config").is_none() {
        bail!("it has no `bootloader_api::entry_point!`");
    }
    Ok(())
}

/// Returns a copy of the ELF with nothing in it that is not loaded into memory.
pub(crate) fn stripped(content: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut builder = Builder::read(content).context("cannot take the kernel's ELF apart")?;
    for section in &mut builder.sections {
        let is_names = section.name.as_slice() == b".shstrtab";
        section.delete = !section.is_alloc() && !is_names;
    }
    for symbol in &mut builder.symbols {
        symbol.delete = true;
    }
    builder.delete_orphans();
    let mut stripped = Vec::new();
    builder
        .write(&mut stripped)
        .context("cannot write the stripped kernel")?;
    Ok(stripped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_kernel() {
        let error = check(b"#!/bin/sh\n").expect_err("a script");
        assert_eq!(error.to_string(), "it is not an ELF file");
    }

    #[test]
    fn cut_off_elf_is_damaged() {
        assert!(
            check(b"\x7fELF\x02\x01\x01")
                .expect_err("too short")
                .to_string()
                .contains("damaged")
        );
    }

    #[test]
    fn host_program_is_no_kernel() {
        let own = std::env::current_exe().expect("the path of this test program");
        let error = read(&own).expect_err("a Linux program");
        assert!(
            format!("{error:#}").contains("program for an operating system"),
            "{error:#}"
        );
    }

    #[test]
    fn missing_kernel_says_how_to_build_it() {
        let error = read(Path::new("/nowhere/kernel")).expect_err("nothing there");
        assert!(error.to_string().contains("cargo build"), "{error:#}");
    }
}

//! Disk images with the boot loader and the stripped kernel, in `target/boot/NAME/`.
//!
//! An image is made again only when the kernel or this program has changed since. It is written under another name
//! and then renamed, so that a second run beside this one never sees half an image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::time::SystemTime;

use anyhow::Context;
use bootloader::{BootConfig, DiskImageBuilder};

use crate::kernel_elf;
use crate::options::Firmware;

/// Makes the image for `firmware`, or for both, and returns the paths.
pub(crate) fn make_all(elf: &Path, firmware: Option<Firmware>) -> anyhow::Result<Vec<PathBuf>> {
    let wanted = firmware.map_or(vec![Firmware::Uefi, Firmware::Bios], |one| vec![one]);
    wanted
        .into_iter()
        .map(|firmware| make(elf, firmware))
        .collect()
}

/// Makes the image for `firmware`, unless it is there and up to date, and returns its path.
pub(crate) fn make(elf: &Path, firmware: Firmware) -> anyhow::Result<PathBuf> {
    let content = kernel_elf::read(elf)?;
    let folder = folder(elf)?;
    let image = folder.join(format!("{}.img", firmware.name()));
    let stamp = folder.join(format!("{}.stamp", firmware.name()));
    let wanted = stamp_of(elf)?;
    if image.is_file() && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(image);
    }
    let unfinished = folder.join(format!("{}-{}.part", firmware.name(), process::id()));
    build(&content, firmware, &unfinished)
        .with_context(|| format!("cannot make the disk image {}", image.display()))?;
    fs::rename(&unfinished, &image).with_context(|| format!("cannot write {}", image.display()))?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(image)
}

/// Writes an image to `image`.
fn build(kernel: &[u8], firmware: Firmware, image: &Path) -> anyhow::Result<()> {
    let mut builder = DiskImageBuilder::empty();
    builder.set_file_contents("kernel-x86_64".to_owned(), kernel_elf::stripped(kernel)?);
    builder.set_boot_config(&boot_config(firmware));
    match firmware {
        Firmware::Uefi => builder.create_uefi_image(image),
        Firmware::Bios => builder.create_bios_image(image),
    }
}

/// A boot loader that says nothing, so that the first line on the console is the kernel's.
fn boot_config(firmware: Firmware) -> BootConfig {
    let mut config = BootConfig::default();
    if firmware == Firmware::Bios {
        // Room for the kernel's picture of its heap. UEFI has a screen as large as suits it, and would give its largest.
        config.frame_buffer.minimum_framebuffer_width = Some(1280);
        config.frame_buffer.minimum_framebuffer_height = Some(720);
    }
    config.serial_logging = false;
    config.frame_buffer_logging = false;
    config
}

/// Returns the folder for what is made of `elf`, and creates it. Cargo's hash is not part of its name, so that the
/// folder of one test kernel is found again and does not leave another one behind with each build.
pub(crate) fn folder(elf: &Path) -> anyhow::Result<PathBuf> {
    let folder = crate::options::target_folder()
        .join("boot")
        .join(folder_name(elf));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}

/// Returns a name for what is made of `elf`: its file name; for a test, without the hash and with `-test`.
fn folder_name(elf: &Path) -> String {
    let stem = elf.file_name().unwrap_or_default().to_string_lossy();
    match stem.rsplit_once('-') {
        Some((name, hash))
            if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            format!("{name}-test")
        }
        _ => stem.into_owned(),
    }
}

/// Returns a text that changes whenever the image has to be made again.
fn stamp_of(elf: &Path) -> anyhow::Result<String> {
    let program = std::env::current_exe().context("cannot find out where this program lies")?;
    Ok(format!("{}\n{}\n", identity(elf)?, identity(&program)?))
}

/// Returns the path, size and age of a file.
fn identity(file: &Path) -> anyhow::Result<String> {
    let metadata =
        fs::metadata(file).with_context(|| format!("cannot look at {}", file.display()))?;
    let age = metadata
        .modified()?
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Ok(format!(
        "{} {} {}",
        file.display(),
        metadata.len(),
        age.as_nanos()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_a_test_kernel_outlives_its_hash() {
        assert_eq!(
            folder_name(Path::new("target/debug/deps/heap-0123456789abcdef")),
            "heap-test"
        );
        assert_eq!(folder_name(Path::new("target/debug/kernel")), "kernel");
        assert_eq!(folder_name(Path::new("my-kernel")), "my-kernel");
    }
}

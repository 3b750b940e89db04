//! Turns the addresses that the kernel prints into function, file and line.
//!
//! The kernel knows only addresses; names are in the unstripped ELF on this side. An address is believed to be one where
//! it is written as `0x` and 16 hexadecimal digits and lies within the kernel's image. In a line of a backtrace,
//! `   N: 0x…`, it is a return address: the call is the instruction before it.

use core::fmt::Write as _;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use object::{Object, ObjectSegment};

use crate::options;

/// The names in one kernel's ELF.
pub(crate) struct Symbols {
    /// The unstripped ELF.
    elf: PathBuf,
    /// Its debug information, read when the first address turns up.
    loader: Option<Loader>,
    /// Where the image starts in the kernel's memory; `None` until the kernel has said so.
    base: Option<u64>,
    /// How many bytes of memory the image takes.
    length: u64,
}

impl Symbols {
    /// Prepares for the kernel in `elf`, whose content is `content`.
    pub(crate) fn new(elf: &Path, content: &[u8]) -> Self {
        let length = object::File::parse(content)
            .map(|file| {
                file.segments()
                    .map(|segment| segment.address() + segment.size())
                    .max()
                    .unwrap_or(0)
            })
            .unwrap_or(0);
        Self {
            elf: elf.to_owned(),
            loader: None,
            base: None,
            length,
        }
    }

    /// Takes note of where the image was loaded.
    pub(crate) fn set_base(&mut self, base: u64) {
        self.base = Some(base);
    }

    /// Returns the line with the names of the addresses in it.
    pub(crate) fn annotated(&mut self, line: &str) -> String {
        let mut annotated = line.to_owned();
        for (address, is_return) in addresses(line) {
            let Some(offset) = self.offset(address) else {
                continue;
            };
            let probe = if is_return {
                offset.saturating_sub(1)
            } else {
                offset
            };
            annotated.push_str(&self.name(probe));
        }
        annotated
    }

    /// Returns where in the image an address lies.
    fn offset(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.base?)?;
        (offset < self.length).then_some(offset)
    }

    /// Returns ` function (file:line)` for a place in the image, with the functions that were inlined there, innermost
    /// first.
    fn name(&mut self, probe: u64) -> String {
        let mut text = String::new();
        for (function, place) in self.frames(probe).unwrap_or_default() {
            let separator = if text.is_empty() {
                " "
            } else {
                ", inlined into "
            };
            let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
            write!(text, "{separator}{function}{place}").expect("a string takes all text");
        }
        text
    }

    /// Returns the functions at a place, innermost first, each with its file and line.
    fn frames(&mut self, probe: u64) -> Option<Vec<(String, Option<String>)>> {
        if self.loader.is_none() {
            self.loader = Loader::new(&self.elf).ok();
        }
        let loader = self.loader.as_ref()?;
        let mut found = Vec::new();
        let mut frames = loader.find_frames(probe).ok()?;
        while let Ok(Some(frame)) = frames.next() {
            let function = frame
                .function
                .as_ref()
                .and_then(|name| name.demangle().ok().map(|name| without_hash(&name)));
            let place = frame
                .location
                .and_then(|place| Some((place.file?.to_owned(), place.line?)));
            if let Some(function) = function {
                found.push((
                    function,
                    place.map(|(file, line)| format!("{}:{line}", shortened(&file))),
                ));
            }
        }
        if found.is_empty() {
            found.push((
                without_hash(&addr2line::demangle_auto(
                    loader.find_symbol(probe)?.into(),
                    None,
                )),
                None,
            ));
        }
        Some(found)
    }
}

/// Finds the addresses in a line, and whether each is a return address.
fn addresses(line: &str) -> Vec<(u64, bool)> {
    let is_backtrace = is_backtrace_line(line);
    line.match_indices("0x")
        .filter_map(|(start, _)| {
            let digits = line.get(start + 2..)?;
            let length = digits.bytes().take_while(u8::is_ascii_hexdigit).count();
            (length == 16).then(|| u64::from_str_radix(&digits[..16], 16).ok())?
        })
        .map(|address| (address, is_backtrace))
        .collect()
}

/// Says whether a line reads `   N: 0x…`.
fn is_backtrace_line(line: &str) -> bool {
    line.trim_start()
        .split_once(": 0x")
        .is_some_and(|(number, _)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// Returns a function's name without the hash that the compiler puts at its end.
fn without_hash(name: &str) -> String {
    match name.rsplit_once("::h") {
        Some((path, hash))
            if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            path.to_owned()
        }
        _ => name.to_owned(),
    }
}

/// Returns a source file's path from where the reader would look for it.
fn shortened(file: &str) -> String {
    let workspace = options::workspace().display().to_string();
    if let Some(inside) = file.strip_prefix(&workspace) {
        return inside.trim_start_matches('/').to_owned();
    }
    if let Some((_, library)) = file.split_once("/library/") {
        return format!("rust/{library}");
    }
    match file
        .split_once("/registry/src/")
        .and_then(|(_, path)| path.split_once('/'))
    {
        Some((_, in_crate)) => in_crate.to_owned(),
        None => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_addresses_count() {
        assert_eq!(
            addresses("at 0xffff800000001000, flags 0x246"),
            [(0xffff_8000_0000_1000, false)]
        );
        assert_eq!(addresses("0x00112233445566778899"), []);
        assert_eq!(addresses("no address, not even 0x"), []);
    }

    #[test]
    fn backtrace_lines_hold_return_addresses() {
        assert_eq!(
            addresses("   0: 0xffff800000001000"),
            [(0xffff_8000_0000_1000, true)]
        );
        assert_eq!(
            addresses("  12: 0xffff800000001000"),
            [(0xffff_8000_0000_1000, true)]
        );
        assert_eq!(
            addresses("rip: 0xffff800000001000"),
            [(0xffff_8000_0000_1000, false)]
        );
    }

    #[test]
    fn addresses_outside_the_image_stay_bare() {
        let mut symbols = Symbols {
            elf: PathBuf::new(),
            loader: None,
            base: Some(0x1000),
            length: 0x10,
        };
        assert_eq!(symbols.offset(0x1004), Some(4));
        assert_eq!(symbols.offset(0x1010), None);
        assert_eq!(
            symbols.annotated("at 0x0000000000002000"),
            "at 0x0000000000002000"
        );
    }

    #[test]
    fn functions_of_an_elf_are_named() {
        let own = std::env::current_exe().expect("the path of this test program");
        let content = std::fs::read(&own).expect("this test program");
        let file = object::File::parse(&*content).expect("an ELF");
        let entry = file.entry();
        let mut symbols = Symbols::new(&own, &content);
        symbols.set_base(0x7000_0000_0000);
        let line = format!("   0: {:#018x}", 0x7000_0000_0000 + entry + 1);
        assert!(
            symbols.annotated(&line).contains("_start"),
            "{}",
            symbols.annotated(&line)
        );
    }

    #[test]
    fn paths_are_as_short_as_the_reader_needs() {
        let own = format!("{}/kernel/src/main.rs", options::workspace().display());
        assert_eq!(shortened(&own), "kernel/src/main.rs");
        assert_eq!(
            shortened("/rustc/abc/library/core/src/ptr.rs"),
            "rust/core/src/ptr.rs"
        );
        assert_eq!(
            shortened("/home/u/.cargo/registry/src/index-1/spin-0.12.3/src/lib.rs"),
            "spin-0.12.3/src/lib.rs"
        );
    }

    #[test]
    fn hashes_are_left_out() {
        assert_eq!(
            without_hash("kernel::main::h0123456789abcdef"),
            "kernel::main"
        );
        assert_eq!(without_hash("kernel::main"), "kernel::main");
    }
}

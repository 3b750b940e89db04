//! Turns the addresses that the kernel prints into function, file and line.
//!
//! The kernel knows only addresses; names are in the unstripped ELF on this side. An address is believed to be one where
//! it is written as `0x` and 16 hexadecimal digits and lies within the kernel's image. (The kernel's backtraces print the
//! addresses of the calls, not those they return to, so every address is looked up as it is.)

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
        for address in addresses(line) {
            if let Some(offset) = self.offset(address) {
                annotated.push_str(&self.name(offset));
            }
        }
        annotated
    }

    /// Returns where in the image an address lies.
    fn offset(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.base?)?;
        (offset < self.length).then_some(offset)
    }

    /// Returns ` function (file:line)` for a place in the image, with the functions that were inlined there, innermost
    /// first. Of those between the innermost and the outermost, only the kernel's own are named.
    fn name(&mut self, probe: u64) -> String {
        let mut text = String::new();
        let frames = self.frames(probe).unwrap_or_default();
        for (number, frame) in frames.iter().enumerate() {
            if number > 0 && number + 1 < frames.len() && !frame.is_own {
                continue;
            }
            let separator = if text.is_empty() {
                " "
            } else {
                ", inlined into "
            };
            text.push_str(separator);
            text.push_str(&frame.function);
            if let Some(place) = &frame.place {
                write!(text, " ({place})").expect("a string takes all text");
            }
        }
        text
    }

    /// Returns the functions at a place, innermost first.
    fn frames(&mut self, probe: u64) -> Option<Vec<Frame>> {
        if self.loader.is_none() {
            self.loader = Loader::new(&self.elf).ok();
        }
        let loader = self.loader.as_ref()?;
        let mut found = Vec::new();
        let mut frames = loader.find_frames(probe).ok()?;
        while let Ok(Some(frame)) = frames.next() {
            let Some(function) = frame
                .function
                .as_ref()
                .and_then(|name| name.demangle().ok())
            else {
                continue;
            };
            let place = frame
                .location
                .and_then(|place| Some((place.file?.to_owned(), place.line?)));
            found.push(Frame {
                function: readable(&function),
                is_own: place.as_ref().is_some_and(|(file, _)| is_own(file)),
                place: place.map(|(file, line)| format!("{}:{line}", shortened(&file))),
            });
        }
        if found.is_empty() {
            let name = addr2line::demangle_auto(loader.find_symbol(probe)?.into(), None);
            found.push(Frame {
                function: readable(&name),
                is_own: false,
                place: None,
            });
        }
        Some(found)
    }
}

/// A function at a place.
struct Frame {
    /// Its name.
    function: String,
    /// It stands in this workspace.
    is_own: bool,
    /// File and line.
    place: Option<String>,
}

/// Finds the addresses in a line.
fn addresses(line: &str) -> Vec<u64> {
    line.match_indices("0x")
        .filter_map(|(start, _)| {
            let digits = line.get(start + 2..)?;
            let length = digits.bytes().take_while(u8::is_ascii_hexdigit).count();
            (length == 16).then(|| u64::from_str_radix(&digits[..16], 16).ok())?
        })
        .collect()
}

/// Returns a function's name as a reader wants it: without the compiler's hash, and without generic arguments.
fn readable(name: &str) -> String {
    without_generics(&without_hash(name))
}

/// Returns a name without the `<…>` behind the names of types and functions. `<T as Trait>` stays.
fn without_generics(name: &str) -> String {
    let mut short = String::new();
    let mut depth = 0_usize;
    let mut previous = ' ';
    for character in name.chars() {
        let opens_arguments =
            character == '<' && (previous.is_alphanumeric() || matches!(previous, '_' | ':'));
        match character {
            '<' if depth > 0 || opens_arguments => {
                if depth == 0 && short.ends_with("::") {
                    short.truncate(short.len() - 2);
                }
                depth += 1;
            }
            // Not the head of an arrow.
            '>' if depth > 0 && previous != '-' => depth -= 1,
            _ if depth == 0 => short.push(character),
            _ => {}
        }
        previous = character;
    }
    short
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

/// Returns the path of a source file of this workspace, from its top.
fn in_workspace(file: &str) -> Option<String> {
    let workspace = options::workspace().display().to_string();
    let inside = file.strip_prefix(&workspace)?.trim_start_matches('/');
    // The kernel's library lies beside its sources.
    Some(inside.replace("/library/../", "/"))
}

/// Says whether a source file is of this workspace.
fn is_own(file: &str) -> bool {
    in_workspace(file).is_some()
}

/// Returns a source file's path from where the reader would look for it.
fn shortened(file: &str) -> String {
    if let Some(inside) = in_workspace(file) {
        return inside;
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
            addresses("   0: 0xffff800000001000, flags 0x246"),
            [0xffff_8000_0000_1000]
        );
        assert!(addresses("0x00112233445566778899").is_empty());
        assert!(addresses("no address, not even 0x").is_empty());
    }

    #[test]
    fn generic_arguments_are_left_out() {
        for (name, short) in [
            (
                "core::panicking::assert_failed::<i32, i32>",
                "core::panicking::assert_failed",
            ),
            (
                "<f::G<H<I>> as J<K>>::fold::<(), L<M>>::{closure#0}",
                "<f::G as J>::fold::{closure#0}",
            ),
            ("a::b::<fn(u8) -> C<D>>::e", "a::b::e"),
            ("kernel::main", "kernel::main"),
        ] {
            assert_eq!(without_generics(name), short);
        }
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
        let line = format!("   0: {:#018x}", 0x7000_0000_0000 + entry);
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
        let library = format!(
            "{}/kernel/library/../src/testing.rs",
            options::workspace().display()
        );
        assert_eq!(shortened(&library), "kernel/src/testing.rs");
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

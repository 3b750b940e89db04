//! What QEMU and the runner have for kernels under test: a port that ends QEMU, a box of files from its command line, and a
//! runner that can be asked for NMIs and for input.

use x86_64::instructions::hlt;
use x86_64::instructions::port::{Port, PortWriteOnly};

use crate::cpu::stop;
use crate::println;
use crate::protocol::{Ask, EXIT_PORT, Exit};

/// Asks the runner for something. It is done a little later, and there is no answer: wait for the effect.
pub fn ask(ask: Ask<'_>) {
    println!("{ask}");
}

/// Says whether the machine is QEMU's.
#[must_use]
pub fn is_present() -> bool {
    FirmwareConfiguration::select(SIGNATURE).read_array() == *b"QEMU"
}

/// Ends the run. On a machine without the exit device, all CPUs sleep for ever.
pub fn exit(exit: Exit) -> ! {
    stop::all_others();
    let mut port = PortWriteOnly::<u8>::new(EXIT_PORT);
    // SAFETY: writing to this port ends QEMU; where no such device is, nothing listens.
    unsafe { port.write(exit.to_byte()) };
    // The write may take effect only a while later.
    loop {
        hlt();
    }
}

/// The port that chooses an entry of the box of files.
const SELECTOR_PORT: u16 = 0x510;
/// The port that gives the next byte of the chosen entry.
const DATA_PORT: u16 = 0x511;
/// The entry that says `QEMU`.
const SIGNATURE: u16 = 0x0000;
/// The entry that lists the files.
const DIRECTORY: u16 = 0x0019;
/// Bytes of a file's name in the directory, zero bytes at its end included.
const NAME_BYTES: usize = 56;

/// QEMU's `fw_cfg` device, an entry of it chosen.
struct FirmwareConfiguration {
    /// Where bytes come from.
    data: Port<u8>,
}

impl FirmwareConfiguration {
    /// Chooses an entry, to be read from its start.
    fn select(entry: u16) -> Self {
        let mut selector = PortWriteOnly::<u16>::new(SELECTOR_PORT);
        // SAFETY: these ports are the device's or nobody's; choosing an entry changes no memory.
        unsafe { selector.write(entry) };
        Self {
            data: Port::new(DATA_PORT),
        }
    }

    /// Reads the next bytes of the entry.
    fn read(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            // SAFETY: as in `select`; reading moves the device on by a byte.
            *byte = unsafe { self.data.read() };
        }
    }

    /// Reads the next bytes as an array.
    fn read_array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.read(&mut bytes);
        bytes
    }
}

/// Returns the text of the file `name` from QEMU's command line, read into `buffer`; `None` where there is no such file or
/// no such device. What does not fit or is not UTF-8 is cut off.
pub fn read_file<'a>(name: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    if !is_present() {
        return None;
    }
    let (entry, size_bytes) = find_file(name)?;
    let length = buffer.len().min(size_bytes);
    let text = &mut buffer[..length];
    FirmwareConfiguration::select(entry).read(text);
    let valid = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    Some(valid)
}

/// Returns the entry and size of a file.
fn find_file(name: &str) -> Option<(u16, usize)> {
    let mut directory = FirmwareConfiguration::select(DIRECTORY);
    let files = u32::from_be_bytes(directory.read_array());
    for _ in 0..files {
        let size_bytes = u32::from_be_bytes(directory.read_array());
        let entry = u16::from_be_bytes(directory.read_array());
        let _reserved: [u8; 2] = directory.read_array();
        let padded: [u8; NAME_BYTES] = directory.read_array();
        let found = padded.split(|&byte| byte == 0).next();
        if found == Some(name.as_bytes()) {
            return Some((entry, usize::try_from(size_bytes).ok()?));
        }
    }
    None
}

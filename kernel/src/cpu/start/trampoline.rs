//! The first instructions of a CPU that starts, and what they need.
//!
//! A CPU starts as an 8086, at the beginning of a frame below 1 MiB. So its first code is copied there, with a page of page
//! tables that show it this memory where it is as well as the kernel where that is. The kernel's own page tables are not touched,
//! and the CPU takes them as soon as it runs in the kernel's image.
//!
//! ```text
//! frame 0   code │ Parameters     16 bits, protected mode with 32, long mode with 64, then `enter_kernel`
//! frame 1   level 4: lower half ─▶ frame 2; upper half as in the kernel's
//! frame 2   level 3: ─▶ frame 3
//! frame 3   level 2: the first 2 MiB, as one page
//! ```

use core::arch::{global_asm, naked_asm};
use core::mem::{offset_of, size_of};
use core::ptr::{self, NonNull};

use x86_64::registers::control::{Cr0, Cr3};
use x86_64::registers::model_specific::{Efer, EferFlags};

use super::LowMemory;
use super::arrival::arrive;
use crate::memory::frame::Frame;
use crate::memory::physical::frame_pointer;

/// Where the parameters are in the frame of the code.
const PARAMETERS: usize = 0x800;

/// The selector of 32-bit code.
const CODE_32: u16 = 0x08;
/// The selector of 64-bit code.
const CODE_64: u16 = 0x10;
/// The selector of data.
const DATA: u16 = 0x18;

/// What the code finds behind it. Its parts are read by assembly.
#[repr(C)]
#[derive(Debug)]
struct Parameters {
    /// Segments: none, [`CODE_32`], [`CODE_64`], [`DATA`].
    segments: [u64; 4],
    /// What `cr0` will be.
    cr0: u64,
    /// What the register EFER will be.
    efer: u64,
    /// Where to go when the CPU is in long mode.
    entry: u64,
    /// The number that the CPU gets.
    cpu: u64,
    /// Its call stack.
    stack_top: u64,
    /// The kernel's table of level 4.
    root: u64,
    /// This code's table of level 4.
    low_root: u32,
    /// Where to go on in protected mode: address and selector.
    protected: FarPointer,
    /// Where to go on in long mode.
    long: FarPointer,
    /// The table of the segments: its last byte, and its address.
    segments_limit: u16,
    /// See above; it need not be aligned.
    segments_address: [u16; 2],
}

/// An address and the selector of its segment, as a far jump reads them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct FarPointer {
    /// The address.
    address: u32,
    /// The selector.
    selector: u16,
}

global_asm!(
    ".pushsection .rodata.trampoline, \"a\", @progbits",
    ".code16",
    "trampoline_start:",
    "cli",
    "cld",
    "mov ax, cs",
    "mov ds, ax",
    // The address of the frame.
    "xor ebx, ebx",
    "mov bx, ax",
    "shl ebx, 4",
    "lgdt [{segments_limit}]",
    "mov eax, cr0",
    "or al, 1",
    "mov cr0, eax",
    // jmp far dword ptr [{protected}]
    ".byte 0x66, 0xff, 0x2e",
    ".2byte {protected}",
    ".code32",
    "trampoline_protected:",
    "mov ax, {data}",
    "mov ds, ax",
    "mov es, ax",
    "mov ss, ax",
    // Entries of eight bytes, which long mode wants.
    "mov eax, cr4",
    "or al, 0x20",
    "mov cr4, eax",
    "mov eax, [ebx + {low_root}]",
    "mov cr3, eax",
    "mov eax, [ebx + {efer}]",
    "xor edx, edx",
    "mov ecx, 0xc0000080",
    "wrmsr",
    "mov eax, [ebx + {cr0}]",
    "mov cr0, eax",
    // jmp far fword ptr [ebx + {long}]
    ".byte 0xff, 0xab",
    ".4byte {long}",
    ".code64",
    "trampoline_long:",
    // Clears the upper half.
    "mov ebx, ebx",
    "mov edi, [rbx + {cpu}]",
    "mov rsi, [rbx + {stack_top}]",
    "mov rdx, [rbx + {root}]",
    "jmp [rbx + {entry}]",
    "trampoline_end:",
    ".popsection",
    data = const DATA,
    segments_limit = const PARAMETERS + offset_of!(Parameters, segments_limit),
    protected = const PARAMETERS + offset_of!(Parameters, protected),
    low_root = const PARAMETERS + offset_of!(Parameters, low_root),
    efer = const PARAMETERS + offset_of!(Parameters, efer),
    cr0 = const PARAMETERS + offset_of!(Parameters, cr0),
    long = const PARAMETERS + offset_of!(Parameters, long),
    cpu = const PARAMETERS + offset_of!(Parameters, cpu),
    stack_top = const PARAMETERS + offset_of!(Parameters, stack_top),
    root = const PARAMETERS + offset_of!(Parameters, root),
    entry = const PARAMETERS + offset_of!(Parameters, entry),
);

unsafe extern "C" {
    /// The first byte of the code above.
    static trampoline_start: u8;
    /// The first byte that runs in protected mode.
    static trampoline_protected: u8;
    /// The first byte that runs in long mode.
    static trampoline_long: u8;
    /// The byte behind the last one.
    static trampoline_end: u8;
}

/// Leaves the low memory: takes the kernel's page tables (`rdx`) and a call stack (`rsi`), and calls [`arrive`] with the CPU's
/// number (`edi`).
///
/// # Safety
///
/// It is jumped to by the trampoline.
#[unsafe(naked)]
unsafe extern "C" fn enter_kernel() -> ! {
    naked_asm!(
        "mov cr3, rdx",
        "mov rsp, rsi",
        // The end of backtraces.
        "xor ebp, ebp",
        "call {arrive}",
        "ud2",
        arrive = sym arrive,
    )
}

/// Code below 1 MiB for CPUs to start with, one at a time.
#[derive(Debug)]
pub(super) struct Trampoline {
    /// Where it is; its owner until all have left it.
    memory: LowMemory,
}

impl Trampoline {
    /// Writes the trampoline.
    pub(super) fn new(memory: LowMemory) -> Self {
        let trampoline = Self { memory };
        trampoline.copy_code();
        trampoline.write_tables();
        trampoline
    }

    /// Returns the number of the frame where a CPU starts.
    pub(super) fn frame(&self) -> u8 {
        u8::try_from(self.memory.code().number()).expect("it is below 1 MiB")
    }

    /// Has the next CPU get this number and call stack.
    pub(super) fn set(&self, cpu: usize, stack_top: u64) {
        let start = self.address();
        let segments_address = start as usize + PARAMETERS + offset_of!(Parameters, segments);
        let far = |target: *const u8, selector| FarPointer {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the code is shorter than a frame"
            )]
            address: start + (target.addr() - (&raw const trampoline_start).addr()) as u32,
            selector,
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "these are the two halves of an address below 1 MiB"
        )]
        let parameters = Parameters {
            // Flat, readable, present: code of 32 bits, code of 64 bits, data.
            segments: [
                0,
                0x00cf_9b00_0000_ffff,
                0x00af_9b00_0000_ffff,
                0x00cf_9300_0000_ffff,
            ],
            cr0: Cr0::read_raw(),
            // The CPU itself says that it is in long mode.
            efer: Efer::read_raw() & !EferFlags::LONG_MODE_ACTIVE.bits(),
            entry: enter_kernel as *const () as u64,
            cpu: cpu as u64,
            stack_top,
            root: kernel_root().start_address(),
            low_root: self.memory.tables()[0].start_address() as u32,
            protected: far(&raw const trampoline_protected, CODE_32),
            long: far(&raw const trampoline_long, CODE_64),
            segments_limit: 4 * 8 - 1,
            segments_address: [segments_address as u16, (segments_address >> 16) as u16],
        };
        // SAFETY: the frame is ours (`LowMemory`), mapped, and longer than that.
        let place = unsafe { frame_pointer(self.memory.code()).add(PARAMETERS) };
        // SAFETY: as above, and aligned; the CPU that reads it has not been told to start.
        unsafe { place.cast::<Parameters>().write_volatile(parameters) };
    }

    /// Returns where the code begins.
    fn address(&self) -> u32 {
        u32::from(self.frame()) * 4096
    }

    /// Copies the code.
    fn copy_code(&self) {
        let start = &raw const trampoline_start;
        let length = (&raw const trampoline_end).addr() - start.addr();
        assert!(length <= PARAMETERS, "the code ends before its parameters");
        let target = frame_pointer(self.memory.code()).as_ptr();
        // SAFETY: the code is a constant of the image, so long; the frame is ours and nobody runs in it.
        unsafe { ptr::copy_nonoverlapping(start, target, length) };
    }

    /// Writes the page tables.
    fn write_tables(&self) {
        /// An entry that is there, and whose memory can be written to.
        const PRESENT: u64 = 0b11;
        /// An entry of level 2 that is no table but memory.
        const LARGE: u64 = 1 << 7;
        let [fourth, third, second] = self.memory.tables();
        // SAFETY: the kernel's table of level 4 is mapped, and only read. Whoever changes an entry just now changes one that a CPU on
        // its way does not need: image and physical memory are there since the boot.
        let mut entries = unsafe { table_in(kernel_root()).read_volatile() };
        entries[..256].fill(0);
        entries[0] = third.start_address() | PRESENT;
        self.write_table(fourth, entries);
        let only = |entry| core::array::from_fn(|index| if index == 0 { entry } else { 0 });
        self.write_table(third, only(second.start_address() | PRESENT));
        self.write_table(second, only(PRESENT | LARGE));
    }

    /// Writes one of the page tables.
    fn write_table(&self, table: Frame, entries: [u64; 512]) {
        debug_assert!(self.memory.tables().contains(&table), "it is ours");
        // SAFETY: the frame is ours (`LowMemory`) and mapped; no CPU walks through it yet.
        unsafe { table_in(table).write_volatile(entries) };
    }
}

/// Returns the frame of the kernel's table of level 4.
fn kernel_root() -> Frame {
    Frame::containing_address(Cr3::read().0.start_address().as_u64())
}

/// Returns the table in a frame.
fn table_in(frame: Frame) -> NonNull<[u64; 512]> {
    frame_pointer(frame).cast()
}

/// Code and parameters fit a frame.
const _: () = assert!(PARAMETERS + size_of::<Parameters>() <= size_of::<[u64; 512]>());
/// A table of segments is read at its limit, with its address right behind it.
const _: () =
    assert!(offset_of!(Parameters, segments_address) == offset_of!(Parameters, segments_limit) + 2);

//! Doing what must not be done. There is no safe way.

use alloc::boxed::Box;
use core::arch::asm;
use core::hint::black_box;

use super::Fault;

/// An address in the upper half where nothing is mapped.
const UNMAPPED: u64 = 0xffff_f000_0000_1000;

/// An address in neither half.
const NOT_CANONICAL: u64 = 0x1234_0000_0000_0000;

/// Commits a fault; the kernel reports it and ends.
///
/// # Panics
///
/// If the CPU lets it pass.
pub fn provoke(fault: Fault) -> ! {
    match fault {
        Fault::PageFault => read(UNMAPPED),
        Fault::NullPointer => read(8),
        Fault::WriteToCode => write_to_code(),
        Fault::WildCall => wild_call(),
        Fault::GeneralProtection => read(NOT_CANONICAL),
        Fault::UndefinedInstruction => undefined_instruction(),
        Fault::Division => divide(),
        Fault::DoubleFault => fault_without_stack(),
        Fault::StackOverflow => drop(black_box(recurse(0))),
    }
    panic!("the CPU lets this fault pass: {}", fault.summary());
}

/// Reads a byte at an address that should not be readable.
fn read(address: u64) {
    // SAFETY: none: the access faults on purpose, and the kernel ends there.
    unsafe { asm!("mov al, [{}]", in(reg) address, out("al") _) };
}

/// Writes to this function.
fn write_to_code() {
    // SAFETY: none: the access faults on purpose, and the kernel ends there.
    unsafe { asm!("mov byte ptr [{}], 0", in(reg) write_to_code as fn() as *const ()) };
}

/// Calls the middle of an object in the heap, with the address in RBX.
fn wild_call() {
    let object = black_box(Box::new([0_u64; 8]));
    // SAFETY: none: the memory is not executable, so this faults on purpose, and the kernel ends there.
    unsafe {
        asm!("xchg rbx, {0}", "call rbx", "xchg rbx, {0}", in(reg) &raw const object[3], clobber_abi("C"));
    };
}

/// Executes an instruction that is none.
fn undefined_instruction() {
    // SAFETY: none: this faults on purpose.
    unsafe { asm!("ud2") };
}

/// Divides by zero.
fn divide() {
    // SAFETY: none: this faults on purpose.
    unsafe { asm!("div {:r}", in(reg) 0_u64, inout("rax") 1_u64 => _, inout("rdx") 0_u64 => _) };
}

/// Faults where the first exception cannot push its frame: the second one, which makes it a double fault.
fn fault_without_stack() {
    // SAFETY: none: the stack is gone on purpose, and the kernel ends there.
    unsafe {
        asm!("mov rsp, {bad}", "mov al, [{bad}]", bad = in(reg) NOT_CANONICAL, options(noreturn))
    };
}

/// Calls itself without end.
#[expect(unconditional_recursion, reason = "that is what it is for")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    recurse(depth + 1) + frame[0]
}

//! How the kernel fails: each of these ends a boot, with the right report.

use alloc::boxed::Box;
use core::arch::asm;
use core::fmt;

use kernel::memory::heap_source::HEAP;
use kernel::memory::physical;
use kernel::testing::Test;
use kernel::{println, tests};

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "failures";
    panic_is_reported => Panics("the answer is 42"),
    panic_names_its_place => Panics("failures.rs:"),
    panic_while_panicking => Panics("the second panic"),
    overflow_of_the_call_stack => Faults("call stack `boot` has overflowed"),
    null_pointer => Faults("a null pointer was followed"),
    write_to_code => Faults("a write by the kernel, and the page's rights forbid it"),
    unmapped_page => Faults("CR2 0xffffc00000001000"),
    address_that_is_not_canonical => Faults("general protection fault"),
    unknown_segment => Faults("entry 7 of the global descriptor table"),
    invalid_opcode => Faults("invalid opcode"),
    division_by_zero => Faults("divide error"),
    double_fault => Faults("double fault"),
    lock_taken_twice => Panics("a lock was taken again by the CPU that holds it"),
    allocation_under_the_heaps_lock => Panics("the heap's lock was taken again"),
    asking_the_frame_allocator_under_its_own_lock => Panics("the frame allocator's lock was taken again"),
    page_fault_under_the_heaps_lock => Faults("CR2 0xffffc00000001000"),
    page_fault_under_the_consoles_lock => Faults("CR2 0xffffc00000001000"),
};

fn panic_is_reported() {
    panic!("the answer is {}", 42);
}

fn panic_names_its_place() {
    let numbers = [1, 2, 3];
    let index = core::hint::black_box(3);
    assert_eq!(numbers[index], 4);
}

fn panic_while_panicking() {
    /// Cannot be shown.
    struct Unshowable;
    impl fmt::Display for Unshowable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("the second panic")
        }
    }
    panic!("the first panic: {Unshowable}");
}

#[expect(unconditional_recursion, reason = "that is the test")]
fn recurse(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 32]);
    recurse(depth + 1) + frame[0]
}

fn overflow_of_the_call_stack() {
    core::hint::black_box(recurse(0));
}

/// Reads a byte at an address that should not be readable.
fn read(address: u64) {
    // SAFETY: none: the access faults on purpose, and the kernel ends there.
    unsafe { asm!("mov al, [{}]", in(reg) address, out("al") _) };
}

fn null_pointer() {
    read(8);
}

fn write_to_code() {
    // SAFETY: none: the access faults on purpose, and the kernel ends there.
    unsafe { asm!("mov byte ptr [{}], 0", in(reg) write_to_code as fn() as *const ()) };
}

fn unmapped_page() {
    read(0xffff_c000_0000_1000);
}

fn address_that_is_not_canonical() {
    read(0x1234_0000_0000_0000);
}

fn unknown_segment() {
    // SAFETY: none: there is no entry 7, so this faults on purpose.
    unsafe { asm!("mov ds, {:x}", in(reg) 7_u16 << 3) };
}

fn invalid_opcode() {
    // SAFETY: none: this faults on purpose.
    unsafe { asm!("ud2") };
}

fn division_by_zero() {
    // SAFETY: none: this faults on purpose.
    unsafe { asm!("div {:r}", in(reg) 0_u64, inout("rax") 1_u64 => _, inout("rdx") 0_u64 => _) };
}

/// The first exception cannot push its frame on such a stack pointer: the second one, which makes it a double fault.
fn double_fault() {
    // SAFETY: none: the stack is gone on purpose, and the kernel ends there.
    unsafe {
        asm!("mov rsp, {bad}", "mov al, [{bad}]", bad = in(reg) 0x1234_0000_0000_0000_u64, options(noreturn))
    };
}

fn lock_taken_twice() {
    use kernel::lock::InterruptMaskingLock;
    let lock = lock_api::Mutex::<InterruptMaskingLock, ()>::new(());
    let _guard = lock.lock();
    drop(lock.lock());
}

/// A source of memory that allocates, say.
fn allocation_under_the_heaps_lock() {
    HEAP.with_source(|_| drop(Box::new(1)));
}

fn asking_the_frame_allocator_under_its_own_lock() {
    physical::with_frames(|_| {
        println!("this comes out");
        let _ = physical::statistics();
    });
}

fn page_fault_under_the_heaps_lock() {
    HEAP.with_source(|_| read(0xffff_c000_0000_1000));
}

/// The report takes the console away from the one who holds its lock.
fn page_fault_under_the_consoles_lock() {
    /// Cannot be shown.
    struct Faulting;
    impl fmt::Display for Faulting {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            read(0xffff_c000_0000_1000);
            Ok(())
        }
    }
    println!("{Faulting}");
}

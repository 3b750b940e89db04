//! How the kernel fails: each of these ends a boot, with the right report.

#[path = "failures/broken_heap.rs"]
mod broken_heap;

use alloc::boxed::Box;
use core::arch::asm;
use core::fmt;

use kernel::fault::{Fault, provoke};
use kernel::interrupts::{on_software_interrupt, raise_software_interrupt};
use kernel::memory::heap_source::HEAP;
use kernel::memory::physical;
use kernel::tasks::spawn;
use kernel::testing::Test;
use kernel::{println, tests};

use broken_heap::{fault_with_broken_region_records, wrong_free_with_broken_region_records};

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "failures";
    panic_is_reported => Panics(
        "failures.rs:",
        ": the answer is 42\n",
        "in ordinary code, while the first task runs, on the call stack `boot`\n",
        "  RSP ffff", "   RFLAGS 0x", " IF\n",
    ),
    panic_while_panicking => Panics(
        "panicked at ", ": the first panic: ", "\nfailed again while reporting the panic: panicked at ", ": the second panic\n",
        "\nbacktrace:\n   0: 0xffffffff",
    ),
    fault_while_panicking => Faults(
        "panicked at ", ": the report of this faults: ",
        "\nfailed again while reporting the panic: page fault (exception 14) at 0xffffffff", "a null pointer was followed",
        "\nbacktrace:\n   0: 0xffffffff",
    ),
    fault_with_broken_region_records => Faults(
        "\npage fault (exception 14) at 0xffffffff", "  CR2 0xfffff00000001000: ", "\n  RAX ", "   RIP ffffffff",
        "\nbacktrace:\n   0: 0xffffffff", "   1: 0xffffffff",
        "\nfailed again while reporting the page fault (exception 14) at 0xffffffff", ": page fault (exception 14) at 0xffffffff",
        "  CR2 0xfffff00000bad", "\nbacktrace:\n   0: 0xffffffff",
    ),
    wrong_free_with_broken_region_records => Faults(
        "panicked at ", ": wrong free of 0xffff8", "failed again while reporting the panic: page fault",
    ),
    overflow_of_the_call_stack => Faults(
        "page fault (exception 14) at 0xffffffff",
        "  The call stack `boot` has overflowed: the address is in the guard page below it.\n",
        "  error code 0x2: a write by the kernel, and no page is mapped there\n",
        ": in the guard page below the call stack `boot`\n",
    ),
    null_pointer => Faults(
        "  The address is next to 0: a null pointer was followed.\n",
        "  CR2 0x0000000000000008: next to address 0\n",
    ),
    write_to_code => Faults(
        "  The kernel's code and constants cannot be written to.\n",
        "  error code 0x3: a write by the kernel, and the page's rights forbid it\n",
        ": in the kernel's code and constants\n",
    ),
    unmapped_page => Faults(
        "page fault (exception 14) at 0xffffffff",
        "  The code accessed an address that is not mapped that way.\n",
        "  error code 0x0: a read by the kernel, and no page is mapped there\n",
        "  CR2 0xfffff00000001000: neither on a call stack nor in the kernel's image\n",
        "in ordinary code, while the first task runs, on the call stack `boot`\n",
        "  RAX ", "   RBX ", "   RCX ", "\n  RDX ", "   RSI ", "   RDI ", "\n  RBP ", "   RSP ffff", "   R8  ",
        "\n  R9  ", "   R10 ", "   R11 ", "\n  R12 ", "   R13 ", "   R14 ", "\n  R15 ", "   RIP ffffffff", "   CR3 0000",
        "\n  CS  0x0008   RFLAGS 0x", " IF\n",
        "backtrace:\n   0: 0xffffffff", "   1: 0xffffffff", "   2: 0xffffffff",
    ),
    call_into_the_heap => Faults(
        "page fault (exception 14) at 0xffff8",
        "  The CPU was sent there to execute it, by a wrong function pointer or return address.\n",
        "a fetch of an instruction by the kernel, and the page's rights forbid it\n",
        "  CR2 0xffff8", "backtrace:\n   0: 0xffff8", "   1: 0xffffffff",
        "\nregisters that point into the heap:\n",
        "  CR2 24 bytes into a live 64-byte chunk at 0xffff8", ", block 0xffff8", ", class 64\n",
        "  RBX 24 bytes into a live 64-byte chunk at 0xffff8",
    ),
    registers_into_the_heap => Faults(
        "general protection fault (exception 13)",
        "\nregisters that point into the heap:\n",
        "  R12 24 bytes into a free 64-byte chunk at 0xffff8", ", block 0xffff8", ", class 64\n",
        "  R13 the start of a live 64-byte chunk at 0xffff8", ", block 0xffff8", ", class 64\n",
    ),
    every_register_is_the_interrupted_codes => Faults(
        "invalid opcode (exception 6) at 0xffffffff",
        "  RAX 0000000000000aaa   RBX 0000000000000bbb   RCX 0000000000000ccc\n",
        "  RDX 0000000000000ddd   RSI 0000000000000001   RDI 0000000000000002\n",
        "   R8  0000000000000008\n",
        "  R9  0000000000000009   R10 0000000000000010   R11 0000000000000011\n",
        "  R12 0000000000000012   R13 0000000000000013   R14 0000000000000014\n",
        "  R15 0000000000000015   RIP ffffffff",
        "DF\n",
    ),
    unknown_segment => Faults("entry 7 of the global descriptor table"),
    division_by_zero => Faults("divide error"),
    double_fault => Faults("double fault", "  RSP 1234"),
    lock_taken_twice => Panics("a lock was taken again by the CPU that holds it"),
    allocation_under_the_heaps_lock => Panics("the heap's lock was taken again"),
    asking_the_frame_allocator_under_its_own_lock => Panics("the frame allocator's lock was taken again"),
    fault_while_the_heap_is_locked => Faults("page fault", "\nthe heap was busy: its lock is held\n"),
    double_fault_while_the_heap_is_locked => Faults("double fault", "\nthe heap was busy: its lock is held\n"),
    fault_while_the_console_is_locked => Faults("invalid opcode"),
    panic_while_the_console_is_locked => Panics("under the console's lock"),
    fault_in_an_interrupt_handler => Faults(
        "page fault", "in the handler of interrupt 128 (software interrupt), while the first task runs, on the call stack `boot`\n",
    ),
    panic_in_an_interrupt_handler => Panics(
        "in the handler\n", "in the handler of interrupt 128 (software interrupt), while the first task runs, on the call stack `boot`\n",
    ),
    panic_in_a_task => Panics("at work\n", "in ordinary code, while worker runs, on the call stack `worker`\n"),
};

/// Something that fails when it is shown.
struct Failing(fn());

impl fmt::Display for Failing {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0();
        Ok(())
    }
}

fn panic_is_reported() {
    panic!("the answer is {}", 42);
}

fn panic_while_panicking() {
    panic!(
        "the first panic: {}",
        Failing(|| panic!("the second panic"))
    );
}

fn fault_while_panicking() {
    panic!(
        "the report of this faults: {}",
        Failing(|| provoke(Fault::NullPointer))
    );
}

fn overflow_of_the_call_stack() {
    provoke(Fault::StackOverflow);
}

fn null_pointer() {
    provoke(Fault::NullPointer);
}

fn write_to_code() {
    provoke(Fault::WriteToCode);
}

fn unmapped_page() {
    provoke(Fault::PageFault);
}

fn call_into_the_heap() {
    provoke(Fault::WildCall);
}

fn registers_into_the_heap() {
    let live = Box::into_raw(Box::new([1_u64; 8]));
    let free = Box::into_raw(Box::new([2_u64; 8]));
    // SAFETY: the box is given back once, and its address is only looked at from here on.
    drop(unsafe { Box::from_raw(free) });
    // SAFETY: none: the access faults on purpose, and the kernel ends there.
    unsafe {
        asm!(
            "mov al, [{bad}]",
            bad = in(reg) 0x1234_0000_0000_0000_u64,
            in("r12") free.addr() + 24,
            in("r13") live,
            out("al") _,
        );
    };
}

fn every_register_is_the_interrupted_codes() {
    // SAFETY: none: this faults on purpose, and the kernel ends there; so registers may be lost.
    unsafe {
        asm!(
            "mov rax, 0xaaa",
            "mov rbx, 0xbbb",
            "mov rcx, 0xccc",
            "mov rdx, 0xddd",
            "mov rsi, 1",
            "mov rdi, 2",
            "mov r8, 8",
            "mov r9, 9",
            "mov r10, 0x10",
            "mov r11, 0x11",
            "mov r12, 0x12",
            "mov r13, 0x13",
            "mov r14, 0x14",
            "mov r15, 0x15",
            "std",
            "ud2",
            options(noreturn)
        );
    }
}

fn unknown_segment() {
    // SAFETY: none: there is no entry 7, so this faults on purpose.
    unsafe { asm!("mov ds, {:x}", in(reg) 7_u16 << 3) };
}

fn division_by_zero() {
    provoke(Fault::Division);
}

fn double_fault() {
    provoke(Fault::DoubleFault);
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

fn fault_while_the_heap_is_locked() {
    HEAP.with_source(|_| provoke(Fault::PageFault));
}

fn double_fault_while_the_heap_is_locked() {
    HEAP.with_source(|_| provoke(Fault::DoubleFault));
}

fn fault_while_the_console_is_locked() {
    println!(
        "half of a line, {}",
        Failing(|| provoke(Fault::UndefinedInstruction))
    );
}

fn panic_while_the_console_is_locked() {
    println!(
        "half of a line, {}",
        Failing(|| panic!("under the console's lock"))
    );
}

fn fault_in_an_interrupt_handler() {
    on_software_interrupt(|| provoke(Fault::PageFault));
    raise_software_interrupt();
}

fn panic_in_an_interrupt_handler() {
    on_software_interrupt(|| panic!("in the handler"));
    raise_software_interrupt();
}

fn panic_in_a_task() {
    spawn("worker", || panic!("at work"))
        .expect("there is room for a task")
        .join();
}

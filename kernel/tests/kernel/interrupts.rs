//! Interrupt handlers that use the heap, and the lock that makes it possible.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use kernel::interrupts::controller::{self, Silence};
use kernel::interrupts::table::Controllers;
use kernel::interrupts::vector::{
    SERIAL, SOFTWARE, SPURIOUS_APIC, SPURIOUS_FIRST_PIC, SPURIOUS_SECOND_PIC, TIMER,
};
use kernel::interrupts::{
    self, counts, local_apic, masked, nmi, nmi_count, on_nmi, on_serial_byte,
    on_software_interrupt, raise_software_interrupt, timer,
};
use kernel::lock::InterruptMaskingLock;
use kernel::memory::heap_source::HEAP;
use kernel::testing::Test;
use kernel::{console, println, tests};
use lock_api::{Mutex, RawMutex};
use x86_64::instructions::interrupts as cpu;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "interrupts";
    lock_restores_the_interrupt_flag,
    locks_nest,
    try_lock_never_waits,
    breakpoint_resumes,
    breakpoint_keeps_every_register,
    handler_allocates_while_main_code_allocates,
    timer_handler_allocates_while_main_code_allocates,
    handler_frees_what_main_code_allocated,
    serial_handler_allocates_while_main_code_allocates,
    input_waits_in_ring_and_port_and_nothing_is_lost,
    printing_goes_on_while_the_port_receives,
    spurious_interrupts_are_survived_and_counted,
    unexpected_vectors_are_survived_and_counted,
    unexpected_interrupts_are_ended,
    interrupts_are_counted,
    table_shows_the_counts,
    nmi_of_the_local_apic_arrives_and_is_counted,
    nmi_storm_while_the_heap_works,
    nmi_while_the_heaps_lock_is_held,
    silence_keeps_ticks_back,
    longest_masked_time_is_known_and_can_leave_things_out,
};

fn lock_restores_the_interrupt_flag() {
    let lock = Mutex::<InterruptMaskingLock, ()>::new(());
    assert!(cpu::are_enabled());
    let guard = lock.lock();
    assert!(!cpu::are_enabled());
    drop(guard);
    assert!(cpu::are_enabled());
    cpu::without_interrupts(|| {
        drop(lock.lock());
        assert!(
            !cpu::are_enabled(),
            "the lock must leave interrupts masked where they were"
        );
    });
}

fn locks_nest() {
    let (outer, inner) = (
        Mutex::<InterruptMaskingLock, ()>::new(()),
        Mutex::<InterruptMaskingLock, ()>::new(()),
    );
    let outer_guard = outer.lock();
    drop(inner.lock());
    assert!(!cpu::are_enabled(), "the outer lock is still held");
    // The heap's own lock is one more of the kind.
    drop(Box::new(1));
    assert!(!cpu::are_enabled());
    drop(outer_guard);
    assert!(cpu::are_enabled());
}

fn try_lock_never_waits() {
    let lock = InterruptMaskingLock::INIT;
    assert!(lock.try_lock() && !lock.try_lock() && lock.is_locked());
    // SAFETY: the first `try_lock` took it.
    unsafe { lock.unlock() };
    assert!(!lock.is_locked() && cpu::are_enabled());
}

fn breakpoint_resumes() {
    cpu::int3();
    assert!(cpu::are_enabled());
}

fn breakpoint_keeps_every_register() {
    let differences: u64;
    // SAFETY: the breakpoint's handler returns; RBX and RBP are put back, and all others are said to be lost.
    unsafe {
        core::arch::asm!(
            "push rbx", "push rbp",
            "mov rax, 1", "mov rbx, 2", "mov rcx, 3", "mov rdx, 4", "mov rsi, 5", "mov rdi, 6", "mov rbp, 7", "mov r8, 8", "mov r9, 9", "mov r10, 10", "mov r11, 11", "mov r12, 12", "mov r13, 13", "mov r14, 14", "mov r15, 15",
            "int3",
            "xor rax, 1", "xor rbx, 2", "or rax, rbx", "xor rcx, 3", "or rax, rcx", "xor rdx, 4", "or rax, rdx", "xor rsi, 5", "or rax, rsi", "xor rdi, 6", "or rax, rdi", "xor rbp, 7", "or rax, rbp", "xor r8, 8", "or rax, r8", "xor r9, 9", "or rax, r9", "xor r10, 10", "or rax, r10", "xor r11, 11", "or rax, r11", "xor r12, 12", "or rax, r12", "xor r13, 13", "or rax, r13", "xor r14, 14", "or rax, r14", "xor r15, 15", "or rax, r15",
            "pop rbp", "pop rbx",
            out("rax") differences,
            out("rcx") _, out("rdx") _, out("rsi") _, out("rdi") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("r13") _, out("r14") _, out("r15") _,
        );
    };
    assert_eq!(differences, 0);
}

/// How often a handler has run in a test.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// Allocates, looks at it, frees.
fn allocate_in_handler() {
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    assert!(!cpu::are_enabled());
    let boxed = Box::new([run; 8]);
    let size = usize::try_from(run % 3000).unwrap_or_default();
    let bytes = vec![0x5a_u8; size];
    assert!(boxed.iter().all(|&value| value == run) && bytes.iter().all(|&byte| byte == 0x5a));
}

/// Allocates and frees in many sizes, and checks the contents.
fn allocate_in_main_code(round: u64) {
    let mut map = BTreeMap::new();
    for key in 0..20 {
        map.insert(
            key,
            vec![round + key; 1 + usize::try_from(key * 7).unwrap_or_default()],
        );
    }
    assert!(
        map.iter()
            .all(|(key, values)| values.iter().all(|value| *value == round + key))
    );
}

fn handler_allocates_while_main_code_allocates() {
    on_software_interrupt(allocate_in_handler);
    RUNS.store(0, Ordering::Relaxed);
    let live = HEAP.statistics().live();
    for round in 0..1000 {
        let kept = Box::new(round);
        raise_software_interrupt();
        allocate_in_main_code(round);
        raise_software_interrupt();
        assert_eq!(*kept, round);
        raise_software_interrupt();
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), 3000);
    assert_eq!(HEAP.statistics().live(), live);
    on_software_interrupt(|| {});
}

fn timer_handler_allocates_while_main_code_allocates() {
    RUNS.store(0, Ordering::Relaxed);
    timer::on_tick(allocate_in_handler);
    // The interrupt comes anywhere in these allocations, as often as the machine's clock makes it.
    let mut round = 0;
    while RUNS.load(Ordering::Relaxed) < 50 {
        allocate_in_main_code(round);
        round += 1;
    }
    timer::on_tick(|| {});
}

/// What the main code leaves for the handler.
#[expect(
    clippy::vec_box,
    reason = "each box is an allocation for the handler to free"
)]
static MAILBOX: Mutex<InterruptMaskingLock, Vec<Box<u64>>> = Mutex::new(Vec::new());

fn handler_frees_what_main_code_allocated() {
    on_software_interrupt(|| {
        let taken = core::mem::take(&mut *MAILBOX.lock());
        RUNS.fetch_add(taken.iter().map(|value| **value).sum(), Ordering::Relaxed);
    });
    RUNS.store(0, Ordering::Relaxed);
    for _ in 0..200 {
        for value in 1..=10 {
            MAILBOX.lock().push(Box::new(value));
        }
        raise_software_interrupt();
    }
    assert_eq!(RUNS.load(Ordering::Relaxed), 200 * 55);
    on_software_interrupt(|| {});
}

fn serial_handler_allocates_while_main_code_allocates() {
    /// The bytes, added up.
    static SUM: AtomicU64 = AtomicU64::new(0);
    on_serial_byte(|byte| {
        SUM.fetch_add(u64::from(byte), Ordering::Relaxed);
        allocate_in_handler();
    });
    RUNS.store(0, Ordering::Relaxed);
    let before = counts::of(SERIAL);
    for round in 0..100 {
        assert!(console::loop_back(b'a'));
        allocate_in_main_code(round);
    }
    // The interrupts come to the first CPU, whichever sends.
    while RUNS.load(Ordering::Relaxed) < 100 {
        core::hint::spin_loop();
    }
    on_serial_byte(|_| {});
    assert_eq!(RUNS.load(Ordering::Relaxed), 100);
    assert_eq!(SUM.load(Ordering::Relaxed), 100 * u64::from(b'a'));
    // One interrupt may have been for some bytes, where it came to another CPU than sent them.
    assert!(counts::of(SERIAL) > before);
    for _ in 0..100 {
        assert_eq!(console::try_read_byte(), Some(b'a'));
    }
    assert_eq!(console::try_read_byte(), None);
}

/// Fills the ring and the port's own FIFO behind it.
fn input_waits_in_ring_and_port_and_nothing_is_lost() {
    const RING: u64 = 1024;
    const BYTES: u64 = RING + 16;
    let byte = |index: u64| b'0' + (index % 75) as u8;
    RUNS.store(0, Ordering::Relaxed);
    on_serial_byte(|_| {
        RUNS.fetch_add(1, Ordering::Relaxed);
    });
    for index in 0..BYTES {
        assert!(console::loop_back(byte(index)));
        // The first CPU takes them out, and this may be another, faster one: the port itself has room for 16.
        while RUNS.load(Ordering::Relaxed) < RING.min(index + 1) {
            core::hint::spin_loop();
        }
    }
    on_serial_byte(|_| {});
    for index in 0..BYTES {
        assert_eq!(console::try_read_byte(), Some(byte(index)), "byte {index}");
    }
    assert_eq!(console::try_read_byte(), None);
    // The port, empty again, raises its interrupt again.
    assert_port_interrupts();
    assert_eq!(console::try_read_byte(), None, "a zero byte is not input");
}

/// Has the port receive a byte, and waits until it has interrupted the first CPU.
fn assert_port_interrupts() {
    let before = counts::of(SERIAL);
    assert!(console::loop_back(0));
    while counts::of(SERIAL) == before {
        core::hint::spin_loop();
    }
}

fn printing_goes_on_while_the_port_receives() {
    on_serial_byte(|byte| println!("received {byte}, and the handler prints"));
    for byte in 1..=3 {
        println!("what is printed around it");
        assert!(console::loop_back(byte));
        assert_eq!(console::read_byte(), byte);
    }
    on_serial_byte(|_| {});
}

/// Raises an interrupt by an instruction.
macro_rules! raise {
    ($vector:expr) => {
        // SAFETY: the vector has a handler, which returns with all registers as they were.
        unsafe { asm!("int {}", const $vector) }
    };
}

fn spurious_interrupts_are_survived_and_counted() {
    let before = counts::spurious();
    for _ in 0..10 {
        raise!(SPURIOUS_FIRST_PIC);
        raise!(SPURIOUS_SECOND_PIC);
        raise!(SPURIOUS_APIC);
    }
    assert_eq!(counts::spurious(), before + 30);
    // Nothing was ended that still runs, and nothing is left that keeps others back.
    wait_for_ticks(3);
    assert_port_interrupts();
}

fn unexpected_vectors_are_survived_and_counted() {
    let before = counts::all();
    raise!(0x64);
    raise!(33);
    raise!(33);
    raise!(0xfe);
    let after = counts::all();
    for (vector, count) in [(0x64, 1), (33, 2), (0xfe, 1)] {
        assert_eq!(after[vector], before[vector] + count, "vector {vector}");
    }
    let text = interrupts::table().to_string();
    let line = (text.lines()).find(|line| line.starts_with("   100  unexpected"));
    assert!(
        line.is_some_and(|line| line.ends_with(&after[0x64].to_string())),
        "{text}"
    );
}

/// One that is left in service keeps the timer back, whose vector is lower.
fn unexpected_interrupts_are_ended() {
    let before = counts::of(0x64);
    if local_apic::send_vector_to_self(0x64) {
        while counts::of(0x64) == before {
            core::hint::spin_loop();
        }
        wait_for_ticks(3);
        assert_eq!(counts::of(0x64), before + 1);
    }
}

/// Waits until the timer has ticked so often.
fn wait_for_ticks(ticks: u64) {
    let before = timer::ticks();
    while timer::ticks() < before + ticks {
        x86_64::instructions::hlt();
    }
}

fn interrupts_are_counted() {
    for (vector, raise) in [
        (SOFTWARE, raise_software_interrupt as fn()),
        (3, cpu::int3),
        (2, || raise!(2)),
        (TIMER, || wait_for_ticks(1)),
    ] {
        let before = counts::of(vector);
        raise();
        assert!(counts::of(vector) > before, "vector {vector}");
    }
    assert_eq!(nmi_count(), counts::of(2));
}

fn table_shows_the_counts() {
    raise_software_interrupt();
    let count = counts::of(SOFTWARE).to_string();
    let text = interrupts::table().to_string();
    let line = text
        .lines()
        .find(|line| line.contains("software interrupt"));
    assert!(line.is_some_and(|line| line.ends_with(&count)), "{text}");
    assert!(text.contains("longest time that the heap masked interrupts: "));
    let from = match controller::controllers() {
        Controllers::Apics { .. } => "timer                   local APIC",
        Controllers::Pics => "timer                   PIC line 0",
    };
    assert!(text.contains(from), "{text}");
}

/// How often the NMI's hook has run.
static NMIS: AtomicU64 = AtomicU64::new(0);

/// A lock that main code and NMIs want.
static WANTED: Mutex<InterruptMaskingLock, u64> = Mutex::new(0);

/// What an NMI may do: tries a lock, and never waits.
fn try_in_nmi() {
    NMIS.fetch_add(1, Ordering::Relaxed);
    if let Some(mut count) = WANTED.try_lock() {
        *count += 1;
    }
}

fn nmi_of_the_local_apic_arrives_and_is_counted() {
    let before = nmi_count();
    if local_apic::send_nmi_to_self() {
        while nmi_count() == before {
            core::hint::spin_loop();
        }
        assert_eq!(nmi_count(), before + 1);
    }
}

fn nmi_storm_while_the_heap_works() {
    NMIS.store(0, Ordering::Relaxed);
    *WANTED.lock() = 0;
    on_nmi(try_in_nmi);
    let live = HEAP.statistics().live();
    // Where there is a storm, NMIs come at any instruction, else where they are raised.
    let storm = nmi::Storm::start(5000);
    let (mut round, mut locked) = (0, 0);
    while NMIS.load(Ordering::Relaxed) < 1000 {
        allocate_in_main_code(round);
        *WANTED.lock() += 1;
        locked += 1;
        if !local_apic::send_nmi_to_self() {
            raise!(2);
        }
        round += 1;
    }
    drop(storm);
    on_nmi(|| {});
    let count = *WANTED.lock();
    let nmis = NMIS.load(Ordering::Relaxed);
    assert!(
        count > locked && count <= locked + nmis,
        "{count} of {locked} and {nmis}"
    );
    assert_eq!(HEAP.statistics().live(), live);
    assert_eq!(HEAP.check(), Ok(()));
}

fn nmi_while_the_heaps_lock_is_held() {
    NMIS.store(0, Ordering::Relaxed);
    on_nmi(try_in_nmi);
    let kept: Vec<Vec<u64>> = (0..50).map(|value| vec![value; 40]).collect();
    for round in 1..=100 {
        HEAP.with_source(|_| {
            assert!(!cpu::are_enabled());
            if !local_apic::send_nmi_to_self() {
                raise!(2);
            }
            while NMIS.load(Ordering::Relaxed) < round {
                core::hint::spin_loop();
            }
        });
        allocate_in_main_code(round);
    }
    on_nmi(|| {});
    assert_eq!(HEAP.check(), Ok(()));
    assert!(
        (0..)
            .zip(&kept)
            .all(|(value, values)| values.iter().all(|found| *found == value))
    );
}

fn silence_keeps_ticks_back() {
    let silence = Silence::new();
    // Of this CPU: nothing moves the test to another one meanwhile. One tick may have been on its way.
    let ticks = || counts::of_cpu(kernel::cpu::current(), TIMER);
    let before = ticks();
    let start = timer::uptime();
    timer::sleep(Duration::from_millis(20));
    assert!(timer::uptime() >= start + Duration::from_millis(20));
    assert!(cpu::are_enabled() && ticks() <= before + 1);
    drop(silence);
    wait_for_ticks(2);
}

fn longest_masked_time_is_known_and_can_leave_things_out() {
    cpu::without_interrupts(|| {
        masked::reset();
        drop(Box::new(1));
        assert_eq!(masked::longest(), 0, "it was not the heap that masked");
    });
    masked::unwatched(|| HEAP.check()).expect("the heap is whole");
    HEAP.with_source(|_| (0..1000).for_each(|_| core::hint::spin_loop()));
    let long = masked::longest();
    assert!(long > 0);
    drop(Box::new(1));
    assert!(masked::longest() >= long);
    masked::reset();
}

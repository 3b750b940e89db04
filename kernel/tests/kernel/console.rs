//! Printing: messages stay whole, and interrupts are not kept out by them.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kernel::console::{capture, try_print};
use kernel::interrupts::{on_software_interrupt, raise_software_interrupt, timer};
use kernel::testing::Test;
use kernel::{println, tasks, tests};
use x86_64::instructions::interrupts as cpu;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "console";
    interrupts_come_in_while_a_task_prints,
    messages_of_tasks_do_not_mix,
    handler_prints_on_a_line_of_its_own,
    messages_within_messages_are_printed,
    who_is_called_from_within_a_message_is_told,
    who_has_interrupts_masked_prints_at_once,
};

/// The most bytes that are printed in a test.
const MOST_BYTES: usize = 4096;

/// Does something when it is printed, and leaves no text.
struct Doing(fn());

impl fmt::Display for Doing {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0();
        Ok(())
    }
}

/// Returns what `body` prints.
fn printed(body: impl FnOnce()) -> alloc::string::String {
    alloc::string::String::from_utf8(capture(MOST_BYTES, body)).expect("it is text")
}

fn interrupts_come_in_while_a_task_prints() {
    let waits_for_a_tick = Doing(|| {
        assert!(cpu::are_enabled());
        let before = timer::ticks();
        while timer::ticks() == before {
            core::hint::spin_loop();
        }
    });
    println!("a tick {waits_for_a_tick}comes in the middle");
}

/// Text of many pieces, where the others run in between.
struct Long(char);

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..50).try_for_each(|_| {
            tasks::yield_now();
            f.write_char(self.0)
        })
    }
}

fn messages_of_tasks_do_not_mix() {
    let text = printed(|| {
        let tasks = ['a', 'b', 'c'].map(|letter| {
            let print = move || (0..5).for_each(|_| println!("{}", Long(letter)));
            tasks::spawn("printer", print).expect("there is room for a task")
        });
        tasks.into_iter().for_each(tasks::Task::join);
    });
    assert_eq!(text.lines().count(), 15);
    for line in text.lines() {
        let is_whole = line.len() == 50 && line.bytes().all(|byte| byte == line.as_bytes()[0]);
        assert!(is_whole, "{text}");
    }
}

fn handler_prints_on_a_line_of_its_own() {
    on_software_interrupt(|| println!("from the handler"));
    let text = printed(|| {
        println!(
            "one half, {}the other half",
            Doing(raise_software_interrupt)
        );
    });
    let behind_a_line =
        printed(|| println!("one line\n{}another", Doing(raise_software_interrupt)));
    let alone = printed(raise_software_interrupt);
    on_software_interrupt(|| {});
    assert_eq!(text, "one half, \nfrom the handler\nthe other half\n");
    assert_eq!(behind_a_line, "one line\nfrom the handler\nanother\n");
    assert_eq!(alone, "from the handler\n");
}

fn messages_within_messages_are_printed() {
    let inner = || println!("inner");
    let text = printed(|| println!("outer, {}and on", Doing(inner)));
    assert_eq!(text, "outer, \ninner\nand on\n");
}

fn who_is_called_from_within_a_message_is_told() {
    /// Whether it could print.
    static COULD: AtomicBool = AtomicBool::new(true);
    let tries = || COULD.store(try_print(format_args!("never seen\n")), Ordering::Relaxed);
    println!("{}a message", Doing(tries));
    assert!(!COULD.swap(true, Ordering::Relaxed));
    cpu::without_interrupts(|| println!("{}a message of one who masks", Doing(tries)));
    assert!(!COULD.load(Ordering::Relaxed));
    assert!(try_print(format_args!("between messages it can\n")));
    assert!(cpu::without_interrupts(|| try_print(format_args!(
        "masked too\n"
    ))));
}

/// Though another task has the turn.
fn who_has_interrupts_masked_prints_at_once() {
    /// What the other task has come to.
    static STEP: AtomicU64 = AtomicU64::new(0);
    let waits = Doing(|| {
        STEP.store(1, Ordering::Relaxed);
        while STEP.load(Ordering::Relaxed) < 2 {
            tasks::yield_now();
        }
    });
    let text = printed(|| {
        let other = tasks::spawn("printer", move || println!("before, {waits}behind"));
        let other = other.expect("there is room for a task");
        while STEP.load(Ordering::Relaxed) < 1 {
            tasks::yield_now();
        }
        cpu::without_interrupts(|| println!("masked"));
        STEP.store(2, Ordering::Relaxed);
        other.join();
    });
    assert_eq!(text, "before, \nmasked\nbehind\n");
}

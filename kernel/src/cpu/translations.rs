//! Having all CPUs forget what they know of pages that are not mapped any more.
//!
//! A CPU keeps copies of the entries of page tables that it has used. When pages are unmapped, their frames may go to somebody
//! else only when no CPU can reach them any more by an old copy. So the CPU that unmaps asks all others to forget, and waits
//! until they have.
//!
//! # Why nobody waits for ever
//!
//! The one who asks holds the window's lock and the frame allocator's, often the heap's too, and has masked interrupts. Others may
//! wait for just those locks, with interrupts masked as well: they would never handle an interrupt. So they are asked by an
//! **NMI**, which they take wherever they are, and its handler waits for nothing: it forgets, and says so. What remains to
//! delay it is the handler of another NMI, which waits for nothing either.
//!
//! - Two who ask at once: there is one at a time, because the window's lock is held.
//! - One who asks while another CPU [calls](super::call) it, or wants to be [alone](super::call::alone): an NMI is taken there too.
//! - A CPU that [stops](super::stop) the others: it is asked in vain, if it reports in an NMI. But it has sent an NMI to the one who
//!   asks, and that one stops.
//! - A CPU that comes up: it forgets all that it knows behind the moment from which it is counted, and so asked.
//!
//! The wait takes as long as the slowest CPU takes to notice an NMI: some microseconds, whatever it is doing. An interrupt would
//! have had to wait for the longest section with interrupts masked.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use x86_64::VirtAddr;
use x86_64::instructions::tlb;

use super::per_cpu::{Own, PerCpu};
use super::{MOST_CPUS, count, current, local_apic_id, stop};
use crate::interrupts::local_apic::{self, Message};
use crate::memory::page::{Page, PageRange};

/// The most pages that a CPU is told of one by one. For more, it is made to forget all of its translations by loading CR3 again.
/// That does, because no page of the window is marked as global.
pub const MOST_SINGLE_PAGES: u64 = 32;

/// The pages that others are asked to forget: the first one's address.
static FIRST: AtomicU64 = AtomicU64::new(0);

/// How many there are.
static LENGTH: AtomicU64 = AtomicU64::new(0);

/// What one CPU has of this.
struct Asked {
    /// It is asked, and has not forgotten yet.
    is_asked: AtomicBool,
    /// How often it has forgotten because another one asked.
    times: AtomicU64,
}

/// What each CPU has of this.
static ASKED: PerCpu<Asked> = PerCpu::new(
    [const {
        Own::new(Asked {
            is_asked: AtomicBool::new(false),
            times: AtomicU64::new(0),
        })
    }; MOST_CPUS],
);

/// Makes all CPUs forget what they know of `pages` and of the tables above them, and returns when they have. The entries are
/// changed already. Called with the window's lock held.
pub(crate) fn forget(pages: PageRange) {
    forget_here(pages);
    // The entries are written before the CPUs are counted. One that is counted later sees the new ones.
    fence(Ordering::SeqCst);
    if count() > 1 {
        ask_others(pages);
    }
}

/// Asks all other CPUs to forget, and waits until they have.
fn ask_others(pages: PageRange) {
    FIRST.store(pages.first.start_address(), Ordering::Relaxed);
    LENGTH.store(pages.len(), Ordering::Relaxed);
    let count = count();
    let others = || (0..count).filter(|cpu| *cpu != current());
    for cpu in others() {
        ASKED.of(cpu).is_asked.store(true, Ordering::Release);
        local_apic_id(cpu).map(|apic_id| local_apic::send(apic_id, Message::Nmi));
    }
    for cpu in others() {
        while ASKED.of(cpu).is_asked.load(Ordering::Acquire) && !stop::has_begun() {
            core::hint::spin_loop();
        }
    }
}

/// Forgets, if this CPU is asked to. Returns whether it was. Called in an NMI.
pub(super) fn answer() -> bool {
    let asked = ASKED.here();
    if !asked.is_asked.load(Ordering::Acquire) {
        return false;
    }
    let first = Page::containing_address(FIRST.load(Ordering::Relaxed));
    forget_here(PageRange::new(first, LENGTH.load(Ordering::Relaxed)));
    asked.times.fetch_add(1, Ordering::Relaxed);
    asked.is_asked.store(false, Ordering::Release);
    true
}

/// Returns how often a CPU has forgotten because another one asked.
///
/// # Panics
///
/// If the number of the CPU is not below [`MOST_CPUS`].
#[must_use]
pub fn times(cpu: usize) -> u64 {
    ASKED.of(cpu).times.load(Ordering::Relaxed)
}

/// Makes this CPU forget.
fn forget_here(pages: PageRange) {
    if pages.len() > MOST_SINGLE_PAGES {
        tlb::flush_all();
        return;
    }
    // Each `invlpg` also makes the CPU forget all tables that it knows on the way to a page.
    for number in 0..pages.len() {
        tlb::flush(VirtAddr::new(pages.first.plus(number).start_address()));
    }
}

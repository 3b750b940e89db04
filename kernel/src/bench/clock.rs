//! The CPU's time-stamp counter, and what it counts.
//!
//! On most machines it counts ticks of a clock. Under QEMU's `-icount shift=0` it counts the guest's instructions, exactly:
//! [`counts_instructions`] finds out by running some whose number is known. (A repeated string instruction such as
//! `rep movsq` counts once for each repetition.)

use core::arch::asm;

/// Times that a cost is measured before the least is taken: on a machine that counts ticks, some are disturbed.
const TRIES: usize = 100;

/// Reads the counter, once everything before has been done.
#[inline(always)]
pub fn now() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a counter. It is not said to leave memory alone, so the compiler moves no access across it.
    unsafe { asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// Returns what the counter says that nothing takes: the least difference of two readings, or whatever else `read` measures.
pub fn least(mut read: impl FnMut() -> u64) -> u64 {
    (0..TRIES).map(|_| read()).min().unwrap_or_default()
}

/// Returns whether the counter counts instructions. Nothing may interrupt this.
#[must_use]
pub fn counts_instructions() -> bool {
    // 2000 rounds more of two instructions: what surrounds the loop cancels out.
    let is_exact = || loop_cost(3000).wrapping_sub(loop_cost(1000)) == 2 * 2000;
    (0..3).all(|_| is_exact())
}

/// Returns what the counter says to a loop of two instructions, run `rounds` times (at least once). Not inlined: what surrounds
/// the loop must be the same each time.
#[inline(never)]
fn loop_cost(rounds: u64) -> u64 {
    let start = now();
    // SAFETY: counts a register down to zero.
    unsafe { asm!("2:", "dec {0}", "jnz 2b", inout(reg) rounds => _, options(nomem, nostack)) };
    now() - start
}

//! How long interrupts are masked: a watch for [`MaskingLock`](crate::lock::MaskingLock).
//!
//! Only the heaps that the bench makes have a lock with this watch; the kernel's own heap has another one, always:
//! [`HeapLock`](crate::interrupts::masked::HeapLock).

use core::sync::atomic::{AtomicU64, Ordering};

use super::clock;
use crate::lock::Watch;

/// When interrupts were masked last. Written with interrupts masked.
static MASKED_AT: AtomicU64 = AtomicU64::new(0);

/// The longest masked section since it was last asked for. Written with interrupts masked.
static LONGEST: AtomicU64 = AtomicU64::new(0);

/// Measures each masked section, from behind the masking to before the unmasking.
#[derive(Debug)]
pub enum MaskedTime {}

impl Watch for MaskedTime {
    #[inline(always)]
    fn masked() {
        MASKED_AT.store(clock::now(), Ordering::Relaxed);
    }

    #[inline(always)]
    fn unmasking() {
        let length = clock::now() - MASKED_AT.load(Ordering::Relaxed);
        if length > LONGEST.load(Ordering::Relaxed) {
            LONGEST.store(length, Ordering::Relaxed);
        }
    }
}

/// Returns the longest masked section since this was called last, the watch's own share included; 0 where there was none.
#[inline(always)]
pub fn take_longest() -> u64 {
    LONGEST.swap(0, Ordering::Relaxed)
}

/// Returns what the watch measures of itself.
pub fn overhead() -> u64 {
    clock::least(|| {
        MaskedTime::masked();
        MaskedTime::unmasking();
        take_longest()
    })
}

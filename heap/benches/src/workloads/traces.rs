//! Recorded programs, from their beginning to their end.
#![forbid(unsafe_code)]

use crate::trace;
use crate::workloads::Workload;

/// Returns those of this file.
pub(super) fn workloads() -> Vec<Workload> {
    let recorded = |name| {
        Workload::new("traces", name, move |_| {
            trace::stream(name).expect("its own name")
        })
    };
    trace::names().map(recorded).into()
}

//! The stress, and that it finds what is wrong.

use core::alloc::Layout;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};

use kernel::cpu;
use kernel::stress::object::Object;
use kernel::stress::run::{self, Plan};
use kernel::stress::shadow;
use kernel::tasks;
use kernel::testing::Test;
use kernel::tests;

use crate::differential;

/// The tests of this file, in the order in which they run.
pub(crate) const TESTS: &[Test] = tests! {
    "stress";
    stress_makes_no_finding,
    a_task_that_was_not_waited_for_is_no_finding,
    stress_goes_on_beside_the_other_allocator,
    an_overwritten_byte_is_found => Panics("stress: an object has lost its contents, before it is freed"),
    overlapping_objects_are_found => Panics("over the live object"),
    an_object_that_is_left_is_found => Panics("stress: 1 objects were never freed"),
};

fn stress_makes_no_finding() {
    for seed in [1, 2] {
        let report = run::run(&Plan::new(1, seed)).expect("there is memory and a timer");
        let counts = report.counts();
        assert!(counts.steps > 0 && counts.allocations > 0 && counts.handler_runs > 0);
        assert_eq!(report.checks, 2);
        // All CPUs are at it, and what one allocates another one frees.
        assert_eq!(report.cpus, cpu::count());
        let all = &report.of_cpus[..report.cpus];
        assert!(all.iter().all(|cpu| cpu.counts.steps > 0), "{report:?}");
        assert!(
            all.iter().all(|cpu| cpu.counts.handler_runs > 0),
            "{report:?}"
        );
        assert_eq!(counts.crossed > 0, report.cpus > 1);
    }
}

fn a_task_that_was_not_waited_for_is_no_finding() {
    drop(tasks::spawn("forgotten", || {}).expect("there is room"));
    tasks::yield_now();
    run::run(&Plan::new(1, 4)).expect("there is memory and a timer");
}

fn stress_goes_on_beside_the_other_allocator() {
    let companion: fn(&AtomicBool) = |is_over| {
        let mut seed = 10;
        while !is_over.load(Ordering::Relaxed) {
            differential::agree_among_others(seed);
            seed += 1;
        }
        assert!(seed > 10);
    };
    run::run(&Plan {
        companion,
        ..Plan::new(3, 3)
    })
    .expect("there is memory and a timer");
}

/// An object that is known to the shadow.
fn some_object() -> Object {
    Object::new(Layout::new::<[u8; 100]>(), 0x5a).expect("there is memory")
}

fn an_overwritten_byte_is_found() {
    let object = some_object();
    let byte = ptr::with_exposed_provenance_mut::<u8>(object.address() + 99);
    // SAFETY: it is the object's, which nobody looks at meanwhile.
    unsafe { byte.write(0) };
    drop(object);
}

fn overlapping_objects_are_found() {
    let object = some_object();
    let middle = ptr::without_provenance_mut(object.address() + 50);
    shadow::insert(
        NonNull::new(middle).expect("not null"),
        Layout::new::<[u8; 100]>(),
    );
}

fn an_object_that_is_left_is_found() {
    let object = some_object();
    let _ = run::run(&Plan::new(1, 1));
    drop(object);
}

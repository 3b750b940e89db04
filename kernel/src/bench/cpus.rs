//! Measures the kernel's own heap on every CPU.
//!
//! One task for each CPU, which keeps the CPU for itself: ticks are kept back, so nothing preempts it, and nothing moves it to
//! another one. They go together from one step to the next:
//!
//! ```text
//! each CPU in its turn     its own objects, while the others wait (and touch nothing of the heap)
//! all CPUs at once         the same
//! each CPU in its turn     allocates ──▶ the next CPU frees ──▶ allocates again, and so takes in what came back
//! ```
//!
//! Each operation is measured by itself, with interrupts enabled, so its lock masks them, as ever.
//!
//! Where instructions are counted, QEMU runs the CPUs in turns, and the counter counts what all of them do. What is measured is so
//! short that a turn hardly ever ends in it, and the median leaves out where one does. "At once" then means one operation of
//! each CPU after the other: behind each, a `pause` ends the turn.

use alloc::sync::Arc;
use core::alloc::{GlobalAlloc, Layout};
use core::hint;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use lock_api::Mutex;
use x86_64::instructions::interrupts;

use super::clock;
use super::cpu_table::{CpuCosts, CpuHead, Crossing, Pair};
use super::recorder::elapsed;
use super::run::BenchError;
use super::summary::Summary;
use crate::cpu::{self, MOST_CPUS};
use crate::interrupts::controller::Silence;
use crate::lock::InterruptMaskingLock;
use crate::memory::heap_source::HEAP;
use crate::println;
use crate::tasks::{self, Task};

/// Objects at a time.
pub const OBJECTS: usize = 256;

/// What is allocated: 64 bytes.
const LAYOUT: Layout = Layout::new::<[u64; 8]>();

/// What has to be said of the table.
pub const LEGEND: &str =
    "Objects of 64 bytes, 256 at a time. Each single operation is measured, with its lock and what that measures of itself.
others wait, others work: objects of the CPU's own, the median, while all other CPUs wait or do the same.
freed by the next CPU: its free, the median; then the owner allocates as many again and so takes in what came back, the mean
and the most.";

/// Measures, and prints a table.
///
/// # Errors
///
/// [`BenchError::OutOfMemory`], [`BenchError::NoTask`]
pub fn run() -> Result<(), BenchError> {
    // What was left to be taken in would be so in the middle of it.
    HEAP.trim();
    let stage = Arc::new(Stage::new(cpu::count()));
    let mut tasks = [const { None }; MOST_CPUS];
    let started = start(&stage, &mut tasks);
    tasks.into_iter().flatten().for_each(Task::join);
    started?;
    if stage.is_out_of_memory.load(Ordering::Relaxed) {
        return Err(BenchError::OutOfMemory);
    }
    println!("{CpuHead}");
    let found = *stage.found.lock();
    for costs in &found[..stage.cpus] {
        println!("{costs}");
    }
    Ok(())
}

/// Starts a task for each CPU. Those that were started go home if another one could not be.
fn start(stage: &Arc<Stage>, tasks: &mut [Option<Task>; MOST_CPUS]) -> Result<(), BenchError> {
    for place in tasks.iter_mut().take(stage.cpus) {
        let shared = Arc::clone(stage);
        match tasks::spawn("bench", move || take_part(&shared)) {
            Ok(task) => *place = Some(task),
            Err(error) => {
                stage.is_off.store(true, Ordering::Release);
                return Err(BenchError::NoTask(error));
            }
        }
    }
    Ok(())
}

/// What each task does.
fn take_part(stage: &Stage) {
    // In one step: a task that is moved in between would silence one CPU and name another.
    let (silence, cpu) = interrupts::without_interrupts(|| (Silence::new(), cpu::current()));
    if stage.meet() {
        let costs = CpuCosts {
            cpu,
            others_wait: stage.in_turn(cpu, || own_objects(stage, || ())),
            others_work: own_objects(stage, hint::spin_loop),
            crossing: None,
        };
        stage.found.lock()[cpu] = costs;
        stage.meet();
        if stage.cpus > 1 {
            (0..stage.cpus).for_each(|owner| cross(stage, owner, cpu));
        }
    }
    drop(silence);
}

/// Measures the CPU's own objects. Behind each operation, `then` is called.
fn own_objects(stage: &Stage, then: impl Fn()) -> Pair {
    let mut objects = [ptr::null_mut(); OBJECTS];
    let allocated = measure(&mut objects, |object| *object = allocate(), &then);
    stage.note_null(&objects);
    let freed = measure(&mut objects, |object| free(*object), &then);
    Pair {
        allocate: allocated.p50,
        free: freed.p50,
    }
}

/// Takes part in measuring what crosses: objects of CPU `owner`, which the next one frees.
fn cross(stage: &Stage, owner: usize, cpu: usize) {
    let mut objects = [ptr::null_mut(); OBJECTS];
    if cpu == owner {
        objects.fill_with(allocate);
        stage.note_null(&objects);
        stage.hand_over(&objects);
    }
    stage.meet();
    if cpu == (owner + 1) % stage.cpus {
        stage.take(&mut objects);
        let freed = measure(&mut objects, |object| free(*object), &|| ());
        stage.crossing(owner, |crossing| crossing.free = freed.p50);
    }
    stage.meet();
    if cpu == owner {
        let again = measure(&mut objects, |object| *object = allocate(), &|| ());
        stage.note_null(&objects);
        objects.into_iter().for_each(free);
        stage.crossing(owner, |crossing| {
            crossing.again = again.mean;
            crossing.most = again.max;
        });
    }
    stage.meet();
}

/// Measures an operation on each of the objects. What measuring costs is subtracted.
fn measure(
    objects: &mut [*mut u8; OBJECTS],
    operation: impl Fn(&mut *mut u8),
    then: &impl Fn(),
) -> Summary {
    let overhead = clock::least(|| elapsed(|| ()).1);
    let mut samples = objects.each_mut().map(|object| {
        let ((), whole) = elapsed(|| operation(object));
        then();
        u32::try_from(whole.saturating_sub(overhead)).unwrap_or(u32::MAX)
    });
    Summary::of(&mut samples).expect("there are objects")
}

/// Allocates an object.
fn allocate() -> *mut u8 {
    // SAFETY: the size is not zero.
    unsafe { HEAP.alloc(LAYOUT) }
}

/// Frees an object, unless it is null.
fn free(object: *mut u8) {
    if !object.is_null() {
        // SAFETY: each object was allocated with this layout, and is freed once: whoever frees it is the only one who has it.
        unsafe { HEAP.dealloc(object, LAYOUT) };
    }
}

/// What the tasks share.
struct Stage {
    /// How many of them there are.
    cpus: usize,
    /// How often one of them has come to where they meet.
    arrived: AtomicUsize,
    /// Not all of them could be started: there is nothing to meet for.
    is_off: AtomicBool,
    /// Some allocation was answered with null.
    is_out_of_memory: AtomicBool,
    /// Objects on their way from one CPU to another.
    objects: [AtomicPtr<u8>; OBJECTS],
    /// What was found.
    found: Mutex<InterruptMaskingLock, [CpuCosts; MOST_CPUS]>,
}

impl Stage {
    /// Makes one for so many tasks.
    fn new(cpus: usize) -> Self {
        Self {
            cpus,
            arrived: AtomicUsize::new(0),
            is_off: AtomicBool::new(false),
            is_out_of_memory: AtomicBool::new(false),
            objects: [const { AtomicPtr::new(ptr::null_mut()) }; OBJECTS],
            found: Mutex::new([CpuCosts::default(); MOST_CPUS]),
        }
    }

    /// Waits until all have come here. `false` when they will not. What each has done before is seen by all behind it.
    fn meet(&self) -> bool {
        let before = self.arrived.fetch_add(1, Ordering::AcqRel);
        let all = (before / self.cpus + 1) * self.cpus;
        while self.arrived.load(Ordering::Acquire) < all {
            if self.is_off.load(Ordering::Acquire) {
                return false;
            }
            hint::spin_loop();
        }
        true
    }

    /// Does something on each CPU, one after the other, and returns what it was on this one.
    fn in_turn<T>(&self, cpu: usize, body: impl FnOnce() -> T) -> T {
        let pass = |_| {
            self.meet();
        };
        (0..cpu).for_each(pass);
        let result = body();
        (cpu..self.cpus).for_each(pass);
        result
    }

    /// Lays objects down for another CPU.
    fn hand_over(&self, objects: &[*mut u8; OBJECTS]) {
        for (place, object) in self.objects.iter().zip(objects) {
            place.store(*object, Ordering::Relaxed);
        }
    }

    /// Takes the objects that another CPU has laid down.
    fn take(&self, objects: &mut [*mut u8; OBJECTS]) {
        for (place, object) in self.objects.iter().zip(objects) {
            *object = place.swap(ptr::null_mut(), Ordering::Relaxed);
        }
    }

    /// Writes down what was found of the objects of CPU `owner` that another one frees.
    fn crossing(&self, owner: usize, change: impl FnOnce(&mut Crossing)) {
        change(self.found.lock()[owner].crossing.get_or_insert_default());
    }

    /// Notes whether any of these was answered with null.
    fn note_null(&self, objects: &[*mut u8; OBJECTS]) {
        if objects.iter().any(|object| object.is_null()) {
            self.is_out_of_memory.store(true, Ordering::Relaxed);
        }
    }
}

//! The heap in the middle of kernel life: tasks that are preempted anywhere and go on on other CPUs, and interrupt handlers on
//! each CPU, all allocating at once, with a model beside the heap that knows what must be where.
//!
//! ```text
//!   task  task  task …   each with its own random stream: allocate, zeroed, resize, free; sizes of a byte to 2 MiB
//!     │     │     │ ╲
//!     │     │     │  ▶ exchange ◀─ timers', serial port's and software interrupt's handlers: allocate, free what others
//!     │     │     │ ╱                                                                        have allocated
//!     │     │     │     producer ──▶ belt ──▶ consumer …   pairs of tasks that wait for each other
//!     ▼     ▼     ▼        │                     │
//!        the heap ◀────────┴─────────────────────┘
//!            └──── shadow: which bytes are whose. No two objects may overlap, none may lose a byte of its contents.
//! ```
//!
//! There are at least twice as many tasks as CPUs, so they wander, and what one CPU has allocated another one frees. The seed decides
//! what each task does, one after the other; how the tasks interleave is the machine's.
//!
//! Each object is filled with bytes of its own, and looked at before it is freed or resized, by whoever has it then. The
//! shadow, an ordered map of all live ranges, is asked at each step whether the heap's answer can be right. Meanwhile the
//! heap proves its invariants once a second. In the end everything is freed: no object may be left, the heap must hold no more
//! memory than before, and every frame must be accounted for.
//!
//! A finding is a panic: a heap that was found wrong must not go on, and the exit code says so.
//!
//! | module | knows |
//! |---|---|
//! | [`report`] | the numbers, in words: pure |
//! | [`tally`] | the numbers, as they are counted on each CPU: pure |
//! | [`object`] | one object: its bytes, and whether they are still there |
//! | [`shadow`] | which bytes are whose |
//! | [`exchange`] | objects that go from one context to another |
//! | [`belt`] | objects that go from a producer to its consumer |
//! | [`worker`] | what a task does |
//! | [`handlers`] | what interrupt handlers do |
//! | [`run`] | all of it together |

// Pure.
pub mod report;
pub mod tally;

#[cfg(target_os = "none")]
pub mod belt;
#[cfg(target_os = "none")]
pub mod exchange;
#[cfg(target_os = "none")]
pub mod handlers;
#[cfg(target_os = "none")]
pub mod object;
#[cfg(target_os = "none")]
pub mod run;
#[cfg(target_os = "none")]
pub mod shadow;
#[cfg(target_os = "none")]
pub mod worker;

//! The heap in the middle of kernel life: tasks that are preempted anywhere, and interrupt handlers, all allocating at once,
//! with a model beside the heap that knows what must be where.
//!
//! ```text
//!   task  task  task …   each with its own random stream: allocate, zeroed, resize, free; sizes of a byte to 2 MiB
//!     │     │     │ ╲
//!     │     │     │  ▶ exchange ◀─ timer's, serial port's and software interrupt's handlers: allocate, free what others
//!     ▼     ▼     ▼ ╱                                                                       have allocated
//!        the heap ──── shadow: which bytes are whose. No two objects may overlap, none may lose a byte of its contents.
//! ```
//!
//! Each object is filled with bytes of its own, and looked at before it is freed or resized, by whoever has it then. The
//! shadow, an ordered map of all live ranges, is asked at each step whether the heap's answer can be right. Meanwhile the
//! heap proves its invariants once a second. In the end everything is freed: no object may be left, and every frame that was
//! free before must be free again.
//!
//! A finding is a panic: a heap that was found wrong must not go on, and the exit code says so.
//!
//! | module | knows |
//! |---|---|
//! | [`report`] | the numbers, in words: pure |
//! | [`object`] | one object: its bytes, and whether they are still there |
//! | [`shadow`] | which bytes are whose |
//! | [`exchange`] | objects that go from one context to another |
//! | [`worker`] | what a task does |
//! | [`handlers`] | what interrupt handlers do |
//! | [`run`] | all of it together |

// Pure.
pub mod report;

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

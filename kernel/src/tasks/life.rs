//! What one task is doing: a word that all CPUs change, each change one step. Pure.
//!
//! A CPU that switches away from a task uses its call stack to the last instruction, and only then may another CPU go on with the
//! task, or anybody give the stack back. So a task does not become what it wants to be, but is *leaving* for it, and the context
//! that comes behind it on the same CPU says when it has [left](Life::left):
//!
//! ```text
//!            claim           start           take_up
//!   vacant ────────▶ claimed ──────▶ ready ───────────▶ running ──────────────┐ end
//!      ▲                │ ▲           ▲ ▲                │  │ ▲               ▼
//!      └────────────────┘ │           │ └──── left ──────┘  │ │ it was woken  ending
//!          vacate         │           │                     ▼ │ already       │
//!                   reap  │           │ wake            wait ─┘               │
//!                         │           │                     │                 │ left
//!                         │           │                     ▼                 │
//!                         │           ├────── left ─── leaving                │
//!                         │           │ (it was woken)      │ left            │
//!                         │           │                     ▼                 │
//!                         │           └────── wake ──── waiting               │
//!                         └──────────────────────────────────────── finished ◀┘
//! ```
//!
//! What follows, and the tests try with all interleavings:
//!
//! - **A task never runs on two CPUs.** It runs behind [`take_up`](Life::take_up) alone, by whoever has taken it out of a queue.
//!   It comes to a queue only by a step that ends in *ready*, and whoever did that step puts it there, once. No such step leads
//!   from *running* or *leaving* but `left`, which comes when no CPU is in the task's context any more.
//! - **A stack is given back once, when nobody is on it.** Only *finished* is reaped, and only `left` leads there; the step
//!   from there to *claimed* is one reaper's.
//! - **No wake-up is lost.** Who waits looks for what it waits for, and waits if that is not there. Who brings it wakes *then*. If
//!   that comes in between, the wake-up is kept: with the task that runs, whose `wait` is then over at once, or with the one that
//!   leaves, which becomes ready instead. A wake-up that nobody waited for is kept too, so every wait may end early, once,
//!   and looks again. That is also why waking the wrong task does no harm.
//! - **Nobody spins.** Whoever wakes a task that is leaving does not wait until it has left.
//!
//! All orderings are sequentially consistent: these are a few steps a switch, and what is woken for is then seen by the woken.
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU8, Ordering};

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// There is none.
    Vacant,
    /// It is being made, or what is left of it is being given back, by the one who claimed it.
    Claimed,
    /// It wants a turn: it is in one queue, or with the one CPU that takes it from one or puts it into one.
    Ready,
    /// It has its turn; or had it, and a CPU is still in its context.
    Running,
    /// It wants no turn before it is woken, and a CPU is still in its context.
    Leaving,
    /// It wants no turn before it is woken.
    Waiting,
    /// It wants no turn any more, and a CPU is still in its context.
    Ending,
    /// It wants no turn any more.
    Finished,
}

impl Phase {
    /// All of them, by number.
    const ALL: [Self; 8] = [
        Self::Vacant,
        Self::Claimed,
        Self::Ready,
        Self::Running,
        Self::Leaving,
        Self::Waiting,
        Self::Ending,
        Self::Finished,
    ];
}

/// What has become of a task that a CPU has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It is ready: the CPU puts it into its queue.
    Ready,
    /// It waits: whoever wakes it puts it into a queue.
    Waiting,
    /// It is finished: whoever waits for that is to be woken.
    Finished,
}

/// A task's word, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    /// What the task is doing.
    phase: Phase,
    /// It was woken, and has not waited since.
    is_woken: bool,
    /// Somebody holds the task's handle: it is not reaped before that is dropped.
    is_held: bool,
}

/// The bit that says [`Word::is_woken`]; those below are the phase.
const WOKEN: u8 = 8;

/// The bit that says [`Word::is_held`].
const HELD: u8 = 16;

impl Word {
    /// No task.
    const VACANT: Self = Self {
        phase: Phase::Vacant,
        is_woken: false,
        is_held: false,
    };

    /// Puts the word together.
    const fn pack(self) -> u8 {
        let woken = if self.is_woken { WOKEN } else { 0 };
        let held = if self.is_held { HELD } else { 0 };
        self.phase as u8 | woken | held
    }

    /// Takes a word apart.
    const fn unpack(bits: u8) -> Self {
        Self {
            phase: Phase::ALL[(bits % WOKEN) as usize],
            is_woken: bits & WOKEN != 0,
            is_held: bits & HELD != 0,
        }
    }

    /// Returns the word with another phase, and no wake-up kept.
    const fn become_fresh(self, phase: Phase) -> Self {
        Self {
            phase,
            is_woken: false,
            ..self
        }
    }

    /// Returns the word with another phase.
    const fn become_(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }
}

/// What a task is doing, for all CPUs to see and change.
#[derive(Debug)]
pub struct Life(AtomicU8);

impl Life {
    /// A place without a task.
    #[must_use]
    pub const fn vacant() -> Self {
        Self(AtomicU8::new(Word::VACANT.pack()))
    }

    /// The task that boots: it runs, and nobody reaps it.
    #[must_use]
    pub const fn running() -> Self {
        let word = Word {
            is_held: true,
            ..Word::VACANT.become_(Phase::Running)
        };
        Self(AtomicU8::new(word.pack()))
    }

    /// Returns what the task is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.word().phase
    }

    /// Claims the place, if it is vacant, for a task whose handle the caller holds.
    pub fn claim(&self) -> bool {
        let claimed = |word: Word| {
            (word.phase == Phase::Vacant).then_some(Word {
                is_held: true,
                ..word.become_fresh(Phase::Claimed)
            })
        };
        self.step(claimed).is_some()
    }

    /// The place is vacant again: nothing was made there, or nothing is left. To be called by the one who claimed or reaped it.
    pub fn vacate(&self) {
        let before = self.0.swap(Word::VACANT.pack(), Ordering::SeqCst);
        debug_assert_eq!(Word::unpack(before).phase, Phase::Claimed);
    }

    /// The task is made and wants its first turn: the caller puts it into a queue.
    pub fn start(&self) {
        self.expect(|word| {
            (word.phase == Phase::Claimed).then_some(word.become_fresh(Phase::Ready))
        });
    }

    /// The task's turn begins. To be called by the CPU that has taken it out of a queue, before it goes on with it.
    pub fn take_up(&self) {
        self.expect(|word| (word.phase == Phase::Ready).then_some(word.become_(Phase::Running)));
    }

    /// The running task wants no turn before it is woken. `false` where it was woken already: it goes on then. If `true`, the CPU
    /// switches to another context.
    pub fn wait(&self) -> bool {
        let word = self.expect(|word| {
            let next = if word.is_woken {
                Phase::Running
            } else {
                Phase::Leaving
            };
            (word.phase == Phase::Running).then_some(word.become_fresh(next))
        });
        !word.is_woken
    }

    /// The running task wants no turn any more. The CPU switches to another context.
    pub fn end(&self) {
        self.expect(|word| (word.phase == Phase::Running).then_some(word.become_(Phase::Ending)));
    }

    /// No CPU is in the task's context any more. To be called by the context that comes behind it on its CPU, once.
    pub fn left(&self) -> Left {
        let become_what = |word: Word| match (word.phase, word.is_woken) {
            (Phase::Running, _) => Some(word.become_(Phase::Ready)),
            (Phase::Leaving, true) => Some(word.become_fresh(Phase::Ready)),
            (Phase::Leaving, false) => Some(word.become_(Phase::Waiting)),
            (Phase::Ending, _) => Some(word.become_fresh(Phase::Finished)),
            _ => None,
        };
        let before = self.expect(become_what);
        match become_what(before).map(|word| word.phase) {
            Some(Phase::Waiting) => Left::Waiting,
            Some(Phase::Finished) => Left::Finished,
            _ => Left::Ready,
        }
    }

    /// Wakes the task, wherever it is. Returns whether the caller has to put it into a queue.
    pub fn wake(&self) -> bool {
        let woken = |word: Word| match word.phase {
            Phase::Waiting => Some(word.become_fresh(Phase::Ready)),
            Phase::Ready | Phase::Running | Phase::Leaving => Some(Word {
                is_woken: true,
                ..word
            }),
            _ => None,
        };
        self.step(woken)
            .is_some_and(|before| before.phase == Phase::Waiting)
    }

    /// Nobody holds the task's handle any more.
    pub fn release(&self) {
        self.expect(|word| {
            let released = Word {
                is_held: false,
                ..word
            };
            word.is_held.then_some(released)
        });
    }

    /// Claims what is left of a finished task that nobody holds. The one who gets `true` gives its stack back, then
    /// [vacates](Self::vacate) the place.
    pub fn reap(&self) -> bool {
        let claimed = |word: Word| {
            let is_over = word.phase == Phase::Finished && !word.is_held;
            is_over.then_some(word.become_(Phase::Claimed))
        };
        self.step(claimed).is_some()
    }

    /// Reads the word.
    fn word(&self) -> Word {
        Word::unpack(self.0.load(Ordering::SeqCst))
    }

    /// Changes the word in one step, and returns what it was; `None`, with nothing changed, where `next` says so.
    fn step(&self, next: impl Fn(Word) -> Option<Word>) -> Option<Word> {
        let change = |bits| next(Word::unpack(bits)).map(Word::pack);
        let before = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
        before.ok().map(Word::unpack)
    }

    /// Changes the word in one step that must be possible, and returns what it was.
    ///
    /// # Panics
    ///
    /// If it is not possible: a call of these functions was forgotten, or made twice.
    fn expect(&self, next: impl Fn(Word) -> Option<Word>) -> Word {
        match self.step(next) {
            Some(before) => before,
            None => panic!(
                "a task that is {:?} was to do what it cannot do then",
                self.phase()
            ),
        }
    }
}

#[cfg(test)]
mod tests;

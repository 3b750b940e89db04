//! Whose turn it is: a table of slots, and a round robin over those that are ready. Pure.
#![forbid(unsafe_code)]

/// A place in the table, with the number of the task that has it: a later task in the same place is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The place.
    index: usize,
    /// How many tasks had the place before.
    generation: u64,
}

impl Slot {
    /// Returns the place in the table.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index
    }
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// There is none.
    Vacant,
    /// It is being made.
    Starting,
    /// It waits for its turn.
    Ready,
    /// It is its turn.
    Running,
    /// It wants no turn before this tick.
    Sleeping(u64),
    /// It wants no turn before this other task is finished.
    Waiting(Slot),
    /// It wants no turn any more.
    Finished,
}

/// The table.
///
/// # Invariants
/// - The slot `running` is that of the task whose context the CPU is in. Its state is `Running`, unless it gives its turn up.
#[derive(Debug)]
pub struct Turns<const SLOTS: usize> {
    /// What each task is doing.
    states: [State; SLOTS],
    /// How many tasks each place has had.
    generations: [u64; SLOTS],
    /// Whose context the CPU is in.
    running: usize,
}

impl<const SLOTS: usize> Default for Turns<SLOTS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const SLOTS: usize> Turns<SLOTS> {
    /// Makes the table of a CPU that runs the first task.
    #[must_use]
    pub const fn new() -> Self {
        let mut states = [State::Vacant; SLOTS];
        states[0] = State::Running;
        Self {
            states,
            generations: [0; SLOTS],
            running: 0,
        }
    }

    /// Returns the slot of the task whose context the CPU is in.
    #[must_use]
    pub const fn running(&self) -> Slot {
        self.slot(self.running)
    }

    /// Returns how many tasks there are.
    #[must_use]
    pub fn count(&self) -> usize {
        let is_there = |state: &&State| **state != State::Vacant;
        self.states.iter().filter(is_there).count()
    }

    /// Takes a vacant slot, if there is one, for a task that is being made.
    pub fn claim(&mut self) -> Option<Slot> {
        let is_vacant = |state: &State| *state == State::Vacant;
        let index = self.states.iter().position(is_vacant)?;
        self.states[index] = State::Starting;
        Some(self.slot(index))
    }

    /// Notes what the task of `slot` is doing.
    pub fn set(&mut self, slot: Slot, state: State) {
        self.states[slot.index] = state;
    }

    /// Chooses the next task that is ready, in the order of the table behind the running one, and makes it the running one.
    /// `None`, with nothing changed, when no other one is ready at the tick `now`. Returns it behind the one that ran.
    pub fn next(&mut self, now: u64) -> Option<(Slot, Slot)> {
        let behind = (1..SLOTS).map(|distance| (self.running + distance) % SLOTS);
        let next = behind
            .into_iter()
            .find(|&index| self.is_ready(self.states[index], now))?;
        let from = self.running();
        if self.states[from.index] == State::Running {
            self.states[from.index] = State::Ready;
        }
        self.states[next] = State::Running;
        self.running = next;
        Some((from, self.slot(next)))
    }

    /// Lets the task of `slot`, which is the running one, go on if what it sleeps or waits for has come.
    pub fn resume(&mut self, slot: Slot, now: u64) -> bool {
        let state = self.states[slot.index];
        let goes_on = state == State::Running || self.is_ready(state, now);
        if goes_on {
            self.states[slot.index] = State::Running;
        }
        goes_on
    }

    /// Takes a finished task, which is not the running one, out of the table.
    pub fn reap(&mut self) -> Option<Slot> {
        let index = (0..SLOTS)
            .find(|&index| self.states[index] == State::Finished && index != self.running)?;
        let slot = self.slot(index);
        self.states[index] = State::Vacant;
        self.generations[index] += 1;
        Some(slot)
    }

    /// Returns the slot at `index` as it is now.
    const fn slot(&self, index: usize) -> Slot {
        Slot {
            index,
            generation: self.generations[index],
        }
    }

    /// Returns whether a task that does this can have a turn at the tick `now`.
    fn is_ready(&self, state: State, now: u64) -> bool {
        match state {
            State::Ready => true,
            State::Sleeping(until) => until <= now,
            State::Waiting(other) => self.is_over(other),
            State::Vacant | State::Starting | State::Running | State::Finished => false,
        }
    }

    /// Returns whether the task that had `slot` is finished.
    fn is_over(&self, slot: Slot) -> bool {
        self.slot(slot.index) != slot || self.states[slot.index] == State::Finished
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::*;

    /// Adds a task that is ready.
    fn add<const SLOTS: usize>(turns: &mut Turns<SLOTS>) -> Slot {
        let slot = turns.claim().expect("there is room");
        turns.set(slot, State::Ready);
        slot
    }

    /// Runs `count` turns and returns who had them.
    fn run<const SLOTS: usize>(turns: &mut Turns<SLOTS>, count: usize) -> Vec<usize> {
        let mut next = || turns.next(0).map_or(usize::MAX, |(_, to)| to.index());
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn turns_go_round() {
        let mut turns = Turns::<4>::new();
        assert_eq!(turns.next(0), None, "the first task is alone");
        add(&mut turns);
        add(&mut turns);
        assert_eq!(run(&mut turns, 6), [1, 2, 0, 1, 2, 0]);
        assert_eq!(turns.count(), 3);
    }

    #[test]
    fn sleepers_have_no_turn_before_their_time() {
        let mut turns = Turns::<4>::new();
        let other = add(&mut turns);
        let first = turns.running();
        turns.set(first, State::Sleeping(10));
        assert_eq!(turns.next(9), Some((first, other)));
        assert_eq!(turns.next(9), None);
        assert_eq!(turns.next(10), Some((other, first)));
        assert!(turns.resume(first, 10));
    }

    #[test]
    fn nobody_else_ready_means_that_the_running_one_looks_for_itself() {
        let mut turns = Turns::<2>::new();
        let first = turns.running();
        turns.set(first, State::Sleeping(3));
        assert!(turns.next(3).is_none());
        assert!(!turns.resume(first, 2));
        assert!(turns.resume(first, 3));
        assert!(turns.resume(first, 0), "it runs already");
    }

    #[test]
    fn who_waits_goes_on_when_the_other_is_finished_or_was_reaped() {
        let mut turns = Turns::<4>::new();
        let first = turns.running();
        let other = add(&mut turns);
        turns.set(first, State::Waiting(other));
        assert_eq!(turns.next(0), Some((first, other)));
        assert!(turns.next(0).is_none());
        turns.set(other, State::Finished);
        assert_eq!(turns.next(0), Some((other, first)));
        assert_eq!(turns.reap(), Some(other));
        let later = add(&mut turns);
        assert_eq!(later.index(), other.index());
        turns.set(first, State::Waiting(other));
        assert!(turns.resume(first, 0), "the place has another task now");
    }

    #[test]
    fn a_finished_task_is_not_reaped_while_the_cpu_is_in_its_context() {
        let mut turns = Turns::<3>::new();
        let other = add(&mut turns);
        turns.next(0);
        turns.set(other, State::Finished);
        assert_eq!(turns.reap(), None);
        turns.next(0);
        assert_eq!(turns.reap(), Some(other));
        assert_eq!(turns.reap(), None);
    }

    #[test]
    fn a_task_that_is_being_made_has_its_place_and_no_turn() {
        let mut turns = Turns::<3>::new();
        let made = turns.claim().expect("there is room");
        assert_eq!((turns.next(0), turns.count()), (None, 2));
        assert_ne!(turns.claim().map(Slot::index), Some(made.index()));
        turns.set(made, State::Vacant);
        assert_eq!(turns.claim(), Some(made));
    }

    #[test]
    fn a_full_table_has_no_room() {
        let mut turns = Turns::<3>::new();
        let slots: BTreeSet<_> = [add(&mut turns), add(&mut turns)].map(Slot::index).into();
        assert_eq!(slots, BTreeSet::from([1, 2]));
        assert_eq!(turns.claim(), None);
    }
}

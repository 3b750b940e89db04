//! The heap against a shadow of it: random operations, every live object remembered with its contents.

mod common;

use common::{Heap, Object, assert_empty, assert_sound, heap, layout};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};

/// One step of a random program.
#[derive(Clone, Debug)]
enum Action {
    /// Allocate, perhaps zeroed.
    Allocate {
        size: usize,
        align: usize,
        zeroed: bool,
    },
    /// Free the n-th live object, modulo their number.
    Free(usize),
    /// Reallocate the n-th live object.
    Reallocate(usize, usize),
    /// Give back what is not needed.
    Trim,
}

/// Sizes spread over their logarithm, up to 1 MiB.
fn sizes() -> impl Strategy<Value = usize> {
    (0_u32..20, 0_usize..1 << 20).prop_map(|(log, noise)| (1 << log) + noise % (1 << log))
}

fn actions() -> impl Strategy<Value = Action> {
    let aligns = prop_oneof![12 => Just(0_u32), 4 => 1_u32..13, 1 => 13_u32..22];
    prop_oneof![
        8 => (sizes(), aligns, any::<bool>()).prop_map(|(size, log, zeroed)| Action::Allocate { size, align: 1 << log, zeroed }),
        6 => any::<usize>().prop_map(Action::Free),
        3 => (any::<usize>(), sizes()).prop_map(|(n, size)| Action::Reallocate(n, size)),
        1 => Just(Action::Trim),
    ]
}

/// The heap, and what it should hold.
struct Shadow {
    heap: Heap,
    live: Vec<Object>,
}

impl Shadow {
    /// Does one step in both.
    fn step(&mut self, action: &Action, fill: u8) {
        match *action {
            Action::Allocate {
                size,
                align,
                zeroed,
            } => {
                let layout = layout(size, align);
                let object = if zeroed {
                    Object::try_zeroed(&self.heap, layout, fill)
                } else {
                    Object::try_new(&self.heap, layout, fill)
                };
                if let Some(object) = object {
                    self.assert_apart_from_others(&object);
                    self.live.push(object);
                }
            }
            Action::Free(n) if !self.live.is_empty() => {
                let object = self.live.swap_remove(n % self.live.len());
                object.free(&self.heap);
            }
            Action::Reallocate(n, size) if !self.live.is_empty() => {
                let mut object = self.live.swap_remove(n % self.live.len());
                object.resize(&self.heap, size, fill);
                self.assert_apart_from_others(&object);
                self.live.push(object);
            }
            Action::Trim => self.heap.trim(),
            _ => {}
        }
    }

    #[track_caller]
    fn assert_apart_from_others(&self, object: &Object) {
        let new = object.range();
        for other in &self.live {
            let range = other.range();
            assert!(
                new.end <= range.start || range.end <= new.start,
                "{object:?} overlaps {other:?}"
            );
        }
    }

    /// Asserts that the heap counts what is live, and that its invariants hold.
    #[track_caller]
    fn assert_counted(&self) {
        assert_sound(&self.heap);
        let statistics = self.heap.statistics();
        assert_eq!(statistics.live(), self.live.len() as u64);
        let requested = self.live.iter().map(|object| object.layout().size());
        assert_eq!(statistics.bytes_requested, requested.sum::<usize>());
        assert!(statistics.bytes_used >= statistics.bytes_requested);
        assert!(statistics.bytes_held >= statistics.bytes_used);
    }
}

fn run(actions: &[Action], limit: usize) {
    let mut shadow = Shadow {
        heap: heap(limit),
        live: Vec::new(),
    };
    for (step, action) in (1_u8..=250).cycle().zip(actions) {
        shadow.step(action, step);
        // The walk through the heap is the costly part: all the same, no fault goes unseen for more than a few steps.
        if step % 4 == 0 {
            shadow.assert_counted();
        }
    }
    shadow.assert_counted();
    for object in shadow.live.drain(..) {
        object.free(&shadow.heap);
    }
    assert_empty(&shadow.heap);
}

proptest! {
    #[test]
    fn behaves_like_its_shadow(actions in collection::vec(actions(), 1..300)) {
        run(&actions, 1 << 30);
    }

    #[test]
    fn behaves_like_its_shadow_when_memory_is_short(actions in collection::vec(actions(), 1..300)) {
        run(&actions, 3 << 20);
    }
}

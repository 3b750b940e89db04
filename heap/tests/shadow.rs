//! The heap against a shadow of it: random operations, every live object remembered with its contents.

mod common;

use std::alloc::{GlobalAlloc, Layout};

use common::CountingSource;
use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::{collection, proptest};
use stack_alloc::{Allocator, BLOCK_SIZE, KEPT_BLOCKS};

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
    (0_u32..21, 0_usize..1 << 20).prop_map(|(log, noise)| (1 << log) + noise % (1 << log))
}

fn actions() -> impl Strategy<Value = Action> {
    let aligns = prop_oneof![12 => Just(0_u32), 4 => 1_u32..13, 1 => 13_u32..20];
    prop_oneof![
        8 => (sizes(), aligns, proptest::bool::ANY).prop_map(|(size, log, zeroed)| Action::Allocate { size, align: 1 << log, zeroed }),
        6 => proptest::num::usize::ANY.prop_map(Action::Free),
        3 => (proptest::num::usize::ANY, sizes()).prop_map(|(n, size)| Action::Reallocate(n, size)),
        1 => Just(Action::Trim),
    ]
}

/// A live object.
struct Shadow {
    pointer: *mut u8,
    layout: Layout,
    fill: u8,
}

impl Shadow {
    #[track_caller]
    fn assert_intact(&self, len: usize) {
        // SAFETY: the object is live and was filled when it was made.
        let bytes = unsafe { core::slice::from_raw_parts(self.pointer, len) };
        assert!(
            bytes.iter().all(|byte| *byte == self.fill),
            "contents changed at {:p} {:?}",
            self.pointer,
            self.layout
        );
    }

    fn fill(&self) {
        // SAFETY: the object is live.
        unsafe { self.pointer.write_bytes(self.fill, self.layout.size()) };
    }
}

fn run(actions: &[Action], limit: usize) {
    let heap = Allocator::<CountingSource>::new(CountingSource::new(limit));
    heap.set_misuse_handler(|misuse| panic!("{misuse}"));
    let mut live: Vec<Shadow> = Vec::new();
    for (step, action) in actions.iter().enumerate() {
        let fill = (step % 251) as u8 + 1;
        match *action {
            Action::Allocate {
                size,
                align,
                zeroed,
            } => {
                let layout = Layout::from_size_align(size, align).unwrap();
                let pointer = unsafe {
                    if zeroed {
                        heap.alloc_zeroed(layout)
                    } else {
                        heap.alloc(layout)
                    }
                };
                if pointer.is_null() {
                    continue;
                }
                assert_eq!(pointer.addr() % align, 0);
                let shadow = Shadow {
                    pointer,
                    layout,
                    fill,
                };
                for other in &live {
                    let apart = pointer.addr() + size <= other.pointer.addr()
                        || other.pointer.addr() + other.layout.size() <= pointer.addr();
                    assert!(
                        apart,
                        "{pointer:p} {layout:?} overlaps {:p} {:?}",
                        other.pointer, other.layout
                    );
                }
                if zeroed {
                    Shadow {
                        pointer,
                        layout,
                        fill: 0,
                    }
                    .assert_intact(size);
                }
                shadow.fill();
                live.push(shadow);
            }
            Action::Free(n) if !live.is_empty() => {
                let shadow = live.swap_remove(n % live.len());
                shadow.assert_intact(shadow.layout.size());
                unsafe { heap.dealloc(shadow.pointer, shadow.layout) };
            }
            Action::Reallocate(n, size) if !live.is_empty() => {
                let index = n % live.len();
                let shadow = &mut live[index];
                let pointer = unsafe { heap.realloc(shadow.pointer, shadow.layout, size) };
                if pointer.is_null() {
                    continue;
                }
                assert_eq!(pointer.addr() % shadow.layout.align(), 0);
                shadow.pointer = pointer;
                let kept = shadow.layout.size().min(size);
                shadow.layout = Layout::from_size_align(size, shadow.layout.align()).unwrap();
                shadow.assert_intact(kept);
                shadow.fill();
            }
            Action::Trim => heap.trim(),
            _ => {}
        }
        heap.check().unwrap();
        let statistics = heap.statistics();
        assert_eq!(statistics.live(), live.len() as u64);
        assert_eq!(
            statistics.bytes_requested,
            live.iter()
                .map(|shadow| shadow.layout.size())
                .sum::<usize>()
        );
        assert_eq!(statistics.bytes_held, heap.source().bytes_out());
    }
    for shadow in live {
        shadow.assert_intact(shadow.layout.size());
        unsafe { heap.dealloc(shadow.pointer, shadow.layout) };
    }
    heap.check().unwrap();
    assert!(heap.source().bytes_out() <= KEPT_BLOCKS * BLOCK_SIZE);
    heap.trim();
    assert_eq!(heap.source().pieces_out(), 0);
}

proptest! {
    #[test]
    fn behaves_like_its_shadow(actions in collection::vec(actions(), 1..300)) {
        run(&actions, usize::MAX);
    }

    #[test]
    fn behaves_like_its_shadow_when_memory_is_short(actions in collection::vec(actions(), 1..300)) {
        run(&actions, 3 << 20);
    }
}

//! The model beside the heap: which bytes are whose.
//!
//! Ordered maps of the live objects, in the heap itself like everything. The addresses are cut into windows, and each object is
//! noted in each window that it has bytes in:
//!
//! ```text
//!   window      ├── 256 KiB ──┼─────────────┼─────────────┤
//!   objects        ▐█▌   ▐███████████████████████▌  ▐█▌
//!   pieces         ▐█▌   ▐████▌▐███████████▌▐████▌  ▐█▌        two objects that overlap do so in some window
//! ```
//!
//! A window's map has a lock of its own (shared with some other windows), so that CPUs seldom wait for each other here, but meet in the heap. The
//! locks mask interrupts, because handlers allocate too; what happens under one takes a few steps for each doubling of the
//! number of objects, and no one holds two.

use alloc::collections::BTreeMap;
use core::alloc::Layout;
use core::ops::Range;
use core::ptr::NonNull;

use lock_api::Mutex;

use crate::lock::{MaskingLock, named_lock};

/// Bytes of a window.
const WINDOW: usize = 256 * 1024;

/// How many maps there are; windows share them.
const MAPS: usize = 64;

named_lock!(ShadowLock, "the stress's shadow");

/// Some of the pieces of live objects: of each, by its start, the end, and whether it is its object's first one.
type Pieces = BTreeMap<usize, (usize, bool)>;

/// All pieces.
static LIVE: [Mutex<MaskingLock<ShadowLock>, Pieces>; MAPS] =
    [const { Mutex::new(BTreeMap::new()) }; MAPS];

/// Notes an object that was just handed out.
///
/// # Panics
///
/// If some of its bytes are those of another live object: a finding.
pub fn insert(start: NonNull<u8>, layout: Layout) {
    let object = addresses(start, layout);
    for piece in pieces(&object) {
        // The lock is not held any more: a report prints.
        if let Some(other) = insert_piece(&object, piece) {
            panic!("stress: the heap handed out {object:#x?} over the live object {other:#x?}");
        }
    }
}

/// Notes a piece, or returns another one that it overlaps.
fn insert_piece(object: &Range<usize>, piece: Range<usize>) -> Option<Range<usize>> {
    let mut live = map_of(&piece).lock();
    let before = live.range(..piece.end).next_back();
    let overlap = before
        .filter(|&(_, &(other_end, _))| other_end > piece.start)
        .map(|(&start, &(end, _))| start..end);
    if overlap.is_none() {
        live.insert(piece.start, (piece.end, piece.start == object.start));
    }
    overlap
}

/// Forgets an object that is about to be freed or moved.
///
/// # Panics
///
/// If it is not known: the stress itself is wrong.
pub fn remove(start: NonNull<u8>, layout: Layout) {
    let object = addresses(start, layout);
    for piece in pieces(&object) {
        let known = map_of(&piece).lock().remove(&piece.start);
        assert_eq!(
            known,
            Some((piece.end, piece.start == object.start)),
            "stress: {object:#x?} is not what the shadow knows"
        );
    }
}

/// Forgets everything, with the memory of the maps themselves, and returns how many objects were live.
pub fn clear() -> usize {
    let clear_one = |live: &Mutex<_, Pieces>| {
        let pieces = core::mem::take(&mut *live.lock());
        pieces.values().filter(|(_, is_first)| *is_first).count()
    };
    LIVE.iter().map(clear_one).sum()
}

/// Returns the addresses of an object.
fn addresses(start: NonNull<u8>, layout: Layout) -> Range<usize> {
    let start = start.addr().get();
    start..start + layout.size()
}

/// Cuts addresses at the borders of windows.
fn pieces(object: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let (mut next, end) = (object.start, object.end);
    core::iter::from_fn(move || {
        let piece = next..end.min((next / WINDOW + 1) * WINDOW);
        next = piece.end;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Returns the map that a piece belongs to.
fn map_of(piece: &Range<usize>) -> &'static Mutex<MaskingLock<ShadowLock>, Pieces> {
    &LIVE[piece.start / WINDOW % MAPS]
}

//! What the tests of wrong frees share: a heap with objects of every kind, and the assertion that a free is refused.

use core::alloc::Layout;

use stack_alloc::{Misuse, MisuseKind};

use super::{
    Heap, Object, assert_empty, assert_sound, give_back, heap, layout, reallocate, remember, seen,
};

/// One kind of memory: a layout, and the bytes of what serves it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) layout: Layout,
    pub(crate) served: usize,
}

/// A chunk, a chunk of a stack of several pages, a chunk larger than a page's neighbours, runs, and regions.
pub(crate) fn kinds() -> [Kind; 8] {
    let kind = |size, align, served| Kind {
        layout: layout(size, align),
        served,
    };
    [
        kind(1, 1, 16),
        kind(40, 8, 48),
        kind(100, 128, 128),
        kind(5000, 8, 5120),
        kind(16 << 10, 8, 16 << 10),
        kind(40_000, 8, 40_960),
        kind(30_000, 16 << 10, 32_768),
        kind(1 << 20, 8, 1 << 20),
    ]
}

/// A heap with an object of every kind, each with neighbours of the same kind.
pub(crate) struct Scene {
    pub(crate) heap: Heap,
    pub(crate) objects: Vec<(Kind, Object)>,
    neighbours: Vec<Object>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let heap = heap(64 << 20);
        heap.set_misuse_handler(remember);
        let mut objects = Vec::new();
        let mut neighbours = Vec::new();
        for (fill, kind) in (1_u8..).zip(kinds()) {
            neighbours.push(Object::new(&heap, kind.layout, 100 + fill));
            objects.push((kind, Object::new(&heap, kind.layout, fill)));
            neighbours.push(Object::new(&heap, kind.layout, 200 + fill));
        }
        Self {
            heap,
            objects,
            neighbours,
        }
    }

    /// Asserts that giving back `pointer` with `layout`, or reallocating it, is reported as `kind` at the object
    /// `(address, size)`, and changes nothing.
    #[track_caller]
    pub(crate) fn assert_refused(
        &self,
        pointer: *mut u8,
        layout: Layout,
        kind: MisuseKind,
        object: Option<(usize, usize)>,
    ) {
        assert_refused(&self.heap, pointer, layout, kind, object);
        for object in self.all() {
            object.assert_intact();
        }
    }

    fn all(&self) -> impl Iterator<Item = &Object> {
        self.objects
            .iter()
            .map(|(_, object)| object)
            .chain(&self.neighbours)
    }

    /// Frees everything, rightly.
    #[track_caller]
    pub(crate) fn end(self) {
        for (_, object) in self.objects {
            object.free(&self.heap);
        }
        for object in self.neighbours {
            object.free(&self.heap);
        }
        assert_eq!(seen(), [], "a right free was called wrong");
        assert_empty(&self.heap);
    }
}

/// See [`Scene::assert_refused`].
#[track_caller]
pub(crate) fn assert_refused(
    heap: &Heap,
    pointer: *mut u8,
    layout: Layout,
    kind: MisuseKind,
    object: Option<(usize, usize)>,
) {
    let expected = [(kind, pointer.addr(), layout, object)];
    let report = |misuse: Misuse| {
        let object = misuse.place.object();
        let extent = object.map(|object| (object.address, object.size));
        assert_eq!(misuse.place, heap.what_is(misuse.address));
        (misuse.kind, misuse.address, misuse.layout, extent)
    };
    let before = heap.statistics();
    give_back(heap, pointer, layout);
    assert!(seen().into_iter().map(report).eq(expected));
    for new_size in [layout.size(), 1, 3000, 50_000, 2 << 20] {
        let moved = reallocate(heap, pointer, layout, new_size);
        assert!(moved.is_null());
        let by_realloc = seen().into_iter().map(report);
        assert!(by_realloc.eq(expected), "by realloc to {new_size}");
    }
    assert_eq!(heap.statistics(), before);
    assert_sound(heap);
}

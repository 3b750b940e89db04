//! What a heap says when it is looked at: what every byte is, which objects are live, and its numbers.

mod common;

use core::ops::Range;

use common::arena::{
    Arena, ArenaHeap, Kind, Rules, WINDOW, assert_arena_empty, assert_arena_sound, free_all,
    random_heap, random_step,
};
use common::{Heap, Numbers, Object, heap, layout};
use stack_alloc::{
    Allocator, BLOCK_SIZE, ClassStatistics, ObjectKind, ObjectState, PAGE_SIZE, Place, Statistics,
};

/// What every byte of an arena should be.
struct Model {
    base: usize,
    places: Vec<Place>,
}

impl Model {
    /// Creates a model of an arena of which the heap has nothing.
    fn new(heap: &ArenaHeap, windows: usize) -> Self {
        Self {
            base: heap.source().address(0),
            places: vec![Place::Foreign; windows * BLOCK_SIZE],
        }
    }

    /// Says what the bytes at `addresses` are, of which nothing but `before` was said yet.
    #[track_caller]
    fn paint(&mut self, addresses: Range<usize>, before: Place, place: impl Fn(usize) -> Place) {
        for address in addresses {
            let byte = &mut self.places[address - self.base];
            assert_eq!(*byte, before, "two answers for {address:#x}");
            *byte = place(address);
        }
    }

    /// Says what pages are, counted through.
    #[track_caller]
    fn pages(&mut self, pages: Range<usize>, before: Place, place: Place) {
        let at = |page: usize| self.base + page * PAGE_SIZE;
        self.paint(at(pages.start)..at(pages.end), before, |_| place);
    }

    /// Says that there is an object of `size` bytes at `address`.
    #[track_caller]
    fn object(&mut self, address: usize, size: usize, kind: ObjectKind, state: ObjectState) {
        let object = stack_alloc::Object {
            address,
            size,
            kind,
            state,
        };
        let before = match kind {
            ObjectKind::Region => Place::Foreign,
            _ => Place::FreePage,
        };
        self.paint(address..address + size, before, |byte| Place::Object {
            object,
            offset: byte - address,
        });
    }

    /// Says that a stack stands where the first of `chunks` does, as long as `class` says its only stack is, and that of its
    /// chunks those are live.
    #[track_caller]
    fn stack(&mut self, class: &ClassStatistics, base: usize, chunks: &[Object]) {
        assert_eq!(base % PAGE_SIZE, 0);
        let size = class.chunk_size;
        for number in 0..class.chunks_total {
            let address = base + number * size;
            let is_live = chunks.iter().any(|chunk| chunk.range().start == address);
            let state = if is_live {
                ObjectState::Live
            } else {
                ObjectState::Free
            };
            self.object(address, size, ObjectKind::Chunk, state);
        }
        let end = base + class.chunks_total * size;
        self.paint(
            end..end.next_multiple_of(PAGE_SIZE),
            Place::FreePage,
            |_| Place::Tail,
        );
    }

    /// Asserts that the heap says of every byte, and of those around the arena, what the model says.
    #[track_caller]
    fn assert_like(&self, heap: &ArenaHeap) {
        let step = if cfg!(miri) { 251 } else { 1 };
        for (offset, place) in self.places.iter().enumerate().step_by(step) {
            assert_eq!(heap.what_is(self.base + offset), *place, "byte {offset:#x}");
        }
        let end = self.base + self.places.len();
        for address in [
            0,
            1,
            self.base - 1,
            self.base - BLOCK_SIZE,
            end,
            end + BLOCK_SIZE,
            usize::MAX,
        ] {
            assert_eq!(heap.what_is(address), Place::Foreign, "{address:#x}");
        }
    }
}

/// Returns the numbers of the class of `size` bytes.
fn class_of(statistics: &Statistics, size: usize) -> ClassStatistics {
    let class = statistics
        .classes
        .iter()
        .find(|class| class.chunk_size == size);
    *class.expect("a class")
}

#[test]
fn every_byte_is_what_it_is() {
    // A part of window 0, all of window 1 as a block, regions in windows 2 and 3.
    let rules = Rules {
        blocks: false,
        regions: false,
        ..Rules::ALL
    };
    let pages = [10..50, 64..64 + 64, 128..256];
    let heap = Allocator::new(Arena::new(4, [pages[0].clone()], rules));
    let mut model = Model::new(&heap, 4);
    model.assert_like(&heap);

    // The part: three stacks, one with a tail and one with holes, and a run.
    let chunks = |size: usize, count: usize, holes: &[usize]| {
        let all = (0..count).map(|_| Object::new(&heap, layout(size, 8), 1));
        let all: Vec<Object> = all.collect();
        let base = all[0].range().start;
        let numbered = all.into_iter().enumerate();
        let (gone, stay): (Vec<_>, Vec<_>) =
            numbered.partition(|(number, _)| holes.contains(number));
        free_all(&heap, gone.into_iter().map(|(_, object)| object));
        let stay: Vec<Object> = stay.into_iter().map(|(_, object)| object).collect();
        (base, stay)
    };
    let small = chunks(48, 70, &[0, 5, 63, 64, 69]);
    let large = chunks(5120, 2, &[1]);
    let spare = chunks(448, 1, &[0]);
    let run = Object::new(&heap, layout(6 * PAGE_SIZE - 100, 8), 2);
    let statistics = heap.statistics();
    model.pages(10..11, Place::Foreign, Place::Own);
    model.pages(11..50, Place::Foreign, Place::FreePage);
    for (size, (base, live)) in [(48, &small), (5120, &large), (448, &spare)] {
        let class = class_of(&statistics, size);
        assert!(class.stacks > 0 && class.chunks_total <= 256);
        model.stack(&class, *base, live);
    }
    model.object(
        run.range().start,
        6 * PAGE_SIZE,
        ObjectKind::Run,
        ObjectState::Live,
    );
    model.assert_like(&heap);

    // The block: an aligned run, and the records of two regions.
    heap.source().add_pages(pages[1].clone());
    heap.source().set_rules(|rules| rules.blocks = true);
    let aligned = Object::new(&heap, layout(20 * PAGE_SIZE, 16 * PAGE_SIZE), 3);
    heap.source().add_pages(pages[2].clone());
    heap.source().set_rules(|rules| {
        (rules.blocks, rules.part_pages, rules.regions) = (false, 0, true);
    });
    let region = Object::new(&heap, layout(70 * PAGE_SIZE - 1, 8), 4);
    let gone = Object::new(&heap, layout(20 * PAGE_SIZE, 32 * PAGE_SIZE), 5);
    assert_eq!(heap.source().pieces_out(Kind::Region), 2);
    let gone_range = gone.range();
    gone.free(&heap);
    // It was looked for in the heap first, and the empty stack given up for it.
    let (base, _) = spare;
    let page = (base - model.base) / PAGE_SIZE;
    model.places[page * PAGE_SIZE..(page + 1) * PAGE_SIZE].fill(Place::FreePage);
    model.paint(gone_range.clone(), Place::Foreign, |_| Place::GoneBack {
        address: gone_range.start,
        size: gone_range.len(),
    });
    model.pages(64..65, Place::Foreign, Place::Own);
    model.pages(65..128, Place::Foreign, Place::FreePage);
    model.object(
        aligned.range().start,
        20 * PAGE_SIZE,
        ObjectKind::Run,
        ObjectState::Live,
    );
    model.object(
        region.range().start,
        70 * PAGE_SIZE,
        ObjectKind::Region,
        ObjectState::Live,
    );
    // The records have one page more, wherever it is.
    let is_own = |page: &usize| heap.what_is(heap.source().address(*page)) == Place::Own;
    let own: Vec<_> = (0..256).filter(is_own).collect();
    assert_eq!(own.len(), 3, "two headers, and the records: {own:?}");
    let records = own.into_iter().find(|page| ![10, 64].contains(page));
    let records = records.expect("a page");
    model.pages(records..records + 1, Place::FreePage, Place::Own);
    model.assert_like(&heap);

    // All goes back.
    free_all(&heap, [aligned, region, run]);
    for (_, objects) in [small, large] {
        free_all(&heap, objects);
    }
    assert_arena_empty(&heap);
    let address = |page: usize| heap.source().address(page);
    for (page, first, pages) in [
        (10, 10, 40),
        (49, 10, 40),
        (64, 64, 64),
        (127, 64, 64),
        (128, 128, 70),
        (243, 224, 20),
    ] {
        let expected = Place::GoneBack {
            address: address(first),
            size: pages * PAGE_SIZE,
        };
        assert_eq!(heap.what_is(address(page)), expected, "page {page}");
    }
    for page in [0, 9, 50, 63, 198, 223, 244] {
        assert_eq!(heap.what_is(address(page)), Place::Foreign, "page {page}");
    }
}

/// The order of a walk: what is in blocks first, those by address modulo 512 MiB, and each kind by address.
fn order(object: &stack_alloc::Object) -> (bool, usize, usize) {
    let is_region = object.kind == ObjectKind::Region;
    let place = if is_region {
        0
    } else {
        object.address / BLOCK_SIZE % 2048
    };
    (is_region, place, object.address)
}

/// Returns where each live object begins, as the heap should tell it.
fn expected_walk(heap: &ArenaHeap, live: &[Object]) -> Vec<stack_alloc::Object> {
    let mut objects: Vec<_> = live
        .iter()
        .map(|object| {
            let place = heap.what_is(object.pointer().addr());
            let found = place.object().expect("it is live");
            assert_eq!(
                place,
                Place::Object {
                    object: found,
                    offset: 0
                }
            );
            assert!(found.size >= object.layout().size());
            assert_eq!(found.state, ObjectState::Live);
            found
        })
        .collect();
    objects.sort_unstable_by_key(order);
    objects
}

#[test]
fn live_objects_are_those_that_are_live() {
    let (rounds, steps) = if cfg!(miri) { (2, 40) } else { (60, 300) };
    for seed in 0..rounds {
        let heap = random_heap(seed);
        let mut numbers = Numbers::new(seed + 1000);
        let mut live = Vec::new();
        assert_eq!(heap.live_objects().count(), 0);
        for number in 0..steps {
            random_step(&heap, &mut numbers, &mut live);
            if number % 7 == 0 {
                let walked: Vec<_> = heap.live_objects().collect();
                assert_eq!(walked, expected_walk(&heap, &live), "seed {seed}");
                let is_region = |object: &stack_alloc::Object| object.kind == ObjectKind::Region;
                let regions = walked.into_iter().filter(is_region);
                assert!(regions.eq(heap.live_regions()), "seed {seed}");
            }
        }
        free_all(&heap, live);
        assert_eq!(heap.live_objects().count(), 0);
        assert_arena_empty(&heap);
    }
}

#[test]
fn a_walk_among_changes_sees_all_that_stays_once_and_nothing_that_is_gone() {
    let (rounds, steps) = if cfg!(miri) { (2, 30) } else { (60, 250) };
    for seed in 0..rounds {
        let heap = random_heap(seed);
        let mut numbers = Numbers::new(seed + 2000);
        let mut live = Vec::new();
        for _ in 0..steps {
            random_step(&heap, &mut numbers, &mut live);
        }
        // Some stay, some may go.
        let half = live.len() / 2;
        let stay = live.split_off(half);
        let stays = |address: usize| stay.iter().any(|object| object.range().start == address);
        let mut seen = Vec::new();
        for object in heap.live_objects() {
            assert_eq!(object.state, ObjectState::Live);
            if !stays(object.address) {
                let is_live = live
                    .iter()
                    .any(|other| other.range().start == object.address);
                assert!(is_live, "{object} is gone");
            }
            seen.push(object);
            for _ in 0..numbers.below(4) {
                random_step(&heap, &mut numbers, &mut live);
            }
        }
        let mut ordered = seen.clone();
        ordered.sort_unstable_by_key(order);
        assert_eq!(seen, ordered);
        ordered.dedup_by_key(|object| object.address);
        assert_eq!(seen.len(), ordered.len(), "one was seen twice");
        for object in &stay {
            let times = seen
                .iter()
                .filter(|seen| seen.address == object.range().start);
            assert_eq!(times.count(), 1, "{object:?}");
        }
        assert_arena_sound(&heap);
        free_all(&heap, live.into_iter().chain(stay));
        assert_arena_empty(&heap);
    }
}

/// Returns the lengths in pages of the runs of free pages that the heap can use, one answer a page.
fn free_runs(heap: &ArenaHeap, windows: usize) -> Vec<usize> {
    let is_free = |page: usize| heap.what_is(heap.source().address(page)) == Place::FreePage;
    let window = |window: usize| {
        let pages = window * WINDOW..(window + 1) * WINDOW;
        pages.map(is_free).collect::<Vec<bool>>()
    };
    let lengths = |free: Vec<bool>| -> Vec<usize> {
        let runs = free.split(|free| !free).map(<[bool]>::len);
        runs.filter(|length| *length > 0).collect()
    };
    (0..windows).map(window).flat_map(lengths).collect()
}

#[test]
fn free_pages_and_fragmentation_are_what_the_pages_say() {
    let windows = 6;
    let (rounds, steps) = if cfg!(miri) { (1, 30) } else { (30, 300) };
    let mut highest = 0;
    for seed in 0..rounds {
        let pages = [5..40, 64..256, 270..300, 330..380];
        let heap = Allocator::new(Arena::new(windows, pages, Rules::ALL));
        let mut numbers = Numbers::new(seed);
        let mut live = Vec::new();
        for number in 0..steps {
            random_step(&heap, &mut numbers, &mut live);
            if number % 5 > 0 {
                continue;
            }
            let runs = free_runs(&heap, windows);
            let (free, longest) = (runs.iter().sum::<usize>(), runs.iter().max());
            let longest = longest.copied().unwrap_or(0);
            let statistics = heap.statistics();
            assert_eq!(statistics.free_in_pages, free * PAGE_SIZE);
            assert_eq!(statistics.longest_free_run, longest * PAGE_SIZE);
            let best = free.min(63);
            let per_cent = ((best - longest) * 100).checked_div(best).unwrap_or(0);
            assert_eq!(statistics.fragmentation(), per_cent);
            highest = highest.max(per_cent);
        }
        free_all(&heap, live);
        assert_arena_empty(&heap);
        assert_eq!(heap.statistics().fragmentation(), 0, "of nothing");
    }
    assert!(highest > 50 || cfg!(miri), "at most {highest} %");
}

#[test]
fn fragmentation_goes_from_none_to_nearly_all() {
    let heap = Allocator::new(Arena::full(1, Rules::BLOCKS));
    Object::new(&heap, layout(63 * PAGE_SIZE, 8), 1).free(&heap);
    assert_eq!(heap.statistics().fragmentation(), 0);
    let pages: Vec<Object> = (0..63)
        .map(|_| Object::new(&heap, layout(1, PAGE_SIZE), 1))
        .collect();
    assert_eq!(heap.statistics().fragmentation(), 0, "nothing is free");
    assert_arena_sound(&heap);
    free_all(&heap, pages);
    heap.trim();
    let pages: Vec<Object> = (0..31)
        .map(|_| Object::new(&heap, layout(PAGE_SIZE, 2 * PAGE_SIZE), 1))
        .collect();
    // Pages 1, 3, 5, … are free, and 63 of a run of one.
    assert_eq!(heap.statistics().free_in_pages, 32 * PAGE_SIZE);
    assert_eq!(heap.statistics().longest_free_run, PAGE_SIZE);
    assert_eq!(heap.statistics().fragmentation(), 31 * 100 / 32);
    free_all(&heap, pages);
    assert_arena_empty(&heap);
}

#[test]
fn the_largest_available_can_be_had_in_any_state() {
    let (rounds, steps) = if cfg!(miri) { (3, 40) } else { (300, 200) };
    for seed in 0..rounds {
        let heap = random_heap(seed);
        let mut numbers = Numbers::new(seed + 3000);
        let mut live = Vec::new();
        for number in 0..steps {
            random_step(&heap, &mut numbers, &mut live);
            if number % 10 > 0 {
                continue;
            }
            let statistics = heap.statistics();
            let size = statistics.largest_available;
            if size == 0 {
                continue;
            }
            let align = 1 << numbers.below(5);
            let object = Object::try_new(&heap, layout(size, align), 2);
            let object = object.unwrap_or_else(|| {
                let out = heap.source().out();
                panic!("seed {seed}, step {number}: no {size} bytes:\n{statistics}\n{out:?}")
            });
            object.free(&heap);
            assert_arena_sound(&heap);
        }
        free_all(&heap, live);
        assert_arena_empty(&heap);
    }
}

#[test]
fn the_table_reads_like_this() {
    let heap: Heap = heap(64 << 20);
    heap.set_reserve(2, || false);
    let mut objects: Vec<Object> = (0..100)
        .map(|_| Object::new(&heap, layout(40, 8), 1))
        .collect();
    objects.extend((0..5).map(|_| Object::new(&heap, layout(1000, 8), 1)));
    objects.push(Object::new(&heap, layout(100_000, 8), 1));
    objects.push(Object::new(&heap, layout(3 << 20, 8), 1));
    objects.drain(..10).for_each(|object| object.free(&heap));
    Object::new(&heap, layout(16, 8), 1).free(&heap);
    heap.source().set_left(0);
    assert!(Object::try_new(&heap, layout(1 << 20, 8), 1).is_none());
    assert_eq!(heap.statistics().to_string(), TABLE);
    let nothing = common::heap(0).statistics();
    assert_eq!(nothing.to_string(), EMPTY_TABLE);
    for object in objects {
        object.free(&heap);
    }
}

/// The table of a heap with a little of everything.
const TABLE: &str = "\
chunk size   stacks  chunks used    of total  use %  allocations        frees\n\
\x20       16        0            0           0      0            1            1\n\
\x20       48        4           90         170     52          100           10\n\
\x20     1024        2            5           8     62            5            0\n\
\x20page runs        -            1           -      -            1            0\n\
\x20  regions        -            1           -      -            1            0\n\
\n\
asked for         3.1 MiB   peak 3.1 MiB\n\
used              3.1 MiB   objects 97\n\
held              3.7 MiB   peak 3.7 MiB; blocks 3 (0 idle, 2 in reserve), regions 3.0 MiB\n\
overhead        661.9 KiB   17 % of what is held\n\
free pages      132.0 KiB   longest run 132.0 KiB; 0 % fragmented\n\
largest free    132.0 KiB   an allocation of this size would succeed now\n\
failures                1";

/// The table of a heap that holds nothing.
const EMPTY_TABLE: &str = "\
chunk size   stacks  chunks used    of total  use %  allocations        frees\n\
\x20page runs        -            0           -      -            0            0\n\
\x20  regions        -            0           -      -            0            0\n\
\n\
asked for           0 B     peak 0 B\n\
used                0 B     objects 0\n\
held                0 B     peak 0 B; blocks 0 (0 idle, 0 in reserve), regions 0 B\n\
overhead            0 B     0 % of what is held\n\
free pages          0 B     longest run 0 B; 0 % fragmented\n\
largest free        0 B     an allocation of this size would succeed now\n\
failures                0";

#[test]
fn who_tries_never_waits() {
    let heap = heap(BLOCK_SIZE);
    let object = Object::new(&heap, layout(100, 8), 1);
    let address = object.pointer().addr();
    heap.with_source(|_| {
        assert_eq!(heap.try_statistics(), None);
        assert_eq!(heap.try_what_is(address), None);
    });
    // The source is not asked what it has.
    let numbers = heap.try_statistics().expect("nobody is in the heap");
    assert_eq!(numbers.largest_available, numbers.longest_free_run);
    let asked = Statistics {
        largest_available: heap.statistics().largest_available,
        ..numbers
    };
    assert_eq!(asked, heap.statistics());
    assert_eq!(heap.try_what_is(address), Some(heap.what_is(address)));
    object.free(&heap);
}

//! The crate as this program's own heap: collections, threads, and memory that travels between them.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, RefCell};
use core::fmt::Display;
use core::hash::{BuildHasher, BuildHasherDefault};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::hash::DefaultHasher;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::rc::Rc;
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

use stack_alloc::{Allocator, BLOCK_SIZE, MemorySource, PAGE_SIZE};

/// Bytes that the source gives at most: more than all the tests together use.
const LIMIT: usize = 512 << 20;

/// A source over the host's allocator with a limit. It must not allocate from the heap it serves, so it only counts.
struct Host {
    out: AtomicUsize,
}

impl Host {
    /// Hands out memory and counts it.
    fn give(&self, layout: Layout) -> Option<NonNull<u8>> {
        let add = |out: usize| out.checked_add(layout.size()).filter(|out| *out <= LIMIT);
        let counted = self
            .out
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        counted.ok()?;
        // SAFETY: blocks and regions are not empty.
        let memory = NonNull::new(unsafe { System.alloc(layout) });
        if memory.is_none() {
            self.out.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        memory
    }

    /// Takes back what was given with `layout`.
    ///
    /// # Safety
    ///
    /// `memory` came from [`give`](Self::give) with this `layout`, and nobody uses it.
    unsafe fn take(&self, memory: NonNull<u8>, layout: Layout) {
        self.out.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory.as_ptr(), layout) };
    }
}

const BLOCK: Layout = match Layout::from_size_align(BLOCK_SIZE, BLOCK_SIZE) {
    Ok(layout) => layout,
    Err(_) => panic!("a valid layout"),
};

// SAFETY: memory comes from the host's allocator, valid, exclusive and aligned as asked.
unsafe impl MemorySource for Host {
    fn get_block(&self) -> Option<NonNull<u8>> {
        self.give(BLOCK)
    }

    unsafe fn release_block(&self, block: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { self.take(block, BLOCK) };
    }

    fn get_region(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        // A region goes back without its alignment, so all have the same here.
        if align > PAGE_SIZE {
            return None;
        }
        self.give(Layout::from_size_align(size, PAGE_SIZE).ok()?)
    }

    unsafe fn release_region(&self, region: NonNull<u8>, size: usize) {
        let layout =
            Layout::from_size_align(size, PAGE_SIZE).expect("it was valid when it was given");
        // SAFETY: the caller's promise.
        unsafe { self.take(region, layout) };
    }

    fn largest_region(&self) -> usize {
        (LIMIT - self.out.load(Ordering::Relaxed)) / PAGE_SIZE * PAGE_SIZE
    }
}

#[global_allocator]
static HEAP: Allocator<Host> = Allocator::new(Host {
    out: AtomicUsize::new(0),
});

/// Does `work`, and asserts that the heap is sound behind it.
#[track_caller]
fn soundly(work: impl FnOnce()) {
    let before = HEAP.statistics().allocations();
    work();
    HEAP.check().expect("the heap is sound");
    let statistics = HEAP.statistics();
    assert!(
        statistics.allocations() > before,
        "the work did not use this heap"
    );
    assert!(statistics.bytes_held >= statistics.bytes_used);
    assert!(statistics.bytes_used >= statistics.bytes_requested);
}

/// A hasher that needs no random seed, so that a failure can be seen again.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// The same for sets.
type Set<T> = HashSet<T, BuildHasherDefault<DefaultHasher>>;

#[test]
fn vectors_grow_and_shrink() {
    soundly(|| {
        let mut numbers = Vec::new();
        for number in 0..300_000_u64 {
            numbers.push(number);
        }
        assert!(HEAP.statistics().bytes_requested >= 300_000 * 8);
        assert_eq!(numbers.iter().sum::<u64>(), 300_000 * 299_999 / 2);
        numbers.truncate(1000);
        numbers.shrink_to_fit();
        assert_eq!(numbers.iter().sum::<u64>(), 1000 * 999 / 2);
        let nested: Vec<Vec<u8>> = (0..2000).map(|len| vec![7; len]).collect();
        assert!(
            nested
                .iter()
                .enumerate()
                .all(|(len, inner)| inner.len() == len)
        );
        let zeroed = vec![0_u8; 3 << 20];
        assert!(zeroed.iter().all(|byte| *byte == 0));
    });
}

#[test]
fn strings_are_built() {
    soundly(|| {
        let mut text = String::new();
        for number in 0..50_000 {
            text.push_str(&number.to_string());
            text.push(' ');
        }
        let sum: u64 = text
            .split_whitespace()
            .map(|word| word.parse::<u64>().expect("a number"))
            .sum();
        assert_eq!(sum, 50_000 * 49_999 / 2);
    });
}

#[test]
fn maps_hold_what_was_put_in() {
    soundly(|| {
        let mut tree = BTreeMap::new();
        let mut table: Map<String, Vec<u32>> = Map::default();
        let mut queue = VecDeque::new();
        for number in 0..20_000_u32 {
            let key = BuildHasherDefault::<DefaultHasher>::default().hash_one(number);
            tree.insert(key, format!("value {number}"));
            table
                .entry(format!("key {}", number % 500))
                .or_default()
                .push(number);
            queue.push_back(Box::new(number));
            if number % 3 == 0 {
                queue.pop_front();
                tree.pop_first();
            }
        }
        assert_eq!(tree.len(), 20_000 - 6667);
        assert!(tree.values().all(|value| value.starts_with("value ")));
        assert_eq!(table.len(), 500);
        assert!(table.values().all(|numbers| numbers.len() == 40));
        assert!(
            queue
                .iter()
                .zip(queue.iter().skip(1))
                .all(|(a, b)| **a + 1 == **b)
        );
    });
}

#[test]
fn sets_and_trees_are_split_and_joined() {
    soundly(|| {
        let mut low: BTreeSet<u32> = (0..20_000).map(|number| number * 7919 % 20_011).collect();
        let mut high = low.split_off(&10_000);
        assert!(low.iter().all(|number| *number < 10_000));
        assert!(high.iter().all(|number| *number >= 10_000));
        let all: Set<u32> = low.union(&high).copied().collect();
        assert_eq!(all.len(), 20_000);
        low.append(&mut high);
        low.retain(|number| all.contains(number) && number % 2 == 0);
        assert!(low.iter().zip(low.iter().skip(1)).all(|(a, b)| a < b));
    });
}

#[test]
fn binary_heaps_give_the_greatest_first() {
    soundly(|| {
        let mut heap = BinaryHeap::new();
        for number in 0..20_000_u32 {
            heap.push((number * 7919 % 20_011, Box::new(number)));
            if number % 4 == 0 {
                heap.pop();
            }
        }
        let mut other: BinaryHeap<_> = (0..500).map(|number| (number, Box::new(0))).collect();
        heap.append(&mut other);
        let mut left = 15_500;
        let mut last = u32::MAX;
        while let Some((number, _)) = heap.pop() {
            assert!(number <= last);
            last = number;
            left -= 1;
        }
        assert_eq!(left, 0);
    });
}

#[test]
fn linked_lists_are_cut_and_joined() {
    soundly(|| {
        let mut list: LinkedList<String> = (0..5000).map(|number| number.to_string()).collect();
        let mut tail = list.split_off(1234);
        assert_eq!(list.back().map(String::as_str), Some("1233"));
        assert_eq!(tail.pop_front().as_deref(), Some("1234"));
        tail.append(&mut list);
        assert_eq!(tail.len(), 4999);
        let sum: u64 = tail
            .iter()
            .map(|text| text.parse::<u64>().expect("a number"))
            .sum();
        assert_eq!(sum, 5000 * 4999 / 2 - 1234);
    });
}

#[test]
fn sorting_borrows_memory_and_gives_it_back() {
    soundly(|| {
        let mut pairs: Vec<(u32, u32)> = (0..100_000)
            .map(|number: u32| (number.wrapping_mul(0x9e37_79b9) >> 22, number))
            .collect();
        // A stable sort merges in memory of its own.
        pairs.sort_by_key(|pair| pair.0);
        assert!(pairs.is_sorted());
        let mut words: Vec<String> = pairs.iter().map(|pair| format!("{pair:?}")).collect();
        words.sort();
        words.dedup();
        assert!(words.is_sorted());
        assert_eq!(words.len(), 100_000);
        let joined = words
            .chunks(100)
            .map(|chunk| chunk.concat())
            .collect::<Vec<_>>()
            .join("/");
        assert_eq!(joined.split('/').count(), 1000);
    });
}

/// Something with a `Drop` of its own, so that it can be counted.
struct Counted<'a, T>(T, &'a Cell<usize>);

impl<T> Drop for Counted<'_, T> {
    fn drop(&mut self) {
        self.1.set(self.1.get() + 1);
    }
}

#[test]
fn graphs_of_shared_objects_die_once() {
    /// A node of a tree that knows its children, and its parent without keeping it alive.
    struct Node<'a> {
        parent: std::rc::Weak<Self>,
        children: RefCell<Vec<Rc<Self>>>,
        _counted: Counted<'a, [u64; 5]>,
    }
    soundly(|| {
        let dropped = Cell::new(0);
        let node = |parent| {
            Rc::new(Node {
                parent,
                children: RefCell::default(),
                _counted: Counted([1; 5], &dropped),
            })
        };
        let root = node(std::rc::Weak::new());
        let mut nodes = VecDeque::from([Rc::clone(&root)]);
        for _ in 0..500 {
            let parent = nodes.pop_front().expect("each has four children");
            for _ in 0..4 {
                let child = node(Rc::downgrade(&parent));
                nodes.push_back(Rc::clone(&child));
                parent.children.borrow_mut().push(child);
            }
        }
        let leaf = nodes.pop_back().expect("there are leaves");
        drop(nodes);
        assert_eq!(dropped.get(), 0);
        drop(root);
        assert_eq!(dropped.get(), 2000, "all but the leaf");
        assert!(leaf.parent.upgrade().is_none());
        drop(leaf);
        assert_eq!(dropped.get(), 2001);
        let text: Rc<str> = "shared".repeat(100).into();
        let mut own = Rc::clone(&text);
        assert_eq!(Rc::strong_count(&text), 2);
        own = own.replace("shared", "owned").into();
        assert_eq!((text.len(), own.len()), (600, 500));
    });
}

#[test]
fn boxes_of_any_type_go_back_with_their_own_layout() {
    #[repr(align(4096))]
    struct Page([u8; 5000]);
    #[repr(align(64))]
    struct CacheLine(u8);
    soundly(|| {
        let dropped = Cell::new(0);
        for round in 0..200_u16 {
            let size = usize::from(round) * 13;
            let page = Box::new(Page([7; 5000]));
            assert_eq!((&raw const *page).addr() % 4096, 0);
            assert!(page.0.iter().all(|byte| *byte == 7));
            let lines: Vec<CacheLine> = (0..=round).map(|_| CacheLine(3)).collect();
            assert_eq!(lines.as_ptr().addr() % 64, 0);
            assert!(lines.iter().all(|line| line.0 == 3));
            let boxes: Vec<Box<dyn Display>> = vec![
                Box::new(round),
                Box::new(String::from("text")),
                Box::new('c'),
                Box::new(Cow::Borrowed("borrowed")),
                Box::new(Cow::<str>::Owned("owned".repeat(size))),
                Box::new(format!("{round:>width$}", width = size)),
            ];
            let len: usize = boxes.iter().map(|boxed| boxed.to_string().len()).sum();
            assert!(len >= 6 * size);
            let counted = Counted(vec![round; size].into_boxed_slice(), &dropped);
            let closure: Box<dyn Fn(usize) -> usize + '_> =
                Box::new(move |by| counted.0.len() * by);
            assert_eq!(closure(2), 2 * size);
        }
        assert_eq!(dropped.get(), 200);
    });
}

#[test]
fn lines_are_written_and_read_through_buffers() {
    soundly(|| {
        let mut writer = BufWriter::with_capacity(5000, Vec::new());
        for number in 0..20_000 {
            writeln!(writer, "{number:b}").expect("a vector takes all");
        }
        let bytes = writer.into_inner().expect("a vector takes all");
        let reader = BufReader::with_capacity(300, bytes.as_slice());
        for (number, line) in reader.lines().enumerate() {
            let line = line.expect("it is text");
            assert_eq!(usize::from_str_radix(&line, 2), Ok(number));
        }
    });
}

#[test]
fn threads_allocate_at_the_same_time() {
    soundly(|| {
        let barrier = Arc::new(Barrier::new(4));
        let threads: Vec<_> = (0..4_u8)
            .map(|fill| {
                let barrier = Arc::clone(&barrier);
                thread::spawn(move || {
                    barrier.wait();
                    let mut live: VecDeque<Vec<u8>> = VecDeque::new();
                    for step in 0..5000_usize {
                        let len = 1 + step * 37 % 3000 + usize::from(step % 500 == 0) * 100_000;
                        live.push_back(vec![fill; len]);
                        if live.len() > 50 {
                            let oldest = live.pop_front().expect("there are 51");
                            assert!(oldest.iter().all(|byte| *byte == fill));
                        }
                    }
                    live.len()
                })
            })
            .collect();
        for thread in threads {
            assert_eq!(thread.join().expect("the thread found its bytes"), 50);
        }
    });
}

#[test]
fn what_one_thread_makes_another_frees() {
    soundly(|| {
        let (send, receive) = mpsc::channel::<Box<[usize]>>();
        let maker = thread::spawn(move || {
            for number in 0..10_000 {
                let boxed = vec![number; 1 + number % 100].into_boxed_slice();
                send.send(boxed).expect("somebody listens");
            }
        });
        let freed = receive
            .iter()
            .filter(|boxed| boxed.iter().all(|number| *number == boxed[0]));
        assert_eq!(freed.count(), 10_000);
        maker.join().expect("all was sent");
    });
}

/// Takes vectors from `receiver`, makes each longer by one, and hands it on, until one of them has 1000 numbers. Returns
/// whether that one came here.
fn grow_and_hand_on(receiver: mpsc::Receiver<Vec<usize>>, next: &mpsc::Sender<Vec<usize>>) -> bool {
    for mut numbers in receiver {
        numbers.push(numbers.len());
        if numbers.len() == 1000 {
            return numbers.into_iter().eq(0..1000);
        }
        numbers.shrink_to_fit();
        // The next thread is gone when the longest vector ended there.
        let _ = next.send(numbers);
    }
    false
}

#[test]
fn memory_travels_round_a_ring_of_threads() {
    soundly(|| {
        let (mut senders, receivers): (Vec<_>, Vec<_>) = (0..4).map(|_| mpsc::channel()).unzip();
        for (start, sender) in senders.iter().enumerate() {
            sender.send((0..start).collect()).expect("it listens");
        }
        senders.rotate_left(1);
        let threads: Vec<_> = receivers
            .into_iter()
            .zip(senders)
            .map(|(receiver, next)| thread::spawn(move || grow_and_hand_on(receiver, &next)))
            .collect();
        let ends = threads
            .into_iter()
            .map(|thread| thread.join().expect("it ends well"));
        assert!(ends.fold(false, |any, one| any | one), "no vector grew");
    });
}

#[test]
fn what_belongs_to_a_thread_dies_with_it() {
    /// How many of [`Own`] were dropped.
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    #[derive(Default)]
    struct Own(Map<usize, String>);
    impl Drop for Own {
        fn drop(&mut self) {
            assert!(self.0.iter().all(|(key, text)| text.len() == *key));
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    thread_local! {
        static OWN: RefCell<Own> = RefCell::default();
    }
    let fill = |own: &mut Own| own.0.extend((0..100).map(|key| (key, "x".repeat(key))));
    soundly(|| {
        for _ in 0..50 {
            let threads = [(); 4].map(|()| thread::spawn(move || OWN.with_borrow_mut(fill)));
            for thread in threads {
                thread.join().expect("it ends well");
            }
        }
        assert_eq!(DROPPED.load(Ordering::Relaxed), 200);
    });
}

#[test]
fn shared_objects_die_with_their_last_owner() {
    soundly(|| {
        let shared = Arc::new(Mutex::new(Vec::new()));
        let weak = Arc::downgrade(&shared);
        thread::scope(|scope| {
            for thread in 0..4_u32 {
                let shared = Arc::clone(&shared);
                scope.spawn(move || {
                    for number in 0..1000 {
                        shared
                            .lock()
                            .expect("nobody panics")
                            .push(thread * 1000 + number);
                    }
                });
            }
        });
        let mut numbers = shared.lock().expect("nobody panics").clone();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..4000));
        drop(shared);
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn too_much_is_an_error_and_not_the_end() {
    soundly(|| {
        let failures = HEAP.statistics().failures;
        let mut numbers: Vec<u64> = (0..1000).collect();
        // More than the source has; more than any source has; more than a layout can say.
        for more in [LIMIT / 8 + 1, 1 << 56, usize::MAX / 8, usize::MAX] {
            numbers.try_reserve(more).expect_err("there is not so much");
            numbers
                .try_reserve_exact(more)
                .expect_err("there is not so much");
        }
        assert!(HEAP.statistics().failures >= failures + 4);
        assert!(numbers.iter().copied().eq(0..1000));
        let mut text = String::from("still here");
        text.try_reserve(LIMIT).expect_err("there is not so much");
        assert_eq!(text, "still here");
        numbers.try_reserve(100_000).expect("that much there is");
        numbers.extend(0..100_000);
    });
}

#[test]
fn statistics_follow_one_object() {
    // Other tests use the heap at the same time, but none of them has an object as large as this.
    const SIZE: usize = 64 << 20;
    soundly(|| {
        let before = HEAP.statistics();
        let large = vec![1_u8; SIZE];
        let during = HEAP.statistics();
        assert!(during.bytes_requested >= SIZE);
        assert!(during.regions.bytes >= SIZE);
        assert!(during.regions.allocations > before.regions.allocations);
        assert!(during.bytes_held_peak >= SIZE);
        assert!(large.iter().all(|byte| *byte == 1));
        drop(large);
        let after = HEAP.statistics();
        assert!(after.regions.frees > during.regions.frees);
        assert!(after.regions.bytes < SIZE);
        assert!(after.to_string().contains("regions"));
    });
}

#[test]
fn trimming_amid_threads_takes_nothing_that_is_in_use() {
    soundly(|| {
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let mut live = Vec::new();
                for len in 0..3000_usize {
                    live.push(vec![3_u8; len * 7 % 5000]);
                    if len % 100 == 99 {
                        assert!(live.iter().flatten().all(|byte| *byte == 3));
                        live.clear();
                    }
                }
            });
            while !worker.is_finished() {
                HEAP.trim();
                HEAP.check().expect("the heap is sound");
                thread::yield_now();
            }
        });
    });
}

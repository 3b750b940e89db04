//! A cache of objects among threads: who may share it, what is done without its lock.

mod common;

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::alloc::System;
use std::rc::Rc;
use std::sync::{Barrier, MutexGuard};
use std::thread;

use common::{CountingSource, Heap, Numbers, assert_empty, heap, in_time};
use stack_alloc::{Allocator, Cache, Cached};

#[test]
fn threads_share_a_cache() {
    const THREADS: usize = 4;
    let rounds = if cfg!(miri) { 30 } else { 5000 };
    let heap = heap(16 << 20);
    static BORN: AtomicUsize = AtomicUsize::new(0);
    static DEAD: AtomicUsize = AtomicUsize::new(0);
    struct Shared([usize; 8]);
    impl Drop for Shared {
        fn drop(&mut self) {
            DEAD.fetch_add(1, Ordering::Relaxed);
        }
    }
    let construct = || {
        BORN.fetch_add(1, Ordering::Relaxed);
        Shared([0; 8])
    };
    let cache = Cache::<Shared, Heap>::with_idle_limit(&heap, construct, 8);
    let start = Barrier::new(THREADS);
    thread::scope(|threads| {
        for name in 1..=THREADS {
            let (cache, start) = (&cache, &start);
            threads.spawn(move || {
                start.wait();
                let mut numbers = Numbers::new(name as u64);
                let mut live = Vec::new();
                for _ in 0..rounds {
                    if numbers.below(2) == 0 && live.len() < 10 {
                        let mut object = cache.get().expect("there is memory");
                        object.0 = [name; 8];
                        live.push(object);
                    } else if let Some(object) = numbers.pick(&mut live) {
                        assert_eq!(object.0, [name; 8], "another thread has it too");
                    }
                    if numbers.below(200) == 0 {
                        cache.trim();
                    }
                }
            });
        }
    });
    let statistics = cache.statistics();
    assert_eq!(statistics.live, 0);
    assert!(statistics.idle <= 8);
    assert!(statistics.reused > 0);
    let born = BORN.load(Ordering::Relaxed);
    assert_eq!(statistics.constructed, born as u64);
    assert_eq!(DEAD.load(Ordering::Relaxed), born - statistics.idle);
    drop(cache);
    assert_eq!(DEAD.load(Ordering::Relaxed), born);
    assert_empty(&heap);
}

#[test]
fn an_object_may_go_back_from_another_thread() {
    let heap = heap(1 << 20);
    let cache = Cache::<Vec<u8>, Heap>::new(&heap, || vec![1, 2, 3]);
    let object = cache.get().expect("there is memory");
    thread::scope(|threads| {
        threads.spawn(move || assert_eq!(*object, [1, 2, 3]));
    });
    assert_eq!((cache.statistics().live, cache.statistics().idle), (0, 1));
    drop(cache);
    assert_empty(&heap);
}

/// A heap that looks at [`NOSY`] at every call: that would wait for ever if the cache's lock were held.
struct Nosy(Allocator<CountingSource>);

// SAFETY: memory is that of the heap inside.
unsafe impl GlobalAlloc for Nosy {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        NOSY.statistics();
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOSY.statistics();
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(pointer, layout) }
    }
}

/// An object that uses the cache it is in, when it comes and when it goes.
struct Inquirer;

impl Inquirer {
    fn new() -> Self {
        assert_eq!(NOSY.statistics().live, 0, "counted before it is there");
        Self
    }
}

impl Drop for Inquirer {
    fn drop(&mut self) {
        NOSY.trim();
    }
}

static NOSY_HEAP: Nosy = Nosy(heap(1 << 20));
static NOSY: Cache<Inquirer, Nosy> = Cache::with_idle_limit(&NOSY_HEAP, Inquirer::new, 1);

#[test]
fn heap_constructor_and_destructor_are_called_without_the_lock() {
    in_time(|| {
        drop(NOSY.get());
        assert_eq!(NOSY.statistics().idle, 1);
        assert_eq!(NOSY.trim(), 1);
        assert_eq!(NOSY.statistics().constructed, 1);
        assert_empty(&NOSY_HEAP.0);
    });
}

/// Whether a type is `Send` and `Sync`: `Probe::<T>::SEND`, where the constants of `No` are found if those of `Probe`
/// do not apply.
struct Probe<T>(PhantomData<T>);

trait No {
    const SEND: bool = false;
    const SYNC: bool = false;
}

impl<T> No for Probe<T> {}

impl<T: Send> Probe<T> {
    const SEND: bool = true;
}

impl<T: Sync> Probe<T> {
    const SYNC: bool = true;
}

#[test]
fn goes_between_threads_if_its_parts_do() {
    /// A heap that belongs to one thread.
    struct Local(PhantomData<*mut u8>);
    // SAFETY: null is an answer.
    unsafe impl GlobalAlloc for Local {
        unsafe fn alloc(&self, _: Layout) -> *mut u8 {
            core::ptr::null_mut()
        }
        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }
    type Guard = MutexGuard<'static, u8>;

    const {
        // `Send` objects, in a heap for all threads.
        assert!(Probe::<Cache<'_, u8, System>>::SEND && Probe::<Cache<'_, u8, System>>::SYNC);
        assert!(Probe::<Cached<'_, u8, System>>::SEND && Probe::<Cached<'_, u8, System>>::SYNC);
        // `Send` without `Sync`: an object has one user at a time.
        type Counter = Cell<u8>;
        assert!(Probe::<Cache<'_, Counter, System>>::SEND);
        assert!(Probe::<Cache<'_, Counter, System>>::SYNC);
        assert!(Probe::<Cached<'_, Counter, System>>::SEND);
        assert!(!Probe::<Cached<'_, Counter, System>>::SYNC);
        // `Sync` without `Send`.
        assert!(!Probe::<Cache<'_, Guard, System>>::SEND);
        assert!(!Probe::<Cache<'_, Guard, System>>::SYNC);
        assert!(!Probe::<Cached<'_, Guard, System>>::SEND);
        assert!(Probe::<Cached<'_, Guard, System>>::SYNC);
        // Neither.
        assert!(!Probe::<Cache<'_, Rc<u8>, System>>::SEND);
        assert!(!Probe::<Cache<'_, Rc<u8>, System>>::SYNC);
        assert!(!Probe::<Cached<'_, Rc<u8>, System>>::SEND);
        assert!(!Probe::<Cached<'_, Rc<u8>, System>>::SYNC);
        // A heap of one thread.
        assert!(!Probe::<Cache<'_, u8, Local>>::SEND && !Probe::<Cache<'_, u8, Local>>::SYNC);
        assert!(!Probe::<Cached<'_, u8, Local>>::SEND);
    }
}

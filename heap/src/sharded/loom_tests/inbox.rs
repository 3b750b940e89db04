//! Messages that are left while the owner takes some.

use std::sync::Arc;
use std::vec::Vec;

use loom::thread;

use crate::sharded::inbox::{Inbox, Taken};
use crate::sync::{AtomicUsize, Ordering};

/// An inbox, and what its messages are about: a count of news at each place.
struct News {
    inbox: Inbox,
    counts: [AtomicUsize; 2],
}

impl News {
    /// Creates one without messages.
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inbox: Inbox::new(),
            counts: [(); 2].map(|()| AtomicUsize::new(0)),
        })
    }

    /// Has news at `place`.
    fn tell(&self, place: usize) {
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.inbox.post(place);
    }

    /// Takes at most `most` messages, and the news that are seen then, as a block's word is looked at: without an order of its own.
    fn take(&self, taken: &mut Taken, most: usize) -> usize {
        (0..most)
            .map_while(|_| self.inbox.take(taken))
            .filter(|place| self.counts[*place].load(Ordering::Relaxed) != 0)
            .map(|place| self.counts[place].swap(0, Ordering::Relaxed))
            .sum()
    }
}

/// Lets threads tell of these places, while the owner takes `takes` messages; and then proves that all of it arrives.
fn all_news_arrive(told: &'static [&'static [usize]], takes: usize) {
    loom::model(move || {
        let news = News::new();
        let threads: Vec<_> = told
            .iter()
            .map(|places| {
                let news = Arc::clone(&news);
                thread::spawn(move || places.iter().for_each(|place| news.tell(*place)))
            })
            .collect();
        let mut taken = Taken::none();
        let mut sum = news.take(&mut taken, takes);
        for thread in threads {
            thread.join().expect("no thread panics");
        }
        // No more than a message for each time that something was told.
        let all: usize = told.iter().map(|places| places.len()).sum();
        sum += news.take(&mut taken, all);
        assert_eq!(sum, all);
        assert_eq!(news.inbox.take(&mut taken), None);
    });
}

#[test]
fn one_teller() {
    all_news_arrive(&[&[0]], 2);
}

#[test]
fn two_tellers_of_one_place() {
    all_news_arrive(&[&[0], &[0]], 2);
}

#[test]
fn two_tellers_of_two_places() {
    all_news_arrive(&[&[0], &[1]], 2);
}

#[test]
fn one_teller_of_many_news() {
    all_news_arrive(&[&[0, 1, 0]], 2);
}

#[test]
fn two_tellers_of_many_news() {
    all_news_arrive(&[&[0, 1], &[1]], 2);
}

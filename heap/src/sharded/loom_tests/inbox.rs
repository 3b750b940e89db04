//! Messages that are left while the owner takes some.

use std::sync::Arc;
use std::vec::Vec;

use loom::thread;

use crate::sharded::inbox::{Inbox, Taken};
use crate::sync::{AtomicUsize, Ordering, fence_for_model};

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

    /// Has news at `place`: they are changed first, as a signal is.
    fn tell(&self, place: usize) {
        self.counts[place].fetch_add(1, Ordering::SeqCst);
        fence_for_model();
        self.inbox.post(place);
    }

    /// Takes at most `most` messages, and the news that are seen then: looked at without an order of their own.
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
    all_news_arrive_behind(&[], told, takes);
}

/// The same, where the owner was told of the places `before` already: so he takes something for certain while the threads tell.
fn all_news_arrive_behind(
    before: &'static [usize],
    told: &'static [&'static [usize]],
    takes: usize,
) {
    loom::model(move || {
        let news = News::new();
        before.iter().for_each(|place| news.tell(*place));
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
        let all = before.len() + told.iter().map(|places| places.len()).sum::<usize>();
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

#[test]
fn a_teller_of_what_is_there() {
    all_news_arrive_behind(&[0], &[&[0]], 1);
}

#[test]
fn a_teller_of_another_place_than_is_there() {
    all_news_arrive_behind(&[0], &[&[1]], 2);
}

#[test]
fn two_tellers_of_what_is_there_and_not() {
    all_news_arrive_behind(&[0], &[&[0, 1], &[1]], 2);
}

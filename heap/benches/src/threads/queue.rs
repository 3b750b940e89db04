//! Hands things from one thread to another, in order, through a ring of fixed size. Nothing is allocated on the way.
//!
//! Who finds the ring full, or empty, looks again and again, so that nobody has to be woken. After a while it offers the
//! processor to others, without which two threads on one processor would wait for each other's time to be up.
#![forbid(unsafe_code)]

use core::hint::spin_loop;
use std::thread::yield_now;

use rtrb::{Consumer, Producer, RingBuffer};

/// How often somebody looks, before it offers the processor to others.
const LOOKS: u32 = 1000;

/// Where things go in.
pub(super) struct Sender<T>(Producer<T>);

/// Where they come out.
pub(super) struct Receiver<T>(Consumer<T>);

/// Creates a ring with room for `room` things.
pub(super) fn queue<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    let (producer, consumer) = RingBuffer::new(room);
    (Sender(producer), Receiver(consumer))
}

impl<T> Sender<T> {
    /// Sends what `make` makes of each of `items`, at most `batch` at a time, each batch when there is room for all of it: the
    /// receiver sees all of a batch or none. It is made when there is room for it. Returns how many were sent: fewer than there
    /// are, if the receiver is gone, or as soon as `make` has nothing.
    ///
    /// # Panics
    ///
    /// If a batch is more than the ring has room for: it would never come.
    pub(super) fn send_all<I>(
        &mut self,
        items: &[I],
        batch: usize,
        mut make: impl FnMut(&I) -> Option<T>,
    ) -> usize {
        assert!(batch <= self.0.buffer().capacity(), "a batch has room");
        let mut sent = 0;
        for some in items.chunks(batch) {
            let Some(()) = wait(|| self.0.slots() >= some.len(), || self.0.is_abandoned()) else {
                break;
            };
            let chunk = self.0.write_chunk_uninit(some.len());
            let made = some.iter().map_while(&mut make);
            let filled = chunk.expect("there is room").fill_from_iter(made);
            sent += filled;
            if filled < some.len() {
                break;
            }
        }
        sent
    }

    /// Sends one thing. Returns whether somebody is there to take it.
    pub(super) fn send(&mut self, item: T) -> bool {
        wait(|| !self.0.is_full(), || self.0.is_abandoned()).is_some() && self.0.push(item).is_ok()
    }
}

impl<T> Receiver<T> {
    /// Waits for something, and takes at most `most` things out. `false` if nothing will come any more.
    pub(super) fn receive_some(&mut self, most: usize, mut take: impl FnMut(T)) -> bool {
        let Some(()) = wait(|| !self.0.is_empty(), || self.0.is_abandoned()) else {
            return false;
        };
        let some = self.0.slots().min(most);
        let chunk = self.0.read_chunk(some).expect("they are there");
        chunk.into_iter().for_each(&mut take);
        true
    }

    /// Waits for one thing. `None` if nothing will come any more.
    pub(super) fn receive(&mut self) -> Option<T> {
        let mut item = None;
        self.receive_some(1, |one| item = Some(one));
        item
    }
}

/// Waits until `is_ready`. `None` if the other side `is_gone` first.
fn wait(is_ready: impl Fn() -> bool, is_gone: impl Fn() -> bool) -> Option<()> {
    let mut looks = 0;
    while !is_ready() {
        // What the other side did last, it did before it went: so one more look.
        if is_gone() {
            return is_ready().then_some(());
        }
        looks += 1;
        if looks < LOOKS {
            spin_loop();
        } else {
            yield_now();
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::queue;
    use std::thread;

    #[test]
    fn things_come_out_in_order_through_a_ring_that_is_smaller() {
        let (sender, mut receiver) = queue(8);
        let numbers: Vec<u32> = (0..10_001).collect();
        let received = thread::scope(|scope| {
            let mut sender = sender;
            let numbers = &numbers;
            scope.spawn(move || {
                let sent = sender.send_all(numbers, 4, |number| Some(*number));
                assert_eq!(sent, numbers.len());
            });
            let mut received = Vec::new();
            while receiver.receive_some(3, |number| received.push(number)) {}
            received
        });
        assert_eq!(received, numbers);
    }

    #[test]
    fn a_batch_is_made_when_all_of_it_has_room() {
        let (mut sender, mut receiver) = queue(4);
        let mut made = 0;
        let sent = thread::scope(|scope| {
            scope.spawn(move || {
                for number in 1..=3 {
                    assert_eq!(receiver.receive(), Some(number));
                }
            });
            sender.send_all(&[(); 100], 2, |()| {
                made += 1;
                Some(made)
            })
        });
        // The receiver goes after three, while the ring is full again or there is room for one.
        assert!([4, 6].contains(&sent), "{sent}");
        assert_eq!(made, sent);
    }

    #[test]
    fn nobody_waits_behind_the_last() {
        let (mut sender, mut receiver) = queue(3);
        assert_eq!(sender.send_all(&[1, 2], 2, |number| Some(*number)), 2);
        assert_eq!(receiver.receive(), Some(1));
        assert_eq!(
            sender.send_all(&[3, 4], 1, |number| (*number < 4).then_some(*number)),
            1
        );
        let mut rest = Vec::new();
        assert!(receiver.receive_some(9, |number| rest.push(number)));
        assert_eq!(rest, [2, 3]);
    }

    #[test]
    fn what_was_sent_arrives_though_the_sender_is_gone() {
        let (mut sender, mut receiver) = queue(2);
        assert!(sender.send("last"));
        drop(sender);
        assert_eq!(receiver.receive(), Some("last"));
        assert_eq!(receiver.receive(), None);
        let (mut sender, receiver) = queue(1);
        assert!(sender.send(1), "there is room");
        drop(receiver);
        assert!(!sender.send(2), "nobody makes room");
    }
}

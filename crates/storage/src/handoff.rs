//! A bounded queue between threads, which sleep while there is nothing in it.
//!
//! Most of the time there is nothing: a request is decoded, and a group written, in less time than the next one takes to
//! come. So whoever waits does so without spinning and yielding first, as queues do that want to be quick when the next item
//! comes soon: that costs a tenth of all ingest, and more than all that is done with a small request.
//!
//! The server hands its requests to the threads that decode them through one of these, and the store to the one that
//! writes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A sending and a receiving end of a queue of so many items at most.
#[must_use]
pub fn handoff<T>(n_max: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        n_max,
        items: Mutex::new(Items {
            queue: VecDeque::new(),
            is_closed: false,
        }),
        arrived: Condvar::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// The sending end. When it is gone, nothing more comes.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// The receiving end, which several threads may share. When it is gone, what is queued is dropped and nothing more is taken.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Shared<T>>);

/// Nothing is received, because nothing more comes, or because nothing came in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {
    /// Nothing more comes.
    Ever,
    /// Nothing came in time.
    InTime,
}

/// An item is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// As many wait as may wait.
    Full,
    /// The queue was closed, or nobody receives any more.
    Closed,
}

#[derive(Debug)]
struct Shared<T> {
    n_max: usize,
    items: Mutex<Items<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Items<T> {
    queue: VecDeque<T>,
    /// Nothing more is taken.
    is_closed: bool,
}

impl<T> Shared<T> {
    fn close(&self) {
        self.items.lock().is_closed = true;
        self.arrived.notify_all();
    }
}

impl<T> Sender<T> {
    /// Adds an item.
    ///
    /// # Errors
    /// [`Unsent`]; the item is dropped.
    pub fn send(&self, item: T) -> Result<(), Unsent> {
        let mut items = self.0.items.lock();
        let unsent = match items.is_closed {
            true => Some(Unsent::Closed),
            false => (items.queue.len() >= self.0.n_max).then_some(Unsent::Full),
        };
        if let Some(unsent) = unsent {
            // What is dropped may do anything, so not under the lock.
            drop(items);
            return Err(unsent);
        }
        items.queue.push_back(item);
        drop(items);
        self.0.arrived.notify_one();
        Ok(())
    }

    /// Lets nothing more in. What waits is still received.
    pub fn close(&self) {
        self.0.close();
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<T> Receiver<T> {
    /// The next item; waits for it until `timeout`, if there is one.
    ///
    /// # Errors
    /// [`Nothing`].
    pub fn receive(&self, timeout: Option<Duration>) -> Result<T, Nothing> {
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let mut items = self.0.items.lock();
        loop {
            if let Some(item) = items.queue.pop_front() {
                return Ok(item);
            }
            if items.is_closed {
                return Err(Nothing::Ever);
            }
            match until {
                None => self.0.arrived.wait(&mut items),
                Some(until) if Instant::now() >= until => return Err(Nothing::InTime),
                Some(until) => drop(self.0.arrived.wait_until(&mut items, until)),
            }
        }
    }

    /// The next item, if there is one.
    #[must_use]
    pub fn try_receive(&self) -> Option<T> {
        self.0.items.lock().queue.pop_front()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.items.lock().queue.is_empty()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.close();
        // What is dropped may do anything, so not under the lock.
        let queue = std::mem::take(&mut self.0.items.lock().queue);
        drop(queue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_their_order_and_then_the_end() {
        let (sender, receiver) = handoff(3);
        assert!(receiver.is_empty() && receiver.try_receive().is_none());
        for number in 0..3 {
            sender.send(number).unwrap();
        }
        assert_eq!(sender.send(3), Err(Unsent::Full));
        assert_eq!(receiver.receive(None), Ok(0));
        assert_eq!(receiver.try_receive(), Some(1));
        drop(sender);
        assert_eq!(receiver.receive(Some(Duration::ZERO)), Ok(2));
        assert_eq!(receiver.receive(None), Err(Nothing::Ever));
    }

    #[test]
    fn whoever_waits_is_woken_by_an_item_or_the_end() {
        let (sender, receiver) = handoff(1);
        assert_eq!(
            receiver.receive(Some(Duration::from_millis(1))),
            Err(Nothing::InTime)
        );
        std::thread::scope(|scope| {
            let received = scope.spawn(|| [receiver.receive(None), receiver.receive(None)]);
            sender.send(7).unwrap();
            drop(sender);
            assert_eq!(received.join().unwrap(), [Ok(7), Err(Nothing::Ever)]);
        });
    }

    #[test]
    fn what_nobody_receives_is_dropped_and_given_back() {
        let (sender, receiver) = handoff(9);
        let item = Arc::new(());
        sender.send(Arc::clone(&item)).unwrap();
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1);
        assert_eq!(sender.send(Arc::clone(&item)), Err(Unsent::Closed));
        assert_eq!(Arc::strong_count(&item), 1);
    }

    #[test]
    fn a_closed_queue_takes_nothing_and_what_waits_is_still_received() {
        let (sender, receiver) = handoff(2);
        sender.send(1).unwrap();
        sender.close();
        assert_eq!(sender.send(2), Err(Unsent::Closed));
        assert_eq!(receiver.receive(None), Ok(1));
        assert_eq!(receiver.receive(None), Err(Nothing::Ever));
    }

    #[test]
    fn every_waiting_thread_wakes_up_at_the_end() {
        let (sender, receiver) = handoff::<()>(2);
        std::thread::scope(|scope| {
            let waiting = [(); 2].map(|()| scope.spawn(|| receiver.receive(None)));
            sender.close();
            for thread in waiting {
                assert_eq!(thread.join().unwrap(), Err(Nothing::Ever));
            }
        });
    }
}

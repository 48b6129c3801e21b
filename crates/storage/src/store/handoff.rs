//! A queue from many threads to one, which sleeps while there is nothing in it.
//!
//! Most of the time there is nothing: a group is written in less time than the next request takes to come. So whoever
//! waits does so without spinning and yielding first, which costs more than all that is done with a small request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A sending and a receiving end.
pub(crate) fn handoff<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
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
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The receiving end. When it is gone, what is queued is dropped and nothing more is taken.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// Nothing is received, because nothing more comes, or because nothing came in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nothing {
    Ever,
    InTime,
}

#[derive(Debug)]
struct Shared<T> {
    items: Mutex<Items<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Items<T> {
    queue: VecDeque<T>,
    /// One of the ends is gone.
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
    /// The item, when nobody receives any more.
    pub(crate) fn send(&self, item: T) -> Result<(), T> {
        let mut items = self.0.items.lock();
        if items.is_closed {
            return Err(item);
        }
        items.queue.push_back(item);
        drop(items);
        self.0.arrived.notify_one();
        Ok(())
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
    pub(crate) fn receive(&self, timeout: Option<Duration>) -> Result<T, Nothing> {
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
    pub(crate) fn try_receive(&self) -> Option<T> {
        self.0.items.lock().queue.pop_front()
    }

    /// True when there is none.
    pub(crate) fn is_empty(&self) -> bool {
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
        let (sender, receiver) = handoff();
        assert!(receiver.is_empty() && receiver.try_receive().is_none());
        for number in 0..3 {
            sender.send(number).unwrap();
        }
        assert_eq!(receiver.receive(None), Ok(0));
        assert_eq!(receiver.try_receive(), Some(1));
        drop(sender);
        assert_eq!(receiver.receive(Some(Duration::ZERO)), Ok(2));
        assert_eq!(receiver.receive(None), Err(Nothing::Ever));
    }

    #[test]
    fn whoever_waits_is_woken_by_an_item_or_the_end() {
        let (sender, receiver) = handoff();
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
        let (sender, receiver) = handoff();
        let item = Arc::new(());
        sender.send(Arc::clone(&item)).unwrap();
        drop(receiver);
        assert_eq!(Arc::strong_count(&item), 1);
        assert!(sender.send(Arc::clone(&item)).is_err());
    }
}

//! The rolling queue of `kozo-core`, and those who would rather wait for room in it than have something
//! dropped.

use tokio::sync::watch;

pub use kozo_core::queue::{Limits, RollingQueue, TooLarge, Weight};

/// Those who wait for room in a queue. Goes with the queue, behind the same lock.
#[derive(Debug, Default)]
pub struct Waiters {
    /// Dropping it wakes all.
    waiting: Option<watch::Sender<()>>,
}

/// A place among those who wait for room in a queue.
#[derive(Debug)]
pub struct Room {
    waiting: watch::Receiver<()>,
}

impl Waiters {
    /// Joins them.
    pub fn join(&mut self) -> Room {
        let waiting = self.waiting.get_or_insert_with(|| watch::Sender::new(()));
        Room { waiting: waiting.subscribe() }
    }

    /// Wakes them: there is room, or none to be waited for any more.
    pub fn wake(&mut self) {
        self.waiting = None;
    }

    /// Wakes them if the queue is half empty at least: to be woken for each single place would cost
    /// more than to wait.
    pub fn wake_if_half_empty<T: Weight>(&mut self, queue: &RollingQueue<T>) {
        let Limits { length, size } = queue.limits();
        if self.waiting.is_some() && queue.len() <= length / 2 && queue.bytes() <= size / 2 {
            self.wake();
        }
    }
}

impl Room {
    /// Returns when there may be room. Cancel safe.
    pub async fn wait(mut self) {
        // Nothing is ever sent: the sender goes.
        let _ = self.waiting.changed().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Item;

    impl Weight for Item {
        fn weight(&self) -> usize {
            10
        }
    }

    #[tokio::test]
    async fn who_waits_is_woken_when_the_queue_is_half_empty() {
        let mut queue = RollingQueue::new(Limits { length: 4, size: 100 });
        let mut waiters = Waiters::default();
        for _ in 0..4 {
            queue.push(Item).unwrap();
        }
        let rooms = [waiters.join(), waiters.join()];
        queue.pop();
        waiters.wake_if_half_empty(&queue);
        assert!(rooms.iter().all(|room| room.waiting.has_changed().is_ok()), "not yet");
        queue.pop();
        waiters.wake_if_half_empty(&queue);
        // Woken before they wait, they do not wait.
        for room in rooms {
            room.wait().await;
        }
        let late = waiters.join();
        drop(waiters);
        late.wait().await;
    }
}

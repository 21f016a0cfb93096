//! The rolling queue: bounded by count and by bytes, drops the oldest.
//!
//! Every Role's inbox and every link's outgoing queue is one of these. Pure: no waiting, no
//! clock; the owner pairs it with what wakes its consumer.

use std::collections::VecDeque;

/// What an item counts for against a queue's bound in bytes.
pub trait Weight {
    /// Bytes.
    fn weight(&self) -> usize;
}

/// The two bounds of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most items it holds.
    pub length: usize,
    /// Most bytes it holds.
    pub size: usize,
}

impl Default for Limits {
    /// 128 items and 4 MiB, the defaults of every queue in the configuration.
    fn default() -> Self {
        Limits { length: 128, size: 4 * 1024 * 1024 }
    }
}

/// The item is larger than the whole queue may be, and was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{weight} bytes do not fit a queue of {size} bytes")]
pub struct TooLarge {
    /// Bytes of the item.
    pub weight: usize,
    /// Bytes that the queue may hold.
    pub size: usize,
}

/// First in, first out; the oldest are dropped when a new one needs their room.
#[derive(Debug)]
pub struct RollingQueue<T> {
    items: VecDeque<T>,
    bytes: usize,
    limits: Limits,
}

impl<T: Weight> RollingQueue<T> {
    /// An empty queue. Bounds below one item count as one item.
    pub fn new(limits: Limits) -> Self {
        let length = limits.length.max(1);
        RollingQueue { items: VecDeque::new(), bytes: 0, limits: Limits { length, ..limits } }
    }

    /// Changes the bounds, dropping the oldest items as far as needed; returns how many.
    pub fn set_limits(&mut self, limits: Limits) -> u64 {
        self.limits = RollingQueue::<T>::new(limits).limits;
        let Limits { length, size } = self.limits;
        let mut dropped = 0;
        while (self.items.len() > length || self.bytes > size) && self.pop().is_some() {
            dropped += 1;
        }
        dropped
    }

    /// Appends an item, dropping the oldest ones as far as needed; returns how many.
    ///
    /// # Errors
    /// When the item alone exceeds the bound in bytes; then nothing is dropped for it.
    pub fn push(&mut self, item: T) -> Result<u64, TooLarge> {
        let weight = item.weight();
        if weight > self.limits.size {
            return Err(TooLarge { weight, size: self.limits.size });
        }
        let mut dropped = 0;
        while !self.has_room_for(weight) && self.pop().is_some() {
            dropped += 1;
        }
        self.bytes += weight;
        self.items.push_back(item);
        Ok(dropped)
    }

    /// Whether an item of this many bytes would go in without dropping another.
    pub fn has_room_for(&self, weight: usize) -> bool {
        self.items.len() < self.limits.length
            && self.bytes.saturating_add(weight) <= self.limits.size
    }

    /// What the oldest item counts for.
    pub fn next_weight(&self) -> Option<usize> {
        self.items.front().map(Weight::weight)
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        self.bytes -= item.weight();
        Some(item)
    }

    /// Takes everything, oldest first.
    pub fn drain(&mut self) -> std::collections::vec_deque::Drain<'_, T> {
        self.bytes = 0;
        self.items.drain(..)
    }

    /// Drops everything and returns how many items that were.
    pub fn clear(&mut self) -> u64 {
        let dropped = self.items.len() as u64;
        self.items.clear();
        self.bytes = 0;
        dropped
    }

    /// Items in it.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes in it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its bounds.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::collections::VecDeque;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Its number, and its bytes.
    #[derive(Clone, Debug, PartialEq)]
    struct Item(usize, usize);

    impl Weight for Item {
        fn weight(&self) -> usize {
            self.1
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Pop,
        Clear,
    }

    fn limits() -> impl Strategy<Value = Limits> {
        (0_usize..8, 0_usize..100).prop_map(|(length, size)| Limits { length, size })
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0_usize..60).prop_map(Step::Push),
            3 => Just(Step::Pop),
            1 => Just(Step::Clear),
        ]
    }

    proptest! {
        #[test]
        fn holds_its_bounds_and_knows_what_it_dropped(
            first in limits(),
            steps in vec(step(), 1..200),
        ) {
            let mut queue = RollingQueue::new(first);
            let limits = Limits { length: first.length.max(1), ..first };
            // What must be in it, and all that ever went in and out.
            let mut model: VecDeque<Item> = VecDeque::new();
            let (mut pushed, mut popped, mut dropped) = (0_u64, 0_u64, 0_u64);
            for (number, step) in steps.into_iter().enumerate() {
                let before = model.clone();
                let out = match step {
                    Step::Push(weight) => match queue.push(Item(number, weight)) {
                        Ok(dropped) => {
                            pushed += 1;
                            model.push_back(Item(number, weight));
                            dropped
                        }
                        Err(error) => {
                            prop_assert!(weight > limits.size);
                            prop_assert_eq!(error, TooLarge { weight, size: limits.size });
                            0
                        }
                    },
                    Step::Pop => {
                        let oldest = queue.pop();
                        popped += u64::from(oldest.is_some());
                        prop_assert_eq!(oldest, model.pop_front());
                        0
                    }
                    Step::Clear => queue.clear(),
                };
                // The oldest go, one after the other, and no more than that.
                for _ in 0..out {
                    model.pop_front().unwrap();
                }
                dropped += out;
                if out > 0 && !model.is_empty() {
                    let last = &before[usize::try_from(out).unwrap() - 1];
                    let needed = queue.bytes() + last.1 > limits.size
                        || model.len() + 1 > limits.length;
                    prop_assert!(needed, "dropped {:?} without need", last);
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.bytes(), model.iter().map(Weight::weight).sum::<usize>());
                prop_assert!(queue.len() <= limits.length && queue.bytes() <= limits.size);
                prop_assert_eq!(pushed, popped + dropped + queue.len() as u64);
            }
        }
    }

    #[test]
    fn what_does_not_fit_at_all_costs_nobody_their_place() {
        let mut queue = RollingQueue::new(Limits { length: 4, size: 10 });
        queue.push(Item(1, 10)).unwrap();
        assert_eq!(queue.push(Item(2, 11)), Err(TooLarge { weight: 11, size: 10 }));
        assert_eq!(queue.pop(), Some(Item(1, 10)));
    }

    #[test]
    fn a_queue_has_room_for_one_item_at_least() {
        let mut queue = RollingQueue::new(Limits { length: 0, size: 10 });
        assert_eq!(queue.push(Item(1, 1)), Ok(0));
        assert_eq!(queue.push(Item(2, 1)), Ok(1));
        assert_eq!(queue.pop(), Some(Item(2, 1)));
    }
}

//! The rolling queue: bounded by count and by bytes, drops the oldest.
//!
//! Every Role's inbox and every link's outgoing queue is one of these. Pure: no waiting, no
//! clock; the owner pairs it with whatever wakes its consumer.

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

/// Items that a queue let go of without handing them to its consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many.
    pub count: u64,
    /// Their bytes together.
    pub bytes: u64,
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

    /// Appends an item, dropping the oldest ones as far as needed.
    ///
    /// # Errors
    /// When the item alone exceeds the bound in bytes; then nothing is dropped for it.
    pub fn push(&mut self, item: T) -> Result<Dropped, TooLarge> {
        let weight = item.weight();
        if weight > self.limits.size {
            return Err(TooLarge { weight, size: self.limits.size });
        }
        let mut dropped = Dropped::default();
        while !self.has_room_for(weight) {
            let Some(oldest) = self.pop() else { break };
            dropped.count += 1;
            dropped.bytes += oldest.weight() as u64;
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

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        let item = self.items.pop_front()?;
        self.bytes -= item.weight();
        Some(item)
    }

    /// Drops everything and says how much that was.
    pub fn clear(&mut self) -> Dropped {
        let dropped = Dropped { count: self.items.len() as u64, bytes: self.bytes as u64 };
        self.items.clear();
        self.bytes = 0;
        dropped
    }

    /// Changes the bounds, dropping the oldest items as far as the new ones need.
    pub fn set_limits(&mut self, limits: Limits) -> Dropped {
        self.limits = Limits { length: limits.length.max(1), ..limits };
        let mut dropped = Dropped::default();
        while self.items.len() > self.limits.length || self.bytes > self.limits.size {
            let Some(oldest) = self.pop() else { break };
            dropped.count += 1;
            dropped.bytes += oldest.weight() as u64;
        }
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

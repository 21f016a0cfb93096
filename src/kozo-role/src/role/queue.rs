//! What has come for a Role and is not taken yet.

use std::collections::VecDeque;

use bytes::Bytes;

use super::state::News;

/// Messages that are kept of those that were read ahead.
const MOST: usize = 1024;

/// Bytes of those Messages; a single one may have more.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// News in the order in which they came.
///
/// As a rule, more is read only when all is taken. While an answer is awaited, more is read ahead, as the answer is behind it: of
/// those Messages the oldest are dropped where there are too many, as the Node does in its queues.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What came when nothing was left.
    batch: VecDeque<News>,
    /// What came after that.
    ahead: VecDeque<News>,
    /// Messages in `ahead`.
    messages: usize,
    /// Their bytes.
    bytes: usize,
    /// Messages that were dropped, and not reported.
    dropped: u64,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.ahead.is_empty()
    }

    /// Takes in what was read at once.
    pub(super) fn append(&mut self, news: &mut VecDeque<News>) {
        if self.is_empty() {
            self.batch.append(news);
            return;
        }
        for mut news in news.drain(..) {
            if let News::Message(message) = &mut news {
                // It shares its memory with all that came with it, and would keep that alive after those are dropped.
                message.bytes = Bytes::copy_from_slice(&message.bytes);
                self.messages += 1;
                self.bytes += message.bytes.len();
            }
            self.ahead.push_back(news);
        }
        while self.messages > MOST || (self.bytes > MOST_BYTES && self.messages > 1) {
            if !self.drop_oldest() {
                return;
            }
        }
    }

    /// Says whether there was one to drop.
    fn drop_oldest(&mut self) -> bool {
        let is_message = |news: &News| matches!(news, News::Message(_));
        let oldest = self.ahead.iter().position(is_message);
        let Some(dropped) = oldest.and_then(|index| self.ahead.remove(index)) else {
            return false;
        };
        self.taken_out(&dropped);
        self.dropped += 1;
        true
    }

    pub(super) fn pop(&mut self) -> Option<News> {
        self.batch.pop_front().or_else(|| {
            let news = self.ahead.pop_front()?;
            self.taken_out(&news);
            Some(news)
        })
    }

    fn taken_out(&mut self, news: &News) {
        if let News::Message(message) = news {
            self.messages -= 1;
            self.bytes -= message.bytes.len();
        }
    }

    /// How many Messages were dropped since this was asked last.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::Encoding;
    use crate::hear::{Said, read};
    use serde_json::json;

    /// Messages with this data, which share their memory.
    fn messages(count: usize, data: &str) -> VecDeque<News> {
        let mut all = Vec::new();
        let mut ends = Vec::new();
        for id in 0..count {
            let said = json!({"method": "message", "params": {"time": 1, "node": "a", "boot": "1", "id": id, "role": "b",
                "kind": "event", "type": "t", "channel": null, "data": data}});
            all.extend(rmp_serde::to_vec(&said).unwrap());
            ends.push(all.len());
        }
        let mut all = Bytes::from(all);
        let mut begin = 0;
        let cut = ends.into_iter().map(|end| {
            let line = all.split_to(end - begin);
            begin = end;
            match read(Encoding::MessagePack, &line).unwrap() {
                Said::Message(message) => News::Message(message),
                other => panic!("{other:?}"),
            }
        });
        cut.collect()
    }

    fn ids(queue: &mut Queue) -> Vec<u64> {
        let popped = std::iter::from_fn(|| queue.pop());
        let id = |news| match news {
            News::Message(message) => Some(message.id()),
            _ => None,
        };
        popped.filter_map(id).collect()
    }

    #[test]
    fn nothing_is_dropped_of_what_is_not_read_ahead() {
        let mut queue = Queue::default();
        queue.append(&mut messages(2 * MOST, "x"));
        assert_eq!((ids(&mut queue).len(), queue.take_dropped()), (2 * MOST, 0));
    }

    #[test]
    fn the_oldest_messages_that_were_read_ahead_are_dropped_and_counted() {
        let mut queue = Queue::default();
        queue.append(&mut messages(1, "x"));
        queue.append(&mut VecDeque::from([News::Reopen]));
        queue.append(&mut messages(MOST + 3, "x"));
        assert_eq!(queue.take_dropped(), 3);
        let wanted: Vec<u64> = [0].into_iter().chain(3..1027).collect();
        assert_eq!(ids(&mut queue), wanted);
        assert!(queue.is_empty());
        assert_eq!((queue.messages, queue.bytes, queue.take_dropped()), (0, 0, 0));
    }

    #[test]
    fn the_bytes_that_are_kept_are_bounded_and_one_message_may_have_more() {
        let mut queue = Queue::default();
        queue.append(&mut messages(1, "x"));
        queue.append(&mut messages(5, &"x".repeat(1024 * 1024)));
        assert!(queue.bytes <= MOST_BYTES, "{}", queue.bytes);
        assert_eq!(queue.take_dropped(), 2);
        for news in &queue.ahead {
            let News::Message(message) = news else { panic!("{news:?}") };
            assert!(message.bytes.is_unique(), "it keeps nothing else alive");
        }
        queue.append(&mut messages(1, &"x".repeat(MOST_BYTES)));
        assert_eq!((queue.messages, queue.take_dropped()), (1, 3));
    }
}

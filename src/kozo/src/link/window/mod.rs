//! The send window of a session: how much may be written before the Peer has acknowledged it.
//!
//! What is written can no longer be dropped, so it is what makes news old: on a slow line, buffers of a few
//! hundred kilobytes hold many seconds. The window keeps them nearly empty. It allows what the line carries in
//! a round trip, and a little more, so that the line is never idle: the rest waits in the rolling queue,
//! where the oldest is dropped.
//!
//! Both are measured end to end, by heartbeats between the Messages (*marks*) whose echoes tell that everything
//! before them has arrived: so this works over every Transport and through every proxy, and a Peer that is too
//! busy to read is a slow line like any other. The estimates are those of BBR (Cardwell and others, *BBR:
//! Congestion-Based Congestion Control*, ACM Queue 14/5, 2016): the rate is the highest of late, the round trip
//! the shortest of late, and now and then the line is drained to measure the latter.
//!
//! Pure: time is what the caller says it is, in microseconds of the session's own clock. Bytes are those of
//! frames, before encryption.

use std::collections::VecDeque;

/// Bytes that are written before anything is known of the line.
const INITIAL: u64 = 8 * 1024;

/// How long what is written beyond the round trip may wait in the line, in microseconds, if echoes come
/// evenly.
const SLACK: u64 = 20_000;

/// The same at most, however unevenly they come.
const MAX_SLACK: u64 = 100_000;

/// Bytes that are allowed besides, so that there are a few Messages under way on the slowest line.
const FEW: u64 = 1024;

/// While no queue is seen in the line, the window covers so many quarters of what is carried in a round trip:
/// the rate is found within a few of them.
const STARTUP_GAIN: u64 = 10;
const QUARTERS: u64 = 4;

/// The highest rate counts for one to two spans of so many microseconds, or of a round trip, if that is longer.
const RATE_SPAN: u64 = 250_000;

/// The shortest round trip counts for so many microseconds, or for so many round trips, if those take longer: to
/// measure it anew costs most of one.
const ROUND_TRIP_SPAN: u64 = 10_000_000;
const ROUND_TRIPS: u64 = 64;

/// Marks that are under way at most.
const MARKS: usize = 64;

const SECOND: u64 = 1_000_000;

/// What may be written on a session now.
#[derive(Debug, Default)]
pub(super) struct SendWindow {
    /// Bytes written so far.
    written: u64,
    /// Those that the Peer has acknowledged.
    acknowledged: u64,
    /// From where rates are measured.
    base: Base,
    /// Heartbeats that the Peer has not echoed, oldest first.
    marks: VecDeque<Mark>,
    /// Bytes written before the last mark.
    marked: u64,
    /// Bytes written when the line last ran dry for want of Messages.
    dry: u64,
    rate: Rate,
    /// Bytes written when the present round trip began.
    round: u64,
    round_trip: RoundTripTime,
    /// The line was seen to hold a queue, so its rate is known.
    is_full: bool,
    /// The shortest round trip is out of date: the line is to drain until it can be measured.
    drains: bool,
    /// The next mark measures it.
    probes: bool,
}

/// A moment at which it was known how much had arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Base {
    acknowledged: u64,
    /// When that became known.
    at: u64,
    /// When what was acknowledged then had been sent.
    sent: u64,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    sent: u64,
    written: u64,
    base: Base,
    /// The line held no queue when it was sent.
    drained: bool,
    /// How old the Message before it was, in microseconds.
    age: Option<u64>,
}

/// What an echo tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    /// Bytes a second that the line carries, as far as it was made to.
    pub(super) rate: u64,
    /// How old the Message before the mark was when it arrived, in microseconds.
    pub(super) age: Option<u64>,
}

impl SendWindow {
    /// Bytes that may be written now. A Message may be larger if there is room for a byte.
    pub(super) fn room(&self) -> u64 {
        self.size().saturating_sub(self.unacknowledged())
    }

    /// Bytes that the Peer has not acknowledged.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.written - self.acknowledged
    }

    /// So many bytes are about to be written.
    pub(super) fn write(&mut self, bytes: usize, now: u64) {
        if self.dry == self.written && self.marks.is_empty() {
            self.base = Base { acknowledged: self.written, at: now, sent: now };
        }
        self.written += bytes as u64;
    }

    /// There was nothing more to write.
    pub(super) fn idle(&mut self) {
        if self.marks.is_empty() || self.unacknowledged() < self.size() / 4 {
            self.dry = self.written;
        }
    }

    /// Whether a mark is to follow what has been written.
    pub(super) fn wants_mark(&self) -> bool {
        let unmarked = self.written - self.marked;
        let often = match self.rate.get() {
            0 => INITIAL / 4,
            rate => carried(rate, self.slack() / 2) + FEW / 2,
        };
        unmarked > 0 && (unmarked >= often || self.room() == 0) && self.marks.len() < MARKS
    }

    /// Whether a mark is to go before what is written next: the line has drained, so that the round trip can be
    /// measured.
    pub(super) fn begin_probe(&mut self) -> bool {
        self.probes = self.drains && self.unacknowledged() <= self.size();
        if self.probes {
            self.drains = false;
            self.dry = self.written;
        }
        self.probes
    }

    /// A heartbeat follows what has been written, with this time in it; the Message before it is so many
    /// microseconds old.
    pub(super) fn mark(&mut self, sent: u64, age: Option<u64>) {
        if self.marks.len() >= MARKS {
            return;
        }
        self.marked = self.written;
        let drained = std::mem::take(&mut self.probes);
        self.marks.push_back(Mark { sent, written: self.written, base: self.base, drained, age });
    }

    /// The Peer has echoed the heartbeat with this time in it.
    pub(super) fn acknowledge(&mut self, sent: u64, now: u64) -> Option<Measured> {
        let mut echoed = None;
        while self.marks.front().is_some_and(|mark| mark.sent <= sent) {
            echoed = self.marks.pop_front();
        }
        let mark = echoed?;
        self.acknowledged = mark.written;
        self.base = Base { acknowledged: mark.written, at: now, sent: mark.sent };
        if mark.sent != sent {
            // A heartbeat that is no mark came after it: when it arrived is not known.
            return None;
        }
        let round_trip = now.saturating_sub(sent);
        self.measure_rate(&mark, now);
        self.measure_round_trip(&mark, round_trip, now);
        let on_its_way = round_trip.saturating_sub(self.round_trip.shortest() / 2);
        let age = mark.age.map(|age| age.saturating_add(on_its_way));
        Some(Measured { rate: self.rate.get(), age })
    }

    fn measure_rate(&mut self, mark: &Mark, now: u64) {
        let bytes = mark.written - mark.base.acknowledged;
        if bytes == 0 || mark.drained {
            return;
        }
        let arriving = now.saturating_sub(mark.base.at);
        let sending = mark.sent.saturating_sub(mark.base.sent);
        // Echoes that come together do not make the line faster than what was sent.
        let rate = bytes.saturating_mul(SECOND) / arriving.max(sending).max(1);
        // And it is not slower because there was nothing to send, or no room.
        let was_dry = self.dry > mark.base.acknowledged || sending > arriving + arriving / 4;
        if mark.base.acknowledged >= self.round {
            self.round = self.written;
            self.rate.begin_round();
        }
        if !was_dry || rate > self.rate.get() {
            self.rate.add(rate, now, self.round_trip.shortest());
        }
    }

    fn measure_round_trip(&mut self, mark: &Mark, time: u64, now: u64) {
        if mark.drained {
            return self.round_trip.renew(now, Some(time));
        }
        let queued = self.round_trip.add(time, now);
        let slack = self.slack();
        if queued > MAX_SLACK || queued > slack && !self.rate.grows {
            self.is_full = true;
        } else if queued < SLACK / 2 && self.dry <= mark.base.acknowledged {
            // It was made to carry all that the window allows, and it could carry more.
            self.is_full = false;
        }
        if self.round_trip.is_old(now) {
            self.drains = queued >= SLACK / 2;
            self.round_trip.renew(now, if self.drains { None } else { Some(time) });
        }
    }

    /// Bytes that may be written and not acknowledged.
    fn size(&self) -> u64 {
        let (rate, shortest) = (self.rate.get(), self.round_trip.shortest());
        if self.drains {
            return carried(rate, shortest / 2);
        }
        let time = if self.is_full {
            shortest + self.slack()
        } else if self.rate.grows {
            shortest * STARTUP_GAIN / QUARTERS + self.slack()
        } else {
            shortest + MAX_SLACK
        };
        let size = carried(rate, time) + FEW;
        if self.is_full { size } else { size.max(INITIAL) }
    }

    /// How long what is written may wait in the line.
    fn slack(&self) -> u64 {
        (SLACK + 2 * self.round_trip.variation).min(MAX_SLACK)
    }
}

/// Bytes that are carried at so many a second in so many microseconds.
fn carried(rate: u64, time: u64) -> u64 {
    rate.saturating_mul(time) / SECOND
}

/// The highest rate of late, in bytes a second.
#[derive(Debug, Default)]
struct Rate {
    now: u64,
    before: u64,
    since: u64,
    /// What it was when the present round trip began.
    last_round: u64,
    /// It grew well in the round trip before.
    grows: bool,
}

impl Rate {
    fn get(&self) -> u64 {
        self.now.max(self.before)
    }

    fn begin_round(&mut self) {
        self.grows = self.last_round == 0 || self.get() > self.last_round + self.last_round / 4;
        self.last_round = self.get();
    }

    fn add(&mut self, rate: u64, now: u64, round_trip: u64) {
        if now.saturating_sub(self.since) > RATE_SPAN.max(round_trip) {
            (self.now, self.before, self.since) = (rate, self.now, now);
        } else {
            self.now = self.now.max(rate);
        }
    }
}

/// The shortest round trip of late, and how even they are, in microseconds.
#[derive(Debug, Default)]
struct RoundTripTime {
    shortest: Option<u64>,
    since: u64,
    last: u64,
    variation: u64,
}

impl RoundTripTime {
    fn shortest(&self) -> u64 {
        self.shortest.unwrap_or(0)
    }

    /// Returns how much longer than the shortest it is.
    fn add(&mut self, time: u64, now: u64) -> u64 {
        match self.shortest {
            None => self.renew(now, Some(time)),
            Some(shortest) => {
                self.variation = (3 * self.variation + self.last.abs_diff(time)) / 4;
                if time <= shortest {
                    self.renew(now, Some(time));
                }
            }
        }
        self.last = time;
        time.saturating_sub(self.shortest())
    }

    fn is_old(&self, now: u64) -> bool {
        now.saturating_sub(self.since) > ROUND_TRIP_SPAN.max(ROUND_TRIPS * self.shortest())
    }

    fn renew(&mut self, now: u64, time: Option<u64>) {
        self.shortest = time.or(self.shortest);
        self.since = now;
    }
}

#[cfg(test)]
mod tests;

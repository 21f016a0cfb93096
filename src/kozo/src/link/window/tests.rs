//! The window over lines that are simulated: a rate, a delay, and a buffer that holds whatever is written.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::VecDeque;

use super::*;

const MILLISECOND: u64 = 1000;

/// Bytes of a Message with its part of a frame, and of a heartbeat.
const MESSAGE: u64 = 270;
const HEARTBEAT: u64 = 21;

/// Most Messages that wait in the rolling queue.
const QUEUE: usize = 4;

/// A line and a flood on it.
struct Line {
    window: SendWindow,
    /// Bytes a second.
    rate: u64,
    /// Half of the round trip without a queue.
    delay: u64,
    /// What further delay each echo has, in turn.
    jitter: Vec<u64>,
    now: u64,
    /// Until when the line is busy with what was written.
    busy: u64,
    /// When each echo comes back, and of what.
    echoes: VecDeque<(u64, u64)>,
    echoed: usize,
    /// When each waiting Message was made.
    queue: VecDeque<u64>,
    last_mark: u64,
    /// Between two Messages of the flood.
    pause: u64,
    next: u64,
    report: Report,
}

#[derive(Default)]
struct Report {
    bytes: u64,
    ages: Vec<u64>,
    most_unacknowledged: u64,
}

impl Report {
    fn median_age(&mut self) -> u64 {
        self.ages.sort_unstable();
        self.ages[self.ages.len() / 2]
    }
}

impl Line {
    /// A line of so many bits a second, and a flood of four times as much.
    fn new(bits: u64, round_trip: u64) -> Line {
        let mut line = Line {
            window: SendWindow::default(),
            rate: bits / 8,
            delay: round_trip / 2,
            jitter: vec![0],
            now: 0,
            busy: 0,
            echoes: VecDeque::new(),
            echoed: 0,
            queue: VecDeque::new(),
            last_mark: 0,
            pause: MESSAGE * SECOND / (bits / 8) / 4,
            next: 0,
            report: Report::default(),
        };
        // As when a session is taken into use.
        line.mark(None);
        line
    }

    /// Returns when it has arrived.
    fn carry(&mut self, bytes: u64) -> u64 {
        self.window.write(usize::try_from(bytes).unwrap(), self.now);
        self.busy = self.busy.max(self.now) + bytes * SECOND / self.rate;
        self.report.bytes += bytes;
        self.busy + self.delay
    }

    fn mark(&mut self, age: Option<u64>) {
        let sent = self.now.max(self.last_mark + 1);
        self.last_mark = sent;
        let arrives = self.carry(HEARTBEAT);
        self.window.mark(sent, age);
        let jitter = self.jitter[self.echoed % self.jitter.len()];
        self.echoed += 1;
        let back = arrives + self.delay + jitter;
        let back = back.max(self.echoes.back().map_or(0, |(at, _)| *at));
        self.echoes.push_back((back, sent));
    }

    /// What the writer of a session does at each wake-up.
    fn write(&mut self) {
        if self.window.begin_probe() {
            self.mark(None);
        }
        while self.window.room() > 0
            && let Some(made) = self.queue.pop_front()
        {
            let arrives = self.carry(MESSAGE);
            self.report.ages.push(arrives - made - self.delay);
            if self.window.wants_mark() {
                self.mark(Some(self.now - made));
            }
        }
        if self.window.wants_mark() {
            self.mark(None);
        }
        if self.window.room() > 0 {
            self.window.idle();
        }
        self.report.most_unacknowledged =
            self.report.most_unacknowledged.max(self.window.unacknowledged());
    }

    /// Goes on for so many microseconds, and says how it went.
    fn run(&mut self, time: u64) -> Report {
        self.report = Report::default();
        let end = self.now + time;
        while self.now < end {
            while self.echoes.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, sent) = self.echoes.pop_front().unwrap();
                self.window.acknowledge(sent, self.now);
            }
            while self.next <= self.now {
                if self.queue.len() == QUEUE {
                    self.queue.pop_front();
                }
                self.queue.push_back(self.next);
                self.next += self.pause;
            }
            self.write();
            let echo = self.echoes.front().map_or(u64::MAX, |(at, _)| *at);
            self.now = self.next.min(echo).max(self.now + 1);
        }
        std::mem::take(&mut self.report)
    }

    /// Which part of what the line could carry it carried, in percent.
    fn use_of(&self, report: &Report, time: u64) -> u64 {
        report.bytes * 100 * SECOND / (self.rate * time)
    }
}

/// How it goes in the steady state, in percent and microseconds.
fn steady(line: &mut Line) -> (u64, u64, u64) {
    line.run(6 * SECOND);
    let time = 30 * SECOND;
    let mut report = line.run(time);
    (line.use_of(&report, time), report.median_age(), report.most_unacknowledged)
}

#[test]
fn news_is_young_and_the_line_is_used() {
    for bits in [20_000, 100_000, 1_000_000, 10_000_000, 100_000_000] {
        for round_trip in [1, 20, 100, 300, 400] {
            let mut line = Line::new(bits, round_trip * MILLISECOND);
            let (used, age, unacknowledged) = steady(&mut line);
            let of = format!("{bits} bit/s, {round_trip} ms");
            assert!(used >= 95, "{of}: {used} %");
            // Those that wait in the rolling queue, and the few bytes that are always allowed.
            let few = (4 * MESSAGE + 2 * FEW) * SECOND / line.rate;
            assert!(age <= SLACK + few, "{of}: {age} µs");
            let most = carried(line.rate, (round_trip + 100) * MILLISECOND);
            let bound = most + FEW + MESSAGE + HEARTBEAT;
            assert!(unacknowledged <= bound + bound / 20, "{of}: {unacknowledged} bytes");
        }
    }
}

#[test]
fn a_line_whose_echoes_come_unevenly_is_used() {
    for bits in [100_000, 1_000_000, 10_000_000] {
        let mut line = Line::new(bits, 50 * MILLISECOND);
        line.jitter = [0, 3, 25, 1, 12, 40, 0, 7].map(|time| time * MILLISECOND).to_vec();
        let (used, age, _) = steady(&mut line);
        assert!(used >= 95, "{bits} bit/s: {used} %");
        assert!(age <= MAX_SLACK + 8 * MESSAGE * SECOND / line.rate, "{bits} bit/s: {age} µs");
    }
}

#[test]
fn a_line_that_becomes_slower_or_faster_is_followed_within_a_second() {
    for round_trip in [1, 20, 100, 200] {
        let mut line = Line::new(1_000_000, round_trip * MILLISECOND);
        line.pause /= 10;
        line.run(6 * SECOND);
        for bits in [10_000_000, 3_000_000, 1_000_000, 4_000_000, 1_500_000] {
            line.rate = bits / 8;
            line.run(SECOND);
            let mut report = line.run(2 * SECOND);
            let (used, age) = (line.use_of(&report, 2 * SECOND), report.median_age());
            let of = format!("{bits} bit/s, {round_trip} ms");
            // It is drained once meanwhile, and then found anew.
            assert!(used >= 75, "{of}: {used} %");
            assert!(age <= 60 * MILLISECOND, "{of}: {age} µs");
        }
    }
}

#[test]
fn a_way_that_becomes_longer_or_shorter_is_found_out() {
    let mut line = Line::new(1_000_000, 20 * MILLISECOND);
    line.run(6 * SECOND);
    for round_trip in [300, 40] {
        line.delay = round_trip / 2 * MILLISECOND;
        line.run(2 * SECOND + ROUND_TRIP_SPAN);
        let (used, age, _) = steady(&mut line);
        assert!(used >= 97, "{round_trip} ms: {used} %");
        assert!(age <= 50 * MILLISECOND, "{round_trip} ms: {age} µs");
    }
}

#[test]
fn a_long_and_wide_line_is_filled_within_a_few_round_trips() {
    let mut line = Line::new(100_000_000, 400 * MILLISECOND);
    line.run(5 * SECOND);
    let report = line.run(SECOND);
    let used = line.use_of(&report, SECOND);
    assert!(used >= 95, "{used} %");
}

#[test]
fn a_little_traffic_takes_few_marks() {
    let mut line = Line::new(1_000_000, 20 * MILLISECOND);
    line.run(6 * SECOND);
    line.pause = SECOND;
    let echoed = line.echoed;
    line.run(100 * SECOND);
    assert!(line.echoed - echoed <= 40, "{}", line.echoed - echoed);
    // What the line carries is not forgotten.
    assert_eq!(line.window.rate.get() / 10_000, 12);
}

#[test]
fn a_peer_that_answers_nothing_or_nonsense_gets_no_more() {
    let mut window = SendWindow::default();
    let mut sent = 0;
    while window.room() > 0 {
        window.write(1000, sent);
        sent += 1;
        if window.wants_mark() {
            window.mark(sent, None);
        }
    }
    assert!(window.unacknowledged() <= INITIAL + 1000);
    assert_eq!((window.acknowledge(0, sent), window.room()), (None, 0));
    // Before it was sent, and never sent: it has itself to blame.
    assert!(window.acknowledge(u64::MAX, 0).is_none());
    assert!(window.room() > 0);
    for now in 0..10_000 {
        window.write(1, now);
        window.mark(now, None);
    }
    assert_eq!(window.marks.len(), MARKS);
    assert!(window.written > window.marked, "what follows the last of them is not marked");
    assert!(window.acknowledge(u64::MAX, u64::MAX).is_none());
    assert_eq!(window.marks.len(), 0);
}

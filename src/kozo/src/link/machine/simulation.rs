//! Two machines joined by a network that loses, delays and freezes sessions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

const HEARTBEAT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(60);
/// Longest delay of anything in a network that works.
const DELAY: Duration = Duration::from_millis(400);
/// How long an attempt takes in one that does not.
const DIAL: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Frame {
    Use,
    Finish,
    Finished,
    Heartbeat,
    Echo,
    Data(u64),
}

/// What the network has in store.
#[derive(Clone, Copy, Debug)]
enum Due {
    /// A session that was dialled is established on this side.
    Ready(usize, Offer),
    DialFailed(usize, u64),
    Frame(usize, SessionId, Frame),
    Ended(usize, SessionId),
    /// This side has a Message.
    Data(usize),
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// All sessions break, and both sides see it.
    Break,
    /// All sessions carry nothing any more, and neither side is told.
    Freeze,
    /// Neither side reaches the other, for so many seconds; sessions freeze.
    Apart(u64),
    /// This side's daemon is started again; the other one sees its sessions break, or not.
    Restart(usize, bool),
    /// The better Transport works, or no longer.
    Best(bool),
    /// The side has something to send.
    Wanted(usize),
    /// The administrator of the side wants no link, or wants it again.
    Closed(usize, bool),
}

/// One side: what `task` would be.
struct Side {
    machine: Machine,
    rules: Rules,
    boot: u64,
    /// Sessions that the machine was told of and that have not ended, and when they were heard.
    known: HashMap<SessionId, Instant>,
    /// What came on a session before the machine knew it.
    early: HashMap<SessionId, Vec<Frame>>,
    /// The session that Messages are sent on.
    active: Option<SessionId>,
    /// The attempt under way.
    dialling: Option<(u64, Option<SessionId>)>,
    queue: Vec<u64>,
    made: u64,
    received: Vec<u64>,
}

struct World {
    now: Instant,
    random: StdRng,
    sides: [Side; 2],
    /// What comes when, and in which order.
    due: BTreeMap<(Instant, u64), Due>,
    last: u64,
    /// Sessions that carry something still.
    alive: HashSet<SessionId>,
    /// When the last frame arrives, in each direction of each session: they stay in order.
    arrives: HashMap<(SessionId, usize), Instant>,
    apart_until: Instant,
    best: bool,
    /// Whether Messages are made.
    talk: bool,
}

fn machine(rules: Rules) -> Machine {
    Machine::new(rules, || 0.5)
}

impl World {
    fn new(seed: u64, policies: [ConnectPolicy; 2]) -> World {
        let now = Instant::now();
        let side = |number: usize| {
            let rules = Rules {
                decider: number == 0,
                outward: policies[number],
                heartbeat: HEARTBEAT,
                retry: RETRY,
                best: Some(Priority::Best),
                spread: Duration::from_millis(1),
            };
            Side {
                machine: machine(rules),
                rules,
                boot: number as u64,
                known: HashMap::new(),
                early: HashMap::new(),
                active: None,
                dialling: None,
                queue: Vec::new(),
                made: 0,
                received: Vec::new(),
            }
        };
        let mut world = World {
            now,
            random: StdRng::seed_from_u64(seed),
            sides: [side(0), side(1)],
            due: BTreeMap::new(),
            last: 0,
            alive: HashSet::new(),
            arrives: HashMap::new(),
            apart_until: now,
            best: true,
            talk: false,
        };
        world.tell(0, Event::Start);
        world.tell(1, Event::Start);
        world
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn later(&mut self, delay: Duration, due: Due) {
        let at = (self.now + delay, self.number());
        self.due.insert(at, due);
    }

    fn delay(&mut self) -> Duration {
        DELAY.mul_f64(self.random.random())
    }

    /// Lets everything happen that happens within this time.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = self.due.first_key_value().map(|((at, _), _)| (*at, None));
            let deadline = |side: usize| Some((self.sides[side].machine.deadline()?, Some(side)));
            let next =
                due.into_iter().chain(deadline(0)).chain(deadline(1)).min_by_key(|(at, _)| *at);
            let Some((at, side)) = next.filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            match side {
                None => {
                    let (_, due) = self.due.pop_first().unwrap();
                    self.happen(due);
                }
                Some(side) => {
                    let heard = self.current(side).and_then(|id| self.sides[side].known.get(&id));
                    let heard = heard.copied();
                    self.tell(side, Event::Time { heard });
                    let deadline = self.sides[side].machine.deadline();
                    assert!(deadline.is_none_or(|at| at > self.now), "it would spin");
                }
            }
        }
        self.now = end;
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Ready(side, offer) => {
                if offer.dialled
                    && self.sides[side].dialling.is_none_or(|(_, id)| id != Some(offer.id))
                {
                    // The attempt was given up meanwhile.
                    return;
                }
                if !self.alive.contains(&offer.id) {
                    if offer.dialled {
                        self.sides[side].dialling = None;
                        self.tell(side, Event::DialFailed);
                    }
                    return;
                }
                if offer.dialled {
                    self.sides[side].dialling = None;
                }
                self.sides[side].known.insert(offer.id, self.now);
                self.tell(side, Event::Ready(offer));
                for frame in self.sides[side].early.remove(&offer.id).unwrap_or_default() {
                    self.arrived(side, offer.id, frame);
                }
            }
            Due::DialFailed(side, attempt) => {
                if self.sides[side].dialling == Some((attempt, None)) {
                    self.sides[side].dialling = None;
                    self.tell(side, Event::DialFailed);
                }
            }
            Due::Frame(side, id, frame) => self.arrived(side, id, frame),
            Due::Ended(side, id) => {
                if self.sides[side].known.remove(&id).is_some() {
                    if self.sides[side].active == Some(id) {
                        self.sides[side].active = None;
                    }
                    self.tell(side, Event::Ended(id));
                }
            }
            Due::Data(side) => {
                if self.talk {
                    self.sides[side].made += 1;
                    let made = self.sides[side].made;
                    self.sides[side].queue.push(made);
                    self.send_data(side);
                    self.later(Duration::from_millis(20), Due::Data(side));
                }
            }
        }
    }

    fn arrived(&mut self, side: usize, id: SessionId, frame: Frame) {
        if !self.alive.contains(&id) {
            return;
        }
        let Some(heard) = self.sides[side].known.get_mut(&id) else {
            return self.sides[side].early.entry(id).or_default().push(frame);
        };
        *heard = self.now;
        match frame {
            Frame::Use => self.tell(side, Event::Use(id)),
            Frame::Finish => {
                self.say(side, id, Frame::Finished);
                self.tell(side, Event::Finish(id));
            }
            Frame::Finished => self.tell(side, Event::Finished(id)),
            Frame::Heartbeat => self.say(side, id, Frame::Echo),
            Frame::Echo => self.tell(side, Event::Echo(id)),
            Frame::Data(number) => self.sides[side].received.push(number),
        }
    }

    fn say(&mut self, side: usize, id: SessionId, frame: Frame) {
        if !self.alive.contains(&id) {
            return;
        }
        let at = self.now + self.delay();
        let arrives = self.arrives.entry((id, side)).or_insert(at);
        *arrives = at.max(*arrives);
        let at = (*arrives, self.number());
        self.due.insert(at, Due::Frame(1 - side, id, frame));
    }

    fn send_data(&mut self, side: usize) {
        if let Some(id) = self.sides[side].active {
            for number in std::mem::take(&mut self.sides[side].queue) {
                self.say(side, id, Frame::Data(number));
            }
        }
    }

    fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Break => {
                for id in std::mem::take(&mut self.alive) {
                    for side in [0, 1] {
                        let delay = self.delay();
                        self.later(delay, Due::Ended(side, id));
                    }
                }
            }
            Fault::Freeze => self.alive.clear(),
            Fault::Apart(seconds) => {
                self.alive.clear();
                self.apart_until = self.now + Duration::from_secs(seconds);
            }
            Fault::Restart(side, seen) => {
                let boot = self.number() + 100;
                let other = 1 - side;
                for id in self.sides[other].known.keys().copied().collect::<Vec<_>>() {
                    if seen {
                        let delay = self.delay();
                        self.later(delay, Due::Ended(other, id));
                    }
                }
                self.alive.clear();
                let new = &mut self.sides[side];
                new.machine = machine(new.rules);
                (new.boot, new.active, new.dialling) = (boot, None, None);
                new.known.clear();
                new.early.clear();
                self.tell(side, Event::Start);
            }
            Fault::Best(best) => self.best = best,
            Fault::Wanted(side) => self.tell(side, Event::Wanted),
            Fault::Closed(side, true) => self.tell(side, Event::Disconnect),
            Fault::Closed(side, false) => self.tell(side, Event::Connect),
        }
    }

    fn tell(&mut self, side: usize, event: Event) {
        let actions = self.sides[side].machine.handle(event, self.now);
        for action in actions {
            self.act(side, action);
        }
        self.check(side);
    }

    fn act(&mut self, side: usize, action: Action) {
        match action {
            Action::Dial(above) => self.dial(side, above),
            Action::StopDialling => {
                let (_, id) = self.sides[side].dialling.take().expect("it was dialling");
                if let Some(id) = id {
                    self.end(side, id);
                }
            }
            Action::SayUse(id) => self.say_known(side, id, Frame::Use),
            Action::Heartbeat(id) => self.say_known(side, id, Frame::Heartbeat),
            Action::Activate(id) => {
                assert!(self.sides[side].known.contains_key(&id), "activates a stranger");
                assert_eq!(self.sides[side].active, None, "two are active");
                assert_eq!(self.current(side), Some(id));
                self.sides[side].active = Some(id);
                self.send_data(side);
            }
            Action::Finish { id, drain } => {
                if drain {
                    self.send_data(side);
                }
                if self.sides[side].active == Some(id) {
                    self.sides[side].active = None;
                }
                self.say_known(side, id, Frame::Finish);
            }
            Action::Close(id, _) => {
                assert!(self.sides[side].known.contains_key(&id), "closes a stranger");
                if self.sides[side].active == Some(id) {
                    self.sides[side].active = None;
                }
                let delay = self.delay();
                self.later(delay, Due::Ended(side, id));
                self.end(side, id);
            }
        }
    }

    fn say_known(&mut self, side: usize, id: SessionId, frame: Frame) {
        assert!(self.sides[side].known.contains_key(&id), "{frame:?} for a stranger");
        self.say(side, id, frame);
    }

    /// One side has closed a session; what it said before still arrives, then the end does.
    fn end(&mut self, side: usize, id: SessionId) {
        if self.alive.contains(&id) {
            let arrives = self.arrives.get(&(id, side)).copied().unwrap_or(self.now);
            let delay = arrives.max(self.now) - self.now + self.delay();
            self.later(delay, Due::Ended(1 - side, id));
        }
    }

    fn dial(&mut self, side: usize, above: Option<Priority>) {
        assert_eq!(self.sides[side].dialling, None, "two attempts at once");
        assert_ne!(self.sides[side].rules.outward, ConnectPolicy::Never);
        let attempt = self.number();
        let priority = if self.best { Priority::Best } else { Priority::Meh };
        let apart = self.now < self.apart_until;
        if apart || Some(priority) <= above {
            self.sides[side].dialling = Some((attempt, None));
            let delay = if apart { DIAL } else { self.delay() };
            return self.later(delay, Due::DialFailed(side, attempt));
        }
        self.sides[side].dialling = Some((attempt, Some(attempt)));
        self.alive.insert(attempt);
        for end in [side, 1 - side] {
            let boot = self.sides[1 - end].boot;
            let offer = Offer { id: attempt, priority, boot, dialled: end == side };
            let delay = self.delay();
            self.later(delay, Due::Ready(end, offer));
        }
    }

    fn current(&self, side: usize) -> Option<SessionId> {
        self.sides[side].machine.current()
    }

    fn check(&self, side: usize) {
        let Side { machine, rules, dialling, active, known, .. } = &self.sides[side];
        let state = machine.state();
        let resting = matches!(state, State::Disabled | State::Idle);
        assert!(
            resting || machine.deadline().is_some() || dialling.is_some(),
            "{state:?} for ever"
        );
        if rules.outward == ConnectPolicy::Constant && !machine.closed {
            assert!(!resting, "{state:?} though it is to be connected");
        }
        assert_eq!(machine.dialling, dialling.is_some());
        assert!(active.is_none_or(|active| known.contains_key(&active)));
        assert!(machine.sessions.ids().len() <= MOST_OFFERED + 4, "{:?}", machine.sessions);
    }

    /// Both use the same session, which works.
    fn assert_joined(&self) {
        let [first, second] = [self.current(0), self.current(1)];
        let states = [&self.sides[0].machine, &self.sides[1].machine];
        assert_eq!(first, second, "{states:#?}");
        let current = first.unwrap_or_else(|| panic!("not up: {states:#?}"));
        assert!(self.alive.contains(&current), "it uses a dead session");
        for side in &self.sides {
            assert_eq!(side.active, Some(current));
        }
    }
}

fn policies() -> impl Strategy<Value = [ConnectPolicy; 2]> {
    use ConnectPolicy::{Constant, Never, OnDemand};
    proptest::sample::select(vec![
        [Constant, Constant],
        [Constant, OnDemand],
        [Constant, Never],
        [OnDemand, Constant],
        [Never, Constant],
        [OnDemand, OnDemand],
        [OnDemand, Never],
        [Never, OnDemand],
    ])
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Break),
        Just(Fault::Freeze),
        (0_u64..200).prop_map(Fault::Apart),
        (0_usize..2, any::<bool>()).prop_map(|(side, seen)| Fault::Restart(side, seen)),
        any::<bool>().prop_map(Fault::Best),
        (0_usize..2).prop_map(Fault::Wanted),
        (0_usize..2, any::<bool>()).prop_map(|(side, closed)| Fault::Closed(side, closed)),
    ]
}

/// When, in milliseconds after the one before.
fn faults() -> impl Strategy<Value = Vec<(u64, Fault)>> {
    vec((prop_oneof![0_u64..1000, 0_u64..40_000], fault()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn once_the_network_is_calm_both_use_the_same_session(
        seed in any::<u64>(),
        policies in policies(),
        faults in faults(),
    ) {
        let mut world = World::new(seed, policies);
        for (pause, fault) in faults {
            world.run(Duration::from_millis(pause));
            world.fault(fault);
        }
        for side in [0, 1] {
            world.tell(side, Event::Connect);
        }
        let now = world.now;
        let apart = world.apart_until.saturating_duration_since(now);
        // What a side does not know yet it learns by silence; then both may wait for the next attempt.
        world.run(apart + SILENT_HEARTBEATS * HEARTBEAT + DIAL);
        for (side, policy) in policies.iter().enumerate() {
            if *policy == ConnectPolicy::OnDemand && world.current(side).is_none() {
                world.tell(side, Event::Wanted);
            }
        }
        world.run(RETRY + RETRY / 4 + DIAL + 2 * PROBE);
        world.assert_joined();
        let chosen = world.current(0);
        world.best = true;
        world.run(2 * RETRY);
        world.assert_joined();
        let best = world.sides[0].machine.sessions.in_use().map(|session| session.offer.priority);
        if policies.contains(&ConnectPolicy::Constant) {
            prop_assert_eq!(best, Some(Priority::Best));
        } else {
            prop_assert_eq!(world.current(0), chosen, "nobody looks for a better one");
        }
        let chosen = world.current(0);
        world.run(10 * RETRY);
        prop_assert_eq!(world.current(0), chosen, "it works and is kept");
        world.assert_joined();
    }

    #[test]
    fn moving_to_a_better_session_loses_and_overtakes_nothing(
        seed in any::<u64>(),
        policies in policies().prop_filter("somebody looks for it", |policies| {
            policies.contains(&ConnectPolicy::Constant)
        }),
        pause in 0_u64..3000,
    ) {
        let mut world = World::new(seed, policies);
        world.best = false;
        world.run(5 * DELAY);
        world.assert_joined();
        let worse = world.current(0);
        world.talk = true;
        world.later(Duration::ZERO, Due::Data(0));
        world.later(Duration::ZERO, Due::Data(1));
        world.run(Duration::from_millis(pause));
        world.best = true;
        world.run(2 * RETRY);
        prop_assert_ne!(world.current(0), worse);
        world.talk = false;
        world.run(5 * DELAY);
        world.assert_joined();
        for side in [0, 1] {
            let sent: Vec<u64> = (1..=world.sides[side].made).collect();
            prop_assert!(sent.len() > 1000);
            prop_assert_eq!(&world.sides[1 - side].received, &sent);
        }
    }

    #[test]
    fn a_machine_that_stops_comes_to_an_end(
        seed in any::<u64>(),
        policies in policies(),
        faults in faults(),
        stopping in 0_usize..2,
    ) {
        let mut world = World::new(seed, policies);
        for (pause, fault) in faults {
            world.run(Duration::from_millis(pause));
            world.fault(fault);
        }
        world.sides[stopping].rules.outward = ConnectPolicy::Never;
        world.sides[stopping].machine.rules.outward = ConnectPolicy::Never;
        world.tell(stopping, Event::Stop(End::Stop));
        world.run(SILENT_HEARTBEATS * HEARTBEAT);
        world.run(PROBE);
        let side = &world.sides[stopping];
        prop_assert!(side.machine.sessions.ids().is_empty(), "{:#?}", side.machine);
        prop_assert!(!side.machine.dialling);
    }

    #[test]
    fn a_machine_that_is_to_have_no_link_has_none_until_it_is_to(
        seed in any::<u64>(),
        policies in policies(),
        faults in faults(),
        closed in 0_usize..2,
        away in 0_u64..200,
    ) {
        let mut world = World::new(seed, policies);
        for (pause, fault) in faults {
            world.run(Duration::from_millis(pause));
            world.fault(fault);
        }
        world.tell(closed, Event::Disconnect);
        world.run(LINGER);
        // The other side may try for as long as it likes.
        for _ in 0..away {
            let side = &world.sides[closed];
            prop_assert_eq!(side.machine.state(), State::Disabled);
            prop_assert!(side.machine.sessions.ids().is_empty() && !side.machine.dialling);
            prop_assert_eq!(side.machine.deadline(), None, "nothing wakes it up");
            world.tell(closed, Event::Wanted);
            world.run(Duration::from_secs(1));
        }
        for side in [0, 1] {
            world.tell(side, Event::Connect);
        }
        let dials = policies[closed] != ConnectPolicy::Never;
        let side = &world.sides[closed].machine;
        prop_assert!(!dials || side.dialling || side.current().is_some(), "it tries at once");
    }
}

//! Each rule by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const HEARTBEAT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(60);

/// A machine and a clock.
struct TestMachine {
    machine: Machine,
    now: Instant,
}

fn started(decider: bool, outward: ConnectPolicy) -> TestMachine {
    let rules = Rules {
        decider,
        outward,
        heartbeat: HEARTBEAT,
        retry: RETRY,
        best: Some(Priority::Best),
        spread: Duration::ZERO,
    };
    let mut machine = TestMachine { machine: Machine::new(rules, || 0.5), now: Instant::now() };
    machine.tell(Event::Start);
    machine
}

fn decider() -> TestMachine {
    started(true, ConnectPolicy::Constant)
}

fn follower() -> TestMachine {
    started(false, ConnectPolicy::Constant)
}

fn offer(id: SessionId) -> Offer {
    Offer { id, priority: Priority::Best, boot: 1, dialled: false }
}

fn worse(id: SessionId) -> Offer {
    Offer { priority: Priority::Bad, ..offer(id) }
}

impl TestMachine {
    fn tell(&mut self, event: Event) -> Vec<Action> {
        self.machine.handle(event, self.now)
    }

    /// Lets time pass without anything being heard.
    fn pass(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.tell(Event::Time { heard: None })
    }

    fn hear(&mut self) {
        self.tell(Event::Time { heard: Some(self.now) });
    }

    /// In use on a session with this number.
    fn up(mut self, offer: Offer) -> TestMachine {
        self.tell(Event::Ready(offer));
        if !self.machine.rules.decider {
            self.tell(Event::Use(offer.id));
        }
        assert_eq!(self.machine.current(), Some(offer.id));
        self
    }

    fn state(&self) -> State {
        self.machine.state()
    }
}

#[test]
fn each_policy_begins_in_its_state() {
    assert_eq!(decider().state(), State::Waiting);
    assert_eq!(started(true, ConnectPolicy::OnDemand).state(), State::Idle);
    assert_eq!(started(true, ConnectPolicy::Never).state(), State::Disabled);
    assert_eq!(decider().pass(Duration::ZERO), [Action::Dial(None)]);
    assert_eq!(started(true, ConnectPolicy::OnDemand).machine.deadline(), None);
    assert_eq!(started(true, ConnectPolicy::Never).machine.deadline(), None);
}

#[test]
fn only_what_is_made_on_demand_is_made_for_a_message() {
    let mut machine = started(true, ConnectPolicy::OnDemand);
    assert_eq!(machine.tell(Event::Wanted), [Action::Dial(None)]);
    assert_eq!(machine.tell(Event::Wanted), [], "once");
    assert_eq!(started(true, ConnectPolicy::Never).tell(Event::Wanted), []);
    assert_eq!(decider().tell(Event::Wanted), []);
}

#[test]
fn on_demand_is_tried_again_until_it_worked_and_then_no_more() {
    let mut machine = started(true, ConnectPolicy::OnDemand);
    machine.tell(Event::Wanted);
    machine.tell(Event::DialFailed);
    assert_eq!(machine.state(), State::Waiting);
    assert_eq!(machine.pass(RETRY), [Action::Dial(None)]);
    let mut machine = machine.up(Offer { dialled: true, ..offer(1) });
    machine.tell(Event::Wanted);
    machine.tell(Event::Ended(1));
    assert_eq!(machine.state(), State::Idle, "nothing waits for the link");
}

#[test]
fn the_decider_takes_what_comes_and_says_so() {
    let mut machine = decider();
    assert_eq!(
        machine.tell(Event::Ready(offer(1))),
        [Action::SayUse(1), Action::Activate(1), Action::Heartbeat(1)],
    );
    let mut machine = decider();
    machine.pass(Duration::ZERO);
    assert_eq!(machine.state(), State::Connecting);
    assert!(machine.tell(Event::Ready(offer(1))).contains(&Action::StopDialling));
}

#[test]
fn the_other_side_waits_for_the_decision() {
    let mut machine = follower();
    assert_eq!(machine.tell(Event::Ready(offer(1))), []);
    assert_eq!(machine.state(), State::Connecting);
    assert_eq!(machine.tell(Event::Use(7)), [], "nobody knows this one");
    assert_eq!(machine.tell(Event::Use(1)), [Action::Activate(1), Action::Heartbeat(1)]);
    assert_eq!(machine.tell(Event::Use(1)), [], "it is in use already");
    assert_eq!(decider().up(offer(1)).tell(Event::Use(1)), [], "the decider is not told");
}

#[test]
fn an_offer_that_is_not_taken_is_closed_and_the_next_attempt_follows() {
    let mut machine = follower();
    machine.pass(Duration::ZERO);
    machine.tell(Event::Ready(Offer { dialled: true, ..offer(1) }));
    assert_eq!(machine.pass(DECISION), [Action::Close(1, Reason::Undecided)]);
    assert_eq!(machine.state(), State::Waiting);

    let mut machine = follower();
    machine.pass(Duration::ZERO);
    machine.tell(Event::Ready(Offer { dialled: true, ..offer(1) }));
    machine.tell(Event::Ended(1));
    assert_eq!(machine.state(), State::Waiting, "the decider has closed it");
}

#[test]
fn only_so_many_offers_wait() {
    let mut machine = follower();
    for id in 0..100 {
        let actions = machine.tell(Event::Ready(offer(id)));
        let oldest = id.checked_sub(MOST_OFFERED as u64);
        let closed = oldest.map(|oldest| Action::Close(oldest, Reason::Undecided));
        assert_eq!(actions, closed.into_iter().collect::<Vec<_>>());
    }
    assert!(machine.tell(Event::Use(99)).contains(&Action::Activate(99)));
}

#[test]
fn heartbeats_go_out_every_interval() {
    let mut machine = decider().up(offer(1));
    for _ in 0..10 {
        assert_eq!(machine.pass(HEARTBEAT - Duration::from_millis(1)), []);
        machine.hear();
        assert_eq!(machine.pass(Duration::from_millis(1)), [Action::Heartbeat(1)]);
        assert_eq!(machine.machine.deadline(), Some(machine.now + HEARTBEAT));
    }
}

#[test]
fn three_silent_heartbeats_are_the_end() {
    let mut machine = follower().up(offer(1));
    machine.pass(HEARTBEAT);
    machine.hear();
    machine.pass(HEARTBEAT);
    machine.pass(HEARTBEAT);
    assert_eq!(machine.pass(HEARTBEAT - Duration::from_millis(1)), []);
    assert_eq!(machine.pass(Duration::from_millis(1)), [Action::Close(1, Reason::Silent)]);
    assert_eq!(machine.state(), State::Waiting);
}

#[test]
fn a_second_session_is_closed_when_the_first_one_answers() {
    let mut machine = decider().up(offer(1));
    assert_eq!(machine.tell(Event::Ready(offer(2))), [Action::Heartbeat(1)]);
    assert_eq!(machine.tell(Event::Echo(2)), [], "not that one");
    assert_eq!(machine.tell(Event::Echo(1)), [Action::Close(2, Reason::Duplicate)]);
    assert_eq!(machine.machine.current(), Some(1));
}

#[test]
fn a_second_session_takes_over_when_the_first_one_is_silent() {
    let mut machine = decider().up(offer(1));
    machine.tell(Event::Ready(offer(2)));
    assert_eq!(
        machine.pass(PROBE),
        [
            Action::Close(1, Reason::Silent),
            Action::SayUse(2),
            Action::Activate(2),
            Action::Heartbeat(2),
        ],
    );
    assert_eq!(machine.state(), State::Up);
}

#[test]
fn a_session_that_something_comes_on_is_not_given_up_for_a_second_one() {
    let mut machine = decider().up(offer(1));
    machine.tell(Event::Ready(offer(2)));
    for _ in 0..50 {
        machine.now += Duration::from_millis(100);
        let heard = Some(machine.now);
        assert_eq!(machine.tell(Event::Time { heard }), []);
        assert!(machine.machine.deadline() > heard, "it would spin");
    }
    assert_eq!(machine.machine.current(), Some(1));
    machine.pass(PROBE);
    assert_eq!(machine.machine.current(), Some(2), "now nothing comes any more");

    let mut machine = decider().up(offer(1));
    machine.tell(Event::Ready(offer(2)));
    machine.pass(PROBE / 2);
    machine.hear();
    machine.pass(PROBE / 2);
    assert_eq!(machine.machine.current(), Some(2), "the last of it came too long ago");
}

#[test]
fn a_second_session_that_is_as_silent_lasts_no_longer_than_the_first() {
    let mut machine = decider().up(offer(1));
    machine.tell(Event::Ready(offer(2)));
    machine.pass(PROBE);
    assert_eq!(machine.machine.current(), Some(2));
    machine.pass(HEARTBEAT * 3 - PROBE - Duration::from_millis(1));
    assert_eq!(machine.machine.current(), Some(2));
    machine.pass(Duration::from_millis(1));
    assert_eq!(machine.machine.current(), None);
}

#[test]
fn the_last_of_many_second_sessions_counts() {
    let mut machine = decider().up(offer(1));
    machine.tell(Event::Ready(offer(2)));
    assert_eq!(
        machine.tell(Event::Ready(offer(3))),
        [Action::Close(2, Reason::Duplicate), Action::Heartbeat(1)],
    );
    machine.tell(Event::Ended(1));
    assert_eq!(machine.machine.current(), Some(3), "without any pause");
}

#[test]
fn a_new_run_of_the_peer_takes_over_at_once() {
    let restarted = Offer { boot: 2, ..offer(2) };
    assert_eq!(
        decider().up(offer(1)).tell(Event::Ready(restarted)),
        [
            Action::SayUse(2),
            Action::Close(1, Reason::Restarted),
            Action::Activate(2),
            Action::Heartbeat(2),
        ],
    );
    let mut machine = follower().up(offer(1));
    machine.tell(Event::Ready(restarted));
    assert_eq!(
        machine.tell(Event::Use(2)),
        [Action::Close(1, Reason::Restarted), Action::Activate(2), Action::Heartbeat(2)],
    );
}

#[test]
fn a_better_session_is_used_once_the_worse_one_is_finished() {
    let mut machine = decider().up(worse(1));
    assert_eq!(
        machine.tell(Event::Ready(offer(2))),
        [Action::SayUse(2), Action::Finish { id: 1, drain: false }, Action::Heartbeat(2)],
    );
    assert_eq!(machine.state(), State::Up);
    assert_eq!(machine.tell(Event::Finish(1)), []);
    assert_eq!(
        machine.tell(Event::Finished(1)),
        [Action::Activate(2), Action::Close(1, Reason::Moved)],
    );

    let mut machine = follower().up(worse(1));
    machine.tell(Event::Ready(offer(2)));
    machine.tell(Event::Use(2));
    machine.tell(Event::Finish(1));
    assert_eq!(machine.tell(Event::Finished(1)), [Action::Activate(2)], "the decider closes it");
    assert_eq!(machine.pass(LINGER), [Action::Close(1, Reason::Moved)], "or else this side");
}

#[test]
fn a_worse_session_that_ends_or_stalls_holds_nothing_up() {
    let moving = || {
        let mut machine = decider().up(worse(1));
        machine.tell(Event::Ready(offer(2)));
        machine
    };
    assert_eq!(moving().tell(Event::Ended(1)), [Action::Activate(2)]);
    let mut machine = moving();
    assert_eq!(machine.pass(LINGER - Duration::from_millis(1)), []);
    let actions = machine.pass(Duration::from_millis(1));
    assert_eq!(actions, [Action::Close(1, Reason::Moved), Action::Activate(2)]);
}

#[test]
fn moving_twice_waits_for_both() {
    let mut machine = decider().up(worse(1));
    machine.tell(Event::Ready(Offer { priority: Priority::Meh, ..offer(2) }));
    machine.tell(Event::Ready(offer(3)));
    assert_eq!(machine.tell(Event::Finished(2)), [], "the first one is not finished");
    assert_eq!(machine.tell(Event::Finished(1)), [Action::Activate(3)]);
}

#[test]
fn a_session_that_replaces_its_like_need_not_wait() {
    let mut machine = follower().up(offer(1));
    machine.tell(Event::Ready(offer(2)));
    assert_eq!(
        machine.tell(Event::Use(2)),
        [Action::Finish { id: 1, drain: false }, Action::Activate(2), Action::Heartbeat(2)],
        "the decider would not have chosen it, did the first one work",
    );
}

#[test]
fn whoever_is_on_a_worse_transport_looks_for_a_better_one() {
    let mut machine = decider().up(worse(1));
    for _ in 0..5 {
        let mut actions = Vec::new();
        for _ in 0..RETRY.as_secs() {
            machine.hear();
            actions.extend(machine.pass(Duration::from_secs(1)));
        }
        assert!(actions.contains(&Action::Dial(Some(Priority::Bad))), "{actions:?}");
        machine.tell(Event::DialFailed);
        assert_eq!(machine.state(), State::Up);
    }
    let mut machine = decider().up(offer(1));
    for _ in 0..RETRY.as_secs() {
        machine.hear();
        assert!(!machine.pass(Duration::from_secs(1)).contains(&Action::Dial(None)));
    }
}

#[test]
fn pauses_between_attempts_are_bounded_and_never_end() {
    let mut machine = decider();
    for _ in 0..1000 {
        let pause = machine.machine.deadline().expect("it goes on") - machine.now;
        assert!(pause <= RETRY + RETRY / 4);
        assert_eq!(machine.pass(pause), [Action::Dial(None)]);
        assert_eq!(machine.tell(Event::DialFailed), []);
        assert_eq!(machine.state(), State::Waiting);
    }
    let mut machine = machine.up(offer(1));
    machine.tell(Event::Ended(1));
    let pause = machine.machine.deadline().unwrap() - machine.now;
    assert!(pause >= Duration::from_millis(750), "it was up for no time at all");
    let mut machine = machine.up(offer(2));
    machine.now += Duration::from_secs(5);
    machine.tell(Event::Ended(2));
    let pause = machine.machine.deadline().unwrap() - machine.now;
    assert!(pause < Duration::from_millis(750), "it begins anew");
}

#[test]
fn on_demand_or_not_a_link_that_does_not_stay_up_is_made_ever_more_rarely() {
    let pauses = |outward| {
        let mut machine = started(true, outward);
        machine.tell(Event::Wanted);
        machine.pass(Duration::ZERO);
        let mut pauses = Vec::new();
        for id in 1..20 {
            machine.tell(Event::Ready(Offer { dialled: true, ..offer(id) }));
            machine.now += Duration::from_millis(1);
            machine.tell(Event::Ended(id));
            // More than one Message waits.
            assert_eq!(machine.tell(Event::Wanted), []);
            assert_eq!(machine.tell(Event::Wanted), []);
            let pause = machine.machine.deadline().unwrap() - machine.now;
            assert_eq!(machine.pass(pause), [Action::Dial(None)]);
            pauses.push(pause);
        }
        pauses
    };
    let on_demand = pauses(ConnectPolicy::OnDemand);
    assert_eq!(on_demand.last(), Some(&Duration::from_secs(1)));
    assert_eq!(on_demand, pauses(ConnectPolicy::Constant));
}

#[test]
fn the_pause_of_a_link_that_nobody_wants_passes_meanwhile() {
    let mut machine = started(true, ConnectPolicy::OnDemand);
    for id in 1..20 {
        machine = machine.up(offer(id));
        machine.tell(Event::Ended(id));
        assert_eq!((machine.state(), machine.machine.deadline()), (State::Idle, None));
    }
    machine.now += Duration::from_secs(3600);
    assert_eq!(machine.tell(Event::Wanted), [Action::Dial(None)]);
}

/// Another machine has its name and key: each session looks good until the Peer closes it.
#[test]
fn whoever_is_turned_away_comes_back_ever_more_rarely() {
    let mut machine = decider();
    let begun = machine.now;
    let mut pauses = Vec::new();
    for id in 1..400 {
        machine.tell(Event::Ready(Offer { dialled: true, ..offer(id) }));
        assert_eq!(machine.machine.state(), State::Up);
        machine.tell(Event::TurnedAway(id));
        let pause = machine.machine.deadline().unwrap() - machine.now;
        machine.pass(pause);
        pauses.push(pause);
    }
    assert!(pauses.is_sorted(), "{pauses:?}");
    assert_eq!(pauses.last(), Some(&RETRY));
    // One that was welcome for a while and is then cut off is another matter.
    machine.tell(Event::Ready(Offer { dialled: true, ..offer(1000) }));
    machine.now += STEADY;
    machine.tell(Event::TurnedAway(1000));
    assert!(machine.now - begun > RETRY);
    assert!(machine.machine.deadline().unwrap() - machine.now < Duration::from_secs(1));
}

#[test]
fn a_link_stands_as_it_stood_while_it_is_tried() {
    use LinkState::{Disabled, Down, Idle, Up};
    let pass = |before: LinkState, states: &[State]| {
        states.iter().fold(before, |before, state| state.link_state(before))
    };
    assert_eq!(pass(Disabled, &[State::Waiting]), Down, "from the start");
    assert_eq!(pass(Up, &[State::Connecting]), Down, "another way was being tried already");
    assert_eq!(pass(Down, &[State::Connecting, State::Waiting, State::Connecting]), Down);
    assert_eq!(pass(Idle, &[State::Connecting]), Idle, "a message has called for it");
    assert_eq!(pass(Idle, &[State::Connecting, State::Waiting]), Down);
    assert_eq!(pass(Disabled, &[State::Connecting]), Disabled, "the other side has connected");
    for before in [Disabled, Idle, Down, Up] {
        assert_eq!(pass(before, &[State::Connecting, State::Up]), Up);
    }
}

#[test]
fn a_link_that_is_replaced_leaves_what_is_queued_and_one_that_is_revoked_ends_at_once() {
    let mut machine = follower().up(offer(1));
    machine.tell(Event::Ready(offer(2)));
    assert_eq!(
        machine.tell(Event::Stop(End::Replace)),
        [Action::Finish { id: 1, drain: false }, Action::Close(2, Reason::Replaced)],
    );
    assert_eq!(machine.tell(Event::Finished(1)), [Action::Close(1, Reason::Replaced)]);
    assert_eq!((machine.state(), machine.machine.deadline()), (State::Disabled, None));

    for end in [None, Some(End::Replace), Some(End::Stop)] {
        let mut machine = decider().up(offer(1));
        end.into_iter().for_each(|end| drop(machine.tell(Event::Stop(end))));
        assert_eq!(
            machine.tell(Event::Stop(End::Revoke)),
            [Action::Close(1, Reason::Revoked)],
            "after {end:?}"
        );
        assert_eq!(machine.tell(Event::Ready(offer(2))), [Action::Close(2, Reason::Revoked)]);
        assert_eq!((machine.state(), machine.machine.deadline()), (State::Disabled, None));
    }
}

#[test]
fn stopping_drains_finishes_and_closes() {
    let mut machine = follower().up(offer(1));
    machine.tell(Event::Ready(offer(2)));
    assert_eq!(
        machine.tell(Event::Stop(End::Stop)),
        [Action::Finish { id: 1, drain: true }, Action::Close(2, Reason::Stopping)],
    );
    assert_eq!(machine.tell(Event::Ready(offer(3))), [Action::Close(3, Reason::Stopping)]);
    assert_eq!(machine.tell(Event::Finished(1)), [Action::Close(1, Reason::Stopping)]);
    assert_eq!(machine.tell(Event::Ended(1)), []);
    assert_eq!(machine.machine.deadline(), None);
}

#[test]
fn stopping_gives_up_what_is_under_way() {
    let mut machine = decider();
    machine.pass(Duration::ZERO);
    assert_eq!(machine.tell(Event::Stop(End::Stop)), [Action::StopDialling]);
    assert_eq!(machine.machine.deadline(), None);

    let mut machine = decider().up(worse(1));
    machine.tell(Event::Ready(offer(2)));
    assert_eq!(
        machine.tell(Event::Stop(End::Stop)),
        [
            Action::Activate(2),
            Action::Close(1, Reason::Stopping),
            Action::Finish { id: 2, drain: true },
        ],
        "what waited for the old one's end still goes out",
    );
}

#[test]
fn a_link_that_is_not_wanted_drains_closes_and_stays_closed() {
    for mut machine in [decider().up(offer(1)), follower().up(offer(1))] {
        assert_eq!(machine.tell(Event::Disconnect), [Action::Finish { id: 1, drain: true }]);
        assert_eq!(machine.tell(Event::Disconnect), [], "once is enough");
        assert_eq!(machine.tell(Event::Ready(offer(2))), [Action::Close(2, Reason::Asked)]);
        assert_eq!(machine.tell(Event::Finished(1)), [Action::Close(1, Reason::Asked)]);
        assert_eq!(machine.state(), State::Disabled);
        assert_eq!(machine.tell(Event::Ended(1)), []);
        assert_eq!(machine.tell(Event::Ready(offer(3))), [Action::Close(3, Reason::Asked)]);
        assert_eq!(machine.tell(Event::Wanted), []);
        assert_eq!((machine.state(), machine.machine.deadline()), (State::Disabled, None));
        assert_eq!(machine.tell(Event::Connect), [Action::Dial(None)]);
        assert_eq!(machine.tell(Event::Connect), [], "once is enough");
        machine.tell(Event::DialFailed);
        assert_eq!(machine.state(), State::Waiting);
    }
}

#[test]
fn a_peer_that_does_not_let_go_is_not_waited_for() {
    let mut machine = decider().up(offer(1));
    machine.tell(Event::Disconnect);
    assert_eq!(machine.pass(LINGER / 2), []);
    assert_eq!(machine.pass(LINGER / 2), [Action::Close(1, Reason::Asked)]);
    assert_eq!((machine.state(), machine.machine.deadline()), (State::Disabled, None));

    let mut machine = decider().up(offer(1));
    machine.tell(Event::Disconnect);
    assert_eq!(
        machine.tell(Event::Connect),
        [Action::Close(1, Reason::Asked), Action::Dial(None)],
        "nothing can be sent any more on the one that is being closed",
    );
}

#[test]
fn what_is_under_way_is_given_up_for_a_link_that_is_not_wanted() {
    let mut machine = decider();
    machine.pass(Duration::ZERO);
    assert_eq!(machine.tell(Event::Disconnect), [Action::StopDialling]);
    assert_eq!((machine.state(), machine.machine.deadline()), (State::Disabled, None));
    let mut machine = follower();
    machine.tell(Event::Ready(offer(1)));
    assert_eq!(machine.tell(Event::Disconnect), [Action::Close(1, Reason::Asked)]);
    let mut machine = started(true, ConnectPolicy::OnDemand);
    machine.tell(Event::Disconnect);
    assert_eq!(machine.state(), State::Disabled);
}

#[test]
fn connecting_tries_at_once_where_this_side_may() {
    let mut machine = decider();
    machine.pass(Duration::ZERO);
    machine.tell(Event::DialFailed);
    assert_eq!(machine.state(), State::Waiting);
    assert_eq!(machine.tell(Event::Connect), [Action::Dial(None)]);
    assert_eq!(decider().up(offer(1)).tell(Event::Connect), [], "it is up");
    let mut machine = started(true, ConnectPolicy::OnDemand);
    assert_eq!(machine.tell(Event::Connect), [Action::Dial(None)], "without a message too");
    machine.tell(Event::DialFailed);
    assert_eq!(machine.state(), State::Idle, "but only once");
    let mut machine = started(true, ConnectPolicy::Never);
    assert_eq!(machine.tell(Event::Connect), []);
    assert_eq!(machine.state(), State::Disabled);
    machine.tell(Event::Stop(End::Stop));
    assert_eq!(machine.tell(Event::Connect), []);
}

#[test]
fn a_node_that_stops_waits_for_no_link_that_is_being_closed() {
    let mut machine = decider().up(offer(1));
    machine.tell(Event::Disconnect);
    assert_eq!(machine.tell(Event::Stop(End::Stop)), [Action::Close(1, Reason::Asked)]);
    assert_eq!(machine.machine.deadline(), None);
}

#[test]
fn events_of_unknown_sessions_mean_nothing() {
    let mut machine = decider().up(offer(1));
    for event in [
        Event::Use(9),
        Event::Finish(9),
        Event::Finished(9),
        Event::Finished(1),
        Event::Echo(9),
        Event::Ended(9),
        Event::TurnedAway(9),
    ] {
        assert_eq!(machine.tell(event), [], "{event:?}");
    }
    assert_eq!(machine.machine.current(), Some(1));
}

#[test]
fn there_is_no_hurry_to_be_refused_again() {
    for (event, hurry) in [(Event::DialFailed, true), (Event::DialRefused, false)] {
        let mut machine = decider();
        let mut pause = Duration::ZERO;
        for _ in 0..12 {
            let due = machine.machine.deadline().unwrap() - machine.now;
            assert_eq!(machine.pass(due), [Action::Dial(None)]);
            machine.tell(event);
            pause = machine.machine.deadline().unwrap() - machine.now;
        }
        assert_eq!(pause < Duration::from_millis(50), hurry, "{event:?}: {pause:?}");
    }
}

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use russh::keys::{Algorithm, PrivateKey};

use super::*;
use crate::config::{NodeConfig, RootOptions};
use crate::interest::Interest;
use crate::link::Peer;
use crate::message::{Head, Kind};
use crate::queue::Limits;
use crate::role::Inbox;
use crate::wire::{Decoder, Frame, encode_messages};

/// Bytes of data that only the larger of two queues takes.
const LARGE: usize = 2000;

const SMALL_QUEUE: Limits = Limits { length: 2000, size: 1000 };

pub(in crate::node::router) fn node(name: &str, policy: ConnectPolicy) -> NodeConfig {
    let key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
    NodeConfig {
        name: name.to_owned(),
        private_key: "/nowhere".into(),
        public_key: key.public_key().clone(),
        role_storage: None,
        self_to_others: policy,
        others_to_self: ConnectPolicy::Constant,
        options: RootOptions::default(),
        roles: Vec::new(),
        transports: Vec::new(),
    }
}

fn origin(node: &str, boot: u64) -> Arc<Origin> {
    Arc::new(Origin { node: node.to_owned(), boot })
}

/// An ingress of the Node `scribe`, and a session with its Peer `clock`, in run 7.
struct Scene {
    ingress: Ingress,
    directory: Directory,
    taps: Taps,
    peer: Peer,
    origin: Arc<Origin>,
    stand: Stand,
    turn: Turn,
}

impl Scene {
    fn new(policy: ConnectPolicy) -> Scene {
        let own = node("scribe", ConnectPolicy::Constant);
        let (peer, _commands) =
            Peer::new(1, &own, Arc::new(node("clock", policy)), Limits::default());
        Scene {
            ingress: Ingress::default(),
            directory: Directory::default(),
            taps: Taps::default(),
            peer,
            origin: origin("clock", 7),
            stand: Stand::Known,
            turn: Turn::default(),
        }
    }

    /// With a Role that wants everything.
    fn with_role(limits: Limits) -> (Scene, Arc<Inbox>) {
        let mut scene = Scene::new(ConnectPolicy::Constant);
        let inbox = scene.add_role(1, limits);
        (scene, inbox)
    }

    fn add_role(&mut self, id: u64, limits: Limits) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::new(limits));
        let name = format!("role{id}");
        let interests = vec![Interest::any()];
        self.ingress.forget_routes();
        self.directory.add_role(
            id,
            Subscriber { name, inbox: Arc::clone(&inbox), interests, is_attached: false },
        );
        inbox
    }

    fn receive(&mut self, messages: &mut Messages) -> Result<Received, WireError> {
        let source = Source { peer: &self.peer, origin: &self.origin, stand: self.stand };
        self.ingress.receive(&source, messages, &mut self.turn, &self.directory, &self.taps)
    }

    /// Hands over a frame, turn by turn. Returns how many turns that took, and how many the link counts.
    fn receive_all(&mut self, messages: &mut Messages) -> (usize, u64) {
        let (mut turns, mut taken) = (0, 0);
        loop {
            let received = self.receive(messages).unwrap();
            (turns, taken) = (turns + 1, taken + received.taken);
            if received.flow == Flow::Continue {
                return (turns, taken);
            }
        }
    }

    fn receive_too_large(&mut self) -> u64 {
        let source = Source { peer: &self.peer, origin: &self.origin, stand: self.stand };
        self.ingress.receive_too_large(&source)
    }

    fn refused(&self) -> Vec<(Refused, u64)> {
        self.ingress.refused().iter().map(|(reason, count)| (*reason, *count)).collect()
    }
}

/// A frame of Messages with these sequence numbers and so many bytes of data each, and bytes behind them.
fn frame(
    origin: &Arc<Origin>,
    hops: u8,
    sequences: &[u64],
    size: usize,
    behind: &[u8],
) -> Messages {
    let head = Head::new(Arc::clone(origin), hops, Kind::Event, "timer", "tick", None).unwrap();
    let (head, data) = (Arc::new(head), Bytes::from(vec![0xc0; size]));
    let message =
        |sequence: &u64| Message::new(Arc::clone(&head), *sequence, 1, data.clone()).unwrap();
    let messages: Vec<_> = sequences.iter().map(message).collect();
    let mut bytes = BytesMut::new();
    encode_messages(&messages, &mut bytes);
    bytes.extend_from_slice(behind);
    let payload = u32::try_from(bytes.len() - crate::wire::HEADER).unwrap();
    bytes[1..crate::wire::HEADER].copy_from_slice(&payload.to_le_bytes());
    let mut decoder = Decoder::default();
    decoder.feed(&bytes);
    let Frame::Messages(messages) = decoder.next_frame().unwrap().unwrap() else {
        panic!("not a frame of messages")
    };
    messages
}

/// What the Peer `clock` sends in run 7.
fn genuine(sequences: &[u64]) -> Messages {
    frame(&origin("clock", 7), 0, sequences, 1, &[])
}

/// The same with a head of no kind behind them.
fn malformed(sequences: &[u64]) -> Messages {
    frame(&origin("clock", 7), 0, sequences, 1, &[0, 9])
}

fn numbers(inbox: &Inbox) -> Vec<u64> {
    std::iter::from_fn(|| inbox.try_receive()).map(|message| message.sequence()).collect()
}

/// A turn that is over when its clock is looked at next, which is in 256 steps.
fn turn_at_its_end() -> Turn {
    let (mut turn, began) = (Turn::default(), Instant::now());
    turn.step(usize::MAX);
    assert!(!turn.is_over(), "it begins here");
    while began.elapsed() < Duration::from_millis(2) {
        std::hint::spin_loop();
    }
    turn
}

#[test]
fn what_passes_all_checks_reaches_roles_and_taps_in_order() {
    let (mut scene, inbox) = Scene::with_role(Limits::default());
    let other = scene.add_role(2, Limits::default());
    let tap = scene.taps.open(vec![Interest::any()], false);
    let received = scene.receive(&mut genuine(&[1, 2, 5])).unwrap();
    assert_eq!((received.flow, received.taken, received.refusal), (Flow::Continue, 3, None));
    for inbox in [&inbox, &other, &tap] {
        assert_eq!(numbers(inbox), [1, 2, 5]);
    }
    assert_eq!(scene.refused(), []);
}

#[test]
fn what_comes_on_a_session_that_the_link_does_not_know_is_unlinked_and_does_not_count_as_received()
{
    for stand in [Stand::Undecided, Stand::GivenUp] {
        let (mut scene, inbox) = Scene::with_role(Limits::default());
        scene.stand = stand;
        let received = scene.receive(&mut genuine(&[1, 2])).unwrap();
        assert_eq!((received.flow, received.taken), (Flow::Continue, 0));
        assert_eq!(scene.receive_too_large(), 0);
        assert_eq!(scene.refused(), [(Refused::Unlinked, 3)]);
        assert_eq!(numbers(&inbox), [0; 0]);
    }
}

#[test]
fn another_node_another_run_and_what_was_passed_on_are_forged() {
    for (origin, hops) in
        [(origin("porter", 7), 0), (origin("clock", 8), 0), (origin("clock", 7), 1)]
    {
        let (mut scene, inbox) = Scene::with_role(Limits::default());
        let received = scene.receive(&mut frame(&origin, hops, &[1, 2], 1, &[])).unwrap();
        assert_eq!((received.taken, received.refusal), (2, Some(Refused::Forged)));
        assert_eq!(scene.refused(), [(Refused::Forged, 2)]);
        // They are no trace of what the Peer itself sends.
        assert_eq!(scene.receive(&mut genuine(&[1])).unwrap().taken, 1);
        assert_eq!(numbers(&inbox), [1]);
    }
}

#[test]
fn the_policy_never_refuses_all() {
    for (policy, expected) in [
        (ConnectPolicy::Constant, vec![]),
        (ConnectPolicy::OnDemand, vec![]),
        (ConnectPolicy::Never, vec![(Refused::Policy, 2)]),
    ] {
        let mut scene = Scene::new(policy);
        let inbox = scene.add_role(1, Limits::default());
        let received = scene.receive(&mut genuine(&[1, 2])).unwrap();
        assert_eq!(received.taken, 2);
        assert_eq!(scene.refused(), expected);
        assert_eq!(numbers(&inbox).is_empty(), policy == ConnectPolicy::Never);
    }
}

#[test]
fn what_is_not_newer_than_the_last_of_its_run_is_a_duplicate() {
    let (mut scene, inbox) = Scene::with_role(Limits::default());
    assert_eq!(scene.receive(&mut genuine(&[2, 2, 1, 0, 3])).unwrap().taken, 5);
    assert_eq!(scene.receive(&mut genuine(&[3, 4])).unwrap().taken, 2);
    assert_eq!(numbers(&inbox), [2, 3, 4]);
    assert_eq!(scene.refused(), [(Refused::Duplicate, 4)]);
    // Another run counts anew, and another Peer by this number is not this one.
    scene.origin = origin("clock", 8);
    scene.receive(&mut frame(&origin("clock", 8), 0, &[1], 1, &[])).unwrap();
    scene.origin = origin("clock", 7);
    scene.ingress.forget(scene.peer.id);
    scene.receive(&mut genuine(&[1])).unwrap();
    assert_eq!(numbers(&inbox), [1, 1]);
}

#[test]
fn what_one_queue_cannot_hold_is_too_large_and_others_have_it() {
    let (mut scene, small) = Scene::with_role(SMALL_QUEUE);
    let large = scene.add_role(2, Limits::default());
    let mut came = frame(&origin("clock", 7), 0, &[1, 2], LARGE, &[]);
    let (_, taken) = scene.receive_all(&mut came);
    assert_eq!((taken, numbers(&small), numbers(&large)), (2, vec![], vec![1, 2]));
    assert_eq!(scene.refused(), [(Refused::TooLarge, 2)]);
    assert_eq!(scene.receive_too_large(), 1);
    assert_eq!(scene.refused(), [(Refused::TooLarge, 3)]);
    // It has come all the same.
    scene.receive(&mut genuine(&[2])).unwrap();
    assert_eq!(scene.refused(), [(Refused::Duplicate, 1), (Refused::TooLarge, 3)]);
}

/// A Message against which everything stands; then one thing less each time.
#[test]
fn the_first_check_that_fails_is_the_reason() {
    let mut forbidden = Scene::new(ConnectPolicy::Never);
    let (mut allowed, _inbox) = Scene::with_role(SMALL_QUEUE);
    allowed.receive(&mut genuine(&[5])).unwrap();
    let large = |node: &str, sequence| frame(&origin(node, 7), 0, &[sequence], LARGE, &[]);

    forbidden.stand = Stand::GivenUp;
    forbidden.receive(&mut large("porter", 5)).unwrap();
    assert_eq!(forbidden.refused(), [(Refused::Unlinked, 1)]);
    forbidden.stand = Stand::Known;
    forbidden.receive(&mut large("porter", 5)).unwrap();
    assert_eq!(forbidden.refused(), [(Refused::Forged, 1), (Refused::Unlinked, 1)]);
    forbidden.receive(&mut large("clock", 5)).unwrap();
    assert_eq!(forbidden.refused().get(1), Some(&(Refused::Policy, 1)));

    allowed.receive(&mut large("clock", 5)).unwrap();
    assert_eq!(allowed.refused(), [(Refused::Duplicate, 1)]);
    allowed.receive_all(&mut large("clock", 6));
    assert_eq!(allowed.refused(), [(Refused::Duplicate, 1), (Refused::TooLarge, 1)]);
}

#[test]
fn a_turn_ends_in_the_middle_and_the_next_goes_on_there() {
    let sequences: Vec<u64> = (1..=1000).collect();
    let (mut scene, inbox) = Scene::with_role(Limits { length: 2000, ..Limits::default() });
    scene.turn = turn_at_its_end();
    let (turns, taken) = scene.receive_all(&mut genuine(&sequences));
    assert!(turns > 1);
    assert_eq!((taken, numbers(&inbox)), (1000, sequences.clone()));

    // Duplicates, and those that are refused together, take time too.
    scene.turn = turn_at_its_end();
    let (turns, taken) = scene.receive_all(&mut genuine(&sequences));
    assert!(turns > 1);
    assert_eq!((taken, scene.refused()), (1000, vec![(Refused::Duplicate, 1000)]));
    let mut scene = Scene::new(ConnectPolicy::Never);
    scene.turn = turn_at_its_end();
    let (turns, taken) = scene.receive_all(&mut genuine(&sequences));
    assert!(turns > 1);
    assert_eq!((taken, scene.refused()), (1000, vec![(Refused::Policy, 1000)]));
}

#[test]
fn a_role_whose_queue_is_full_has_one_turn_before_the_oldest_is_dropped() {
    let (mut scene, inbox) = Scene::with_role(Limits { length: 3, ..Limits::default() });
    let mut came = genuine(&[1, 2, 3, 4, 5]);
    let first = scene.receive(&mut came).unwrap();
    assert_eq!((first.flow, first.taken), (Flow::Yield, 3));
    let second = scene.receive(&mut came).unwrap();
    assert_eq!((second.flow, second.taken), (Flow::Continue, 2));
    assert_eq!(numbers(&inbox), [3, 4, 5]);
    assert_eq!(scene.refused(), []);
}

#[test]
fn what_comes_before_something_malformed_is_taken_and_counted() {
    for (policy, refused) in
        [(ConnectPolicy::Constant, vec![]), (ConnectPolicy::Never, vec![(Refused::Policy, 2)])]
    {
        let mut scene = Scene::new(policy);
        let mut came = malformed(&[1, 2]);
        let received = scene.receive(&mut came).unwrap();
        assert_eq!((received.flow, received.taken), (Flow::Yield, 2));
        scene.receive(&mut came).unwrap_err();
        assert_eq!(scene.refused(), refused);
    }
}

#[test]
fn people_are_told_of_forgery_and_forbidden_messages_alone() {
    let scene = Scene::new(ConnectPolicy::Constant);
    let source = Source { peer: &scene.peer, origin: &scene.origin, stand: scene.stand };
    let asked = |reason: Refused| {
        let mut asked = None;
        reason.log(&source, &scene.origin, |peer, class| {
            asked = Some((peer.to_owned(), class));
            None
        });
        asked
    };
    assert_eq!(asked(Refused::Forged), Some(("clock".to_owned(), class::FORGED)));
    assert_eq!(asked(Refused::Policy), Some(("clock".to_owned(), class::POLICY)));
    for reason in [Refused::Duplicate, Refused::TooLarge, Refused::Unlinked] {
        assert_eq!(asked(reason), None, "{reason:?}");
    }
}

/// A frame without Messages has none that could be refused.
#[test]
fn nothing_is_said_of_an_empty_frame() {
    let mut scene = Scene::new(ConnectPolicy::Never);
    let mut came = genuine(&[1]);
    scene.receive(&mut came).unwrap();
    let received = scene.receive(&mut came).unwrap();
    assert_eq!((received.taken, received.refusal), (0, None));
}

#[test]
fn a_role_that_is_added_later_is_found() {
    let (mut scene, inbox) = Scene::with_role(Limits::default());
    scene.receive(&mut genuine(&[1])).unwrap();
    let later = scene.add_role(2, Limits::default());
    scene.receive(&mut genuine(&[2])).unwrap();
    assert_eq!((numbers(&inbox), numbers(&later)), (vec![1, 2], vec![2]));
}

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Up with this run, which knows nothing of this Node yet.
fn up(boot: u64) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.reconcile(boot, None);
    ledger
}

#[test]
fn what_a_run_did_not_get_is_lost_once() {
    let mut ledger = up(1);
    ledger.count_sent(10);
    ledger.reconcile(1, Some(7));
    assert_eq!(ledger.lost(), 3);
    ledger.reconcile(1, Some(7));
    assert_eq!(ledger.lost(), 3, "they are not lost again");
    ledger.count_sent(5);
    ledger.acknowledge(1, 9);
    ledger.reconcile(1, Some(11));
    assert_eq!((ledger.sent(), ledger.lost()), (15, 4));
}

#[test]
fn of_a_run_that_is_over_all_that_it_did_not_say_it_has_is_lost() {
    let mut ledger = up(1);
    ledger.count_sent(10);
    ledger.acknowledge(1, 6);
    ledger.reconcile(2, None);
    assert_eq!(ledger.lost(), 4);
    ledger.count_sent(3);
    ledger.reconcile(2, Some(3));
    assert_eq!(ledger.lost(), 4, "the new run has all of its own");
}

#[test]
fn a_run_that_no_longer_knows_this_node_begins_anew() {
    let mut ledger = up(1);
    ledger.count_sent(10);
    ledger.acknowledge(1, 6);
    ledger.reconcile(1, None);
    assert_eq!(ledger.lost(), 4);
    ledger.count_sent(3);
    ledger.reconcile(1, Some(2));
    assert_eq!(ledger.lost(), 5);
}

#[test]
fn a_run_has_nothing_of_what_was_sent_to_another_whatever_it_says() {
    let mut ledger = up(1);
    ledger.count_sent(10);
    ledger.reconcile(2, Some(10));
    assert_eq!(ledger.lost(), 10);
}

#[test]
fn what_a_run_had_before_its_account_began_is_none_of_what_it_is_sent() {
    let mut ledger = Ledger::default();
    ledger.reconcile(1, Some(100));
    ledger.count_sent(5);
    ledger.acknowledge(1, 102);
    ledger.reconcile(2, None);
    assert_eq!(ledger.lost(), 3);
    ledger.count_sent(5);
    // It was gone for a while only.
    ledger.reconcile(1, Some(102));
    ledger.count_sent(5);
    ledger.reconcile(1, Some(103));
    assert_eq!(ledger.lost(), 3 + 5 + 4);
}

#[test]
fn the_last_word_of_a_run_counts_until_another_one_takes_its_place() {
    let mut ledger = up(1);
    ledger.count_sent(10);
    // Its successor has said hello already, but the link is not up with it yet.
    ledger.set_boot(2);
    ledger.acknowledge(2, 0);
    ledger.acknowledge(1, 8);
    ledger.reconcile(2, None);
    assert_eq!(ledger.lost(), 2);
}

#[test]
fn a_message_that_was_taken_for_lost_and_arrives_is_made_up_for() {
    let mut ledger = up(1);
    ledger.count_sent(10);
    ledger.reconcile(1, Some(7));
    ledger.acknowledge(1, 9);
    ledger.count_sent(10);
    ledger.reconcile(1, Some(15));
    assert_eq!(ledger.lost(), 5, "of twenty, fifteen arrived");
}

#[test]
fn a_run_that_another_one_replaced_is_a_twin_until_the_link_is_up_with_it() {
    let mut ledger = up(1);
    assert!(!ledger.is_other_run(1) && ledger.is_other_run(2));
    ledger.replace_run();
    ledger.reconcile(2, None);
    assert!(ledger.is_twin(1) && !ledger.is_twin(2));
    ledger.reconcile(1, None);
    assert!(!ledger.is_twin(1), "it is the one in use");
    assert!(!ledger.is_twin(2), "nothing replaced it while the link was up");
}

#[test]
fn no_run_differs_from_the_first() {
    let ledger = Ledger::default();
    assert!(!ledger.is_other_run(1) && !ledger.is_twin(1));
}

#[test]
fn only_so_many_replaced_runs_are_remembered() {
    let mut ledger = up(0);
    let last = REPLACED as u64 + 1;
    for boot in 1..=last {
        ledger.replace_run();
        ledger.reconcile(boot, None);
    }
    assert!(!ledger.is_twin(0));
    assert!((1..last).all(|boot| ledger.is_twin(boot)));
}

#[test]
fn what_came_from_a_run_before_the_link_led_to_it_counts() {
    let mut ledger = Ledger::default();
    ledger.set_boot(1);
    ledger.count_received(1, 5);
    ledger.count_received(2, 3);
    assert_eq!(ledger.received_from_current(), (1, 5));
    ledger.set_boot(2);
    assert_eq!(ledger.received_from_current(), (2, 3));
    ledger.count_received(1, 1);
    ledger.set_boot(1);
    assert_eq!((ledger.received_from_current(), ledger.received()), ((1, 6), 9));
    ledger.set_boot(3);
    assert_eq!((ledger.received_from_current(), ledger.received()), ((3, 0), 9));
}

/// What happens between this Node and a Peer that says what is so.
#[derive(Clone, Debug)]
enum Step {
    Send(u64),
    /// So many of those on the line get there.
    Arrive(u64),
    /// The Peer says what it has.
    Say,
    /// A run that is over still says something.
    LateWord(u64),
    /// The session dies with what is on the line, and another one with the same run takes its place.
    Reconnect,
    /// The same, and the Peer was started again.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u64..50).prop_map(Step::Send),
        4 => (1_u64..50).prop_map(Step::Arrive),
        3 => Just(Step::Say),
        1 => any::<u64>().prop_map(Step::LateWord),
        2 => Just(Step::Reconnect),
        1 => Just(Step::Restart),
    ]
}

/// A word of a Peer that need not tell the truth.
#[derive(Clone, Debug)]
enum Word {
    Sent(u64),
    Acknowledge(u64, u64),
    Reconcile(u64, Option<u64>),
}

fn word() -> impl Strategy<Value = Word> {
    let number = || prop_oneof![0_u64..100, 0..u64::MAX / 2];
    prop_oneof![
        (0_u64..50).prop_map(Word::Sent),
        (0_u64..3, number()).prop_map(|(boot, n)| Word::Acknowledge(boot, n)),
        (0_u64..3, proptest::option::of(number())).prop_map(|(b, n)| Word::Reconcile(b, n)),
    ]
}

impl Word {
    fn tell(self, ledger: &mut Ledger) {
        match self {
            Word::Sent(messages) => ledger.count_sent(messages),
            Word::Acknowledge(boot, received) => ledger.acknowledge(boot, received),
            Word::Reconcile(boot, received) => ledger.reconcile(boot, received),
        }
    }
}

/// All that the ledger knows of Messages to the Peer.
fn figures(ledger: &Ledger) -> (u64, u64, Option<u64>, u64, u64, u64) {
    let Account { boot, sent, acknowledged, lost, .. } = ledger.account;
    (ledger.sent, ledger.lost, boot, sent, acknowledged, lost)
}

proptest! {
    /// Against the truth: what did not arrive is lost, once; only what a run had and never said is an upper
    /// bound.
    #[test]
    fn all_that_was_sent_was_acknowledged_or_lost_or_is_under_way(steps in vec(step(), 0..200)) {
        let (mut run, mut ledger) = (1, up(1));
        let (mut sent, mut on_the_line, mut lost, mut unsaid_of_old_runs) = (0, 0, 0, 0);
        // Of the present run, and of all runs.
        let (mut arrived, mut said, mut said_in_all) = (0, 0, 0);
        for step in steps {
            match step {
                Step::Send(messages) => {
                    ledger.count_sent(messages);
                    (sent, on_the_line) = (sent + messages, on_the_line + messages);
                }
                Step::Arrive(messages) => {
                    let messages = messages.min(on_the_line);
                    (on_the_line, arrived) = (on_the_line - messages, arrived + messages);
                }
                Step::Say => {
                    ledger.acknowledge(run, arrived);
                    (said_in_all, said) = (said_in_all + arrived - said, arrived);
                }
                Step::LateWord(received) => ledger.acknowledge(run - 1, received),
                Step::Reconnect => {
                    ledger.reconcile(run, Some(arrived));
                    (lost, on_the_line) = (lost + on_the_line, 0);
                    (said_in_all, said) = (said_in_all + arrived - said, arrived);
                }
                Step::Restart => {
                    run += 1;
                    ledger.reconcile(run, None);
                    (lost, on_the_line) = (lost + on_the_line, 0);
                    unsaid_of_old_runs += arrived - said;
                    (arrived, said) = (0, 0);
                }
            }
            prop_assert_eq!(ledger.sent(), sent);
            prop_assert_eq!(ledger.lost(), lost + unsaid_of_old_runs);
            prop_assert_eq!(sent, said_in_all + ledger.lost() + ledger.account.under_way());
        }
    }

    #[test]
    fn whatever_a_peer_says_nothing_is_lost_twice(words in vec(word(), 0..100)) {
        let (mut ledger, mut lost) = (Ledger::default(), 0);
        for word in words {
            let reconciles = matches!(word, Word::Reconcile(..));
            word.tell(&mut ledger);
            prop_assert!(ledger.lost() >= lost, "a counter went back");
            prop_assert!(reconciles || ledger.lost() == lost);
            prop_assert!(ledger.lost() + ledger.account.under_way() <= ledger.sent());
            prop_assert!(!reconciles || ledger.account.under_way() == 0);
            lost = ledger.lost();
        }
    }

    #[test]
    fn a_word_that_cannot_be_so_changes_nothing(words in vec(word(), 0..50), more in 0_u64..1000) {
        let (mut ledger, mut honest) = (up(1), up(1));
        for word in words {
            word.clone().tell(&mut ledger);
            word.tell(&mut honest);
        }
        let before = figures(&ledger);
        // Of a run that is not in use.
        ledger.acknowledge(9, more);
        prop_assert_eq!(figures(&ledger), before);
        // Of fewer than it had.
        ledger.acknowledge(ledger.account.boot.unwrap_or(0), 0);
        prop_assert_eq!(figures(&ledger), before);
        // Of more than it was sent: as if it had all.
        let (boot, sent) = (ledger.account.boot.unwrap_or(0), ledger.account.sent);
        let had = ledger.account.had;
        ledger.acknowledge(boot, had + sent + more);
        honest.acknowledge(boot, had + sent);
        prop_assert_eq!(figures(&ledger), figures(&honest));
        prop_assert_eq!(ledger.account.under_way(), 0);
    }

    /// Two runs may both have sessions: however the link goes from one to the other, each has its own count.
    #[test]
    fn what_came_counts_for_the_run_that_it_came_from(
        steps in vec((1_u64..3, 0_u64..50, any::<bool>()), 0..50),
    ) {
        let (mut ledger, mut came) = (Ledger::default(), [0; 3]);
        ledger.set_boot(1);
        for (boot, messages, leads) in steps {
            if leads {
                ledger.set_boot(boot);
            }
            ledger.count_received(boot, messages);
            came[usize::try_from(boot).unwrap()] += messages;
            let (current, received) = ledger.received_from_current();
            prop_assert_eq!(received, came[usize::try_from(current).unwrap()]);
            prop_assert_eq!(ledger.received(), came.iter().sum::<u64>());
        }
    }
}

//! All that can be said, in both directions.

use kozo_core::value::json;

use super::*;
use crate::status::{LinkState, PeerStatus};

#[tokio::test(start_paused = true)]
async fn a_program_is_told_what_it_is_and_gets_messages_once_it_is_ready() {
    for encoding in BOTH {
        let mut program = Program::start(encoding);
        let start = program.hear("start").await;
        let wanted = map(&[
            ("protocol", 1.into()),
            ("features", list(&[])),
            ("node", "clock".into()),
            ("role", "bell".into()),
            ("type", "ringer".into()),
            ("options", map(&[("path", "/bell".into()), ("pause", 1.5.into())])),
            ("config", map(&[("heartbeat", 10.into())])),
            ("keys", map(&[("clock", "ssh-ed25519 AAAAC3Nz".into())])),
            ("stored", Value::Nil),
        ]);
        assert_eq!(start, wanted);
        program.arrive(&1.into());
        assert_eq!(program.ask("status", None).await["result"], map(&[]));
        assert!(!program.host.seen(|seen| seen.running));
        program.notify("ready", map(&[])).await;
        let message = program.hear("message").await;
        assert!(program.host.seen(|seen| seen.running));
        assert_eq!((&message["data"], &message["role"]), (&1.into(), &"timer".into()));
        assert_eq!(message["channel"], Value::Nil);
        program.arrive(&2.into());
        assert_eq!(program.hear("message").await["data"], 2.into());
        assert!(program.close().await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_to_stop_gets_nothing_more_but_may_finish() {
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        program.stop();
        program.arrive(&1.into());
        program.hear("stop").await;
        assert_eq!(program.next().await, None, "its input is closed");
        program.notify("send", map(&[("kind", "event".into()), ("type", "last".into())])).await;
        assert!(program.close().await.is_ok());
        let last = program.host.seen(|seen| seen.sent.last().unwrap().message_type().to_owned());
        assert_eq!(last, "last");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_program_sends_is_sent_and_answered() {
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        let message = [
            ("kind", "event".into()),
            ("type", "wanted".into()),
            ("channel", "door".into()),
            ("data", list(&[1.into(), "é".into()])),
            ("time", 5.into()),
            ("node", "elsewhere".into()),
        ];
        program.notify("send", map(&message)).await;
        let heard = program.hear("message").await;
        assert_eq!(heard["data"], list(&[1.into(), "é".into()]));
        assert_eq!((&heard["node"], &heard["channel"]), (&"clock".into(), &"door".into()));
        // As it was heard, it can be sent.
        program.say(&map(&[("method", "send".into()), ("id", 7.into()), ("params", heard)])).await;
        let answer = program.next().await.unwrap();
        let result = [("sequence", 2), ("roles", 1), ("peers", 0), ("unreachable", 0)];
        assert_eq!(
            (&answer["id"], &answer["result"]),
            (&7.into(), &{ map(&result.map(|(name, number): (_, u64)| (name, number.into()))) })
        );
        assert_eq!(program.hear("message").await["id"], 2.into());
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_are_said_in_both_encodings() {
    let bytes = Value::Binary(vec![0, 255]);
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        program.arrive(&bytes);
        let heard = program.hear("message").await;
        assert_eq!((&heard["data"], &heard["msgpack"]), (&bytes, &Value::Nil));
        let both = [("data", "not this".into()), ("msgpack", "xAIA/w==".into())];
        let head = [("kind", "event".into()), ("type", "t".into())];
        program.ask("send", Some(map(&[&head[..], &both].concat()))).await;
        assert_eq!(program.host.seen(|seen| seen.sent.last().unwrap().value().unwrap()), bytes);
    }
    let mut program = Program::ready(Encoding::Json).await;
    program
        .write(
            b"{\"method\":\"send\",\"params\":{\"kind\":\"log\",\"data\":{\"$base64\":\"AP8\"}}}\n",
        )
        .await;
    program.ask("status", None).await;
    let sent = program.host.seen(|seen| seen.sent.last().unwrap().clone());
    assert_eq!((sent.value().unwrap(), sent.message_type()), (bytes, "log"));
}

#[tokio::test(start_paused = true)]
async fn interest_holds_from_when_it_is_said() {
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        let door = map(&[("kind", "event".into()), ("channel", "door*".into())]);
        let bell = map(&[("type", "bell".into()), ("kind", Value::Nil), ("more", 1.into())]);
        program.ask("interest", Some(map(&[("patterns", list(&[door, bell]))]))).await;
        program.arrive(&1.into());
        program.host.inject("r", &Draft::event("x").channel(Some("door2")));
        program.host.inject("r", &Draft::order("bell"));
        assert_eq!(program.hear("message").await["channel"], "door2".into());
        assert_eq!(program.hear("message").await["type"], "bell".into());
        program.ask("interest", Some(map(&[("patterns", list(&[]))]))).await;
        program.arrive(&1.into());
        program.host.inject("r", &Draft::order("bell"));
        program.ask("status", None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_started_anew_wants_what_is_declared_unless_it_says_otherwise() {
    let mut program = Program::start(Encoding::Json);
    program.hear("start").await;
    let bell = list(&[map(&[("type", "bell".into())])]);
    program.ask("interest", Some(map(&[("patterns", bell)]))).await;
    program.ask("ready", None).await;
    program.arrive(&1.into());
    program.host.inject("r", &Draft::order("bell"));
    assert_eq!(program.hear("message").await["type"], "bell".into());

    let mut program = Program::start(Encoding::Json);
    program.hear("start").await;
    program.host.set_interests_of(&program.inbox, vec![Interest::exactly(Kind::Order, "bell")]);
    program.ask("ready", None).await;
    program.host.inject("r", &Draft::order("bell"));
    program.arrive(&1.into());
    assert_eq!(program.hear("message").await["type"], "wanted".into());
}

#[tokio::test]
async fn what_is_stored_is_there_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    for encoding in BOTH {
        let host = TestHost::with_storage("clock", Some(folder.path()));
        let unsayable = Value::Map(vec![(1.into(), 2.into())]);
        for stored in [map(&[("rung", 3.into())]), Value::Binary(vec![1]), unsayable.clone()] {
            let mut program = Program::start_at(&host, encoding, &LineBudget::default());
            program.hear("start").await;
            let is_json = stored != unsayable;
            let params = match (encoding, is_json) {
                (Encoding::Json, false) => map(&[("msgpack", "gQEC".into())]),
                (Encoding::Json, true) => {
                    map(&[("value", json::with_marked_bytes(stored.clone()))])
                }
                (Encoding::MessagePack, _) => map(&[("value", stored.clone())]),
            };
            assert_eq!(program.ask("store", Some(params)).await["result"], map(&[]));
            program.close().await.unwrap();
            let mut program = Program::start_at(&host, encoding, &LineBudget::default());
            let start = program.hear("start").await;
            match (encoding, is_json) {
                (Encoding::Json, false) => {
                    assert_eq!(start["stored"], Value::Nil);
                    assert_eq!(start["storedMsgpack"], "gQEC".into());
                }
                _ => assert_eq!(start["stored"], stored),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_storage_nothing_is_stored_and_the_program_learns_it() {
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        let answer = program.ask("store", Some(map(&[("value", 1.into())]))).await;
        assert_eq!(answer["error"]["code"], (-32001).into());
        assert!(answer["error"]["message"].as_str().unwrap().contains("roleStorage"));
        program.notify("store", map(&[("value", 1.into())])).await;
        assert_eq!(program.ask("status", None).await["result"], map(&[]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_is_one_short_line() {
    let long = "é".repeat(1000);
    for (said, wanted) in [
        (Value::from("3 rings\n\x1b[2J"), Some("3 rings\\n\\x1b[2J".to_owned())),
        (long.as_str().into(), Some("é".repeat(128) + "…")),
        ("".into(), None),
        (Value::Nil, None),
    ] {
        for encoding in BOTH {
            let mut program = Program::ready(encoding).await;
            program.ask("status", Some(map(&[("text", "before".into())]))).await;
            program.ask("status", Some(map(&[("text", said.clone())]))).await;
            assert_eq!(program.host.seen(|seen| seen.status.clone()), wanted);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_subscribes_to_peers_is_told_of_each_and_then_of_changes() {
    let peer = |name: &str, state| PeerStatus {
        name: name.to_owned(),
        state,
        since: 5,
        ..PeerStatus::default()
    };
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        program.host.set_peers(vec![peer("a", LinkState::Up), peer("b", LinkState::Down)]);
        program.ask("subscribe", Some(map(&[("facts", list(&["peers".into()]))]))).await;
        let said = |name: &str, state: &str| {
            map(&[("name", name.into()), ("state", state.into()), ("since", 5.into())])
        };
        assert_eq!(program.hear("peer").await, said("a", "up"));
        assert_eq!(program.hear("peer").await, said("b", "down"));
        program.host.set_peers(vec![peer("a", LinkState::Up), peer("b", LinkState::Up)]);
        assert_eq!(program.hear("peer").await, said("b", "up"));
        program.host.set_peers(vec![peer("b", LinkState::Up)]);
        let gone = map(&[("name", "a".into()), ("state", "removed".into())]);
        assert_eq!(program.hear("peer").await, gone);
    }
}

#[tokio::test(start_paused = true)]
async fn files_are_to_be_opened_anew_when_the_node_is_told_so() {
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        program.reopen.send_modify(|times| *times += 1);
        assert_eq!(program.hear("reopen").await, map(&[]));
        program.ask("status", None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn lines_for_the_journal_are_taken() {
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        for level in ["error", "warning", "info", "debug"] {
            let line = [("level", level.into()), ("text", "a\nb".into())];
            assert_eq!(program.ask("log", Some(map(&line))).await["result"], map(&[]));
        }
        let answer = program.ask("log", Some(map(&[("text", "short".into())]))).await;
        assert_eq!(answer["result"], map(&[]));
    }
}

#[tokio::test(start_paused = true)]
async fn answers_to_what_was_never_asked_are_ignored_and_so_is_what_is_not_known() {
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        program.say(&map(&[("id", 5.into()), ("result", map(&[]))])).await;
        let error = map(&[("code", 1.into()), ("message", "no".into())]);
        program.say(&map(&[("jsonrpc", "2.0".into()), ("id", 5.into()), ("error", error)])).await;
        program.say(&map(&[("method", "ready".into()), ("more", list(&[1.into()]))])).await;
        program.notify("ready", map(&[("colour", "red".into())])).await;
        program.ask("status", None).await;
    }
    let mut program = Program::ready(Encoding::Json).await;
    program.write(b"\n   \n{\"id\": null, \"method\": \"ready\"}\r\n").await;
    assert_eq!(program.next().await.unwrap()["id"], Value::Nil);
}

//! Programs that say or hear more than the other side takes.

use super::super::outbox::MOST_WAITING;
use super::*;
use crate::queue::Limits;
use crate::role::Host;
use crate::rpc::budget::FREE;

/// A line with so many bytes that is a request.
fn line(length: usize) -> Vec<u8> {
    let (head, tail) = (r#"{"id": 1, "method": "status", "more": ""#, "\"}\n");
    format!("{head}{}{tail}", "x".repeat(length - head.len() - tail.len())).into_bytes()
}

#[tokio::test(start_paused = true)]
async fn lines_may_be_long_as_long_as_there_is_room_for_all_of_them() {
    let host = TestHost::new("clock");
    let budget = LineBudget::new(4 * FREE);
    let start = async || {
        let mut program = Program::start_at(&host, Encoding::Json, &budget);
        program.hear("start").await;
        program.ask("ready", None).await;
        program
    };
    let (mut first, mut second) = (start().await, start().await);
    for length in [FREE - 1, FREE, FREE + 1, 4 * FREE, 100, 4 * FREE] {
        first.write(&line(length)).await;
        assert_eq!(first.next().await.unwrap()["id"], 1.into(), "{length}");
    }
    // Half of one is there: it has what another one would need.
    let long = line(4 * FREE);
    first.write(&long[..3 * FREE]).await;
    second.write(&line(FREE)).await;
    assert_eq!(second.next().await.unwrap()["id"], 1.into());
    second.write(&long[..2 * FREE]).await;
    let wanted = "line 3: it is longer than 65536 bytes, and the long lines of all programs have \
                  used up their 262144 bytes";
    assert_eq!(second.ended().await.unwrap_err().to_string(), wanted);
    first.write(&long[3 * FREE..]).await;
    assert_eq!(first.next().await.unwrap()["id"], 1.into());
    // Nothing was kept.
    let mut third = start().await;
    third.write(&long).await;
    assert_eq!(third.next().await.unwrap()["id"], 1.into());
}

#[tokio::test(start_paused = true)]
async fn a_line_over_the_limit_is_refused() {
    let mut program = Program::ready(Encoding::Json).await;
    program.write(&vec![b' '; LONGEST_LINE + 2]).await;
    let failure = program.ended().await.unwrap_err().to_string();
    assert_eq!(failure, format!("line 2: it is longer than {LONGEST_LINE} bytes"));
}

#[tokio::test(start_paused = true)]
async fn the_largest_message_fits_into_a_line() {
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        let data = vec![7; crate::message::MAX_MESSAGE - 100];
        let data = match encoding {
            Encoding::Json => {
                ("msgpack", data_encoding::BASE64.encode(&packed(&data.into())).into())
            }
            Encoding::MessagePack => ("data", data.into()),
        };
        let message = map(&[("kind", "event".into()), ("type", "photo".into()), data]);
        assert_eq!(program.ask("send", Some(message)).await["result"]["sequence"], 1.into());
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_read_loses_its_oldest_messages_and_is_heard() {
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        let limits = program.inbox.limits();
        let data = Value::from("x".repeat(limits.size / 20));
        for _ in 0..100 {
            program.arrive(&data);
            program.notify("send", map(&[("kind", "log".into()), ("data", 1.into())])).await;
        }
        program.host.until(|seen| seen.sent.len() == 200).await;
        let counters = program.inbox.counters();
        assert!(counters.dropped > 50 && counters.size <= limits.size, "{counters:?}");
        // What is left comes once it reads.
        program.arrive(&"last".into());
        while program.hear("message").await["data"] != "last".into() {}
        assert!(program.close().await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_asks_and_does_not_listen_is_not_read_until_it_does() {
    let mut program = Program::ready(Encoding::Json).await;
    let request = b"{\"id\": \"0123456789\", \"method\": \"status\"}\n";
    let mut asked = 0_usize;
    let output = program.output.as_mut().unwrap();
    while timeout(DEADLINE, output.write_all(request)).await.is_ok() {
        asked += 1;
        assert!(asked < 100_000, "it is read for ever");
    }
    // It hears all answers to what was read; Messages come between them.
    program.arrive(&1.into());
    let (mut answers, mut messages) = (0, 0);
    while answers < asked {
        let said = program.next().await.unwrap();
        if said["method"].is_nil() { answers += 1 } else { messages += 1 }
    }
    assert_eq!(messages, 1);
    assert!(answers * 50 > MOST_WAITING);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_asks_and_does_not_listen_has_to_be_ready_in_time_too() {
    let mut program = Program::start(Encoding::Json);
    let request = b"{\"id\": \"0123456789\", \"method\": \"status\"}\n";
    let output = program.output.as_mut().unwrap();
    while timeout(DEADLINE, output.write_all(request)).await.is_ok_and(|written| written.is_ok()) {}
    let ended = timeout(DEADLINE, program.task).await.unwrap().unwrap();
    assert_eq!(ended.unwrap_err().to_string(), "it was not ready within 30 s");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_to_stop_is_read_even_if_it_did_not_listen() {
    let mut program = Program::ready(Encoding::Json).await;
    let request = b"{\"id\": \"0123456789\", \"method\": \"status\"}\n";
    let output = program.output.as_mut().unwrap();
    let mut rest = &request[..];
    while let Ok(written) = timeout(DEADLINE, output.write(rest)).await {
        rest = &rest[written.unwrap()..];
        rest = if rest.is_empty() { request } else { rest };
    }
    program.stop();
    program.write(rest).await;
    program.write(&line(FREE)).await;
    assert!(program.close().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_holds_a_program_back_but_not_for_ever() {
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        let slow = program.host.tap(vec![Interest::exactly(Kind::Event, "burst")]);
        let Limits { length, .. } = slow.limits();
        let message = map(&[("kind", "event".into()), ("type", "burst".into())]);
        for _ in 0..length {
            program.notify("send", message.clone()).await;
        }
        program.ask("status", None).await;
        let begun = tokio::time::Instant::now();
        program.ask("send", Some(message.clone())).await;
        assert_eq!(begun.elapsed(), super::super::acting::PATIENCE);
        assert_eq!(slow.counters().dropped, 1);
        // As soon as it takes something, the next ones do not wait.
        let mut batch = Vec::new();
        slow.receive_many(&mut batch).await;
        let begun = tokio::time::Instant::now();
        program.ask("send", Some(message.clone())).await;
        assert_eq!((batch.len(), begun.elapsed()), (length, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_conversation_costs_little() {
    let host = TestHost::new("clock");
    let context = host.context("bell", Vec::new()).context;
    let (reader, writer) = (tokio::io::empty(), tokio::io::sink());
    let budget = LineBudget::default();
    let conversation =
        converse(&context, Start::default(), Encoding::Json, &budget, reader, writer);
    let size = std::mem::size_of_val(&conversation);
    assert!(size < 6 * 1024, "{size} bytes");
}

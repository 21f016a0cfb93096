//! What makes no sense: said to the program, and what the Role fails with.

use super::*;

/// What a program that says this is answered.
async fn told(encoding: Encoding, said: &[u8]) -> (i64, String) {
    let mut program = Program::ready(encoding).await;
    program.write(said).await;
    let answer = program.next().await.unwrap();
    assert_eq!(program.next().await, None, "its input is closed");
    let failure = program.ended().await.unwrap_err().to_string();
    let error = &answer["error"];
    assert_eq!(error["message"].as_str().unwrap(), failure);
    assert!(!answer["id"].is_map());
    (error["code"].as_i64().unwrap(), failure)
}

#[tokio::test(start_paused = true)]
async fn errors_name_line_and_column() {
    for (line, code, wanted) in [
        ("what", -32700, "line 2, column 1: this is not JSON: expected value"),
        (
            r#"{"method": "ready""#,
            -32700,
            "line 2, column 18: this is not JSON: EOF while parsing an object",
        ),
        (r#"{"é": 1, "method": x}"#, -32700, "line 2, column 20: this is not JSON: expected value"),
        (
            r#"{"method": "ready"} {}"#,
            -32700,
            "line 2, column 21: this is not JSON: trailing characters",
        ),
        (r#"{"method": "no\ud800"}"#, -32600, "line 2, column 12: the method is a text"),
        ("[]", -32600, "line 2, column 1: invalid type: sequence, expected an object"),
        (
            "{}",
            -32600,
            "line 2, column 1: this is neither a request nor an answer: it has no method",
        ),
        (r#"{"method": 5}"#, -32600, "line 2, column 12: the method is a text"),
        (r#"{"method": "a", "method": "b"}"#, -32600, "line 2, column 24: this key appears twice"),
        (
            r#"{"jsonrpc": "1.0", "method": "ready"}"#,
            -32600,
            "line 2, column 13: jsonrpc is \"2.0\"",
        ),
        (
            r#"{"method": "ready", "id": []}"#,
            -32600,
            "line 2, column 27: an id is a text or a number, and this is a list",
        ),
        (
            r#"{"method": "ready", "id": "\ud800"}"#,
            -32600,
            "line 2, column 27: an id cannot be read: this is not JSON: unexpected end of hex escape",
        ),
        (
            r#"{"method": "dance\n"}"#,
            -32601,
            "line 2, column 12: there is no method 'dance\\n': there are ready, interest, send, store, log, status and subscribe",
        ),
        (
            r#"{"method": "ready", "params": [1]}"#,
            -32602,
            "line 2, column 31: invalid type: sequence, expected an object",
        ),
        (
            r#"{"method": "send", "params": {"type": "a"}}"#,
            -32602,
            "line 2, column 30: 'kind' is missing in the params",
        ),
        (r#"{"method": "send"}"#, -32602, "line 2, column 12: 'kind' is missing in the params"),
        (
            r#"{"method": "send", "params": {"kind": "evnt", "type": "a"}}"#,
            -32602,
            "line 2, column 39: unknown kind 'evnt': use event, order, log or reply",
        ),
        (
            r#"{"method": "send", "params": {"kind": "event", "type": 1}}"#,
            -32602,
            "line 2, column 56: type is a text, and this is a number",
        ),
        (
            r#"{"method": "send", "params": {"kind": "event", "type": "a", "data": {"b": 1, "b": 2}}}"#,
            -32602,
            "line 2, column 80: the key 'b' appears twice",
        ),
        (
            r#"{"method": "send", "params": {"kind": "event", "type": "a", "msgpack": "?"}}"#,
            -32602,
            "line 2, column 72: msgpack is not Base64: invalid length at 0",
        ),
        (
            r#"{"method": "send", "params": {"kind": "event", "type": "a", "msgpack": "wMA="}}"#,
            -32602,
            "line 2, column 72: the data is not valid MessagePack: 1 bytes too many",
        ),
        (
            r#"{"method": "interest", "params": {"patterns": {}}}"#,
            -32602,
            "line 2, column 47: patterns is a list, and this is an object",
        ),
        (
            r#"{"method": "interest", "params": {"patterns": [{"kind": "x"}]}}"#,
            -32602,
            "line 2, column 57: unknown kind 'x': use event, order, log or reply",
        ),
        (
            r#"{"method": "interest"}"#,
            -32602,
            "line 2, column 12: 'patterns' is missing in the params",
        ),
        (
            r#"{"method": "log", "params": {"text": "a", "level": "loud"}}"#,
            -32602,
            "line 2, column 52: level is one of error, warning, info, debug",
        ),
        (
            r#"{"method": "log", "params": {}}"#,
            -32602,
            "line 2, column 29: 'text' is missing in the params",
        ),
        (
            r#"{"method": "status", "params": {"text": 1}}"#,
            -32602,
            "line 2, column 41: text is a text, and this is a number",
        ),
        (
            r#"{"method": "subscribe", "params": {"facts": ["moon"]}}"#,
            -32602,
            "line 2, column 46: facts are peers",
        ),
        (
            r#"{"method": "store", "params": {}}"#,
            -32602,
            "line 2, column 31: 'value' is missing in the params",
        ),
    ] {
        let told = told(Encoding::Json, &line.as_bytes().to_vec().with_end()).await;
        assert_eq!(told, (code, wanted.to_owned()), "{line}");
    }
    let told = told(Encoding::Json, b"{\"method\": \"\xff\"}\n").await;
    assert_eq!(told, (-32700, "line 2, column 13: this is not UTF-8".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn errors_name_value_and_byte_in_messagepack() {
    let send = |members: &[(&str, Value)]| {
        packed(&map(&[("method", "send".into()), ("params", map(members))]))
    };
    for (said, code, wanted) in [
        (
            vec![0xc1],
            -32700,
            "value 2: this is not MessagePack: there is no value that begins with c1",
        ),
        (vec![0x91; 300], -32700, "value 2: this is not MessagePack: it is nested too deeply"),
        (vec![0xc3], -32600, "value 2, byte 1: this is true or false instead of an object"),
        (
            vec![0x80],
            -32600,
            "value 2, byte 1: this is neither a request nor an answer: it has no method",
        ),
        (
            packed(&map(&[("method", "x".into())])),
            -32601,
            "value 2, byte 9: there is no method 'x': there are ready, interest, send, store, log, status and subscribe",
        ),
        (
            send(&[("kind", 1.into())]),
            -32602,
            "value 2, byte 27: kind is a text, and this is a number",
        ),
        (vec![0xc6, 0xff, 0xff, 0xff, 0xff], -32600, "value 2: it is longer than 22435156 bytes"),
    ] {
        let told = told(Encoding::MessagePack, &said).await;
        assert_eq!(told, (code, wanted.to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_refused_ends_nothing() {
    for encoding in BOTH {
        let mut program = Program::ready(encoding).await;
        let message = map(&[("kind", "event".into()), ("type", "".into())]);
        program.notify("send", message.clone()).await;
        let error = &program.ask("send", Some(message)).await["error"];
        assert_eq!(error["code"], (-32000).into());
        assert_eq!(error["message"], "the type is 0 bytes long; allowed: 1 to 255 bytes".into());
        assert_eq!(program.ask("status", None).await["result"], map(&[]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_not_ready_in_time_has_failed() {
    for encoding in BOTH {
        for talks in [false, true] {
            let mut program = Program::start(encoding);
            program.hear("start").await;
            let begun = tokio::time::Instant::now();
            while talks && begun.elapsed() < Duration::from_secs(29) {
                tokio::time::sleep(Duration::from_secs(1)).await;
                program.ask("status", None).await;
            }
            let ended = timeout(2 * DEADLINE, &mut program.task).await.unwrap().unwrap();
            assert_eq!(ended.unwrap_err().to_string(), "it was not ready within 30 s");
            assert_eq!(begun.elapsed().as_secs(), 30);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_to_stop_before_it_is_ready_has_all_the_time() {
    let mut program = Program::start(Encoding::Json);
    program.hear("start").await;
    program.stop();
    program.hear("stop").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    program.notify("send", map(&[("kind", "log".into()), ("data", "bye".into())])).await;
    assert!(program.close().await.is_ok());
    assert_eq!(program.host.seen(|seen| seen.logs()), ["bye"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_program_has_begun_to_say_when_it_closes() {
    // As `printf` writes it.
    let mut program = Program::ready(Encoding::Json).await;
    program.write(br#"{"method": "send", "params": {"kind": "log", "data": "bye"}}"#).await;
    assert!(program.close().await.is_ok());
    assert_eq!(program.host.seen(|seen| seen.logs()), ["bye"]);

    let mut program = Program::ready(Encoding::Json).await;
    program.write(br#"{"method": "se"#).await;
    let failure = program.close().await.unwrap_err().to_string();
    assert_eq!(failure, "line 2, column 14: this is not JSON: EOF while parsing a string");

    let mut program = Program::ready(Encoding::MessagePack).await;
    program.write(&[0x82, 0xa6]).await;
    let failure = program.close().await.unwrap_err().to_string();
    assert_eq!(failure, "value 2: the program closed the connection in the middle of it");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_reads_no_more_is_still_heard() {
    let mut program = Program::ready(Encoding::Json).await;
    drop(std::mem::replace(&mut program.input, duplex(1).0));
    for number in 0..3 {
        program.arrive(&number.into());
        program.notify("send", map(&[("kind", "log".into()), ("data", "still here".into())])).await;
    }
    assert!(program.close().await.is_ok());
    assert_eq!(program.host.seen(|seen| seen.logs().len()), 3);
}

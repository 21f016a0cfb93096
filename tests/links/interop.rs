//! Any SSH client reaches the subsystem: the one of OpenSSH does.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::BytesMut;
use kozo::config::{OptionValue, Options, Runs, TransportConfig};
use kozo::interest::Interest;
use kozo::wire::{self, Control, Decoder, Echo, Frame, Heartbeat};
use russh::keys::ssh_key::LineEnding;

use crate::kit::client::{hello, messages};
use crate::kit::memory::Network;
use crate::kit::{Plan, Running, TestSystem, number};

/// A Node that listens on TCP, and what another one needs to reach it by `ssh`.
struct SshTarget {
    system: TestSystem,
    port: u16,
    folder: tempfile::TempDir,
}

impl SshTarget {
    fn new() -> SshTarget {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut system = TestSystem::new(Network::new(), &["clock", "scribe"], Plan::default());
        let options = [
            ("address", OptionValue::List(vec!["127.0.0.1".to_owned()])),
            ("bindAddress", OptionValue::Text("127.0.0.1".to_owned())),
            ("port", OptionValue::Integer(i64::from(port))),
        ];
        let options = options.map(|(name, value)| (name.to_owned(), value));
        let transport_type = "tcp".to_owned();
        let tcp = TransportConfig {
            name: "tcp".to_owned(),
            transport_type,
            runs: Runs::BuiltIn,
            options: Options(options.into()),
        };
        system.set_transports("scribe", vec![tcp]);
        let folder = tempfile::tempdir().unwrap();
        system.key("clock").write_openssh_file(folder.path().join("key"), LineEnding::LF).unwrap();
        let host_key = system.key("scribe").public_key().to_openssh().unwrap();
        let known = format!("[127.0.0.1]:{port} {host_key}\n");
        std::fs::write(folder.path().join("known"), known).unwrap();
        SshTarget { system, port, folder }
    }

    /// `ssh` with the subsystem on its standard input and output.
    fn ssh(&self, options: &[&str]) -> Child {
        let mut ssh = self.command();
        ssh.args(options).args(["-s", "clock@127.0.0.1", "kozo"]);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// `ssh` as the Node `clock`.
    fn command(&self) -> Command {
        let path = |name| self.folder.path().join(name).display().to_string();
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "/dev/null", "-p", &self.port.to_string(), "-i", &path("key")])
            .args(["-o", &format!("UserKnownHostsFile={}", path("known"))])
            .args(["-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes"])
            .args(["-o", "BatchMode=yes"]);
        ssh
    }
}

fn has_ssh() -> bool {
    let found = Command::new("ssh").arg("-V").stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("NOT TESTED: sessions with OpenSSH: there is no `ssh` here");
    }
    found
}

/// Reads frames until one of them is what is looked for.
fn read<T>(
    output: &mut ChildStdout,
    decoder: &mut Decoder,
    mut take: impl FnMut(Frame) -> Option<T>,
) -> T {
    let mut buffer = vec![0; 65536];
    loop {
        while let Some(frame) = decoder.next_frame().unwrap() {
            if let Some(found) = take(frame) {
                return found;
            }
        }
        let length = output.read(&mut buffer).unwrap();
        assert_ne!(length, 0, "the session has ended");
        decoder.feed(&buffer[..length]);
    }
}

fn greeting() -> BytesMut {
    let mut bytes = BytesMut::new();
    wire::encode(&Control::Hello(&hello(7)), &mut bytes);
    wire::encode(&Control::Interest(&[Interest::any()]), &mut bytes);
    wire::encode(&Control::Use, &mut bytes);
    bytes
}

#[tokio::test]
async fn openssh_gets_a_hello() {
    if !has_ssh() {
        return;
    }
    let target = SshTarget::new();
    let scribe = target.system.start("scribe").await;
    let mut ssh = target.ssh(&[]);
    let mut output = ssh.stdout.take().unwrap();
    let read = tokio::task::spawn_blocking(move || {
        read(&mut output, &mut Decoder::default(), |frame| match frame {
            Frame::Hello(hello) => Some(hello),
            _ => None,
        })
    });
    let hello = read.await.unwrap();
    assert_eq!((hello.version, hello.boot), (wire::VERSION, boot(&scribe)));
    assert!(hello.features.is_empty());
    drop(ssh.stdin.take());
    ssh.kill().unwrap();
    ssh.wait().unwrap();
}

fn boot(node: &Running) -> u64 {
    use kozo::role::Host;
    node.node.status().boot
}

/// Keys are renewed all the while Messages flow in both directions.
#[tokio::test]
async fn openssh_renews_keys_under_load() {
    const MESSAGES: u64 = 3000;
    if !has_ssh() {
        return;
    }
    let target = SshTarget::new();
    let mut scribe = target.system.start("scribe").await;
    let mut ssh = target.ssh(&["-o", "RekeyLimit=64K"]);
    let (mut input, mut output) = (ssh.stdin.take().unwrap(), ssh.stdout.take().unwrap());
    input.write_all(&greeting()).unwrap();
    let input = Arc::new(Mutex::new(input));
    let echoes = Arc::clone(&input);
    let writer = thread::spawn(move || {
        let counters: Vec<u64> = (1..=MESSAGES).collect();
        for messages in messages("clock", 7, &counters).chunks(10) {
            let mut bytes = BytesMut::new();
            wire::encode_messages(messages, &mut bytes);
            // Something to renew keys for; this kind is not known and skipped.
            bytes.extend_from_slice(&[200, 0, 4, 0, 0]);
            bytes.extend_from_slice(&[7; 1024]);
            input.lock().unwrap().write_all(&bytes).unwrap();
        }
        input
    });
    let reader = thread::spawn(move || {
        let mut numbers = Vec::new();
        read(&mut output, &mut Decoder::default(), |frame| {
            match frame {
                Frame::Messages(messages) => {
                    numbers.extend(messages.map(|message| number(&message.unwrap())));
                }
                Frame::Heartbeat(Heartbeat { sent, .. }) => {
                    let mut bytes = BytesMut::new();
                    let echo = Echo { sent, received: 0, clock: 0 };
                    wire::encode(&Control::Echo(echo), &mut bytes);
                    echoes.lock().unwrap().write_all(&bytes).unwrap();
                }
                _ => {}
            }
            (numbers.len() as u64 == MESSAGES).then(|| std::mem::take(&mut numbers))
        })
    });
    scribe.until_up("clock").await;
    for number in 0..MESSAGES {
        // As fast as the queue is emptied, so that nothing is dropped.
        scribe.until("room", |node| node.peer("clock").queue_length < 100).await;
        scribe.send(number);
    }
    for number in 1..=MESSAGES {
        assert_eq!(scribe.next().await, ("clock".to_owned(), number));
    }
    let join = tokio::task::spawn_blocking(|| (writer.join(), reader.join()));
    let (input, came) = join.await.unwrap();
    assert_eq!(came.unwrap(), (0..MESSAGES).collect::<Vec<_>>());
    drop(input);
    ssh.kill().unwrap();
    ssh.wait().unwrap();
}

/// A client that takes the Node for a login hears at once what it is.
#[tokio::test]
async fn openssh_is_told_that_this_is_no_login() {
    if !has_ssh() {
        return;
    }
    let target = SshTarget::new();
    let _scribe = target.system.start("scribe").await;
    let host = "clock@127.0.0.1";
    let wishes: [&[&str]; 6] = [
        &[host],
        &["-tt", host],
        &[host, "id"],
        &["-tt", "-A", "-X", "-o", "SetEnv=A=B", host, "id"],
        &["-s", host, "sftp"],
        &["-W", "127.0.0.1:22", host],
    ];
    for wish in wishes {
        let mut ssh = target.command();
        ssh.args(wish).stdin(Stdio::null());
        let begun = std::time::Instant::now();
        let ended = tokio::task::spawn_blocking(move || ssh.output().unwrap()).await.unwrap();
        let took = begun.elapsed();
        let said = String::from_utf8(ended.stderr).unwrap();
        println!("{wish:?}: {took:?}: {said}");
        assert_eq!(ended.status.code(), Some(255), "{wish:?}: {said}");
        // One who wants to go through it need not be told what it is.
        let told = said.contains("this is node 'scribe'") && said.contains("kozoctl");
        assert!(told || wish.contains(&"-W") && said.contains("prohibited"), "{wish:?}: {said}");
        assert!(took < std::time::Duration::from_secs(8), "{wish:?} took {took:?}");
    }
}

//! What callers can have the Node keep for them.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kozo_client::{Client, Error, Filter};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::{Message, OwnedVariant, Proxy, Variant, interface};

use crate::kit::memory::Network;
use crate::kit::{Plan, TestSystem};
use crate::permission::{NOBODY, can_be_nobody};
use crate::private_bus::PrivateBus;
use crate::{Served, on_bus, soon};

/// Inject by `busctl`, as user `nobody`, with so many bytes.
async fn inject_as_nobody(bus: &str, size: usize) -> Output {
    // No argument can have more than 128 KiB.
    let texts: Vec<String> = vec!["x".repeat(100_000); size.div_ceil(100_000)];
    let mut command = Command::new("busctl");
    command
        .arg(format!("--address={bus}"))
        .args(["call", "org.kozo.Node1.clock", "/org/kozo/Node1", "org.kozo.Node1", "Inject"])
        .args(["sssva{sv}", "event", "tick", "", "as", &texts.len().to_string()])
        .args(&texts)
        .arg("0");
    command.uid(NOBODY).gid(NOBODY);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What polkit was asked, by action and flags.
pub(crate) type Asked = Arc<Mutex<Vec<(String, u32)>>>;

/// Something with polkit's name whose user never gives a password.
struct Silent {
    asked: Asked,
}

#[interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Silent {
    async fn check_authorization(
        &self,
        _subject: (String, HashMap<String, OwnedVariant>),
        action: String,
        _details: HashMap<String, String>,
        flags: u32,
        _cancellation: String,
    ) -> ((bool, bool, HashMap<String, String>),) {
        self.asked.lock().unwrap().push((action, flags));
        if flags == 1 {
            std::future::pending::<()>().await;
        }
        ((false, true, HashMap::new()),)
    }
}

pub(crate) async fn silent_polkit(bus: &PrivateBus) -> (zbus::Connection, Asked) {
    let asked = Asked::default();
    let polkit = Builder::address(&*bus.address)
        .serve_at("/org/freedesktop/PolicyKit1/Authority", Silent { asked: Arc::clone(&asked) })
        .name("org.freedesktop.PolicyKit1")
        .build()
        .await
        .unwrap();
    (polkit, asked)
}

#[tokio::test]
async fn who_may_not_send_cannot_send_much() {
    if !can_be_nobody() {
        return;
    }
    let bus = PrivateBus::start();
    let (_polkit, asked) = silent_polkit(&bus).await;
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let clock = Served::start(&system, "clock", &bus.address).await;
    let refused = soon(inject_as_nobody(&bus.address, 400_000)).await;
    assert!(said(&refused).contains("262144") && said(&refused).contains("org.kozo.inject"));
    // No password was asked for, and for a while polkit is not asked again.
    assert_eq!(*asked.lock().unwrap(), [("org.kozo.inject".to_owned(), 0)]);
    let refused = soon(inject_as_nobody(&bus.address, 400_000)).await;
    assert!(said(&refused).contains("262144"));
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert_eq!(clock.running.sent(), 0);
    // Root sends what it likes.
    let client = Client::find(&on_bus(&bus.address), None).await.unwrap();
    let data = Variant::from(vec![0_u8; 1 << 19]);
    soon(client.inject("event", "tick", None, &data, Default::default())).await.unwrap();
    assert_eq!(clock.running.sent(), 1);
}

#[tokio::test]
async fn few_calls_of_one_user_wait_for_polkit() {
    if !can_be_nobody() {
        return;
    }
    let bus = PrivateBus::start();
    let (_polkit, asked) = silent_polkit(&bus).await;
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let _clock = Served::start(&system, "clock", &bus.address).await;
    let refused = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..12 {
        let (address, refused) = (bus.address.clone(), Arc::clone(&refused));
        callers.spawn(async move {
            let output = inject_as_nobody(&address, 100_000).await;
            assert!(said(&output).contains("too many calls"), "{}", said(&output));
            refused.fetch_add(1, Ordering::Relaxed);
        });
    }
    // Four wait for a password that is never given; the others are soon told so.
    for _ in 0..8 {
        soon(callers.join_next()).await.unwrap().unwrap();
    }
    assert_eq!((refused.load(Ordering::Relaxed), asked.lock().unwrap().len()), (8, 4));
    // And no other caller waits for them.
    let client = Client::find(&on_bus(&bus.address), None).await.unwrap();
    soon(client.inject_json("event", "tick", None, "1")).await.unwrap();
    // Those that wait are given up with their bus.
    drop(bus);
}

/// A connection to a control socket that can be written to without being read.
async fn raw(socket: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let user: String =
        nix::unistd::geteuid().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
    stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 64];
    let length = soon(stream.read(&mut answer)).await.unwrap();
    assert!(answer[..length].starts_with(b"OK "));
    stream.write_all(b"BEGIN\r\n").await.unwrap();
    stream
}

fn describe(serial: u32) -> Vec<u8> {
    let call = Message::method_call("/org/kozo/Node1", "Describe")
        .interface("org.kozo.Node1")
        .serial(serial.try_into().unwrap())
        .build(&())
        .unwrap();
    call.data().to_vec()
}

#[tokio::test]
async fn who_does_not_read_answers_is_not_read() {
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let clock = Served::alone(&system, "clock").await;
    let mut stuck = raw(&clock.socket).await;
    let mut sent = 0_u32;
    // Until nothing more is taken.
    'sending: loop {
        sent += 1;
        assert!(sent < 100_000, "everything was taken");
        let mut call = &*describe(sent);
        while !call.is_empty() {
            let ready = timeout(Duration::from_secs(2), stuck.writable()).await;
            let Ok(ready) = ready else { break 'sending };
            ready.unwrap();
            match stuck.try_write(call) {
                Ok(count) => call = &call[count..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    }
    // Others are answered meanwhile.
    let client = clock.client().await;
    assert_eq!(soon(client.describe()).await.unwrap().name, "clock");
    // And so is this one, as soon as it reads.
    let mut answers = vec![0; 1 << 16];
    let mut read = 0;
    // All but those that are on their way to it are answered.
    while read < 300 * usize::try_from(sent - 1).unwrap() {
        read += soon(stuck.read(&mut answers)).await.unwrap();
    }
}

#[tokio::test]
async fn calls_that_want_no_answer_do_not_count_for_ever() {
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let clock = Served::alone(&system, "clock").await;
    let client = clock.client().await;
    let proxy = Proxy::new(
        client.connection(),
        "org.kozo.Node1.clock",
        "/org/kozo/Node1",
        "org.kozo.Node1",
    );
    let proxy = proxy.await.unwrap();
    for _ in 0..100 {
        soon(proxy.call_noreply("Describe", &())).await.unwrap();
        soon(proxy.call_noreply("Nothing", &())).await.unwrap();
    }
    assert_eq!(soon(client.describe()).await.unwrap().name, "clock");
}

#[tokio::test]
async fn monitors_are_counted() {
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let clock = Served::alone(&system, "clock").await;
    let client = clock.client().await;
    let mut monitors = Vec::new();
    let refused = loop {
        match soon(client.monitor(&Filter::default())).await {
            Ok(monitor) => monitors.push(monitor),
            Err(refused) => break refused,
        }
        assert!(monitors.len() < 100);
    };
    assert!(matches!(&refused, Error::Failed(text) if text.contains("monitors")), "{refused:?}");
    assert_eq!(monitors.len(), 16);
    // Another one counts again once one is closed.
    drop(monitors.pop());
    let mut reopened = soon(client.monitor(&Filter::default())).await;
    while reopened.is_err() {
        tokio::task::yield_now().await;
        reopened = soon(client.monitor(&Filter::default())).await;
    }
}

#[tokio::test]
async fn what_is_no_client_is_closed() {
    let system = TestSystem::new(Network::new(), &["clock"], Plan::default());
    let clock = Served::alone(&system, "clock").await;
    for nonsense in [&b"\n"[..], &[b'A'; 10_000], b"\0AUTH EXTERNAL 30\r\n\n"] {
        let mut stream = UnixStream::connect(&clock.socket).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        let mut ignored = Vec::new();
        // Reset, where it had not read everything.
        let _ = soon(stream.read_to_end(&mut ignored)).await;
    }
    // More than any message has.
    let mut stream = raw(&clock.socket).await;
    let mut head = describe(1);
    head[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    stream.write_all(&head).await.unwrap();
    let _ = soon(stream.read_to_end(&mut Vec::new())).await;
    assert_eq!(soon(clock.client().await.describe()).await.unwrap().name, "clock");
}

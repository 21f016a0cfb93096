//! A Transport over TCP that hands over what it accepts and connects, so that no byte of it passes through this program.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use kozo_role::serde_json::Value;
use kozo_role::{
    Connection, Failure, Level, Node, Setting, Stream, Target, Transport, TransportDescription,
};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

/// The port where the configuration has none.
const PORT: u16 = 6021;

/// How long to wait after a connection could not be accepted, as where there are no descriptors left: at first, and at most.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Options {
    #[serde(rename = "bindAddress")]
    bind_address: IpAddr,
    port: u16,
}

struct Tcp {
    options: Options,
}

impl Transport for Tcp {
    async fn listen(&self, node: &Node) -> Result<Option<String>, Failure> {
        let listener = TcpListener::bind((self.options.bind_address, self.options.port)).await?;
        let address = listener.local_addr()?.to_string();
        let node = node.clone();
        // It ends with an error when the Node is gone: then the program ends too.
        tokio::task::spawn_local(async move { accept(&node, &listener).await });
        Ok(Some(address))
    }

    async fn addresses(&self, _: &Node, to: &Target) -> Result<Vec<Value>, Failure> {
        let port = to.options.get("port").and_then(Value::as_u64).unwrap_or(PORT.into());
        let hosts = to.options.get("address").and_then(Value::as_array).into_iter().flatten();
        Ok(hosts
            .filter_map(Value::as_str)
            .map(|host| Value::from(format!("{host}:{port}")))
            .collect())
    }

    async fn connect(&self, _: &Node, _: &Target, address: &Value) -> Result<Connection, Failure> {
        let address = address.as_str().ok_or("an address is a text")?;
        let stream = TcpStream::connect(address).await?;
        let address = stream.peer_addr()?.to_string();
        Ok(Stream::new(stream.into_std()?).address(&address).into())
    }
}

async fn accept(node: &Node, listener: &TcpListener) -> Result<(), Failure> {
    let mut pause = PAUSE;
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                pause = PAUSE;
                hand_over(node, stream, from).await?;
            }
            Err(error) => {
                node.log(Level::Warning, &error.to_string()).await?;
                tokio::time::sleep(pause).await;
                pause = LONGEST_PAUSE.min(2 * pause);
            }
        }
    }
}

async fn hand_over(node: &Node, stream: TcpStream, from: SocketAddr) -> Result<(), Failure> {
    let stream = Stream::new(stream.into_std()?).address(&from.to_string());
    Ok(node.accepted(stream).await?)
}

fn main() -> ExitCode {
    let tcp = TransportDescription::new("TCP, handed over by a program.")
        .option("address", Setting::list("Where it is reached.").optional())
        .option(
            "bindAddress",
            Setting::text("Where it listens.").default(Ipv4Addr::UNSPECIFIED.to_string()),
        )
        .option("port", Setting::integer("The port.").default(PORT).min(0).max(65535));
    Tcp::describe(tcp).run(async |node| Ok(Tcp { options: node.options()? }))
}

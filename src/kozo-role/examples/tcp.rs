//! A Transport over TCP that hands over what it accepts and connects, so that no byte of it passes through this program.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use kozo_role::serde_json::Value;
use kozo_role::{
    Connection, Failure, Level, Node, Setting, Stream, Target, Transport, TransportDescription,
};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

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
        tokio::task::spawn_local(async move {
            loop {
                let handed = match listener.accept().await {
                    Ok((stream, from)) => hand_over(&node, stream, from).await,
                    Err(error) => {
                        node.log(Level::Warning, &error.to_string()).await.map_err(Failure::from)
                    }
                };
                if handed.is_err() {
                    return;
                }
            }
        });
        Ok(Some(address))
    }

    async fn addresses(&self, _: &Node, to: &Target) -> Result<Vec<Value>, Failure> {
        let port = to.options.get("port").and_then(Value::as_u64).unwrap_or_default();
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

async fn hand_over(node: &Node, stream: TcpStream, from: SocketAddr) -> Result<(), Failure> {
    let stream = Stream::new(stream.into_std()?).address(&from.ip().to_string());
    Ok(node.accepted(stream).await?)
}

fn main() -> ExitCode {
    let tcp = TransportDescription::new("TCP, handed over by a program.")
        .option("address", Setting::list("Where it is reached.").optional())
        .option(
            "bindAddress",
            Setting::text("Where it listens.").default(Ipv4Addr::UNSPECIFIED.to_string()),
        )
        .option("port", Setting::integer("The port.").min(0).max(65535));
    Tcp::describe(tcp).run(async |node| Ok(Tcp { options: node.options()? }))
}

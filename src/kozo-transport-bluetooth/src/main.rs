//! The Transport type `bluetooth`: streams over RFCOMM to the service of a UUID.
//!
//! The program only opens connections: [`mod@connect`] to where a device says the service is, [`mod@listen`] by bluetoothd, and each
//! goes to the Node as a descriptor. Where a Peer's configuration names no address, [`mod@search`] asks the devices in range, and
//! [`places`] remembers. Whether there is an adapter at all, and what is in the way, `kozo-bluetooth` tells.

mod connect;
mod listen;
mod options;
mod places;
mod sdp;
mod search;

use std::cell::RefCell;
use std::convert::Infallible;
use std::process::ExitCode;
use std::rc::Rc;

use bluer::Adapter;
use kozo_bluetooth::{News, with_adapter};
use kozo_role::serde_json::Value;
use kozo_role::{Connection, Failure, Level, Node, Target, Transport};

use connect::connect;
use listen::{Visibility, listen};
use options::Options;
use places::Places;
use search::Search;

/// The Transport of a Node.
struct Bluetooth {
    options: Options,
    /// The adapter, while it can be used, or what is in the way.
    adapter: RefCell<Result<Adapter, String>>,
    places: Places,
    search: Search,
    visibility: Visibility,
}

/// What the Node and the task that accepts share.
struct Shared(Rc<Bluetooth>);

impl Transport for Shared {
    async fn listen(&self, node: &Node) -> Result<Option<String>, Failure> {
        let (bluetooth, node) = (Rc::clone(&self.0), node.clone());
        // It ends when the Node is gone: then the program ends too.
        tokio::task::spawn_local(async move {
            let Err(problem) = bluetooth.follow(&node).await;
            let _ = node.log(Level::Error, &problem.to_string()).await;
        });
        Ok(None)
    }

    async fn addresses(&self, _: &Node, to: &Target) -> Result<Vec<Value>, Failure> {
        let (service, address) = options::of_peer(to)?;
        let known = address.or_else(|| self.0.places.trusted(service));
        let known = known.map(|address| Value::from(address.to_string()));
        // Where it may be besides.
        let anywhere = address.is_none().then_some(Value::Null);
        Ok(known.into_iter().chain(anywhere).collect())
    }

    async fn connect(&self, _: &Node, to: &Target, address: &Value) -> Result<Connection, Failure> {
        let (service, _) = options::of_peer(to)?;
        let adapter = self.0.adapter.borrow().clone()?;
        let places = &self.0.places;
        let device = match address.as_str() {
            Some(address) => address.parse()?,
            None => self.0.search.find(places, &adapter, service).await?,
        };
        // Before it is known how it ends: who lets it hang has taken it too.
        places.tries(service, device);
        let stream = connect(adapter.address().await?, device, service).await;
        if stream.is_err() {
            places.forget(service, device);
        }
        Ok(stream?.into())
    }

    async fn stop(&self) {
        // One that was stopped is not to be started for this.
        if self.0.adapter.borrow().is_ok() {
            let _ = self.0.visibility.restore().await;
        }
    }
}

impl Bluetooth {
    /// Accepts whenever the adapter can be used, and says what is in the way when it cannot.
    async fn follow(&self, node: &Node) -> Result<Infallible, Failure> {
        let tell = async |news| self.tell(node, news).await;
        let work = async |adapter: &Adapter| {
            let _using = Using::new(&self.adapter, adapter);
            self.accept(node, adapter).await
        };
        with_adapter(self.options.address()?, tell, work).await
    }

    async fn accept(&self, node: &Node, adapter: &Adapter) -> Result<Infallible, Failure> {
        let service = self.options.service()?;
        let address = adapter.address().await?;
        // Who knows the address need not search.
        let is_searched = self.options.address()?.is_none();
        let open = async { Ok(self.visibility.open(adapter, is_searched).await?) };
        let name = adapter.name();
        node.status(&format!("{name} with {address}, service {service}")).await?;
        let listen = listen(node, service, self.options.backlog());
        Ok(tokio::try_join!(listen, open)?.0)
    }

    async fn tell(&self, node: &Node, news: News) -> Result<(), Failure> {
        if let News::Trouble(trouble, is_new) = news {
            let text = trouble.to_string();
            *self.adapter.borrow_mut() = Err(text.clone());
            node.status(&text).await?;
            if is_new {
                node.log(Level::Warning, &text).await?;
            }
        }
        Ok(())
    }
}

/// The adapter that connections are made with, for as long as this lives.
struct Using<'a>(&'a RefCell<Result<Adapter, String>>);

impl<'a> Using<'a> {
    fn new(used: &'a RefCell<Result<Adapter, String>>, adapter: &Adapter) -> Using<'a> {
        *used.borrow_mut() = Ok(adapter.clone());
        Using(used)
    }
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        *self.0.borrow_mut() = Err("the Bluetooth adapter is gone".to_owned());
    }
}

fn main() -> ExitCode {
    Shared::describe(options::description()).run(async |node| {
        let options: Options = node.options()?;
        // Said now, not when something is connected.
        options.service()?;
        options.address()?;
        Ok(Shared(Rc::new(Bluetooth {
            search: Search::new(options::anywhere(node)),
            options,
            adapter: RefCell::new(Err("Bluetooth is not ready yet".to_owned())),
            places: Places::default(),
            visibility: Visibility::default(),
        })))
    })
}

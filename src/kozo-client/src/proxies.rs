//! The interfaces of a Node, one to one: what [`crate::Client`] is made of. `dbus/` has their
//! documentation.

use std::collections::HashMap;

use zbus::{OwnedFd, Variant, proxy};

/// Trailing options of a method.
pub type Options<'a> = HashMap<&'a str, Variant<'a>>;

/// The Node itself.
#[proxy(interface = "org.kozo.Node1", default_path = "/org/kozo/Node1", assume_defaults = false)]
pub trait Node1 {
    /// Sends a Message; gives its id and for how many Roles and Peers it was queued, and how many
    /// Peers want it but cannot be reached.
    fn inject(
        &self,
        kind: &str,
        r#type: &str,
        channel: &str,
        data: &Variant<'_>,
        options: Options<'_>,
    ) -> zbus::Result<(u64, u32, u32, u32)>;

    /// Opens a view of the Messages that pass.
    fn monitor(&self, filter: Options<'_>) -> zbus::Result<OwnedFd>;

    /// Applies the configuration file again; gives the Roles, Peers and Transports that it touched.
    fn reload(&self, options: Options<'_>)
    -> zbus::Result<(Vec<String>, Vec<String>, Vec<String>)>;

    /// The Node as JSON, see [`crate::status::NodeStatus`].
    fn describe(&self) -> zbus::Result<String>;

    /// Random number of this run of it.
    #[zbus(property(emits_changed_signal = "const"))]
    fn boot(&self) -> zbus::Result<u64>;

    /// Its name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> zbus::Result<String>;
}

/// A Role of a Node.
#[proxy(interface = "org.kozo.Role1", assume_defaults = false)]
pub trait Role1 {
    /// Starts it, if it does not run.
    fn start(&self, options: Options<'_>) -> zbus::Result<()>;

    /// Stops it, if it runs.
    fn stop(&self, options: Options<'_>) -> zbus::Result<()>;

    /// Stops it, if it runs, and starts it.
    fn restart(&self, options: Options<'_>) -> zbus::Result<()>;
}

/// A Peer of a Node.
#[proxy(interface = "org.kozo.Peer1", assume_defaults = false)]
pub trait Peer1 {
    /// Tries to reach it at once, and ends what `disconnect` began.
    fn connect(&self, options: Options<'_>) -> zbus::Result<()>;

    /// Closes the link and keeps it closed.
    fn disconnect(&self, options: Options<'_>) -> zbus::Result<()>;

    /// Measures the round trip, in microseconds, with a heartbeat that is sent now.
    fn ping(&self, options: Options<'_>) -> zbus::Result<u64>;
}

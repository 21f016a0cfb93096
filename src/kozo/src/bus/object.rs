//! What the objects of the Node, its Roles and its Peers have in common: their properties show a status.
//!
//! A property stands once, as a getter of its interface, where an attribute says whether its changes are announced. What
//! is announced follows: the getters are asked twice, for the status before a change and for the one after it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use zbus::fdo::{self, Properties};
use zbus::message::Header;
use zbus::object_server::{Interface, SignalEmitter};
use zbus::{Connection, Variant};

use super::access::{self, Action};
use super::accounts::Accounts;
use super::error::Error;
use super::options::{self, Options};
use crate::control::Control;
use crate::node::Node;
use crate::status::NodeStatus;

/// A status that an object shows.
pub(super) trait Status: Clone + PartialEq + Send + Sync + 'static {
    /// What has such a status, for people.
    const KIND: &'static str;

    /// Properties that signals carry although their interface does not promise it: they change without a signal too.
    const UNPROMISED: &'static [&'static str] = &[];

    /// The names of the properties that are announced, once a first change asked for them.
    fn announced() -> &'static OnceLock<Vec<String>>;

    /// The name of what has it.
    fn name(&self) -> &str;

    /// The path of the object of this name.
    fn path(name: &str) -> String;

    /// The status of that name at this moment, unless a reload took it away.
    fn current(node: &Node, name: &str) -> Option<Self>;
}

/// The status of a Role or of a Peer, which that of the Node lists.
pub(super) trait Listed: Status {
    /// The list.
    fn list(node: &NodeStatus) -> &[Self];

    /// The list, to be changed.
    fn list_mut(node: &mut NodeStatus) -> &mut [Self];
}

/// An object; [`super::node_object`], [`super::role_object`] and [`super::peer_object`] have the interfaces.
pub(super) struct Object<S> {
    pub(super) control: Arc<Control>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) name: String,
    /// What the properties show instead of the present.
    snapshot: Option<Arc<S>>,
}

impl<S: Status> Object<S> {
    /// The object of this name, which shows what is true whenever a client asks.
    pub(super) fn live(control: &Arc<Control>, accounts: &Arc<Accounts>, name: &str) -> Object<S> {
        Object {
            control: Arc::clone(control),
            accounts: Arc::clone(accounts),
            name: name.to_owned(),
            snapshot: None,
        }
    }

    /// An object that shows this status for good.
    pub(super) fn snapshot(
        control: &Arc<Control>,
        accounts: &Arc<Accounts>,
        status: Arc<S>,
    ) -> Object<S> {
        let object = Object::live(control, accounts, status.name());
        Object { snapshot: Some(status), ..object }
    }

    /// What the properties show.
    pub(super) fn status(&self) -> fdo::Result<Cow<'_, S>> {
        if let Some(snapshot) = &self.snapshot {
            return Ok(Cow::Borrowed(snapshot));
        }
        let gone = || {
            fdo::Error::UnknownObject(format!("the {} '{}' no longer exists", S::KIND, self.name))
        };
        S::current(&self.control.node, &self.name).map(Cow::Owned).ok_or_else(gone)
    }

    /// Refuses the call unless its caller may do this.
    pub(super) async fn check(
        &self,
        action: Action,
        connection: &Connection,
        header: &Header<'_>,
    ) -> Result<(), Error> {
        access::check(action, &self.accounts, connection, header).await
    }

    /// Refuses a call that takes no options yet unless its caller may manage the Node. Gives the Node to manage.
    pub(super) async fn manage(
        &self,
        options: &Options,
        connection: &Connection,
        header: &Header<'_>,
    ) -> Result<&Node, Error> {
        self.check(Action::Manage, connection, header).await?;
        options::none(options)?;
        Ok(&self.control.node)
    }
}

/// Announces which properties differ between two snapshots of an object, all in one signal.
pub(super) async fn announce<S: Status>(
    connection: &Connection,
    before: &Object<S>,
    after: &Object<S>,
) -> zbus::Result<()>
where
    Object<S>: Interface,
{
    let emitter = SignalEmitter::new(connection, S::path(&after.name))?;
    let mut changed = HashMap::new();
    for name in S::announced().get_or_init(|| announced(after)) {
        let value = read(after, name, &emitter).await?;
        if value != read(before, name, &emitter).await? {
            changed.insert(&**name, value);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let interface = <Object<S> as Interface>::name();
    Properties::properties_changed(&emitter, interface, changed, Cow::Borrowed(&[])).await
}

async fn read<S: Status>(
    object: &Object<S>,
    property: &str,
    emitter: &SignalEmitter<'_>,
) -> zbus::Result<Variant<'static>>
where
    Object<S>: Interface,
{
    let connection = emitter.connection();
    let value = object.get(property, connection.object_server(), connection, None, emitter).await;
    let none = || zbus::Error::Failure(format!("there is no property {property}"));
    Ok(value.ok_or_else(none)?.map_err(|error| zbus::Error::DBus(error.into()))?.into())
}

fn announced<S: Status>(object: &Object<S>) -> Vec<String>
where
    Object<S>: Interface,
{
    let mut described = String::new();
    object.introspect_to_writer(&mut described, 0);
    let names = promised(&described).chain(S::UNPROMISED.iter().copied());
    names.map(str::to_owned).collect()
}

/// The properties that an introspection promises signals for: those without an annotation that says otherwise.
fn promised(described: &str) -> impl Iterator<Item = &str> {
    described.lines().filter_map(|line| {
        let (name, rest) = line.trim_start().strip_prefix("<property name=\"")?.split_once('"')?;
        rest.ends_with("/>").then_some(name)
    })
}

//! The properties of an object that others are told of when they change.

use std::borrow::Cow;
use std::collections::HashMap;

use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::{Variant, fdo};

/// Properties of one object, by name.
pub(super) type Values = Vec<(&'static str, Variant<'static>)>;

/// Tells of those properties that are not as they were.
pub(super) async fn tell(
    emitter: &SignalEmitter<'_>,
    interface: &'static str,
    before: &Values,
    now: &Values,
) -> zbus::Result<()> {
    let is_new = |entry: &&(&'static str, Variant<'static>)| !before.contains(entry);
    let changed: HashMap<&str, Variant<'_>> = now
        .iter()
        .filter(is_new)
        .map(|(name, value)| Ok((*name, value.try_clone()?)))
        .collect::<zbus::Result<_>>()?;
    if changed.is_empty() {
        return Ok(());
    }
    let interface = InterfaceName::from_static_str(interface)?;
    fdo::Properties::properties_changed(emitter, interface, changed, Cow::Borrowed(&[])).await
}

//! The trailing options of methods. One that this daemon does not know is refused: it would silently have no effect.

use std::collections::HashMap;

use zbus::OwnedVariant;

use super::error::Error;

/// Options by name.
pub(super) type Options = HashMap<String, OwnedVariant>;

/// Of a method that has none yet.
pub(super) fn none(options: &Options) -> Result<(), Error> {
    match options.keys().next() {
        None => Ok(()),
        Some(key) => Err(Error::InvalidArgument(format!("unknown option '{key}'"))),
    }
}

/// Of a method that has this one: its value, if the caller gave one.
pub(super) fn one<'o>(options: &'o Options, name: &str) -> Result<Option<&'o OwnedVariant>, Error> {
    match options.keys().find(|key| *key != name) {
        None => Ok(options.get(name)),
        Some(key) => Err(Error::InvalidArgument(format!(
            "unknown option '{key}': the only option is {name}"
        ))),
    }
}

//! The last argument of every method.

use std::collections::HashMap;

use zbus::Variant;

/// Trailing options of a method.
pub type Options<'a> = HashMap<&'a str, Variant<'a>>;

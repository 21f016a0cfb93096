//! Asks polkit what a caller on the bus may do.

use std::collections::HashMap;

use zbus::names::UniqueName;
use zbus::{Connection, Variant, fdo};

const SERVICE: &str = "org.freedesktop.PolicyKit1";
const PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const INTERFACE: &str = "org.freedesktop.PolicyKit1.Authority";

/// What systemd answers where the service has no unit, or its unit is masked.
const NOT_TO_BE_STARTED: [&str; 2] =
    ["org.freedesktop.systemd1.UnitMasked", "org.freedesktop.systemd1.NoSuchUnit"];

/// polkit may ask the user for a password.
const ALLOW_USER_INTERACTION: u32 = 1;

/// What polkit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    No,
    /// Yes, if the user gives a password.
    Perhaps,
    /// It is not installed here, or is switched off.
    NoPolkit,
}

/// Asks about a caller on this bus, by the caller's own name on it. With `may_ask` polkit may ask the
/// user, and the answer may take as long as the user does.
pub(super) async fn ask(
    bus: &Connection,
    caller: &UniqueName<'_>,
    action: &str,
    may_ask: bool,
) -> Result<Answer, zbus::Error> {
    let subject = ("system-bus-name", HashMap::from([("name", Variant::from(caller.as_str()))]));
    let details: HashMap<&str, &str> = HashMap::new();
    let flags = if may_ask { ALLOW_USER_INTERACTION } else { 0 };
    let question = (subject, action, details, flags, "");
    let reply =
        bus.call_method(Some(SERVICE), PATH, Some(INTERFACE), "CheckAuthorization", &question);
    match reply.await {
        Ok(reply) => {
            let body = reply.body();
            let (yes, perhaps, _): (bool, bool, HashMap<String, String>) = body.deserialize()?;
            Ok(match (yes, perhaps) {
                (true, _) => Answer::Yes,
                (false, true) => Answer::Perhaps,
                (false, false) => Answer::No,
            })
        }
        Err(error) if is_absent(&error) => Ok(Answer::NoPolkit),
        Err(error) => Err(error),
    }
}

/// Whether polkit's name has no owner, and systemd starts none for it.
fn is_absent(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::FDO(error) => {
            matches!(**error, fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_))
        }
        zbus::Error::MethodError(name, ..) => NOT_TO_BE_STARTED.contains(&name.as_str()),
        _ => false,
    }
}

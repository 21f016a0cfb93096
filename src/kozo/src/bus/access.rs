//! Who may do what.
//!
//! Everybody who can reach the objects may look at them. On the system bus polkit says who may do more,
//! and root may always. Where there is no polkit, and on the control socket, it is root, the user that
//! the Node runs as (on its own socket), and, for what changes nothing about the Node, the members of
//! group `kozo`.

use nix::unistd::{Group, Uid, User, geteuid, getgrouplist};
use std::ffi::CString;
use tokio::task::spawn_blocking;
use tracing::warn;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::{Flags, Header};

use super::error::Error;
use super::polkit::{self, Answer};

/// Whose members may inject and monitor.
const GROUP: &str = "kozo";

/// What takes more than to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Sending Messages.
    Inject,
    /// Seeing Messages.
    Monitor,
    /// Roles, links, the configuration.
    Manage,
}

impl Action {
    /// Its name for polkit.
    pub(super) fn id(self) -> &'static str {
        match self {
            Action::Inject => "org.kozo.inject",
            Action::Monitor => "org.kozo.monitor",
            Action::Manage => "org.kozo.manage",
        }
    }

    fn is_open_to_group(self) -> bool {
        self != Action::Manage
    }
}

/// Refuses the call unless its caller may do this.
pub(super) async fn check(
    action: Action,
    connection: &Connection,
    header: &Header<'_>,
) -> Result<(), Error> {
    let allowed = if connection.is_bus() {
        on_bus(action, connection, header).await?
    } else {
        on_socket(action, connection).await?
    };
    if allowed { Ok(()) } else { Err(refusal(action)) }
}

fn refusal(action: Action) -> Error {
    let who = match action.is_open_to_group() {
        true => "root and the members of group 'kozo' have it",
        false => "root has it",
    };
    Error::NotAllowed(format!("this takes the polkit action {}; by default {who}", action.id()))
}

async fn on_bus(
    action: Action,
    connection: &Connection,
    header: &Header<'_>,
) -> Result<bool, Error> {
    let Some(caller) = header.sender() else { return Ok(false) };
    let bus = DBusProxy::new(connection).await?;
    let user = bus.get_connection_unix_user(caller.clone().into()).await.map_err(|error| {
        Error::NotAllowed(format!("the bus does not say who is calling: {error}"))
    })?;
    if user == 0 {
        return Ok(true);
    }
    let may_ask = header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH);
    match polkit::ask(connection, caller, action.id(), may_ask).await {
        Ok(Answer::Yes) => Ok(true),
        Ok(Answer::No) => Ok(false),
        Ok(Answer::NoPolkit) => Ok(action.is_open_to_group() && is_member(user).await),
        Err(problem) => {
            warn!("polkit does not answer about {}: {problem}", action.id());
            Err(Error::NotAllowed(format!(
                "polkit does not answer about the action {}: {problem}",
                action.id()
            )))
        }
    }
}

async fn on_socket(action: Action, connection: &Connection) -> Result<bool, Error> {
    let unknown = |error| Error::NotAllowed(format!("it is not known who is calling: {error}"));
    let user = connection.peer_creds().await.map_err(unknown)?.unix_user_id();
    Ok(match user {
        None => false,
        Some(user) if user == 0 || user == geteuid().as_raw() => true,
        Some(user) => action.is_open_to_group() && is_member(user).await,
    })
}

/// Whether a user is a member of the group, as far as the system knows.
async fn is_member(user: u32) -> bool {
    // Users may be kept on a server.
    let member = spawn_blocking(move || -> Option<bool> {
        let group = Group::from_name(GROUP).ok()??;
        let user = User::from_uid(Uid::from_raw(user)).ok()??;
        let name = CString::new(user.name).ok()?;
        Some(getgrouplist(&name, user.gid).ok()?.contains(&group.gid))
    });
    member.await.ok().flatten().unwrap_or(false)
}

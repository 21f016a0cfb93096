//! Who may do what.
//!
//! Every user who can reach the objects may look at them. On the system bus polkit says who may do more,
//! and root always may. Where there is no polkit, and on the control socket, it is root, the user that
//! the Node runs as (on its own socket), and, for what changes nothing about the Node, the members of
//! group `kozo`. Programs of a Node, which are of its own user, may do nothing ([`descent`]); the control socket does
//! not even take their connections.

use nix::unistd::{Group, Uid, User, geteuid, getgrouplist};
use std::ffi::CString;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::message::{Flags, Header};
use zbus::names::{BusName, UniqueName};

use super::accounts::{Accounts, Share, is_own};
use super::error::Error;
use super::polkit::{self, Answer};
use crate::process::descent;

/// The group whose members may inject and monitor.
const GROUP: &str = "kozo";

/// How long a call waits for its turn while polkit is asked about others of its user.
const TURN: Duration = Duration::from_secs(2);

/// What does more than look.
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
    accounts: &Accounts,
    connection: &Connection,
    header: &Header<'_>,
) -> Result<(), Error> {
    if connection.is_bus() {
        return on_bus(action, accounts, connection, header).await;
    }
    match on_socket(action, connection).await? {
        true => Ok(()),
        false => Err(Error::NotAllowed(refusal(action))),
    }
}

fn refusal(action: Action) -> String {
    let who = match action.is_open_to_group() {
        true => "root and members of group 'kozo'",
        false => "root",
    };
    format!("not allowed: needs polkit action {} (by default {who} only)", action.id())
}

async fn on_bus(
    action: Action,
    accounts: &Accounts,
    connection: &Connection,
    header: &Header<'_>,
) -> Result<(), Error> {
    let Some(caller) = header.sender() else { return Err(Error::NotAllowed(refusal(action))) };
    let user = self::caller(connection, header).await?;
    if is_program(connection, caller, user).await {
        return Err(Error::NotAllowed("programs that a node started may not do this".to_owned()));
    }
    if user == 0 {
        return Ok(());
    }
    // The user may take any time to answer, and the call is kept until then.
    let held = timeout(TURN, accounts.take(user, Share::Checks, 1));
    let Ok(Some(_held)) = held.await else {
        return Err(Error::LimitsExceeded(
            "too many calls of yours, or of all users, are waiting for polkit".to_owned(),
        ));
    };
    let may_ask = header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH);
    match polkit::ask(connection, caller, action.id(), may_ask).await {
        Ok(Answer::Yes) => Ok(()),
        Ok(Answer::Perhaps) if !may_ask => {
            Err(Error::InteractiveAuthorizationRequired(refusal(action)))
        }
        Ok(Answer::NoPolkit) if action.is_open_to_group() && is_member(user).await => Ok(()),
        Ok(Answer::No | Answer::Perhaps | Answer::NoPolkit) => {
            Err(Error::NotAllowed(refusal(action)))
        }
        Err(problem) => {
            warn!("no answer from polkit about {}: {problem}", action.id());
            Err(Error::NotAllowed(format!(
                "no answer from polkit about the action {}: {problem}",
                action.id()
            )))
        }
    }
}

/// The user behind a connection to the bus.
pub(super) async fn user_of(bus: &Connection, caller: &UniqueName<'_>) -> zbus::fdo::Result<u32> {
    let proxy = DBusProxy::new(bus).await?;
    proxy.get_connection_unix_user(BusName::from(caller.clone())).await
}

/// Whether a caller on the bus is a program of a Node. One who has gone is taken for one.
async fn is_program(bus: &Connection, caller: &UniqueName<'_>, user: u32) -> bool {
    if user != geteuid().as_raw() {
        return false;
    }
    // The bus has a descriptor of the process too, but descriptors are not taken.
    let pid = process_of(bus, caller).await;
    pid.is_none_or(|pid| descent::is_program(user, pid, None))
}

/// The process behind a connection to the bus.
async fn process_of(bus: &Connection, caller: &UniqueName<'_>) -> Option<i32> {
    let proxy = DBusProxy::new(bus).await.ok()?;
    let pid = proxy.get_connection_unix_process_id(BusName::from(caller.clone())).await;
    i32::try_from(pid.ok()?).ok()
}

/// The process behind a call, as far as it is known.
pub(super) async fn process(connection: &Connection, header: &Header<'_>) -> Option<i32> {
    if connection.is_bus()
        && let Some(caller) = header.sender()
    {
        return process_of(connection, caller).await;
    }
    let pid = connection.peer_creds().await.ok()?.process_id()?;
    i32::try_from(pid).ok()
}

/// Whether a caller on the bus may do this without being asked for a password.
pub(super) async fn is_allowed(
    action: Action,
    bus: &Connection,
    caller: &UniqueName<'_>,
    user: u32,
) -> bool {
    match polkit::ask(bus, caller, action.id(), false).await {
        Ok(Answer::Yes) => true,
        Ok(Answer::NoPolkit) => action.is_open_to_group() && is_member(user).await,
        Ok(Answer::No | Answer::Perhaps) | Err(_) => false,
    }
}

/// The user behind a call.
pub(super) async fn caller(connection: &Connection, header: &Header<'_>) -> Result<u32, Error> {
    if connection.is_bus()
        && let Some(caller) = header.sender()
    {
        return user_of(connection, caller).await.map_err(|error| {
            Error::NotAllowed(format!("the bus does not identify the caller: {error}"))
        });
    }
    peer(connection).await?.ok_or_else(|| Error::NotAllowed("the caller is unknown".to_owned()))
}

async fn peer(connection: &Connection) -> Result<Option<u32>, Error> {
    let unknown = |error| Error::NotAllowed(format!("the caller is unknown: {error}"));
    Ok(connection.peer_creds().await.map_err(unknown)?.unix_user_id())
}

async fn on_socket(action: Action, connection: &Connection) -> Result<bool, Error> {
    Ok(match peer(connection).await? {
        None => false,
        Some(user) if is_own(user) => true,
        Some(user) => action.is_open_to_group() && is_member(user).await,
    })
}

/// Whether a user is a member of the group, as far as the system knows.
pub(super) async fn is_member(user: u32) -> bool {
    // Users may be kept on a server.
    let member = spawn_blocking(move || -> Option<bool> {
        let group = Group::from_name(GROUP).ok()??;
        let user = User::from_uid(Uid::from_raw(user)).ok()??;
        let name = CString::new(user.name).ok()?;
        Some(getgrouplist(&name, user.gid).ok()?.contains(&group.gid))
    });
    member.await.ok().flatten().unwrap_or(false)
}

//! Who comes in at a connection, and whether they may bring much.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use zbus::Connection;
use zbus::names::UniqueName;

use super::super::access::{self, Action};
use super::super::accounts::is_own;

/// How long polkit has to say whether a caller is admitted: no other call is read meanwhile.
const ANSWER: Duration = Duration::from_secs(1);

/// How long polkit is not asked again about a user that was not admitted.
const REFUSED: Duration = Duration::from_secs(5);

/// Most callers and users who are remembered.
const MOST: usize = 1024;

/// Where calls come from.
#[derive(Debug)]
pub(in super::super) enum Door {
    /// One user's own connection to the control socket.
    Socket { user: u32 },
    /// The bus.
    Bus(Callers),
    /// The bus too, but calls are dropped.
    Closed,
}

/// Those on the bus.
#[derive(Debug)]
pub(in super::super) struct Callers {
    /// Another connection to the same bus: what is asked here is answered while this one waits.
    asker: Connection,
    users: Mutex<HashMap<String, u32>>,
    refused: Mutex<HashMap<u32, Instant>>,
}

impl Callers {
    pub(in super::super) fn new(asker: Connection) -> Callers {
        Callers { asker, users: Mutex::default(), refused: Mutex::default() }
    }

    async fn user(&self, sender: &str) -> Option<u32> {
        let known = self.users.lock().unwrap_or_else(PoisonError::into_inner).get(sender).copied();
        if known.is_some() {
            return known;
        }
        let name = UniqueName::try_from(sender).ok()?;
        let user = timeout(ANSWER, access::user_of(&self.asker, &name)).await.ok()?.ok()?;
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= MOST {
            users.clear();
        }
        users.insert(sender.to_owned(), user);
        Some(user)
    }

    async fn is_admitted(&self, sender: &str, user: u32) -> bool {
        let lately = |refused: &HashMap<u32, Instant>| {
            refused.get(&user).is_some_and(|when| when.elapsed() < REFUSED)
        };
        if lately(&self.refused.lock().unwrap_or_else(PoisonError::into_inner)) {
            return false;
        }
        let Ok(name) = UniqueName::try_from(sender) else { return false };
        let asked = access::is_allowed(Action::Inject, &self.asker, &name, user);
        let is_admitted = matches!(timeout(ANSWER, asked).await, Ok(true));
        if !is_admitted {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            if refused.len() >= MOST {
                refused.clear();
            }
            refused.insert(user, Instant::now());
        }
        is_admitted
    }
}

impl Door {
    /// Whose call it is; none if that is not known, because they have gone.
    pub(super) async fn user(&self, sender: Option<&str>) -> Option<u32> {
        match self {
            Door::Socket { user } => Some(*user),
            Door::Bus(callers) => callers.user(sender?).await,
            Door::Closed => None,
        }
    }

    /// Whether they may send large Messages, without being asked for a password.
    pub(super) async fn is_admitted(&self, sender: Option<&str>, user: u32) -> bool {
        match self {
            Door::Socket { .. } => is_own(user) || access::is_member(user).await,
            Door::Bus(_) if user == 0 => true,
            Door::Bus(callers) => match sender {
                Some(sender) => callers.is_admitted(sender, user).await,
                None => false,
            },
            Door::Closed => false,
        }
    }

    /// Whether all calls are of one user, who can be made to wait.
    pub(super) fn is_of_one(&self) -> bool {
        matches!(self, Door::Socket { .. })
    }
}

//! Which user makes a call, and whether it may be large.

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
pub(in super::super) enum Authenticator {
    /// One user's own connection to the control socket.
    Socket { user: u32 },
    /// The bus.
    Bus(Callers),
    /// The bus too, but calls are dropped.
    Closed,
}

/// The callers on the bus, as far as they are known.
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

impl Authenticator {
    /// The user behind a call; none if the caller has gone already.
    pub(super) async fn user(&self, sender: Option<&str>) -> Option<u32> {
        match self {
            Authenticator::Socket { user } => Some(*user),
            Authenticator::Bus(callers) => callers.user(sender?).await,
            Authenticator::Closed => None,
        }
    }

    /// Whether the user may send large Messages without being asked for a password.
    pub(super) async fn is_admitted(&self, sender: Option<&str>, user: u32) -> bool {
        match self {
            Authenticator::Socket { .. } => is_own(user) || access::is_member(user).await,
            Authenticator::Bus(_) if user == 0 => true,
            Authenticator::Bus(callers) => match sender {
                Some(sender) => callers.is_admitted(sender, user).await,
                None => false,
            },
            Authenticator::Closed => false,
        }
    }

    /// Whether all calls are one user's, who can be made to wait.
    pub(super) fn is_of_one(&self) -> bool {
        matches!(self, Authenticator::Socket { .. })
    }
}

//! For whom a program runs: what its lines in the log, its environment and its folder go by.

use std::sync::Arc;

use crate::role::storage;

/// For whom a program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A Role of this name.
    Role(Arc<str>),
    /// A Transport of this name.
    Transport(Arc<str>),
}

impl Owner {
    /// Its name, if it is a Role: a field of log lines.
    pub fn role(&self) -> Option<&str> {
        match self {
            Owner::Role(name) => Some(name),
            Owner::Transport(_) => None,
        }
    }

    /// Its name, if it is a Transport: a field of log lines.
    pub fn transport(&self) -> Option<&str> {
        match self {
            Owner::Role(_) => None,
            Owner::Transport(name) => Some(name),
        }
    }

    /// The variable that tells a program its name, and that name.
    pub(super) fn variable(&self) -> (&'static str, &str) {
        match self {
            Owner::Role(name) => ("KOZO_ROLE", name),
            Owner::Transport(name) => ("KOZO_TRANSPORT", name),
        }
    }

    /// The name of its own folder: no other file of its Node's has it.
    pub(super) fn folder_name(&self) -> String {
        match self {
            Owner::Role(name) => format!("{}.files", storage::file_name(name)),
            Owner::Transport(name) => format!("{}.transport", storage::file_name(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_one_is_no_file_of_another() {
        let role = |name: &str| Owner::Role(name.into()).folder_name();
        assert_eq!(role("bell"), "bell.files");
        assert_eq!(storage::file_name("bell.files"), "bell%2Efiles");
        assert_eq!(storage::file_name("bell.transport"), "bell%2Etransport");
        assert_eq!(Owner::Transport("bell".into()).folder_name(), "bell.transport");
        assert_eq!(role("bell.transport"), "bell%2Etransport.files");
    }
}

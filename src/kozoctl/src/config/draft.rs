//! A new Node as text: what a configuration says of it, with comments for whoever reads it there.

use std::fmt::Write as _;
use std::path::Path;

use kozo_core::config::edit::{NodeText, scalar};
use kozo_core::config::{Registry, Schema};

use super::place::Place;

/// Where the service keeps what Nodes store; each has a folder of its own in it.
const STATE: &str = "/var/lib/kozo";

/// Where the service writes logs.
const LOGS: &str = "/var/log/kozo";

/// A Role as the command line names it: `NAME`, or `NAME=TYPE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleArgument {
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) role_type: String,
}

impl std::str::FromStr for RoleArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, role_type) = text.split_once('=').unwrap_or((text, text));
        if name.trim().is_empty() || role_type.trim().is_empty() {
            return Err("it is NAME or NAME=TYPE, for instance timer1=timer".to_owned());
        }
        Ok(RoleArgument { name: name.trim().to_owned(), role_type: role_type.trim().to_owned() })
    }
}

/// An option of a Role as the command line sets it: `ROLE.OPTION=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The name of the Role.
    pub(crate) role: String,
    /// The name of the option.
    pub(crate) option: String,
    /// Its value.
    pub(crate) value: String,
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(path, value)| {
            // Names of options have no dots in them, those of Roles may.
            let (role, option) = path.rsplit_once('.')?;
            let whole = !role.is_empty() && !option.is_empty();
            whole.then(|| (role.to_owned(), option.to_owned(), value.to_owned()))
        });
        let (role, option, value) = parts
            .ok_or_else(|| "it is ROLE.OPTION=VALUE, for instance timer1.tick=5s".to_owned())?;
        Ok(Setting { role, option, value })
    }
}

/// All that is known of the Node.
pub(super) struct Draft<'a> {
    pub(super) node: &'a str,
    pub(super) private_key: &'a Path,
    /// The line of the public key.
    pub(super) public_key: &'a str,
    pub(super) roles: &'a [RoleArgument],
    pub(super) settings: &'a [Setting],
    pub(super) address: &'a str,
    /// Where it listens, if that is not the usual port.
    pub(super) port: Option<u16>,
}

impl Draft<'_> {
    /// The text of the Node, in a configuration at that place, in which levels are `indent` columns
    /// apart.
    pub(super) fn text(&self, place: &Place, registry: &Registry, indent: usize) -> NodeText {
        let mut out = Lines { text: String::new(), indent };
        out.line(0, &format!("{}:", scalar(self.node)));
        out.line(1, "# Its private key, on its own machine only.");
        out.option(1, "privateKey", &self.private_key.to_string_lossy());
        out.line(1, "# Its public key: who it is to all others.");
        out.option(1, "publicKey", self.public_key);
        let schema = |role: &RoleArgument| {
            registry.roles.iter().find(|schema| *schema.name == *role.role_type)
        };
        // What is not known here may need it.
        let stores = |role| schema(role).is_none_or(|schema| schema.needs_storage);
        if self.roles.iter().any(stores) {
            out.line(1, "# Where its Roles keep what they remember.");
            out.option(1, "roleStorage", &self.storage(place));
        }
        if !self.roles.is_empty() {
            out.line(1, "# What it does.");
            out.line(1, "roles:");
        }
        for role in self.roles {
            self.role(&mut out, role, schema(role), place);
        }
        out.line(1, "transports:");
        out.line(2, "# Where the others reach it: names and addresses, separated by commas.");
        out.line(2, "tcp:");
        out.option(3, "address", self.address);
        if let Some(port) = self.port {
            out.line(3, "# Where it listens.");
            out.option(3, "port", &port.to_string());
        }
        NodeText { name: self.node.to_owned(), comments: String::new(), text: out.text }
    }

    fn role(&self, out: &mut Lines, role: &RoleArgument, schema: Option<&Schema>, place: &Place) {
        if let Some(schema) = schema {
            out.line(2, &format!("# {}", schema.description.replace('`', "")));
        }
        out.line(2, &format!("{}:", scalar(&role.name)));
        let set = |option: &str| {
            self.settings.iter().any(|it| it.role == role.name && it.option == option)
        };
        let mut options: Vec<_> = self.usual(&role.role_type, place).into_iter().collect();
        options.retain(|(option, _)| !set(option));
        let own = self.settings.iter().filter(|it| it.role == role.name);
        options.extend(own.map(|it| (it.option.as_str(), it.value.clone())));
        // A block is not left empty: that would look forgotten.
        if role.name != role.role_type || options.is_empty() {
            out.option(3, "type", &role.role_type);
        }
        for (option, value) in &options {
            out.option(3, option, value);
        }
    }

    /// What most will want to change sooner or later, with what is sensible to begin with.
    fn usual(&self, role_type: &str, place: &Place) -> Option<(&'static str, String)> {
        match role_type {
            "timer" => Some(("tick", "10s".to_owned())),
            "logger" if place.service => Some(("file", format!("{LOGS}/{}.log", self.node))),
            "logger" => Some(("file", self.beside(place, "log"))),
            "message_injector" => Some(("bindPort", "7050".to_owned())),
            _ => None,
        }
    }

    /// Two Nodes of one machine cannot have one folder.
    fn storage(&self, place: &Place) -> String {
        if place.service { format!("{STATE}/{}", self.node) } else { self.beside(place, "storage") }
    }

    fn beside(&self, place: &Place, what: &str) -> String {
        place.folder.join(format!("{}.{what}", self.node)).to_string_lossy().into_owned()
    }
}

struct Lines {
    text: String,
    indent: usize,
}

impl Lines {
    fn line(&mut self, level: usize, line: &str) {
        // Writing to memory cannot fail.
        let _ = writeln!(self.text, "{:1$}{line}", "", level * self.indent);
    }

    fn option(&mut self, level: usize, name: &str, value: &str) {
        self.line(level, &format!("{}: {}", scalar(name), scalar(value)));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let role = |text: &str| text.parse::<RoleArgument>().map(|it| (it.name, it.role_type));
        assert_eq!(role("logger"), Ok(("logger".to_owned(), "logger".to_owned())));
        assert_eq!(role("timer1=timer"), Ok(("timer1".to_owned(), "timer".to_owned())));
        assert!(role("=timer").is_err() && role("timer1=").is_err() && role("").is_err());
        let set: Setting = "my.role.message=a = b".parse().unwrap();
        assert_eq!((&*set.role, &*set.option, &*set.value), ("my.role", "message", "a = b"));
        assert!("tick=5".parse::<Setting>().is_err() && "timer1.tick".parse::<Setting>().is_err());
    }
}

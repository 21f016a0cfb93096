//! A new Node as text: what a configuration says of it, with comments for people who read it there.

use std::fmt::Write as _;
use std::path::Path;

use kozo_core::config::edit::{NodeText, scalar};
use kozo_core::config::{Listens, Registry, SampleOption, Schema};
use kozo_core::places::{LOGS, STATE};

use super::file::ConfigFile;
use crate::arguments::{RoleArgument, Setting};

/// The Transport that a new Node has: the first type of which it is known where it listens.
#[derive(Clone, Copy)]
pub(super) struct Listening<'a> {
    pub(super) schema: &'a Schema,
    /// The names of its options.
    pub(super) options: &'a Listens,
    /// The port at which it listens unless it is told otherwise.
    pub(super) usual_port: u16,
}

impl Listening<'_> {
    pub(super) fn first(registry: &Registry) -> Option<Listening<'_>> {
        registry.transports.iter().find_map(|schema| {
            let (options, usual_port) = (schema.listens.as_ref()?, schema.usual_port()?);
            Some(Listening { schema, options, usual_port })
        })
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
    pub(super) transport: Listening<'a>,
    pub(super) address: &'a str,
    /// Where it listens, if that is not the usual port.
    pub(super) port: Option<u16>,
}

impl Draft<'_> {
    /// The text of the Node, in a configuration at that place, in which levels are `indent` columns
    /// apart.
    pub(super) fn text(
        &self,
        config_file: &ConfigFile,
        registry: &Registry,
        indent: usize,
    ) -> NodeText {
        let mut out = Lines { text: String::new(), indent };
        out.line(0, &format!("{}:", scalar(self.node)));
        out.comment(1, "Its private key, on its own machine only.");
        out.option(1, "privateKey", &self.private_key.to_string_lossy());
        out.comment(1, "Its public key, by which other Nodes recognize it.");
        out.option(1, "publicKey", self.public_key);
        let schema = |role: &RoleArgument| registry.role(&role.role_type);
        // What is not known here may need it.
        let stores = |role| schema(role).is_none_or(|schema| schema.needs_storage);
        if self.roles.iter().any(stores) {
            out.comment(1, "Where its Roles store state.");
            out.option(1, "roleStorage", &self.storage(config_file));
        }
        if !self.roles.is_empty() {
            out.comment(1, "Its Roles.");
            out.line(1, "roles:");
        }
        for role in self.roles {
            self.role(&mut out, role, schema(role), config_file);
        }
        out.line(1, "transports:");
        self.transport(&mut out);
        NodeText { name: self.node.to_owned(), comments: String::new(), text: out.text }
    }

    fn role(
        &self,
        out: &mut Lines,
        role: &RoleArgument,
        schema: Option<&Schema>,
        config_file: &ConfigFile,
    ) {
        out.head(schema, &role.name);
        let set = |option: &str| {
            self.settings.iter().any(|it| it.role == role.name && it.option == option)
        };
        let mut options = schema.map(|schema| self.usual(schema, config_file)).unwrap_or_default();
        options.retain(|(option, _)| !set(option));
        let own = self.settings.iter().filter(|it| it.role == role.name);
        options.extend(own.map(|it| (it.option.as_str(), it.value.clone())));
        // A block is not left empty: that would look forgotten.
        if role.name != role.role_type || options.is_empty() {
            out.option(3, "type", &role.role_type);
        }
        for (option, value) in &options {
            out.sampled(schema, option, value);
        }
    }

    fn transport(&self, out: &mut Lines) {
        let Listening { schema, options, .. } = self.transport;
        out.head(Some(schema), &schema.name);
        out.sampled(Some(schema), &options.address, self.address);
        if let Some(port) = self.port {
            out.sampled(Some(schema), &options.port, &port.to_string());
        }
    }

    /// What most will want to change sooner or later, with what is sensible to begin with.
    fn usual<'s>(&self, schema: &'s Schema, config_file: &ConfigFile) -> Vec<(&'s str, String)> {
        let files = schema.writes.iter();
        let files = files.map(|file| (&*file.option, self.file(config_file, &file.extension)));
        let samples =
            schema.sample.options.iter().filter_map(|SampleOption { option, value, .. }| {
                Some((&**option, value.as_ref()?.to_string()))
            });
        files.chain(samples).collect()
    }

    /// Two Nodes of one machine cannot have one folder.
    fn storage(&self, config_file: &ConfigFile) -> String {
        if config_file.service {
            format!("{STATE}/{}", self.node)
        } else {
            self.beside(config_file, "storage")
        }
    }

    /// Nor one file.
    fn file(&self, config_file: &ConfigFile, extension: &str) -> String {
        if config_file.service {
            format!("{LOGS}/{}.{extension}", self.node)
        } else {
            self.beside(config_file, extension)
        }
    }

    fn beside(&self, config_file: &ConfigFile, what: &str) -> String {
        config_file.folder.join(format!("{}.{what}", self.node)).to_string_lossy().into_owned()
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

    fn comment(&mut self, level: usize, comment: &str) {
        self.line(level, &format!("# {comment}"));
    }

    fn option(&mut self, level: usize, name: &str, value: &str) {
        self.line(level, &format!("{}: {}", scalar(name), scalar(value)));
    }

    /// The name of a Role or Transport, below what its type says of itself.
    fn head(&mut self, schema: Option<&Schema>, name: &str) {
        if let Some(schema) = schema {
            let comment = schema.sample.comment.as_ref().unwrap_or(&schema.description);
            self.comment(2, &comment.replace('`', ""));
        }
        self.line(2, &format!("{}:", scalar(name)));
    }

    /// An option of a Role or Transport, below what its type says of it.
    fn sampled(&mut self, schema: Option<&Schema>, option: &str, value: &str) {
        let sample = schema.and_then(|schema| schema.sample_of(option));
        if let Some(comment) = sample.and_then(|sample| sample.comment.as_ref()) {
            self.comment(3, comment);
        }
        self.option(3, option, value);
    }
}

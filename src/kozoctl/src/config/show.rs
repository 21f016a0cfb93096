//! A checked System as a tree of the shape of the file, to be written as YAML or JSON.

use std::time::Duration;

use indexmap::IndexMap;
use kozo_core::config::{
    ConnectPolicy, Limits, NodeConfig, OptionValue, Options, RootOptions, System, show_duration,
    show_size,
};
use serde::Serialize;

/// A part of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Item {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// A whole number that may be below zero.
    Signed(i64),
    /// Any other number.
    Fraction(f64),
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
    /// A block, in the order of the file.
    Block(Block),
}

type Block = IndexMap<String, Item>;

/// How durations and sizes are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Numbers {
    /// As numbers of seconds and bytes, for programs.
    Plain,
    /// With units, for people.
    Units,
}

/// The whole System. Options of the top level that are the same for all Nodes are written there.
pub(super) fn system(system: &System, numbers: Numbers) -> Item {
    let writer = Writer { numbers };
    let own: Vec<_> = system.nodes.iter().map(|node| writer.root(&node.options)).collect();
    let common: Block = own.first().map_or_else(Block::new, |first| {
        let same = |name: &String, item: &Item| own.iter().all(|own| own.get(name) == Some(item));
        let entries = first.iter().filter(|(name, item)| same(name, item));
        entries.map(|(name, item)| (name.clone(), item.clone())).collect()
    });
    let mut nodes = Block::new();
    for (node, mut own) in system.nodes.iter().zip(own) {
        own.retain(|name, _| !common.contains_key(name));
        nodes.insert(node.name.clone(), writer.node(node, own));
    }
    let mut file = common;
    file.insert("system".to_owned(), Item::Block(nodes));
    Item::Block(file)
}

/// One Node by itself, with the options of the top level as they hold for it.
pub(super) fn node(node: &NodeConfig) -> Item {
    let writer = Writer { numbers: Numbers::Units };
    writer.node(node, writer.root(&node.options))
}

struct Writer {
    numbers: Numbers,
}

impl Writer {
    fn root(&self, options: &RootOptions) -> Block {
        let paths = |paths: &[std::path::PathBuf]| {
            Item::List(paths.iter().map(|path| path.to_string_lossy().into_owned()).collect())
        };
        let Limits { length, size } = options.outgoing_queue;
        let mut block = Block::new();
        let mut add = |name: &str, item: Item| block.insert(name.to_owned(), item);
        add("heartbeat", self.duration(options.heartbeat));
        add("connectionRetry", self.duration(options.connection_retry));
        add("outgoingQueueLength", number(length));
        add("outgoingQueueSize", self.size(size));
        add("maxBufferReadSize", self.size(options.max_buffer_read_size));
        for (name, value) in [("cipher", &options.cipher), ("hmac", &options.hmac)] {
            if let Some(value) = value {
                add(name, Item::Text(value.clone()));
            }
        }
        for (name, folders) in [
            ("rolePath", &options.role_path),
            ("transportPath", &options.transport_path),
            ("importPath", &options.import_path),
        ] {
            if !folders.is_empty() {
                add(name, paths(folders));
            }
        }
        block
    }

    fn node(&self, node: &NodeConfig, overridden: Block) -> Item {
        let mut block = Block::new();
        let mut add = |name: &str, item: Item| block.insert(name.to_owned(), item);
        add("privateKey", Item::Text(node.private_key.to_string_lossy().into_owned()));
        // A key that was read can be written.
        add("publicKey", Item::Text(node.public_key.to_openssh().unwrap_or_default()));
        if let Some(folder) = &node.role_storage {
            add("roleStorage", Item::Text(folder.to_string_lossy().into_owned()));
        }
        add("selfToOthersConnectPolicy", policy(node.self_to_others));
        add("othersToSelfConnectPolicy", policy(node.others_to_self));
        if !overridden.is_empty() {
            add("overrideMainConfiguration", Item::Block(overridden));
        }
        let mut roles = Block::new();
        for role in &node.roles {
            let mut block = Block::new();
            block.insert("type".to_owned(), Item::Text(role.role_type.clone()));
            if let Some(description) = &role.description {
                block.insert("description".to_owned(), Item::Text(description.clone()));
            }
            block.insert("messageQueueLength".to_owned(), number(role.queue.length));
            block.insert("messageQueueSize".to_owned(), self.size(role.queue.size));
            self.options(&role.options, &mut block);
            roles.insert(role.name.clone(), Item::Block(block));
        }
        let mut transports = Block::new();
        for transport in &node.transports {
            let mut block = Block::new();
            block.insert("type".to_owned(), Item::Text(transport.transport_type.clone()));
            self.options(&transport.options, &mut block);
            transports.insert(transport.name.clone(), Item::Block(block));
        }
        for (name, blocks) in [("roles", roles), ("transports", transports)] {
            if !blocks.is_empty() {
                block.insert(name.to_owned(), Item::Block(blocks));
            }
        }
        Item::Block(block)
    }

    fn options(&self, options: &Options, block: &mut Block) {
        for (name, value) in &options.0 {
            let item = match value {
                OptionValue::Flag(flag) => Item::Flag(*flag),
                OptionValue::Integer(number) => Item::Signed(*number),
                OptionValue::Number(number) => Item::Fraction(*number),
                OptionValue::Duration(duration) => self.duration(*duration),
                OptionValue::Size(bytes) => self.size(*bytes),
                OptionValue::Text(text) => Item::Text(text.clone()),
                OptionValue::Path(path) => Item::Text(path.to_string_lossy().into_owned()),
                OptionValue::List(list) => Item::List(list.clone()),
                OptionValue::Variables(variables) => {
                    let texts = variables
                        .iter()
                        .map(|(name, text)| (name.clone(), Item::Text(text.clone())));
                    Item::Block(texts.collect())
                }
                OptionValue::Block(options) => {
                    let mut block = Block::new();
                    self.options(options, &mut block);
                    Item::Block(block)
                }
            };
            block.insert(name.clone(), item);
        }
    }

    fn duration(&self, duration: Duration) -> Item {
        match self.numbers {
            Numbers::Units if duration.subsec_nanos().is_multiple_of(1_000_000) => {
                Item::Text(show_duration(duration))
            }
            _ if duration.subsec_nanos() == 0 => Item::Number(duration.as_secs()),
            _ => Item::Fraction(duration.as_secs_f64()),
        }
    }

    fn size(&self, bytes: impl TryInto<u64>) -> Item {
        let bytes = bytes.try_into().unwrap_or(u64::MAX);
        match self.numbers {
            Numbers::Plain => Item::Number(bytes),
            Numbers::Units => Item::Text(show_size(bytes)),
        }
    }
}

fn number(value: usize) -> Item {
    Item::Number(u64::try_from(value).unwrap_or(u64::MAX))
}

fn policy(policy: ConnectPolicy) -> Item {
    Item::Text(policy.name().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::path::Path;

    use kozo_core::config::load;
    use kozo_core::types;

    use super::*;

    /// Every good file of the corpus of configurations.
    #[test]
    fn what_is_shown_means_the_same() {
        let registry = types::built_in();
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/config");
        let folder = tempfile::tempdir().unwrap();
        let again = folder.path().join("again.yml");
        let mut good = 0;
        for entry in std::fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            let Ok(loaded) = load(&path, None, &registry) else { continue };
            for numbers in [Numbers::Plain, Numbers::Units] {
                let text = serde_saphyr::to_string(&system(&loaded.system, numbers)).unwrap();
                std::fs::write(&again, &text).unwrap();
                let read = load(&again, None, &registry);
                let read =
                    read.unwrap_or_else(|error| panic!("{}\n{text}\n{error}", path.display()));
                assert_eq!(read.system, loaded.system, "{}\n{text}", path.display());
            }
            good += 1;
        }
        assert!(good >= 5, "only {good} files of the corpus are good");
    }
}

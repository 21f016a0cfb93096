//! The configuration file: any text is a System, or is refused with something to say about it.
#![no_main]

use std::sync::LazyLock;

use kozo::config::{self, Registry};
use kozo::node::Types;
use libfuzzer_sys::fuzz_target;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Types::built_in().registry());

fuzz_target!(|text: &str| {
    // No Node is named, for its private key would be read from wherever the text says.
    match config::check("config.yml", text, None, &REGISTRY) {
        Ok(loaded) => assert!(!loaded.system.nodes.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

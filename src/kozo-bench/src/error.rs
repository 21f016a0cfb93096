//! What keeps a part from being played.

use std::io;
use std::path::PathBuf;

use kozo::config::ConfigError;
use kozo::keygen::KeygenError;
use kozo::node::StartError;

/// Why a part could not be played.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The system refused something that nothing runs without.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The log filter makes no sense.
    #[error("{0}")]
    Log(String),
    /// A file cannot be read or moved.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate has no key that can be used.
    #[error("{} is no PEM certificate with a P-256 key", .0.display())]
    Certificate(PathBuf),
    /// A key cannot be written as text.
    #[error("a key cannot be written as text: {0}")]
    Key(#[from] ssh_key::Error),
    /// No key can be made.
    #[error(transparent)]
    Keygen(#[from] KeygenError),
    /// All keys for receivers are in use, or there are none.
    #[error("no key for a receiver is left in {}: the sender, which makes them, comes first", .0.display())]
    NoKey(PathBuf),
    /// What was made of all that is no System.
    #[error("the configuration is refused\n\n{0}")]
    Config(#[from] ConfigError),
    /// The Node does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

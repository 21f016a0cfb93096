//! What an administrator may do to the running Node as a whole.

use std::path::{Path, PathBuf};

use kozo_client::{Client, Error};
use kozo_core::names::check_node_name;
use kozo_core::places;
use tokio::task::spawn_blocking;
use tracing::{error, warn};

use crate::class;
use crate::config::{self, ConfigError};
use crate::node::{Node, Reloaded, StartError, Types};
use crate::role::Host as _;
use crate::service::Reloading;

/// A running Node, with where its configuration comes from.
pub struct Control {
    /// The Node.
    pub node: Node,
    /// The configuration file.
    pub config: PathBuf,
    /// The types that the configuration may name.
    pub types: Types,
}

/// Why a changed configuration does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file cannot be read, or something is wrong with it: everything, with lines and columns.
    #[error("{0}")]
    Configuration(String),
    /// It cannot be applied.
    #[error(transparent)]
    Apply(#[from] StartError),
}

impl Control {
    /// Reads the configuration file again and applies what has changed. What is wrong is logged too.
    ///
    /// # Errors
    /// When the file is refused or cannot be applied; then everything is as it was.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let _told_to_systemd = Reloading::begin();
        let result = self.load_and_apply().await;
        if let Err(refused) = &result {
            error!(
                class = class::RELOAD_REFUSED,
                "reload refused, keeping the current configuration: {refused}"
            );
        }
        result
    }

    async fn load_and_apply(&self) -> Result<Reloaded, ReloadError> {
        let (file, registry) = (self.config.clone(), self.types.registry());
        let name = self.node.node_name().to_owned();
        // The disk may be slow.
        let loaded = spawn_blocking(move || config::load(&file, Some(&name), &registry));
        let refused = |error: &ConfigError| ReloadError::Configuration(plain(error));
        let loaded = match loaded.await {
            Ok(loaded) => loaded.map_err(|error| refused(&error))?,
            Err(panic) => return Err(ReloadError::Configuration(panic.to_string())),
        };
        for warning in &loaded.warnings {
            warn!("{warning}");
        }
        let none = || ReloadError::Configuration("it has no private key of this node".to_owned());
        Ok(self.node.reload(loaded.local.ok_or_else(none)?).await?)
    }
}

/// Asks a Node that runs here to [reload](Control::reload), over its control socket, and waits until it has.
///
/// # Errors
/// When it cannot be reached, or refuses its configuration.
pub async fn ask_to_reload(node: &str) -> Result<(), Error> {
    let nowhere = || Error::NoDaemon { node: Some(node.to_owned()), attempts: Vec::new() };
    if check_node_name(node).is_err() {
        return Err(nowhere());
    }
    // The one of systemd first, which calls this for its own.
    let of_service = Path::new(places::SYSTEM).join(node);
    let folders = [Some(of_service), places::own_folder(node)];
    let trusted = |folder: &PathBuf| folder.parent().is_some_and(places::is_trustworthy);
    let sockets =
        folders.into_iter().flatten().filter(trusted).map(|folder| folder.join(places::SOCKET));
    let socket = sockets.into_iter().find(|socket| socket.exists()).ok_or_else(nowhere)?;
    let client = Client::at_socket(&socket).await.map_err(|error| match error {
        Error::NoDaemon { .. } => nowhere(),
        other => other,
    })?;
    client.reload().await.map(|_| ())
}

fn plain(error: &ConfigError) -> String {
    error.render(false).trim_end().to_owned()
}

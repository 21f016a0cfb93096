//! What an administrator may do to the running Node as a whole.

use std::path::PathBuf;

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
                "the configuration was not reloaded, and the one before holds: {refused}"
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
        let none = || ReloadError::Configuration("it has no private key for this node".to_owned());
        Ok(self.node.reload(loaded.local.ok_or_else(none)?).await?)
    }
}

fn plain(error: &ConfigError) -> String {
    error.render(false).trim_end().to_owned()
}

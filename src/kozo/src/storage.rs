//! What a Role keeps on disk.

use std::path::PathBuf;

/// Where one Role keeps one value.
#[derive(Clone, Debug)]
pub struct Storage {
    path: PathBuf,
}

impl Storage {
    /// The storage of the Role of this name, in the folder `roleStorage`.
    pub fn new(folder: &std::path::Path, role: &str) -> Storage {
        Storage { path: folder.join(role) }
    }
}

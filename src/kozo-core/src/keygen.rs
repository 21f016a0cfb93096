//! Making the key pair of a Node.
//!
//! The private half goes into a file that only its owner can read, from its first moment on; the
//! public half is what the configuration of the System needs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};

use crate::private_key::{self, PrivateKeyError};

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum KeygenError {
    /// There is something at its place already, which may be a key that is needed.
    #[error("{} exists already, and a key is never overwritten", .0.display())]
    Exists(PathBuf),
    /// The file cannot be written; nothing of it is left.
    #[error("cannot write the key {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The key cannot be made.
    #[error("cannot make a key: {0}")]
    Make(#[from] ssh_key::Error),
    /// The file cannot be read.
    #[error("cannot read the key {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no private key, or has a passphrase.
    #[error("cannot read the key {}: {source}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PrivateKeyError,
    },
}

/// Makes an Ed25519 key pair, writes the private key to a new file in OpenSSH's format, readable by
/// its owner alone, and returns the public one. The comment is part of both.
///
/// # Errors
/// When the file exists or cannot be written. An existing file is never touched.
pub fn generate(path: &Path, comment: &str) -> Result<PublicKey, KeygenError> {
    let mut key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)?;
    key.set_comment(comment);
    let text = key.to_openssh(LineEnding::LF)?;
    let unwritten = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeygenError::Exists(path.to_owned()),
        _ => KeygenError::Write { path: path.to_owned(), source },
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(unwritten)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|source| {
        // Half a key is of no use, and would stand in the way of the next attempt.
        let _ = fs::remove_file(path);
        KeygenError::Write { path: path.to_owned(), source }
    })?;
    Ok(key.public_key().clone())
}

/// The public half of a private key that is there already.
///
/// # Errors
/// When the file cannot be read, or is not a private key without a passphrase.
pub fn public_half(path: &Path) -> Result<PublicKey, KeygenError> {
    let text = fs::read_to_string(path)
        .map_err(|source| KeygenError::Read { path: path.to_owned(), source })?;
    let key = private_key::decode(&text)
        .map_err(|source| KeygenError::NoKey { path: path.to_owned(), source })?;
    Ok(key.public_key().clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_pair_belongs_together_and_the_private_half_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock.key");
        let public = generate(&path, "kozo-clock").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(fs::read_to_string(&path).unwrap().starts_with("-----BEGIN OPENSSH PRIVATE KEY"));
        let private = PrivateKey::read_openssh_file(&path).unwrap();
        assert_eq!(private.public_key(), &public);
        assert_eq!(public_half(&path).unwrap(), public);
        let line = public.to_openssh().unwrap();
        assert!(line.starts_with("ssh-ed25519 ") && line.ends_with(" kozo-clock"), "{line}");
    }

    #[test]
    fn no_two_are_alike() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] =
            ["one", "two"].map(|name| generate(&folder.path().join(name), "").unwrap());
        assert_ne!(one.key_data(), two.key_data());
    }

    #[test]
    fn what_exists_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock.key");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(generate(&path, "").unwrap_err(), KeygenError::Exists(_)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let nowhere = folder.path().join("missing/clock.key");
        let error = generate(&nowhere, "").unwrap_err().to_string();
        assert!(error.contains("missing/clock.key"), "{error}");
    }
}

//! Private keys as files have them: in OpenSSH's own format, in PEM as OpenSSL writes it, or in PuTTY's.

use data_encoding::{BASE64_MIME, DecodeError};
use rsa::RsaPrivateKey;
use rsa::pkcs1::{self, DecodeRsaPrivateKey as _};
use rsa::pkcs8::DecodePrivateKey as _;
use ssh_key::PrivateKey;
use ssh_key::private::{EcdsaKeypair, Ed25519Keypair, KeypairData, RsaKeypair};

/// Why a text is not a private key that can be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateKeyError {
    /// It has a passphrase.
    #[error("The key is encrypted")]
    Encrypted,
    /// It is in no format that is known, or has a key of another type in it.
    #[error("Could not read key")]
    Unknown,
    /// What is between the lines of dashes is not Base64.
    #[error("Base64 decoding error: {0}")]
    Base64(#[from] DecodeError),
    /// The content is damaged.
    #[error("SshKey: {0}")]
    Damaged(#[from] ssh_key::Error),
    /// The content of an RSA key is damaged.
    #[error("Pkcs1: {0}")]
    DamagedRsa(#[from] pkcs1::Error),
}

/// Reads a private key without a passphrase.
///
/// # Errors
/// When it has a passphrase, or is not one at all.
pub fn decode(text: &str) -> Result<PrivateKey, PrivateKeyError> {
    if text.trim_start().starts_with("PuTTY-User-Key-File-") {
        return Ok(PrivateKey::from_ppk(text, None)?);
    }
    let header: String = text.lines().take(4).collect();
    if header.contains("ENCRYPTED") {
        return Err(PrivateKeyError::Encrypted);
    }
    let (label, content) = unwrapped(text).ok_or(PrivateKeyError::Unknown)?;
    let content = BASE64_MIME.decode(content.as_bytes())?;
    match label {
        "OPENSSH PRIVATE KEY" => match PrivateKey::from_bytes(&content)? {
            key if key.is_encrypted() => Err(PrivateKeyError::Encrypted),
            key => Ok(key),
        },
        "RSA PRIVATE KEY" => Ok(of_rsa(RsaPrivateKey::from_pkcs1_der(&content)?)?.try_into()?),
        "PRIVATE KEY" | "EC PRIVATE KEY" => {
            Ok(of_any_type(&content).ok_or(PrivateKeyError::Unknown)??.try_into()?)
        }
        _ => Err(PrivateKeyError::Unknown),
    }
}

/// The label of the first PEM block with a private key, and the Base64 in it. Lines may be of any length, and
/// other blocks before it, as the parameters that OpenSSL writes before an EC key.
fn unwrapped(text: &str) -> Option<(&str, String)> {
    let mut lines = text.lines();
    let label = lines.find_map(|line| {
        let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
        label.ends_with("PRIVATE KEY").then_some(label)
    })?;
    let in_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '+' | '=');
    let content = lines
        .take_while(|line| !line.starts_with("-----END "))
        .filter(|line| line.chars().all(in_base64));
    Some((label, content.collect()))
}

/// The key pair in PKCS#8, or in SEC1, by whose type it is.
fn of_any_type(der: &[u8]) -> Option<Result<KeypairData, ssh_key::Error>> {
    if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(der) {
        return Some(Ok(Ed25519Keypair::from(key).into()));
    }
    if let Ok(key) = RsaPrivateKey::from_pkcs8_der(der) {
        return Some(of_rsa(key));
    }
    let pair = if let Ok(key) = p256::SecretKey::from_der(der) {
        EcdsaKeypair::NistP256 { public: key.public_key().into(), private: key.into() }
    } else if let Ok(key) = p384::SecretKey::from_der(der) {
        EcdsaKeypair::NistP384 { public: key.public_key().into(), private: key.into() }
    } else {
        let key = p521::SecretKey::from_der(der).ok()?;
        EcdsaKeypair::NistP521 { public: key.public_key().into(), private: key.into() }
    };
    Some(Ok(pair.into()))
}

fn of_rsa(key: RsaPrivateKey) -> Result<KeypairData, ssh_key::Error> {
    Ok(RsaKeypair::try_from(key)?.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_block_with_the_key_is_found() {
        let text = "-----BEGIN EC PARAMETERS-----\r\nAAAA\r\n-----END EC PARAMETERS-----\r\n\
                    -----BEGIN EC PRIVATE KEY-----\r\nBBBB\r\nCA==\r\n-----END EC PRIVATE KEY-----\r\n";
        assert_eq!(unwrapped(text).unwrap(), ("EC PRIVATE KEY", "BBBBCA==".to_owned()));
        assert_eq!(unwrapped("hello\n"), None);
        assert!(matches!(decode(text), Err(PrivateKeyError::Unknown)));
    }
}

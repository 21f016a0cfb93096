//! The public key in a certificate: just as much of X.509 as that takes.

use std::path::Path;

use base64ct::{Base64, Encoding};
use ssh_key::PublicKey;
use ssh_key::public::{EcdsaPublicKey, KeyData};

use crate::error::BenchError;

/// What stands before the point of a P-256 key in a certificate: a BIT STRING behind the identifiers
/// `id-ecPublicKey` and `prime256v1` (RFC 5480, section 2).
const P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Bytes of an uncompressed point.
const POINT: usize = 65;

/// The key of this certificate's subject.
///
/// # Errors
/// When the file cannot be read, or has no P-256 key.
pub(super) fn public_key(path: &Path) -> Result<PublicKey, BenchError> {
    let file = |source| BenchError::File { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(file)?;
    key_of(&text).ok_or_else(|| BenchError::Certificate(path.to_owned()))
}

fn key_of(pem: &str) -> Option<PublicKey> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.split_whitespace().collect();
    let der = Base64::decode_vec(&body).ok()?;
    let start = der.windows(P256.len()).position(|window| window == P256)? + P256.len();
    let point = der.get(start..start + POINT)?;
    Some(PublicKey::from(KeyData::Ecdsa(EcdsaPublicKey::from_sec1_bytes(point).ok()?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBbTCCAROgAwIBAgIUPUnUdOnVbbzHxu1u13Ho68Ljj18wCgYIKoZIzj0EAwIw\n\
DDEKMAgGA1UEAwwBeDAeFw0yNjExMjAxMDQ3MzdaFw0yNjEyMjAxMDQ3MzdaMAwx\n\
CjAIBgNVBAMMAXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASCW0PKmKzN03mv\n\
Oc/bcItLUc8GV6OiqfYf8rkG+v6scxtra9TzvpdtAuDJeUu8mDv1s/hrxRKbnWMH\n\
vPQLBihco1MwUTAdBgNVHQ4EFgQUySNrxuKu5eFsqxmIaqB1jXuYiuAwHwYDVR0j\n\
BBgwFoAUySNrxuKu5eFsqxmIaqB1jXuYiuAwDwYDVR0TAQH/BAUwAwEB/zAKBggq\n\
hkjOPQQDAgNIADBFAiA4R6mD2khBIQmNhvPPvmJ4QpTPtSreoisyxFlZfCqF6QIh\n\
ANvBGHghsVQWDRcRoVy3XsjcSPFsBJC2qi2Af7ak3jqc\n\
-----END CERTIFICATE-----";
    const KEY: &str = "ecdsa-sha2-nistp256 \
AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBIJbQ8qYrM3Tea85z9twi0tRzwZXo6Kp9h/yuQb6/qxzG2tr1PO+l20C4Ml5S7yYO/Wz+GvFEpudYwe89AsGKFw=";

    #[test]
    fn the_key_of_a_certificate_is_found() {
        assert_eq!(key_of(CERTIFICATE).unwrap(), PublicKey::from_openssh(KEY).unwrap());
        assert!(key_of(&CERTIFICATE.replace("BEGIN CERTIFICATE", "BEGIN KEY")).is_none());
        assert!(key_of(&CERTIFICATE.replace("MH", "!!")).is_none());
    }
}

//! Commands as a shell takes them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The command line that was given, to be given once more.
pub(crate) fn this_command() -> String {
    let mut line = "kozoctl".to_owned();
    for argument in std::env::args_os().skip(1) {
        line.push(' ');
        line.push_str(&quoted(&argument));
    }
    line
}

/// A text as one word.
pub(crate) fn word(text: &str) -> String {
    quoted(text.as_ref())
}

fn quoted(argument: &OsStr) -> String {
    let mut out = Vec::new();
    quote(argument.as_bytes(), &mut out);
    OsString::from_vec(out).to_string_lossy().into_owned()
}

/// Writes an argument so that any shell takes it as it is.
pub(crate) fn quote(argument: &[u8], out: &mut Vec<u8>) {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(byte);
    if !argument.is_empty() && argument.iter().all(plain) {
        out.extend_from_slice(argument);
        return;
    }
    out.push(b'\'');
    for byte in argument {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
}

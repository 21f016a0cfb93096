//! What things are called: what is a name at all, and what D-Bus and systemd make of it.

use std::fmt::Write as _;

/// Names of Nodes, Roles and Transports are no longer, in bytes: as long as a host name may be.
///
/// That holds wherever they are used, however they are spelt there: in the path of a control socket (107 bytes
/// with `/run/user/UID/kozo/` in front), in a name on D-Bus (255, and a dot takes three), in the names of units
/// (255, with what systemd makes of them), of credentials, and of files in storage (255, three for a byte).
pub const LONGEST_NAME: usize = 64;

/// Longest name of a socket that systemd takes, in bytes.
const LONGEST_SOCKET_NAME: usize = 255;

/// Names of sockets that are not for Transports: the control socket's.
const RESERVED: &[&str] = &["bus"];

/// What the bus names of all Nodes begin with; the Node's own name follows, see [`bus_name`].
pub const BUS_NAME_PREFIX: &str = "org.kozo.Node1.";

/// The name on the bus that all Nodes wait for together, one of which has it: what the policy of the bus allows
/// about the owner of a name it allows about those who are queued for it too. No Node is to be spoken to
/// by it.
pub const SHARED_NAME: &str = "org.kozo.Node1";

/// The object of the Node itself; its Roles and Peers are below.
pub const ROOT: &str = "/org/kozo/Node1";

/// The interface of that object.
pub const INTERFACE: &str = "org.kozo.Node1";

/// What the names of all errors begin with.
pub const ERROR_PREFIX: &str = "org.kozo.Error.";

/// Why a text is not the name of a Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoNodeName {
    /// It is empty.
    Empty,
    /// It is longer than [`LONGEST_NAME`].
    TooLong,
    /// It starts with a dot, as hidden files do.
    Dot,
    /// This character is in it.
    Character(char),
}

/// The rule for names of Nodes: letters A to Z, digits, `-`, `_` and `.`, no dot at the start.
///
/// # Errors
/// What is against it.
pub fn check_node_name(name: &str) -> Result<(), NoNodeName> {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match name.chars().find(|c| !sound(*c)) {
        _ if name.is_empty() => Err(NoNodeName::Empty),
        _ if name.len() > LONGEST_NAME => Err(NoNodeName::TooLong),
        _ if name.starts_with('.') => Err(NoNodeName::Dot),
        Some(wrong) => Err(NoNodeName::Character(wrong)),
        None => Ok(()),
    }
}

/// The name on the bus of the Node of this name.
///
/// Letters, digits, `-` and `_` stay as they are. What D-Bus does not allow in a name, a dot, say, or a
/// digit in front, becomes `_` and two hexadecimal digits as `sd_bus_path_encode(3)` would have it; so
/// does an underscore that could be mistaken for the beginning of that.
pub fn bus_name(node: &str) -> String {
    let mut name = BUS_NAME_PREFIX.to_owned();
    let mut rest = node.as_bytes();
    let mut first = true;
    while let [byte, following @ ..] = rest {
        let allowed = match byte {
            b'0'..=b'9' => !first,
            b'_' => !matches!(following, [a, b, ..] if hex(*a).is_some() && hex(*b).is_some()),
            b'-' | b'a'..=b'z' | b'A'..=b'Z' => true,
            _ => false,
        };
        push(&mut name, *byte, allowed);
        (rest, first) = (following, false);
    }
    name
}

/// The name of the Node with this name on the bus, if it is one of a Node.
pub fn node_of_bus_name(name: &str) -> Option<String> {
    let encoded = name.strip_prefix(BUS_NAME_PREFIX)?;
    let mut rest = encoded.as_bytes();
    let mut node = Vec::with_capacity(rest.len());
    loop {
        rest = match rest {
            [] => break,
            [b'_', a, b, following @ ..] if let (Some(a), Some(b)) = (hex(*a), hex(*b)) => {
                node.push(a << 4 | b);
                following
            }
            [b'.', ..] => return None,
            [byte, following @ ..] => {
                node.push(*byte);
                following
            }
        };
    }
    String::from_utf8(node).ok().filter(|node| !node.is_empty())
}

/// The path of a Role's object.
pub fn role_path(role: &str) -> String {
    format!("{ROOT}/role/{}", path_element(role))
}

/// The path of a Peer's object.
pub fn peer_path(peer: &str) -> String {
    format!("{ROOT}/peer/{}", path_element(peer))
}

/// A name as one element of a path, as `sd_bus_path_encode(3)` encodes it: everything but letters and
/// digits becomes `_` and two hexadecimal digits, a digit in front too; nothing at all becomes `_`.
pub fn path_element(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    let mut element = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        push(&mut element, byte, byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit()));
    }
    element
}

/// The name of a Transport's sockets: its own, with `%XX` for every byte that is not a letter, a
/// digit, `-`, `_` or `.`, as in a URL; and for the first one where the name is not free. None where it
/// would be too long.
pub fn socket_name(transport: &str) -> Option<String> {
    let reserved = RESERVED.contains(&transport);
    let spell = |(at, byte): (usize, u8)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' if at > 0 || !reserved => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    let name: String = transport.bytes().enumerate().map(spell).collect();
    (name.len() <= LONGEST_SOCKET_NAME).then_some(name)
}

fn push(encoded: &mut String, byte: u8, allowed: bool) {
    if allowed {
        encoded.push(char::from(byte));
    } else {
        // Writing to memory cannot fail.
        let _ = write!(encoded, "_{byte:02x}");
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_as_people_see_them() {
        for (node, wanted) in [
            ("clock", "clock"),
            ("living-room", "living-room"),
            ("my_node", "my_node"),
            ("pi.attic", "pi_2eattic"),
            ("3node", "_33node"),
            ("a_2eb", "a_5f2eb"),
            ("é", "_c3_a9"),
        ] {
            assert_eq!(bus_name(node), format!("org.kozo.Node1.{wanted}"));
        }
        assert_eq!(role_path("timer-1"), "/org/kozo/Node1/role/timer_2d1");
        assert_eq!(peer_path("3.a_b"), "/org/kozo/Node1/peer/_33_2ea_5fb");
        assert_eq!(path_element(""), "_");
        for other in ["org.kozo.Node1", "org.kozo.Node1.", "org.kozo.Node1.a.b", "org.kozo.Node2.a"]
        {
            assert_eq!(node_of_bus_name(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_sockets() {
        assert_eq!(socket_name("tcp").unwrap(), "tcp");
        assert_eq!(socket_name("tcp-2.lan_x").unwrap(), "tcp-2.lan_x");
        assert_eq!(socket_name("my lan:1").unwrap(), "my%20lan%3A1");
        assert_eq!(socket_name("é%").unwrap(), "%C3%A9%25");
        assert_eq!(socket_name("bus").unwrap(), "%62us");
        assert_eq!(socket_name(&"é".repeat(100)), None);
    }

    #[test]
    fn names_of_nodes() {
        for name in ["clock", "3.pi_attic-2", "-", &*"a".repeat(LONGEST_NAME)] {
            assert_eq!(check_node_name(name), Ok(()), "{name}");
        }
        for (name, wrong) in [
            ("", NoNodeName::Empty),
            (".hidden", NoNodeName::Dot),
            ("a/b", NoNodeName::Character('/')),
            ("é", NoNodeName::Character('é')),
            (&*"a".repeat(LONGEST_NAME + 1), NoNodeName::TooLong),
        ] {
            assert_eq!(check_node_name(name), Err(wrong), "{name}");
        }
    }
}

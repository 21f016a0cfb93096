//! Addresses of machines: their parts, and what is wrong with those that are none.
//!
//! Pure. Refused is what no machine can have or be reached by; what has the form of an address, but was
//! probably meant otherwise, is only doubted. Whether there is a machine shows when it is dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name, and longest part of one between dots (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// What is to be said of a text that should be an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// Whether it cannot be an address at all.
    pub(super) refused: bool,
    /// Why, in a few words.
    pub(super) why: String,
    /// What was probably meant.
    pub(super) meant: Option<String>,
    /// What to do about it.
    pub(super) help: Option<String>,
}

impl Doubt {
    fn refused(why: impl Into<String>) -> Doubt {
        Doubt { refused: true, why: why.into(), meant: None, help: None }
    }

    fn mistake(why: impl Into<String>) -> Doubt {
        Doubt { refused: false, ..Doubt::refused(why) }
    }

    /// Adds what was probably meant, if that is an address itself.
    fn meant(mut self, text: impl Into<String>) -> Doubt {
        self.meant = Some(text.into()).filter(|text| checked(text).is_ok());
        self
    }

    fn help(mut self, help: impl Into<String>) -> Doubt {
        self.help = Some(help.into());
        self
    }
}

/// The host of an address, without brackets, and its port if it has one.
pub fn split(address: &str) -> (&str, Option<u16>) {
    match Parts::of(address) {
        Ok(parts) => (parts.host, parts.port.and_then(|port| port.parse().ok())),
        Err(_) => (address, None),
    }
}

/// What is to be said of an address at which others reach a machine, with or without a port.
pub(super) fn to_reach(text: &str) -> Option<Doubt> {
    match checked(text) {
        Err(doubt) => Some(doubt),
        Ok(Checked { host: Host::Ip(ip), .. }) if ip.is_unspecified() => {
            Some(Doubt::mistake("every machine that connects to this address reaches itself"))
        }
        Ok(checked) => checked.doubt,
    }
}

/// What is to be said of an address to listen at; an empty one stands for all interfaces.
pub(super) fn to_listen(text: &str) -> Option<Doubt> {
    if text.is_empty() {
        return None;
    }
    if text == "*" {
        let why = "this is not an address";
        return Some(Doubt::refused(why).help("leave it empty (`''`) for all interfaces"));
    }
    if text.contains(',') {
        return Some(Doubt::refused(
            "only one address is allowed here, or none (`''`) for all interfaces",
        ));
    }
    match checked(text) {
        Err(doubt) => Some(doubt),
        Ok(Checked { port: true, .. }) => {
            let doubt = Doubt::refused("the port is a separate option");
            Some(doubt.meant(split(text).0))
        }
        Ok(checked) => checked.doubt,
    }
}

/// An address in one spelling, for comparing it with others.
pub(super) fn endpoint(address: &str, default_port: u16) -> (String, u16) {
    let (host, port) = split(address);
    let host = match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_string(),
        Err(_) => host.trim_end_matches('.').to_ascii_lowercase(),
    };
    (host, port.unwrap_or(default_port))
}

/// An address that is not refused.
struct Checked<'a> {
    host: Host<'a>,
    /// Whether it has one.
    port: bool,
    doubt: Option<Doubt>,
}

enum Host<'a> {
    Ip(IpAddr),
    Zoned(Ipv6Addr, &'a str),
    Name(&'a str),
}

fn checked(text: &str) -> Result<Checked<'_>, Doubt> {
    no_other_syntax(text)?;
    let parts = Parts::of(text)?;
    let port = match parts.port {
        None => false,
        Some(port) if port.parse::<u16>().is_ok_and(|port| port > 0) => true,
        Some(port) => {
            let why = format!("`{port}` is not a port: ports are 1 to 65535");
            return Err(Doubt::refused(why));
        }
    };
    let host = parts.host()?;
    let doubt = match host {
        Host::Ip(ip) => ip_address(ip)?.or_else(|| port_in_ip(&parts)),
        Host::Zoned(ip, zone) => {
            zoned(ip, zone)?;
            None
        }
        Host::Name(name) => self::name(name)?,
    };
    Ok(Checked { host, port, doubt })
}

/// Refuses what belongs to something that has an address in it.
fn no_other_syntax(text: &str) -> Result<(), Doubt> {
    if text.is_empty() {
        return Err(Doubt::refused("an address is empty"));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        let words = text.split(|c: char| c == ',' || c.is_whitespace() || c.is_control());
        let commas = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ");
        let help = format!("addresses are separated by commas: `{commas}`");
        return Err(Doubt::refused("it contains a space").help(help));
    }
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        return Err(Doubt::refused("this is a URL").meant(host));
    }
    if let Some((host, rest)) = text.split_once('/') {
        let network = host.parse::<IpAddr>().is_ok() && rest.parse::<u8>().is_ok();
        let why = if network { "this is a network" } else { "an address has no path" };
        return Err(Doubt::refused(why).meant(host));
    }
    match text.rsplit_once('@') {
        Some((_, host)) => Err(Doubt::refused("an address has no user").meant(host)),
        None => Ok(()),
    }
}

/// An address as it is written.
struct Parts<'a> {
    host: &'a str,
    port: Option<&'a str>,
    bracketed: bool,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Parts<'a>, Doubt> {
        let bare = Parts { host: text, port: None, bracketed: false };
        if let Some(rest) = text.strip_prefix('[') {
            let unclosed = || Doubt::refused("the bracket is not closed");
            let (host, after) = rest.split_once(']').ok_or_else(unclosed)?;
            let port = match after.strip_prefix(':') {
                None if after.is_empty() => None,
                None => return Err(Doubt::refused("only `:PORT` may follow the bracket")),
                port => port,
            };
            return Ok(Parts { host, port, bracketed: true });
        }
        match text.rsplit_once(':') {
            None => Ok(bare),
            Some((host, port)) if !host.contains(':') => {
                Ok(Parts { host, port: Some(port), bracketed: false })
            }
            Some(_) => Ok(bare),
        }
    }

    fn host(&self) -> Result<Host<'a>, Doubt> {
        let host = self.host;
        if let Ok(ip) = host.parse::<IpAddr>() {
            return match ip {
                IpAddr::V4(_) if self.bracketed => Err(not_ipv6(host)),
                ip => Ok(Host::Ip(ip)),
            };
        }
        if let Some((ip, zone)) = host.split_once('%')
            && let Ok(ip) = ip.parse()
        {
            return Ok(Host::Zoned(ip, zone));
        }
        if self.bracketed || host.contains(':') {
            return Err(not_ipv6(host));
        }
        Ok(Host::Name(host))
    }
}

fn not_ipv6(host: &str) -> Doubt {
    let pairs = host.split(':');
    let hardware = pairs.clone().count() == 6
        && pairs.clone().all(|pair| pair.len() == 2 && u8::from_str_radix(pair, 16).is_ok());
    if hardware {
        return Doubt::refused("this is the hardware address of a network card");
    }
    let doubt = Doubt::refused("this is neither an IPv6 address nor `NAME:PORT`");
    match host.rsplit_once(':') {
        Some((ip, port)) if ip.parse::<Ipv6Addr>().is_ok() => doubt.meant(format!("[{ip}]:{port}")),
        _ => doubt,
    }
}

fn ip_address(ip: IpAddr) -> Result<Option<Doubt>, Doubt> {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if ip.is_multicast() || broadcast {
        return Err(Doubt::refused("this is an address of many machines, not of one"));
    }
    Ok(match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some(
            Doubt::mistake("it does not say which network it is in")
                .help(format!("name the interface that leads there: `{ip}%eth0`")),
        ),
        _ => None,
    })
}

/// Doubts an IPv6 address without brackets whose end looks as if it was meant to be a port.
fn port_in_ip(parts: &Parts<'_>) -> Option<Doubt> {
    let (ip, port) = parts.host.rsplit_once(':').filter(|_| !parts.bracketed)?;
    let decimal = port.len() == 4 && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = decimal && !port.starts_with('0') && ip.parse::<Ipv6Addr>().is_ok();
    is_port.then(|| {
        let help = format!(
            "write `[{ip}]:{port}` for port {port} of {ip}, or `[{ip}:{port}]` if all of it is the \
             address"
        );
        Doubt::mistake(format!("`{port}` is a part of the address here, not a port")).help(help)
    })
}

fn zoned(ip: Ipv6Addr, zone: &str) -> Result<(), Doubt> {
    if !ip.is_unicast_link_local() {
        let doubt = Doubt::refused("only an address that begins with fe80 has a zone");
        return Err(doubt.meant(ip.to_string()));
    }
    let sound = |c: char| c.is_ascii_graphic() && !matches!(c, '%' | '[' | ']' | ':');
    if zone.is_empty() || zone.len() > 15 || !zone.chars().all(sound) {
        return Err(Doubt::refused("the `%` needs the name of an interface behind it"));
    }
    Ok(())
}

fn name(name: &str) -> Result<Option<Doubt>, Doubt> {
    if name.is_empty() {
        return Err(Doubt::refused("the name or address before the port is missing"));
    }
    let sound = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if let Some(wrong) = name.chars().find(|c| !sound(c)) {
        let why = format!("a name cannot contain `{}`", wrong.escape_default());
        return Err(Doubt::refused(why));
    }
    let labels = || name.strip_suffix('.').unwrap_or(name).split('.');
    if labels().any(str::is_empty) {
        return Err(Doubt::refused("there is nothing between two dots"));
    }
    if name.len() > LONGEST_NAME || labels().any(|label| label.len() > LONGEST_LABEL) {
        return Err(Doubt::refused(format!(
            "a name has at most {LONGEST_NAME} characters, and {LONGEST_LABEL} between two dots"
        )));
    }
    if labels().any(|label| label.starts_with('-') || label.ends_with('-')) {
        return Err(Doubt::refused("no part of a name may begin or end with `-`"));
    }
    if labels().next_back().is_some_and(is_number) {
        return match old_ipv4(name) {
            Some(ip) => Ok(Some(
                Doubt::mistake(format!("this is read as the address {ip}"))
                    .help(format!("write `{ip}` if you mean that address")),
            )),
            None => Err(Doubt::refused("an IPv4 address is four numbers from 0 to 255")),
        };
    }
    Ok(is_interface(name).then(|| {
        let doubt = Doubt::mistake("this looks like a network interface");
        doubt.help("give the address of the interface, or a name for it")
    }))
}

fn is_number(label: &str) -> bool {
    number(label).is_some() || label.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number as inet_aton(3) reads it: decimal, octal or hexadecimal.
fn number(text: &str) -> Option<u32> {
    let digits = |text: &str, radix| match text.starts_with('+') {
        true => None,
        false => u32::from_str_radix(text, radix).ok(),
    };
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hexadecimal) => digits(hexadecimal, 16),
        None if text.len() > 1 && text.starts_with('0') => digits(text, 8),
        None => digits(text, 10),
    }
}

/// What inet_aton(3), and so the system, makes of fewer than four numbers, or odd ones.
fn old_ipv4(text: &str) -> Option<Ipv4Addr> {
    let numbers = text.split('.').map(number).collect::<Option<Vec<_>>>()?;
    let (last, first) = numbers.split_last()?;
    let room = u32::try_from(first.len()).ok().filter(|count| *count < 4)?;
    let fits = u64::from(*last) < 1 << (8 * (4 - room));
    let mut address = 0;
    for (number, place) in first.iter().zip([24, 16, 8]) {
        address |= u32::from(u8::try_from(*number).ok()?) << place;
    }
    fits.then(|| Ipv4Addr::from_bits(address | last))
}

/// Whether a name is one that Linux and systemd give to network interfaces.
fn is_interface(name: &str) -> bool {
    const NUMBERED: [&str; 11] =
        ["eth", "wlan", "wwan", "usb", "br", "tun", "tap", "wg", "ppp", "bond", "veth"];
    let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit());
    if name == "lo" || NUMBERED.iter().any(|kind| name.strip_prefix(kind).is_some_and(digits)) {
        return true;
    }
    // systemd.net-naming-scheme(7): enp3s0, wlo1, enx0123456789ab.
    let kind = ["en", "wl", "ww"].iter().find_map(|kind| name.strip_prefix(kind));
    let Some((place, rest)) = kind.and_then(|rest| rest.split_at_checked(1)) else { return false };
    match place {
        "x" => rest.len() == 12 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "o" | "s" | "p" => rest.starts_with(|first: char| first.is_ascii_digit()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_an_address_is_taken() {
        for text in [
            "10.0.0.1",
            "10.0.0.1:6020",
            "clock.local",
            "clock.local.:7",
            "clock",
            "uhr_1.büro",
            "localhost:65535",
            "gnreiuoyh5rrtkjhe4r5j5423t4egyr.onion",
            "2001:db8::7",
            "[2001:db8::7]",
            "[2001:db8::7]:6020",
            "[::1:6020]",
            "::1",
            "fe80::1%eth0",
            "[fe80::1%2]:6020",
            "enterprise",
            "brother",
        ] {
            assert_eq!(to_reach(text), None, "{text}");
        }
        for text in ["", "0.0.0.0", "::", "localhost", "[::1]", "fe80::1%eth0", "10.0.0.1"] {
            assert_eq!(to_listen(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_one_is_refused() {
        for (text, why, meant) in [
            ("1.2.3.4:99999", "`99999` is not a port", None),
            ("1.2.3.4:", "`` is not a port", None),
            ("clock:0", "`0` is not a port", None),
            ("clock:ssh", "`ssh` is not a port", None),
            (":6020", "before the port is missing", None),
            ("http://clock.local:8080/kozo", "URL", Some("clock.local:8080")),
            ("tcp://[::2]:6020", "URL", Some("[::2]:6020")),
            ("10.0.0.1/24", "network", Some("10.0.0.1")),
            ("clock.local/kozo", "no path", Some("clock.local")),
            ("ada@clock.local", "no user", Some("clock.local")),
            ("*", "cannot contain", None),
            ("*.example", "cannot contain", None),
            ("clock, local", "space", None),
            ("[::1", "not closed", None),
            ("[::1]6020", "only `:PORT`", None),
            ("[clock]", "neither an IPv6", None),
            ("2001:db8:1:2:3:4:5:6:6020", "neither an IPv6", Some("[2001:db8:1:2:3:4:5:6]:6020")),
            ("clock:6020:6020", "neither an IPv6", None),
            ("00:1a:2b:3c:4d:5e", "hardware", None),
            ("256.1.1.1", "four numbers", None),
            ("1.2.3.4.5", "four numbers", None),
            ("99999999999", "four numbers", None),
            ("clock..local", "between two", None),
            ("-clock", "begin or end", None),
            ("255.255.255.255", "many machines", None),
            ("ff02::1", "many machines", None),
            ("2001:db8::1%eth0", "fe80", Some("2001:db8::1")),
            ("fe80::1%", "needs the name of an interface", None),
            (&*"a".repeat(64), "at most", None),
        ] {
            let doubt = to_reach(text).unwrap();
            assert!(doubt.refused && doubt.why.contains(why), "{text}: {doubt:?}");
            assert_eq!(doubt.meant.as_deref(), meant, "{text}");
        }
        for (text, why, meant) in [
            ("*", "not an address", None),
            ("10.0.0.1:6020", "separate option", Some("10.0.0.1")),
            ("[::1]:6020", "separate option", Some("::1")),
            ("10.0.0.1,10.0.0.2", "one address", None),
            ("http://clock", "URL", Some("clock")),
        ] {
            let doubt = to_listen(text).unwrap();
            assert!(doubt.refused && doubt.why.contains(why), "{text}: {doubt:?}");
            assert_eq!(doubt.meant.as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn what_may_be_a_mistake_is_doubted() {
        for (text, why) in [
            ("::1:6020", "not a port"),
            ("2001:db8::7:6020", "not a port"),
            ("eth0", "interface"),
            ("enp3s0", "interface"),
            ("enx0123456789ab", "interface"),
            ("lo", "interface"),
            ("fe80::1", "which network"),
            ("127.1", "127.0.0.1"),
            ("010.0.0.1", "8.0.0.1"),
            ("6020", "0.0.23.132"),
            ("0.0.0.0", "itself"),
            ("[::]:6020", "itself"),
        ] {
            let doubt = to_reach(text).unwrap();
            assert!(!doubt.refused && doubt.why.contains(why), "{text}: {doubt:?}");
        }
        assert!(!to_listen("eth0").unwrap().refused);
        assert!(!to_listen("::1:6020").unwrap().refused);
    }

    #[test]
    fn spellings_of_one_address_are_one() {
        for (text, host, port) in [
            ("Clock.Local.", "clock.local", 1),
            ("clock.local:7", "clock.local", 7),
            ("[2001:DB8:0::7]:9", "2001:db8::7", 9),
            ("2001:db8::7", "2001:db8::7", 1),
            ("fe80::1%eth0", "fe80::1%eth0", 1),
        ] {
            assert_eq!(endpoint(text, 1), (host.to_owned(), port), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[0-9a-z.:%@/*\\[\\]é -]{0,30}") {
            for doubt in [to_reach(&text), to_listen(&text)].into_iter().flatten() {
                // What is suggested would not be refused.
                let meant = doubt.meant.and_then(|meant| to_reach(&meant));
                prop_assert!(meant.is_none_or(|doubt| !doubt.refused));
            }
        }

        #[test]
        fn every_ip_address_is_taken_with_and_without_port(ip in any::<IpAddr>(), port in 1_u16..) {
            prop_assume!(!ip.is_multicast());
            prop_assume!(ip != IpAddr::V4(Ipv4Addr::BROADCAST));
            let shown = std::net::SocketAddr::new(ip, port).to_string();
            prop_assert!(to_reach(&shown).is_none_or(|doubt| !doubt.refused));
            prop_assert!(to_reach(&ip.to_string()).is_none_or(|doubt| !doubt.refused));
            prop_assert_eq!(endpoint(&shown, 1), (ip.to_string(), port));
        }
    }
}

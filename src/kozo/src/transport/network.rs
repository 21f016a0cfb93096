//! Networks: what one owner is likely to have, for limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// An IPv4 address, an IPv6 network of 64 bits, or what else a Transport calls an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// One address.
    V4(Ipv4Addr),
    /// The first half of an address.
    V6([u16; 4]),
    /// Not of IP.
    Other(String),
}

impl Network {
    /// The one that an address belongs to, as it stands in a `Connection`.
    pub fn of(address: &str) -> Network {
        match ip_of(address) {
            Some(IpAddr::V4(ip)) => Network::V4(ip),
            Some(IpAddr::V6(ip)) => {
                let [a, b, c, d, ..] = ip.segments();
                Network::V6([a, b, c, d])
            }
            None => Network::Other(address.to_owned()),
        }
    }
}

/// The address without its port, where it is one of IP.
pub fn ip_of(address: &str) -> Option<IpAddr> {
    let ip = match address.parse::<SocketAddr>() {
        Ok(address) => address.ip(),
        Err(_) => address.parse().ok()?,
    };
    Some(ip.to_canonical())
}

//! A name server that never answers.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;

use super::{PATIENCE, address};

/// Takes questions and leaves it at that.
pub struct DeadNameServer {
    socket: UdpSocket,
    /// What makes it the only one, for [`super::SystemFolder::start_among_mounts`].
    pub script: String,
}

impl DeadNameServer {
    /// Listens; `None` where this is not allowed. The folder gets a `resolv.conf`.
    pub fn start(folder: &Path) -> Option<DeadNameServer> {
        let server = address();
        let file = folder.join("resolv.conf");
        fs::write(&file, format!("nameserver {server}\n")).unwrap();
        let socket = UdpSocket::bind((server, 53)).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let script = format!("mount --bind {} /etc/resolv.conf", file.display());
        Some(DeadNameServer { socket, script })
    }

    /// Waits until somebody asks it something.
    pub fn wait_for_question(&self) {
        self.socket.recv(&mut [0; 512]).expect("nobody asks the name server");
    }
}

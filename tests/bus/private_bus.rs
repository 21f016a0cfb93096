//! A bus of its own for each test, with the policy that is installed with Kōzō.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// What the system bus of a distribution allows by default: to look around and to answer.
const DEFAULT: &str = r#"
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <policy user="root">
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow own="org.example.Victim"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>"#;

/// The policy that belongs to Kōzō.
pub(crate) fn policy() -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    top.join("dbus/usr/share/dbus-1/system.d/org.kozo.conf").canonicalize().unwrap()
}

/// A running `dbus-daemon`; killed when dropped.
pub(crate) struct PrivateBus {
    process: Child,
    pub(crate) address: String,
    _folder: TempDir,
}

impl PrivateBus {
    pub(crate) fn start() -> PrivateBus {
        let folder = tempfile::tempdir().unwrap();
        // Others than root are to reach the socket too.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let config = folder.path().join("bus.conf");
        let (socket, policy) = (folder.path().join("socket"), policy());
        let text = format!(
            "<busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             {DEFAULT}<include>{}</include></busconfig>",
            socket.display(),
            policy.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon is needed: apt install dbus");
        // It prints this once it listens.
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        PrivateBus { process, address: address.trim().to_owned(), _folder: folder }
    }

    /// Ends the bus, as when a machine goes down.
    pub(crate) fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        self.stop();
    }
}

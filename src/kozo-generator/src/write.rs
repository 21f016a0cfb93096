//! Writing the units of a Node into the folder that systemd has given.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::units::Units;

/// Drop-ins count in the order of their names, whatever folder they are in, and the last one wins: `systemctl set-property`
/// writes 50-…, `systemctl edit` override.conf.
const DROP_IN: &str = "10-kozo-generator.conf";

/// Writes all of it.
pub(super) fn node(name: &str, units: &Units, drop_ins: &Path, out: &Path) -> io::Result<()> {
    let service = out.join(format!("kozo@{name}.service.d"));
    fs::create_dir_all(&service)?;
    fs::write(service.join(DROP_IN), &units.service)?;
    for drop_in in &units.drop_ins {
        let shipped = drop_ins.join(drop_in);
        if shipped.is_file() {
            symlink(shipped, service.join(drop_in))?;
        }
    }
    if let Some(socket) = &units.socket {
        let folder = out.join(format!("kozo@{name}.socket.d"));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(DROP_IN), socket)?;
    }
    if let Some(key) = &units.key {
        symlink(&key.target, out.join(&key.name))?;
    }
    for (unit, text) in &units.listeners {
        fs::write(out.join(unit), text)?;
    }
    Ok(())
}

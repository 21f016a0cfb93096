//! Whether the kernel keeps an adapter from sending: rfkill, as `/sys` shows it (Documentation/ABI/stable/sysfs-class-rfkill).

use std::fs;
use std::path::Path;

/// Where the kernel shows what can be kept from sending.
const SWITCHES: &str = "/sys/class/rfkill";

/// What keeps an adapter from sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// A program asked for it, and another one may ask for the opposite.
    Soft,
    /// A switch or key of the machine.
    Hard,
}

/// What keeps the adapter of this name from sending.
pub(crate) fn block(adapter: &str) -> Option<Block> {
    block_in(Path::new(SWITCHES), adapter)
}

fn block_in(switches: &Path, adapter: &str) -> Option<Block> {
    let of_adapter = fs::read_dir(switches).ok()?.flatten().map(|entry| entry.path());
    of_adapter
        .filter(|switch| says(switch, "type", "bluetooth") && says(switch, "name", adapter))
        .find_map(|switch| match (says(&switch, "hard", "1"), says(&switch, "soft", "1")) {
            (true, _) => Some(Block::Hard),
            (false, true) => Some(Block::Soft),
            (false, false) => None,
        })
}

fn says(switch: &Path, file: &str, wanted: &str) -> bool {
    fs::read_to_string(switch.join(file)).is_ok_and(|said| said.trim_end() == wanted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_blocks_an_adapter_is_found_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let switch = |name: &str, files: &[(&str, &str)]| {
            let path = folder.path().join(name);
            fs::create_dir_all(&path).unwrap();
            for (file, text) in files {
                fs::write(path.join(file), format!("{text}\n")).unwrap();
            }
        };
        let wifi = [("type", "wlan"), ("name", "phy0"), ("soft", "1"), ("hard", "0")];
        switch("rfkill0", &wifi);
        let open = [("type", "bluetooth"), ("name", "hci0"), ("soft", "0"), ("hard", "0")];
        switch("rfkill1", &open);
        assert_eq!(block_in(folder.path(), "hci0"), None);
        switch("rfkill1", &[("soft", "1")]);
        assert_eq!(block_in(folder.path(), "hci0"), Some(Block::Soft));
        assert_eq!(block_in(folder.path(), "hci1"), None);
        switch("rfkill1", &[("hard", "1")]);
        assert_eq!(block_in(folder.path(), "hci0"), Some(Block::Hard));
        assert_eq!(block_in(&folder.path().join("none"), "hci0"), None);
    }
}

//! A Node that crashes is back at once; one that cannot start is tried again more slowly. Systemd knows one
//! pause for both (before version 254), so the longer one is waited for here.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use kozo_core::places;

/// Left in the folder of the Node's run by a start that failed, until one succeeds.
const MARK: &str = "failed";

/// The pause before the next attempt.
const PAUSE: Duration = Duration::from_secs(3);

/// To be called when the Node has started.
pub fn started() {
    if let Some(mark) = mark() {
        // Most of the time there is none.
        let _ = fs::remove_file(mark);
    }
}

/// To be called when the Node could not start: waits if this was not the first time. A user who starts it by hand
/// hears of it at once.
pub fn failed() {
    let Some(mark) = mark() else { return };
    let again = File::create_new(mark);
    if again.is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
        sleep(PAUSE);
    }
}

/// Where systemd has started this Node.
fn mark() -> Option<PathBuf> {
    Some(places::of_systemd()?.join(MARK))
}

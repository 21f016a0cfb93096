//! What the tests share: Systems on disk, running Nodes, what they write.

mod injector;
mod names;
mod output;
mod program;
mod system;

use std::time::{Duration, Instant};

pub use injector::{INJECTOR, Injector, numbers};
pub use names::DeadNameServer;
pub use program::{KOZO, Program, Reader, kozo, memory, release};
pub use system::{SystemFolder, address, fresh_key};

/// How long anything may take that has no time limit of its own to keep. Long, because a machine that
/// runs many tests at once is slow, and nothing waits for it but a test that fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Says that a test could not do its work here.
pub fn skipped(what: &str) {
    eprintln!("NOT TESTED: {what} needs the rights of root");
}

/// Waits until the condition gives something.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "not {what} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

//! The built-in Roles: one file each, or one folder with what only that Role needs.

mod cuckoo;
mod debugger;
mod exec;
mod listener;
mod logger;
pub mod message_injector;
pub mod missing;
pub mod program;
mod saver;
mod timer;

use std::sync::Arc;

use crate::role::RoleType;

/// The types that every daemon has.
pub fn built_in() -> Vec<Arc<dyn RoleType>> {
    vec![
        Arc::new(timer::Timer),
        Arc::new(cuckoo::Cuckoo),
        Arc::new(logger::Logger),
        Arc::new(message_injector::MessageInjector),
        Arc::new(debugger::Debugger),
        Arc::new(exec::Exec),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::OptionValue;
    use crate::message::Draft;
    use crate::role::testing;

    /// A Role goes on whatever other Nodes send it.
    #[tokio::test]
    async fn no_message_ends_a_role() {
        let folder = tempfile::tempdir().unwrap();
        let file = OptionValue::Path(folder.path().join("log"));
        for (role_type, options) in [
            (&cuckoo::Cuckoo as &dyn RoleType, vec![]),
            (&logger::Logger, vec![("file", file)]),
            (&debugger::Debugger, vec![]),
        ] {
            let host = testing::TestHost::with_storage("scribe", Some(folder.path()));
            let running = host.start(role_type, &options);
            let data: [&[u8]; 6] =
                [b"\xc0", b"\xc1", b"\xa5ab", b"\x92\xc0", b"\xdf\xff\xff\xff\xff", &[0x91; 1000]];
            for data in data {
                for (kind, name) in [("event", "tick"), ("log", "log"), ("order", "debug")] {
                    let draft = Draft::new(kind.parse().unwrap(), name);
                    host.arrive(
                        "evil\n",
                        "\u{1b}[2J",
                        u64::MAX,
                        &draft.channel(None).encoded(data),
                    );
                }
            }
            running.stop().await.unwrap();
            let printed = host.seen(|seen| seen.printed.concat());
            assert!(!printed.contains(['\n', '\u{1b}']), "{printed:?}");
        }
    }
}

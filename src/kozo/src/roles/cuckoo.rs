//! The Role type `cuckoo`: prints every tick and remembers the last one.

use rmpv::Value;

use super::saver::Saver;
use crate::BoxFuture;
use crate::class;
use crate::config::{RoleConfig, Schema};
use crate::interest::{Interest, Pattern};
use crate::message::{Kind, Message};
use crate::rate_limiter::RateLimiter;
use crate::role::{Role, RoleContext, RoleError, RoleType};
use kozo_core::types::{self, LOG};
use kozo_core::value::show::{one_line, shown};

/// Most bytes that are shown of what a tick carries.
const MOST: usize = 4096;

pub(super) struct Cuckoo;

impl RoleType for Cuckoo {
    fn schema(&self) -> Schema {
        types::cuckoo::schema()
    }

    fn interests(&self, config: &RoleConfig) -> Vec<Interest> {
        let role = config.options.text("timer").map_or(Pattern::Any, Pattern::literal);
        vec![Interest { role, ..Interest::exactly(Kind::Event, "tick") }]
    }

    fn build(&self, config: &RoleConfig) -> Box<dyn Role> {
        Box::new(CuckooRole { log: config.options.flag(LOG) })
    }
}

struct CuckooRole {
    log: bool,
}

impl Role for CuckooRole {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move {
            let Some(storage) = context.storage.clone() else {
                return Err(RoleError(
                    "it needs a roleStorage, which this Node does not have".to_owned(),
                ));
            };
            match storage.load().await {
                Ok(Some(value)) => {
                    if let Some(tick) = Tick::from_value(value) {
                        self.tell(&context, &format!("The last cuckoo was {}", tick.text())).await;
                    }
                }
                Ok(None) => {}
                // To print the ticks to come matters more than to know the last one.
                Err(error) => {
                    tracing::warn!(class = class::STORAGE_TROUBLE, role = %context.name, "{error}");
                    context.set_problem(Some(error.to_string()));
                }
            }
            let mut saver = Saver::new(storage);
            let mut limiter = RateLimiter::<String>::default();
            loop {
                tokio::select! {
                    message = context.receive() => {
                        let Some(message) = message else { break };
                        let tick = Tick::from_message(&message);
                        self.tell(&context, &format!("Cuckoo! {}", tick.text())).await;
                        saver.set(tick.into_value());
                    }
                    saved = saver.work() => {
                        let problem = saved.err().map(|error| error.to_string());
                        if let Some(problem) = &problem && limiter.allow(problem).is_some() {
                            tracing::warn!(class = class::STORAGE_TROUBLE, role = %context.name, "{problem}");
                        }
                        context.set_problem(problem);
                    }
                }
            }
            if let Err(error) = saver.finish().await {
                tracing::warn!(class = class::STORAGE_TROUBLE, role = %context.name, "{error}");
            }
            Ok(())
        })
    }
}

impl CuckooRole {
    async fn tell(&self, context: &RoleContext, line: &str) {
        context.print(line);
        if self.log {
            context.log(line).await;
        }
    }
}

/// A tick as it is remembered.
#[derive(Debug, PartialEq)]
struct Tick {
    role: String,
    node: String,
    data: Value,
}

impl Tick {
    fn from_message(message: &Message) -> Tick {
        Tick {
            role: message.role().to_owned(),
            node: message.origin().node.clone(),
            // Another Node sent it: it may be anything.
            data: message.value().unwrap_or(Value::Nil),
        }
    }

    fn into_value(self) -> Value {
        Value::Array(vec![self.role.into(), self.node.into(), self.data])
    }

    fn from_value(value: Value) -> Option<Tick> {
        let Value::Array(parts) = value else { return None };
        let [role, node, data] = <[Value; 3]>::try_from(parts).ok()?;
        Some(Tick { role: role.as_str()?.to_owned(), node: node.as_str()?.to_owned(), data })
    }

    /// `timer1@clock: 12:34:56`, with the timer's message behind it if there is one.
    fn text(&self) -> String {
        let data = match self.data.as_array().map(Vec::as_slice) {
            Some([Value::Nil, time]) => shown(time, MOST),
            Some([message, time]) if message.as_str() == Some("") => shown(time, MOST),
            Some([message, time]) => format!("{} {}", shown(time, MOST), shown(message, MOST)),
            _ => shown(&self.data, MOST),
        };
        format!("{}@{}: {data}", one_line(&self.role), one_line(&self.node))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::OptionValue;
    use crate::message::Draft;
    use crate::role::testing::{TestHost, configure};

    fn tick(message: Value, time: &str) -> Value {
        Value::Array(vec![message, time.into()])
    }

    #[tokio::test]
    async fn prints_logs_and_remembers() {
        let folder = tempfile::tempdir().unwrap();
        let host = TestHost::with_storage("scribe", Some(folder.path()));
        let running = host.start(&Cuckoo, &[]);
        let draft = Draft::event("tick");
        host.arrive("clock", "timer1", 0, &draft.clone().data(&tick(Value::Nil, "12:34:56")));
        host.arrive("clock", "timer2", 0, &draft.clone().data(&tick("tea".into(), "12:34:57")));
        host.arrive("clock", "timer2", 0, &Draft::event("tock"));
        host.arrive("clock", "timer2", 0, &draft.data(&Value::from("so\nso")));
        host.until(|seen| seen.printed.len() == 3).await;
        running.stop().await.unwrap();
        let wanted = [
            "Cuckoo! timer1@clock: 12:34:56",
            "Cuckoo! timer2@clock: 12:34:57 tea",
            "Cuckoo! timer2@clock: so\\nso",
        ];
        host.seen(|seen| {
            assert_eq!(seen.printed, wanted);
            assert_eq!(seen.logs(), wanted);
        });

        let host = TestHost::with_storage("scribe", Some(folder.path()));
        let running = host.start(&Cuckoo, &[("log", OptionValue::Flag(false))]);
        host.until(|seen| !seen.printed.is_empty()).await;
        running.stop().await.unwrap();
        host.seen(|seen| {
            assert_eq!(seen.printed, ["The last cuckoo was timer2@clock: so\\nso"]);
            assert_eq!(seen.logs().len(), 0);
        });
    }

    #[test]
    fn listens_to_the_timer_it_is_told() {
        let config = configure(&Cuckoo, &[("timer", OptionValue::Text("timer*".to_owned()))]);
        assert_eq!(Cuckoo.interests(&config)[0].role, Pattern::literal("timer*"));
        assert_eq!(Cuckoo.interests(&configure(&Cuckoo, &[]))[0].role, Pattern::Any);
    }

    #[tokio::test]
    async fn goes_on_without_what_it_cannot_read_or_write() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("my-cuckoo"), b"\xc1 no MessagePack").unwrap();
        let unusable = folder.path().join("missing/storage");
        for storage in [folder.path(), &unusable] {
            let host = TestHost::with_storage("scribe", Some(storage));
            let running = host.start(&Cuckoo, &[]);
            let data = tick(Value::Nil, "12:34:56");
            host.arrive("clock", "timer1", 0, &Draft::event("tick").data(&data));
            host.until(|seen| seen.printed.len() == 1).await;
            host.until(|seen| seen.problem.is_some() == (storage == unusable)).await;
            running.stop().await.unwrap();
        }
        assert!(folder.path().join("my-cuckoo.corrupt-1").exists());
        assert!(folder.path().join("my-cuckoo").exists());
    }

    #[tokio::test]
    async fn something_else_in_its_storage_does_not_stop_it() {
        let folder = tempfile::tempdir().unwrap();
        let host = TestHost::with_storage("scribe", Some(folder.path()));
        let storage = crate::role::Storage::new(folder.path(), "my-cuckoo");
        storage.save(&Value::from("something else")).await.unwrap();
        let running = host.start(&Cuckoo, &[]);
        running.stop().await.unwrap();
        assert_eq!(host.seen(|seen| seen.printed.len()), 0);
    }
}

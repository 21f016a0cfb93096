//! The Role type `timer`: an Event `tick` at a regular interval.
//!
//! Ticks lie on a grid that starts with the first one, sent as soon as the links are ready: how long a tick takes to send
//! does not move the next. Ticks that could not be sent in time (the machine slept) are left out.

use std::time::Duration;

use rmpv::Value;
use tokio::time::MissedTickBehavior;

use crate::BoxFuture;
use crate::config::{RoleConfig, Schema};
use crate::interest::Interest;
use crate::message::Draft;
use crate::rate_limiter::RateLimiter;
use crate::role::{Role, RoleContext, RoleError, RoleType};
use kozo_core::types::{self, LOG};
use kozo_core::value::show::one_line;

pub(super) struct Timer;

impl RoleType for Timer {
    fn schema(&self) -> Schema {
        types::timer::schema()
    }

    fn interests(&self, _config: &RoleConfig) -> Vec<Interest> {
        Vec::new()
    }

    fn build(&self, config: &RoleConfig) -> Box<dyn Role> {
        Box::new(TimerRole {
            tick: config.options.duration("tick").unwrap_or_default(),
            message: config.options.text("message").map(str::to_owned),
            log: config.options.flag(LOG),
        })
    }
}

struct TimerRole {
    tick: Duration,
    message: Option<String>,
    log: bool,
}

impl Role for TimerRole {
    fn run(self: Box<Self>, context: RoleContext) -> BoxFuture<'static, Result<(), RoleError>> {
        Box::pin(async move {
            let mut limiter = RateLimiter::default();
            let stopped = context.stopped();
            tokio::pin!(stopped);
            // The first tick is for Peers too, and with a long interval the only one for long.
            tokio::select! {
                () = &mut stopped => return Ok(()),
                () = context.links_ready() => {}
            }
            let mut interval = tokio::time::interval(self.tick);
            interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    () = &mut stopped => return Ok(()),
                    _ = interval.tick() => self.send_tick(&context, &mut limiter).await,
                }
            }
        })
    }
}

impl TimerRole {
    async fn send_tick(&self, context: &RoleContext, limiter: &mut RateLimiter<String>) {
        let time = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
        let message = self.message.as_deref().map_or(Value::Nil, Value::from);
        let data = Value::Array(vec![message, Value::from(time.as_str())]);
        if let Err(error) = context.send(Draft::event("tick").data(&data)).await {
            let problem = format!("cannot send a tick: {error}");
            if limiter.allow(&*problem).is_some() {
                tracing::warn!(role = %context.name, "{problem}");
            }
        }
        if self.log {
            match &self.message {
                Some(message) => context.log(&format!("Tick: {time} {}", one_line(message))).await,
                None => context.log(&format!("Tick: {time}")).await,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::config::OptionValue;
    use crate::message::Kind;
    use crate::role::testing::TestHost;

    const TICK: Duration = Duration::from_secs(7);

    fn tick() -> (&'static str, OptionValue) {
        ("tick", OptionValue::Duration(TICK))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_tick_comes_at_once_and_none_drifts() {
        let host = TestHost::new("clock");
        let start = tokio::time::Instant::now();
        let running = host.start(&Timer, &[tick(), ("log", OptionValue::Flag(false))]);
        for count in 1..=1000 {
            host.until(|seen| seen.sent.len() == count).await;
            // As busy as the Node may be: it does not add up.
            tokio::time::advance(Duration::from_millis(13)).await;
        }
        running.stop().await.unwrap();
        host.seen(|seen| {
            for (count, at) in (0..).zip(&seen.sent_at) {
                assert_eq!(at.duration_since(start), TICK * count);
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn ticks_missed_are_left_out_and_the_grid_stays() {
        let host = TestHost::new("clock");
        let start = tokio::time::Instant::now();
        let running = host.start(&Timer, &[tick(), ("log", OptionValue::Flag(false))]);
        host.until(|seen| seen.sent.len() == 1).await;
        tokio::time::advance(TICK * 5 + Duration::from_secs(2)).await;
        host.until(|seen| seen.sent.len() == 3).await;
        running.stop().await.unwrap();
        let times = host.seen(|seen| seen.sent_at.clone());
        assert_eq!(times[1].duration_since(start), TICK * 5 + Duration::from_secs(2));
        assert_eq!(times[2].duration_since(start), TICK * 6);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_carries_message_and_time() {
        for (options, message, log) in [
            (vec![], Value::Nil, "Tick: "),
            (vec![("message", OptionValue::Text("tea".to_owned()))], "tea".into(), "Tick: "),
        ] {
            let host = TestHost::new("clock");
            let running = host.start(&Timer, &options);
            host.until(|seen| seen.sent.len() == 2).await;
            running.stop().await.unwrap();
            host.seen(|seen| {
                let tick = &seen.sent[0];
                assert_eq!((tick.kind(), tick.message_type()), (Kind::Event, "tick"));
                assert_eq!((tick.role(), tick.channel()), ("my-timer", None));
                let data = tick.value().unwrap();
                assert_eq!(data[0], message);
                let time = data[1].as_str().unwrap();
                jiff::civil::Time::strptime("%H:%M:%S", time).unwrap();
                assert!(seen.logs()[0].starts_with(&format!("{log}{time}")), "{:?}", seen.logs());
                assert_eq!(seen.logs()[0].contains("tea"), !options.is_empty());
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_log_there_is_none() {
        let host = TestHost::new("clock");
        let running = host.start(&Timer, &[("log", OptionValue::Flag(false))]);
        host.until(|seen| seen.sent.len() == 5).await;
        running.stop().await.unwrap();
        assert_eq!(host.seen(|seen| seen.logs().len()), 0);
    }
}

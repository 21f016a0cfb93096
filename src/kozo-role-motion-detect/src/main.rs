//! The Role type `motion-detect`: an Event `motion detection` every period, whether there is motion at a GPIO pin, and one at
//! once when that changes.
//!
//! What a motion sensor says is the level of its output wire. [`pin`] reads that wire, by the registers of a Raspberry Pi or the
//! GPIO character device of any other board, [`options`] is what the configuration says of it, and [`mod@watch`] decides when there
//! is something to say. A pin that cannot be read is tried again for as long as the Role runs.

mod options;
mod pin;
mod watch;

use std::process::ExitCode;

use kozo_role::{Draft, Failure, Level, Role};

use options::Options;
use pin::Pin;
use watch::{News, watch};

/// The type of the Events.
const EVENT: &str = "motion detection";

fn main() -> ExitCode {
    Role::describe(options::description()).run(async |role| {
        let options: Options = role.options()?;
        let tell = async |news: News| tell(&role, &options, news).await;
        let pace = options.pace();
        let open = || Pin::open(&options);
        tokio::select! {
            () = role.stopped() => Ok(()),
            ended = watch(&pace, open, tell) => ended,
        }
    })
}

/// Passes on what has become known of the pin.
async fn tell(role: &Role, options: &Options, news: News) -> Result<(), Failure> {
    match news {
        News::Opened { name, is_new } => {
            let text = format!("watching {name}");
            role.status(&text).await?;
            if is_new {
                role.log(Level::Info, &text).await?;
            }
        }
        News::Motion { is_there, before, is_new, name } => {
            if is_new {
                let what = if is_there { "motion" } else { "no motion" };
                role.status(&format!("{what} at {name}")).await?;
            }
            if options.log && before.unwrap_or(false) != is_there {
                let text = if is_there { "motion started" } else { "motion stopped" };
                role.send(Draft::log().data(text)).await?;
            }
            role.send(Draft::event(EVENT).data(&is_there)).await?;
        }
        News::Trouble { text, is_new } => {
            role.status(&text).await?;
            if is_new {
                role.log(Level::Warning, &text).await?;
            }
        }
    }
    Ok(())
}

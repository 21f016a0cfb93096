//! What the daemon logs: readable lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::node::SetLogFilter;
use crate::output::Output;

/// Starts logging what the filter lets through, for instance `info,kozo::link=debug`, to `stderr`. To
/// be called once.
///
/// # Errors
/// What is wrong with the filter.
pub fn start(filter: &str, stderr: Output) -> Result<SetLogFilter, String> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || stderr.clone())
        .with_ansi(colour)
        .with_target(false)
        .with_timer(LocalTime);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|error| error.to_string())?;
    Ok(Box::new(move |filter| handle.reload(parse(filter)?).map_err(|error| error.to_string())))
}

fn parse(filter: &str) -> Result<Targets, String> {
    filter.parse().map_err(|error| {
        format!(
            "the log filter '{filter}' makes no sense ({error}): it is a level (error, warn, \
             info, debug, trace) or several TARGET=LEVEL, for instance 'info,kozo::link=debug'"
        )
    })
}

struct LocalTime;

impl FormatTime for LocalTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", jiff::Zoned::now().strftime("%H:%M:%S%.3f"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        assert!(parse("info").is_ok());
        assert!(parse("warn,kozo::link=debug").is_ok());
        let error = parse("kozo=loud").map_err(|error| error.contains("'kozo=loud'"));
        assert_eq!(error.err(), Some(true));
    }
}

//! What the daemon logs: readable lines on standard error, or entries of the journal where that is
//! what standard error leads to.

use std::io::IsTerminal;

use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::node::SetLogFilter;
use crate::output::Output;
use crate::service::journal::{ForPeople, Journal};
pub use kozo_arguments::filter_from_environment;

/// Starts logging what the filter lets through, for instance `info,kozo::link=debug`, in the name of a
/// Node: to the journal where that is read, else to `stderr`. To be called once.
///
/// # Errors
/// What is wrong with the filter.
pub fn start(filter: &str, node: &str, stderr: &Output) -> Result<SetLogFilter, String> {
    let (filter, handle) = reload::Layer::new(parse(filter)?);
    let journal = Journal::open(node);
    let lines = journal.is_none().then(|| lines(stderr.clone()));
    tracing_subscriber::registry()
        .with(filter)
        .with(journal)
        .with(lines)
        .try_init()
        .map_err(|error| error.to_string())?;
    Ok(Box::new(move |filter| handle.reload(parse(filter)?).map_err(|error| error.to_string())))
}

fn lines<S>(stderr: Output) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .with_writer(move || stderr.clone())
        .with_ansi(is_coloured() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .with_timer(LocalTime)
        .fmt_fields(ForPeople)
}

/// Whether standard error is a terminal that shows colours.
pub fn is_coloured() -> bool {
    std::io::stderr().is_terminal()
}

fn parse(filter: &str) -> Result<Targets, String> {
    filter.parse().map_err(|error| {
        format!(
            "invalid log filter '{filter}' ({error}): expected a level (error, warn, info, debug, \
             trace) or several TARGET=LEVEL, such as 'info,kozo::link=debug'"
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
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn filters() {
        assert!(parse("info").is_ok());
        assert!(parse("warn,kozo::link=debug").is_ok());
        let error = parse("kozo=loud").map_err(|error| error.contains("'kozo=loud'"));
        assert_eq!(error.err(), Some(true));
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_shows_its_fields_but_not_its_class() {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .fmt_fields(ForPeople);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let class = crate::class::LINK_UP;
            tracing::info!(class, peer = "scribe", number = 3, "link {}", "up");
        });
        let line = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert_eq!(line, " INFO link up peer=\"scribe\" number=3\n");
    }
}

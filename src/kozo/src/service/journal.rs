//! Log lines as entries of the journal, with fields of their own.
//!
//! The fields of a line (`peer`, `role`, `transport`, …) become `KOZO_PEER`, `KOZO_ROLE` and so on;
//! every entry has `KOZO_NODE`, and one that has a class its `MESSAGE_ID`. The text of an entry is the same
//! as on a terminal, because that is what people read of it.

use std::env;

use nix::sys::stat::fstat;
use tracing::field::{Field, Value, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_journald::{Layer as Journald, Priority, PriorityMappings};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::class;

/// Name of the field that has the class of a line, see [`class`].
pub const CLASS: &str = "class";

/// Put before the names of the fields of a line.
const PREFIX: &str = "KOZO";

/// Whether standard error leads to the journal.
pub fn is_open() -> bool {
    env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stderr(&stream))
}

/// Sends what is logged to the journal.
pub struct Journal {
    unclassed: Journald,
    /// One for each class: they differ in the `MESSAGE_ID` that they add.
    classes: Vec<(&'static str, Journald)>,
}

impl Journal {
    /// The journal, if it is what standard error leads to and can be reached.
    pub fn open(node: &str) -> Option<Journal> {
        if !is_open() {
            return None;
        }
        let of_class = |(class, id): &(&'static str, &str)| Some((*class, layer(node, Some(id))?));
        Some(Journal {
            unclassed: layer(node, None)?,
            classes: class::ALL.iter().map(of_class).collect::<Option<_>>()?,
        })
    }
}

fn layer(node: &str, id: Option<&str>) -> Option<Journald> {
    let fields = [("KOZO_NODE", Some(node)), ("MESSAGE_ID", id)];
    let layer = Journald::new()
        .ok()?
        .with_syslog_identifier("kozo".to_owned())
        .with_field_prefix(Some(PREFIX.to_owned()))
        .with_custom_fields(fields.into_iter().filter_map(|(name, value)| Some((name, value?))))
        .with_priority_mappings(PriorityMappings {
            error: Priority::Error,
            warn: Priority::Warning,
            info: Priority::Informational,
            debug: Priority::Debug,
            trace: Priority::Debug,
        });
    Some(layer)
}

/// Whether `DEVICE:INODE`, as systemd names its stream, is our standard error: a shell started by a
/// service may have led it elsewhere.
fn is_stderr(stream: &str) -> bool {
    fstat(std::io::stderr()).is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino))
}

impl<S> Layer<S> for Journal
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.unclassed.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.unclassed.on_record(id, values, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut found = Found { values: vec![None; event.metadata().fields().len()], class: None };
        event.record(&mut found);
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = ForPeople.format_fields(Writer::new(&mut text), event);
        let message = event.metadata().fields().field("message").map(|field| field.index());
        let values = found.values.iter().enumerate().map(|(at, value)| {
            let value = if Some(at) == message { Some(&text) } else { value.as_ref() };
            value.map(|value| value as &dyn Value)
        });
        let values: Vec<_> = values.collect();
        let values = event.metadata().fields().value_set_all(&values);
        let of_class = self.classes.iter().find(|(class, _)| found.class.as_deref() == Some(class));
        let layer = of_class.map_or(&self.unclassed, |(_, layer)| layer);
        layer.on_event(&Event::new(event.metadata(), &values), context);
    }
}

/// The values of a line as texts, in the order of its fields.
struct Found {
    values: Vec<Option<String>>,
    class: Option<String>,
}

impl Visit for Found {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == CLASS {
            self.class = Some(value.to_owned());
        }
        if let Some(place) = self.values.get_mut(field.index()) {
            *place = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if let Some(place) = self.values.get_mut(field.index()) {
            *place = Some(format!("{value:?}"));
        }
    }
}

/// A line as people read it: the text, then its fields but for the class.
pub struct ForPeople;

impl<'writer> FormatFields<'writer> for ForPeople {
    fn format_fields<R: RecordFields>(
        &self,
        writer: Writer<'writer>,
        fields: R,
    ) -> std::fmt::Result {
        let mut visitor = WithoutClass(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

struct WithoutClass<'writer>(DefaultVisitor<'writer>);

impl Visit for WithoutClass<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != CLASS {
            self.0.record_str(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.record_debug(field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_not_ours_is_not_taken() {
        assert!(!is_stderr("1:1"));
        assert!(!is_stderr(""));
    }
}

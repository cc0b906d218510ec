//! The log: JSON lines on Lambda and in a container, text on a laptop; and which lines are reports.

use super::Place;
use super::metrics::{Metric, count};
use eventstore::time_text;
use sentry::integrations::tracing::{BreadcrumbLayer, ErrorLayer};
use serde_json::{Map, Value};
use std::error::Error;
use std::fmt::Debug;
use std::io::Write;
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// What is logged on Lambda and in a container when RUST_LOG says nothing: a line for each request and message.
const INFO: &str = "info";
/// The same in a program. The engine warns of what our own tables do on purpose, and the SDK of every place where it found no
/// credentials; what comes of it is told in the program's last line.
const QUIET: &str = "warn,dynoxide=error,aws_config=error";
/// It tells of each failed call once more, without its ids.
const TOLD_TWICE: &str = "lambda_runtime::layers::panic";

/// Begins to log; reports are made if there is somebody to take them.
pub(super) fn start(place: Place, reports: bool) {
    let mut layers = vec![lines(place), Counted.with_filter(filter_fn(is_report)).boxed()];
    if reports {
        layers.push(BreadcrumbLayer::new().with_filter(filter_fn(is_breadcrumb)).boxed());
        layers.push(ErrorLayer::new().with_filter(filter_fn(is_report)).boxed());
    }
    // Somebody else's subscriber, as in a test, may be there already.
    let _ = tracing_subscriber::registry().with(layers).try_init();
}

fn lines(place: Place) -> Box<dyn Layer<Registry> + Send + Sync> {
    let wanted = |default| {
        let wanted = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
        wanted.and(filter_fn(|metadata| metadata.target() != TOLD_TWICE))
    };
    match place {
        Place::Lambda | Place::Container => Lines::Json.with_filter(wanted(INFO)).boxed(),
        Place::Program => Lines::Text.with_filter(wanted(QUIET)).boxed(),
    }
}

/// An error, or a warning under an id that somebody was told.
fn is_report(metadata: &Metadata<'_>) -> bool {
    let told = || *metadata.level() == Level::WARN && metadata.fields().field("error_id").is_some();
    metadata.is_event() && metadata.target() != TOLD_TWICE && (*metadata.level() == Level::ERROR || told())
}

/// What went before a report: our own lines.
fn is_breadcrumb(metadata: &Metadata<'_>) -> bool {
    let ours = ["handlers", "projections", "eventstore", "ledgerfold"];
    let is_ours = ours.iter().any(|name| metadata.target().starts_with(name));
    metadata.is_event() && is_ours && *metadata.level() <= Level::INFO && !is_report(metadata)
}

/// Counts reports, so that a metric tells of them even without Sentry.
struct Counted;

impl<S: Subscriber> Layer<S> for Counted {
    fn on_event(&self, _event: &Event<'_>, _context: Context<'_, S>) {
        count(Metric::Reports);
    }
}

/// A line for each event, with `time`, `level`, `target`, `message`, the fields of the event and those of the work around it,
/// each once: what is told last counts.
enum Lines {
    /// A JSON object, on standard output.
    Json,
    /// Text, on standard error.
    Text,
}

/// The fields of a span or a line.
#[derive(Default, Clone)]
struct Fields(Map<String, Value>);

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Fields::default();
        for span in context.event_scope(event).into_iter().flatten().collect::<Vec<_>>().iter().rev() {
            if let Some(Fields(fields)) = span.extensions().get::<Fields>() {
                line.0.extend(fields.clone());
            }
        }
        event.record(&mut line);
        line.put("time", time_text(SystemTime::now().into()));
        line.put("level", event.metadata().level().as_str());
        line.put("target", event.metadata().target());
        // In one piece, so that lines of several threads do not mix. That the reader has gone is not told: there is no place.
        let _ = match self {
            Self::Json => std::io::stdout().lock().write_all(format!("{}\n", Value::Object(line.0)).as_bytes()),
            Self::Text => std::io::stderr().lock().write_all(line.text().as_bytes()),
        };
    }
}

impl Fields {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// `time LEVEL target: message field=value …`. Texts with blanks or quotes stand in quotes.
    fn text(mut self) -> String {
        let mut first = |name| self.0.remove(name).unwrap_or_default();
        let [time, level, target, message] = ["time", "level", "target", "message"].map(|name| plain(&first(name)));
        let mut text = format!("{time} {level:>5} {target}: {message}");
        for (name, value) in &self.0 {
            let value = match value.as_str().filter(|text| text.contains(|c: char| c.is_whitespace() || c == '"')) {
                Some(blanks) => format!("{blanks:?}"),
                None => plain(value),
            };
            text.extend([" ", name, "=", &value]);
        }
        text.push('\n');
        text
    }
}

/// A value as text; nothing for null.
fn plain(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_null() => String::new(),
        None => value.to_string(),
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }

    /// The error and its causes in one line, each said once.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let (mut text, mut cause) = (value.to_string(), value.source());
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.ends_with(&next) {
                text = format!("{text}: {next}");
            }
            cause = error.source();
        }
        self.put(field.name(), text);
    }
}

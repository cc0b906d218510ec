//! The log: JSON lines on Lambda and in containers, text elsewhere. It also decides which lines are
//! reports.

use super::Platform;
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

/// The default of RUST_LOG on Lambda and in containers: a line for each request and message.
const SERVICE_FILTER: &str = "info";
/// The default of RUST_LOG in a program. The engine warns of things that our tables do on purpose,
/// and the SDK of each source without credentials. The program's last line reports a failure
/// anyway.
const PROGRAM_FILTER: &str = "warn,dynoxide=error,aws_config=error";
/// This target logs each failed call again, without its ids.
const DUPLICATE_TARGET: &str = "lambda_runtime::layers::panic";

/// Starts the log, and reports if they can be sent.
pub(super) fn start(platform: Platform, reports: bool) {
    let mut layers =
        vec![log_lines(platform), CountReports.with_filter(filter_fn(is_report)).boxed()];
    if reports {
        layers.push(BreadcrumbLayer::new().with_filter(filter_fn(is_breadcrumb)).boxed());
        layers.push(ErrorLayer::new().with_filter(filter_fn(is_report)).boxed());
    }
    // Another subscriber may be installed already, as in a test.
    let _ = tracing_subscriber::registry().with(layers).try_init();
}

fn log_lines(platform: Platform) -> Box<dyn Layer<Registry> + Send + Sync> {
    let filter = |default| {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
        filter.and(filter_fn(|metadata| metadata.target() != DUPLICATE_TARGET))
    };
    match platform {
        Platform::Lambda | Platform::Container => {
            LogFormat::Json.with_filter(filter(SERVICE_FILTER)).boxed()
        }
        Platform::Program => LogFormat::Text.with_filter(filter(PROGRAM_FILTER)).boxed(),
    }
}

/// An error, or a warning with an `error_id` that a caller got.
fn is_report(metadata: &Metadata<'_>) -> bool {
    let has_error_id =
        || *metadata.level() == Level::WARN && metadata.fields().field("error_id").is_some();
    metadata.is_event()
        && metadata.target() != DUPLICATE_TARGET
        && (*metadata.level() == Level::ERROR || has_error_id())
}

/// Our own lines before a report.
fn is_breadcrumb(metadata: &Metadata<'_>) -> bool {
    let ours = ["handlers", "projections", "eventstore", "ledgerfold"];
    let is_ours = ours.iter().any(|name| metadata.target().starts_with(name));
    metadata.is_event() && is_ours && *metadata.level() <= Level::INFO && !is_report(metadata)
}

/// Counts reports, so that a metric shows them even without Sentry.
struct CountReports;

impl<S: Subscriber> Layer<S> for CountReports {
    fn on_event(&self, _event: &Event<'_>, _context: Context<'_, S>) {
        count(Metric::Reports);
    }
}

/// The format of lines. Each has `time`, `level`, `target`, `message`, and the fields of the event
/// and its spans. The innermost value of a field counts.
enum LogFormat {
    /// A JSON object, on standard output.
    Json,
    /// Text, on standard error.
    Text,
}

/// The fields of a span or a line.
#[derive(Default, Clone)]
struct LogFields(Map<String, Value>);

impl<S> Layer<S> for LogFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = LogFields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<LogFields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = LogFields::default();
        for span in
            context.event_scope(event).into_iter().flatten().collect::<Vec<_>>().iter().rev()
        {
            if let Some(LogFields(fields)) = span.extensions().get::<LogFields>() {
                line.0.extend(fields.clone());
            }
        }
        event.record(&mut line);
        line.put("time", time_text(SystemTime::now().into()));
        line.put("level", event.metadata().level().as_str());
        line.put("target", event.metadata().target());
        // In one piece, so that lines of several threads do not mix. If the reader is gone, there
        // is no other place to report it.
        let _ = match self {
            Self::Json => std::io::stdout()
                .lock()
                .write_all(format!("{}\n", Value::Object(line.0)).as_bytes()),
            Self::Text => std::io::stderr().lock().write_all(line.text().as_bytes()),
        };
    }
}

impl LogFields {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// `time LEVEL target: message field=value …`. Values with whitespace or quotes are quoted.
    fn text(mut self) -> String {
        let mut first = |name| self.0.remove(name).unwrap_or_default();
        let [time, level, target, message] =
            ["time", "level", "target", "message"].map(|name| plain(&first(name)));
        let mut text = format!("{time} {level:>5} {target}: {message}");
        for (name, value) in &self.0 {
            let value = match value
                .as_str()
                .filter(|text| text.contains(|c: char| c.is_whitespace() || c == '"'))
            {
                Some(text) => format!("{text:?}"),
                None => plain(value),
            };
            text.extend([" ", name, "=", &value]);
        }
        text.push('\n');
        text
    }
}

/// A value as text; empty for null.
fn plain(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_null() => String::new(),
        None => value.to_string(),
    }
}

impl Visit for LogFields {
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

    /// The error and its causes in one line, each once.
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

//! Reports to Sentry.
//!
//! Each error in the log is a report: the error with its causes, and tags for component, stream,
//! version, command, correlation and actor. Only ids and numbers listed here leave the process.
//! Text that a person typed does not.

use super::metrics::{Metric, count};
use super::{Component, FLUSH, LOCAL, TelemetryError};
use sentry::protocol::{Breadcrumb, Context, Event, Value};
use sentry::transports::UreqHttpTransportOptions;
use sentry::types::{Dsn, Scheme};
use sentry::{
    ClientInitGuard, ClientOptions, Hub, TransactionContext, Transport, TransportFactory,
    TransportOptions,
};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long sending one report may take. A stuck one delays those behind it.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Fields that become tags of a report, so that they can be searched.
const TAGS: [&str; 16] = [
    "component",
    "consumer",
    "stream",
    "version",
    "generation",
    "command_id",
    "correlation_id",
    "actor",
    "error_id",
    "request_id",
    "message_id",
    "trace_id",
    "route",
    "method",
    "problem",
    "shard",
];
/// Further fields of a report.
const FIELDS: [&str; 15] = [
    "attempts",
    "backtrace",
    "change",
    "code",
    "duration_ms",
    "lag_ms",
    "location",
    "outcome",
    "read_units",
    "receives",
    "replayed",
    "requests",
    "shape",
    "status",
    "write_units",
];
/// The context in which the tracing layer puts an event's fields.
const TRACING_FIELDS: &str = "Rust Tracing Fields";

/// The text is not a DSN.
#[derive(Debug, thiserror::Error)]
#[error("must be a DSN of Sentry, such as https://KEY@HOST/PROJECT")]
pub struct InvalidDsn(#[from] sentry::types::ParseDsnError);

/// Checks the text of a `SENTRY_DSN`.
///
/// # Errors
/// [`InvalidDsn`]. It does not repeat the text, which contains a key.
pub fn check_dsn(dsn: &str) -> Result<(), InvalidDsn> {
    parse(dsn).map(|_| ())
}

fn parse(dsn: &str) -> Result<Dsn, InvalidDsn> {
    Ok(dsn.parse()?)
}

/// Settings from the environment.
pub(super) struct Settings {
    pub(super) dsn: Option<Dsn>,
    pub(super) stage: String,
    release: Option<String>,
    traces_sample_rate: f32,
}

impl Settings {
    pub(super) fn from_environment() -> Result<Self, TelemetryError> {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let rate = variable("SENTRY_TRACES_SAMPLE_RATE").unwrap_or_else(|| "0".to_owned());
        let valid = rate.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
        Ok(Self {
            dsn: variable("SENTRY_DSN").as_deref().map(parse).transpose()?,
            stage: variable("SENTRY_ENVIRONMENT").unwrap_or_else(|| LOCAL.to_owned()),
            release: variable("SENTRY_RELEASE"),
            traces_sample_rate: valid.ok_or(TelemetryError::SampleRate(rate))?,
        })
    }
}

/// Starts reports, if there is a DSN. Threads that start later inherit the hub.
pub(super) fn start(component: Component, settings: Settings) -> Option<ClientInitGuard> {
    let Settings { dsn, stage, release, traces_sample_rate } = settings;
    let server = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|_| LOCAL.to_owned());
    let mut options = ClientOptions::new()
        .maybe_release(release)
        .environment(stage)
        .server_name(server)
        .send_default_pii(false)
        .attach_stacktrace(false)
        .default_integrations(false)
        .add_integration(sentry::integrations::contexts::ContextIntegration::new())
        .shutdown_timeout(FLUSH)
        .transport(BoundedTransport {
            is_encrypted: dsn.as_ref().is_some_and(|dsn| dsn.scheme() == Scheme::Https),
        })
        .traces_sampler(move |trace| sampled(trace, traces_sample_rate))
        .before_send(|event| Some(without_personal_data(event)))
        .before_breadcrumb(|breadcrumb| Some(without_personal_data_in(breadcrumb)));
    options.dsn = Some(dsn?);
    let guard = sentry::init(options);
    sentry::configure_scope(|scope| scope.set_tag("component", component.name()));
    Some(guard)
}

/// 1 where the trace is sampled, 0 where it is not.
fn sampled(trace: &TransactionContext, rate: f32) -> f32 {
    if share(trace) < rate {
        count(Metric::Traces);
        return 1.0;
    }
    0.0
}

/// A number from 0 to 1 that follows from the trace's id, so that all components sample the same
/// traces.
fn share(trace: &TransactionContext) -> f32 {
    let id = trace.trace_id().to_string();
    let last =
        id.get(28..).and_then(|digits| u16::from_str_radix(digits, 16).ok()).unwrap_or_default();
    f32::from(last) / 65_536.0
}

/// Whether reports are sent.
pub(super) fn are_sent() -> bool {
    Hub::with_active(|hub| hub.client().is_some())
}

/// Waits until all reports are sent, at most [`FLUSH`].
pub(super) fn flush() {
    if let Some(client) = Hub::current().client() {
        client.flush(Some(FLUSH));
    }
}

/// Sentry's own transport, with a timeout.
struct BoundedTransport {
    is_encrypted: bool,
}

impl TransportFactory for BoundedTransport {
    fn create_transport_with_options(&self, options: TransportOptions) -> Arc<dyn Transport> {
        let agent = ureq::Agent::config_builder().timeout_global(Some(SEND_TIMEOUT));
        let agent =
            if self.is_encrypted { agent.tls_config(crate::aws::https::tls()) } else { agent };
        Arc::new(
            UreqHttpTransportOptions::from(options).with_agent(agent.build().new_agent()).build(),
        )
    }
}

/// The report without personal data. Its id is the `error_id`, if there is one.
fn without_personal_data(mut event: Event<'static>) -> Event<'static> {
    if let Some(Context::Other(fields)) = event.contexts.remove(TRACING_FIELDS) {
        let (tags, further) = sorted(fields);
        event.tags.extend(tags);
        if !further.is_empty() {
            event.contexts.insert("fields".to_owned(), Context::Other(further));
        }
    }
    if let Some(id) = event.tags.get("error_id").and_then(|id| Uuid::parse_str(id).ok()) {
        event.event_id = id;
    }
    event.message = event.message.as_deref().map(without_quotes);
    for exception in event.exception.iter_mut() {
        exception.value = exception.value.as_deref().map(without_quotes);
    }
    event
}

type ReportFields = sentry::protocol::Map<String, Value>;

/// Tags and further fields. Others are dropped.
fn sorted(fields: ReportFields) -> (sentry::protocol::Map<String, String>, ReportFields) {
    let (mut tags, mut further) = (sentry::protocol::Map::new(), ReportFields::new());
    for (name, value) in fields {
        let name = name.as_str();
        if TAGS.contains(&name) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            tags.insert(name.to_owned(), text);
        } else if name == "panic" {
            further
                .insert(name.to_owned(), without_quotes(value.as_str().unwrap_or_default()).into());
        } else if FIELDS.contains(&name) {
            further.insert(name.to_owned(), value);
        }
    }
    (tags, further)
}

fn without_personal_data_in(mut breadcrumb: Breadcrumb) -> Breadcrumb {
    breadcrumb
        .data
        .retain(|name, _| TAGS.contains(&name.as_str()) || FIELDS.contains(&name.as_str()));
    breadcrumb.message = breadcrumb.message.as_deref().map(without_quotes);
    breadcrumb
}

/// The text without what it quotes: a decoder may quote a person's name. It cuts from the first
/// quotation mark to the last, since the quoted value may contain some.
fn without_quotes(text: &str) -> String {
    ['"', '`'].into_iter().fold(text.to_owned(), |text, mark| {
        match (text.find(mark), text.rfind(mark)) {
            (Some(first), Some(last)) => {
                let (before, behind) =
                    (text.get(..first).unwrap_or_default(), text.get(last..).unwrap_or_default());
                let behind = if first == last { "" } else { behind };
                format!("{before}{mark}…{behind}")
            }
            _ => text,
        }
    })
}

#[cfg(test)]
mod specs {
    use super::*;
    use sentry::protocol::{Exception, TraceId};

    #[test]
    fn quoted_values_are_cut_out() {
        for (text, expected) in [
            (
                "invalid type: string \"Anna \\\"A\\\" Meier\", expected u32",
                "invalid type: string \"…\", expected u32",
            ),
            ("unknown variant `anna`, expected `placed`", "unknown variant `…`"),
            (
                "a customer id has no spaces, but is \"anna\\\" meier\", unlike \"a\"",
                "a customer id has no spaces, but is \"…\"",
            ),
            ("a string \"anna", "a string \"…"),
            ("string \"a\", expected b: string \"c\", expected d", "string \"…\", expected d"),
            ("nothing is quoted", "nothing is quoted"),
        ] {
            assert_eq!(without_quotes(text), expected);
        }
    }

    #[test]
    fn only_listed_fields_leave_and_the_error_id_is_kept() {
        let id = "019abcde00007000800000000000abcd";
        let fields = [
            ("error_id", id.into()),
            ("version", 3.into()),
            ("receives", 5.into()),
            ("customer_id", "anna".into()),
        ];
        let fields = fields.map(|(name, value): (&str, Value)| (name.to_owned(), value));
        let mut event = Event::new();
        event
            .contexts
            .insert(TRACING_FIELDS.to_owned(), Context::Other(fields.into_iter().collect()));
        let value = Some("invalid value: string \"anna\", expected a number".to_owned());
        event.exception = vec![Exception { value, ..Exception::default() }].into();
        let report = serde_json::to_value(without_personal_data(event)).unwrap();
        assert_eq!(report["event_id"], id);
        assert_eq!(report["tags"], serde_json::json!({"error_id": id, "version": "3"}));
        assert_eq!(report["contexts"]["fields"]["receives"], 5);
        assert!(!report.to_string().contains("anna"), "{report}");
    }

    #[test]
    fn a_traces_id_decides_on_its_sampling() {
        let trace = |id: &str| {
            TransactionContext::new_with_trace_id("name", "kind", id.parse::<TraceId>().unwrap())
        };
        let (low, high) =
            (trace("0af7651916cd43dd8448eb211c800000"), trace("0af7651916cd43dd8448eb211c80ffff"));
        assert_eq!(
            [sampled(&low, 0.0), sampled(&low, 0.01), sampled(&high, 0.99), sampled(&high, 1.0)],
            [0.0, 1.0, 0.0, 1.0]
        );
    }
}

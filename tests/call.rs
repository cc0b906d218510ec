//! One call of a handler as on Lambda, which fails as it is told to.

use eventstore::{CommandMetadata, Fingerprint, Id, StreamId};
use handlers::telemetry::{self, CallFailed, Component, Metric, Platform, TraceParent, TracedWork};
use std::io::Write;
use std::process::ExitCode;
use std::time::SystemTime;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Where the work comes from.
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Why the work fails: an error with a cause, which quotes what somebody typed.
#[derive(Debug, thiserror::Error)]
#[error("the message cannot be read")]
struct Unreadable(#[from] serde_json::Error);

/// Makes two calls, of which the first is to end in that way; says what came of each, and is gone
/// without a chance to send more.
pub(super) fn main(what: &str) -> ExitCode {
    match run(what) {
        Ok(never) => match never {},
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: &str) -> Result<std::convert::Infallible, Failure> {
    let telemetry = telemetry::start(Component::Projector, Platform::Lambda)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (request_id, what) in [("call-1", what), ("call-2", "nothing")] {
        let answer = runtime.block_on(telemetry.invocations().invoke_as(request_id, work(what)));
        let said = match answer {
            Ok(()) => "done",
            Err(CallFailed::Error(_)) => "error",
            Err(CallFailed::Panicked(_)) => "panic",
        };
        writeln!(
            std::io::stdout(),
            "{}",
            serde_json::json!({"answered": request_id, "with": said})
        )?;
    }
    // As a process that is frozen behind its answer: nothing is dropped, nothing is sent any more.
    std::process::exit(0)
}

async fn work(what: &str) -> Result<(), Failure> {
    telemetry::count(Metric::Messages);
    let stream = StreamId::new("order-1")?;
    let metadata = metadata()?;
    let trace = TraceParent::parse(TRACE);
    let work = async {
        telemetry::annotate(&stream, Some(7), &metadata);
        tracing::info!(customer_id = "customer-of-the-log", "before");
        fail(what)
    };
    TracedWork { name: "orders", kind: "queue.process", trace, begun: SystemTime::now() }
        .run(work)
        .await
}

#[expect(clippy::panic, reason = "a handler with a defect")]
fn fail(what: &str) -> Result<(), Failure> {
    match what {
        "panic" => panic!("a defect"),
        "error" => match serde_json::from_str::<u32>("\"typed-by-somebody\"") {
            Ok(_) => Ok(()),
            Err(error) => Err(Unreadable(error).into()),
        },
        _ => Ok(()),
    }
}

fn metadata() -> Result<CommandMetadata, Failure> {
    Ok(CommandMetadata {
        command_id: Id::new("command-1")?,
        fingerprint: Fingerprint::of(&[b"command-1"]),
        correlation_id: Id::new("process-1")?,
        causation_id: None,
        actor: Id::new("operator:ann")?,
        trace_parent: None,
    })
}

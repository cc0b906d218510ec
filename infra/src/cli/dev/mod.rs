//! `ledgerfold dev`: runs the whole system on this machine.

mod access;

use super::app;
use super::exit::{Exit, Failure, stop_signal};
use super::projection::worker;
use super::wording;
use super::{output, target};
use crate::clients::{Clients, Endpoints, LOOPBACK_REGION};
use crate::local::data_folder::DataFolder;
use crate::local::data_folder::running::{Running, RunningFile};
use crate::local::engines::access_key::AccessKey;
use crate::local::event_source::mapping::StreamMapping;
use crate::local::stack::Stack;
use crate::resources::{self, Resources};
pub(super) use access::actor;
use access::{AccessOptions, ApiEntry};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use eventstore::Id;
use handlers::delivery::QueueMapping;
use handlers::http::Api;
use handlers::http::server::{self, Limits};
use handlers::telemetry::{Component, InvocationLayer};
use handlers::{
    CommandQueue, Continuations, FanOut, Names, Operations, ProjectorHandler, Route, System,
};
use projections::{Kind, Projector};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Concurrent batches per queue.
const CONCURRENT_BATCHES: usize = 8;
/// Concurrent segments of jobs.
const JOB_WORKERS: usize = 2;
/// Stream records per batch of fan-out.
const STREAM_BATCH: usize = 500;
/// The pause before a failed message is retried: short, because a person is waiting.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The limits of the API. A connection needs up to three file handles, with those of its requests
/// to the engines. Often a process may open only 1,024.
const LIMITS: Limits =
    Limits { connections: 256, head: Duration::from_secs(30), drain: Duration::from_secs(10) };
/// The answer above the limit of connections.
const TOO_MANY_CONNECTIONS: &str = r#"{"type":"https://ledgerfold.dev/problems/unavailable","title":"Too many connections","status":503,"detail":"the limit of open connections is reached; close some, or retry later"}"#;

/// Run the whole system on this machine until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ledgerfold dev\n  ledgerfold dev --port 0 --data ./shop --fresh\n  ledgerfold dev --without-processes\n  ledgerfold dev --auth .ledgerfold-tokens/jwks.json --issuer ledgerfold-tokens --audience ledgerfold\n  ledgerfold dev --break READ_MODEL=EVENT_TYPE"
)]
pub(super) struct Dev {
    /// The port; 0 picks a free one.
    #[arg(long, default_value_t = 8080, env = "LEDGERFOLD_PORT")]
    port: u16,
    #[command(flatten)]
    access: AccessOptions,
    /// The data folder.
    #[arg(long, value_name = "DIR", default_value = wording::data_folder(), env = target::DATA_VARIABLE)]
    data: PathBuf,
    /// Remove the data in the folder first.
    #[arg(long)]
    fresh: bool,
    /// Do not run processes, to try commands by hand. Their messages wait in the queues.
    #[arg(long, env = "LEDGERFOLD_WITHOUT_PROCESSES")]
    without_processes: bool,
    /// Make a read model fail at every event of a type, to see how streams are parked.
    #[arg(long = "break", value_name = "PROJECTION=EVENT_TYPE", value_parser = event_fault)]
    fault: Option<EventFault>,
}

/// A fault to inject: a read model fails at every event of this type.
#[derive(Debug, Clone)]
struct EventFault {
    projection: &'static str,
    event_type: String,
}

/// Parses a read model that folds events, and an event type that it knows.
fn event_fault(text: &str) -> Result<EventFault, String> {
    let (name, event_type) = text.split_once('=').ok_or("a projection, '=' and an event type")?;
    let projection = app().consumer(name).filter(|projection| match projection.kind {
        Kind::SingleStream { .. } | Kind::MultiStream { .. } => true,
        Kind::CommitIndex | Kind::Journal | Kind::Process => false,
    });
    let projection = projection
        .ok_or_else(|| format!("{name:?} is not a projection that applies events one by one"))?;
    if !(projection.knows)(event_type) {
        return Err(format!("{name} does not know events of type {event_type:?}"));
    }
    Ok(EventFault { projection: projection.name, event_type: event_type.to_owned() })
}

impl Default for Dev {
    fn default() -> Self {
        let parsed = <DevAlone as clap::Parser>::parse_from(["ledgerfold"]);
        parsed.dev
    }
}

/// Parses the options of `dev` alone, for their defaults.
#[derive(clap::Parser)]
struct DevAlone {
    #[command(flatten)]
    dev: Dev,
}

impl Dev {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        let entry = self.access.open(self.port).await?;
        let data = if self.fresh {
            DataFolder::open_fresh(&self.data)
        } else {
            DataFolder::open(&self.data)
        };
        let data = data.map_err(|error| Failure::from_error(&error))?;
        let stack =
            Stack::start(data).await.map_err(|error| Failure::from_error(&error))?.within_process();
        let names = Names::new(app().stored_name());
        let resources = resources::create(app(), &stack.clients, &names).await;
        let resources = resources.map_err(|error| Failure::from_error(&error))?;
        let stop = CancellationToken::new();
        let mut mappings = start_fan_out(&stack, &resources, &stop).await?;
        // One system for all components, so that they share the stream cache.
        let system = stack.clients.system(app(), &names);
        let projector = self.projector(&system);
        let operations = system.operations(projector.clone());
        let consumers =
            Consumers { stack: &stack, system: &system, projector: &projector, stop: &stop };
        consumers.start_projectors(&resources, &mut mappings);
        if !self.without_processes {
            consumers.start_processes(&resources, &mut mappings);
        }
        consumers.start_jobs(&operations, &resources, &mut mappings).await?;
        consumers.start_command_worker(&resources, &mut mappings);
        let api = api(&system, projector.clone(), operations)?;
        let api = api.with_command_queue(command_queue(&system).await?);
        let address = entry
            .listener
            .local_addr()
            .map_err(|error| Failure::new("the port is not known", error))?;
        let stop_requested = stop_signal()?;
        let running_file = publish(&format!("http://{address}"), &stack)?;
        self.greet(&format!("http://{address}"), &stack)?;
        self.warn_of_fault()?;
        let served = tokio::select! {
            () = serve(entry, api, stop_requested) => Ok(()),
            failure = unexpected_end(&mut mappings) => Err(failure),
        };
        drop(running_file);
        stop.cancel();
        finish(mappings).await;
        stack.stop().await;
        served.map(|()| Exit::Done)
    }

    fn projector(&self, system: &System) -> Projector {
        let projector = system.projector();
        match &self.fault {
            Some(EventFault { projection, event_type }) => {
                projector.with_fault(*projection, event_type)
            }
            None => projector,
        }
    }

    fn warn_of_fault(&self) -> Result<(), Failure> {
        let Some(EventFault { projection, event_type }) = &self.fault else { return Ok(()) };
        output::line(&wording::named(&format!(
            "  BROKEN   {projection} FAILS at every {event_type}, because of --break. Its streams are parked: start without \
             --break, then run `ledgerfold projection resume {projection}`"
        )))
    }

    fn greet(&self, url: &str, stack: &Stack) -> Result<(), Failure> {
        let Endpoints { dynamodb, sqs, key: AccessKey { id, secret } } = &stack.endpoints;
        let (data, callers, token) =
            (self.data.display(), self.access.greeting(), self.access.header());
        let program = wording::program();
        output::line(&format!("{program} is ready at {url}"))?;
        let call = app().example_call().map(|(path, body)| {
            let body = body.replace('\'', "'\\''");
            format!(
                "\n  try      curl -i {url}{path}{token} -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first-command' -d '{body}'"
            )
        });
        let call = call.unwrap_or_default();
        output::line(&format!(
            r#"  console  {url}/console/
  data     {data}; `{program} dev --fresh` removes it
{callers}{call}
  API      {url}/openapi.json
  operate  export AWS_ENDPOINT_URL_DYNAMODB={dynamodb} AWS_ENDPOINT_URL_SQS={sqs} AWS_REGION={LOOPBACK_REGION} AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret}
  stop     Ctrl-C"#
        ))
    }
}

/// Writes the file by which commands find this system.
fn publish(url: &str, stack: &Stack) -> Result<RunningFile, Failure> {
    let running = Running {
        process: std::process::id(),
        api: url.to_owned(),
        endpoints: stack.endpoints.clone(),
    };
    running.write(&stack.data).map_err(|error| {
        Failure::new("the file for other commands cannot be written to the data folder", error)
    })
}

fn api(system: &System, projector: Projector, operations: Operations) -> Result<Api, Failure> {
    let actor = Id::new("dev").map_err(|error| Failure::from_error(&error))?;
    Ok(Api::new(system.command_store(), projector, operations, actor)
        .with_commands(system.commands()))
}

async fn command_queue(system: &System) -> Result<CommandQueue, Failure> {
    system.command_queue().await.map_err(|error| Failure::from_error(&error))
}

/// Starts the event source mapping of the events table's stream to fan-out.
async fn start_fan_out(
    stack: &Stack,
    resources: &Resources,
    stop: &CancellationToken,
) -> Result<JoinSet<()>, Failure> {
    let mut mappings = JoinSet::new();
    let stream_arn = stream_arn(&stack.clients, &resources.events).await?;
    let fan_out = FanOut::new(stack.clients.sqs.clone(), resources.routes.clone());
    let mut mapping = StreamMapping::new(stream_arn, stack.data.checkpoint_file("fan-out"));
    mapping.batch_size = STREAM_BATCH;
    let layer = InvocationLayer::within_program(Component::FanOut);
    let handler = move |event| {
        let (fan_out, layer) = (fan_out.clone(), layer.clone());
        async move { layer.invoke(async { Ok::<_, Infallible>(fan_out.handle(event).await) }).await }
    };
    let mapping = mapping.woken_by(stack.dynamodb.changes());
    mappings.spawn(mapping.run(stack.clients.streams.clone(), handler, stop.clone()));
    Ok(mappings)
}

/// Starts the event source mappings of queues.
struct Consumers<'a> {
    stack: &'a Stack,
    system: &'a System,
    projector: &'a Projector,
    stop: &'a CancellationToken,
}

impl Consumers<'_> {
    /// Starts a mapping for each projection: from its queue to its projector.
    fn start_projectors(&self, resources: &Resources, mappings: &mut JoinSet<()>) {
        let clients = &self.stack.clients;
        for Route { consumer, queue_url } in &resources.routes {
            let Some(projection) = app().consumer(consumer.name).filter(|of| of.is_read_model())
            else {
                continue;
            };
            let projector = ProjectorHandler::new(*projection, self.projector.clone())
                .with_heartbeat()
                .with_continuations(Continuations::new(clients.sqs.clone(), queue_url));
            let layer = InvocationLayer::within_program(Component::Projector);
            let handler = move |event| {
                let (projector, layer) = (projector.clone(), layer.clone());
                async move {
                    layer.invoke(async { Ok::<_, Infallible>(projector.handle(event).await) }).await
                }
            };
            mappings.spawn(mapping(queue_url).run(clients.sqs.clone(), handler, self.stop.clone()));
        }
    }

    /// Starts a mapping for each process.
    fn start_processes(&self, resources: &Resources, mappings: &mut JoinSet<()>) {
        let clients = &self.stack.clients;
        for Route { consumer, queue_url } in &resources.routes {
            let Some(process) = self.system.process(consumer.name, self.projector.clone()) else {
                continue;
            };
            let continuations = Continuations::new(clients.sqs.clone(), queue_url);
            let process = process.with_heartbeat().with_continuations(continuations);
            let layer = InvocationLayer::within_program(Component::ProcessManager);
            let handler = move |event| {
                let (process, layer) = (process.clone(), layer.clone());
                async move {
                    layer.invoke(async { Ok::<_, Infallible>(process.handle(event).await) }).await
                }
            };
            mappings.spawn(mapping(queue_url).run(clients.sqs.clone(), handler, self.stop.clone()));
        }
    }

    /// Starts the mapping for asynchronous commands.
    fn start_command_worker(&self, resources: &Resources, mappings: &mut JoinSet<()>) {
        let worker = self.system.command_worker();
        let handler = move |event| {
            let worker = worker.clone();
            async move { Ok::<_, Infallible>(worker.handle(event).await) }
        };
        let mapping = mapping(&resources.command_queue_url);
        mappings.spawn(mapping.run(self.stack.clients.sqs.clone(), handler, self.stop.clone()));
    }

    /// Starts the mapping for jobs, and resumes the jobs that an earlier run left unfinished.
    async fn start_jobs(
        &self,
        operations: &Operations,
        resources: &Resources,
        mappings: &mut JoinSet<()>,
    ) -> Result<(), Failure> {
        for projection in app().consumers() {
            let resumed = operations.resume_unfinished(projection).await;
            resumed.map_err(|error| {
                Failure::new(format!("the job of {} cannot be resumed", projection.name), error)
            })?;
        }
        let mapping = worker::mapping(&resources.rebuild_queue_url, JOB_WORKERS);
        let sqs = self.stack.clients.sqs.clone();
        mappings.spawn(worker::run(mapping, operations.clone(), sqs, self.stop.clone()));
        Ok(())
    }
}

fn mapping(queue_url: &str) -> QueueMapping {
    let mut mapping = QueueMapping::new(queue_url);
    mapping.concurrency = CONCURRENT_BATCHES;
    mapping.retry_after = Some(RETRY_AFTER);
    mapping
}

async fn stream_arn(clients: &Clients, table: &str) -> Result<String, Failure> {
    let answer = clients.dynamodb.describe_table().table_name(table).send().await;
    let answer = answer
        .map_err(|error| Failure::new(format!("table {table} cannot be described"), error))?;
    let arn = answer.table.and_then(|table| table.latest_stream_arn);
    arn.ok_or_else(|| {
        Failure::new(format!("table {table} has no stream"), "start again with --fresh")
    })
}

/// Serves until a stop signal, then answers open requests.
async fn serve(entry: ApiEntry, api: Api, stop_requested: impl Future<Output = ()>) {
    let router = entry.router(api).layer(axum::middleware::from_fn(as_component));
    let stop = CancellationToken::new();
    let refusal = server::overload_response("application/problem+json", TOO_MANY_CONNECTIONS);
    let serving = server::serve(entry.listener, router, LIMITS, refusal, stop.clone());
    let stopping = async {
        stop_requested.await;
        stop.cancel();
    };
    tokio::join!(serving, stopping);
}

/// Runs a request as an invocation of the component that handles it on AWS.
async fn as_component(request: Request, next: Next) -> Result<Response, StatusCode> {
    let component =
        if request.method() == Method::POST { Component::CommandApi } else { Component::QueryApi };
    let layer = InvocationLayer::within_program(component);
    let answer = layer.invoke(async { Ok::<_, Infallible>(next.run(request).await) });
    // A panicking handler has its own answer, so this error has another cause.
    answer.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Waits for a mapping to end before the program stops. That is a failure, because its consumer
/// would stop unnoticed.
async fn unexpected_end(mappings: &mut JoinSet<()>) -> Failure {
    match mappings.join_next().await {
        Some(Err(error)) => Failure::new("an event source mapping panicked", error),
        Some(Ok(())) | None => Failure::new("an event source mapping ended", "it was not stopped"),
    }
}

async fn finish(mut mappings: JoinSet<()>) {
    while let Some(result) = mappings.join_next().await {
        if let Err(error) = result {
            tracing::error!(%error, "an event source mapping panicked");
        }
    }
}

//! `ledgerfold dev`: the whole system on this machine.

mod access;

use super::app;
use super::failure::{Exit, Failure};
use super::projection::worker;
use super::wording;
use super::{output, target};
use crate::clients::{Clients, Endpoints, LOOPBACK_REGION};
use crate::local::data_folder::DataDir;
use crate::local::data_folder::running::{Running, RunningFile};
use crate::local::engines::access_key::AccessKey;
use crate::local::event_source::mapping::StreamMapping;
use crate::local::stack::Stack;
use crate::resources::{self, Resources};
pub(super) use access::actor;
use access::{Access, Entrance};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use eventstore::Id;
use handlers::System as Parts;
use handlers::delivery::QueueMapping;
use handlers::http::Api;
use handlers::http::server::{self, Limits};
use handlers::telemetry::{Component, InvocationLayer};
use handlers::{CommandQueue, Continuations, FanOut, Names, Operations, ProjectorHandler, Route};
use projections::{Kind, Projector};
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Batches of one queue that are handled at once.
const CONCURRENT_BATCHES: usize = 8;
/// Segments of jobs that are worked on at once.
const JOB_WORKERS: usize = 2;
/// Stream records in a batch of fan-out.
const STREAM_BATCH: usize = 500;
/// A failed message comes again after this: nobody waits a minute in front of a laptop.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What the API bears. A connection takes a file handle here, and up to two for what it asks of the engines in this process: of
/// these there are often no more than 1,024.
const LIMITS: Limits = Limits { connections: 256, head: Duration::from_secs(30), drain: Duration::from_secs(10) };
/// What a caller above the limit is told.
const NO_ROOM: &str = r#"{"type":"https://ledgerfold.dev/problems/unavailable","title":"Too many connections","status":503,"detail":"as many connections are open as can be; close some, or come again"}"#;

/// Run the whole system on this machine until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ledgerfold dev\n  ledgerfold dev --port 0 --data ./shop --fresh\n  ledgerfold dev --without-processes\n  ledgerfold dev --auth .ledgerfold-tokens/jwks.json --issuer ledgerfold-tokens --audience ledgerfold\n  ledgerfold dev --break READ_MODEL=EVENT_TYPE"
)]
pub(super) struct Dev {
    /// The port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8080, env = "LEDGERFOLD_PORT")]
    port: u16,
    #[command(flatten)]
    access: Access,
    /// The folder that keeps everything.
    #[arg(long, value_name = "DIR", default_value = wording::data_folder(), env = target::DATA_VARIABLE)]
    data: PathBuf,
    /// Remove the folder's data first.
    #[arg(long)]
    fresh: bool,
    /// Run no process: for trying commands by hand. What a process misses waits in its queue.
    #[arg(long, env = "LEDGERFOLD_WITHOUT_PROCESSES")]
    without_processes: bool,
    /// Let a read model fail at every event of a type, to see on purpose what happens then.
    #[arg(long = "break", value_name = "PROJECTION=EVENT_TYPE", value_parser = defect)]
    defect: Option<Defect>,
}

/// A read model that fails on purpose.
#[derive(Debug, Clone)]
struct Defect {
    projection: &'static str,
    event_type: String,
}

/// A projection that folds, and a type that it knows.
fn defect(text: &str) -> Result<Defect, String> {
    let (name, event_type) = text.split_once('=').ok_or("a projection, '=' and an event type")?;
    let projection = app().consumer(name).filter(|projection| match projection.kind {
        Kind::SingleStream { .. } | Kind::MultiStream { .. } => true,
        Kind::CommitIndex | Kind::Process => false,
    });
    let projection = projection.ok_or_else(|| format!("{name:?} is no projection that applies events one by one"))?;
    if !(projection.knows)(event_type) {
        return Err(format!("{name} does not know events of type {event_type:?}"));
    }
    Ok(Defect { projection: projection.name, event_type: event_type.to_owned() })
}

impl Default for Dev {
    fn default() -> Self {
        let parsed = <DevAlone as clap::Parser>::parse_from(["ledgerfold"]);
        parsed.dev
    }
}

/// `dev` without its name, so that its defaults stand in one place.
#[derive(clap::Parser)]
struct DevAlone {
    #[command(flatten)]
    dev: Dev,
}

impl Dev {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        let entrance = self.access.open(self.port).await?;
        let data = if self.fresh { DataDir::open_fresh(&self.data) } else { DataDir::open(&self.data) };
        let data = data.map_err(|error| Failure::from_error(&error))?;
        let stack = Stack::start(data).await.map_err(|error| Failure::from_error(&error))?.within_process();
        let names = Names::new(app().stored_name());
        let resources = resources::create(app(), &stack.clients, &names).await;
        let resources = resources.map_err(|error| Failure::from_error(&error))?;
        let stop = CancellationToken::new();
        let mut mappings = start_fan_out(&stack, &resources, &stop).await?;
        // One system for all parts: they share what is remembered of streams.
        let parts = stack.clients.system(app(), &names);
        let projector = self.projector(&parts);
        let operations = parts.operations(projector.clone());
        let system = System { stack: &stack, parts: &parts, projector: &projector, stop: &stop };
        system.start_projectors(&resources, &mut mappings);
        if !self.without_processes {
            system.start_processes(&resources, &mut mappings);
        }
        system.start_jobs(&operations, &resources, &mut mappings).await?;
        system.start_command_worker(&resources, &mut mappings);
        let api = api(&parts, projector.clone(), operations)?;
        let api = api.with_command_queue(command_queue(&parts).await?);
        let address = entrance.listener.local_addr().map_err(|error| Failure::new("the port is not known", error))?;
        let ended = ended()?;
        let found = publish(&format!("http://{address}"), &stack)?;
        self.greet(&format!("http://{address}"), &stack)?;
        self.warn_of_defect()?;
        let served = tokio::select! {
            () = serve(entrance, api, ended) => Ok(()),
            failure = unexpected_end(&mut mappings) => Err(failure),
        };
        drop(found);
        stop.cancel();
        finish(mappings).await;
        stack.stop().await;
        served.map(|()| Exit::Done)
    }

    fn projector(&self, parts: &Parts) -> Projector {
        let projector = parts.projector();
        match &self.defect {
            Some(Defect { projection, event_type }) => projector.with_fault(*projection, event_type),
            None => projector,
        }
    }

    fn warn_of_defect(&self) -> Result<(), Failure> {
        let Some(Defect { projection, event_type }) = &self.defect else { return Ok(()) };
        output::line(&wording::named(&format!(
            "  BROKEN   {projection} FAILS at every {event_type}, as --break asks: its streams stand still until you start \
             without it and run `ledgerfold projection resume {projection}`"
        )))
    }

    fn greet(&self, url: &str, stack: &Stack) -> Result<(), Failure> {
        let Endpoints { dynamodb, sqs, key: AccessKey { id, secret } } = &stack.endpoints;
        let (data, callers, token) = (self.data.display(), self.access.greeting(), self.access.header());
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
            r#"  data     {data}, kept until you run `{program} dev --fresh`
{callers}{call}
  API      {url}/openapi.json
  operate  export AWS_ENDPOINT_URL_DYNAMODB={dynamodb} AWS_ENDPOINT_URL_SQS={sqs} AWS_REGION={LOOPBACK_REGION} AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret}
  stop     Ctrl-C"#
        ))
    }
}

/// Lets commands find the system, which is ready, through its folder.
fn publish(url: &str, stack: &Stack) -> Result<RunningFile, Failure> {
    let running = Running { process: std::process::id(), api: url.to_owned(), endpoints: stack.endpoints.clone() };
    let written = running.write(&stack.data);
    written.map_err(|error| Failure::new("the data folder does not take the file by which commands find this", error))
}

fn api(parts: &Parts, projector: Projector, operations: Operations) -> Result<Api, Failure> {
    let actor = Id::new("dev").map_err(|error| Failure::from_error(&error))?;
    Ok(Api::new(parts.command_store(), projector, operations, actor).with_commands(parts.commands()))
}

async fn command_queue(parts: &Parts) -> Result<CommandQueue, Failure> {
    parts.command_queue().await.map_err(|error| Failure::from_error(&error))
}

/// Starts what Lambda would do for the table's stream: its records to fan-out.
async fn start_fan_out(stack: &Stack, resources: &Resources, stop: &CancellationToken) -> Result<JoinSet<()>, Failure> {
    let mut mappings = JoinSet::new();
    let stream_arn = stream_arn(&stack.clients, &resources.events).await?;
    let fan_out = FanOut::new(stack.clients.sqs.clone(), resources.routes.clone());
    let mut mapping = StreamMapping::new(stream_arn, stack.data.checkpoint_file("fan-out"));
    mapping.batch_size = STREAM_BATCH;
    let watch = InvocationLayer::within_program(Component::FanOut);
    let handler = move |event| {
        let (fan_out, watch) = (fan_out.clone(), watch.clone());
        async move { watch.invoke(async { Ok::<_, Infallible>(fan_out.handle(event).await) }).await }
    };
    let mapping = mapping.woken_by(stack.dynamodb.changes());
    mappings.spawn(mapping.run(stack.clients.streams.clone(), handler, stop.clone()));
    Ok(mappings)
}

/// What each consumer's mapping needs.
struct System<'a> {
    stack: &'a Stack,
    parts: &'a Parts,
    projector: &'a Projector,
    stop: &'a CancellationToken,
}

impl System<'_> {
    /// Starts what Lambda would do for the projections: each queue to its projector.
    fn start_projectors(&self, resources: &Resources, mappings: &mut JoinSet<()>) {
        let clients = &self.stack.clients;
        for Route { consumer, queue_url } in &resources.routes {
            let Some(projection) = app().consumer(consumer.name).filter(|of| of.is_read_model()) else {
                continue;
            };
            let projector = ProjectorHandler::new(*projection, self.projector.clone())
                .with_heartbeat()
                .with_continuations(Continuations::new(clients.sqs.clone(), queue_url));
            let watch = InvocationLayer::within_program(Component::Projector);
            let handler = move |event| {
                let (projector, watch) = (projector.clone(), watch.clone());
                async move { watch.invoke(async { Ok::<_, Infallible>(projector.handle(event).await) }).await }
            };
            mappings.spawn(mapping(queue_url).run(clients.sqs.clone(), handler, self.stop.clone()));
        }
    }

    /// The same for processes.
    fn start_processes(&self, resources: &Resources, mappings: &mut JoinSet<()>) {
        let clients = &self.stack.clients;
        for Route { consumer, queue_url } in &resources.routes {
            let Some(process) = self.parts.process(consumer.name, self.projector.clone()) else { continue };
            let continuations = Continuations::new(clients.sqs.clone(), queue_url);
            let process = process.with_heartbeat().with_continuations(continuations);
            let watch = InvocationLayer::within_program(Component::ProcessManager);
            let handler = move |event| {
                let (process, watch) = (process.clone(), watch.clone());
                async move { watch.invoke(async { Ok::<_, Infallible>(process.handle(event).await) }).await }
            };
            mappings.spawn(mapping(queue_url).run(clients.sqs.clone(), handler, self.stop.clone()));
        }
    }

    /// The same for commands that are answered later.
    fn start_command_worker(&self, resources: &Resources, mappings: &mut JoinSet<()>) {
        let worker = self.parts.command_worker();
        let handler = move |event| {
            let worker = worker.clone();
            async move { Ok::<_, Infallible>(worker.handle(event).await) }
        };
        let mapping = mapping(&resources.command_queue_url);
        mappings.spawn(mapping.run(self.stack.clients.sqs.clone(), handler, self.stop.clone()));
    }

    /// The same for jobs; and calls for those that an earlier life left undone.
    async fn start_jobs(
        &self,
        operations: &Operations,
        resources: &Resources,
        mappings: &mut JoinSet<()>,
    ) -> Result<(), Failure> {
        for projection in app().consumers() {
            let resumed = operations.resume_unfinished(projection).await;
            resumed.map_err(|error| Failure::new(format!("the job of {} cannot go on", projection.name), error))?;
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
    let answer = answer.map_err(|error| Failure::new(format!("table {table} cannot be described"), error))?;
    let arn = answer.table.and_then(|table| table.latest_stream_arn);
    arn.ok_or_else(|| Failure::new(format!("table {table} has no stream"), "start again with --fresh"))
}

/// Serves until it is asked to end, then answers what was asked.
async fn serve(entrance: Entrance, api: Api, ended: impl Future<Output = ()>) {
    let router = entrance.router(api).layer(axum::middleware::from_fn(watched));
    let stop = CancellationToken::new();
    let no_room = server::no_room("application/problem+json", NO_ROOM);
    let serving = server::serve(entrance.listener, router, LIMITS, no_room, stop.clone());
    let asked_to_end = async {
        ended.await;
        stop.cancel();
    };
    tokio::join!(serving, asked_to_end);
}

/// Each request as a call of the component that would have it on AWS.
async fn watched(request: Request, next: Next) -> Result<Response, StatusCode> {
    let component = if request.method() == Method::POST { Component::CommandApi } else { Component::QueryApi };
    let watch = InvocationLayer::within_program(component);
    let answer = watch.invoke(async { Ok::<_, Infallible>(next.run(request).await) });
    // A panic is an answer already: what fails here is none of the request's.
    answer.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Ctrl-C, or the system's request to end. Both are listened for from this call on, so that whoever reads that the
/// program is ready can end it in order.
pub(super) fn ended() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| Failure::new("signals cannot be received", error));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// A mapping runs until it is told to stop. Without it the read models would stand still and nobody would know.
async fn unexpected_end(mappings: &mut JoinSet<()>) -> Failure {
    match mappings.join_next().await {
        Some(Err(error)) => Failure::new("an event source mapping died", error),
        Some(Ok(())) | None => Failure::new("an event source mapping ended", "nobody had told it to"),
    }
}

async fn finish(mut mappings: JoinSet<()>) {
    while let Some(ended) = mappings.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "an event source mapping did not end as it should");
        }
    }
}

//! Fulfilment: from the news of orders and stock to commands to both.
//!
//! What is asked, and when, is the domain's ([`domain::fulfilment`]); here it is carried out. For each event: learn what it
//! tells, send what is asked, keep what is known, and only then move the fence. Whoever dies in between does it again, with the
//! same command ids, which the event store handles once.

mod facts;
mod process;

use crate::bookshop::Command;
use crate::canonical_json::CanonicalJson;
use crate::continuation::Continuations;
use crate::messages::{Messages, Outcome, WITHOUT_DEADLINE, limit};
use crate::models::{ORDER, STOCK};
use crate::parking::{PARKED_AT_RECEIVE, Standstill};
use crate::sending::{self, fingerprint};
use crate::telemetry::{Metric, TraceParent, Work, count};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use domain::fulfilment::{Fact, FulfilmentCommand, IssuedCommand};
use domain::order::{self, Order, OrderEvent, OrderRefusal};
use domain::stock::{self, Stock, StockCommand, StockEvent, StockRefusal};
use domain::{IsbnError, OrderId, OrderIdError};
use eventstore::{
    CodecError, CommandHandler, Commit, Envelope, EventStore, ExecuteError, Id, InvalidId, InvalidStreamId, Request,
    StreamId,
};
use facts::News;
use futures::{StreamExt, TryStreamExt};
use process::Process;
use projections::{
    FollowError, Follows, Kind, Projection, Projector, Pulse, ReadModels, Stopped, TableError, UnknownType, WakeUp,
    events,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime};

/// Who hears of everything that fulfilment may learn from.
pub const FULFILMENT: Projection = Projection {
    name: "fulfilment",
    shape: "fulfilment/1",
    follows: Follows::Categories(&[order::CATEGORY, stock::CATEGORY]),
    knows: &|event_type| events::ORDER.knows(event_type) || events::STOCK.knows(event_type),
    ignored: &[],
    kind: Kind::Process,
};

/// How often an order's state may be lost to other runners before its news is handed back.
const MAX_ATTEMPTS: u32 = 10;
/// How many orders of one stream are worked on at once.
const CONCURRENT_ORDERS: usize = 10;
/// How many commands for one order are sent at once.
const CONCURRENT_COMMANDS: usize = 10;

/// Handles the messages of fulfilment's queue. Any number of them may run at once.
#[derive(Clone)]
pub struct FulfilmentHandler {
    projector: Projector,
    read_models: ReadModels,
    orders: CommandHandler<Order, OrderEvent, OrderRefusal>,
    stock: CommandHandler<Stock, StockEvent, StockRefusal>,
    pulse: Option<Pulse>,
    continuations: Option<Continuations>,
}

/// Why an event's effect failed. The event comes again, and so does all that it asks.
#[derive(Debug, thiserror::Error)]
pub enum FulfilError {
    /// This program does not know the event's type: a newer one wrote it.
    #[error(transparent)]
    Unknown(#[from] UnknownType),
    /// The event is not known in that form: a newer program wrote it.
    #[error(transparent)]
    Event(#[from] CodecError),
    /// The stream is called as no order is.
    #[error("the stream is none of an order")]
    Order(#[from] OrderIdError),
    /// The stream is called as no book's stock is.
    #[error("the stream is none of a book's stock")]
    Book(#[from] IsbnError),
    /// What is kept of the order does not tell where an event comes from that it has learned of.
    #[error("nothing is kept of event {0}, which causes a command")]
    NoCause(String),
    /// A command cannot be addressed, which is a defect.
    #[error("a command cannot be addressed")]
    Address(#[from] InvalidStreamId),
    /// A command cannot be signed, which is a defect.
    #[error("a command cannot be signed")]
    Sign(#[from] InvalidId),
    /// A command cannot be written, which is a defect.
    #[error("a command is no JSON")]
    Json(#[from] serde_json::Error),
    /// A command was not handled, and not for a reason of the domain.
    #[error("command {command_id} to {stream} was not handled")]
    Command {
        /// The command's id.
        command_id: Id,
        /// The stream that it addresses.
        stream: StreamId,
        /// Whether it may be handled next time.
        passes: bool,
        /// The [`ExecuteError`].
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The order's state could not be loaded or kept.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Other runners kept the order's state every time: try again.
    #[error("other runners were quicker {MAX_ATTEMPTS} times")]
    Contention,
}

impl FulfilError {
    /// Whether it will be the same next time, until somebody changes program or data.
    fn is_lasting(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::Event(_) | Self::Order(_) | Self::Book(_) | Self::NoCause(_) => true,
            Self::Address(_) | Self::Sign(_) | Self::Json(_) | Self::Table(TableError::Unreadable(_)) => true,
            Self::Command { passes, .. } => !passes,
            Self::Table(TableError::Throttled(_) | TableError::Failed { .. }) | Self::Contention => false,
        }
    }
}

/// What a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Done,
    Refused,
}

impl FulfilmentHandler {
    /// A handler over that store, which keeps fences and states beside the projector's read models.
    pub fn new(store: EventStore, read_models: ReadModels, projector: Projector) -> Self {
        let orders = CommandHandler::new(store.clone(), ORDER);
        Self {
            projector,
            read_models,
            orders,
            stock: CommandHandler::new(store, STOCK),
            pulse: None,
            continuations: None,
        }
    }

    /// The same, and it notes now and then how far it has come, so that its lag can be told in seconds.
    #[must_use]
    pub fn with_pulse(self) -> Self {
        let pulse = Some(self.projector.pulse(&FULFILMENT));
        Self { pulse, ..self }
    }

    /// The same, and a stream whose gap takes longer than a call has time goes on by a message of its own.
    #[must_use]
    pub fn with_continuations(self, continuations: Continuations) -> Self {
        Self { continuations: Some(continuations), ..self }
    }

    /// Handles a batch of messages as [`handle_within`](Self::handle_within), in about eight seconds.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        self.handle_within(event, WITHOUT_DEADLINE).await
    }

    /// Handles a batch of messages in the time that is left for it. The answer names those that are to come again: each failed
    /// one and, as FIFO order demands, every later one of its group. Never the whole batch for one message.
    pub async fn handle_within(&self, event: SqsEvent, left: Duration) -> SqsBatchResponse {
        let messages = Messages::read(FULFILMENT.name, &event.records);
        let effect = |stream, commits| {
            let patient = messages.receives(&stream) < PARKED_AT_RECEIVE;
            self.fulfil(stream, commits, patient)
        };
        let mut failures: BTreeMap<StreamId, FollowError<FulfilError>> = BTreeMap::new();
        let failed = self.projector.follow(FULFILMENT.consumer(), messages.news(), limit(left), effect).await;
        if let Some(pulse) = &self.pulse {
            messages.note(pulse, |stream| failed.iter().any(|(failed, _)| failed == stream)).await;
        }
        let mut continued = BTreeSet::new();
        for (stream, error) in failed {
            if error.is_out_of_time() {
                if messages.go_on(&stream, self.continuations.as_ref()).await {
                    continued.insert(stream.clone());
                }
                failures.insert(stream, error);
                continue;
            }
            let standstill = Standstill {
                projection: &FULFILMENT,
                stream: &stream,
                generation: Some(1),
                version: error.version(),
                error: &error,
                lasting: error.is_lasting(FulfilError::is_lasting),
                receives: messages.receives(&stream),
            };
            let parked = standstill.is_parked(&self.projector);
            if !messages.on_event(&stream, standstill.version, parked).await {
                failures.insert(stream, error);
            }
        }
        let outcome = |news: &WakeUp| match failures.get(&news.stream) {
            Some(error) if error.concerns(news.version) => {
                if continued.contains(&news.stream) {
                    Outcome::GoesOn
                } else {
                    Outcome::Again
                }
            }
            _ => Outcome::Done,
        };
        messages.answer(outcome).await
    }

    /// Does what the events ask for. Those of one order come one after the other; orders do not wait for each other: at the end
    /// of the patience, an order that a book's stock tells of and that cannot be told is held, and the book goes on.
    async fn fulfil(&self, stream: StreamId, commits: Vec<Commit>, patient: bool) -> Result<(), Stopped<FulfilError>> {
        let (news, unreadable) = facts::of(&stream, &commits);
        let mut by_order: BTreeMap<OrderId, Vec<News>> = BTreeMap::new();
        for news in news {
            by_order.entry(news.order_id).or_default().push(news);
        }
        let hold = !patient && stream.category() != order::CATEGORY;
        let work = by_order.into_values().map(|news| self.learn_all(news, hold));
        let ended: Vec<_> = futures::stream::iter(work).buffer_unordered(CONCURRENT_ORDERS).collect().await;
        let stopped = ended.into_iter().filter_map(Result::err).chain(unreadable);
        stopped.min_by_key(|stopped| stopped.version).map_or(Ok(()), Err)
    }

    async fn learn_all(&self, news: Vec<News>, hold: bool) -> Result<(), Stopped<FulfilError>> {
        for news in news {
            self.learn(&news, hold).await.map_err(|source| Stopped { version: news.version, source })?;
        }
        Ok(())
    }

    /// Learns, asks, and keeps what is known then. Where nothing can be asked, and that will last, the order is held instead if
    /// it may be: what is known is kept, and its stream is parked.
    async fn learn(&self, news: &News, hold: bool) -> Result<(), FulfilError> {
        let (consumer, id) = (FULFILMENT.name, news.order_id.to_string());
        for _ in 0..MAX_ATTEMPTS {
            let found = self.read_models.kept::<Process>(consumer, &id).await?;
            let seen = found.as_ref().map(|found| found.version);
            let known = found.map_or_else(|| Process::new(news.order_id), |found| found.state);
            let was_held = known.is_held();
            let (next, held) = match self.act(known.clone(), news).await {
                // One that is held already holds up nobody a second time.
                Err(error) if error.is_lasting() && (hold || was_held) => {
                    (known.clone().hold(&news.fact, &news.origin), Some(error))
                }
                next => (next?, None),
            };
            if next != known && !self.read_models.keep(consumer, &id, seen, &next).await? {
                continue;
            }
            // The note comes last: who resumes the order finds it held.
            return match held {
                Some(error) => {
                    let work = Box::pin(self.park(news, &error, was_held));
                    let trace = TraceParent::of(news.origin.trace_parent.as_ref());
                    let (name, kind, begun) = (consumer, "queue.process", SystemTime::now());
                    Work { name, kind, trace, begun }.done(work).await
                }
                None => Ok(()),
            };
        }
        Err(FulfilError::Contention)
    }

    /// Parks the order's stream: whoever resumes it lets everything be asked again. It is reported when it is first held.
    async fn park(&self, news: &News, error: &FulfilError, was_held: bool) -> Result<(), FulfilError> {
        let stream = StreamId::new(order::stream(news.order_id))?;
        let said: &(dyn std::error::Error + Send + Sync) = error;
        let (consumer, correlation_id) = (FULFILMENT.name, &news.origin.correlation_id);
        if was_held {
            tracing::warn!(consumer, %stream, %correlation_id, error = said, "an order is still held");
        } else {
            count(Metric::Parked);
            tracing::error!(consumer, %stream, %correlation_id, error = said, "an order is held until its stream is resumed");
        }
        Ok(self.projector.park(&FULFILMENT, 1, &stream, None, said).await?)
    }

    /// Sends what a fact asks for, and what the refusals ask for that come of it, until nothing is asked. That ends: of each
    /// line a refusal is learned once, and nothing is asked twice.
    async fn act(&self, mut known: Process, news: &News) -> Result<Process, FulfilError> {
        let mut facts = VecDeque::from([news.fact.clone()]);
        while let Some(fact) = facts.pop_front() {
            let (next, commands) = known.learn(&fact, &news.origin);
            known = next;
            let answers = commands.into_iter().map(|issued| self.send(&known, issued));
            let refusals: Vec<Option<Fact>> =
                futures::stream::iter(answers).buffer_unordered(CONCURRENT_COMMANDS).try_collect().await?;
            facts.extend(refusals.into_iter().flatten());
        }
        Ok(known)
    }

    /// Sends a command. A refusal is an answer; that of a reservation is a fact as well.
    async fn send(&self, known: &Process, issued: IssuedCommand) -> Result<Option<Fact>, FulfilError> {
        match issued.command.clone() {
            FulfilmentCommand::Order { command, .. } => {
                let request = request(known, &issued, &Command::Order(command.clone()))?;
                ask(&self.orders, request, move |order| order::decide(order, &command)).await?;
                Ok(None)
            }
            FulfilmentCommand::Stock { isbn, command } => {
                let reserves = matches!(command, StockCommand::ReserveStock { .. });
                let request = request(known, &issued, &Command::Stock(command.clone()))?;
                let answer = ask(&self.stock, request, move |stock| stock::decide(stock, &command)).await?;
                Ok((reserves && answer == Answer::Refused).then_some(Fact::Refused { isbn }))
            }
        }
    }
}

/// The command as the event store takes it: caused by an event, and part of the process that this belongs to.
fn request(known: &Process, issued: &IssuedCommand, command: &Command) -> Result<Request, FulfilError> {
    let (origin, actor) = (known.origin(&issued.cause)?.clone(), Id::new(FULFILMENT.name)?);
    let envelope = Envelope {
        command_id: Id::of_process(issued.command_id),
        fingerprint: fingerprint(command.name(), &actor, &CanonicalJson::of(command)?),
        correlation_id: origin.correlation_id,
        causation_id: Some(Id::new(issued.cause.to_string())?),
        actor,
        trace_parent: origin.trace_parent,
    };
    let stream = StreamId::new(issued.command.stream())?;
    Ok(Request { stream, envelope, expected_version: None, creates: false })
}

async fn ask<S, E, R>(
    handler: &CommandHandler<S, E, R>,
    request: Request,
    decide: impl Fn(&S) -> Result<Vec<E>, R> + Send + Sync + 'static,
) -> Result<Answer, FulfilError>
where
    S: Clone,
    R: std::error::Error + Send + Sync + 'static,
{
    let Request { stream, envelope, .. } = &request;
    match handler.handle(request.clone(), decide).await.inspect_err(sending::count_failed) {
        Ok(handled) => {
            sending::log(&request, &handled);
            Ok(Answer::Done)
        }
        Err(ExecuteError::Refused(refusal)) => {
            tracing::debug!(%stream, command_id = %envelope.command_id, %refusal, "command refused");
            Ok(Answer::Refused)
        }
        Err(error) => {
            let (command_id, stream) = (envelope.command_id.clone(), stream.clone());
            let passes = matches!(error, ExecuteError::Contention { .. } | ExecuteError::Fault(_));
            Err(FulfilError::Command { command_id, stream, passes, source: Box::new(error) })
        }
    }
}

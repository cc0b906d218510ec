//! The pipeline from the event table's stream to the rows of the read models, on a clock of the
//! case's own.
//!
//! A stack on one machine delivers, but it does not fail as AWS does: it may pass over partial
//! failures, never discard, never bisect. So this models the rules of Lambda's event sources as AWS
//! documents them, and calls the real functions on the embedded engines. Payloads are real ones:
//! records from the event table's stream, messages from the queues that fan-out sends to. Time
//! passes only from one wake to the next, so a day costs nothing. An invocation takes effect at the
//! moment when it begins; its answer comes when it ends.
//!
//! | file | what it is |
//! |---|---|
//! | [`stream_source`], [`fifo_source`] | the two kinds of mapping |
//! | [`pattern`] | a mapping's filter |
//! | [`policy`] | how the mappings are set |
//!
//! Not modelled: child shards (the embedded stream has one shard), tumbling windows, the pace at
//! which Lambda polls and adds functions, throttled invocations, and the length of its pauses.

pub(crate) mod clock;
pub(crate) mod fifo_source;
pub(crate) mod pattern;
pub(crate) mod policy;
pub(crate) mod records;
pub(crate) mod stream_source;

use self::clock::Clock;
use self::fifo_source::{FifoBatch, FifoSource};
use self::policy::{FifoPolicy, StreamPolicy};
use self::records::Records;
use self::stream_source::{StreamBatch, StreamSource, number};
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::stack::TestStack;
use crate::projections::read_models;
use aws_lambda_events::event::dynamodb::EventRecord;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use aws_lambda_events::streams::DynamoDbEventResponse;
use aws_sdk_sqs::types::Message;
use bookshop::fulfilment;
use futures::FutureExt;
use handlers::process::ProcessHandler;
use handlers::{FanOut, ProjectorHandler, RebuildHandler, System};
use projections::rebuild::Report;
use projections::{Kind, Projection, Projector};
use std::panic::AssertUnwindSafe;

/// The largest payload of one invocation, in bytes.
pub(crate) const MAX_PAYLOAD_BYTES: i64 = 6 * 1024 * 1024;

/// What Lambda knows of an invocation when it is over.
#[derive(Debug)]
pub(crate) enum Outcome<R> {
    Answered(R),
    /// An error, a panic, a time-out, or a sandbox that died.
    Failed,
}

/// More steps than any case takes to come to rest.
const MAX_STEPS: usize = 20_000;
const FAN_OUT: &str = "fan-out";
/// Receives of a message before it is a dead letter, where a case reaches that.
pub(crate) const FEW_RECEIVES: u32 = 20;
pub(crate) const REBUILD: &str = "rebuild";

/// What happens to an invocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fate {
    /// What happens on its wire.
    pub(crate) fault: Option<Fault>,
    /// Whether its answer arrives: not if the sandbox dies.
    pub(crate) is_answered: bool,
    /// The time until its answer comes or its sandbox dies; at most the time-out of the function.
    pub(crate) lasts_ms: u64,
}

/// An invocation that goes well.
pub(crate) const WELL: Fate = Fate { fault: None, is_answered: true, lasts_ms: 100 };

/// An invocation, as it was made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) function: &'static str,
    pub(crate) at_ms: u64,
    /// Sequence numbers of records, ids of messages.
    pub(crate) items: Vec<String>,
    /// How often the queue has given out the message that it has given out most often; 0 for
    /// records.
    pub(crate) receives: u32,
}

/// The function behind a queue.
#[derive(Clone)]
pub(crate) enum Function {
    Projector(ProjectorHandler),
    Fulfilment(ProcessHandler),
    Rebuild(RebuildHandler),
}

impl Function {
    pub(crate) async fn call(&self, event: SqsEvent) -> SqsBatchResponse {
        match self {
            Self::Projector(handler) => handler.handle(event).await,
            Self::Fulfilment(handler) => handler.handle(event).await,
            Self::Rebuild(handler) => handler.handle(event).await,
        }
    }
}

/// A queue with the function behind it.
pub(crate) struct Consumer {
    pub(crate) name: &'static str,
    pub(crate) source: FifoSource,
    pub(crate) function: Function,
}

enum Running {
    Stream(StreamBatch, Outcome<DynamoDbEventResponse>),
    Queue(usize, FifoBatch, Outcome<SqsBatchResponse>),
}

type Fates = Box<dyn FnMut(&Call) -> Fate>;

pub(crate) struct Pipeline {
    pub(crate) clock: Clock,
    pub(crate) stack: TestStack,
    pub(crate) wire: FaultInjector,
    pub(crate) stream: StreamSource,
    pub(crate) consumers: Vec<Consumer>,
    pub(crate) calls: Vec<Call>,
    records: Records,
    fan_out: FanOut,
    fates: Fates,
    running: Vec<(u64, Running)>,
}

impl Pipeline {
    /// With every projection and the worker of jobs, and mappings as they are deployed.
    pub(crate) async fn start() -> Self {
        Self::under(StreamPolicy::of_fan_out(), |policy| policy).await
    }

    /// The same with queues that make dead letters sooner: a thousand receives take the clock of a
    /// case too long.
    pub(crate) async fn with_few_receives() -> Self {
        let few = |policy| FifoPolicy { max_receives: FEW_RECEIVES, ..policy };
        Self::under(StreamPolicy::of_fan_out(), few).await
    }

    /// The same with a stream's mapping set so, and every queue's changed so.
    pub(crate) async fn under(
        stream: StreamPolicy,
        change: impl Fn(FifoPolicy) -> FifoPolicy,
    ) -> Self {
        let (clock, wire) = (Clock::new(), FaultInjector::default());
        let stack = TestStack::with_queues_on(clock.of_queues()).await;
        let fan_out = stack.system_over(&wire).fan_out().await.unwrap();
        let records = Records::of(&stack).await;
        let stream = StreamSource::new("shard-1", stream);
        let (consumers, calls, running) = (Vec::new(), Vec::new(), Vec::new());
        let fates: Fates = Box::new(|_| WELL);
        let mut pipeline =
            Self { clock, stack, wire, stream, consumers, calls, records, fan_out, fates, running };
        for projection in read_models() {
            let handler = ProjectorHandler::new(projection, pipeline.projector());
            let policy = change(FifoPolicy::of(projection.name));
            pipeline.add(projection.name, Function::Projector(handler), policy).await;
        }
        let operations = pipeline.system().operations(pipeline.projector());
        let rebuild = FifoPolicy::of(REBUILD);
        let rebuild = FifoPolicy { max_receives: change(rebuild.clone()).max_receives, ..rebuild };
        pipeline.add(REBUILD, Function::Rebuild(RebuildHandler::new(operations)), rebuild).await;
        pipeline
    }

    /// And with what fulfils orders.
    pub(crate) async fn with_fulfilment(mut self) -> Self {
        let handler = self.system().process("fulfilment", self.projector()).unwrap();
        let policy = FifoPolicy::of(fulfilment().name);
        self.add(fulfilment().name, Function::Fulfilment(handler), policy).await;
        self
    }

    /// From now on another process fans out.
    pub(crate) async fn restart_fan_out(&mut self) {
        self.fan_out = self.system().fan_out().await.unwrap();
    }

    async fn add(&mut self, name: &'static str, function: Function, policy: FifoPolicy) {
        let url = match name {
            REBUILD => self.stack.resources.rebuild_queue_url.clone(),
            name => self.stack.route(name).queue_url.clone(),
        };
        let source = FifoSource::on(self.stack.clients().sqs.clone(), &url, policy).await;
        self.consumers.push(Consumer { name, source, function });
    }

    fn system(&self) -> System {
        self.stack.system_over(&self.wire)
    }

    /// The records that were not given out yet.
    pub(crate) async fn new_records(&mut self) -> Vec<EventRecord> {
        self.records.read_on(&self.stack).await
    }

    /// A projector that speaks over the pipeline's wire.
    pub(crate) fn projector(&self) -> Projector {
        self.system().projector()
    }

    /// From now on another program is behind the projection's queue.
    pub(crate) fn deploy(&mut self, projection: Projection, projector: Projector) {
        self.consumer(projection.name).function =
            Function::Projector(ProjectorHandler::new(projection, projector));
    }

    pub(crate) fn consumer(&mut self, name: &str) -> &mut Consumer {
        self.consumers.iter_mut().find(|consumer| consumer.name == name).unwrap()
    }

    /// From now on invocations end so.
    pub(crate) fn fates(&mut self, fates: impl FnMut(&Call) -> Fate + 'static) {
        self.fates = Box::new(fates);
    }

    /// The calls of a function.
    pub(crate) fn calls_of(&self, function: &str) -> Vec<Call> {
        self.calls.iter().filter(|call| call.function == function).cloned().collect()
    }

    /// Goes on until nothing is left to do, whatever time that takes.
    pub(crate) async fn run_until_quiet(&mut self) {
        self.run_until(u64::MAX).await;
    }

    /// Goes on for so long, or until nothing is left to do.
    pub(crate) async fn run_for(&mut self, ms: u64) {
        let until_ms = self.clock.now_ms() + ms;
        self.run_until(until_ms).await;
        self.clock.pass_until(until_ms);
    }

    async fn run_until(&mut self, until_ms: u64) {
        self.stir();
        self.take_records().await;
        for _ in 0..MAX_STEPS {
            if self.settle().await | self.begin().await {
                continue;
            }
            match self.wakes_at_ms().filter(|wakes_at_ms| *wakes_at_ms <= until_ms) {
                Some(wakes_at_ms) => self.clock.pass_until(wakes_at_ms),
                None => return,
            }
        }
        panic!("the pipeline does not come to rest");
    }

    async fn take_records(&mut self) {
        let records = self.new_records().await;
        self.stream.push(records, self.clock.now_ms());
    }

    /// Ends what is due. Whether there was something.
    async fn settle(&mut self) -> bool {
        let now_ms = self.clock.now_ms();
        let (due, running) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|(ends_ms, _)| *ends_ms <= now_ms);
        self.running = running;
        let due: Vec<(u64, Running)> = due;
        let some = !due.is_empty();
        for (_, running) in due {
            match running {
                Running::Stream(batch, outcome) => self.stream.answer(&batch, &outcome, now_ms),
                Running::Queue(consumer, batch, outcome) => {
                    self.consumers[consumer].source.answer(batch, &outcome).await;
                }
            }
        }
        some
    }

    /// Begins what is due: with the stream, then one batch of each queue. Whether there was
    /// something.
    async fn begin(&mut self) -> bool {
        let mut some = false;
        while let Some(batch) = self.stream.next_batch(self.clock.now_ms()) {
            self.call_fan_out(batch).await;
            some = true;
        }
        for index in 0..self.consumers.len() {
            if let Some(batch) = self.consumers[index].source.next_batch(&self.clock).await {
                self.call(index, batch).await;
                some = true;
            }
        }
        some
    }

    async fn call_fan_out(&mut self, batch: StreamBatch) {
        let items = batch.event.records.iter().map(|record| number(record).to_owned()).collect();
        let timeout_ms = self.stream.timeout_ms();
        let (fate, ends_ms) = self.fate(FAN_OUT, items, 0, timeout_ms);
        let handled =
            AssertUnwindSafe(self.fan_out.handle(batch.event.clone())).catch_unwind().await;
        self.running.push((ends_ms, Running::Stream(batch, outcome(handled, fate))));
        self.stir_consumers();
    }

    /// Announces what was written, and leaves the queues alone.
    pub(crate) async fn announce(&mut self) {
        self.take_records().await;
        let now_ms = self.clock.now_ms();
        while let Some(batch) = self.stream.next_batch(now_ms) {
            let response = self.fan_out.handle(batch.event.clone()).await;
            self.stream.answer(&batch, &Outcome::Answered(response), now_ms);
        }
        self.stir();
    }

    /// Whether that consumer is part of it.
    pub(crate) fn has(&self, consumer: &str) -> bool {
        self.consumers.iter().any(|known| known.name == consumer)
    }

    async fn call(&mut self, index: usize, batch: FifoBatch) {
        let Consumer { name, source, function } = &self.consumers[index];
        let (name, timeout_ms, function) = (*name, source.policy.timeout_ms, function.clone());
        let items =
            batch.messages.iter().filter_map(Message::message_id).map(str::to_owned).collect();
        let (fate, ends_ms) = self.fate(name, items, most_receives(&batch.event), timeout_ms);
        let handled = AssertUnwindSafe(function.call(batch.event.clone())).catch_unwind().await;
        self.running.push((ends_ms, Running::Queue(index, batch, outcome(handled, fate))));
        match name {
            REBUILD => self.stir(),
            // The only function that writes events.
            name if name == fulfilment().name => self.take_records().await,
            _ => {}
        }
    }

    /// Notes the call and draws what becomes of it, and when.
    fn fate(
        &mut self,
        function: &'static str,
        items: Vec<String>,
        receives: u32,
        timeout_ms: u64,
    ) -> (Fate, u64) {
        let call = Call { function, at_ms: self.clock.now_ms(), items, receives };
        let fate = (self.fates)(&call);
        self.wire.arm(fate.fault);
        let ends_ms = call.at_ms + fate.lasts_ms.min(timeout_ms);
        self.calls.push(call);
        (Fate { is_answered: fate.is_answered && fate.lasts_ms <= timeout_ms, ..fate }, ends_ms)
    }

    /// Lets a job announce again what the consumer has missed, and waits for its end.
    pub(crate) async fn reconcile(&mut self, projection: &Projection) {
        self.pass_over_all_streams(projection).await;
        let mut report = self.report(projection).await;
        if matches!(projection.kind, Kind::Process) {
            // The job only announces what a process has missed: a second one finds it done.
            self.pass_over_all_streams(projection).await;
            report = self.report(projection).await;
        }
        assert!(report.complete, "{report:?}");
    }

    async fn pass_over_all_streams(&mut self, projection: &Projection) {
        self.stack.operations().reconcile(projection, 2).await.unwrap();
        self.run_until_quiet().await;
    }

    async fn report(&self, projection: &Projection) -> Report {
        self.stack.operations().view(projection).await.unwrap().status.report.unwrap()
    }

    /// Sends dead letters again, if there are any, and lets them be handled. How many there were.
    pub(crate) async fn redrive(&mut self, projection: &Projection) -> u64 {
        let operations = self.stack.operations();
        if operations.view(projection).await.unwrap().lag.unwrap().dead_letters == 0 {
            return 0;
        }
        let redriven = operations.redrive(projection).await.unwrap();
        assert!(redriven.stays.is_empty() && redriven.left == 0, "{redriven:?}");
        self.run_until_quiet().await;
        redriven.sent
    }

    /// Any queue that fan-out sends to may have got something.
    fn stir_consumers(&mut self) {
        let consumers = self.consumers.iter_mut().filter(|consumer| consumer.name != REBUILD);
        consumers.for_each(|consumer| consumer.source.stir());
    }

    /// Any queue may have got something.
    pub(crate) fn stir(&mut self) {
        self.consumers.iter_mut().for_each(|consumer| consumer.source.stir());
    }

    fn wakes_at_ms(&self) -> Option<u64> {
        let ends = self.running.iter().map(|(ends_ms, _)| *ends_ms);
        let queues = self.consumers.iter().filter_map(|consumer| consumer.source.wakes_at_ms());
        ends.chain(queues).chain(self.stream.wakes_at_ms()).min()
    }
}

fn outcome<R>(handled: std::thread::Result<R>, fate: Fate) -> Outcome<R> {
    match handled {
        Ok(response) if fate.is_answered => Outcome::Answered(response),
        Ok(_) | Err(_) => Outcome::Failed,
    }
}

fn most_receives(event: &SqsEvent) -> u32 {
    let counts = event
        .records
        .iter()
        .filter_map(|message| message.attributes.get("ApproximateReceiveCount"));
    counts.filter_map(|count| count.parse().ok()).max().unwrap_or(0)
}

//! Between the clients of one process and the engines: counts requests, kills the process at one of
//! them, loses responses. Tables and queues can be down.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The projector dies before the n-th request from now on.
    DiesBefore(usize),
    /// The projector dies after the n-th request is executed, before the response.
    DiesAfter(usize),
    /// The answer to the n-th request is lost; the SDK sends the request again.
    LosesAnswer(usize),
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) operation: String,
    pub(crate) status: u16,
}

#[derive(Debug, Default)]
struct State {
    answered: Vec<Answered>,
    requests: usize,
    answers: usize,
    fault: Option<Fault>,
    dead: bool,
    /// Requests that contain one of these words, such as the name of a table or queue, fail.
    down: BTreeSet<String>,
    /// Requests that contain both words panic.
    panics: BTreeSet<(String, String)>,
}

/// One projector's wire.
#[derive(Debug, Default, Clone)]
pub(crate) struct FaultInjector(Arc<Mutex<State>>);

impl FaultInjector {
    /// The client, over this wire.
    pub(crate) fn client(&self, client: &Client) -> Client {
        Client::from_conf(client.config().to_builder().interceptor(self.clone()).build())
    }

    /// The client of queues, over this wire.
    pub(crate) fn sqs(&self, client: &aws_sdk_sqs::Client) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::from_conf(
            client.config().to_builder().interceptor(self.clone()).build(),
        )
    }

    /// From now on the projector lives, until the fault.
    pub(crate) fn arm(&self, fault: Option<Fault>) {
        let mut state = self.0.lock().unwrap();
        (state.requests, state.answers, state.fault, state.dead) = (0, 0, fault, false);
    }

    /// Whether the fault has not come yet.
    pub(crate) fn is_armed(&self) -> bool {
        self.0.lock().unwrap().fault.is_some()
    }

    /// From now on requests with that word fail.
    pub(crate) fn begin_outage(&self, word: &str) {
        self.0.lock().unwrap().down.insert(word.to_owned());
    }

    /// From now on a request with both words panics.
    pub(crate) fn panic_at(&self, one: &str, other: &str) {
        self.0.lock().unwrap().panics.insert((one.to_owned(), other.to_owned()));
    }

    /// Ends all outages and panics.
    pub(crate) fn end_outages(&self) {
        let mut state = self.0.lock().unwrap();
        state.down.clear();
        state.panics.clear();
    }

    /// How many requests were begun since it was armed.
    pub(crate) fn requests(&self) -> usize {
        self.0.lock().unwrap().requests
    }

    /// The operations that were answered since the last call of this, and whether each was done.
    pub(crate) fn take(&self) -> Vec<Answered> {
        std::mem::take(&mut self.0.lock().unwrap().answered)
    }

    /// The names of the operations that were answered since the last call.
    pub(crate) fn operations(&self) -> Vec<String> {
        self.take().into_iter().map(|answered| answered.operation).collect()
    }
}

/// Marks the read of the generations, once a second: it is no cost of an event.
#[derive(Debug)]
struct Aside;

impl Storable for Aside {
    type Storer = StoreReplace<Self>;
}

impl State {
    fn dies(&mut self) -> Result<(), BoxError> {
        (self.dead, self.fault) = (true, None);
        Err("the projector is dead".into())
    }
}

impl Intercept for FaultInjector {
    fn name(&self) -> &'static str {
        "FaultInjector"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = String::from_utf8_lossy(context.request().body().bytes().unwrap_or_default())
            .into_owned();
        if body.contains("/generations\"") {
            config.interceptor_state().store_put(Aside);
        }
        let mut state = self.0.lock().unwrap();
        state.requests += 1;
        if state.dead || state.fault == Some(Fault::DiesBefore(state.requests)) {
            return state.dies();
        }
        let has = |word: &String| body.contains(word);
        if state.panics.iter().any(|(one, other)| has(one) && has(other)) {
            drop(state);
            // Prints nothing.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        if state.down.iter().any(has) { Err("does not answer".into()) } else { Ok(()) }
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut state = self.0.lock().unwrap();
        state.answers += 1;
        let operation = config
            .load::<Metadata>()
            .map(|metadata| metadata.name().to_owned())
            .unwrap_or_default();
        if config.load::<Aside>().is_none() {
            state
                .answered
                .push(Answered { operation, status: context.response().status().as_u16() });
        }
        if state.dead || state.fault == Some(Fault::DiesAfter(state.answers)) {
            return state.dies();
        }
        if state.fault == Some(Fault::LosesAnswer(state.answers)) {
            state.fault = None;
            *context.response_mut().status_mut() = 500.try_into()?;
        }
        Ok(())
    }
}

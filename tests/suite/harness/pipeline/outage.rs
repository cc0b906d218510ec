//! Tables and queues that do not answer, and requests that end a function with a panic.

use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// What requests meet that contain a word, such as a table's or a queue's name. Clones are the same outage.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outage(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    down: BTreeSet<String>,
    /// Each a pair that a request must contain.
    panics: BTreeSet<(String, String)>,
}

impl Outage {
    pub(crate) fn dynamodb(&self, client: &aws_sdk_dynamodb::Client) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::from_conf(client.config().to_builder().interceptor(self.clone()).build())
    }

    pub(crate) fn sqs(&self, client: &aws_sdk_sqs::Client) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::from_conf(client.config().to_builder().interceptor(self.clone()).build())
    }

    /// From now on no request with that word gets through.
    pub(crate) fn begins(&self, word: &str) {
        self.0.lock().unwrap().down.insert(word.to_owned());
    }

    /// From now on whoever sends a request with both words panics.
    pub(crate) fn panics_at(&self, one: &str, other: &str) {
        self.0.lock().unwrap().panics.insert((one.to_owned(), other.to_owned()));
    }

    /// Everything is as it should be again.
    pub(crate) fn ends(&self) {
        *self.0.lock().unwrap() = State::default();
    }

    fn meets(&self, request: &str) -> Result<(), BoxError> {
        let has = |word: &String| request.contains(word);
        let (down, panics) = {
            let state = self.0.lock().unwrap();
            (state.down.iter().any(has), state.panics.iter().any(|(one, other)| has(one) && has(other)))
        };
        if panics {
            // A panic of which nothing is printed.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        if down { Err("nobody answers".into()) } else { Ok(()) }
    }
}

impl Intercept for Outage {
    fn name(&self) -> &'static str {
        "Outage"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.request().body().bytes().unwrap_or_default();
        self.meets(&String::from_utf8_lossy(body))
    }
}

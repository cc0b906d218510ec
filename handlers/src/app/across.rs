//! Commands over several streams: all that one decides is recorded, or nothing.

use super::aggregate::typed;
use super::command::{CommandValue, Misread, read_data};
use super::dispatch::{Handle, Refusal};
use super::route::Described;
use super::{Aggregate, Key};
use crate::sending;
use eventstore::{CommandHandler, Commit, ExecuteAllError, RequestAll, StreamId};
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use utoipa::ToSchema;

/// A command over several streams, which a team registers.
pub struct Across {
    pub(crate) name: &'static str,
    pub(crate) example: &'static str,
    pub(crate) erased: Arc<dyn AnyAcross>,
    /// The categories of its streams.
    pub(crate) categories: Vec<&'static str>,
}

/// What was recorded for a command over several streams: a commit for each stream that has events of it.
pub(crate) struct HandledAcross {
    pub(crate) commits: Vec<(StreamId, Commit)>,
    pub(crate) replayed: bool,
}

/// Why it was not handled.
pub(crate) type AcrossError = ExecuteAllError<Refusal>;

/// Why a command names no streams: the field, and the rule that it breaks.
pub(crate) type WrongKey = (String, String);

/// A command over several streams whose types are erased.
pub(crate) trait AnyAcross: Send + Sync {
    fn read(&self, data: &[u8], unknown: &mut Vec<String>) -> Result<CommandValue, Misread>;
    fn schema(&self) -> (String, Described);
    /// The streams that it addresses, in the order in which it decides on them.
    fn streams(&self, command: &CommandValue) -> Result<Vec<StreamId>, WrongKey>;
    /// What handles it, with the handlers of the app's aggregates; nothing where one of those is missing.
    fn handler(&self, handlers: &BTreeMap<&'static str, Arc<dyn Handle>>) -> Option<Arc<dyn HandleAcross>>;
}

/// What handles one command over several streams.
pub(crate) trait HandleAcross: Send + Sync {
    fn handle(&self, request: RequestAll, command: CommandValue) -> BoxFuture<'_, Result<HandledAcross, AcrossError>>;
}

impl Across {
    /// A command over streams of one aggregate. `keys` are theirs, each once; `decide` gives a list of events for each, in
    /// their order, or no list at all when there is nothing to do. `example` is the command as JSON, with all its fields.
    pub fn of<S, A, C, E, R>(
        name: &'static str,
        of: &Aggregate<S, A, E, R>,
        keys: fn(&C) -> Vec<String>,
        decide: fn(&[&S], &C) -> Result<Vec<Vec<E>>, R>,
        example: &'static str,
    ) -> Self
    where
        S: Clone + Send + Sync + 'static,
        C: DeserializeOwned + ToSchema + Send + Sync + 'static,
        E: Send + Sync + 'static,
        R: Display + Send + Sync + 'static,
    {
        let Aggregate { category, key, code, .. } = *of;
        let erased = Arc::new(OfOne { category, key, keys, decide, code });
        Self { name, example, erased, categories: vec![category] }
    }
}

/// A command over streams of one aggregate.
struct OfOne<S, C, E, R> {
    category: &'static str,
    key: Key,
    keys: fn(&C) -> Vec<String>,
    decide: fn(&[&S], &C) -> Result<Vec<Vec<E>>, R>,
    code: fn(&R) -> &'static str,
}

impl<S, C, E, R> AnyAcross for OfOne<S, C, E, R>
where
    S: Clone + Send + Sync + 'static,
    C: DeserializeOwned + ToSchema + Send + Sync + 'static,
    E: Send + Sync + 'static,
    R: Display + Send + Sync + 'static,
{
    fn read(&self, data: &[u8], unknown: &mut Vec<String>) -> Result<CommandValue, Misread> {
        read_data::<C>(data, unknown).map(|command| -> CommandValue { Arc::new(command) })
    }

    fn schema(&self) -> (String, Described) {
        let mut named = Vec::new();
        C::schemas(&mut named);
        (C::name().into_owned(), (C::schema(), named))
    }

    fn streams(&self, command: &CommandValue) -> Result<Vec<StreamId>, WrongKey> {
        let keys = typed::<C>(command).map(self.keys).unwrap_or_default();
        keys.into_iter().map(|key| stream(self.category, self.key, &key)).collect()
    }

    fn handler(&self, handlers: &BTreeMap<&'static str, Arc<dyn Handle>>) -> Option<Arc<dyn HandleAcross>> {
        let handler: &CommandHandler<S, E, Refusal> = handlers.get(self.category)?.command_handler().downcast_ref()?;
        Some(Arc::new(HandlesOne { handler: handler.clone(), decide: self.decide, code: self.code }))
    }
}

/// The stream of that key, as its aggregate writes it.
fn stream(category: &str, key: Key, text: &str) -> Result<StreamId, WrongKey> {
    let wrong = |rule: String| (category.to_owned(), format!("{text:?}: {rule}"));
    let key = (key.parse)(text).map_err(wrong)?;
    StreamId::new(format!("{category}-{key}")).map_err(|rule| wrong(rule.to_string()))
}

struct HandlesOne<S, C, E, R> {
    handler: CommandHandler<S, E, Refusal>,
    decide: fn(&[&S], &C) -> Result<Vec<Vec<E>>, R>,
    code: fn(&R) -> &'static str,
}

impl<S, C, E, R> HandleAcross for HandlesOne<S, C, E, R>
where
    S: Clone + Send + Sync + 'static,
    C: Send + Sync + 'static,
    E: Send + Sync + 'static,
    R: Display + Send + Sync + 'static,
{
    fn handle(&self, request: RequestAll, command: CommandValue) -> BoxFuture<'_, Result<HandledAcross, AcrossError>> {
        Box::pin(async move {
            let decide = |states: &[&S]| match typed::<C>(&command) {
                Some(command) => (self.decide)(states, command).map_err(|refusal| Refusal::of(&refusal, self.code)),
                None => Ok(Vec::new()),
            };
            let handled = self.handler.handle_all(&request, decide).await.inspect_err(sending::count_failed_across)?;
            let commits = handled.parts.into_iter().map(|part| (part.head.stream().clone(), part.commit)).collect();
            Ok(HandledAcross { commits, replayed: handled.replayed })
        })
    }
}

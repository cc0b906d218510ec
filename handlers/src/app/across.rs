//! Commands over several streams: all their events are recorded, or none.

use super::aggregate::typed;
use super::command::{CommandValue, JsonError, read_data};
use super::dispatch::{CommandRefusal, ErasedHandler};
use super::route::SchemaWithRefs;
use super::{Aggregate, KeyFormat};
use crate::telemetry::command_metrics;
use eventstore::{
    CommandHandler, Commit, ExecuteAllError, MultiStreamRequest, MultiStreamResult, PairRequest,
    StreamId,
};
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use utoipa::ToSchema;

/// A command over several streams, with its types erased.
pub struct Across {
    pub(crate) name: &'static str,
    pub(crate) example: &'static str,
    /// The categories of its streams.
    pub(crate) categories: Vec<&'static str>,
    pub(crate) read: fn(&[u8], &mut Vec<String>) -> Result<CommandValue, JsonError>,
    pub(crate) schema: fn() -> (String, SchemaWithRefs),
    /// The streams that it addresses, in the order in which `decide` gets their states.
    pub(crate) streams: Box<StreamsOf>,
    /// Makes its handler from the handlers of the aggregates. None if one of those is missing.
    pub(crate) handler: Box<HandlerFrom>,
}

/// Names the streams of a command.
type StreamsOf = dyn Fn(&CommandValue) -> Result<Vec<StreamId>, WrongKey> + Send + Sync;
/// Makes a command's handler.
type HandlerFrom = dyn Fn(&Handlers) -> Option<HandleAcross> + Send + Sync;

/// Events for each stream, in the order of the streams; or the rejection.
pub type DecidedForAll<E, R> = Result<Vec<Vec<E>>, R>;
/// Events for the first and for the second stream of a pair; or the rejection.
pub type DecidedForPair<E, F, R> = Result<(Vec<E>, Vec<F>), R>;
/// Two aggregates.
pub type Pair<'a, S1, A1, E1, R1, S2, A2, E2, R2> =
    (&'a Aggregate<S1, A1, E1, R1>, &'a Aggregate<S2, A2, E2, R2>);

/// The result of a command over several streams: a commit for each stream that got events.
pub(crate) struct HandledAcross {
    pub(crate) commits: Vec<(StreamId, Commit)>,
    pub(crate) replayed: bool,
}

/// Why a command over several streams was not handled.
pub(crate) type AcrossError = ExecuteAllError<CommandRefusal>;
/// A key that names no stream: the field, and the rule that it breaks.
pub(crate) type WrongKey = (String, String);
/// The handlers of aggregates, by category.
pub(crate) type Handlers = BTreeMap<&'static str, Arc<dyn ErasedHandler>>;
/// Handles one command over several streams.
pub(crate) type HandleAcross = Arc<
    dyn Fn(
            MultiStreamRequest,
            CommandValue,
        ) -> BoxFuture<'static, Result<HandledAcross, AcrossError>>
        + Send
        + Sync,
>;

impl Across {
    /// A command over streams of one aggregate. `keys` returns their keys, each once. `decide`
    /// returns a list of events per stream, in the order of the keys, or no lists if there is
    /// nothing to do. `example` is the command as JSON, with all fields.
    pub fn of<S, A, C, E, R>(
        name: &'static str,
        of: &Aggregate<S, A, E, R>,
        keys: fn(&C) -> Vec<String>,
        decide: fn(&[&S], &C) -> DecidedForAll<E, R>,
        example: &'static str,
    ) -> Self
    where
        S: Clone + Send + Sync + 'static,
        C: DeserializeOwned + ToSchema + Send + Sync + 'static,
        E: Send + Sync + 'static,
        R: Display + Send + Sync + 'static,
    {
        let Aggregate { category, key, code, .. } = *of;
        let streams = move |command: &C| {
            keys(command).iter().map(|text| stream(category, key, text)).collect()
        };
        let handler = move |handlers: &Handlers| {
            let handler = handler_of::<S, E>(handlers, category)?;
            Some(handling::<C, _, _>(move |request, command: Arc<C>| {
                let handler = handler.clone();
                async move {
                    let decide = |states: &[&S]| {
                        decide(states, &command)
                            .map_err(|refusal| CommandRefusal::of(&refusal, code))
                    };
                    handler.handle_all(&request, decide).await
                }
            }))
        };
        Self::erased(name, vec![category], streams, handler, example)
    }

    /// A command over two streams, one of each aggregate. `keys` returns their keys. `decide`
    /// returns the events for each; both lists may be empty. `code` is the stable code of a
    /// rejection.
    pub fn pair<S1, A1, E1, R1, S2, A2, E2, R2, C, R>(
        name: &'static str,
        (first, second): Pair<'_, S1, A1, E1, R1, S2, A2, E2, R2>,
        keys: fn(&C) -> (String, String),
        decide: fn(&S1, &S2, &C) -> DecidedForPair<E1, E2, R>,
        code: fn(&R) -> &'static str,
        example: &'static str,
    ) -> Self
    where
        S1: Clone + Send + Sync + 'static,
        S2: Clone + Send + Sync + 'static,
        E1: Send + Sync + 'static,
        E2: Send + Sync + 'static,
        C: DeserializeOwned + ToSchema + Send + Sync + 'static,
        R: Display + Send + Sync + 'static,
    {
        let categories = [first.category, second.category];
        let [key_of_first, key_of_second] = [first.key, second.key];
        let streams = move |command: &C| {
            let ([first, second], keys) = (categories, keys(command));
            Ok(vec![stream(first, key_of_first, &keys.0)?, stream(second, key_of_second, &keys.1)?])
        };
        let handler = move |handlers: &Handlers| {
            let [first, second] = categories;
            let (first, second) =
                (handler_of::<S1, E1>(handlers, first)?, handler_of::<S2, E2>(handlers, second)?);
            Some(handling::<C, _, _>(move |request, command: Arc<C>| {
                let (first, second) = (first.clone(), second.clone());
                async move {
                    let MultiStreamRequest { streams, metadata, .. } = request;
                    let [of_first, of_second] =
                        streams.try_into().map_err(|streams: Vec<StreamId>| {
                            ExecuteAllError::Misshapen { decided: 2, addressed: streams.len() }
                        })?;
                    let request = PairRequest::new([of_first, of_second], metadata);
                    let decide = |a: &S1, b: &S2| {
                        decide(a, b, &command).map_err(|refusal| CommandRefusal::of(&refusal, code))
                    };
                    first.handle_pair(&second, &request, decide).await
                }
            }))
        };
        Self::erased(name, categories.to_vec(), streams, handler, example)
    }

    fn erased<C>(
        name: &'static str,
        categories: Vec<&'static str>,
        streams: impl Fn(&C) -> Result<Vec<StreamId>, WrongKey> + Send + Sync + 'static,
        handler: impl Fn(&Handlers) -> Option<HandleAcross> + Send + Sync + 'static,
        example: &'static str,
    ) -> Self
    where
        C: DeserializeOwned + ToSchema + Send + Sync + 'static,
    {
        Self {
            name,
            example,
            categories,
            read: |data, unknown| {
                read_data::<C>(data, unknown).map(|command| -> CommandValue { Arc::new(command) })
            },
            schema: || {
                let mut named = Vec::new();
                C::schemas(&mut named);
                (C::name().into_owned(), (C::schema(), named))
            },
            streams: Box::new(move |command| {
                typed::<C>(command).map_or_else(|| Ok(Vec::new()), &streams)
            }),
            handler: Box::new(handler),
        }
    }
}

/// The stream of that key, after its aggregate has parsed the key.
fn stream(category: &str, key: KeyFormat, text: &str) -> Result<StreamId, WrongKey> {
    let wrong = |rule: String| (category.to_owned(), format!("{text:?}: {rule}"));
    let key = (key.parse)(text).map_err(wrong)?;
    StreamId::new(format!("{category}-{key}")).map_err(|rule| wrong(rule.to_string()))
}

/// The handler of that category's aggregate. Clones share its stream cache.
fn handler_of<S: 'static, E: 'static>(
    handlers: &Handlers,
    category: &str,
) -> Option<CommandHandler<S, E, CommandRefusal>> {
    handlers.get(category)?.command_handler().downcast_ref().cloned()
}

/// Handles commands of one type, and counts failures.
fn handling<C, H, F>(handle: H) -> HandleAcross
where
    C: Send + Sync + 'static,
    H: Fn(MultiStreamRequest, Arc<C>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<MultiStreamResult, AcrossError>> + Send + 'static,
{
    Arc::new(move |request, command| {
        let handled = command.downcast::<C>().ok().map(|command| handle(request, command));
        Box::pin(async move {
            // A command of another type is a defect. It does nothing.
            let Some(handled) = handled else {
                return Ok(HandledAcross { commits: Vec::new(), replayed: false });
            };
            let handled = handled.await.inspect_err(command_metrics::count_failed_across)?;
            let commits = handled
                .parts
                .into_iter()
                .map(|part| (part.head.stream().clone(), part.commit))
                .collect();
            Ok(HandledAcross { commits, replayed: handled.replayed })
        })
    })
}

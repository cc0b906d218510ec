//! Audit: who did what, when and why; and is it still what was written. Whoever asks is recorded before the answer.

mod export;
mod search;
mod states;
mod streams;

// The descriptions have no documentation of their own: they are made beside the functions that they describe.
pub(crate) use search::*;
pub(crate) use states::*;
pub(crate) use streams::*;

use super::Api;
use crate::problem::Problem;
use eventstore::StreamId;

fn parse_stream(api: &Api, stream: &str) -> Result<StreamId, Problem> {
    api.operations.app().stream(stream).map_err(|rule| Problem::invalid("stream", rule.to_string()))
}

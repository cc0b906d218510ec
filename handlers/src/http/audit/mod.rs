//! Audit queries: who did what, when and why, and whether it is still as written. Each query is
//! recorded before its response.

mod export;
mod search;
mod states;
mod streams;
mod tail;

// The glob takes the OpenAPI descriptions, too, which utoipa generates beside the functions.
pub(crate) use search::*;
pub(crate) use states::*;
pub(crate) use streams::*;
pub(crate) use tail::*;

use super::Api;
use crate::problem::Problem;
use eventstore::StreamId;

fn parse_stream(api: &Api, stream: &str) -> Result<StreamId, Problem> {
    api.operations.app().stream(stream).map_err(|rule| Problem::invalid("stream", rule.to_string()))
}

//! Audit queries over the journal: all commits from a position on, and the streams.

use crate::audit::schema::{StreamList, StreamsVerified, TailEvents};
use crate::audit::{Call, StreamSelection, TailFilter, TailPage, TailStart};
use crate::http::ApiState;
use crate::http::params::{Params, cursor_text};
use crate::http::request_headers::AuditReader;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use eventstore::{Id, InvalidId, StreamId};
use std::sync::Arc;
use std::time::Duration;
use utoipa::IntoParams;

/// The longest time that a response waits for the next commit.
const MAX_WAIT_S: u64 = 20;
/// The streams that one response verifies by default.
const VERIFIED_STREAMS: u32 = 50;

/// Which commits.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct TailParameters {
    /// A position: the `next` or `end` of an earlier response. The response has what comes after
    /// it. `0` is before the first commit, and the default. A journal that was rebuilt has other
    /// positions, and refuses those of before.
    #[param(pattern = "^(0|[0-9]{1,10}\\.[0-9]{1,16})$")]
    after: Option<String>,
    /// Instead of `after`: begins so many commits before the end.
    #[param(minimum = 1, maximum = 500)]
    last: Option<u64>,
    /// The most commits that are looked at, 1 to 500; 100 by default. Those that do not fit the
    /// filters count, too, so a page may be short or empty although more follows.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Only events of streams of these categories, with commas.
    #[param(pattern = "^[a-z][a-z0-9_]{0,97}(,[a-z][a-z0-9_]{0,97})*$", max_length = 1024)]
    category: Option<String>,
    /// Only events of these types, with commas.
    #[param(pattern = "^[!-+.-~]{1,128}(,[!-+.-~]{1,128})*$", max_length = 1024)]
    r#type: Option<String>,
    /// Without events of these types, with commas.
    #[param(pattern = "^[!-+.-~]{1,128}(,[!-+.-~]{1,128})*$", max_length = 1024)]
    not_type: Option<String>,
    /// Only events of this actor.
    #[param(pattern = "^[!-~]{1,128}$")]
    actor: Option<String>,
    /// `true` to include the records of audit queries. They are left out otherwise, unless
    /// `category` names theirs.
    readings: Option<bool>,
    /// How many seconds to wait for the next commit, if there is none yet. Where an API gateway
    /// buffers responses, the response comes at once.
    #[param(minimum = 0, maximum = 20)]
    wait: Option<u64>,
}

const TAIL: [&str; 9] =
    ["after", "last", "limit", "category", "type", "not_type", "actor", "readings", "wait"];

/// All commits after a position of the journal, in its order.
///
/// Each commit has one position, and there is no gap. So a client that continues after `next` gets
/// each commit exactly once. The journal follows the store, mostly within a second: `GET
/// /projections/journal` shows how many commits wait in its queue. Reading is recorded once an
/// hour for each actor.
#[utoipa::path(get, path = "/audit/tail", tag = "audit", params(TailParameters),
    responses((status = 200, description = "The events of the next commits", body = TailEvents)))]
pub(crate) async fn tail(
    State(api): ApiState,
    AuditReader(reader): AuditReader,
    params: Params,
) -> Result<Json<TailPage>, Problem> {
    let params = params.only(&TAIL)?;
    let start = match (params.parsed("after")?, params.number("last", 1..=500)?) {
        (Some(_), Some(_)) => {
            return Err(Problem::invalid_pair(["after", "last"], "only one of them"));
        }
        (Some(after), None) => after,
        (None, Some(last)) => TailStart::Last(last),
        (None, None) => TailStart::Beginning,
    };
    let filter = TailFilter {
        categories: list(&params, "category", |name| {
            let example = StreamId::new(format!("{name}-0"));
            example.map(|_| name.to_owned()).map_err(|rule| rule.to_string())
        })?,
        types: list(&params, "type", type_name)?,
        not_types: list(&params, "not_type", type_name)?,
        actor: params.id("actor")?,
        readings: params.flag("readings")?,
    };
    let limit = usize::try_from(params.limit(100)?).unwrap_or(usize::MAX);
    let wait = params.number("wait", 0..=MAX_WAIT_S)?.map_or(Duration::ZERO, Duration::from_secs);
    let trail = api.audit.open_to_follow(&reader).await?;
    // Too many that wait get what is there.
    let permit = Arc::clone(&api.watchers).try_acquire_owned();
    let wait = if permit.is_ok() { wait.min(api.progress) } else { Duration::ZERO };
    Ok(Json(trail.tail(start, &filter, limit, wait).await?))
}

/// Which streams.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct StreamsParameters {
    /// Only streams of this category. Without it, those of all categories, one after the other.
    #[param(pattern = "^[a-z][a-z0-9_]*$", max_length = 98)]
    category: Option<String>,
    /// Only streams whose names begin with this: a part of a name, such as `order-01`.
    #[param(pattern = "^[a-z][a-z0-9_]*-[!-~]*$", max_length = 100)]
    prefix: Option<String>,
    /// The most streams, 1 to 500; 100 by default, 50 to verify.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next_cursor` of an earlier page.
    #[param(max_length = 1024)]
    cursor: Option<String>,
}

/// The streams by category and name.
///
/// The journal knows them. It follows the store, mostly within a second.
#[utoipa::path(get, path = "/audit/streams", tag = "audit", params(StreamsParameters),
    responses((status = 200, description = "A page of streams", body = StreamList)))]
pub(crate) async fn streams(
    State(api): ApiState,
    AuditReader(reader): AuditReader,
    params: Params,
) -> Result<Json<StreamList>, Problem> {
    let given = GivenStreams::read(&params.only(&STREAMS)?, 100)?;
    let trail = api.audit.open(&reader, Call::Streams, given.about()).await?;
    let found = trail.streams(given.selection()).await?;
    let next = found.after().and_then(cursor_text);
    Ok(Json(found.described(next)))
}

/// Verifies streams page by page, as `GET /audit/streams/{stream}/verify` does one.
///
/// The end of each stream is also compared with the journal. A response takes some five seconds,
/// longer if one stream alone does. Streams that the journal does not know yet are not verified.
#[utoipa::path(get, path = "/audit/verify", tag = "audit", params(StreamsParameters),
    responses((status = 200, description = "How many streams fit, and which do not", body = StreamsVerified)))]
pub(crate) async fn verify_all(
    State(api): ApiState,
    AuditReader(reader): AuditReader,
    params: Params,
) -> Result<Json<StreamsVerified>, Problem> {
    let given = GivenStreams::read(&params.only(&STREAMS)?, VERIFIED_STREAMS)?;
    let trail = api.audit.open(&reader, Call::Verify, given.about()).await?;
    let verified = trail.verify_streams(given.selection()).await?;
    let next = verified.after.as_ref().and_then(cursor_text);
    Ok(Json(verified.described(next)))
}

const STREAMS: [&str; 4] = ["category", "prefix", "limit", "cursor"];

/// The parameters of both.
struct GivenStreams {
    category: Option<String>,
    prefix: String,
    after: Option<StreamId>,
    limit: usize,
}

impl GivenStreams {
    fn read(params: &Params, default: u32) -> Result<Self, Problem> {
        let named = params.text("category").map(|name| (name, "category", String::new()));
        let prefix = match params.text("prefix") {
            None => None,
            Some(text) => {
                let rule = "must be a category and '-', and may go on with the beginning of a key";
                let parts = text.split_once('-');
                Some(parts.ok_or_else(|| Problem::invalid("prefix", rule))?)
            }
        };
        let prefixed = prefix.map(|(name, key)| (name, "prefix", key.to_owned()));
        for (name, parameter, key) in named.iter().chain(&prefixed) {
            let example =
                StreamId::new(format!("{name}-{}", if key.is_empty() { "0" } else { key }));
            example.map_err(|rule| Problem::invalid(*parameter, rule.to_string()))?;
        }
        if let (Some((category, ..)), Some((other, ..))) = (&named, &prefixed)
            && category != other
        {
            let rule = "the prefix is of another category";
            return Err(Problem::invalid_pair(["category", "prefix"], rule));
        }
        let category = prefixed.as_ref().or(named.as_ref()).map(|(name, ..)| (*name).to_owned());
        let after: Option<StreamId> = params.cursor()?;
        if category.as_ref().zip(after.as_ref()).is_some_and(|(name, at)| name != at.category()) {
            return Err(Problem::foreign_cursor());
        }
        let limit = usize::try_from(params.limit(default)?).unwrap_or(usize::MAX);
        let prefix = prefixed.map(|(_, _, key)| key).unwrap_or_default();
        Ok(Self { category, prefix, after, limit })
    }

    fn selection(&self) -> StreamSelection<'_> {
        StreamSelection {
            category: self.category.as_deref(),
            prefix: &self.prefix,
            after: self.after.as_ref(),
            limit: self.limit,
        }
    }

    /// What is recorded of the query.
    fn about(&self) -> std::collections::BTreeMap<String, String> {
        let category = self.category.iter().map(|name| ("category".to_owned(), name.clone()));
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.is_empty());
        category
            .chain(prefix.map(|prefix| ("prefix".to_owned(), prefix.clone())))
            .chain(self.after.iter().map(|after| ("after".to_owned(), after.to_string())))
            .collect()
    }
}

/// A list with commas, of at least one.
fn list<T>(
    params: &Params,
    name: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Problem> {
    let text = params.text(name).unwrap_or_default();
    let parts = text.split(',').filter(|_| !text.is_empty());
    parts.map(|part| read(part).map_err(|rule| Problem::invalid(name, rule))).collect()
}

fn type_name(text: &str) -> Result<Id, String> {
    Id::new(text).map_err(|rule: InvalidId| rule.to_string())
}

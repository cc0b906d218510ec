//! Answers as files: what the Accept header asks for, page by page.

use crate::audit::{Export, Format};
use crate::http::Api;
use crate::http::params::Params;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use eventstore::MAX_VERSION;
use futures::{StreamExt, TryStreamExt};
use std::convert::Infallible;
use std::sync::Arc;
use uuid::Uuid;

/// How events are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A page of them, as JSON.
    Page,
    /// All of them, as a file.
    File(Format),
}

/// How many events are wanted at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// So many on a page.
    Page(usize),
    /// So many in a file, or all.
    File(Format, Option<u64>),
}

impl FromRequestParts<Arc<Api>> for Answer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Infallible> {
        Ok(Self::accepted(&parts.headers))
    }
}

impl Answer {
    /// What is accepted most, and named first among equals. Whoever accepts none of them is given JSON, as by every call.
    fn accepted(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let accepted = values.flat_map(|value| value.split(',')).filter_map(Self::weighted);
        let best = accepted.reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map_or(Self::Page, |(answer, _)| answer)
    }

    /// An answer that a part of an Accept header names, and its weight in thousandths.
    fn weighted(part: &str) -> Option<(Self, u32)> {
        let mut words = part.split(';').map(str::trim);
        let answer = match words.next()?.to_ascii_lowercase().as_str() {
            "application/json" | "application/*" | "*/*" => Self::Page,
            "application/x-ndjson" => Self::File(Format::JsonLines),
            "text/csv" | "text/*" => Self::File(Format::Csv),
            _ => return None,
        };
        let weight = words.find_map(|word| word.strip_prefix("q=")).map_or(Some(1_000), thousandths)?;
        (weight > 0).then_some((answer, weight))
    }

    /// How many events are wanted at most, by the parameter `limit`.
    pub(super) fn limit(self, params: &Params) -> Result<Limit, Problem> {
        match self {
            Self::Page => Ok(Limit::Page(usize::try_from(params.limit(100)?).unwrap_or(usize::MAX))),
            Self::File(format) => Ok(Limit::File(format, params.number("limit", 1..=MAX_VERSION)?)),
        }
    }
}

/// A weight as HTTP writes it: `1`, `0.5` or `0.125`.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let part: u32 = if digits { format!("{part:0<3}").parse().ok()? } else { return None };
    let weight = whole.parse::<u32>().ok()?.checked_mul(1_000)?.checked_add(part)?;
    (weight <= 1_000).then_some(weight)
}

/// The file, sent while it is read. The first part is read before the answer begins, so that what fails at once is told
/// as a problem. A later failure breaks the connection: nobody can take what came for the whole.
pub(super) async fn file(mut export: Export, format: Format) -> Result<Response, Problem> {
    let first = export.next().await?.map(|chunk| chunk.bytes);
    let rest = futures::stream::try_unfold(export, |mut export| async {
        Ok(export.next().await?.map(|chunk| (chunk.bytes, export)))
    });
    let rest = rest.inspect_err(|error: &crate::audit::AuditError| {
        let error_id = Uuid::now_v7().simple().to_string();
        let error: &dyn std::error::Error = error;
        tracing::error!(error_id, error, "an export broke off");
    });
    let body = futures::stream::iter(first.map(Ok)).chain(rest);
    Ok(([(header::CONTENT_TYPE, format.media_type())], Body::from_stream(body)).into_response())
}

#[cfg(test)]
mod specs {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn what_is_accepted_most_is_answered() {
        let (json, lines, csv) = (Answer::Page, Answer::File(Format::JsonLines), Answer::File(Format::Csv));
        for (accept, answer) in [
            ("*/*", json),
            ("", json),
            ("text/html,application/xhtml+xml,*/*;q=0.8", json),
            ("image/png", json),
            ("application/x-ndjson", lines),
            ("Text/CSV", csv),
            ("text/csv; charset=utf-8", csv),
            ("text/csv, application/json", csv),
            ("application/json, text/csv", json),
            ("application/json;q=0.5, text/csv;q=0.51", csv),
            ("application/json;q=0.5, text/csv;q=0.50", json),
            ("text/csv;q=0", json),
            ("text/csv;q=high", json),
            ("text/csv;q=0.1234, application/x-ndjson;q=0.001", lines),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(Answer::accepted(&headers), answer, "{accept:?}");
        }
    }
}

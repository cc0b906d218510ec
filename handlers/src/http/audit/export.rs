//! Responses as files: in the format that the Accept header names, page by page.

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

/// The format of events in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseFormat {
    /// A page, as JSON.
    Page,
    /// All events, as a file.
    File(Format),
}

/// The most events in a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventLimit {
    /// On a page.
    Page(usize),
    /// In a file; all if none is given.
    File(Format, Option<u64>),
}

impl FromRequestParts<Arc<Api>> for ResponseFormat {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Infallible> {
        Ok(Self::accepted(&parts.headers))
    }
}

impl ResponseFormat {
    /// The format with the highest weight, and the first among equals. JSON if no format is known.
    fn accepted(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let accepted = values.flat_map(|value| value.split(',')).filter_map(Self::weighted);
        let best = accepted.reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map_or(Self::Page, |(answer, _)| answer)
    }

    /// The format that a part of an Accept header names, and its weight in thousandths.
    fn weighted(part: &str) -> Option<(Self, u32)> {
        let mut words = part.split(';').map(str::trim);
        let answer = match words.next()?.to_ascii_lowercase().as_str() {
            "application/json" | "application/*" | "*/*" => Self::Page,
            "application/x-ndjson" => Self::File(Format::JsonLines),
            "text/csv" | "text/*" => Self::File(Format::Csv),
            _ => return None,
        };
        let weight =
            words.find_map(|word| word.strip_prefix("q=")).map_or(Some(1_000), thousandths)?;
        (weight > 0).then_some((answer, weight))
    }

    /// The most events, from the parameter `limit`.
    pub(super) fn limit(self, params: &Params) -> Result<EventLimit, Problem> {
        match self {
            Self::Page => {
                Ok(EventLimit::Page(usize::try_from(params.limit(100)?).unwrap_or(usize::MAX)))
            }
            Self::File(format) => {
                Ok(EventLimit::File(format, params.number("limit", 1..=MAX_VERSION)?))
            }
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

/// The file, sent while it is read. Its first part is read before the response begins, so that an
/// early failure is a problem document. A later failure breaks the connection: no client takes the
/// part for the whole.
pub(super) async fn file(mut export: Export, format: Format) -> Result<Response, Problem> {
    let first = export.next().await?.map(|chunk| chunk.bytes);
    let rest = futures::stream::try_unfold(export, |mut export| async {
        Ok(export.next().await?.map(|chunk| (chunk.bytes, export)))
    });
    let rest = rest.inspect_err(|error: &crate::audit::AuditError| {
        let error_id = Uuid::now_v7().simple().to_string();
        let error: &dyn std::error::Error = error;
        tracing::error!(error_id, error, "an export failed");
    });
    let body = futures::stream::iter(first.map(Ok)).chain(rest);
    Ok(([(header::CONTENT_TYPE, format.media_type())], Body::from_stream(body)).into_response())
}

#[cfg(test)]
mod specs {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_format_with_the_highest_weight_is_used() {
        let (json, lines, csv) = (
            ResponseFormat::Page,
            ResponseFormat::File(Format::JsonLines),
            ResponseFormat::File(Format::Csv),
        );
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
            let headers =
                HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(ResponseFormat::accepted(&headers), answer, "{accept:?}");
        }
    }
}

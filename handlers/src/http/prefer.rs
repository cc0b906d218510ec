//! The header `Prefer` (RFC 7240), whose preferences a server may ignore.

use axum::http::HeaderMap;
use axum::http::HeaderName;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Whether the request has that preference, without a value. As the standard requires, unknown
/// preferences and malformed ones are ignored.
pub(crate) fn prefers(headers: &HeaderMap, preference: &str) -> bool {
    let lists = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| split(list, ',')).any(|element| is(element, preference))
}

/// `token [= value] *(; parameter)`. An empty value counts as none.
fn is(element: &str, preference: &str) -> bool {
    let token = split(element, ';').into_iter().next().unwrap_or_default();
    let (name, value) = token.split_once('=').unwrap_or((token, ""));
    name.trim().eq_ignore_ascii_case(preference) && matches!(value.trim(), "" | "\"\"")
}

/// Splits at separators outside of quoted strings.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |c: char| {
        let separates = c == separator && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && quoted && !escaped;
        separates
    });
    parts.collect()
}

#[cfg(test)]
mod specs {
    use super::*;
    use axum::http::HeaderValue;

    fn prefers_async(values: &[&[u8]]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, HeaderValue::from_bytes(value).unwrap());
        }
        prefers(&headers, "respond-async")
    }

    #[test]
    fn a_preference_is_found_in_every_form_of_the_standard() {
        let forms: [&[&[u8]]; 9] = [
            &[b"respond-async"],
            &[b"Respond-ASYNC"],
            &[b"wait=100, respond-async"],
            &[b"respond-async;foo=bar; baz, wait=10"],
            &[b"respond-async=\"\""],
            &[b"respond-async ; x=\"a;b,c\""],
            &[b"handling=lenient", b"respond-async"],
            &[b"\xff\xfe", b"respond-async"],
            &[b"note=\"a \\\" b\", respond-async"],
        ];
        for form in forms {
            assert!(prefers_async(form), "{form:?}");
        }
    }

    #[test]
    fn similar_preferences_are_ignored() {
        let others: [&[&[u8]]; 9] = [
            &[],
            &[b""],
            &[b"respond-asynchronously"],
            &[b"respond-async=later"],
            &[b"return=minimal; respond-async"],
            &[b"note=\"respond-async\""],
            &[b"note=\"a, respond-async\""],
            &[b"note=\"a \\\", respond-async\""],
            &[b"respond-async\xff"],
        ];
        for other in others {
            assert!(!prefers_async(other), "{other:?}");
        }
    }
}

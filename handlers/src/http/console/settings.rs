//! What the console's pages must know before they call the API: the app, and how to sign in.

use crate::access::Scope;
use crate::app::{App, identity};
use crate::http::access::Access;
use axum::http::{HeaderValue, Uri};
use serde_json::{Value, json};

/// The longest wait of a live page for new events, in seconds.
const MAX_WAIT_S: u64 = 20;

/// Settings of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleSettings {
    /// The name of the deployment, as `prod`. The pages show it.
    pub stage: String,
    /// How people sign in. Without it, a token can be pasted where tokens are required.
    pub login: Option<ConsoleLogin>,
}

impl Default for ConsoleSettings {
    fn default() -> Self {
        Self { stage: "dev".to_owned(), login: None }
    }
}

/// A public client of an OpenID Connect issuer: authorization code with PKCE, no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleLogin {
    issuer: String,
    client_id: String,
    origins: Vec<String>,
}

/// A login that no browser could use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address that begins with https:// (or http://) and a host")]
pub struct InvalidLogin(String);

impl ConsoleLogin {
    /// A client of an issuer. `others` are addresses of the issuer under other hosts, separated by
    /// spaces: user pools of Cognito have their token endpoint at one.
    ///
    /// # Errors
    /// [`InvalidLogin`]: an address has no origin.
    pub fn new(issuer: &str, client_id: &str, others: &str) -> Result<Self, InvalidLogin> {
        let origins = std::iter::once(issuer).chain(others.split_whitespace()).map(origin);
        Ok(Self {
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            origins: origins.collect::<Result<_, _>>()?,
        })
    }
}

/// Scheme, host and port of an address. Nothing else may enter a header.
fn origin(address: &str) -> Result<String, InvalidLogin> {
    let invalid = || InvalidLogin(address.to_owned());
    let uri = address.parse::<Uri>().map_err(|_| invalid())?;
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme @ ("https" | "http")), Some(host)) if !host.as_str().contains('@') => {
            Ok(format!("{scheme}://{host}"))
        }
        _ => Err(invalid()),
    }
}

impl ConsoleSettings {
    /// The body of `/console/config.json`.
    pub(super) fn config(&self, app: &App, access: &Access, wait_s: u64) -> Value {
        let scopes = Scope::ALL.map(Scope::name);
        let auth = match (access, &self.login) {
            (Access::Open(actor), _) => json!({"kind": "open", "actor": actor.as_str()}),
            (Access::Callers, None) => json!({"kind": "token", "scopes": scopes}),
            (Access::Callers, Some(login)) => json!({
                "kind": "oidc", "issuer": login.issuer, "client_id": login.client_id, "scopes": scopes,
            }),
        };
        let categories = app.aggregates().iter().map(|aggregate| aggregate.category());
        let sample = app.example_call().and_then(|(path, body)| {
            let body: Value = serde_json::from_str(&body).ok()?;
            Some(json!({"path": path, "body": body}))
        });
        json!({
            "app": app.name(),
            "title": identity().title,
            "stage": self.stage,
            "auth": auth,
            "wait": wait_s.min(MAX_WAIT_S),
            "categories": categories.collect::<Vec<_>>(),
            "sample": sample,
        })
    }

    /// The pages run only their own scripts, call only the API and the issuer, and are shown in no
    /// frame.
    pub(super) fn content_security_policy(&self) -> HeaderValue {
        let issuers = self.login.iter().flat_map(|login| &login.origins);
        let connect: String = issuers.map(|origin| format!(" {origin}")).collect();
        let text = format!(
            "default-src 'self'; connect-src 'self'{connect}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        );
        // An origin was parsed as an authority, which has visible ASCII characters only.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_may_call_the_api_and_the_issuer_only() {
        let policy = |login| {
            let settings = ConsoleSettings { login, ..ConsoleSettings::default() };
            settings.content_security_policy().to_str().unwrap().to_owned()
        };
        assert!(policy(None).contains("connect-src 'self'; frame-ancestors 'none'"));
        let login = ConsoleLogin::new(
            "https://cognito-idp.eu-central-1.amazonaws.com/pool",
            "client",
            "https://shop.auth.example/oauth2/token",
        );
        assert!(policy(Some(login.unwrap())).contains(
            "connect-src 'self' https://cognito-idp.eu-central-1.amazonaws.com https://shop.auth.example;"
        ));
    }

    #[test]
    fn an_address_that_would_change_the_policy_is_refused() {
        for address in
            ["", "login.example", "ftp://x", "https://", "https://a; script-src *", "https://a@b"]
        {
            assert!(ConsoleLogin::new(address, "client", "").is_err(), "{address}");
        }
        assert!(ConsoleLogin::new("https://a", "client", "https://b javascript:x").is_err());
    }
}

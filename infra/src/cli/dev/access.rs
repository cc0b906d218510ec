//! Who may call the API of `dev`, and from where.

use crate::cli::exit::{Failure, wrong_use};
use axum::Router;
use axum::middleware::from_fn_with_state;
use clap::builder::NonEmptyStringValueParser;
use eventstore::Id;
use handlers::access::{ACTOR_OF_SYSTEM, is_actor_of_system};
use handlers::access::{Authorizer, authorize};
use handlers::http::{AllowedHosts, Api, refuse_foreign_origins, router};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The options for address and tokens.
#[derive(Debug, clap::Args)]
pub(super) struct AccessOptions {
    /// The address to listen on. Without --auth, only loopback is allowed.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Require tokens that a key of this JSON Web Key Set signed (RS256 or ES256). Without it,
    /// requests need no token.
    #[arg(long, value_name = "JWKS_FILE", requires = "issuer", requires = "audience")]
    auth: Option<PathBuf>,
    /// The issuer of the tokens: their claim iss.
    #[arg(long, value_name = "URL", requires = "auth", value_parser = NonEmptyStringValueParser::new())]
    issuer: Option<String>,
    /// The audience of the tokens: their claim aud, or client_id if they have none.
    #[arg(long, value_name = "AUDIENCE", requires = "auth", value_parser = NonEmptyStringValueParser::new())]
    audience: Option<String>,
}

/// Parses the name of an actor.
pub(in crate::cli) fn actor(text: &str) -> Result<Id, String> {
    let actor = Id::new(text).map_err(|error| error.to_string())?;
    if is_actor_of_system(&actor) { Err(ACTOR_OF_SYSTEM.to_owned()) } else { Ok(actor) }
}

/// The listener of the API, and the check of its tokens.
pub(super) struct ApiEntry {
    pub(super) listener: TcpListener,
    authorizer: Option<Arc<Authorizer>>,
}

impl AccessOptions {
    /// Checks the options and opens the listener. Nothing else is open yet.
    pub(super) async fn open(&self, port: u16) -> Result<ApiEntry, Failure> {
        let authorizer = self.authorizer()?;
        if authorizer.is_none() && !self.listen.is_loopback() {
            wrong_use::<()>(format!(
                "--listen {}: every client that reaches this address could do everything. To require tokens, add --auth \
                 JWKS_FILE --issuer URL --audience AUDIENCE (see `ledgerfold tokens --help`), or listen on 127.0.0.1",
                self.listen
            ));
        }
        Ok(ApiEntry { listener: self.listen(port).await?, authorizer })
    }

    fn authorizer(&self) -> Result<Option<Arc<Authorizer>>, Failure> {
        let (Some(file), Some(issuer), Some(audience)) = (&self.auth, &self.issuer, &self.audience)
        else {
            return Ok(None);
        };
        let authorizer = Authorizer::from_file(file, issuer, audience);
        authorizer
            .map(|authorizer| Some(Arc::new(authorizer)))
            .map_err(|error| Failure::from_error(&error))
    }

    async fn listen(&self, port: u16) -> Result<TcpListener, Failure> {
        TcpListener::bind((self.listen, port)).await.map_err(|error| {
            let what = format!(
                "port {port} of {} is not available; choose another one with --port, or --port 0",
                self.listen
            );
            Failure::new(what, error)
        })
    }

    /// Who may call the API, as a line of the greeting.
    pub(super) fn greeting(&self) -> String {
        match (&self.issuer, &self.audience) {
            (Some(issuer), Some(audience)) => {
                format!(
                    "  callers  need a token of {issuer} for {audience}; its subject is the actor"
                )
            }
            _ => {
                "  actor    no tokens required; the actor is dev, or what the header X-Actor names"
                    .to_owned()
            }
        }
    }

    /// The header that a request needs, to paste into a shell.
    pub(super) fn header(&self) -> &'static str {
        if self.auth.is_some() { r#" -H "Authorization: Bearer $TOKEN""# } else { "" }
    }
}

impl ApiEntry {
    /// The API, which refuses web pages of other origins.
    pub(super) fn router(&self, api: Api) -> Router {
        match &self.authorizer {
            None => refuse_foreign_origins(router(api), AllowedHosts::Loopback),
            Some(authorizer) => {
                let checked = router(api.require_tokens())
                    .layer(from_fn_with_state(Arc::clone(authorizer), authorize));
                refuse_foreign_origins(checked, AllowedHosts::Any)
            }
        }
    }
}

//! Who may use `dev`, and from where.

use crate::cli::failure::{Failure, wrong_use};
use axum::Router;
use axum::middleware::from_fn_with_state;
use clap::builder::NonEmptyStringValueParser;
use eventstore::Id;
use handlers::access::{ACTOR_OF_SYSTEM, is_actor_of_system};
use handlers::access::{Authorizer, authorize};
use handlers::http::{Api, Hosts, router, without_foreign_pages};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Whose requests are answered.
#[derive(Debug, clap::Args)]
pub(super) struct Access {
    /// The address to listen on. Any but a loopback address needs --auth.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Answer only requests with a token, signed (RS256 or ES256) by a key of this JSON Web Key Set. Without it, everybody is let in.
    #[arg(long, value_name = "JWKS_FILE", requires = "issuer", requires = "audience")]
    auth: Option<PathBuf>,
    /// Who makes the tokens: their claim iss.
    #[arg(long, value_name = "URL", requires = "auth", value_parser = NonEmptyStringValueParser::new())]
    issuer: Option<String>,
    /// For whom they are made: their claim aud, or client_id where there is none.
    #[arg(long, value_name = "AUDIENCE", requires = "auth", value_parser = NonEmptyStringValueParser::new())]
    audience: Option<String>,
}

/// Who asks or calls, as it is recorded.
pub(in crate::cli) fn actor(text: &str) -> Result<Id, String> {
    let actor = Id::new(text).map_err(|error| error.to_string())?;
    if is_actor_of_system(&actor) { Err(ACTOR_OF_SYSTEM.to_owned()) } else { Ok(actor) }
}

/// Where it listens, and who checks tokens there.
pub(super) struct Entrance {
    pub(super) listener: TcpListener,
    authorizer: Option<Arc<Authorizer>>,
}

impl Access {
    /// Opens the entrance. Nothing else is open yet.
    pub(super) async fn open(&self, port: u16) -> Result<Entrance, Failure> {
        let authorizer = self.authorizer()?;
        if authorizer.is_none() && !self.listen.is_loopback() {
            wrong_use::<()>(format!(
                "--listen {}: whoever reaches this address could do everything; add --auth JWKS_FILE --issuer URL --audience \
                 AUDIENCE to ask for tokens (`ledgerfold tokens --help` makes some), or listen on 127.0.0.1",
                self.listen
            ));
        }
        Ok(Entrance { listener: self.listen(port).await?, authorizer })
    }

    fn authorizer(&self) -> Result<Option<Arc<Authorizer>>, Failure> {
        let (Some(file), Some(issuer), Some(audience)) = (&self.auth, &self.issuer, &self.audience) else {
            return Ok(None);
        };
        let authorizer = Authorizer::from_file(file, issuer, audience);
        authorizer.map(|authorizer| Some(Arc::new(authorizer))).map_err(|error| Failure::from_error(&error))
    }

    async fn listen(&self, port: u16) -> Result<TcpListener, Failure> {
        TcpListener::bind((self.listen, port)).await.map_err(|error| {
            let what = format!("port {port} of {} cannot be had; choose another with --port, or --port 0", self.listen);
            Failure::new(what, error)
        })
    }

    /// Who is let in, as a line of the greeting.
    pub(super) fn greeting(&self) -> String {
        match (&self.issuer, &self.audience) {
            (Some(issuer), Some(audience)) => {
                format!("  callers  only with a token of {issuer} for {audience}; its subject is the actor")
            }
            _ => {
                "  actor    open to everybody here: every request is dev's; the header X-Actor names another".to_owned()
            }
        }
    }

    /// What a request must bear, to be pasted into a shell.
    pub(super) fn header(&self) -> &'static str {
        if self.auth.is_some() { r#" -H "Authorization: Bearer $TOKEN""# } else { "" }
    }
}

impl Entrance {
    /// The API behind it, which no page of another origin reaches.
    pub(super) fn router(&self, api: Api) -> Router {
        match &self.authorizer {
            None => without_foreign_pages(router(api), Hosts::Loopback),
            Some(authorizer) => {
                let checked = router(api.for_callers()).layer(from_fn_with_state(Arc::clone(authorizer), authorize));
                without_foreign_pages(checked, Hosts::Any)
            }
        }
    }
}

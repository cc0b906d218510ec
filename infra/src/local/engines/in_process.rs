//! The SDK's requests to an engine of the same process, without a socket between them: a third of what a request costs on
//! one machine is TCP and HTTP. Everybody else comes through the engine's door.

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;

/// An engine of this process: its service, and the threads that it works on.
#[derive(Clone, Debug)]
pub struct Engine {
    service: Router,
    threads: Handle,
}

impl Engine {
    pub(super) fn new(service: Router, threads: Handle) -> Self {
        Self { service, threads }
    }

    /// What an SDK client sends by.
    pub(crate) fn http_client(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(self.clone());
        http_client_fn(move |_, _| connector.clone())
    }

    /// Answers on the engine's own threads: its work must hold up nothing else. A request that its sender gives up ends, as
    /// when a connection is closed.
    async fn answer(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let request = request.map(|body| Body::from(Bytes::copy_from_slice(body.bytes().unwrap_or_default())));
        let work = AbortOnDropHandle::new(self.threads.spawn(answered(self.service, request)));
        let answer = work.await.map_err(|ended| ConnectorError::io(ended.into()))?;
        let answer = answer.map_err(|error| ConnectorError::io(error.into()))?;
        HttpResponse::try_from(answer).map_err(|error| ConnectorError::user(error.into()))
    }
}

async fn answered(service: Router, request: Request<Body>) -> Result<Response<SdkBody>, axum::Error> {
    let (parts, body) = match service.oneshot(request).await {
        Ok(response) => response.into_parts(),
        Err(never) => match never {},
    };
    Ok(Response::from_parts(parts, SdkBody::from(to_bytes(body, usize::MAX).await?)))
}

impl HttpConnector for Engine {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().answer(request))
    }
}

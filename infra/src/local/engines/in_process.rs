//! Requests of the SDK to an engine in this process, without a socket. TCP and HTTP are a third of
//! the cost of a local request. These requests need no signature; all others pass `request_auth`.

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

/// An engine in this process: its service and its threads.
#[derive(Clone, Debug)]
pub struct InProcessEngine {
    service: Router,
    threads: Handle,
}

impl InProcessEngine {
    pub(super) fn new(service: Router, threads: Handle) -> Self {
        Self { service, threads }
    }

    /// The HTTP client for SDK clients.
    pub(crate) fn http_client(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(self.clone());
        http_client_fn(move |_, _| connector.clone())
    }

    /// Answers on the engine's threads, so that other work does not wait. Dropping the future ends
    /// the request, as closing a connection does.
    async fn answer(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request =
            request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let request = request
            .map(|body| Body::from(Bytes::copy_from_slice(body.bytes().unwrap_or_default())));
        let work = AbortOnDropHandle::new(self.threads.spawn(call_service(self.service, request)));
        let answer = work.await.map_err(|error| ConnectorError::io(error.into()))?;
        let answer = answer.map_err(|error| ConnectorError::io(error.into()))?;
        HttpResponse::try_from(answer).map_err(|error| ConnectorError::user(error.into()))
    }
}

async fn call_service(
    service: Router,
    request: Request<Body>,
) -> Result<Response<SdkBody>, axum::Error> {
    let (parts, body) = match service.oneshot(request).await {
        Ok(response) => response.into_parts(),
        Err(never) => match never {},
    };
    Ok(Response::from_parts(parts, SdkBody::from(to_bytes(body, usize::MAX).await?)))
}

impl HttpConnector for InProcessEngine {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().answer(request))
    }
}

//! Forwards a function's requests to the engines, and records them.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use reqwest::Client;
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// The largest request that an engine accepts.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A request of a function.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The function, as its environment names it.
    pub(crate) component: String,
    /// Its read model or process.
    pub(crate) projection: Option<String>,
    /// The operation, as `PutItem`.
    pub(crate) operation: String,
    pub(crate) body: Value,
}

/// The requests of all functions of a system.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Asked>>);

/// A proxy between one function and one engine.
struct Between {
    engine: String,
    http: Client,
    component: String,
    projection: Option<String>,
    recorder: Arc<Recorder>,
}

impl Recorder {
    /// Everything so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().clone()
    }

    /// Puts a proxy between a function and each engine that its environment names.
    pub(crate) fn stand_between(self: &Arc<Self>, environment: &mut [(String, String)]) {
        let value = |name: &str| {
            environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
        };
        let (component, projection) =
            (value("LEDGERFOLD_COMPONENT").unwrap(), value("LEDGERFOLD_PROJECTION"));
        for (_, endpoint) in
            environment.iter_mut().filter(|(name, _)| name.starts_with("AWS_ENDPOINT_URL_"))
        {
            let between = Between {
                engine: endpoint.clone(),
                http: Client::builder().no_proxy().build().unwrap(),
                component: component.clone(),
                projection: projection.clone(),
                recorder: self.clone(),
            };
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            *endpoint = format!("http://{}", listener.local_addr().unwrap());
            let service = Router::new().fallback(pass).with_state(Arc::new(between));
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        }
    }
}

async fn pass(State(between): State<Arc<Between>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, MAX_BYTES).await.unwrap();
    let target = parts
        .headers
        .get("x-amz-target")
        .map(|target| target.to_str().unwrap())
        .unwrap_or_default();
    between.recorder.0.lock().unwrap().push(Asked {
        component: between.component.clone(),
        projection: between.projection.clone(),
        operation: target.rsplit('.').next().unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&body).unwrap(),
    });
    let url = format!("{}{}", between.engine, parts.uri);
    // The signature covers the address that the function used, so its headers stay.
    let answer =
        between.http.request(parts.method, url).headers(parts.headers).body(body).send().await;
    match answer {
        Ok(answer) => {
            let mut response = Response::builder().status(answer.status());
            *response.headers_mut().unwrap() = answer.headers().clone();
            response.body(Body::from(answer.bytes().await.unwrap_or_default())).unwrap()
        }
        Err(_) => Response::builder().status(502).body(Body::empty()).unwrap(),
    }
}

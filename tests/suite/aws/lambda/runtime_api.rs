//! Lambda's Runtime API on loopback, with a function's real program as a child process.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::{get, post};
use serde_json::Value;
use std::collections::HashMap;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Far above what any case needs: only a defect exceeds it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lambda's limit for an answer.
const MAX_ANSWER_BYTES: usize = 6 * 1024 * 1024;

/// The result of a call: its answer, or its error's body.
pub(crate) type Outcome = Result<Value, Value>;

/// A function. Its program is killed when this is dropped.
pub(crate) struct Function {
    events: mpsc::UnboundedSender<Event>,
    asked: watch::Receiver<u64>,
    /// Its process.
    pub(crate) child: Child,
    server: JoinHandle<()>,
    /// Its output is read at once: a full pipe would block it.
    written: [JoinHandle<String>; 2],
}

struct Event {
    id: String,
    payload: String,
    deadline_ms: String,
    answer: oneshot::Sender<Outcome>,
}

struct Api {
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
    under_way: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    asked: watch::Sender<u64>,
}

impl Function {
    /// Starts a program in the environment that Lambda gives it, and some more.
    pub(crate) async fn start(program: &str, more: &[(String, String)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ((events, receiver), (asked, asks)) = (mpsc::unbounded_channel(), watch::channel(0));
        let api =
            Api { events: tokio::sync::Mutex::new(receiver), under_way: Mutex::default(), asked };
        let server = tokio::spawn(async move { axum::serve(listener, router(api)).await.unwrap() });
        let child = command(program)
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .envs(more.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        let written = [read(child.stdout.take().unwrap()), read(child.stderr.take().unwrap())];
        Self { events, asked: asks, child, server, written }
    }

    /// Waits until it has asked for its first event.
    pub(crate) async fn ready(&mut self) {
        let asked = self.asked.wait_for(|asked| *asked > 0);
        tokio::time::timeout(PATIENCE, asked).await.expect("it never asks for an event").unwrap();
    }

    /// Calls it. The call is an error, too, if the program ends.
    pub(crate) async fn invoke(&self, event: &Value) -> Outcome {
        self.invoke_for(event, Duration::from_secs(900)).await
    }

    /// Calls it with that time limit.
    pub(crate) async fn invoke_for(&self, event: &Value, time: Duration) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let (id, payload) = (uuid::Uuid::new_v4().to_string(), event.to_string());
        let deadline = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + time;
        let deadline_ms = deadline.as_millis().to_string();
        self.events.send(Event { id, payload, deadline_ms, answer }).unwrap();
        let answered = tokio::time::timeout(PATIENCE, answered).await.expect("it never answers");
        answered.unwrap_or(Err(Value::Null))
    }

    /// Waits until the program has ended. Returns its status and its output.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("it does not end")
            .unwrap();
        let [output, errors] = &mut self.written;
        (status, output.await.unwrap() + &errors.await.unwrap())
    }
}

/// Reads all that comes.
fn read(mut from: impl AsyncRead + Send + Unpin + 'static) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut written = String::new();
        from.read_to_string(&mut written).await.unwrap();
        written
    })
}

impl Drop for Function {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A function's program, not yet started, in an environment with nothing but what Lambda always
/// sets.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().kill_on_drop(true).stdin(Stdio::null());
    for (name, value) in [
        ("AWS_LAMBDA_FUNCTION_NAME", "a-function"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ] {
        command.env(name, value);
    }
    command
}

fn router(api: Api) -> Router {
    const INVOCATION: &str = "/2018-06-01/runtime/invocation";
    Router::new()
        .route(&format!("{INVOCATION}/next"), get(next))
        .route(&format!("{INVOCATION}/{{id}}/response"), post(response))
        .route(&format!("{INVOCATION}/{{id}}/error"), post(error))
        .layer(DefaultBodyLimit::max(MAX_ANSWER_BYTES))
        .with_state(Arc::new(api))
}

async fn next(State(api): State<Arc<Api>>) -> (HeaderMap, String) {
    api.asked.send_modify(|asked| *asked += 1);
    let event = api.events.lock().await.recv().await;
    let Some(Event { id, payload, deadline_ms, answer }) = event else {
        std::future::pending().await
    };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", id.as_str()),
        ("lambda-runtime-deadline-ms", deadline_ms.as_str()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:a-function",
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
        ),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    api.under_way.lock().unwrap().insert(id, answer);
    (headers, payload)
}

async fn response(State(api): State<Arc<Api>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    end(&api, &id, Ok(serde_json::from_slice(&body).unwrap()))
}

async fn error(State(api): State<Arc<Api>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    end(&api, &id, Err(serde_json::from_slice(&body).unwrap()))
}

fn end(api: &Api, id: &str, outcome: Outcome) -> StatusCode {
    let answer =
        api.under_way.lock().unwrap().remove(id).expect("it answers what it was not asked");
    // The client may be gone.
    let _ = answer.send(outcome);
    StatusCode::ACCEPTED
}

//! The connections of a function: they are open before the first call, which saves TLS handshakes.
//! A hanging connection is reported before Lambda kills the process.

use super::gateway::Caller;
use super::runtime_api::Function;
use super::{COMMAND_API, PROGRAM, PROJECTOR, QUERY_API, environment};
use crate::harness::stack::TestStack;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards everything to an engine, and counts connections.
struct Counting {
    endpoint: String,
    connections: Arc<AtomicUsize>,
    /// Whether it accepts connections and forwards nothing.
    hangs: watch::Sender<bool>,
}

impl Counting {
    async fn before(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let (engine, connections) =
            (endpoint.strip_prefix("http://").unwrap().to_owned(), Arc::new(AtomicUsize::new(0)));
        let counted = connections.clone();
        let (hangs, hang) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut engine = TcpStream::connect(&engine).await.unwrap();
                let mut hang = hang.clone();
                tokio::spawn(async move {
                    let hung = tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut caller, &mut engine) => false,
                        _ = hang.wait_for(|hangs| *hangs) => true,
                    };
                    if hung {
                        std::future::pending().await
                    }
                });
            }
        });
        Self { endpoint: own, connections, hangs }
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// A ready function, with the counter of its connections to DynamoDB.
async fn ready(system: &TestStack, component: &str, own: &[(&str, &str)]) -> (Function, Counting) {
    let mut environment = environment(system, component, own);
    let (_, endpoint) =
        environment.iter_mut().find(|(name, _)| name == "AWS_ENDPOINT_URL_DYNAMODB").unwrap();
    let counting = Counting::before(endpoint).await;
    endpoint.clone_from(&counting.endpoint);
    let mut function = Function::start(PROGRAM, &environment).await;
    function.ready().await;
    assert!(counting.count() > 0, "{component} is ready and has asked for nothing");
    (function, counting)
}

#[tokio::test]
async fn no_first_command_waits_for_a_connection() {
    let system = TestStack::start().await;
    let (function, counting) = ready(&system, COMMAND_API, &[]).await;
    let connections = counting.count();
    let anna = Caller { function: &function, subject: "anna", scope: "ledgerfold/write" };
    let received =
        anna.post("/stock/9780306406157/receive", "delivery", &json!({"quantity": 5})).await;
    assert_eq!((received.status, counting.count()), (200, connections), "{received:?}");
}

#[tokio::test]
async fn no_first_read_waits_for_a_connection() {
    let system = TestStack::start().await;
    let (function, counting) = ready(&system, QUERY_API, &[]).await;
    let connections = counting.count();
    let anna = Caller { function: &function, subject: "anna", scope: "ledgerfold/read" };
    let unknown = anna.get("/stock/9780306406157").await;
    assert_eq!((unknown.status, counting.count()), (404, connections), "{unknown:?}");
}

#[tokio::test]
async fn no_first_message_waits_for_a_connection() {
    let system = TestStack::start().await;
    let (function, counting) =
        ready(&system, PROJECTOR, &[("LEDGERFOLD_PROJECTION", "stock")]).await;
    let connections = counting.count();
    let body =
        json!({"stream": "stock-9780306406157", "version": 1, "last_version": 1}).to_string();
    let attributes =
        json!({"MessageGroupId": "stock-9780306406157", "ApproximateReceiveCount": "1"});
    let event = json!({"Records": [{"messageId": "m", "body": body, "attributes": attributes}]});
    // The event does not exist yet, so the message is redelivered; but the table was read.
    let answer = function.invoke(&event).await.unwrap();
    assert_eq!(
        (answer, counting.count()),
        (json!({"batchItemFailures": [{"itemIdentifier": "m"}]}), connections)
    );
}

#[tokio::test]
async fn a_function_whose_table_hangs_says_so_in_its_own_time() {
    let system = TestStack::start().await;
    let (function, counting) =
        ready(&system, PROJECTOR, &[("LEDGERFOLD_PROJECTION", "stock")]).await;
    counting.hangs.send(true).unwrap();
    let body =
        json!({"stream": "stock-9780306406157", "version": 1, "last_version": 1}).to_string();
    let event = json!({"Records": [{"messageId": "m", "body": body, "attributes": {"MessageGroupId": "stock-9780306406157"}}]});
    let error = function.invoke_for(&event, Duration::from_secs(3)).await.unwrap_err();
    assert!(
        error["errorMessage"].as_str().unwrap().starts_with("it was not done within "),
        "{error}"
    );
}

#[tokio::test]
async fn a_hanging_table_is_reported_with_its_remedy() {
    let system = TestStack::start().await;
    let (function, counting) = ready(&system, COMMAND_API, &[]).await;
    counting.hangs.send(true).unwrap();
    let anna = Caller { function: &function, subject: "anna", scope: "ledgerfold/write" };
    let unanswered = anna
        .post_for(
            "/stock/9780306406157/receive",
            "k",
            &json!({"quantity": 5}),
            Duration::from_secs(3),
        )
        .await;
    assert_eq!(
        (unanswered.status, &unanswered.headers["retry-after"]),
        (503, &json!("1")),
        "{unanswered:?}"
    );
    let problem = unanswered.json();
    assert_eq!(problem["title"], "The request took too long");
    assert!(
        problem["detail"].as_str().unwrap().contains("the same Idempotency-Key")
            && problem["error_id"].is_string(),
        "{problem}"
    );
}

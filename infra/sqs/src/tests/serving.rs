//! The server on a listener.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::*;

/// A served engine: its router, its address, and how to stop it.
struct Served {
    router: Router,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn serve(path: &std::path::Path) -> Served {
    let server = Server::open(path, Config::default()).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let router = server.router_at(address);
    let task =
        tokio::spawn(server.serve_with_shutdown(listener, async move { stopped.await.unwrap() }));
    Served { router, address, stop, task }
}

fn call(operation: &str, body: &Value) -> Request<Body> {
    let request = Request::post("/").header("x-amz-target", format!("AmazonSQS.{operation}"));
    request.body(Body::from(body.to_string())).unwrap()
}

#[tokio::test]
async fn a_queue_url_names_the_listeners_address_and_the_file_is_free_after_the_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queues.db");
    let served = serve(&path).await;
    // Spawned, not yet run: the address is known once the server has been polled.
    tokio::task::yield_now().await;
    let (_, _, answer) =
        send(&served.router, call("CreateQueue", &json!({ "QueueName": "q" }))).await;
    assert_eq!(answer["QueueUrl"], format!("http://{}/000000000000/q", served.address));
    served.stop.send(()).unwrap();
    served.task.await.unwrap().unwrap();
    drop(served.router);
    Server::open(&path, Config::default()).unwrap();
}

#[tokio::test]
async fn a_shutdown_ends_long_polls() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(&folder.path().join("queues.db")).await;
    let (_, _, made) =
        send(&served.router, call("CreateQueue", &json!({ "QueueName": "q" }))).await;
    let began = Instant::now();
    let request =
        call("ReceiveMessage", &json!({ "QueueUrl": made["QueueUrl"], "WaitTimeSeconds": 20 }));
    let polling = send(&served.router, request);
    let stopping = async {
        tokio::task::yield_now().await;
        served.stop.send(()).unwrap();
        served.task.await.unwrap().unwrap();
    };
    let ((status, _, answer), ()) = tokio::join!(polling, stopping);
    assert_eq!((status, answer), (StatusCode::OK, json!({})));
    assert!(began.elapsed() < Duration::from_secs(10));
}

//! A server that gives the answers that no local engine gives.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::waiting::Seen;

/// One call: the operation's name and its input.
pub(crate) type Call = (String, Value);

/// A listening server; it ends with the test's runtime.
pub(crate) struct Scripted {
    pub(crate) endpoint: String,
    pub(crate) calls: Seen<Call>,
    /// One entry a connection.
    pub(crate) connections: Seen<()>,
}

/// Starts a server that answers `script(operation, input, how many calls of that operation there
/// were before)`: a status and a body.
pub(crate) async fn start(
    script: impl Fn(&str, &Value, usize) -> (u16, Value) + Send + Sync + 'static,
) -> Scripted {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = Scripted { endpoint, calls: Seen::nothing(), connections: Seen::nothing() };
    let (calls, connections, script) =
        (server.calls.clone(), server.connections.clone(), Arc::new(script));
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            connections.add(());
            let (calls, script) = (calls.clone(), script.clone());
            tokio::spawn(async move {
                let mut socket = BufReader::new(socket);
                while let Some((operation, input)) = read(&mut socket).await {
                    let before =
                        calls.list().iter().filter(|(earlier, _)| *earlier == operation).count();
                    calls.add((operation.clone(), input.clone()));
                    let (status, body) = script(&operation, &input, before);
                    write(&mut socket, status, &body).await;
                }
            });
        }
    });
    server
}

/// An error as the service sends it.
pub(crate) fn error(name: &str) -> (u16, Value) {
    (
        400,
        serde_json::json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{name}"), "message": name }),
    )
}

async fn read(socket: &mut BufReader<TcpStream>) -> Option<Call> {
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }
    let mut body = vec![0; headers["content-length"].parse().unwrap()];
    socket.read_exact(&mut body).await.ok()?;
    let operation = headers["x-amz-target"].rsplit('.').next().unwrap().to_owned();
    Some((operation, serde_json::from_slice(&body).unwrap()))
}

async fn write(socket: &mut BufReader<TcpStream>, status: u16, body: &Value) {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} -\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}",
        body.len()
    );
    // A client that has gone needs no answer.
    let _ = socket.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await;
}

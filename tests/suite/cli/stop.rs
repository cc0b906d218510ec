//! `ledgerfold dev` answers open requests before it ends.

use super::{Dev, PATIENCE, client};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn it_ends_in_order_when_it_is_asked_to_as_soon_as_it_is_ready() {
    let data = TempDir::new().unwrap();
    for signal in ["INT", "TERM", "INT", "TERM"] {
        assert_eq!(Dev::start(data.path()).await.end_by(signal).await, 0, "{signal}");
    }
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_it_up() {
    let data = TempDir::new().unwrap();
    let dev = Dev::start(data.path()).await;
    let http = client();
    assert_eq!(http.get(format!("{}/healthz", dev.url)).send().await.unwrap().status(), 200);
    let _silent = TcpStream::connect(dev.url.strip_prefix("http://").unwrap()).await.unwrap();
    assert_eq!(dev.end_by("TERM").await, 0);
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_it_ends() {
    for signal in ["INT", "TERM"] {
        let data = TempDir::new().unwrap();
        let dev = Dev::start(data.path()).await;
        let address = dev.url.strip_prefix("http://").unwrap().to_owned();
        let mut connection = TcpStream::connect(&address).await.unwrap();
        let head = "POST /stock/9780306406157/receive HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
            Content-Length: 15\r\nExpect: 100-continue\r\n\r\n";
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut go_on = [0; 25];
        connection.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

        let ending = tokio::spawn(dev.end_by(signal));
        tokio::time::timeout(PATIENCE, async {
            while TcpStream::connect(&address).await.is_ok() {}
        })
        .await
        .expect("it listens on");
        connection.write_all(b"{\"quantity\": 5}").await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(PATIENCE, connection.read_to_string(&mut answer))
            .await
            .expect("no answer");
        read.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert_eq!(ending.await.unwrap(), 0, "{signal}");
    }
}

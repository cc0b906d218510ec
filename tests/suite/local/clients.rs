//! The SDK clients.

use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::engines::access_key::AccessKey;
use serde_json::json;

use crate::harness::scripted_server;

#[tokio::test]
async fn all_clients_keep_and_share_one_connection() {
    let server = scripted_server::start(|operation, _, _| match operation {
        "ListTables" => (200, json!({ "TableNames": [] })),
        "ListStreams" => (200, json!({ "Streams": [] })),
        _ => (200, json!({})),
    })
    .await;
    let clients =
        Clients::loopback(&Endpoints::of_one(&server.endpoint, AccessKey::generate().unwrap()));
    for _ in 0..10 {
        clients.dynamodb.list_tables().send().await.unwrap();
        clients.streams.list_streams().send().await.unwrap();
        clients.sqs.list_queues().send().await.unwrap();
    }
    assert_eq!(server.calls.list().len(), 30);
    assert_eq!(server.connections.list().len(), 1);
}

#[tokio::test]
async fn an_endpoint_on_this_machine_needs_no_account() {
    let server = scripted_server::start(|_, _, _| (200, json!({ "TableNames": ["events"] }))).await;
    let clients = Clients::at(&server.endpoint).await;
    assert_eq!(clients.dynamodb.list_tables().send().await.unwrap().table_names(), ["events"]);
}

#[tokio::test]
async fn a_passing_failure_of_an_engine_is_tried_again() {
    let server = scripted_server::start(|_, _, before| match before {
        0 | 1 => (500, json!({ "__type": "InternalServerError" })),
        _ => (200, json!({ "TableNames": ["events"] })),
    })
    .await;
    let clients =
        Clients::loopback(&Endpoints::of_one(&server.endpoint, AccessKey::generate().unwrap()));
    assert_eq!(clients.dynamodb.list_tables().send().await.unwrap().table_names(), ["events"]);
    assert_eq!(server.calls.list().len(), 3);
}

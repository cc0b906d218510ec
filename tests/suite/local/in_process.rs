//! Clients that reach the engines without a socket.

use super::PATIENCE;
use aws_sdk_dynamodb::types::AttributeValue;
use ledgerfold::local::data_folder::DataFolder;
use ledgerfold::local::stack::Stack;
use std::time::Duration;
use tokio::time::timeout;

async fn stack(folder: &tempfile::TempDir) -> Stack {
    Stack::start(DataFolder::open(folder.path()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn requests_without_a_socket_reach_the_same_engines() {
    let folder = tempfile::tempdir().unwrap();
    let stack = stack(&folder).await;
    let within = stack.clients.in_process(stack.dynamodb.engine(), stack.sqs.engine());
    let store = eventstore::EventStore::new(within.dynamodb.clone(), "events");
    store.create_table().await.unwrap();
    // Over HTTP the table exists, too, with its stream.
    let table = stack
        .clients
        .dynamodb
        .describe_table()
        .table_name("events")
        .send()
        .await
        .unwrap()
        .table
        .unwrap();
    let stream = table.latest_stream_arn.unwrap();
    assert!(within.streams.describe_stream().stream_arn(stream).send().await.is_ok());
    let queue =
        within.sqs.create_queue().queue_name("letters").send().await.unwrap().queue_url.unwrap();
    stack.clients.sqs.send_message().queue_url(&queue).message_body("a").send().await.unwrap();
    let received = within.sqs.receive_message().queue_url(&queue).send().await.unwrap();
    assert_eq!(received.messages()[0].body(), Some("a"));
    // A rejected request has the same error as over HTTP.
    let key = AttributeValue::S("x".into());
    let refused = |client: &aws_sdk_dynamodb::Client| {
        client.get_item().table_name("none").key("id", key.clone()).send()
    };
    for client in [&within.dynamodb, &stack.clients.dynamodb] {
        let error = refused(client).await.unwrap_err().into_service_error();
        assert!(error.is_resource_not_found_exception(), "{error:?}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_receive_that_is_given_up_takes_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let stack = stack(&folder).await;
    let within = stack.clients.in_process(stack.dynamodb.engine(), stack.sqs.engine());
    let queue =
        within.sqs.create_queue().queue_name("letters").send().await.unwrap().queue_url.unwrap();
    let receive = || within.sqs.receive_message().queue_url(&queue).wait_time_seconds(10).send();
    assert!(timeout(Duration::from_millis(100), receive()).await.is_err(), "nothing was sent yet");
    within.sqs.send_message().queue_url(&queue).message_body("a").send().await.unwrap();
    let received = timeout(PATIENCE, receive()).await.unwrap().unwrap();
    assert_eq!(received.messages().len(), 1, "the receive that was given up has taken it");
    stack.stop().await;
}

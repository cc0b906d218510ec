//! The engines over a temporary folder, the queues on the case's clock, with everything that Ledgerfold makes there.

use super::clock::Clock;
use super::outage::Outage;
use crate::harness::fault_wire::Wire;
use crate::harness::fold::ReadModel;
use aws_lambda_events::event::dynamodb::EventRecord;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use aws_sdk_sqs::types::QueueAttributeName;
use eventstore::{EventStore, StreamId};
use handlers::{Names, Operations, System};
use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::access_key::AccessKey;
use ledgerfold::local::dynamodb::DynamoDb;
use ledgerfold::local::stream_event;
use ledgerfold::resources::{self, Resources};
use loopback_sqs::{Config, Server};
use std::sync::Mutex;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) clients: Clients,
    pub(crate) names: Names,
    pub(crate) resources: Resources,
    pub(crate) store: EventStore,
    stream_arn: String,
    /// From where the stream is read on.
    place: Mutex<Option<String>>,
    _dynamodb: DynamoDb,
    _stop_sqs: DropGuard,
    _folder: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let (clock, folder) = (Clock::new(), tempfile::tempdir().unwrap());
        let key = AccessKey::generate().unwrap();
        let dynamodb = DynamoDb::start(&folder.path().join("dynamodb.db"), &key).await.unwrap();
        let config = Config { now: clock.of_queues(), ..Config::default() };
        let server = Server::open(&folder.path().join("queues.db"), config).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let sqs = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(server.serve_with_shutdown(listener, stop.clone().cancelled_owned()));
        let clients = Clients::loopback(&Endpoints { dynamodb: dynamodb.endpoint().to_owned(), sqs, key });
        let names = Names::new("test");
        let resources = resources::create(&bookshop::app(), &clients, &names).await.unwrap();
        let store = clients.system(&bookshop::app(), &names).event_store();
        let table = clients.dynamodb.describe_table().table_name(names.events()).send().await.unwrap();
        let stream_arn = table.table.unwrap().latest_stream_arn.unwrap();
        let (place, stop) = (Mutex::default(), stop.drop_guard());
        let (_dynamodb, _stop_sqs, _folder) = (dynamodb, stop, folder);
        Self { clock, clients, names, resources, store, stream_arn, place, _dynamodb, _stop_sqs, _folder }
    }

    pub(crate) fn system(&self) -> System {
        self.clients.system(&bookshop::app(), &self.names)
    }

    /// The system as functions see it, over that wire.
    pub(crate) fn system_over(&self, wire: &Wire, outage: &Outage) -> System {
        let dynamodb = outage.dynamodb(&wire.client(&self.clients.dynamodb));
        System::new(bookshop::app(), dynamodb, outage.sqs(&wire.sqs(&self.clients.sqs)), self.names.clone())
    }

    pub(crate) fn operations(&self) -> Operations {
        self.system().operations(self.system().projector())
    }

    /// The records of the event table's stream that were not given out yet, as Lambda hands them to a function.
    pub(crate) async fn new_records(&self) -> Vec<EventRecord> {
        let streams = &self.clients.streams;
        let known = self.place.lock().unwrap().take();
        let mut place = match known {
            Some(place) => place,
            None => self.beginning().await,
        };
        let mut records = Vec::new();
        loop {
            let page = streams.get_records().shard_iterator(&place).send().await.unwrap();
            place = page.next_shard_iterator.expect("the shard is open");
            let page = page.records.unwrap_or_default();
            if page.is_empty() {
                break;
            }
            records.extend(page);
        }
        *self.place.lock().unwrap() = Some(place);
        stream_event::event(&records, &self.stream_arn).unwrap().records
    }

    async fn beginning(&self) -> String {
        let stream = self.clients.streams.describe_stream().stream_arn(&self.stream_arn).send().await.unwrap();
        let shards = stream.stream_description.unwrap().shards.unwrap();
        let [shard] = shards.as_slice() else { panic!("the stream has {} shards", shards.len()) };
        let request = self.clients.streams.get_shard_iterator().stream_arn(&self.stream_arn);
        let request = request.shard_id(shard.shard_id().unwrap()).shard_iterator_type(ShardIteratorType::TrimHorizon);
        request.send().await.unwrap().shard_iterator.unwrap()
    }

    /// Where the consumer's queue is.
    pub(crate) fn queue_url(&self, consumer: &str) -> String {
        let mut routes = self.resources.routes.iter();
        routes.find(|route| route.consumer.name == consumer).unwrap().queue_url.clone()
    }

    /// The largest message that the consumer's queue takes, in bytes.
    pub(crate) async fn limit_messages(&self, consumer: &str, bytes: u32) {
        let request = self.clients.sqs.set_queue_attributes().queue_url(self.queue_url(consumer));
        request.attributes(QueueAttributeName::MaximumMessageSize, bytes.to_string()).send().await.unwrap();
    }

    /// What is in the read models.
    pub(crate) async fn read_models(&self) -> ReadModel {
        ReadModel::of_rows(&crate::harness::projections_world::rows(&self.clients, &self.names).await, "")
    }

    /// Asserts that every row is what the pure fold of these streams says, and that there is no other.
    pub(crate) async fn assert_exact<'a>(&self, streams: impl IntoIterator<Item = &'a StreamId>, told: &str) {
        assert_eq!(self.read_models().await, ReadModel::of_streams(&self.store, streams).await, "{told}");
    }
}

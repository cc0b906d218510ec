//! A FIFO queue against a plain model of it, over random histories.

use super::*;

const GROUPS: usize = 3;
const STEPS: usize = 150;
const HISTORIES: u64 = 20;

/// A message of the model; hidden until `visible_s`.
struct Message {
    body: String,
    visible_s: u64,
    held: Option<Value>,
}

/// What the queue should hold: the messages of each group in order.
#[derive(Default)]
struct Model {
    groups: [Vec<Message>; GROUPS],
    now_s: u64,
    sent: usize,
}

impl Model {
    fn is_free(&self, group: usize) -> bool {
        self.groups[group].iter().all(|message| message.visible_s <= self.now_s)
    }

    /// How many messages a receive of up to `most` must bring.
    fn due(&self, most: usize) -> usize {
        (0..GROUPS)
            .filter(|group| self.is_free(*group))
            .map(|group| self.groups[group].len())
            .sum::<usize>()
            .min(most)
    }

    /// Notes what was received, checking that each group was free and begins at its first message.
    fn receive(&mut self, received: &[Value], timeout_s: u64) {
        let free: Vec<bool> = (0..GROUPS).map(|group| self.is_free(group)).collect();
        let mut next = [0; GROUPS];
        for message in received {
            let group: usize =
                message["Attributes"]["MessageGroupId"].as_str().unwrap().parse().unwrap();
            assert!(free[group], "group {group} was in flight");
            let expected = &mut self.groups[group][next[group]];
            assert_eq!(message["Body"].as_str(), Some(expected.body.as_str()));
            expected.visible_s = self.now_s + timeout_s;
            expected.held = Some(message["ReceiptHandle"].clone());
            next[group] += 1;
        }
    }

    /// A message in flight, by group and place.
    fn any_in_flight(&self, random: &mut fastrand::Rng) -> Option<(usize, usize)> {
        let places = (0..GROUPS)
            .flat_map(|group| (0..self.groups[group].len()).map(move |place| (group, place)));
        let in_flight =
            |place: &(usize, usize)| self.groups[place.0][place.1].visible_s > self.now_s;
        random.choice(places.filter(in_flight).collect::<Vec<_>>())
    }
}

async fn step(server: &TestServer, url: &str, model: &mut Model, random: &mut fastrand::Rng) {
    match random.u8(0..10) {
        0..=3 => {
            let (group, body) = (random.usize(0..GROUPS), model.sent.to_string());
            server.send_to_group(url, &group.to_string(), &body).await;
            model.groups[group].push(Message { body, visible_s: model.now_s, held: None });
            model.sent += 1;
        }
        4..=5 => {
            let (most, timeout_s) = (random.usize(1..=10), random.u64(0..4));
            let request = json!({ "QueueUrl": url, "MaxNumberOfMessages": most, "VisibilityTimeout": timeout_s,
                                  "MessageSystemAttributeNames": ["MessageGroupId"] });
            let answer = server.ok("ReceiveMessage", request).await;
            let received = answer["Messages"].as_array().cloned().unwrap_or_default();
            assert_eq!(received.len(), model.due(most));
            model.receive(&received, timeout_s);
        }
        6..=7 => {
            if let Some((group, place)) = model.any_in_flight(random) {
                let message = model.groups[group].remove(place);
                server
                    .ok("DeleteMessage", json!({ "QueueUrl": url, "ReceiptHandle": message.held }))
                    .await;
            }
        }
        8 => {
            if let Some((group, place)) = model.any_in_flight(random) {
                let (now_s, timeout_s) = (model.now_s, random.u64(0..4));
                let message = &mut model.groups[group][place];
                message.visible_s = now_s + timeout_s;
                let change = json!({ "QueueUrl": url, "ReceiptHandle": message.held, "VisibilityTimeout": timeout_s });
                server.ok("ChangeMessageVisibility", change).await;
            }
        }
        _ => {
            server.pass_s(1);
            model.now_s += 1;
        }
    }
}

#[tokio::test]
async fn a_fifo_queue_behaves_as_its_model_over_random_histories() {
    for seed in 0..HISTORIES {
        let server = TestServer::new();
        let url = server.fifo("q.fifo").await;
        let (mut model, mut random) = (Model::default(), fastrand::Rng::with_seed(seed));
        for _ in 0..STEPS {
            step(&server, &url, &mut model, &mut random).await;
        }
        assert!(model.sent > 10, "seed {seed}");
    }
}

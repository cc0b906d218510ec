//! Compares each request of the container with the rights of its functions, of which its role is
//! made.

use super::{Deployment, Service};
use crate::aws::lambda::rights::{allows, needs};
use crate::aws::template::Template;
use crate::aws::template::rights::grants;
use crate::harness::http::isbn;
use crate::harness::recorder::Recorder;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

const BOOK: u32 = 1;
/// What is served, and the functions that do the same work.
const SERVED: [(&str, &[&str]); 2] = [
    ("api", &["command-api", "query-api"]),
    ("consumers", &["projector", "process-manager", "command-worker", "rebuild-worker"]),
];

#[tokio::test]
async fn the_container_sends_only_what_its_role_allows() {
    let (deployment, recorder) = (Deployment::start().await, Arc::new(Recorder::default()));
    deployment.return_messages_after(10).await;
    let _fan_out = deployment.fan_out().await;
    let mut services = Vec::new();
    for (what, _) in SERVED {
        let mut environment = deployment.environment();
        // The recorder distinguishes requests by it. The container does not read it.
        environment.push(("LEDGERFOLD_COMPONENT".to_owned(), what.to_owned()));
        recorder.stand_between(&mut environment);
        services.push(Service::start(&[what], environment).await);
    }
    let anna = deployment.caller(&services[0]);
    for service in &services {
        deployment.caller(service).until("/readyz", |answer| answer.status == 200).await;
    }
    anna.receive(&isbn(BOOK), 10).await;
    let orders = anna.place_many("an-order", BOOK, 2).await;
    let receive = format!("/stock/{}/receive", isbn(BOOK));
    let later =
        anna.keyed(&receive, "later", &json!({"quantity": 1})).header("Prefer", "respond-async");
    assert_eq!(later.send().await.unwrap().status(), 202);
    anna.all_confirmed(&orders).await;
    anna.until("/commands/later?stream=stock", |answer| answer.status < 500).await;
    deployment.idle().await;
    anna.read_models_are_those_of_a_rebuild(BOOK).await;
    anna.read("/projections").await;
    let template = Template::read();
    let (granted, mut refused) = (grants(&template), BTreeSet::new());
    for asked in recorder.asked() {
        let (_, components) = SERVED.iter().find(|(what, _)| *what == asked.component).unwrap();
        let functions = template.functions(components);
        for need in needs(&template, &asked) {
            let grants = granted.iter().filter(|(function, _)| functions.contains(*function));
            let looked_for = need.action == "sqs:GetQueueUrl" && need.resource == "CommandQueue";
            if !looked_for
                && !grants.flat_map(|(_, grants)| grants).any(|grant| allows(grant, &need))
            {
                refused.insert(format!(
                    "{}: {} on {} {:?}",
                    asked.component, need.action, need.resource, need.keys
                ));
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    for service in services {
        service.stop().await;
    }
}

//! Compares the container's template with that of the functions, and with its own program.

use super::rights::{Grant, granted, grants};
use super::{BILLING, Template, list, number};
use crate::harness::program::{ledgerfold, without_settings};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/container.yaml");
const SERVICE: &str = env!("CARGO_BIN_EXE_bookshop-service-under-test");
/// Grants that only the container needs: it looks queues up by name, functions get their addresses.
const LOOKED_FOR: (&str, &str) = ("sqs:GetQueueUrl", "commands.fifo");

/// The templates of both apps: of the functions, and of the container.
async fn both() -> [(Template, Template); 2] {
    let rendered =
        without_settings(env!("CARGO_BIN_EXE_billing-under-test"), ["template", "--container"])
            .output();
    let rendered = String::from_utf8(rendered.await.unwrap().stdout).unwrap();
    let of_bookshop = Template::of("ledgerfold", &std::fs::read_to_string(COMMITTED).unwrap());
    [(Template::read(), of_bookshop), (BILLING.clone(), Template::of("billing", &rendered))]
}

/// The name of a table or queue after the stage: `events`, `read-models/index/*`, `orders.fifo`.
fn behind_stage(text: &str) -> String {
    text.rsplit_once("${Stage}-").unwrap().1.to_owned()
}

/// The same for a resource of the first template.
fn named(functions: &Template, grant: &Grant<'_>) -> String {
    let (logical, rest) = grant.resource.split_once('/').unwrap_or((&grant.resource, ""));
    let properties = functions.properties(logical);
    let name = [&properties["TableName"], &properties["QueueName"]]
        .into_iter()
        .find(|name| !name.is_null())
        .unwrap();
    let name = behind_stage(name["Fn::Sub"].as_str().unwrap());
    if rest.is_empty() { name } else { format!("{name}/{rest}") }
}

/// What the functions of these components may do, without their logs.
fn of_functions(functions: &Template, components: &[&str]) -> BTreeSet<(String, String)> {
    let (all, wanted) = (grants(functions), functions.functions(components));
    let grants =
        all.iter().filter(|(name, _)| wanted.contains(*name)).flat_map(|(_, grants)| grants);
    let grants = grants.filter(|grant| !grant.action.starts_with("logs:"));
    grants.map(|grant| (grant.action.to_owned(), named(functions, grant))).collect()
}

fn of_role(container: &Template, role: &str) -> BTreeSet<(String, String)> {
    let grants = granted(container, role);
    grants
        .iter()
        .map(|grant| {
            (grant.action.to_owned(), behind_stage(&grant.resource.replace("Stage}", "${Stage}")))
        })
        .collect()
}

#[tokio::test]
async fn the_committed_container_template_is_what_the_bookshop_needs() {
    let checked =
        ledgerfold(["template", "--container", "--check", COMMITTED]).output().await.unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[tokio::test]
async fn the_container_may_do_what_its_functions_may_and_no_more() {
    for (functions, container) in both().await {
        let api = of_functions(&functions, &["command-api", "query-api"]);
        assert_eq!(of_role(&container, "ApiRole"), api, "{}", functions.prefix);
        let readers = ["projector", "process-manager", "command-worker", "rebuild-worker"];
        let mut consumers = of_functions(&functions, &readers);
        consumers.insert((LOOKED_FOR.0.to_owned(), LOOKED_FOR.1.to_owned()));
        assert_eq!(of_role(&container, "ConsumersRole"), consumers, "{}", functions.prefix);
    }
}

#[tokio::test]
async fn commits_stay_as_they_are_for_the_container_too() {
    for (functions, container) in both().await {
        let exported = &functions.document["Outputs"]["AppendOnlyPolicy"]["Export"]["Name"];
        for role in ["ApiRole", "ConsumersRole"] {
            let attached = &container.properties(role)["ManagedPolicyArns"];
            assert_eq!(*attached, json!([{ "Fn::ImportValue": exported }]), "{role}");
        }
    }
}

#[tokio::test]
async fn only_https_reaches_the_api_and_nothing_reaches_consumers() {
    for (_, container) in both().await {
        let listeners: Vec<_> = container.all("AWS::ElasticLoadBalancingV2::Listener").collect();
        assert_eq!(listeners.len(), 1);
        assert_eq!(
            (&listeners[0].1["Protocol"], &listeners[0].1["Port"]),
            (&json!("HTTPS"), &json!(443))
        );
        let from: Vec<_> = container.all("AWS::EC2::SecurityGroupIngress").collect();
        assert_eq!(from.len(), 1, "the load balancer to the API");
        assert!(container.properties("ConsumersGroup").get("SecurityGroupIngress").is_none());
        assert!(container.properties("ApiGroup").get("SecurityGroupIngress").is_none());
        assert_eq!(container.document["Parameters"]["PublicAddresses"]["Default"], "DISABLED");
    }
}

/// The variables of a task.
fn variables(task: &Value) -> Vec<(&str, &Value)> {
    let variables = task["ContainerDefinitions"][0]["Environment"].as_array().unwrap().iter();
    variables.map(|variable| (variable["Name"].as_str().unwrap(), &variable["Value"])).collect()
}

#[tokio::test]
async fn tasks_are_told_what_the_program_knows_and_have_time_to_stop() {
    let help = without_settings(SERVICE, ["serve", "--help"]).output().await.unwrap();
    let help =
        String::from_utf8(help.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for (_, container) in both().await {
        for (name, task) in container.all("AWS::ECS::TaskDefinition") {
            let (definition, variables) = (&task["ContainerDefinitions"][0], variables(task));
            for (variable, _) in
                variables.iter().filter(|(variable, _)| variable.starts_with("LEDGERFOLD_"))
            {
                assert!(help.contains(&format!("[env: {variable}=")), "{name}: {variable}");
            }
            let (_, drain) =
                variables.iter().find(|(variable, _)| *variable == "LEDGERFOLD_DRAIN").unwrap();
            let drain_s: u64 = drain.as_str().unwrap().parse().unwrap();
            assert!(number(&definition["StopTimeout"]) > drain_s, "{name}");
            // The time of a long poll and of its batch.
            assert!(drain_s >= 20 + 10, "{name}");
            let what = list(&definition["Command"]);
            assert!(["api", "consumers"].contains(&what[0].as_str().unwrap()), "{name}: {what:?}");
            assert_eq!(definition["ReadonlyRootFilesystem"], true, "{name}");
            assert_eq!(definition["User"], "65532:65532", "{name}: as the image has it");
        }
        let targets = container.properties("ApiTargets");
        assert_eq!(
            (&targets["HealthCheckPath"], &targets["Port"]),
            (&json!("/readyz"), &json!(8080))
        );
        for (name, service) in container.all("AWS::ECS::Service") {
            let rollback = json!({ "Enable": true, "Rollback": true });
            assert_eq!(
                service["DeploymentConfiguration"]["DeploymentCircuitBreaker"], rollback,
                "{name}"
            );
        }
    }
}

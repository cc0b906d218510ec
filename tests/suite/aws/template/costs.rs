//! `ledgerfold-bench cost` computes with the numbers of the template.

use super::Template;
use crate::harness::program::ledgerfold_bench;
use serde_json::{Value, json};

/// The estimate for one command per second.
async fn estimate() -> Value {
    let said = ledgerfold_bench(["cost", "--rate", "1", "--json"]).output().await.unwrap();
    serde_json::from_slice::<Value>(&said.stdout).unwrap()
}

#[tokio::test]
async fn the_estimate_goes_by_the_templates_numbers() {
    let (template, answer) = (Template::read(), estimate().await);
    let estimate = &answer["estimates"][0];
    let items = estimate["items"].as_array().unwrap();
    let quantity = |name: &str| {
        items.iter().find(|item| item["item"] == name).unwrap()["quantity"].as_f64().unwrap()
    };
    let count = |kind: &str| f64::from(u32::try_from(template.unconditional(kind)).unwrap());
    assert_eq!(quantity("CloudWatch, alarms").to_bits(), count("AWS::CloudWatch::Alarm").to_bits());
    assert_eq!(
        quantity("CloudWatch, dashboards").to_bits(),
        count("AWS::CloudWatch::Dashboard").to_bits()
    );
    // They are created unless a stage has another token issuer.
    let is_machine = |client: &Value| client["AllowedOAuthFlows"] == json!(["client_credentials"]);
    let clients = template.all("AWS::Cognito::UserPoolClient");
    let clients = clients.filter(|(_, client)| is_machine(client)).count();
    let clients = f64::from(u32::try_from(clients).unwrap());
    assert_eq!(quantity("Cognito, machine clients").to_bits(), clients.to_bits());
    assert_eq!(template.document["Globals"]["Function"]["MemorySize"], 256);
    let recovery = json!(true);
    for (name, table) in template.all("AWS::DynamoDB::Table") {
        assert_eq!(
            table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], recovery,
            "{name}"
        );
    }
    for (queue, mapping) in [
        ("orders", "OrdersProjectorMapping"),
        ("stock", "StockProjectorMapping"),
        ("bestsellers", "BestsellersProjectorMapping"),
        ("audit", "AuditProjectorMapping"),
        ("journal", "JournalProjectorMapping"),
        ("fulfilment", "FulfilmentProcessMapping"),
    ] {
        let mapping = template.properties(mapping);
        assert_eq!(mapping["BatchSize"], 10, "{queue}");
        let what = format!("batches at work at once, queue {queue}");
        let limit = estimate["limits"]
            .as_array()
            .unwrap()
            .iter()
            .find(|limit| limit["what"] == what)
            .unwrap();
        assert_eq!(
            limit["limit"].as_f64(),
            mapping["ScalingConfig"]["MaximumConcurrency"].as_f64(),
            "{queue}"
        );
    }
    assert_eq!(template.properties("FanOutMapping")["BatchSize"], 100);
}

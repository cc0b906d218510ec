//! Who may do what: least of all, change a commit.

use super::{Template, get_att, list};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What changes or removes what is there, or writes without a condition of one's own.
const CHANGES: [&str; 6] = [
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PartiQLDelete",
];

/// What a function is allowed: action, the resource's logical name, and on what condition.
struct Grant<'a> {
    action: &'a str,
    resource: String,
    condition: &'a Value,
}

/// The grants of each function's role.
fn grants(template: &Template) -> BTreeMap<&str, Vec<Grant<'_>>> {
    let functions = template.all("AWS::Serverless::Function");
    let of_role = |function: &Value| get_att(&function["Role"]).unwrap().0.to_owned();
    functions
        .map(|(name, function)| (name, of_role(function)))
        .map(|(name, role)| (name, granted(template, &role)))
        .collect()
}

fn granted<'a>(template: &'a Template, role: &str) -> Vec<Grant<'a>> {
    let role = template.properties(role);
    let statements =
        list(&role["Policies"]).into_iter().flat_map(|policy| list(&policy["PolicyDocument"]["Statement"]));
    let mut grants = Vec::new();
    for statement in statements {
        assert_eq!(statement["Effect"], "Allow");
        for (action, resource) in list(&statement["Action"])
            .into_iter()
            .flat_map(|action| list(&statement["Resource"]).into_iter().map(move |resource| (action, resource)))
        {
            let action = action.as_str().unwrap();
            assert!(!action.contains('*'), "{action} says too much");
            grants.push(Grant { action, resource: logical(resource), condition: &statement["Condition"] });
        }
    }
    grants
}

/// The logical name of a resource: of `!GetAtt X.Arn`, of `!Sub ${X.Arn}/index/*`, or `*`.
fn logical(resource: &Value) -> String {
    if let Some((name, attribute)) = get_att(resource) {
        return if attribute == "Arn" { name.to_owned() } else { format!("{name}.{attribute}") };
    }
    let text = resource["Fn::Sub"].as_str().or_else(|| resource.as_str()).unwrap();
    text.trim_start_matches("${").trim_end_matches("/index/*").trim_end_matches(".Arn}").to_owned()
}

/// The functions that may do that to that.
fn who<'a>(grants: &BTreeMap<&'a str, Vec<Grant<'_>>>, action: &str, resource: &str) -> BTreeSet<&'a str> {
    let may = |grants: &Vec<Grant<'_>>| grants.iter().any(|grant| grant.action == action && grant.resource == resource);
    grants.iter().filter(|(_, grants)| may(grants)).map(|(name, _)| *name).collect()
}

#[test]
fn only_the_command_path_puts_commits() {
    let template = Template::read();
    let grants = grants(&template);
    let put = who(&grants, "dynamodb:PutItem", "Events");
    assert_eq!(put, ["CommandApi", "CommandWorker", "ProcessManager", "QueryApi"].into());
    // The query API puts its records of who read the audit trail.
    let mut of_query_api =
        grants["QueryApi"].iter().filter(|grant| grant.action == "dynamodb:PutItem" && grant.resource == "Events");
    let condition = of_query_api.next().unwrap().condition;
    assert!(of_query_api.next().is_none());
    assert_eq!(condition["ForAllValues:StringLike"], json!({ "dynamodb:LeadingKeys": ["access-*"] }));
    assert_eq!(condition["Null"], json!({ "dynamodb:LeadingKeys": "false" }), "no key is no such key");
    let stream = handlers::audit::access::stream("2026-11-23", "00");
    assert!(stream.starts_with("access-"), "{stream}");
}

#[test]
fn nobody_may_change_or_remove_a_commit() {
    let template = Template::read();
    let grants = grants(&template);
    for action in CHANGES {
        assert_eq!(who(&grants, action, "Events"), BTreeSet::new(), "{action}");
    }
    let denied = |statement: &Value| {
        assert_eq!(statement["Effect"], "Deny");
        list(&statement["Action"]).into_iter().map(|action| action.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let policy = &template.properties("AppendOnly")["PolicyDocument"]["Statement"][0];
    assert_eq!(
        (denied(policy), logical(&policy["Resource"])),
        (CHANGES.map(str::to_owned).to_vec(), "Events".to_owned())
    );
    for (name, role) in template.all("AWS::IAM::Role") {
        assert_eq!(role["ManagedPolicyArns"], json!([{ "Ref": "AppendOnly" }]), "{name}");
    }
    let of_table = &template.properties("Events")["ResourcePolicy"]["PolicyDocument"]["Statement"][0];
    assert_eq!((denied(of_table), &of_table["Principal"]), (CHANGES.map(str::to_owned).to_vec(), &json!("*")));
    // A policy of a table names it by itself: it is not there yet.
    let table = template.properties("Events")["TableName"]["Fn::Sub"].as_str().unwrap();
    assert!(of_table["Resource"]["Fn::Sub"].as_str().unwrap().ends_with(&format!(":table/{table}")));
}

#[test]
fn each_function_reads_its_own_queue_and_writes_its_own_log() {
    let template = Template::read();
    let grants = grants(&template);
    for (_, mapping) in template.all("AWS::Lambda::EventSourceMapping") {
        let function = get_att(&mapping["FunctionName"]).unwrap().0;
        let (source, attribute) = get_att(&mapping["EventSourceArn"]).unwrap();
        if attribute == "Arn" {
            for action in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"] {
                assert!(who(&grants, action, source).contains(function), "{function}: {action} of {source}");
            }
            assert_eq!(
                who(&grants, "sqs:ReceiveMessage", source),
                [function].into(),
                "nobody else takes from {source}"
            );
        }
    }
    for function in grants.keys() {
        let log = template.properties(function)["LoggingConfig"]["LogGroup"]["Ref"].as_str().unwrap();
        assert_eq!(who(&grants, "logs:PutLogEvents", log), [*function].into());
    }
    let everything: Vec<&str> =
        grants.values().flatten().filter(|grant| grant.resource == "*").map(|grant| grant.action).collect();
    assert_eq!(everything, ["dynamodb:ListStreams"], "granted on everything");
}

#[test]
fn who_wakes_himself_is_not_stopped_as_an_endless_loop() {
    let template = Template::read();
    let grants = grants(&template);
    let mut looping = BTreeSet::new();
    for (_, mapping) in template.all("AWS::Lambda::EventSourceMapping") {
        let function = get_att(&mapping["FunctionName"]).unwrap().0;
        let source = get_att(&mapping["EventSourceArn"]).unwrap().0;
        if who(&grants, "sqs:SendMessage", source).contains(function) {
            assert_eq!(template.properties(function)["RecursiveLoop"], "Allow", "{function}");
            looping.insert(function.to_owned());
        }
    }
    let projectors = ["AuditProjector", "BestsellersProjector", "OrdersProjector", "StockProjector"];
    let others = ["ProcessManager", "RebuildWorker"];
    assert_eq!(looping, projectors.into_iter().chain(others).map(str::to_owned).collect());
}

#[test]
fn read_models_are_written_by_those_who_keep_and_operate_them() {
    let template = Template::read();
    let grants = grants(&template);
    let keep = [
        "AuditProjector",
        "BestsellersProjector",
        "OrdersProjector",
        "ProcessManager",
        "QueryApi",
        "RebuildWorker",
        "StockProjector",
    ];
    assert_eq!(who(&grants, "dynamodb:PutItem", "ReadModels"), keep.into());
    assert_eq!(who(&grants, "dynamodb:PutItem", "AuditIndex"), ["AuditProjector", "QueryApi", "RebuildWorker"].into());
    assert_eq!(who(&grants, "dynamodb:Scan", "Events"), ["RebuildWorker"].into());
    assert_eq!(who(&grants, "dynamodb:PutItem", "Commands"), ["CommandApi", "CommandWorker"].into());
    assert_eq!(who(&grants, "sqs:SendMessage", "CommandQueue"), ["CommandApi"].into());
    assert_eq!(who(&grants, "sqs:SendMessage", "RebuildQueue"), ["QueryApi", "RebuildWorker"].into());
    assert_eq!(
        who(&grants, "sqs:SendMessage", "OrdersQueue"),
        ["FanOut", "OrdersProjector", "QueryApi", "RebuildWorker"].into()
    );
}

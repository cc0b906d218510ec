//! Permissions: above all, no role can change a commit.

use super::{Template, get_att, list};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Actions that change or remove items, or write without a condition.
const CHANGES: [&str; 6] = [
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PartiQLDelete",
];

/// A permission: action, logical name of the resource, and condition.
pub(crate) struct Grant<'a> {
    pub(crate) action: &'a str,
    pub(crate) resource: String,
    pub(crate) condition: &'a Value,
}

/// The grants of each function's role.
pub(crate) fn grants(template: &Template) -> BTreeMap<&str, Vec<Grant<'_>>> {
    let functions = template.all("AWS::Serverless::Function");
    let of_role = |function: &Value| get_att(&function["Role"]).unwrap().0.to_owned();
    functions
        .map(|(name, function)| (name, of_role(function)))
        .map(|(name, role)| (name, granted(template, &role)))
        .collect()
}

pub(super) fn granted<'a>(template: &'a Template, role: &str) -> Vec<Grant<'a>> {
    let role = template.properties(role);
    let statements = list(&role["Policies"])
        .into_iter()
        .flat_map(|policy| list(&policy["PolicyDocument"]["Statement"]));
    let mut grants = Vec::new();
    for statement in statements {
        assert_eq!(statement["Effect"], "Allow");
        for (action, resource) in list(&statement["Action"]).into_iter().flat_map(|action| {
            list(&statement["Resource"]).into_iter().map(move |resource| (action, resource))
        }) {
            let action = action.as_str().unwrap();
            assert!(!action.contains('*'), "{action} allows too much");
            grants.push(Grant {
                action,
                resource: logical(resource),
                condition: &statement["Condition"],
            });
        }
    }
    grants
}

/// The logical name of a resource: of `!GetAtt X.Arn`; of `!Sub ${X.Arn}/index/*`, with what
/// follows it; or `*`.
fn logical(resource: &Value) -> String {
    if let Some((name, attribute)) = get_att(resource) {
        return if attribute == "Arn" { name.to_owned() } else { format!("{name}.{attribute}") };
    }
    let text = resource["Fn::Sub"].as_str().or_else(|| resource.as_str()).unwrap();
    text.replace("${", "").replace(".Arn}", "")
}

/// The functions that may perform the action on the resource.
fn who<'a>(
    grants: &BTreeMap<&'a str, Vec<Grant<'_>>>,
    action: &str,
    resource: &str,
) -> BTreeSet<&'a str> {
    let may = |grants: &Vec<Grant<'_>>| {
        grants.iter().any(|grant| grant.action == action && grant.resource == resource)
    };
    grants.iter().filter(|(_, grants)| may(grants)).map(|(name, _)| *name).collect()
}

#[test]
fn only_the_command_path_puts_commits() {
    for template in Template::both() {
        let grants = grants(&template);
        let put = who(&grants, "dynamodb:PutItem", "Events");
        assert_eq!(
            put,
            template.functions(&["command-api", "command-worker", "process-manager", "query-api"])
        );
        // The query API records who read the audit trail.
        let mut of_query_api = grants["QueryApi"]
            .iter()
            .filter(|grant| grant.action == "dynamodb:PutItem" && grant.resource == "Events");
        let condition = of_query_api.next().unwrap().condition;
        assert!(of_query_api.next().is_none());
        assert_eq!(
            condition["ForAllValues:StringLike"],
            json!({ "dynamodb:LeadingKeys": ["access-*"] })
        );
        assert_eq!(
            condition["Null"],
            json!({ "dynamodb:LeadingKeys": "false" }),
            "no key is no such key"
        );
        let stream = handlers::audit::access::stream("2026-11-23", "00");
        assert!(stream.starts_with("access-"), "{stream}");
    }
}

#[test]
fn no_role_may_change_or_remove_a_commit() {
    for template in Template::both() {
        let grants = grants(&template);
        for action in CHANGES {
            assert_eq!(who(&grants, action, "Events"), BTreeSet::new(), "{action}");
        }
        let denied = |statement: &Value| {
            assert_eq!(statement["Effect"], "Deny");
            list(&statement["Action"])
                .into_iter()
                .map(|action| action.as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let policy = &template.properties("AppendOnly")["PolicyDocument"]["Statement"][0];
        assert_eq!(
            (denied(policy), logical(&policy["Resource"])),
            (CHANGES.map(str::to_owned).to_vec(), "Events".to_owned())
        );
        for (name, role) in template.all("AWS::IAM::Role").filter(|(name, _)| *name != "TrailRole")
        {
            assert_eq!(role["ManagedPolicyArns"], json!([{ "Ref": "AppendOnly" }]), "{name}");
        }
        let of_table =
            &template.properties("Events")["ResourcePolicy"]["PolicyDocument"]["Statement"][0];
        assert_eq!(
            (denied(of_table), &of_table["Principal"]),
            (CHANGES.map(str::to_owned).to_vec(), &json!("*"))
        );
        // A table's policy has the table's name, because its ARN is not known yet.
        let table = template.properties("Events")["TableName"]["Fn::Sub"].as_str().unwrap();
        assert!(
            of_table["Resource"]["Fn::Sub"].as_str().unwrap().ends_with(&format!(":table/{table}"))
        );
    }
}

#[test]
fn each_function_reads_its_own_queue_and_writes_its_own_log() {
    for template in Template::both() {
        let grants = grants(&template);
        for (_, mapping) in template.all("AWS::Lambda::EventSourceMapping") {
            let function = get_att(&mapping["FunctionName"]).unwrap().0;
            let (source, attribute) = get_att(&mapping["EventSourceArn"]).unwrap();
            if attribute == "Arn" {
                for action in ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
                {
                    assert!(
                        who(&grants, action, source).contains(function),
                        "{function}: {action} of {source}"
                    );
                }
                assert_eq!(
                    who(&grants, "sqs:ReceiveMessage", source),
                    [function].into(),
                    "{source} has one reader"
                );
            }
        }
        for function in grants.keys() {
            let log =
                template.properties(function)["LoggingConfig"]["LogGroup"]["Ref"].as_str().unwrap();
            assert_eq!(who(&grants, "logs:PutLogEvents", log), [*function].into());
        }
        let everything: Vec<&str> = grants
            .values()
            .flatten()
            .filter(|grant| grant.resource == "*")
            .map(|grant| grant.action)
            .collect();
        assert_eq!(everything, ["dynamodb:ListStreams"], "granted on everything");
    }
}

#[test]
fn who_wakes_himself_is_not_stopped_as_an_endless_loop() {
    for template in Template::both() {
        let grants = grants(&template);
        let mut looping = BTreeSet::new();
        for (_, mapping) in template.all("AWS::Lambda::EventSourceMapping") {
            let function = get_att(&mapping["FunctionName"]).unwrap().0;
            let source = get_att(&mapping["EventSourceArn"]).unwrap().0;
            if who(&grants, "sqs:SendMessage", source).contains(function) {
                assert_eq!(template.properties(function)["RecursiveLoop"], "Allow", "{function}");
                looping.insert(function);
            }
        }
        assert_eq!(
            looping,
            template.functions(&["projector", "process-manager", "rebuild-worker"])
        );
    }
}

#[test]
fn read_models_are_written_by_those_who_keep_and_operate_them() {
    for template in Template::both() {
        let grants = grants(&template);
        let may = |action, resource| who(&grants, action, resource);
        let keepers = ["projector", "process-manager", "query-api", "rebuild-worker"];
        assert_eq!(may("dynamodb:PutItem", "ReadModels"), template.functions(&keepers));
        let index: BTreeSet<&str> = template
            .functions(&["projector"])
            .into_iter()
            .filter(|name| template.projection(name) == Some("audit"))
            .chain(template.functions(&["query-api", "rebuild-worker"]))
            .collect();
        assert_eq!(may("dynamodb:PutItem", "AuditIndex"), index);
        let journal: BTreeSet<&str> = template
            .functions(&["projector"])
            .into_iter()
            .filter(|name| template.projection(name) == Some("journal"))
            .chain(template.functions(&["query-api", "rebuild-worker"]))
            .collect();
        assert_eq!(may("dynamodb:PutItem", "Journal"), journal);
        let droppers = template.functions(&["rebuild-worker"]);
        assert_eq!(may("dynamodb:BatchWriteItem", "Journal"), droppers);
        assert!(may("dynamodb:DeleteItem", "Journal").is_empty());
        assert_eq!(may("dynamodb:Scan", "Events"), template.functions(&["rebuild-worker"]));
        assert_eq!(
            may("dynamodb:PutItem", "Commands"),
            template.functions(&["command-api", "command-worker"])
        );
        assert_eq!(may("sqs:SendMessage", "CommandQueue"), template.functions(&["command-api"]));
        assert_eq!(
            may("sqs:SendMessage", "RebuildQueue"),
            template.functions(&["query-api", "rebuild-worker"])
        );
        for consumer in template.functions(&["projector", "process-manager"]) {
            let (queue, _) = template.mapped(consumer);
            let senders = template.functions(&["fan-out", "query-api", "rebuild-worker"]);
            assert_eq!(
                may("sqs:SendMessage", queue),
                senders.into_iter().chain([consumer]).collect()
            );
        }
    }
}

#[test]
fn a_consumer_writes_rows_of_its_own_and_only_jobs_delete_rows() {
    for template in Template::both() {
        let grants = grants(&template);
        for consumer in template.functions(&["projector", "process-manager"]) {
            let name = template.projection(consumer).unwrap();
            let own = json!([format!("{name}.*"), format!("{name}/*")]);
            let writes = grants[consumer].iter().filter(|grant| grant.resource == "ReadModels");
            for grant in writes.filter(|grant| grant.action == "dynamodb:PutItem") {
                assert_eq!(
                    grant.condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"], own,
                    "{consumer}"
                );
                assert_eq!(
                    grant.condition["Null"],
                    json!({ "dynamodb:LeadingKeys": "false" }),
                    "{consumer}"
                );
            }
        }
        let of_indexes =
            grants.values().flatten().filter(|grant| grant.resource.contains("/index/"));
        assert!(
            of_indexes.map(|grant| grant.action).all(|action| action == "dynamodb:Query"),
            "indexes are queried"
        );
        for table in ["ReadModels", "AuditIndex", "Commands"] {
            for action in ["dynamodb:DeleteItem", "dynamodb:BatchWriteItem"] {
                let may = who(&grants, action, table);
                let jobs = template.functions(&["rebuild-worker", "query-api"]);
                assert!(may.is_subset(&jobs), "{action} {table}: {may:?}");
            }
        }
        let resuming = grants["QueryApi"].iter().filter(|grant| grant.resource == "ReadModels");
        for grant in resuming.filter(|grant| {
            ["dynamodb:DeleteItem", "dynamodb:BatchWriteItem"].contains(&grant.action)
        }) {
            let keys = json!(["*/parked/*", "*/fence/*", "*/job/*"]);
            assert_eq!(grant.condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"], keys);
        }
    }
}

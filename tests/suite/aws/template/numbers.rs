//! Numbers that depend on each other.

use super::{Template, get_att, list, number, sub};
use crate::harness::pipeline::pattern::passes;
use eventstore::MAX_VERSION;
use handlers::CommandWorker;
use handlers::telemetry::Component;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A reader of a queue.
const READERS: [&str; 4] = ["projector", "process-manager", "command-worker", "rebuild-worker"];

/// A mapping from a queue: its name, its properties, and the function and the queue that it joins.
fn queue_mappings(template: &Template) -> Vec<(&str, &Value, &Value, &Value)> {
    let mappings = template.all("AWS::Lambda::EventSourceMapping");
    let joined = mappings.filter_map(|(name, mapping)| {
        let (source, attribute) = get_att(&mapping["EventSourceArn"]).unwrap();
        let function = template.properties(get_att(&mapping["FunctionName"]).unwrap().0);
        (attribute == "Arn").then(|| (name, mapping, function, template.properties(source)))
    });
    joined.collect()
}

#[test]
fn a_message_is_one_functions_alone_for_six_of_its_timeouts() {
    for template in Template::both() {
        let mappings = queue_mappings(&template);
        assert_eq!(mappings.len(), template.functions(&READERS).len());
        for (name, _, function, queue) in mappings {
            let (timeout_s, visibility_s) =
                (number(&function["Timeout"]), number(&queue["VisibilityTimeout"]));
            assert!(
                visibility_s >= 6 * timeout_s,
                "{name}: {visibility_s} s is less than six times {timeout_s} s"
            );
        }
    }
}

#[test]
fn every_read_queue_has_a_dead_letter_queue_that_keeps_as_long() {
    for template in Template::both() {
        let name = |queue: &Value| queue["QueueName"]["Fn::Sub"].as_str().unwrap().to_owned();
        let read: BTreeSet<String> =
            queue_mappings(&template).into_iter().map(|(_, _, _, queue)| name(queue)).collect();
        let mut dead = 0;
        for (logical, queue) in template.all("AWS::SQS::Queue") {
            if let Some(policy) = queue.get("RedrivePolicy") {
                assert!(read.contains(&name(queue)), "{logical} has no reader");
                let last = template.properties(get_att(&policy["deadLetterTargetArn"]).unwrap().0);
                assert_eq!(
                    last["FifoQueue"], queue["FifoQueue"],
                    "{logical}: SQS takes no other kind"
                );
                // A message keeps its age.
                assert!(
                    number(&last["MessageRetentionPeriod"])
                        >= number(&queue["MessageRetentionPeriod"]),
                    "{logical}"
                );
                dead += 1;
            }
        }
        assert_eq!(dead, read.len(), "queues with dead letters, and queues that are read");
    }
}

#[test]
fn every_mapping_tells_which_records_failed() {
    for template in Template::both() {
        for (name, mapping) in template.all("AWS::Lambda::EventSourceMapping") {
            assert_eq!(
                mapping["FunctionResponseTypes"],
                json!(["ReportBatchItemFailures"]),
                "{name}"
            );
        }
        for (name, mapping, ..) in queue_mappings(&template) {
            assert!(number(&mapping["BatchSize"]) <= 10, "{name}: a FIFO queue gives no more");
            assert!(
                mapping.get("MaximumBatchingWindowInSeconds").is_none(),
                "{name}: a FIFO queue knows no window"
            );
            assert!(
                (2..=1000).contains(&number(&mapping["ScalingConfig"]["MaximumConcurrency"])),
                "{name}: Lambda's limits"
            );
        }
    }
}

#[test]
fn a_job_has_its_call_for_itself() {
    for template in Template::both() {
        let mapping = template.properties("RebuildWorkerMapping");
        assert_eq!(
            number(&mapping["BatchSize"]),
            1,
            "a batch of slices would take longer than one may"
        );
        // A slice of 5 s, and 5 s for its last page.
        assert!(number(&template.properties("RebuildWorker")["Timeout"]) >= 10);
    }
}

#[test]
fn functions_answer_before_the_gateway_gives_up() {
    for template in Template::both() {
        let mut integrations = 0;
        for (name, integration) in template.all("AWS::ApiGatewayV2::Integration") {
            let function = template.properties(get_att(&integration["IntegrationUri"]).unwrap().0);
            let (timeout_s, patience_ms) =
                (number(&function["Timeout"]), number(&integration["TimeoutInMillis"]));
            assert!(
                timeout_s * 1000 < patience_ms,
                "{name}: the function has {timeout_s} s, the gateway {patience_ms} ms"
            );
            assert!(patience_ms <= 30_000, "{name}: HTTP APIs wait no longer");
            assert_eq!(integration["PayloadFormatVersion"], "2.0", "{name}");
            integrations += 1;
        }
        assert_eq!(integrations, 2);
    }
}

#[test]
fn a_record_is_given_up_with_an_alarm_before_it_is_trimmed() {
    for template in Template::both() {
        let mapping = template.properties("FanOutMapping");
        let age_s = number(&mapping["MaximumRecordAgeInSeconds"]);
        assert!((60..24 * 60 * 60).contains(&age_s), "streams keep records for 24 h: {age_s} s");
        assert_eq!(mapping["MaximumRetryAttempts"], -1, "the age alone ends it");
        assert_eq!(mapping["BisectBatchOnFunctionError"], true);
        assert_eq!(
            mapping["StartingPosition"], "TRIM_HORIZON",
            "earlier records are delivered, too"
        );
        let destination =
            get_att(&mapping["DestinationConfig"]["OnFailure"]["Destination"]).unwrap().0;
        assert!(
            template.properties(destination).get("FifoQueue").is_none(),
            "Lambda takes no FIFO queue"
        );
        let watched = |alarm: &Value| alarm["Dimensions"].to_string().contains(destination);
        assert!(
            template.all("AWS::CloudWatch::Alarm").any(|(_, alarm)| watched(alarm)),
            "{destination} has no alarm"
        );
    }
}

/// The filter of the stream's mapping.
fn patterns(template: &Template) -> Vec<Value> {
    let filters = list(&template.properties("FanOutMapping")["FilterCriteria"]["Filters"]);
    filters
        .iter()
        .map(|filter| serde_json::from_str(filter["Pattern"].as_str().unwrap()).unwrap())
        .collect()
}

#[test]
fn all_changes_of_commits_invoke_fan_out_and_snapshots_do_not() {
    let patterns = patterns(&Template::read());
    let record = |change: &str, version: u64| json!({"eventName": change, "dynamodb": {"Keys": {"stream_id": {"S": "order-1"}, "version": {"N": version.to_string()}}}});
    for change in ["INSERT", "MODIFY", "REMOVE"] {
        assert!(passes(&patterns, &record(change, 1)), "{change} of a first commit");
        assert!(
            passes(&patterns, &record(change, MAX_VERSION)),
            "{change} of the last possible commit"
        );
        assert!(!passes(&patterns, &record(change, MAX_VERSION + 1)), "{change} of a snapshot");
    }
}

#[test]
fn what_is_reserved_leaves_the_account_enough_for_the_mappings() {
    for template in Template::both() {
        let functions = template.all("AWS::Serverless::Function");
        let reserved: u64 = functions
            .filter_map(|(_, function)| {
                function["ReservedConcurrentExecutions"]["Fn::If"][1].as_u64()
            })
            .sum();
        let mapped: u64 = queue_mappings(&template)
            .iter()
            .map(|(_, mapping, ..)| number(&mapping["ScalingConfig"]["MaximumConcurrency"]))
            .sum();
        // The initial limit of an account. Lambda keeps 100 of it unreserved.
        assert!(
            reserved > 0 && reserved + mapped.max(100) <= 1000,
            "{reserved} reserved, {mapped} mapped"
        );
    }
}

#[test]
fn every_function_has_a_log_that_ends_and_is_watched() {
    for template in Template::both() {
        let mut functions = 0;
        for (logical, function) in template.all("AWS::Serverless::Function") {
            let log =
                template.properties(function["LoggingConfig"]["LogGroup"]["Ref"].as_str().unwrap());
            let name = function["FunctionName"]["Fn::Sub"].as_str().unwrap();
            assert_eq!(log["LogGroupName"], sub(&format!("/aws/lambda/{name}")), "{logical}");
            assert!(
                log["RetentionInDays"]["Fn::If"][1].as_u64().is_some(),
                "{logical} keeps its log for ever"
            );
            for metric in ["Errors", "Throttles"] {
                let watches = |alarm: &Value| {
                    alarm["MetricName"] == metric
                        && alarm["Dimensions"][0]["Value"]["Ref"] == logical
                };
                assert!(
                    template.all("AWS::CloudWatch::Alarm").any(|(_, alarm)| watches(alarm)),
                    "{metric} of {logical}"
                );
            }
            functions += 1;
        }
        assert_eq!(functions, 3 + template.functions(&READERS).len());
    }
}

#[test]
fn every_queue_is_watched_for_what_goes_wrong_in_it() {
    for template in Template::both() {
        for (logical, queue) in template.all("AWS::SQS::Queue") {
            let metric = match queue.get("RedrivePolicy") {
                Some(_) => "ApproximateAgeOfOldestMessage",
                None => "ApproximateNumberOfMessagesVisible",
            };
            let watches = |alarm: &Value| {
                alarm["MetricName"] == metric
                    && get_att(&alarm["Dimensions"][0]["Value"]) == Some((logical, "QueueName"))
            };
            assert!(
                template.all("AWS::CloudWatch::Alarm").any(|(_, alarm)| watches(alarm)),
                "{metric} of {logical}"
            );
        }
        for (name, alarm) in template.all("AWS::CloudWatch::Alarm") {
            assert_eq!(alarm["AlarmActions"], json!([{ "Ref": "Alarms" }]), "{name} has no action");
        }
    }
}

#[test]
fn alarms_read_the_metrics_that_the_functions_write() {
    for template in Template::both() {
        let names = Component::FUNCTIONS.map(Component::name);
        let mut own = BTreeSet::new();
        for (name, alarm) in template
            .all("AWS::CloudWatch::Alarm")
            .filter(|(_, alarm)| alarm["Dimensions"][0]["Name"] == "Stage")
        {
            assert_eq!(alarm["Dimensions"][0]["Value"], json!({"Ref": "Stage"}), "{name}");
            assert!(
                alarm["Namespace"].as_str().unwrap().eq_ignore_ascii_case(template.prefix),
                "{name}"
            );
            assert_eq!(alarm["Dimensions"][1]["Name"], "Component", "{name}");
            assert!(names.contains(&alarm["Dimensions"][1]["Value"].as_str().unwrap()), "{name}");
            own.insert(alarm["MetricName"].as_str().unwrap());
        }
        assert_eq!(own, ["Parked", "Tampering"].into());
    }
}

#[test]
fn every_function_is_one_program_and_told_what_it_is() {
    for template in Template::both() {
        let mut code = BTreeSet::new();
        let mut destination = BTreeSet::new();
        for (name, function) in template.all("AWS::Serverless::Function") {
            code.insert(function["CodeUri"].as_str().unwrap());
            let component = Component::of_function(template.component(name)).unwrap();
            let has_projection =
                matches!(component, Component::Projector | Component::ProcessManager);
            assert_eq!(template.projection(name).is_some(), has_projection, "{name}");
            assert!(
                destination.insert((template.component(name), template.projection(name))),
                "{name} is there twice"
            );
        }
        assert_eq!(code.len(), 1, "{code:?}");
        let shared = template.document["Globals"]["Function"]["Environment"]["Variables"]
            .as_object()
            .unwrap();
        let shared: Vec<&str> = shared.keys().map(String::as_str).collect();
        assert_eq!(
            shared,
            ["LEDGERFOLD_PREFIX", "SENTRY_DSN", "SENTRY_ENVIRONMENT", "SENTRY_RELEASE"]
        );
    }
    let template = Template::read();
    let of = |component| {
        template
            .functions(&[component])
            .iter()
            .filter_map(|name| template.projection(name))
            .collect()
    };
    let projected: BTreeSet<&str> = of("projector");
    assert_eq!(
        projected,
        crate::projections::read_models().iter().map(|projection| projection.name).collect()
    );
    assert_eq!(of("process-manager"), BTreeSet::from(["fulfilment"]));
}

#[test]
fn an_outage_of_hours_makes_no_dead_letters() {
    for template in Template::both() {
        for (name, mapping, function, queue) in queue_mappings(&template) {
            let receives = number(&queue["RedrivePolicy"]["maxReceiveCount"]);
            let component =
                function["Environment"]["Variables"]["LEDGERFOLD_COMPONENT"].as_str().unwrap();
            if component == "command-worker" {
                // The sender waits for a result after a few tries. A throttled call counts as a
                // receive.
                assert!(
                    receives >= 2 * u64::from(CommandWorker::MAX_RECEIVES),
                    "{name}: {receives}"
                );
            } else {
                let hours = receives * number(&queue["VisibilityTimeout"]) / 3600;
                assert!(
                    (12..).contains(&hours) && receives <= 1000,
                    "{name}: dead letters after {hours} h"
                );
            }
            assert_eq!(
                mapping["Enabled"],
                json!({"Fn::If": ["FunctionsConsume", true, false]}),
                "{name}"
            );
        }
        for (name, queue) in template.all("AWS::SQS::Queue") {
            assert_eq!(
                queue["MaximumMessageSize"], 1_048_576,
                "{name}: SQS's most, whatever its default becomes"
            );
        }
    }
}

#[test]
fn a_dead_letter_queue_takes_from_its_own_queue_only() {
    for template in Template::both() {
        for (name, _, _, queue) in queue_mappings(&template) {
            let dead = template
                .properties(get_att(&queue["RedrivePolicy"]["deadLetterTargetArn"]).unwrap().0);
            let allowed = &dead["RedriveAllowPolicy"];
            assert_eq!(allowed["redrivePermission"], "byQueue", "{name}");
            let source = allowed["sourceQueueArns"][0]["Fn::Sub"].as_str().unwrap();
            assert!(
                source.ends_with(&format!(":{}", queue["QueueName"]["Fn::Sub"].as_str().unwrap())),
                "{source}"
            );
        }
    }
}

#[test]
fn routes_without_a_token_have_a_small_share_of_the_calls() {
    for template in Template::both() {
        let stage = template.properties("HttpApiStage");
        let open = template
            .all("AWS::ApiGatewayV2::Route")
            .filter(|(_, route)| route["AuthorizationType"] == "NONE");
        let (names, keys): (BTreeSet<&str>, BTreeSet<&str>) =
            open.map(|(name, route)| (name, route["RouteKey"].as_str().unwrap())).unzip();
        let settings = stage["RouteSettings"].as_object().unwrap();
        assert_eq!(settings.keys().map(String::as_str).collect::<BTreeSet<_>>(), keys);
        let depends = &template.document["Resources"]["HttpApiStage"]["DependsOn"];
        assert_eq!(
            list(depends).into_iter().filter_map(Value::as_str).collect::<BTreeSet<_>>(),
            names
        );
        for (key, setting) in settings {
            assert!(number(&setting["ThrottlingRateLimit"]) <= 100, "{key}");
        }
    }
}

#[test]
fn no_text_of_a_caller_is_in_the_access_log() {
    for template in Template::both() {
        let format = &template.properties("HttpApiStage")["AccessLogSettings"]["Format"]["Fn::If"];
        assert_eq!(format[0], "LogsAddresses");
        for (line, has_address) in [(&format[1], true), (&format[2], false)] {
            let line = line.as_str().unwrap();
            let json: Value = serde_json::from_str(line).unwrap();
            assert!(
                json.is_object() && !line.contains("claims") && !line.contains("error"),
                "{line}"
            );
            assert_eq!(line.contains("sourceIp"), has_address);
        }
        let log = template.properties("HttpApiLog")["LogGroupName"]["Fn::Sub"].as_str().unwrap();
        assert!(log.starts_with("/aws/vendedlogs/"), "{log}");
    }
}

#[test]
fn protection_waits_for_the_first_success() {
    for template in Template::both() {
        let pool = template.properties("UserPool");
        assert_eq!(
            pool["DeletionProtection"],
            json!({"Fn::If": ["IsProtected", "ACTIVE", "INACTIVE"]})
        );
        assert_eq!(template.document["Parameters"]["Protected"]["Default"], "false");
    }
}

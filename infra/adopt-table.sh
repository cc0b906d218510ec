#!/usr/bin/env bash
# Gives a table that was restored to a point in time what the restore left out: infra/adopt-table.sh TABLE. See infra/docs/src/how-to/restore-a-stage.md.
set -euo pipefail
cd "$(dirname "$0")/.."

source infra/tools.sh
if [ -n "${AWS_REGION:-}" ]; then export AWS_DEFAULT_REGION=$AWS_REGION; fi

case "${1:-}" in
  "" | -h | --help)
    cat <<'EOF'
usage: infra/adopt-table.sh TABLE

Waits until a restored table is active. Then turns on point-in-time recovery, and for a table of events the stream of new images
and the policy that keeps commits as they are. Says what it did; safe to repeat. TABLE ends with -events, -read-models,
-audit-index or -commands.

Example
  infra/adopt-table.sh ledgerfold-prod2-events
EOF
    exit 0
    ;;
esac

"$(tool sam)/python" - "$1" <<'EOF'
import boto3, json, sys

table = sys.argv[1]
kind = next((kind for kind in ("events", "read-models", "audit-index", "commands") if table.endswith(f"-{kind}")), None)
if kind is None:
    sys.exit(f"{table} ends with none of -events, -read-models, -audit-index, -commands: it is no table of a stage")
client = boto3.client("dynamodb")
waiter = client.get_waiter("table_exists")


def active():
    waiter.wait(TableName=table, WaiterConfig={"Delay": 20, "MaxAttempts": 2160})
    return client.describe_table(TableName=table)["Table"]


try:
    client.describe_table(TableName=table)
except client.exceptions.ResourceNotFoundException:
    sys.exit(f"there is no table {table} in this region: restore it first (infra/docs/src/how-to/restore-a-stage.md, step 3)")
print(f"waiting until {table} is active (12 h at most)", file=sys.stderr)
found = active()

if kind == "events":
    stream = found.get("StreamSpecification", {})
    if stream.get("StreamViewType") == "NEW_IMAGE" and stream.get("StreamEnabled"):
        print("stream: was on")
    elif stream.get("StreamEnabled"):
        sys.exit(f"{table} has a stream of {stream['StreamViewType']}, and fan-out reads NEW_IMAGE: turn that one off first")
    else:
        client.update_table(TableName=table, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
        found = active()
        print("stream: turned on, NEW_IMAGE")
    actions = ["UpdateItem", "DeleteItem", "BatchWriteItem", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete"]
    policy = {"Version": "2012-10-17", "Statement": [{
        "Sid": "AppendOnly", "Effect": "Deny", "Principal": "*",
        "Action": [f"dynamodb:{action}" for action in actions], "Resource": found["TableArn"]}]}
    client.put_resource_policy(ResourceArn=found["TableArn"], Policy=json.dumps(policy))
    print("policy: commits are not changed and not removed")
if kind == "commands":
    described = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    if described["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        client.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at_s"})
    print("time to live: on, expires_at_s")
client.update_continuous_backups(
    TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
print("point-in-time recovery: on")
print(f"{table} is ready to be taken into a stage (infra/docs/src/how-to/restore-a-stage.md, step 5)")
EOF

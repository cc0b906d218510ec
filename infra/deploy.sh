#!/usr/bin/env bash
# Builds and deploys an app: to AWS, or to a stack on this machine. `infra/deploy.sh --help` says how.
set -euo pipefail
cd "$(dirname "$0")/.."

source infra/tools.sh
# The programs in Python know this name only.
if [ -n "${AWS_REGION:-}" ]; then export AWS_DEFAULT_REGION=$AWS_REGION; fi

usage() {
  cat <<'EOF'
usage: infra/deploy.sh [--app APP] STAGE [Parameter=Value …]    build and deploy, or update
       infra/deploy.sh [--app APP] --token STAGE SCOPE          print an access token of the stack's own user pool
       infra/deploy.sh [--app APP] --output STAGE NAME          print an output of the stack: ApiUrl, Prefix, TokenEndpoint, …
       infra/deploy.sh [--app APP] --remove STAGE               remove the stage; its events stay

STAGE is a name like `prod`, `test` or `anna`; it becomes the stack `ledgerfold-STAGE`. `prod` is protected against deletion once
its first deployment has succeeded. SCOPE is write, read, audit or operate: each has a client of its own.
Credentials and region come from the environment, as everywhere (AWS_PROFILE, AWS_REGION, …). Needs Rust, Python 3.11 and git.

APP is `bookshop`, unless another is named; `billing` is the second app of the tests.

`local` is the stage on this machine: no account, no container. Where AWS_ENDPOINT_URL names a stack it is deployed there;
where it does not, a stack is started on 127.0.0.1, deployed to, and stopped with Ctrl-C. It keeps nothing.

Examples
  infra/deploy.sh local
  infra/deploy.sh --app billing local
  AWS_PROFILE=shop infra/deploy.sh test
  AWS_PROFILE=shop infra/deploy.sh prod AlarmEmail=ops@example.org SentryDsnSecret=ledgerfold/sentry
  AWS_PROFILE=shop infra/deploy.sh prod TokenIssuer=https://login.example.org TokenAudience=ledgerfold
  curl -H "Authorization: Bearer $(infra/deploy.sh --token test operate)" "$(infra/deploy.sh --output test ApiUrl)/projections"

The parameters are those of infra/template.yaml; one that was given once keeps its value. infra/docs/src/how-to/first-run-on-aws.md says what
to try on AWS, in order.
EOF
}

fail() { printf 'infra/deploy.sh: %s\n' "$*" >&2; exit 2; }

# Which app: its prefix, its template, the package and name of its program, and a first command and row.
app() { # bookshop | billing
  case $1 in
    bookshop)
      PREFIX=ledgerfold TEMPLATE=infra/template.yaml PACKAGE=ledgerfold-bookshop BIN=bookshop-service
      FIRST_COMMAND=/stock/9780306406157/receive FIRST_BODY='{"quantity":10}' FIRST_ROW=/stock/9780306406157
      ;;
    billing)
      PREFIX=billing TEMPLATE=target/billing-template.yaml PACKAGE=ledgerfold-tests BIN=billing-service-under-test
      FIRST_COMMAND=/accounts/a-1/open FIRST_BODY='{"owner":"anna"}' FIRST_ROW=/accounts/a-1
      ;;
    *) fail "there is no app $1: bookshop, billing" ;;
  esac
  APP=$1
}

sam() { SAM_CLI_TELEMETRY=0 "$(tool sam)/sam" "$@"; }

# AWS's answers through the library that sam brings: there need be no other client.
aws() { "$(tool sam)/python" - "$@"; }

# Billing's template is rendered when it is needed; the bookshop's is committed.
render() {
  if [ "$APP" = billing ]; then
    cargo run --quiet --locked --package ledgerfold-tests --bin billing-under-test -- template --code "lambda/$BIN/" --out "$TEMPLATE"
  fi
}

# Cross-compiled as small as can be: what is loaded at every cold start.
build_for_aws() {
  local programs features=()
  programs=$(tool cargo-lambda)
  if command -v rustup >/dev/null; then rustup target add aarch64-unknown-linux-gnu; fi
  if [ "$APP" = bookshop ]; then features=(--no-default-features); fi
  PATH="$programs:$PATH" cargo lambda build --profile deploy --locked --arm64 \
    --package "$PACKAGE" ${features[@]+"${features[@]}"} --bin "$BIN"
}

# The development build, so that nothing is compiled twice: together with the tests, whose features decide what can be shared.
build_for_here() {
  cargo build --locked --workspace --bins --tests
  mkdir -p "target/lambda/$BIN"
  strip -o "target/lambda/$BIN/bootstrap" "target/debug/$BIN"
}

architecture_here() {
  case $(uname -m) in
    x86_64) echo x86_64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) fail "there are no functions for $(uname -m)" ;;
  esac
}

# deploy STAGE ARCHITECTURE [Parameter=Value …]
deploy() {
  local stage=$1 architecture=$2 release
  shift 2
  release=$(git describe --always --dirty 2>/dev/null || echo unknown)
  sam deploy --template-file "$TEMPLATE" --stack-name "$PREFIX-$stage" --resolve-s3 --capabilities CAPABILITY_IAM \
    --no-confirm-changeset --no-fail-on-empty-changeset \
    --parameter-overrides "Stage=$stage" "Architecture=$architecture" "Release=$release" "$@"
}

output() { # STAGE NAME
  aws "$PREFIX-$1" "$2" <<'EOF'
import boto3, os, sys
stack, name = sys.argv[1:]
found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
    # The local stack answers for all names under its own address.
    outputs["ApiUrl"] = f"{endpoint}/_aws/execute-api/{outputs['ApiId']}"
    outputs["TokenEndpoint"] = f"{endpoint}/oauth2/token"
sys.exit(f"stack {stack} has no output {name}; it has {', '.join(sorted(outputs))}") if name not in outputs else print(outputs[name])
EOF
}

token() { # STAGE SCOPE
  local endpoint pool client
  case $2 in write | read | audit | operate) ;; *) fail "there is no scope $2: write, read, audit, operate" ;; esac
  pool=$(output "$1" UserPoolId) && client=$(output "$1" "${2^}ClientId") && endpoint=$(output "$1" TokenEndpoint)
  aws "$endpoint" "$pool" "$client" "$PREFIX/$2" <<'EOF'
import base64, boto3, json, sys, urllib.parse, urllib.request
endpoint, pool, client, scope = sys.argv[1:]
described = boto3.client("cognito-idp").describe_user_pool_client(UserPoolId=pool, ClientId=client)["UserPoolClient"]
basic = base64.b64encode(f"{client}:{described['ClientSecret']}".encode()).decode()
form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": scope}).encode()
request = urllib.request.Request(endpoint, form, {"Authorization": f"Basic {basic}"})
print(json.load(urllib.request.urlopen(request, timeout=30))["access_token"])
EOF
}

# What prod reserves for its API must be there to be reserved, and leave enough for the functions behind the queues. Better told now
# than by a deployment that fails half way. What this stage has reserved already counts as free.
can_reserve() {
  aws "$PREFIX-prod" <<'EOF'
import boto3, sys
client, reserves, mapped = boto3.client("lambda"), 300 + 200, 110
free = client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
for name in ("command-api", "query-api"):
    try:
        own = client.get_function_concurrency(FunctionName=f"{sys.argv[1]}-{name}")
        free += own.get("ReservedConcurrentExecutions", 0)
    except client.exceptions.ResourceNotFoundException:
        pass
if free < reserves + mapped:
    sys.exit(f"prod reserves {reserves} concurrent calls and its mappings take {mapped}, but {free} are unreserved in this region: "
             "ask AWS for more (Service Quotas, Lambda, Concurrent executions), or choose another stage's name")
EOF
}

# Whether the stage was deployed before: 1 if not. A first deployment that failed is told with the way out: 3.
is_deployed() { # STAGE
  aws "$PREFIX-$1" <<'EOF'
import boto3, botocore.exceptions, sys
stack = sys.argv[1]
try:
    status = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"]
except botocore.exceptions.ClientError as error:
    if "does not exist" in str(error):
        sys.exit(1)
    raise
if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
    print(f"stack {stack} is {status}: its first deployment failed, or its removal. The way out:\n"
          f"  1. See why: aws cloudformation describe-stack-events --stack-name {stack}\n"
          f"  2. If a table is protected: aws dynamodb update-table --no-deletion-protection-enabled --table-name {stack}-read-models\n"
          f"     (and {stack}-audit-index, {stack}-commands)\n"
          f"  3. Remove it: aws cloudformation delete-stack --stack-name {stack}, then\n"
          f"     aws cloudformation wait stack-delete-complete --stack-name {stack}\n"
          f"  4. If {stack}-events is still there and has no events that are needed: aws dynamodb delete-table --table-name {stack}-events\n"
          f"     If they are needed: infra/docs/src/how-to/restore-a-stage.md says how a stage takes an existing table\n"
          f"  5. Deploy again", file=sys.stderr)
    sys.exit(3)
EOF
}

# prod is protected after its first success: the rollback of a first deployment must be able to delete the tables.
deploy_to_aws() { # STAGE [Parameter=Value …]
  local stage=$1 code=0
  shift
  is_deployed "$stage" || code=$?
  case $code in
    0) ;;
    1) deploy "$stage" arm64 "$@" ;;
    *) exit "$code" ;;
  esac
  if [ "$stage" = prod ]; then
    deploy prod arm64 Protected=true "$@"
    aws "$PREFIX-prod" <<'EOF'
import boto3, sys
boto3.client("cloudformation").update_termination_protection(StackName=sys.argv[1], EnableTerminationProtection=True)
EOF
  elif [ "$code" = 0 ]; then
    deploy "$stage" arm64 "$@"
  fi
}

remove() { # STAGE
  sam delete --stack-name "$PREFIX-$1" --no-prompts
  echo "Table $PREFIX-$1-events is still there. Remove it by hand when its events are not needed any more,"
  echo "or before the stage is deployed again: aws dynamodb delete-table --table-name $PREFIX-$1-events"
}

first_calls() { # STAGE
  local self=infra/deploy.sh
  if [ "$APP" != bookshop ]; then self="$self --app $APP"; fi
  cat <<EOF

$PREFIX-$1 is deployed. A first call:

  export API=$(output "$1" ApiUrl)
  curl -i "\$API$FIRST_COMMAND" -H "Authorization: Bearer \$($self --token $1 write)" -H 'Content-Type: application/json' -d '$FIRST_BODY'
  curl -i "\$API$FIRST_ROW" -H "Authorization: Bearer \$($self --token $1 read)"

Operate it: cargo run -- projection list --prefix $PREFIX-$1
EOF
}

deploy_here() { # [Parameter=Value …]
  if [ -z "${AWS_ENDPOINT_URL:-}" ]; then
    exec infra/with-stack infra/deploy.sh --app "$APP" --stay "$@"
  fi
  build_for_here
  render
  deploy local "$(architecture_here)" "$@"
  if [[ " $*" != *" TokenIssuer="* ]]; then
    first_calls local
  fi
}

# Deploys to the stack that was started for it, and stays until that ends.
stay() { # [Parameter=Value …]
  deploy_here "$@"
  printf '\nFrom another terminal, first: %s\nCtrl-C stops the stack.\n' \
    "export AWS_ENDPOINT_URL=$AWS_ENDPOINT_URL AWS_REGION=$AWS_REGION AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test"
  tail --pid="$LEDGERFOLD_STACK" -f /dev/null
}

main() {
  if [ "${1:-}" = --app ]; then
    app "${2:?which app? bookshop, billing}"
    shift 2
  else
    app bookshop
  fi
  case "${1:-}" in
    "" | -h | --help) usage ;;
    --token) token "${2:?which stage?}" "${3:?which scope? write, read, audit, operate}" ;;
    --output) output "${2:?which stage?}" "${3:?which output?}" ;;
    --remove) remove "${2:?which stage?}" ;;
    --stay) stay "${@:2}" ;;
    -*) fail "there is no option $1; --help tells which there are" ;;
    local) shift && deploy_here "$@" ;;
    *aws* | *amazon* | *cognito*) fail "a stage cannot have 'aws', 'amazon' or 'cognito' in its name: its user pool's domain could not" ;;
    *)
      if [ "$1" = prod ]; then can_reserve; fi
      build_for_aws
      render
      deploy_to_aws "$@"
      if [ -n "$(output "$1" UserPoolId 2>/dev/null)" ]; then first_calls "$1"; fi
      ;;
  esac
}

main "$@"

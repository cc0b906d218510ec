#!/usr/bin/env bash
# Builds and deploys Ledgerfold: to AWS, or to a stack on this machine. `infra/deploy.sh --help` says how.
set -euo pipefail
cd "$(dirname "$0")/.."

source infra/tools.sh
# The programs in Python know this name only.
if [ -n "${AWS_REGION:-}" ]; then export AWS_DEFAULT_REGION=$AWS_REGION; fi

readonly BINS=(command-api query-api fan-out projector process-manager command-worker rebuild-worker)
readonly SCOPES="ledgerfold/write ledgerfold/read ledgerfold/audit ledgerfold/operate"

usage() {
  cat <<'EOF'
usage: infra/deploy.sh STAGE [Parameter=Value …]    build and deploy, or update
       infra/deploy.sh --token STAGE                print an access token of the stack's own user pool
       infra/deploy.sh --output STAGE NAME          print an output of the stack: ApiUrl, Prefix, TokenEndpoint, …
       infra/deploy.sh --remove STAGE               remove the stage; its events stay

STAGE is a name like `prod`, `test` or `anna`; it becomes the stack `ledgerfold-STAGE`. `prod` is protected against deletion.
Credentials and region come from the environment, as everywhere (AWS_PROFILE, AWS_REGION, …). Needs Rust, Python 3 and git.

`local` is the stage on this machine: no account, no container. Where AWS_ENDPOINT_URL names a stack it is deployed there;
where it does not, a stack is started on 127.0.0.1, deployed to, and stopped with Ctrl-C. It keeps nothing.

Examples
  infra/deploy.sh local
  AWS_PROFILE=shop infra/deploy.sh test
  AWS_PROFILE=shop infra/deploy.sh prod AlarmEmail=ops@example.org SentryDsnSecret=ledgerfold/sentry
  AWS_PROFILE=shop infra/deploy.sh prod TokenIssuer=https://login.example.org TokenAudience=ledgerfold
  curl -H "Authorization: Bearer $(infra/deploy.sh --token test)" "$(infra/deploy.sh --output test ApiUrl)/projections"

The parameters are those of infra/template.yaml; one that was given once keeps its value.
EOF
}

fail() { printf 'infra/deploy.sh: %s\n' "$*" >&2; exit 2; }

sam() { SAM_CLI_TELEMETRY=0 "$(sam_tool)/sam" "$@"; }

# AWS's answers through the library that sam brings: there need be no other client.
aws() { "$(sam_tool)/python" - "$@"; }

# Cross-compiled as small as can be: what is loaded at every cold start.
build_for_aws() {
  local programs args=()
  programs=$(tool "cargo-lambda-$CARGO_LAMBDA" "cargo-lambda==$CARGO_LAMBDA")
  if command -v rustup >/dev/null; then rustup target add aarch64-unknown-linux-gnu; fi
  for bin in "${BINS[@]}"; do args+=(--bin "$bin"); done
  PATH="$programs:$PATH" cargo lambda build --profile deploy --locked --arm64 --package ledgerfold-bookshop --no-default-features "${args[@]}"
}

# The development build, so that nothing is compiled twice: together with the tests, whose features decide what can be shared.
build_for_here() {
  cargo build --locked --workspace --bins --tests
  for bin in "${BINS[@]}"; do
    mkdir -p "target/lambda/$bin"
    strip -o "target/lambda/$bin/bootstrap" "target/debug/$bin"
  done
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
  sam deploy --template-file infra/template.yaml --stack-name "ledgerfold-$stage" --resolve-s3 --capabilities CAPABILITY_IAM \
    --no-confirm-changeset --no-fail-on-empty-changeset \
    --parameter-overrides "Stage=$stage" "Architecture=$architecture" "Release=$release" "$@"
}

output() { # STAGE NAME
  aws "$1" "$2" <<'EOF'
import boto3, os, sys
stage, name = sys.argv[1:]
stack = boto3.client("cloudformation").describe_stacks(StackName=f"ledgerfold-{stage}")["Stacks"][0]
outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
    # The local stack answers for all names under its own address.
    outputs["ApiUrl"] = f"{endpoint}/_aws/execute-api/{outputs['ApiId']}"
    outputs["TokenEndpoint"] = f"{endpoint}/oauth2/token"
sys.exit(f"stack ledgerfold-{stage} has no output {name}; it has {', '.join(sorted(outputs))}") if name not in outputs else print(outputs[name])
EOF
}

token() { # STAGE
  local endpoint pool client
  pool=$(output "$1" UserPoolId) && client=$(output "$1" ClientId) && endpoint=$(output "$1" TokenEndpoint)
  aws "$endpoint" "$pool" "$client" "$SCOPES" <<'EOF'
import base64, boto3, json, sys, urllib.parse, urllib.request
endpoint, pool, client, scopes = sys.argv[1:]
described = boto3.client("cognito-idp").describe_user_pool_client(UserPoolId=pool, ClientId=client)["UserPoolClient"]
basic = base64.b64encode(f"{client}:{described['ClientSecret']}".encode()).decode()
form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": scopes}).encode()
request = urllib.request.Request(endpoint, form, {"Authorization": f"Basic {basic}"})
print(json.load(urllib.request.urlopen(request, timeout=30))["access_token"])
EOF
}

# What prod reserves for its API must leave the account enough for the functions behind the queues: better told now than by a
# deployment that fails half way.
can_reserve() {
  aws <<'EOF'
import boto3, sys
needed, limit = 300 + 200 + 110, boto3.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
if limit < needed:
    sys.exit(f"prod reserves 500 concurrent calls and its mappings take 110, but this account has {limit} in this region: "
             "ask AWS for more (Service Quotas, Lambda, Concurrent executions), or choose another stage's name")
EOF
}

# Neither the tables nor anything beside them goes by mistake.
protect() { # STAGE
  aws "$1" <<'EOF'
import boto3, sys
boto3.client("cloudformation").update_termination_protection(
    StackName=f"ledgerfold-{sys.argv[1]}", EnableTerminationProtection=True)
EOF
}

remove() { # STAGE
  sam delete --stack-name "ledgerfold-$1" --no-prompts
  echo "Table ledgerfold-$1-events is still there. Remove it by hand when nobody will ask for what is in it,"
  echo "or before the stage is deployed again: aws dynamodb delete-table --table-name ledgerfold-$1-events"
}

first_calls() { # STAGE
  cat <<EOF

ledgerfold-$1 is deployed. A first call:

  export API=$(output "$1" ApiUrl)
  export TOKEN=\$(infra/deploy.sh --token $1)
  curl -i "\$API/stock/9780306406157/receive" -H "Authorization: Bearer \$TOKEN" -H 'Content-Type: application/json' -d '{"quantity":10}'
  curl -i "\$API/stock/9780306406157" -H "Authorization: Bearer \$TOKEN"

Operate it: cargo run -- projection list --prefix ledgerfold-$1
EOF
}

deploy_here() { # [Parameter=Value …]
  if [ -z "${AWS_ENDPOINT_URL:-}" ]; then
    exec infra/with-stack infra/deploy.sh --stay "$@"
  fi
  build_for_here
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
  case "${1:-}" in
    "" | -h | --help) usage ;;
    --token) token "${2:?which stage?}" ;;
    --output) output "${2:?which stage?}" "${3:?which output?}" ;;
    --remove) remove "${2:?which stage?}" ;;
    --stay) stay "${@:2}" ;;
    -*) fail "there is no option $1; --help tells which there are" ;;
    local) shift && deploy_here "$@" ;;
    *aws* | *amazon* | *cognito*) fail "a stage cannot have 'aws', 'amazon' or 'cognito' in its name: its user pool's domain could not" ;;
    *)
      if [ "$1" = prod ]; then can_reserve; fi
      build_for_aws
      deploy "$1" arm64 "${@:2}"
      if [ "$1" = prod ]; then protect prod; fi
      if [ -n "$(output "$1" UserPoolId 2>/dev/null)" ]; then first_calls "$1"; fi
      ;;
  esac
}

main "$@"

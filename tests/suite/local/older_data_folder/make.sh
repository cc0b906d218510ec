#!/usr/bin/env bash
# Writes a data folder with every kind of thing in it: ./make.sh PROGRAM OUT
# OUT is for `ledgerfold restore`. Made once by the program of its day; see mod.rs.
set -euo pipefail
readonly program=$(realpath "$1") out=$2
work=$(mktemp -d)
trap 'kill "$dev" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

start() { # arguments of dev
  "$program" dev --port 0 --data shop "$@" >log 2>errors &
  dev=$!
  until grep -q "is ready at" log; do sleep 0.05; done
  url=$(sed -n 's/.*is ready at //p' log)
}
stop() { kill -INT "$dev"; wait "$dev"; }
send() { # path key body [more of curl]
  local path=$1 key=$2 body=$3
  shift 3
  curl -sf "$url$path" -H "Idempotency-Key: $key" -H 'X-Actor: ann' -H 'Content-Type: application/json' -d "$body" "$@"
}
book() { printf '{"isbn":"%s","quantity":%s,"unit_price_minor":1999}' "$1" "$2"; }
order() { # key lines [more of curl]
  local key=$1 lines=$2
  shift 2
  send /orders "$key" "{\"customer_id\":\"c-1\",\"currency\":\"EUR\",\"lines\":[$lines]}" "$@" | jq -r .stream | cut -d- -f2-
}
becomes() { until curl -s "$url/orders/$1" | jq -e ".status == \"$2\"" >/dev/null; do sleep 0.05; done; }
isbn() { # number: an ISBN-13 with its checksum
  local digits sum=0 i
  digits=$(printf '978%09d' "$1")
  for i in {0..11}; do sum=$((sum + ${digits:i:1} * (i % 2 ? 3 : 1))); done
  echo "$digits$(((10 - sum % 10) % 10))"
}

start
readonly novel=9780306406157
for n in {1..120}; do send "/stock/$novel/receive" "delivery-$n" '{"quantity":10}' >/dev/null; done
shipped=$(order shipped "$(book $novel 2)")
becomes "$shipped" confirmed
send "/orders/$shipped/ship" ship '{"tracking_code":"1Z999AA10123456784"}' >/dev/null
cancelled=$(order cancelled "$(book $novel 1)")
becomes "$cancelled" confirmed
send "/orders/$cancelled/cancel" cancel '{"reason":"changed my mind"}' >/dev/null
rejected=$(order rejected "$(book 9781861972712 1)")
becomes "$rejected" rejected
long=$(book "$(isbn 0)" 1)
for n in {1..89}; do long+=,$(book "$(isbn "$n")" 1); done
becomes "$(order long "$long")" rejected
send "/stock/$novel/receive" later '{"quantity":5}' -H 'Prefer: respond-async' >/dev/null
send "/orders/$rejected/ship" refused '{"tracking_code":"T"}' -H 'Prefer: respond-async' >/dev/null
until curl -s "$url/commands/refused" -H 'X-Actor: ann' | jq -e '.status == "refused"' >/dev/null; do sleep 0.05; done
"$program" projection rebuild stock --data shop --wait >/dev/null
"$program" projection switch stock --data shop >/dev/null
"$program" projection rebuild bestsellers --data shop --wait >/dev/null
"$program" audit verify --all --data shop >/dev/null
curl -sf "$url/audit/events?limit=5" -H 'X-Actor: auditor' >/dev/null
stop

start --break orders=OrderCancelled
parked=$(order parked "$(book $novel 1)")
becomes "$parked" confirmed
send "/orders/$parked/cancel" cancel-parked '{"reason":"to be parked"}' >/dev/null
until curl -s "$url/projections/orders/parked" | jq -e '.streams | length > 0' >/dev/null; do sleep 0.2; done
stop

start --without-processes
order waiting "$(book $novel 1)" >/dev/null
"$program" backup "$out" --data shop
stop
printf 'shipped %s\ncancelled %s\nrejected %s\nparked %s\n' "$shipped" "$cancelled" "$rejected" "$parked"

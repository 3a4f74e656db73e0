#!/usr/bin/env bash
# Two regions on this machine. Ctrl-C ends both.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
gateway=${GATEWAY:-$(command -v gateway || echo "$here/../../target/release/gateway")}
[ -x "$gateway" ] || { echo 'The gateway is missing: cargo build --release -p gateway' >&2; exit 2; }

regions=()
down() {
  trap - EXIT INT TERM
  kill "${regions[@]}" 2> /dev/null || true
  wait
  rm -rf "$here/cache"
}
trap down EXIT
trap 'exit 0' INT TERM

for region in ams3 nyc3; do
  "$gateway" check --config "$here/$region.yaml"
  "$gateway" run --config "$here/$region.yaml" &
  regions+=($!)
done
# Until the first of them ends: one region without the other is not what was asked for.
wait -n

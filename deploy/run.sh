#!/usr/bin/env bash
# Starts `tasktrail up`, and beside it, unless DEMO=0, `tasktrail demo`; stops
# both on Ctrl-C. What `make run` calls.
set -euo pipefail
cd "$(dirname "$0")/.."

pids=()
stop() {
  trap - INT TERM EXIT
  for p in "${pids[@]}"; do kill -TERM "$p" 2>/dev/null || true; done
  wait
}
trap stop INT TERM EXIT

./bin/tasktrail up & pids+=($!)
if [ "${DEMO:-1}" != 0 ]; then
  ./bin/tasktrail demo & pids+=($!)
fi
wait "${pids[0]}"

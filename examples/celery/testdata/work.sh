#!/bin/sh
# A worker of the module TASKS, and beside it, where there is a secret, what takes
# retries and cancels.
"$PYTHON" -m celery -A "$TASKS" worker --concurrency 8 -l INFO &
pids=$!
if [ -n "${REQUEUE_SECRET:-}" ]; then
  "$PYTHON" requeue.py "$TASKS" "$REQUEUE_PORT" &
  pids="$pids $!"
fi
trap 'kill $pids; wait; exit 0' TERM
wait

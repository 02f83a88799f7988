#!/bin/sh
# A worker, and beside it, where there is a secret, what takes retries and cancels.
sidekiq -r "./$JOBS.rb" -q "$QUEUE" -c 10 &
pids=$!
if [ -n "${REQUEUE_SECRET:-}" ]; then
  rackup --server webrick --env none --host 127.0.0.1 --port "$REQUEUE_PORT" requeue.ru &
  pids="$pids $!"
fi
trap 'kill $pids; wait; exit 0' TERM
wait

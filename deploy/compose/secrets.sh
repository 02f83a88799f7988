#!/usr/bin/env bash
# Makes the secrets of compose.yaml, once: random, readable by this user alone.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
[ -e secrets ] && { echo "secrets/ is there already: remove it to make new ones (what was set up with the old ones then refuses them)" >&2; exit 1; }
random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }

mkdir secrets
admin=$(random) clickhouse=$(random) reader=$(random) redis=$(random) command=$(random) session=$(random) grafana=$(random)
printf '%s\n' "$admin" > secrets/admin_token
cat > secrets/tasktrail.env <<END
TASKTRAIL_ADMIN_TOKEN=$admin
TASKTRAIL_TOKEN=$admin
TASKTRAIL_CLICKHOUSE_DSN=http://tasktrail:$clickhouse@clickhouse:8123/tasktrail
TASKTRAIL_CLICKHOUSE_READER_DSN=http://tasktrail_reader:$reader@clickhouse:8123/tasktrail
TASKTRAIL_REDIS_URL=redis://:$redis@redis:6379
TASKTRAIL_COMMAND_KEY=$command
TASKTRAIL_SESSION_KEY=$session
END
printf 'CLICKHOUSE_USER=tasktrail\nCLICKHOUSE_PASSWORD=%s\nREADER_PASSWORD=%s\n' "$clickhouse" "$reader" > secrets/clickhouse.env
printf 'REDIS_PASSWORD=%s\n' "$redis" > secrets/redis.env
printf 'AGENT_TOKEN=%s\n' "$admin" > secrets/worker.env
printf 'TASKTRAIL_CLICKHOUSE_HOST=clickhouse\nTASKTRAIL_CLICKHOUSE_PORT=8123\nTASKTRAIL_CLICKHOUSE_USER=tasktrail_reader\nTASKTRAIL_CLICKHOUSE_PASSWORD=%s\nTASKTRAIL_CLICKHOUSE_DATABASE=tasktrail\nTASKTRAIL_UI_URL=http://localhost:8080\n' "$reader" > secrets/grafana.env
printf '%s' "$grafana" > secrets/grafana_password
echo "made secrets/: the admin token of the live UI is in secrets/admin_token, Grafana's password for admin in secrets/grafana_password"

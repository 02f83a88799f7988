#!/bin/bash
# A user that may read and no more, for the API and for Grafana. Run by the
# image once, on an empty volume.
set -euo pipefail
clickhouse-client --user "$CLICKHOUSE_USER" --password "$CLICKHOUSE_PASSWORD" --multiquery <<SQL
CREATE USER IF NOT EXISTS tasktrail_reader IDENTIFIED WITH sha256_password BY '${READER_PASSWORD}' SETTINGS readonly = 2;
GRANT SELECT ON tasktrail.* TO tasktrail_reader;
GRANT SELECT ON system.disks TO tasktrail_reader;
SQL

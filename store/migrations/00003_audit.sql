-- +goose NO TRANSACTION
-- +goose Up

-- Who changed what, and whom it was refused: settings of the kind audit, which the
-- writer gives a rank of their own, so that they are kept as long as timelines are
-- and not for ever.
CREATE TABLE IF NOT EXISTS audit
(
    namespace LowCardinality(String),
    occurred_at DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
    event_id UUID,
    ingested_at DateTime64(9, 'UTC'),
    record String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, occurred_at, event_id)
TTL toDateTime(ingested_at) + INTERVAL 90 DAY
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS audit_mv TO audit AS
SELECT namespace, occurred_at, event_id, ingested_at, record
FROM events_in WHERE rank = 252;

-- +goose Down
SELECT 1;
